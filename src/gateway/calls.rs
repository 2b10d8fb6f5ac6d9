//! `/async-function/`: takes a call in, keeps it with its body, answers 202 once both are on the disk.
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::io::AsyncWriteExt;

use super::answer::{self, Answer, Refused};
use super::invoke::{self, Stamp};
use super::queue::Queue;
use super::record::QueuedCall;

/// A body larger than this, in bytes, lies in a file of its own instead of in the database.
const INLINE: usize = 64 << 10;
const CALLBACK: HeaderName = HeaderName::from_static("x-callback-url");

/// `POST /async-function/NAME[.NAMESPACE][/PATH]`.
pub(super) async fn serve(queue: &Arc<Queue>, request: Request<Incoming>, peer: SocketAddr) -> Answer {
    let Some((called, path)) = invoke::target(request.uri(), "/async-function/") else {
        return Refused::missing("404 page not found").answer();
    };
    if request.method() != Method::POST {
        return Refused::method().answer();
    }
    let (mut parts, body) = request.into_parts();
    let stamp = Stamp::on(&mut parts.headers, &parts.uri, peer);
    match accept(queue, called, path, &parts.headers, body, &stamp).await {
        Ok(()) => {
            let mut accepted = answer::empty(StatusCode::ACCEPTED);
            stamp.mark(accepted.headers_mut());
            accepted
        }
        Err(refused) => refused.answer(),
    }
}

async fn accept(
    queue: &Arc<Queue>,
    called: String,
    path: String,
    headers: &HeaderMap,
    body: Incoming,
    stamp: &Stamp,
) -> Result<(), Refused> {
    let callback = match headers.get(CALLBACK) {
        None => None,
        Some(url) => Some(callback_url(url)?),
    };
    let number = queue.number();
    let file = queue.body_path(number);
    // Removed again unless the call is accepted, also when the client goes away.
    let file = tempfile::TempPath::try_from_path(file).map_err(|e| unkept(&e))?;
    let waits = headers.contains_key(http::header::EXPECT);
    let inline = keep_body(body, waits, &file, queue.body_limit()).await?;
    let call = QueuedCall {
        call_id: stamp.call_id.to_str().unwrap_or_default().to_owned(),
        called,
        path,
        headers: headers
            .iter()
            .filter(|(name, _)| **name != CALLBACK)
            .map(|(name, value)| (name.as_str().to_owned(), BASE64_STANDARD.encode(value)))
            .collect(),
        callback,
        accepted: jiff::Timestamp::now(),
        attempts: 0,
        body_in_file: inline.is_none(),
        failure: None,
    };
    // A task of its own: a client that goes away now must not part the call from its body.
    let queue = Arc::clone(queue);
    let accepting = tokio::spawn(async move {
        let in_file = call.body_in_file;
        queue.accept(number, call, inline).await?;
        if in_file {
            file.keep().map_err(|e| unkept(&e.error))?;
        }
        Ok(())
    });
    accepting.await.unwrap_or_else(|e| Err(unkept(&std::io::Error::other(e))))
}

fn unkept(error: &std::io::Error) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format_args!("the call can't be kept: {error}"))
}

fn callback_url(url: &HeaderValue) -> Result<String, Refused> {
    let text = url.to_str().unwrap_or_default();
    match url::Url::parse(text) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(text.to_owned()),
        _ => Err(Refused::bad(format_args!("X-Callback-Url `{text}` is no http or https URL"))),
    }
}

/// The body's bytes, or `None` when they are in the file. A client that `waits` to be asked for a body isn't asked for
/// one that is too large.
async fn keep_body(mut body: Incoming, waits: bool, file: &Path, limit: u64) -> Result<Option<Bytes>, Refused> {
    let too_large = || {
        Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format_args!("the body is larger than the queue takes ({limit} bytes)"),
        )
    };
    if body.size_hint().lower() > limit {
        if !waits {
            answer::discard(&mut body).await;
        }
        return Err(too_large());
    }
    let mut start = BytesMut::new();
    let mut rest: Option<tokio::fs::File> = None;
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refused::bad(format_args!("the body was cut: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len() as u64;
        if size > limit {
            answer::discard(&mut body).await;
            return Err(too_large());
        }
        if rest.is_none() && start.len() + data.len() > INLINE {
            let mut options = tokio::fs::OpenOptions::new();
            options.create(true).truncate(true).write(true).mode(0o600);
            let mut made = options.open(file).await.map_err(|e| unkept(&e))?;
            made.write_all(&start).await.map_err(|e| unkept(&e))?;
            rest = Some(made);
        }
        match &mut rest {
            Some(file) => file.write_all(&data).await.map_err(|e| unkept(&e))?,
            None => start.extend_from_slice(&data),
        }
    }
    let Some(mut file) = rest else { return Ok(Some(start.freeze())) };
    file.flush().await.map_err(|e| unkept(&e))?;
    file.sync_all().await.map_err(|e| unkept(&e))?;
    Ok(None)
}
