//! The process of a call, as its parent sees it: to be waited for, and never left a zombie.

use std::io;
use std::process::ExitStatus;
use std::task::{Context, Poll};

/// A process that has been started.
pub(crate) enum Leader {
    /// Waited for by a descriptor of the kernel's, which nothing else can be meant by.
    #[cfg(target_os = "linux")]
    Descriptor(descriptor::Descriptor),
    /// Waited for by the runtime.
    Child(tokio::process::Child),
}

impl Leader {
    /// Waits for the process.
    pub(crate) fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        match self {
            #[cfg(target_os = "linux")]
            Leader::Descriptor(descriptor) => descriptor.poll_wait(context),
            Leader::Child(child) => std::pin::pin!(child.wait()).poll(context),
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) mod descriptor {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::task::{Context, Poll};

    use rustix::process::{WaitId, WaitIdOptions};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::runtime::Handle;

    /// A descriptor of a process, until that has been waited for.
    pub(crate) struct Descriptor {
        /// Nobody has waited yet.
        idle: Option<OwnedFd>,
        watched: Option<AsyncFd<OwnedFd>>,
    }

    impl Descriptor {
        pub(crate) fn new(descriptor: OwnedFd) -> Self {
            Descriptor { idle: Some(descriptor), watched: None }
        }

        pub(super) fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
            if let Some(idle) = self.idle.take() {
                self.watched = Some(watch(idle)?);
            }
            let Some(watched) = &self.watched else {
                return Poll::Ready(Err(io::Error::other("it has been waited for")));
            };
            let status = std::task::ready!(poll_status(watched, context));
            self.watched = None;
            Poll::Ready(status)
        }
    }

    impl Drop for Descriptor {
        fn drop(&mut self) {
            let (idle, watched) = (self.idle.take(), self.watched.take());
            // Its group is being killed. Without a runtime this process is at its end, and its zombies go to another.
            if let (true, Ok(runtime)) = (idle.is_some() || watched.is_some(), Handle::try_current()) {
                runtime.spawn(async move {
                    let idle = idle.and_then(|idle| watch(idle).ok());
                    if let Some(watched) = watched.or(idle) {
                        let _ = std::future::poll_fn(|context| poll_status(&watched, context)).await;
                    }
                });
            }
        }
    }

    fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        // SAFETY: the descriptor is owned by what is made here, and nothing takes it out or closes it before.
        unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(Into::into)
    }

    fn poll_status(watched: &AsyncFd<OwnedFd>, context: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        loop {
            let mut ready = std::task::ready!(watched.poll_read_ready(context))?;
            match taken(watched.get_ref()) {
                Ok(None) => ready.clear_ready(),
                Ok(Some(status)) => return Poll::Ready(Ok(status)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The status of a process that has ended, which is then no zombie any more.
    fn taken(descriptor: &OwnedFd) -> io::Result<Option<ExitStatus>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let Some(ended) = rustix::process::waitid(WaitId::PidFd(descriptor.as_fd()), options)? else {
            return Ok(None);
        };
        let raw = match (ended.exit_status(), ended.terminating_signal()) {
            (Some(code), _) => (code & 0xff) << 8,
            (None, signal) => signal.unwrap_or(0),
        };
        Ok(Some(ExitStatus::from_raw(raw)))
    }
}
