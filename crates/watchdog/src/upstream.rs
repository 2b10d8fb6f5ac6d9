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

use crate::Body;
use crate::body::{Deadline, Exchange, Expired, RequestBody};
use crate::failure::Failure;
use crate::headers::{DURATION, duration_value, prepare_request, remove_hop_by_hop};
use crate::invoker::{Shared, Ticket};
use crate::link::{Endpoint, Link, SendFailure};
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
    let mut request = Request::from_parts(parts, body);
    let mut fresh = false;
    loop {
        let connect = async { if fresh { endpoint.fresh().await } else { endpoint.link().await } };
        let mut link = match deadline.limit(connect).await.map_err(|expired| Failure::timeout(expired.0))? {
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
        match deadline.limit(link.send(request)).await.map_err(|expired| Failure::timeout(expired.0))? {
            Ok(response) => return Ok(answer(response, link, endpoint, ticket, deadline)),
            Err(SendFailure { unsent: Some(unsent), .. }) if used || Instant::now() < patience => {
                if !used {
                    tokio::time::sleep(PAUSE).await;
                }
                request = unsent;
            }
            Err(SendFailure { .. }) if used && let Some(head) = &spare => {
                request = Request::from_parts(head.clone(), RequestBody::Empty);
            }
            Err(SendFailure { error, .. }) => {
                drop(link);
                let failure = explain(&error);
                if failure.status == StatusCode::BAD_GATEWAY {
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
    link: Box<Link>,
    endpoint: Arc<Endpoint>,
    ticket: &mut Option<Ticket>,
    deadline: Deadline,
) -> Response<Body> {
    let (mut parts, incoming) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    parts.version = http::Version::HTTP_11;
    let mut ticket = ticket.take();
    if let Some(ticket) = &mut ticket {
        ticket.code = parts.status.as_u16();
        parts.headers.insert(DURATION, duration_value(ticket.since));
    }
    if incoming.is_end_stream() {
        endpoint.give_back(link, &mut Context::from_waker(Waker::noop()));
        return Response::from_parts(parts, Body::full(Bytes::new()));
    }
    Response::from_parts(parts, Body::child(Exchange { incoming, link: Some(link), endpoint, ticket, deadline }))
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
    Failure::broken(format!("the function's process broke off: {error}{cause}"))
}

/// What a path of the child answers to a GET; 503 when it doesn't answer.
pub(crate) async fn probe(endpoint: &Endpoint, path: &str) -> StatusCode {
    let target = format!("{}/{}", endpoint.prefix, path.trim_start_matches('/'));
    let request = Request::get(target).header(HOST, endpoint.address.to_string()).body(RequestBody::Empty);
    let Ok(request) = request else { return StatusCode::INTERNAL_SERVER_ERROR };
    let ask = async {
        let mut link = endpoint.fresh().await.ok()?;
        link.send(request).await.ok().map(|response| response.status())
    };
    tokio::time::timeout(PROBE_TIMEOUT, ask).await.ok().flatten().unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}
