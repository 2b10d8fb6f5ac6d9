//! One client's connection: HTTP/1.1, or HTTP/2 when it begins with that; ended in time when the server stops.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HeaderMap, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::patient::Patient;
use crate::serve::{ReplyBody, To};

/// The largest request head, as of-watchdog has it.
const MAX_HEAD: usize = 1 << 20;
/// How a client says that it speaks HTTP/2 without having asked.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A client that begins like the preface and then waits is looked at again after this time.
const AGAIN: Duration = Duration::from_millis(20);
/// How long a connection without a call under way may live on once the server stops: for what was written last, and
/// for a head that is just arriving.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// An HTTP/2 client that has gone without a word is noticed by this.
const PING: Duration = Duration::from_secs(20);

/// What a connection may take.
#[derive(Clone, Copy)]
pub struct Limits {
    /// The longest the client may take to send a head, or to be idle; zero: for ever.
    pub read: Duration,
    /// The longest the client may take nothing of what is written to it; zero: for ever.
    pub write: Duration,
}

impl Limits {
    fn read(self) -> Option<Duration> {
        Some(self.read).filter(|limit| !limit.is_zero())
    }
}

/// Serves one connection until its end, or until `last` says that no more calls are taken: then until the calls that
/// are under way have been answered.
pub async fn serve(socket: TcpStream, limits: Limits, mut last: watch::Receiver<bool>, to: To) {
    let _ = socket.set_nodelay(true);
    let first = async {
        match limits.read() {
            Some(limit) => tokio::time::timeout(limit, speaks_http2(&socket)).await.ok(),
            None => Some(speaks_http2(&socket).await),
        }
    };
    let http2 = tokio::select! {
        first = first => first,
        // Nothing has been asked yet.
        _ = last.changed() => None,
    };
    let Some(http2) = http2 else { return };
    let under_way = Arc::<AtomicUsize>::default();
    let count = under_way.clone();
    let socket = Patient::new(socket, limits.write);
    if http2 {
        let service = service_fn(move |mut request: Request<Incoming>| {
            join_cookies(request.headers_mut());
            counted(&count, to.clone(), request)
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_header_list_size(MAX_HEAD as u32);
        builder.keep_alive_interval(Some(PING)).keep_alive_timeout(PING);
        let mut connection = std::pin::pin!(builder.serve_connection(socket, service));
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = last.changed() => {}
            () = idle(limits.read(), &under_way) => {}
        }
        connection.as_mut().graceful_shutdown();
        end(connection, &under_way).await;
    } else {
        let service = service_fn(move |request| counted(&count, to.clone(), request));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(limits.read()).max_buf_size(MAX_HEAD);
        let mut connection = std::pin::pin!(builder.serve_connection(socket, service).with_upgrades());
        // Its errors are the client's: gone, too slow, no HTTP. hyper has answered what can be answered.
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = last.changed() => {}
        }
        connection.as_mut().graceful_shutdown();
        end(connection, &under_way).await;
    }
}

/// Waits for a connection whose last call has begun. One that has none under way has nothing more to say.
async fn end<C: Future>(mut connection: Pin<&mut C>, under_way: &AtomicUsize) {
    while tokio::time::timeout(LAST_WORDS, connection.as_mut()).await.is_err() {
        if under_way.load(Ordering::Acquire) == 0 {
            return;
        }
    }
}

/// Whether the client begins with HTTP/2's preface. Nothing is taken from the socket.
async fn speaks_http2(socket: &TcpStream) -> bool {
    let mut start = [0; PREFACE.len()];
    loop {
        match socket.peek(&mut start).await {
            Ok(count) if count == PREFACE.len() && start == *PREFACE => return true,
            Ok(count) if count > 0 && PREFACE.starts_with(&start[..count]) => tokio::time::sleep(AGAIN).await,
            _ => return false,
        }
    }
}

/// Ends when a connection had no call for this time. HTTP/1.1's own timer sees to that by itself.
async fn idle(limit: Option<Duration>, under_way: &AtomicUsize) {
    let Some(limit) = limit else { return std::future::pending().await };
    let mut looks = 0;
    while looks < 2 {
        tokio::time::sleep(limit / 2).await;
        looks = if under_way.load(Ordering::Acquire) == 0 { looks + 1 } else { 0 };
    }
}

/// HTTP/2 may cut cookies into several headers; before HTTP/1.1 sees them they are one again (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (all.next(), all.next()) {
        let pieces: Vec<&[u8]> = [first, second].into_iter().chain(all).map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// Counts a call from its head to its answer's last byte.
fn counted(
    count: &Arc<AtomicUsize>,
    to: To,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Counted<ReplyBody>>, Infallible>> + Send + use<> {
    count.fetch_add(1, Ordering::AcqRel);
    let guard = Guard(count.clone());
    async move { Ok(to.answer(request).await.map(|body| Counted { body, _guard: guard })) }
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A body that is counted until it is dropped.
struct Counted<B> {
    body: B,
    _guard: Guard,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
