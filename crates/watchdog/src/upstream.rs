//! http mode: a call goes over a kept-alive connection to the child.

use std::error::Error as _;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::runtime::Handle;

use crate::Body;
use crate::body::{Deadline, Exchange, Expired, RequestBody, Stalled};
use crate::failure::Failure;
use crate::headers::{DURATION, duration_value, prepare_request, remove_hop_by_hop};
use crate::invoker::{Shared, own_deadline};
use crate::link::{Endpoint, Link, SendFailure, Sending};
use crate::ticket::Ticket;
use crate::tunnel;

/// Between two looks at a child that refuses connections.
const PAUSE: Duration = Duration::from_millis(20);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Passes a request on and its response back. The ticket is taken when the response's body still has to come.
pub(crate) async fn call(
    shared: &Shared,
    mut parts: Parts,
    mut body: RequestBody,
    ticket: &mut Option<Ticket>,
    deadline: Deadline,
) -> Result<Response<Body>, Failure> {
    if shared.config.buffer_body && !body.is_end_stream() {
        let bytes = collect(body).await?;
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        body = RequestBody::Full(Some(bytes));
    }
    let patience = Instant::now() + shared.config.start_wait;
    let wait = async { shared.endpoint(patience).await };
    let mut endpoint = deadline.limit(wait).await.map_err(|expired| Failure::timeout(expired.0))??;
    if tunnel::asked_for(&parts.headers) {
        return tunnel::open(endpoint, parts, ticket, deadline).await;
    }
    prepare_request(&mut parts, &endpoint.prefix);
    // A request that may be sent twice (RFC 9110 §9.2.2), should a kept-alive connection break before it is answered.
    let repeatable = body.is_end_stream() && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let spare = repeatable.then(|| parts.clone());
    let stalled = body.stalled();
    let mut request = Request::from_parts(parts, body);
    let mut fresh = false;
    loop {
        let connect = async { if fresh { endpoint.fresh().await } else { endpoint.link().await } };
        let link = match deadline.limit(connect).await.map_err(|expired| overran(&endpoint, ticket, &expired))? {
            Ok(link) => link,
            Err(error) if Instant::now() < patience => {
                // The child has just gone, which its supervisor will notice, or its listener is busy.
                let pause = async {
                    tokio::time::sleep(PAUSE).await;
                    shared.endpoint(patience).await
                };
                endpoint =
                    deadline.limit(pause).await.map_err(|expired| Failure::timeout(expired.0))?.map_err(|failure| {
                        failure.because(format!("can't connect to {}: {error}", endpoint.address))
                    })?;
                continue;
            }
            Err(error) => return Err(Failure::broken(format!("can't connect to {}: {error}", endpoint.address))),
        };
        let used = link.used;
        let mut call = UnderWay {
            sending: Some(link.send(request)),
            own: ticket.as_ref().map(|ticket| own_deadline(&shared.config, ticket.since)),
            endpoint: &endpoint,
            ticket,
            stalled: &stalled,
        };
        let answered = deadline.limit(call.answer()).await.map_err(|expired| call.expire(&expired))?;
        let link = call.end();
        drop(call);
        match answered {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(Failure::no_http("the function answered 101, and nobody had asked for another protocol"));
            }
            Ok(response) => {
                return Ok(answer(response, link, endpoint, ticket, deadline, stalled));
            }
            Err(SendFailure { error: None, .. }) => {
                return Err(Failure::no_http("the function answered 100, and nobody had asked whether to go on"));
            }
            Err(SendFailure { unsent: Some(unsent), .. }) if used || Instant::now() < patience => {
                if !used {
                    tokio::time::sleep(PAUSE).await;
                }
                request = unsent;
            }
            Err(SendFailure { error: Some(error), .. })
                if used
                    && !error.is_parse()
                    && let Some(head) = &spare =>
            {
                request = Request::from_parts(head.clone(), RequestBody::Empty);
            }
            Err(SendFailure { error: Some(error), .. }) => {
                let failure = explain(&error);
                if failure.status == StatusCode::BAD_GATEWAY && !error.is_parse() {
                    shared.until_noticed(&endpoint).await;
                }
                return Err(failure);
            }
        }
        // The other idle connections are as old as this one was.
        fresh = true;
    }
}

fn answer(
    response: Response<Incoming>,
    link: Option<Box<Link>>,
    endpoint: Arc<Endpoint>,
    ticket: &mut Option<Ticket>,
    deadline: Deadline,
    stalled: Stalled,
) -> Response<Body> {
    let (mut parts, incoming) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    parts.version = http::Version::HTTP_11;
    let mut ticket = ticket.take();
    if let Some(ticket) = &mut ticket {
        ticket.answered(parts.status, None);
        parts.headers.insert(DURATION, duration_value(ticket.since));
    }
    if incoming.is_end_stream() {
        if let Some(link) = link {
            endpoint.give_back(link, &mut Context::from_waker(Waker::noop()));
        }
        return Response::from_parts(parts, Body::full(Bytes::new()));
    }
    let heard = Instant::now();
    let exchange = Exchange { incoming, link, endpoint, ticket, deadline, stalled, heard, broken: None };
    Response::from_parts(parts, Body::child(exchange))
}

/// A call that the child has, until the head of its response is there. Dropped before that, because its caller has
/// gone or doesn't want to wait any longer, the call still counts until the child is done with it or is ended for it.
struct UnderWay<'a> {
    sending: Option<Sending>,
    /// When the function's own time for it is over.
    own: Option<Deadline>,
    endpoint: &'a Arc<Endpoint>,
    ticket: &'a mut Option<Ticket>,
    stalled: &'a Stalled,
}

impl UnderWay<'_> {
    async fn answer(&mut self) -> Result<Response<Incoming>, SendFailure> {
        match &mut self.sending {
            Some(sending) => sending.answer().await,
            None => std::future::pending().await,
        }
    }

    /// The child has answered.
    fn end(&mut self) -> Option<Box<Link>> {
        self.sending.take().map(Sending::into_link)
    }

    fn expire(&mut self, expired: &Expired) -> Failure {
        if expired.is_the_callers() || self.stalled.get() {
            return Failure::timeout(expired.0);
        }
        self.sending = None;
        overran(self.endpoint, self.ticket, expired)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // A caller that goes away in the middle of its request breaks off what the child reads: the child sees that.
        if self.stalled.get() {
            return;
        }
        let (Some(mut sending), Some(own), Ok(runtime)) = (self.sending.take(), self.own.take(), Handle::try_current())
        else {
            return;
        };
        let mut ticket = self.ticket.take();
        let endpoint = self.endpoint.clone();
        sending.half_close();
        runtime.spawn(async move {
            if let Err(expired) = own.limit(sending.answer()).await {
                overran(&endpoint, &mut ticket, &expired);
            }
        });
    }
}

/// A call ran over its time: the child is to be ended for it, unless it was only the caller's time.
pub(crate) fn overran(endpoint: &Endpoint, ticket: &mut Option<Ticket>, expired: &Expired) -> Failure {
    let failure = Failure::timeout(expired.0);
    if !expired.is_the_callers()
        && let Some(mut ticket) = ticket.take()
    {
        ticket.answered(failure.status, None);
        ticket.note(&format!("{expired}: answered {}", failure.status.as_u16()));
        endpoint.condemn(ticket);
    }
    failure
}

/// Reads a whole request.
pub(crate) async fn collect(body: RequestBody) -> Result<Bytes, Failure> {
    body.collect().await.map(http_body_util::Collected::to_bytes).map_err(|error| request_failure(&*error))
}

/// The request did not arrive: too slow, or the caller went away.
pub(crate) fn request_failure(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(expired) = error.downcast_ref::<Expired>() {
            return Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the request did not arrive within {}", expired.0),
            )
            .because(expired.to_string());
        }
        cause = error.source();
    }
    Failure::new(StatusCode::BAD_REQUEST, "the request broke off").because(format!("the request broke off: {error}"))
}

pub(crate) fn explain(error: &hyper::Error) -> Failure {
    if error.is_user() || error.is_body_write_aborted() {
        return request_failure(error);
    }
    let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
    if error.is_parse() {
        return Failure::no_http(format!("the function answered what is no HTTP: {error}{cause}"));
    }
    Failure::broken(format!("the function's process broke off: {error}{cause}"))
}

/// What a path of the child answers to a GET; 503 when it doesn't answer.
pub(crate) async fn probe(endpoint: &Endpoint, path: &str) -> StatusCode {
    let target = format!("{}/{}", endpoint.prefix, path.trim_start_matches('/'));
    let request = Request::get(target).header(HOST, endpoint.address.to_string()).body(RequestBody::Empty);
    let Ok(request) = request else { return StatusCode::INTERNAL_SERVER_ERROR };
    let ask = async {
        let link = endpoint.fresh().await.ok()?;
        link.send(request).answer().await.ok().map(|response| response.status())
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.ok().flatten().unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}
