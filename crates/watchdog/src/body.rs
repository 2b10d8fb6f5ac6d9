//! Bodies: of requests on their way to the process, of responses on their way back.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::BoxError;
use crate::fork::Output;
use crate::link::{Endpoint, Link};
use crate::ticket::Ticket;

/// A time limit that was reached in the middle of a body.
#[derive(Debug, thiserror::Error)]
#[error("{0} reached")]
pub(crate) struct Expired(pub(crate) &'static str);

/// The name of the limit that a caller sets for itself.
pub(crate) const X_TIMEOUT: &str = "X-Timeout";

impl Expired {
    /// Whether only the caller's patience is over, and not the time that the function has.
    pub(crate) fn is_the_callers(&self) -> bool {
        self.0 == X_TIMEOUT
    }
}

/// A moment after which waiting ends. The timer is made when there is something to wait for, which is rare.
pub(crate) struct Deadline {
    at: Option<Instant>,
    name: &'static str,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn new(at: Option<Instant>, name: &'static str) -> Self {
        Deadline { at, name, sleep: None }
    }

    /// `since` plus `limit`, where a zero limit means none.
    pub(crate) fn after(since: Instant, limit: Duration, name: &'static str) -> Self {
        Deadline::new((!limit.is_zero()).then(|| since + limit), name)
    }

    /// Whether it comes before this time after `since`.
    pub(crate) fn is_after(&self, since: Instant, limit: Duration) -> bool {
        self.at.is_none_or(|at| since + limit < at)
    }

    /// To be called when there is nothing else to do.
    pub(crate) fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<Expired> {
        let Some(at) = self.at else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
        sleep.as_mut().poll(context).map(|()| Expired(self.name))
    }

    /// Runs a future until the deadline.
    pub(crate) async fn limit<F: Future>(&self, future: F) -> Result<F::Output, Expired> {
        match self.at {
            Some(at) => tokio::time::timeout_at(at.into(), future).await.map_err(|_| Expired(self.name)),
            None => Ok(future.await),
        }
    }
}

/// A request's body of whatever type, which must have arrived by its deadline.
pub(crate) enum RequestBody {
    Empty,
    Full(Option<Bytes>),
    Arriving { body: UnsyncBoxBody<Bytes, BoxError>, deadline: Deadline, stalled: Stalled },
}

/// Whether a request's body is what is being waited for: then the time that passes is not the function's.
#[derive(Clone, Default)]
pub(crate) struct Stalled(Option<Arc<AtomicBool>>);

impl Stalled {
    fn set(&self, stalled: bool) {
        if let Some(flag) = &self.0 {
            flag.store(stalled, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> bool {
        self.0.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }
}

impl RequestBody {
    pub(crate) fn new<B>(body: B, deadline: Deadline) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            RequestBody::Empty
        } else {
            let stalled = Stalled(Some(Arc::default()));
            RequestBody::Arriving { body: body.map_err(Into::into).boxed_unsync(), deadline, stalled }
        }
    }

    pub(crate) fn stalled(&self) -> Stalled {
        match self {
            RequestBody::Arriving { stalled, .. } => stalled.clone(),
            _ => Stalled::default(),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            RequestBody::Arriving { body, deadline, stalled } => {
                let frame = Pin::new(body).poll_frame(context);
                stalled.set(frame.is_pending());
                match frame {
                    Poll::Pending => deadline.poll_expired(context).map(|expired| Some(Err(expired.into()))),
                    ready => ready,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Full(bytes) => bytes.is_none(),
            RequestBody::Arriving { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            RequestBody::Arriving { body, .. } => body.size_hint(),
        }
    }
}

/// The body of a response. Dropped before its end, it ends the call: the connection to the child is closed, or the
/// request's process group killed.
pub struct Body(Source);

enum Source {
    Full(Option<Bytes>),
    Child(Box<Exchange>),
    Output(Box<Output>),
    File(UnsyncBoxBody<Bytes, BoxError>, Option<Ticket>),
}

impl Body {
    /// All of it at once.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Body(Source::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    pub(crate) fn child(exchange: Exchange) -> Self {
        Body(Source::Child(Box::new(exchange)))
    }

    pub(crate) fn output(output: Output) -> Self {
        Body(Source::Output(Box::new(output)))
    }

    pub(crate) fn file(body: UnsyncBoxBody<Bytes, BoxError>, ticket: Option<Ticket>) -> Self {
        Body(Source::File(body, ticket))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Source::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Child(exchange) => exchange.poll_frame(context),
            Source::Output(output) => output.poll_frame(context),
            Source::File(body, ticket) => {
                let frame = std::task::ready!(Pin::new(body).poll_frame(context));
                if let (Some(ticket), Some(Ok(frame))) = (ticket, &frame) {
                    ticket.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Full(bytes) => bytes.is_none(),
            Source::Child(exchange) => exchange.incoming.is_end_stream(),
            Source::Output(_) => false,
            Source::File(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Source::Child(exchange) => exchange.incoming.size_hint(),
            Source::Output(_) => SizeHint::default(),
            Source::File(body, _) => body.size_hint(),
        }
    }
}

/// A response of the child that is being read, with the connection it comes over.
pub(crate) struct Exchange {
    pub(crate) incoming: Incoming,
    /// `None` once the response is complete, and for a connection that has a task of its own.
    pub(crate) link: Option<Box<Link>>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) deadline: Deadline,
    pub(crate) stalled: Stalled,
    /// When something of it came last.
    pub(crate) heard: Instant,
    /// What it broke off with, while what came before that is still on its way.
    pub(crate) broken: Option<BoxError>,
}

impl Exchange {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        // With a link, frames are put into `incoming` by `drive` alone, so only `drive` needs the waker.
        let mut quiet = Context::from_waker(Waker::noop());
        let frame = match Pin::new(&mut self.incoming).poll_frame(&mut quiet) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let again = match &mut self.link {
                    Some(link) => {
                        link.drive(context);
                        Pin::new(&mut self.incoming).poll_frame(&mut quiet)
                    }
                    None => Pin::new(&mut self.incoming).poll_frame(context),
                };
                match again {
                    Poll::Ready(frame) => frame,
                    Poll::Pending => {
                        return self.deadline.poll_expired(context).map(|expired| Some(Err(self.expire(expired))));
                    }
                }
            }
        };
        match frame {
            Some(Ok(frame)) => {
                self.heard = Instant::now();
                if let (Some(ticket), Some(data)) = (&mut self.ticket, frame.data_ref()) {
                    ticket.bytes += data.len() as u64;
                }
                if self.incoming.is_end_stream() {
                    self.finish(context);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // hyper writes out what it has when there is no more for the moment, and drops it at an error.
                self.broken = Some(self.cut(error.into()));
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.finish(context);
                Poll::Ready(None)
            }
        }
    }

    /// The response is complete: its connection is free for the next request.
    fn finish(&mut self, context: &mut Context<'_>) {
        if let Some(link) = self.link.take() {
            self.endpoint.give_back(link, context);
        }
        self.ticket = None;
    }

    /// Over time. A response that was still coming learns it from its closed connection; a process that has said
    /// nothing for half of the time counts as stuck, and is replaced.
    fn expire(&mut self, expired: Expired) -> BoxError {
        let ticket = self.ticket.take_if(|ticket| {
            let silent = self.heard.elapsed() >= ticket.since.elapsed() / 2;
            silent && !expired.is_the_callers() && !self.stalled.get()
        });
        if let Some(ticket) = ticket {
            ticket.note(&format!("response cut off: {expired}"));
            self.endpoint.condemn(ticket);
        }
        self.cut(expired.into())
    }

    fn cut(&mut self, error: BoxError) -> BoxError {
        if let Some(ticket) = self.ticket.take() {
            ticket.note(&format!("response cut off: {error}"));
        }
        self.link = None;
        error
    }
}
