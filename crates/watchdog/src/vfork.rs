//! Starts a program the way `posix_spawn` does, with less around it: that maps a stack for each start and asks for each
//! signal in two ways, which together takes a call as long as reading and writing its pipes.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

/// What runs in the child, below, needs a page of stack; the dynamic linker, should it come between, three.
const STACK: usize = 64 * 1024;

/// Who handles signals here handles one of these; there are no handlers for real-time ones.
const LAST_SIGNAL: c_int = 31;

thread_local! {
    /// The stack of the child until it is another program; meanwhile this thread stands still. Sixteen bytes each, as
    /// stacks are aligned.
    static CHILDS: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
}

/// Whether a child can be had with a descriptor to wait for it by: Linux 5.3, not every sandbox.
pub(crate) static SUPPORTED: LazyLock<bool> =
    LazyLock::new(|| rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).is_ok());

/// A program, and what it is to have. Lists end with null.
pub(crate) struct Exec<'a> {
    pub(crate) program: &'a CStr,
    pub(crate) arguments: &'a [*const c_char],
    pub(crate) environment: &'a [*const c_char],
    pub(crate) cwd: Option<&'a CStr>,
    /// stdin, stdout and stderr. None of them is 0, 1 or 2, which are never closed here.
    pub(crate) streams: [BorrowedFd<'a>; 3],
}

/// What the child is handed.
struct Handed<'a> {
    exec: &'a Exec<'a>,
    streams: [RawFd; 3],
    /// Why it came to nothing.
    error: AtomicI32,
}

/// Starts a program in a process group of its own. Returns its id and a descriptor that is readable once it has ended.
pub(crate) fn start(exec: &Exec<'_>) -> io::Result<(Pid, OwnedFd)> {
    debug_assert!(exec.arguments.last().is_some_and(|end| end.is_null()));
    debug_assert!(exec.environment.last().is_some_and(|end| end.is_null()));
    let handed = Handed { exec, streams: exec.streams.map(|stream| stream.as_raw_fd()), error: AtomicI32::new(0) };
    let mut descriptor: c_int = -1;
    let started = CHILDS.with_borrow_mut(|stack| {
        stack.resize(STACK / 16, 0);
        let top = stack.as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: the child shares this memory, and CLONE_VFORK keeps this thread where it is until the child has
        // become another program or ended: so what is on this stack, `handed` included, and the child's own stack stay
        // as they are while it uses them. No signal handler runs in it: all signals are blocked over the start, and
        // `child` takes the handlers out before it lets any through. The pointers it follows are those of `exec`.
        unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let handed = (&raw const handed).cast_mut().cast::<c_void>();
            let id = libc::clone(child, top.cast(), flags, handed, &raw mut descriptor);
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
            Pid::from_raw(id).filter(|_| id > 0).ok_or(error)
        }
    })?;
    // SAFETY: the kernel has just made it for us alone.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    match handed.error.load(Ordering::Relaxed) {
        0 => Ok((started, descriptor)),
        error => {
            let _ = rustix::process::waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED);
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// The child, until it is another program. It allocates nothing and takes no lock.
extern "C" fn child(handed: *mut c_void) -> c_int {
    // SAFETY: `start` hands a `Handed`, which outlives this (see there). All calls are system calls without state of
    // their own; the lists end with null.
    unsafe {
        let handed = &*handed.cast_const().cast::<Handed<'_>>();
        let exec = handed.exec;
        // The parent's handlers must not run in its memory, here. What it ignores stays ignored, but for SIGPIPE, which
        // Rust's runtime ignores without having been asked.
        for signal in 1..=LAST_SIGNAL {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            let handled = action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN;
            if handled || signal == libc::SIGPIPE {
                action = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            }
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        let [stdin, stdout, stderr] = handed.streams;
        if libc::setpgid(0, 0) == 0
            && libc::dup2(stdin, 0) == 0
            && libc::dup2(stdout, 1) == 1
            && libc::dup2(stderr, 2) == 2
            && exec.cwd.is_none_or(|cwd| libc::chdir(cwd.as_ptr()) == 0)
        {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
            libc::execve(exec.program.as_ptr(), exec.arguments.as_ptr(), exec.environment.as_ptr());
        }
        handed.error.store(*libc::__errno_location(), Ordering::Relaxed);
        libc::_exit(127)
    }
}
