//! The daemon seen from outside: is it running, start it, stop it.
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::process::Identity;
use super::{files, port};
use crate::context::Dirs;
use crate::error::{Code, Fault, OrFault, Result};

/// How long the daemon may take to listen, or to end once it was killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// A daemon's own log is put aside at a start when it is larger than this, in bytes.
const LOG_SIZE: u64 = 5 << 20;

/// How the daemon is to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Host names that calls may name besides the loopback's and the listener's.
    pub hosts: Vec<String>,
    /// Most bytes of a queued call's body.
    pub queue_body: u64,
    /// How often a queued call is tried before it is put aside.
    pub queue_attempts: u32,
    /// How long calls in flight may take to end when the platform stops.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: super::DEFAULT_ADDRESS.into(),
            hosts: Vec::new(),
            queue_body: 256 << 20,
            queue_attempts: 10,
            grace: Duration::from_secs(30),
        }
    }
}

/// A daemon that runs.
#[derive(Debug, Clone, Serialize)]
pub struct Running {
    /// Its address, as `http://127.0.0.1:8080`.
    pub url: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// It was told to stop, and answers the calls that are in flight.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
    #[serde(skip)]
    identity: Identity,
}

/// What `running.json` says.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StateFile {
    pub url: String,
    pub version: String,
    #[serde(default)]
    pub stopping: bool,
    #[serde(flatten)]
    pub identity: Identity,
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// None was running.
    NotRunning,
    /// It ended by itself, calls in flight answered.
    Drained,
    /// It had to be killed.
    Killed,
}

/// Its state file, below the platform's folder.
pub(super) const STATE_FILE: &str = "running.json";

pub(super) fn state_path(dirs: &Dirs) -> PathBuf {
    dirs.local().join(STATE_FILE)
}

/// The daemon's own log.
#[must_use]
pub fn log_path(dirs: &Dirs) -> PathBuf {
    dirs.local().join("daemon.log")
}

/// The file that the daemon holds a lock on while it runs, and says the same in as in [`STATE_FILE`].
pub(super) const LOCK_FILE: &str = "daemon.lock";

/// The daemon that runs, by its state file, or by its lock when somebody broke that; checked alive.
#[must_use]
pub fn running(dirs: &Dirs) -> Option<Running> {
    let read = |path: PathBuf| {
        let state: StateFile = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        state.identity.alive().then_some(state)
    };
    let state = read(state_path(dirs)).or_else(|| read(dirs.local().join(LOCK_FILE)))?;
    Some(Running {
        url: state.url,
        pid: state.identity.pid,
        version: state.version,
        stopping: state.stopping,
        identity: state.identity,
    })
}

/// Refuses to ask a daemon that can't answer, because it is stopping or because somebody stopped its process.
///
/// # Errors
/// When it is so, and how to let it go on.
pub fn ensure_awake(dirs: &Dirs) -> Result<()> {
    match running(dirs) {
        Some(running) if running.identity.is_stopped() => {
            let pid = running.pid;
            Err(Fault::failed(format!("the embedded platform (pid {pid}) is stopped, and answers nobody"))
                .hint(format!("`kill -CONT {pid}` lets it go on; `faas local stop` ends it")))
        }
        Some(Running { pid, stopping: true, .. }) => {
            Err(Fault::failed(format!("the embedded platform (pid {pid}) is stopping: it answers the last calls"))
                .hint("`faas local start` waits for its end, and starts it again"))
        }
        _ => Ok(()),
    }
}

/// Starts the daemon unless it runs, and waits until it answers. Says whether it was started now.
///
/// # Errors
/// When it can't be started; a taken port says by whom.
pub fn start(dirs: &Dirs, settings: &Settings) -> Result<(Running, bool)> {
    let folder = dirs.local();
    files::private_dir(&folder).or_fault(|| format!("can't make the folder {}", folder.display()))?;
    // Two starts at once: the second waits for the first, and finds its daemon.
    let turn_path = folder.join("start.lock");
    let turn = files::append(&turn_path).or_fault(|| format!("can't open {}", turn_path.display()))?;
    turn.lock().or_fault(|| format!("can't lock {}", turn_path.display()))?;
    if let Some(running) = running(dirs) {
        if !running.stopping {
            return Ok((running, false));
        }
        // It may take its grace, and the functions a little more, and says itself when it is over.
        if !running.identity.wait_gone(settings.grace + PATIENCE) {
            return Err(Fault::timed_out(format!(
                "the embedded platform (pid {}) is stopping, and does not end",
                running.pid
            ))
            .hint("`faas local stop --timeout 1s` ends it at once"));
        }
    }
    check_free(&settings.listen)?;
    let log = log_path(dirs);
    if std::fs::metadata(&log).is_ok_and(|m| m.len() > LOG_SIZE) {
        let _ = std::fs::rename(&log, log.with_extension("log.1"));
    }
    let output = files::append(&log).or_fault(|| format!("can't open {}", log.display()))?;
    let told_before = output.metadata().map_or(0, |m| m.len());
    let mut child = spawn(dirs, settings, &output)?;
    wait_until_up(dirs, &mut child, &log, told_before).map(|running| (running, true))
}

fn spawn(dirs: &Dirs, settings: &Settings, output: &std::fs::File) -> Result<Child> {
    let program = std::env::current_exe().or_fault(|| "can't find the faas binary".into())?;
    let stdio = || output.try_clone().map(Stdio::from).or_fault(|| "can't share the daemon's log".into());
    let mut command = Command::new(&program);
    command.args(["local", "serve", "--listen", &settings.listen]).arg("--folder").arg(dirs.local());
    for host in &settings.hosts {
        command.args(["--allow-host", host]);
    }
    command
        .args(["--queue-body", &settings.queue_body.to_string()])
        .args(["--queue-attempts", &settings.queue_attempts.to_string()])
        .args(["--grace", &humantime::format_duration(settings.grace).to_string()])
        .env_remove(super::process::MARK)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stdio()?)
        .stderr(stdio()?);
    // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into));
    }
    command.spawn().or_fault(|| format!("can't start {}", program.display()))
}

fn wait_until_up(dirs: &Dirs, child: &mut Child, log: &Path, told_before: u64) -> Result<Running> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(running) = running(dirs).filter(|r| r.pid == child.id())
            && healthy(&running.url)
        {
            return Ok(running);
        }
        let ended = child.try_wait().or_fault(|| "can't wait for the embedded platform".into())?;
        if ended.is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let fault = match ended {
            Some(_) => Fault::failed("the embedded platform ended right after its start"),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Fault::timed_out(format!("the embedded platform did not answer within {} s", PATIENCE.as_secs()))
            }
        };
        let told = since(log, told_before);
        if told.is_empty()
            && let Err(e) = room(&dirs.local())
        {
            let said = format!("there is no room in {}: {e}", dirs.local().display());
            return Err(fault.cause(said).hint("free some space on that disk, and start it again"));
        }
        let fault = if told.is_empty() { fault } else { fault.cause(told) };
        return Err(fault.hint(format!("its log is {}", log.display())));
    }
}

/// Whether a folder takes what a start writes: a database and some small files.
fn room(folder: &Path) -> std::io::Result<()> {
    const NEEDED: usize = 2 << 20;
    tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?.write_all(&vec![0; NEEDED])
}

/// What was added to a file after its first `from` bytes; the last few lines of it.
fn since(path: &Path, from: u64) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        let _ = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_string(&mut text));
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Whether `GET /healthz` answers 200.
fn healthy(url: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(socket, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// Says now, while somebody reads it, that the address can't be had.
///
/// # Errors
/// By whom it is taken, and how to choose another.
pub fn check_free(listen: &str) -> Result<()> {
    let addresses: Vec<_> = listen
        .to_socket_addrs()
        .map_err(|e| {
            Fault::usage(format!("the embedded platform can't listen on {listen}"))
                .cause(e)
                .hint("give an address of this machine as HOST:PORT; for a gateway elsewhere, write `name: openfaas` under `provider:`")
        })?
        .collect();
    match TcpListener::bind(&addresses[..]) {
        Ok(_) => Ok(()),
        Err(e) => Err(cannot_listen(listen, addresses.first().map_or(0, std::net::SocketAddr::port), &e)),
    }
}

/// The error that an address can't be had: by whom it is taken, and how to choose another.
pub(super) fn cannot_listen(listen: &str, port: u16, error: &std::io::Error) -> Fault {
    let hint = "choose another port with `faas local start --port N`, or with `provider.gateway` in the stack file";
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return Fault::failed(format!("the embedded platform can't listen on {listen}")).cause(error).hint(hint);
    }
    let by = port::listener(port).unwrap_or_else(|| "a program of another user".into());
    Fault::failed(format!("port {port} is taken by {by}")).code(Code::PORT_TAKEN).hint(hint)
}

/// Stops the daemon: calls in flight are answered, then its functions end.
///
/// # Errors
/// When it can't be signalled.
pub fn stop(dirs: &Dirs, patience: Duration) -> Result<Stopped> {
    let Some(running) = running(dirs) else { return Ok(Stopped::NotRunning) };
    let signal = |signal| {
        running.identity.signal(signal).or_fault(|| format!("can't signal the embedded platform (pid {})", running.pid))
    };
    signal(Signal::TERM)?;
    // A stopped process takes no signal but this one and KILL.
    signal(Signal::CONT)?;
    if running.identity.wait_gone(patience) {
        return Ok(Stopped::Drained);
    }
    signal(Signal::KILL)?;
    if !running.identity.wait_gone(PATIENCE) {
        return Err(Fault::timed_out(format!("the embedded platform (pid {}) does not end", running.pid)));
    }
    super::process::end_orphans(&dirs.local());
    files::remove(&state_path(dirs)).or_fault(|| "can't remove the state file".into())?;
    Ok(Stopped::Killed)
}
