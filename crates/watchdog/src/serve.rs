//! The HTTP server of the binary: the function's requests, the probes, the metrics; from start to SIGTERM.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faas_watchdog::{BoxError, Error, Invoker, LogSink, Mode, Settings, ambiguous};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::connection::{self, Limits};
use crate::console::Console;

/// What a reader of metrics may take to ask and to listen.
const SCRAPE: Duration = Duration::from_secs(5);

/// The body of an answer: our own, or the function's.
pub type ReplyBody = Either<Full<Bytes>, faas_watchdog::Body>;
type Reply = Response<ReplyBody>;

/// Whom a port leads to. One type for both ports: the two protocols are in the binary once.
#[derive(Clone)]
pub enum To {
    /// The function, the probes, the metrics.
    Function(Arc<Server>),
    /// The metrics alone.
    Metrics(Arc<Server>),
}

impl To {
    /// The answer to a request.
    pub async fn answer(self, request: Request<Incoming>) -> Reply {
        match self {
            To::Function(server) => answer(server, request).await,
            To::Metrics(server) if request.uri().path() == "/metrics" => metrics(&server.invoker),
            To::Metrics(_) => text(StatusCode::NOT_FOUND, ""),
        }
    }
}

/// What the connections share.
pub struct Server {
    invoker: Arc<Invoker>,
    settings: Settings,
    log: Arc<dyn LogSink>,
    /// SIGTERM has come.
    closing: AtomicBool,
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(settings: Settings) -> ExitCode {
    let log: Arc<dyn LogSink> = Arc::new(Console { prefix: settings.prefix_logs, format: settings.log_format });
    for warning in &settings.warnings {
        log.note(warning);
    }
    match run(settings, log.clone()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.note(&format!("faas-watchdog: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings, log: Arc<dyn LogSink>) -> Result<(), BoxError> {
    let port = settings.port;
    let listener = listen(port).await.map_err(|error| {
        format!("can't listen on port {port}: {error}; choose another one with the variable `port`")
    })?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    if std::process::id() == 1 {
        tokio::spawn(reap(signal(SignalKind::child())?));
    }
    let serves = match settings.config.mode {
        Mode::Static => format!("files of {}", settings.config.static_path.display()),
        _ => format!("command {:?}", settings.config.command),
    };
    let mode = settings.config.mode.as_str();
    log.note(&format!("faas-watchdog {}: mode {mode}, {serves}, port {port}", env!("CARGO_PKG_VERSION")));
    let invoker = Invoker::start(settings.config.clone(), log.clone())?;
    let server = Arc::new(Server { invoker, settings, log, closing: AtomicBool::new(false) });
    tokio::spawn(announce(server.clone()));
    if server.settings.metrics_port != port {
        tokio::spawn(serve_metrics(server.clone()));
    }

    // Every connection holds a receiver, so the channel is closed when the last one has ended.
    let last = watch::Sender::new(false);
    let mut ends: Option<std::pin::Pin<Box<tokio::time::Sleep>>> = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => connect(&server, socket, last.subscribe()),
                // Out of file descriptors, most likely: some will be free in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            _ = terminate.recv(), if ends.is_none() => ends = Some(close(&server)),
            _ = interrupt.recv(), if ends.is_none() => ends = Some(close(&server)),
            () = async { if let Some(ends) = &mut ends { ends.await } }, if ends.is_some() => break,
        }
    }
    drop(listener);
    let grace = server.settings.config.write_timeout;
    let until = Instant::now() + grace;
    last.send_replace(true);
    if tokio::time::timeout(grace, last.closed()).await.is_err() {
        server.log.note(&format!("{} requests did not end within {grace:?}", server.invoker.in_flight()));
    }
    server.invoker.drain(until.saturating_duration_since(Instant::now())).await;
    Ok(())
}

/// All addresses, by IPv6 where there is any.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error),
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await,
    }
}

/// The signal has come: the probes say no from now on. Returns how long to go on serving: not at all, unless a
/// `healthcheck_interval` says that somebody routes by those probes.
fn close(server: &Arc<Server>) -> std::pin::Pin<Box<tokio::time::Sleep>> {
    server.closing.store(true, Ordering::SeqCst);
    if !server.settings.suppress_lock {
        let _ = std::fs::remove_file(lock_file());
    }
    let interval = server.settings.healthcheck_interval;
    let until = if interval.is_zero() { String::new() } else { format!(", no more in {interval:?}") };
    server.log.note(&format!("stopping: {} requests under way{until}", server.invoker.in_flight()));
    Box::pin(tokio::time::sleep(interval))
}

fn connect(server: &Arc<Server>, socket: TcpStream, last: watch::Receiver<bool>) {
    let config = &server.settings.config;
    let limits = Limits { read: config.read_timeout, write: config.write_timeout };
    tokio::spawn(connection::serve(socket, limits, last, To::Function(server.clone())));
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Reply {
    if let Some((status, why)) = ambiguous(&request) {
        let mut reply = text(status, format!("{why}\n"));
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return reply;
    }
    match request.uri().path() {
        "/_/health" => probe(&request, || async { server.health() }).await,
        "/_/ready" => probe(&request, || server.ready()).await,
        "/metrics" => metrics(&server.invoker),
        _ => server.invoker.call(request).await.map(Either::Right),
    }
}

impl Server {
    fn health(&self) -> StatusCode {
        if self.closing.load(Ordering::SeqCst) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    }

    async fn ready(&self) -> StatusCode {
        match self.health() {
            StatusCode::OK => self.invoker.readiness().await,
            no => no,
        }
    }
}

async fn probe<F: Future<Output = StatusCode>>(request: &Request<Incoming>, ask: impl FnOnce() -> F) -> Reply {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    match ask().await {
        StatusCode::OK => text(StatusCode::OK, "OK"),
        status => text(status, ""),
    }
}

fn metrics(invoker: &Invoker) -> Reply {
    let mut reply = text(StatusCode::OK, invoker.metrics());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(body.into())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

/// Metrics on the port where of-watchdog has them. Taken, they are on the main port only.
async fn serve_metrics(server: Arc<Server>) {
    let port = server.settings.metrics_port;
    let listener = match listen(port).await {
        Ok(listener) => listener,
        Err(error) => {
            server.log.note(&format!("no metrics on port {port}: {error}; they are on port {}", server.settings.port));
            return;
        }
    };
    // Never told to stop: these connections end with the program.
    let last = watch::Sender::new(false);
    while let Ok((socket, _)) = listener.accept().await {
        let limits = Limits { read: SCRAPE, write: SCRAPE };
        tokio::spawn(connection::serve(socket, limits, last.subscribe(), To::Metrics(server.clone())));
    }
}

/// Says when the function is ready, or why it isn't, and writes the file that exec health checks look for.
async fn announce(server: Arc<Server>) {
    let patience = server.settings.config.start_wait;
    while let Err(error) = server.invoker.wait_ready(patience).await {
        if matches!(error, Error::Stopping) {
            return;
        }
        server.log.note(&error.to_string());
        tokio::time::sleep(patience).await;
    }
    server.log.note("ready");
    if !server.settings.suppress_lock
        && let Err(error) = std::fs::write(lock_file(), "")
    {
        server.log.note(&format!("can't write {}: {error}; suppress_lock=true does without", lock_file().display()));
    }
}

/// of-watchdog's, which the health checks of existing images look for.
fn lock_file() -> PathBuf {
    std::env::temp_dir().join(".lock")
}

/// Process 1 inherits every orphan of its container.
async fn reap(mut children: Signal) {
    while children.recv().await.is_some() {
        faas_watchdog::reap_strangers();
    }
}
