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
    client.relay()?.execute(request).await.map_err(|e| trouble::unanswered(client, &what, &e))
}

/// The answer's body; an error in it means that the answer was cut.
pub fn body(response: Response) -> Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>> {
    use futures_util::TryStreamExt;
    Box::pin(response.bytes_stream().map_err(|e| trouble::body_error(&e)))
}
