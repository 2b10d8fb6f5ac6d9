//! A kept-alive connection to the child, driven by the task that uses it, and the pool of idle ones.
//!
//! hyper wants somebody to poll a client connection. A task of its own would cost a wake-up across tasks (and often
//! across threads) for each direction of each request; here the request polls its connection itself, so a call is one
//! task from end to end. The price: an upload that is still running makes progress only while the response is awaited
//! or read.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::body::RequestBody;
use crate::ticket::Ticket;

/// Idle connections are given up after this time, as of-watchdog does: before the child closes them by itself, and
/// before a child that serves one connection at a time has kept the next one waiting for long.
const IDLE: Duration = Duration::from_millis(500);

/// A response head as large as of-watchdog takes it (Go's default).
const MAX_HEAD: usize = 1 << 20;

pub(crate) struct Link {
    sender: SendRequest<RequestBody>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<TcpStream>, RequestBody>>,
    /// The connection's socket.
    socket: RawFd,
    /// It has carried a request before.
    pub(crate) used: bool,
    /// The other end said `100 Continue`.
    continued: Arc<AtomicBool>,
}

/// A request that got no response.
pub(crate) struct SendFailure {
    /// `None`: the other end said `100 Continue`, which nobody had asked for, and takes that for its answer.
    pub(crate) error: Option<hyper::Error>,
    /// The request, when nothing of it went out.
    pub(crate) unsent: Option<Request<RequestBody>>,
}

impl Link {
    async fn open(address: SocketAddr) -> std::io::Result<Box<Link>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = stream.as_raw_fd();
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_HEAD)
            // As Go writes them: handlers that look headers up by their exact case were written behind of-watchdog.
            .title_case_headers(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        Ok(Box::new(Link { sender, connection: Some(connection), socket, used: false, continued: Arc::default() }))
    }

    /// Moves bytes both ways.
    pub(crate) fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(context).is_ready()
        {
            // Dropped at once: that is what hands a request still queued in it back to its sender.
            self.connection = None;
        }
    }

    /// Sends a request.
    pub(crate) fn send(mut self: Box<Self>, mut request: Request<RequestBody>) -> Sending {
        let continued = self.continued.clone();
        hyper::ext::on_informational(&mut request, move |interim| {
            // Those that come ahead of an answer that is long in coming are none of the caller's business.
            continued.fetch_or(interim.status() == StatusCode::CONTINUE, Ordering::Relaxed);
        });
        let response = Box::pin(self.sender.try_send_request(request));
        Sending { link: self, response }
    }

    /// Whether the other end still holds the idle connection open. The kernel is asked, since tokio learns of a close
    /// only when it next looks for events.
    fn is_open(&self) -> bool {
        let Some(_owner) = &self.connection else { return false };
        // SAFETY: the connection owns the socket and keeps it open while it is `Some`.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        let peeked = recv(socket, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Tells the other end that nothing more will come: a server that looks sees that its caller has gone, and what it
    /// answers all the same is still heard here.
    fn half_close(&self) {
        let Some(_owner) = &self.connection else { return };
        // SAFETY: as above.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        let _ = shutdown(socket, Shutdown::Write);
    }

    fn is_reusable(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }
}

type ResponseHead = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// A request under way, with its connection.
pub(crate) struct Sending {
    link: Box<Link>,
    response: Pin<Box<dyn Future<Output = ResponseHead> + Send>>,
}

impl Sending {
    /// Waits for the head of the response; not to be called again after that.
    pub(crate) async fn answer(&mut self) -> Result<Response<Incoming>, SendFailure> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<Incoming>, SendFailure>> {
        self.link.drive(context);
        // All that can make this ready happens in `drive`: no waker needed.
        match self.response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(head) => Poll::Ready(head.map_err(|mut failure| SendFailure {
                unsent: failure.take_message(),
                error: Some(failure.into_error()),
            })),
            Poll::Pending if self.link.continued.load(Ordering::Relaxed) => {
                Poll::Ready(Err(SendFailure { error: None, unsent: None }))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// See [`Link::half_close`].
    pub(crate) fn half_close(&self) {
        self.link.half_close();
    }

    /// The connection, once the response's head is there.
    pub(crate) fn into_link(self) -> Box<Link> {
        self.link
    }
}

/// One start of the child: its address and the idle connections to it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    /// See [`crate::Upstream::prefix`].
    pub(crate) prefix: String,
    idle: Mutex<Vec<(Instant, Box<Link>)>>,
    /// The calls that ran over their time in this child, which counts them until it has been ended.
    overdue: Mutex<Vec<Ticket>>,
    overrun: Notify,
}

impl Endpoint {
    pub(crate) fn new(address: SocketAddr, prefix: String) -> Self {
        Endpoint { address, prefix, idle: Mutex::default(), overdue: Mutex::default(), overrun: Notify::new() }
    }

    /// A call ran over its time: the child is to be ended, and the call counts as running until it has been.
    pub(crate) fn condemn(&self, ticket: Ticket) {
        ticket.turn_away(self);
        self.overdue.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        self.overrun.notify_one();
    }

    /// Waits until the child is condemned.
    pub(crate) async fn condemned(&self) {
        self.overrun.notified().await;
    }

    /// The child has been ended, and with it the calls that ran over their time.
    pub(crate) fn bury(&self) {
        let overdue = std::mem::take(&mut *self.overdue.lock().unwrap_or_else(PoisonError::into_inner));
        drop(overdue);
    }

    /// An idle connection, or a new one.
    pub(crate) async fn link(&self) -> std::io::Result<Box<Link>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some((since, link)) if since.elapsed() < IDLE && link.is_open() => Ok(link),
            _ => Link::open(self.address).await,
        }
    }

    /// A new connection.
    pub(crate) async fn fresh(&self) -> std::io::Result<Box<Link>> {
        Link::open(self.address).await
    }

    /// Keeps a connection for the next request if it can carry one.
    pub(crate) fn give_back(&self, mut link: Box<Link>, context: &mut Context<'_>) {
        if !link.is_reusable() {
            link.drive(context);
        }
        if link.is_reusable() {
            link.used = true;
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), link));
        }
    }

    /// Closes what has been idle for too long. The last used are at the end.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let old = idle.partition_point(|(since, _)| since.elapsed() >= IDLE);
        drop(idle.drain(..old).collect::<Vec<_>>());
    }

    /// Whether somebody accepts connections there.
    pub(crate) async fn listens(address: SocketAddr) -> bool {
        matches!(tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await, Ok(Ok(_)))
    }
}
