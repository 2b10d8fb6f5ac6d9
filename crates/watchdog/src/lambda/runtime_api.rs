//! The client of Lambda's Runtime API: one connection on loopback, kept.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faas_watchdog::BoxError;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRAILER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

const PREFIX: &str = "/2018-06-01/runtime";

/// How a streamed answer says that it broke off.
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";

/// What is sent: an answer at hand, or one that is still being made.
type Outgoing = UnsyncBoxBody<Bytes, BoxError>;

/// A call.
pub struct Invocation {
    /// What Lambda calls it.
    pub id: String,
    /// When it must be done, in milliseconds since 1970.
    pub deadline: Option<u64>,
    /// X-Ray's id.
    pub trace: Option<String>,
    /// The event.
    pub payload: Bytes,
}

/// The Runtime API.
pub struct RuntimeApi {
    address: String,
    connection: Option<SendRequest<Outgoing>>,
}

impl RuntimeApi {
    /// At an address like `127.0.0.1:9001`. Nothing is connected yet.
    pub fn new(address: &str) -> Self {
        RuntimeApi { address: address.to_owned(), connection: None }
    }

    /// Waits for the next call.
    pub async fn next(&mut self) -> Result<Invocation, BoxError> {
        let response = self.send(Method::GET, "/invocation/next", Bytes::new(), &[]).await?;
        let text = |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let (parts, body) = response.into_parts();
        let headers = parts.headers;
        let id = text(&headers, "lambda-runtime-aws-request-id").ok_or("the Runtime API named no request id")?;
        let deadline = text(&headers, "lambda-runtime-deadline-ms").and_then(|time| time.parse().ok());
        let trace = text(&headers, "lambda-runtime-trace-id");
        Ok(Invocation { id, deadline, trace, payload: body })
    }

    /// Answers a call.
    pub async fn answer(&mut self, id: &str, answer: Bytes) -> Result<(), BoxError> {
        let response = self.send(Method::POST, &format!("/invocation/{id}/response"), answer, &[]).await?;
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return self.error(id, "Function.ResponseSizeTooLarge", "the answer is over 6 MB").await;
        }
        Ok(())
    }

    /// Answers a call piece by piece: `head` comes before the body, as [`super::event::Event::prelude`] writes it.
    pub async fn stream<B>(&mut self, id: &str, head: Bytes, body: B) -> Result<(), BoxError>
    where
        B: Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
    {
        let body = Streamed { head: Some(head), body: Some(body) }.boxed_unsync();
        let more = [
            ("lambda-runtime-function-response-mode", "streaming"),
            (CONTENT_TYPE.as_str(), "application/vnd.awslambda.http-integration-response"),
            (TRAILER.as_str(), "lambda-runtime-function-error-type, lambda-runtime-function-error-body"),
        ];
        self.pass(Method::POST, &format!("/invocation/{id}/response"), body, &more).await.map(|_| ())
    }

    /// Says that a call failed.
    pub async fn error(&mut self, id: &str, of: &str, message: &str) -> Result<(), BoxError> {
        self.tell(&format!("/invocation/{id}/error"), of, message).await
    }

    /// Says that the function can't be started.
    pub async fn init_error(&mut self, of: &str, message: &str) -> Result<(), BoxError> {
        self.tell("/init/error", of, message).await
    }

    async fn tell(&mut self, path: &str, of: &str, message: &str) -> Result<(), BoxError> {
        let body = json!({"errorType": of, "errorMessage": message, "stackTrace": []}).to_string();
        let kind = [(ERROR_TYPE, of)];
        self.send(Method::POST, path, body.into(), &kind).await.map(|_| ())
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        more: &[(&str, &str)],
    ) -> Result<Response<Bytes>, BoxError> {
        let length = body.len().to_string();
        let mut all = vec![(CONTENT_TYPE.as_str(), "application/json"), (CONTENT_LENGTH.as_str(), &length)];
        all.extend_from_slice(more);
        self.pass(method, path, Full::new(body).map_err(|never| match never {}).boxed_unsync(), &all).await
    }

    async fn pass(
        &mut self,
        method: Method,
        path: &str,
        body: Outgoing,
        headers: &[(&str, &str)],
    ) -> Result<Response<Bytes>, BoxError> {
        let failed = |error: BoxError| format!("the Runtime API at {} does not answer: {error}", self.address);
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => connect(&self.address).await.map_err(failed)?,
        };
        let mut request = Request::builder().method(method).uri(format!("{PREFIX}{path}")).header(HOST, &self.address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        connection.ready().await?;
        let response = connection.send_request(request.body(body)?).await.map_err(|e| failed(e.into()))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| failed(e.into()))?.to_bytes();
        self.connection = Some(connection);
        let status = parts.status;
        if status.is_success() || status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(Response::from_parts(parts, body));
        }
        Err(format!("the Runtime API answered {status} to {path}: {}", String::from_utf8_lossy(&body)).into())
    }
}

/// A head and the body after it. That the body broke off is told in trailers.
struct Streamed<B> {
    head: Option<Bytes>,
    body: Option<B>,
}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin> Body for Streamed<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        loop {
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            match Pin::new(body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => self.body = None,
                Poll::Ready(Some(Err(error))) => {
                    self.body = None;
                    let body = json!({"errorType": "AnswerCut", "errorMessage": error.to_string()}).to_string();
                    let body = STANDARD.encode(body);
                    let mut trailers = HeaderMap::new();
                    trailers.insert(ERROR_TYPE, HeaderValue::from_static("AnswerCut"));
                    trailers.insert(ERROR_BODY, HeaderValue::try_from(body)?);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
    }
}

async fn connect(address: &str) -> Result<SendRequest<Outgoing>, BoxError> {
    // The API listens before any runtime is started; this is for emulators that don't.
    let mut tries = 0;
    let socket = loop {
        match TcpStream::connect(address).await {
            Ok(socket) => break socket,
            Err(error) if tries == 20 => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
        tries += 1;
    };
    socket.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
