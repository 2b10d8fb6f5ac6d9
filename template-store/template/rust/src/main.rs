//! The HTTP server around function::handle: Rust's shim between the invoker and the user's function.
use std::any::Any;
use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{HeaderValue, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::signal::unix::{signal, SignalKind};

/// As large as the invoker takes them.
const MAX_HEAD: usize = 1 << 20;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

type Answer = Response<UnsyncBoxBody<Bytes, String>>;
type Serving = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Answering = Pin<Box<dyn Future<Output = Result<Answer, String>> + Send>>;

/// A function of one of the shapes that `handle` may have; `Shape` tells them apart.
trait Handler<Shape>: Copy + Send + Sync + 'static {
    fn call(self, request: Request<Bytes>) -> Answering;

    /// A web server of its own, running; `None` when it answers requests.
    fn serving(self) -> Option<Serving> {
        None
    }
}

/// `async fn handle() -> Result<(), impl Display>`: a web server of its own.
impl<F, A, E> Handler<fn() -> (A, E)> for F
where
    F: Fn() -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Debug,
{
    fn call(self, _: Request<Bytes>) -> Answering {
        Box::pin(async { Err("it is a web server of its own".into()) })
    }

    fn serving(self) -> Option<Serving> {
        Some(Box::pin(async move { self().await.map_err(|error| error.to_string()) }))
    }
}

/// `async fn handle(Request<Bytes>) -> Result<Response<impl Body>, impl Display>`
impl<F, A, B, E> Handler<fn(A) -> (B, E)> for F
where
    F: Fn(Request<Bytes>) -> A + Copy + Send + Sync + 'static,
    A: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Display,
    E: Display + Debug,
{
    fn call(self, request: Request<Bytes>) -> Answering {
        Box::pin(async move { answer(self(request).await) })
    }
}

/// `fn handle(Request<Bytes>) -> Result<Response<impl Body>, impl Display>`
impl<F, B, E> Handler<(Request<Bytes>, B, E)> for F
where
    F: Fn(Request<Bytes>) -> Result<Response<B>, E> + Copy + Send + Sync + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Display,
    E: Display + Debug,
{
    fn call(self, request: Request<Bytes>) -> Answering {
        Box::pin(blocking(move || answer(self(request))))
    }
}

/// `fn handle(String) -> Result<String, impl Display>`
impl<F, E> Handler<(String, E)> for F
where
    F: Fn(String) -> Result<String, E> + Copy + Send + Sync + 'static,
    E: Display + Debug,
{
    fn call(self, request: Request<Bytes>) -> Answering {
        let text = String::from_utf8_lossy(request.body()).into_owned();
        Box::pin(blocking(move || answer(self(text).map(Response::new))))
    }
}

/// Runs what may block on a thread of its own.
async fn blocking(work: impl FnOnce() -> Result<Answer, String> + Send + 'static) -> Result<Answer, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn answer<B, E>(result: Result<Response<B>, E>) -> Result<Answer, String>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Display,
    E: Display + Debug,
{
    match result {
        Ok(response) => {
            let (mut head, body) = response.into_parts();
            if head.status.is_informational() {
                let message = format!("the status {} is none that an answer can have: 200 to 999 are", head.status.as_u16());
                eprintln!("{message}");
                return Err(message);
            }
            head.headers.entry(CONTENT_TYPE).or_insert(TEXT);
            Ok(Response::from_parts(head, body.map_err(|error| error.to_string()).boxed_unsync()))
        }
        Err(error) => {
            eprintln!("{error:?}");
            Err(error.to_string())
        }
    }
}

fn failed(status: StatusCode, message: &str) -> Answer {
    let body = Full::new(Bytes::from(format!("{message}\n"))).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

async fn one<S: 'static>(handler: impl Handler<S>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(failed(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    // A task of its own, so that a panic ends the request and nothing else.
    let answering = handler.call(Request::from_parts(head, body));
    Ok(match tokio::spawn(answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(message)) => failed(StatusCode::INTERNAL_SERVER_ERROR, &message),
        Err(error) => {
            let message = format!("panic: {}", said(&*error.into_panic()));
            failed(StatusCode::INTERNAL_SERVER_ERROR, &message)
        }
    })
}

async fn serve<S: 'static>(handler: impl Handler<S>, port: u16) -> std::io::Result<()> {
    if let Some(serving) = handler.serving() {
        return serving.await.map_err(std::io::Error::other);
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let open = GracefulShutdown::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    eprintln!("can't take a connection: {error}");
                    continue;
                }
            },
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
        };
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| one(handler, request));
        let connection = http1::Builder::new().timer(TokioTimer::new()).max_buf_size(MAX_HEAD).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(open.watch(connection));
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(5000);
    serve(function::handle, port).await
}
