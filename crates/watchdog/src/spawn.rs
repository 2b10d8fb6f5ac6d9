//! Starts processes, each in a process group of its own, and ends whole groups.

use std::collections::HashSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// These threads start the servers of functions, and live as long as this process does.
///
/// Long-lived, because `PR_SET_PDEATHSIG` fires when the *thread* that forked ends, not the process: a child started
/// from a pool thread would be killed when the pool shrinks. Two, because a start blocks until its exec is done.
const THREADS: usize = 2;

struct Job {
    command: std::process::Command,
    runtime: Handle,
    reply: oneshot::Sender<std::io::Result<Process>>,
}

static JOBS: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Job>();
    let receiver: &'static Mutex<mpsc::Receiver<Job>> = Box::leak(Box::new(Mutex::new(receiver)));
    for number in 0..THREADS {
        // A failure here shows itself in `start`, when nobody takes the job.
        let _ = std::thread::Builder::new().name(format!("spawn-{number}")).stack_size(256 * 1024).spawn(|| {
            while let Ok(job) = { lock(receiver).recv() } {
                run(job);
            }
        });
    }
    sender
});

/// The children that are waited for; the reaper of process 1 must leave them alone.
static OURS: LazyLock<Mutex<HashSet<i32>>> = LazyLock::new(Mutex::default);

/// Held for reading from before a spawn until the child is in [`OURS`].
static SPAWNING: RwLock<()> = RwLock::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(job: Job) {
    // tokio registers the child's pipes with the runtime of the caller.
    let _entered = job.runtime.enter();
    let started = {
        let _starting = starting();
        tokio::process::Command::from(job.command).spawn().map(Process::new)
    };
    // A caller that has gone away leaves the process to `Group::drop`, which ends it.
    let _ = job.reply.send(started);
}

/// A server started by us, the leader of its group.
pub(crate) struct Process {
    /// The process; its pipes are taken by whoever reads them.
    pub(crate) child: Child,
    /// Ends the whole group when dropped.
    pub(crate) group: Group,
}

impl Process {
    fn new(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
        Process { child, group: Group::new(id) }
    }
}

/// A process group. Dropped, it is killed, unless [`Group::release`] was called.
pub(crate) struct Group {
    id: i32,
    armed: bool,
}

/// Held from before a start until the child is in a [`Group`]; the reaper of process 1 waits meanwhile.
pub(crate) fn starting() -> RwLockReadGuard<'static, ()> {
    SPAWNING.read().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    /// The group that a process leads which has just been started.
    pub(crate) fn new(id: i32) -> Self {
        lock(&OURS).insert(id);
        Group { id, armed: true }
    }

    /// The group's id, which is its leader's process id.
    pub(crate) fn id(&self) -> u32 {
        self.id.unsigned_abs()
    }

    /// Signals every process in the group.
    pub(crate) fn signal(&self, signal: Signal) {
        signal_group(self.id, signal);
    }

    /// The leader has ended and been waited for; what it left running is left alone.
    pub(crate) fn release(&mut self) {
        self.armed = false;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.armed {
            self.signal(Signal::KILL);
        }
        lock(&OURS).remove(&self.id);
    }
}

/// Signals a whole group; one that is gone is no error.
pub(crate) fn signal_group(id: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(id).filter(|pid| !pid.is_init()) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Starts the HTTP server of a function in a group of its own, with exactly this environment and no stdin; killed by the
/// kernel should this process die without a word.
pub(crate) async fn start<'a>(
    program: &Path,
    arguments: &[String],
    cwd: Option<&Path>,
    env: impl Iterator<Item = (&'a str, &'a str)>,
) -> std::io::Result<Process> {
    let mut command = std::process::Command::new(program);
    command.args(arguments).env_clear().envs(env).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    let parent = rustix::process::getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        match rustix::process::getppid() {
            Some(pid) if pid == parent => Ok(()),
            _ => Err(std::io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error())),
        }
    };
    // SAFETY: only two system calls, no allocation and no lock, between fork and exec.
    unsafe { command.pre_exec(tie) };
    let (reply, started) = oneshot::channel();
    let gone = || std::io::Error::other("no thread to start processes");
    JOBS.send(Job { command, runtime: Handle::current(), reply }).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

/// As process 1: takes the ended processes that nobody waits for (orphans handed down by the kernel), and leaves the
/// invoker's own children to the invoker. Returns how many were taken; call it again at the next SIGCHLD.
pub fn reap_strangers() -> usize {
    let _spawning = SPAWNING.write().unwrap_or_else(PoisonError::into_inner);
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    // One by one and not "any child", which would also take what is waited for.
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|id| !lock(&OURS).contains(id))
        .filter_map(Pid::from_raw)
        .filter(|pid| matches!(rustix::process::waitpid(Some(*pid), WaitOptions::NOHANG), Ok(Some(_))))
        .count()
}
