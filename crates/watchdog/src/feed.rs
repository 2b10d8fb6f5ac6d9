//! What a call's process is given on stdin: the request, as it arrives.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use tokio::io::AsyncWrite;
use tokio::net::unix::pipe::Sender;

use crate::BoxError;
use crate::body::RequestBody;

/// The end of a pipe. The runtime hears of it only when it is full: most requests fit in.
enum Pipe {
    Idle(OwnedFd),
    Watched(Sender),
    Closed,
}

/// Writes a request to a process.
pub(crate) struct Feed {
    body: RequestBody,
    /// Has arrived, and is not yet written.
    rest: Bytes,
    pipe: Pipe,
}

impl Feed {
    /// `stdin` doesn't block.
    pub(crate) fn new(body: RequestBody, stdin: OwnedFd) -> Self {
        Feed { body, rest: Bytes::new(), pipe: Pipe::Idle(stdin) }
    }
}

impl Future for Feed {
    /// Fails when the request broke off. That the process has closed its stdin is no failure.
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let feed = self.get_mut();
        loop {
            while !feed.rest.is_empty() {
                match std::task::ready!(feed.pipe.poll_write(&feed.rest, context)) {
                    Ok(count) => feed.rest.advance(count),
                    Err(_) => {
                        feed.pipe = Pipe::Closed;
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            match std::task::ready!(Pin::new(&mut feed.body).poll_frame(context)) {
                Some(Ok(frame)) => feed.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {
                    feed.pipe = Pipe::Closed;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Pipe {
    fn poll_write(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Pipe::Idle(pipe) = self {
            match rustix::io::write(&*pipe, bytes) {
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    if let Pipe::Idle(pipe) = std::mem::replace(self, Pipe::Closed) {
                        *self = Pipe::Watched(Sender::from_owned_fd_unchecked(pipe)?);
                    }
                }
                done => return Poll::Ready(done.map_err(Into::into)),
            }
        }
        match self {
            Pipe::Watched(pipe) => Pin::new(pipe).poll_write(context, bytes),
            _ => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}
