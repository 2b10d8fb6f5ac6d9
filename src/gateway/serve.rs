//! The daemon itself: takes the platform's folder for its own, listens, and on SIGTERM answers what it has begun.
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::auth::{self, Guard};
use super::controller::Controller;
use super::files;
use super::launch::{LOCK_FILE, STATE_FILE, Settings, StateFile, cannot_listen};
use super::process::{self, Identity};
use super::queue::Queue;
use super::router::Gateway;
use super::store::Store;
use crate::error::{Fault, OrFault, Result};

/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(30);
/// How often the state file is looked at.
const RETELL: Duration = Duration::from_secs(1);

/// What the daemon is told besides its settings.
pub struct Place {
    /// The platform's folder.
    pub folder: PathBuf,
    /// Variables that every function gets, the first word on each: `PATH`, `HOME` and the like.
    pub environment: Vec<(String, String)>,
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// When the folder is taken, the address can't be had, or the database can't be read.
pub fn run(place: Place, settings: &Settings) -> Result<()> {
    let folder = place.folder.clone();
    files::private_dir(&folder).or_fault(|| format!("can't make the folder {}", folder.display()))?;
    let lock = files::append(&folder.join(LOCK_FILE)).or_fault(|| format!("can't write in {}", folder.display()))?;
    if lock.try_lock().is_err() {
        return Err(Fault::failed(format!("another embedded platform runs in {}", folder.display()))
            .hint("`faas local status` shows it"));
    }
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .or_fault(|| "can't start the async runtime".into())?;
    let result = runtime.block_on(serve(place, settings, &lock));
    let _ = lock.set_len(0);
    // What a function left behind outside of its process group goes too.
    process::end_orphans(&folder);
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn serve(place: Place, settings: &Settings, lock: &File) -> Result<()> {
    let folder = &place.folder;
    let orphans = process::end_orphans(folder);
    if orphans > 0 {
        tracing::info!("ended {orphans} processes that the last platform left behind");
    }
    files::remove(&folder.join("run")).or_fault(|| format!("can't clear {}", folder.join("run").display()))?;
    let listener = TcpListener::bind(&settings.listen).await.map_err(|e| {
        let port = settings.listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
        cannot_listen(&settings.listen, port, &e)
    })?;
    let address = listener.local_addr().or_fault(|| "can't tell the listener's address".into())?;
    let token = auth::ensure_token(&folder.join("token"))?;
    let store = Store::open(&folder.join(super::STATE))?;
    let controller = Controller::open(place, store, settings.grace)?;
    let queue = Queue::open(controller.platform(), Arc::clone(&controller), settings)?;
    let gateway = Arc::new(Gateway {
        guard: Guard::new(&token, address, &settings.hosts),
        controller: Arc::clone(&controller),
        queue: Arc::clone(&queue),
    });
    let mut terminate = signal(SignalKind::terminate()).or_fault(|| "can't listen for signals".into())?;
    let state = controller.platform().join(STATE_FILE);
    let told = state_of(address)?;
    tell_lock(lock, &told)?;
    tell_state(&state, &told)?;
    tracing::info!("faas {} serves on http://{address}, pid {}", env!("CARGO_PKG_VERSION"), std::process::id());
    controller.start_all();
    queue.resume();
    let idle = tokio::spawn(super::idle::watch(Arc::clone(&controller)));
    let keeper = tokio::spawn(keep_told(state.clone(), told.clone()));

    // Every connection holds a receiver, so the channel is closed when the last one has ended.
    let last = watch::Sender::new(false);
    let ended = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    tokio::select! {
        () = accept(&listener, &gateway, &last) => {}
        () = ended => {}
    }
    idle.abort();
    keeper.abort();
    let _ = keeper.await;
    let told = StateFile { stopping: true, ..told };
    if let Err(fault) = tell_lock(lock, &told).and_then(|()| tell_state(&state, &told)) {
        tracing::warn!("{fault}");
    }
    drop(listener);
    tracing::info!("stopping: calls in flight may take {} s", settings.grace.as_secs());
    controller.close_logs();
    last.send_replace(true);
    let calls = async { tokio::join!(last.closed(), queue.stop(settings.grace)) };
    if tokio::time::timeout(settings.grace, calls).await.is_err() {
        tracing::warn!("calls that took too long were cut");
    }
    controller.shut_down(Duration::from_secs(5)).await;
    files::remove(&state).or_fault(|| "can't remove the state file".into())?;
    tracing::info!("stopped");
    Ok(())
}

async fn accept(listener: &TcpListener, gateway: &Arc<Gateway>, last: &watch::Sender<bool>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).title_case_headers(true);
    builder.http2().timer(TokioTimer::new());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of descriptors, or a client that went away at once: the next one may have better luck.
                tracing::warn!("can't accept a connection: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let gateway = Arc::clone(gateway);
        let service = service_fn(move |request| Arc::clone(&gateway).serve(request, peer));
        // With upgrades: a function may want to speak WebSocket.
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let mut last = last.subscribe();
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                _ = last.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(e) = ended {
                tracing::debug!("connection of {peer}: {e}");
            }
        });
    }
}

/// Writes the state file again when somebody broke it: other programs read it, and older versions of this one.
async fn keep_told(path: PathBuf, told: StateFile) {
    let there = std::fs::read(&path).ok();
    loop {
        tokio::time::sleep(RETELL).await;
        if std::fs::read(&path).ok() != there
            && path.parent().is_some_and(Path::is_dir)
            && let Err(e) = tell_state(&path, &told)
        {
            tracing::warn!("the state file is broken, and can't be written again: {e}");
        }
    }
}

fn state_of(address: SocketAddr) -> Result<StateFile> {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr =
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        reachable.set_ip(loopback);
    }
    let identity = Identity::own().or_fault(|| "can't read this process's start time".into())?;
    let (url, version) = (format!("http://{reachable}"), env!("CARGO_PKG_VERSION").into());
    Ok(StateFile { url, version, stopping: false, identity })
}

fn tell_state(path: &Path, state: &StateFile) -> Result<()> {
    let bytes = serde_json::to_vec(state).or_fault(|| "can't write the state file".into())?;
    files::private_file(path, &bytes).or_fault(|| format!("can't write {}", path.display()))
}

/// The same in the file that is locked: who breaks the one seldom breaks the other.
fn tell_lock(mut lock: &File, state: &StateFile) -> Result<()> {
    let bytes = serde_json::to_vec(state).or_fault(|| "can't write the lock file".into())?;
    lock.set_len(0).and_then(|()| lock.write_all(&bytes)).or_fault(|| "can't write the lock file".into())
}

/// Each call in flight takes two descriptors; the usual limit of 1,024 is there for programs that use select(2).
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}
