//! Calls of functions: bodies are streams both ways, and any status is an answer.
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, header};
use reqwest::Response;

use super::{Client, address, trouble};
use crate::error::{Fault, OrFault, Result};

/// A call of a function.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path below the function, starting with `/`, query included; `/` for none.
    pub path: String,
    /// Headers, repeated ones kept.
    pub headers: HeaderMap,
    /// The body.
    pub body: Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>,
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
    let mut builder = client.relay()?.request(request.method, url).headers(headers);
    if sends_body {
        builder = builder.body(reqwest::Body::wrap_stream(request.body));
    } else {
        builder = builder.body("");
    }
    if let Some(timeout) = request.timeout {
        builder = builder.timeout(timeout);
    }
    let what = format!("can't call {function}");
    let request = builder.build().or_fault(|| what.clone())?;
    let (shown, started) = (told(&request), std::time::Instant::now());
    let answered = client.relay()?.execute(request).await;
    if let Some(shown) = shown {
        let status = answered.as_ref().map_or_else(|_| "no answer".into(), |answer| answer.status().to_string());
        tracing::debug!("{shown}: {status} after {:.0?}", started.elapsed());
    }
    answered.map_err(|e| trouble::unanswered(client, &what, &e))
}

/// The request in a line, its headers without what lets the caller in; `None` when nobody reads it.
#[must_use]
pub fn told(request: &reqwest::Request) -> Option<String> {
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

/// The answer's body; an error in it means that the answer was cut.
pub fn body(response: Response) -> Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>> {
    use futures_util::TryStreamExt;
    Box::pin(response.bytes_stream().map_err(|e| trouble::body_error(&e)))
}
