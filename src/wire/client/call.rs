//! Calls of functions: bodies are streams both ways, and any status is an answer.
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::Response;
use url::Url;

use super::{Client, address, trouble};
use crate::error::{Fault, OrFault, Result};

/// Of a body so much is kept while it is sent, for a redirect that wants it again.
const MOST_KEPT: usize = 1 << 20;

type Stream = Pin<Box<dyn futures_util::Stream<Item = std::io::Result<Bytes>> + Send>>;

/// A call of a function.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path below the function, starting with `/`, query included; `/` for none.
    pub path: String,
    /// Headers, repeated ones kept.
    pub headers: HeaderMap,
    /// The body.
    pub body: Stream,
    /// The body's length in bytes, when known before; without it the body is sent in chunks.
    pub length: Option<u64>,
    /// Give up after this long.
    pub timeout: Option<Duration>,
}

/// Sends it. No login goes with it: OpenFaaS wants none here, and the function would see it.
///
/// # Errors
/// When no answer came.
pub async fn send(client: &Client, function: &str, asynchronous: bool, request: Request) -> Result<Response> {
    let route = if asynchronous { "async-function" } else { "function" };
    let mut url = address::below(&client.base, &[route, function])?;
    let (path, query) = request.path.split_once('?').map_or((request.path.as_str(), None), |(p, q)| (p, Some(q)));
    let segments = path.trim_start_matches('/');
    if segments.split('/').any(|s| matches!(s.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")) {
        return Err(Fault::usage(format!("the path `{path}` leads out of the function")));
    }
    if !segments.is_empty() {
        url.set_path(&format!("{}/{segments}", url.path()));
    }
    url.set_query(query);

    let mut headers = request.headers;
    let sends_body = request.length != Some(0);
    // A method that may have a body says so when it has none, else the server may wait for one.
    let may_have_body = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    if let Some(length) = request.length.filter(|_| sends_body || may_have_body) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let what = format!("can't call {function}");
    let send = async |url: Url, headers: HeaderMap, body: reqwest::Body| {
        let mut builder = client.relay()?.request(request.method.clone(), url).headers(headers).body(body);
        if let Some(timeout) = request.timeout {
            builder = builder.timeout(timeout);
        }
        let request = builder.build().or_fault(|| what.clone())?;
        executed(client.relay()?, request).await.map_err(|e| trouble::unanswered(client, &what, &e))
    };
    if !sends_body {
        return send(url, headers, "".into()).await;
    }
    let sent = Kept::new(request.body);
    let response = send(url, headers.clone(), reqwest::Body::wrap_stream(sent.stream())).await?;
    // All other redirects are followed already, and so are these where there is no body.
    let Some(to) = redirect(client, &response) else { return Ok(response) };
    let Some(bytes) = sent.whole().await else {
        return Err(Fault::failed(format!("{what}: the gateway at {} redirects to {to}", client.address()))
            .cause(format!("a body of more than {} MiB is sent as it comes, and can't be sent again", MOST_KEPT >> 20))
            .hint("give the address behind the redirect as the gateway, with -g or OPENFAAS_URL"));
    };
    headers.remove(header::CONTENT_LENGTH);
    if to.origin() != response.url().origin() {
        for private in [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION] {
            headers.remove(private);
        }
    }
    send(to, headers, bytes.into()).await
}

/// Sends the request of a call, and tells whoever reads it.
///
/// # Errors
/// When no answer came.
pub async fn executed(client: &reqwest::Client, request: reqwest::Request) -> reqwest::Result<Response> {
    let (shown, started) = (told(&request), std::time::Instant::now());
    let answered = client.execute(request).await;
    if let Some(shown) = shown {
        let status = answered.as_ref().map_or_else(|_| "no answer".into(), |answer| answer.status().to_string());
        tracing::debug!("{shown}: {status} after {:.0?}", started.elapsed());
    }
    answered
}

/// The request in a line, its headers without what lets the caller in; `None` when nobody reads it.
fn told(request: &reqwest::Request) -> Option<String> {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return None;
    }
    let secret = |name: &str| ["auth", "token", "key", "secret", "cookie", "password"].iter().any(|w| name.contains(w));
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        let hidden = value.is_sensitive() || secret(name.as_str());
        let value = if hidden { "[left out]".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        format!("{name}: {value}")
    };
    let headers: Vec<String> = request.headers().iter().map(header).collect();
    let (method, url) = (request.method(), request.url());
    Some(if headers.is_empty() {
        format!("{method} {url}")
    } else {
        format!("{method} {url} ({})", headers.join(", "))
    })
}

/// Where a response wants the same body sent to.
fn redirect(client: &Client, response: &Response) -> Option<Url> {
    if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return None;
    }
    let to = response.url().join(response.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    client.may_follow(&to).then_some(to)
}

/// A body that is sent as it comes, and of which what has been sent is kept as long as it is small.
#[derive(Clone)]
struct Kept(Arc<Mutex<Body>>);

/// What is still to come of a body, and what came, as long as that is kept.
type Body = (Option<Stream>, Option<Vec<u8>>);

impl Kept {
    fn new(body: Stream) -> Self {
        Self(Arc::new(Mutex::new((Some(body), Some(Vec::new())))))
    }

    fn stream(&self) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        let kept = self.clone();
        futures_util::stream::poll_fn(move |context| {
            let mut guard = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (body, bytes) = &mut *guard;
            let Some(body) = body else { return Poll::Ready(None) };
            let piece = std::task::ready!(body.as_mut().poll_next(context));
            match &piece {
                Some(Ok(piece)) => keep(bytes, piece),
                Some(Err(_)) => *bytes = None,
                None => {}
            }
            Poll::Ready(piece)
        })
    }

    /// All of it, what was not sent yet, too; `None` when that is too much.
    async fn whole(&self) -> Option<Vec<u8>> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut body, mut bytes) = (taken.0?, taken.1);
        while bytes.is_some() {
            match body.next().await {
                Some(piece) => keep(&mut bytes, &piece.ok()?),
                None => return bytes,
            }
        }
        None
    }
}

fn keep(bytes: &mut Option<Vec<u8>>, piece: &Bytes) {
    match bytes {
        Some(kept) if kept.len() + piece.len() <= MOST_KEPT => kept.extend_from_slice(piece),
        _ => *bytes = None,
    }
}

/// The answer's body; an error in it means that the answer was cut.
pub fn body(response: Response) -> Stream {
    use futures_util::TryStreamExt;
    Box::pin(response.bytes_stream().map_err(|e| trouble::body_error(&e)))
}
