//! One replica of a function: an invoker, its private folder, and how many calls hold it.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas_watchdog::{Config, Invoker, LogSink, Mode, parse_duration, parse_size};
use tokio::sync::Notify;

use super::logs::{FunctionLog, Sink};
use super::process::MARK;
use super::record::Key;
use super::secrets::{FOLDER_VARIABLE, Secrets};
use super::serve::Place;
use super::{files, process};
use crate::wire::FunctionDeployment;

/// The longest a call may take unless the deployment says otherwise: what OpenFaaS's gateway allows.
const CALL: Duration = Duration::from_secs(60);
/// How long a process may take to become ready.
pub(super) const READY: Duration = Duration::from_secs(60);

/// One replica.
pub(super) struct Replica {
    invoker: Arc<Invoker>,
    folder: PathBuf,
    holders: AtomicUsize,
    released: Notify,
}

/// What a replica is started from.
pub(super) struct Plan<'a> {
    /// The platform's folder, and what every function's environment starts with.
    pub place: &'a Place,
    /// The function.
    pub key: &'a Key,
    /// Its deployment, with a bundle.
    pub deployment: &'a FunctionDeployment,
    /// Its secrets.
    pub secrets: &'a Secrets,
    /// Its log.
    pub log: &'a Arc<FunctionLog>,
}

impl Replica {
    /// Starts one. It is not ready yet.
    ///
    /// # Errors
    /// Why it can't be started, in one line: no such program, a bad setting, a folder that has gone.
    pub fn start(plan: &Plan<'_>) -> Result<Arc<Self>, String> {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let instance = format!("{}-{}", plan.key.name, &random[..8]);
        let folder = plan.place.folder.join("run").join(&instance);
        let sink = Sink::new(Arc::clone(plan.log), instance);
        let started = invoker(plan, &folder, Arc::clone(&sink)).inspect_err(|why| {
            sink.note(why);
            let _ = files::remove(&folder);
        })?;
        let holders = AtomicUsize::new(0);
        Ok(Arc::new(Self { invoker: started, folder, holders, released: Notify::new() }))
    }

    /// What runs it.
    pub fn invoker(&self) -> &Arc<Invoker> {
        &self.invoker
    }

    /// Whether it answers calls.
    pub fn is_ready(&self) -> bool {
        self.invoker.is_ready()
    }

    /// Whether it is likely to go on doing so: it does not end again and again.
    pub fn is_steady(&self) -> bool {
        self.invoker.is_steady()
    }

    /// Calls in flight.
    pub fn load(&self) -> usize {
        self.invoker.in_flight().max(self.holders.load(Ordering::Relaxed))
    }

    /// Counts a call that is about to be made, until the guard goes.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.holders.fetch_add(1, Ordering::AcqRel);
        Held(Arc::clone(self))
    }

    /// Waits for calls that hold it, then for those in flight, then ends it. No new ones may come any more.
    pub async fn drain(&self, grace: Duration) {
        let until = tokio::time::Instant::now() + grace;
        let released = async {
            loop {
                let released = self.released.notified();
                if self.holders.load(Ordering::Acquire) == 0 {
                    return;
                }
                released.await;
            }
        };
        let _ = tokio::time::timeout_at(until, released).await;
        self.invoker.drain(until.saturating_duration_since(tokio::time::Instant::now())).await;
        // What it started and let go of, outside of its process group.
        let mark = (FOLDER_VARIABLE, self.folder.join("secrets"));
        let ended = tokio::task::spawn_blocking(move || process::end_marked(mark.0, &mark.1)).await.unwrap_or(0);
        if ended > 0 {
            tracing::info!("ended {ended} processes that {} left behind", self.folder.display());
        }
        if let Err(e) = files::remove(&self.folder) {
            tracing::warn!("can't remove {}: {e}", self.folder.display());
        }
    }

    /// Memory in bytes and CPU time in ticks, now.
    pub fn usage(&self) -> Option<(u64, u64)> {
        process::usage(self.invoker.pid()?)
    }
}

/// A replica that is held for a call.
pub(super) struct Held(Arc<Replica>);

impl std::ops::Deref for Held {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.released.notify_waiters();
        }
    }
}

fn invoker(plan: &Plan<'_>, folder: &Path, sink: Arc<Sink>) -> Result<Arc<Invoker>, String> {
    let config = config(plan, folder)?;
    let secrets = plan.deployment.secrets.as_deref().unwrap_or_default();
    files::private_dir(folder)
        .and_then(|()| plan.secrets.link(&plan.key.namespace, secrets, &folder.join("secrets")))
        .map_err(|e| format!("can't make the folder {}: {e}", folder.display()))?;
    Invoker::start(config, sink).map_err(|e| e.to_string())
}

fn config(plan: &Plan<'_>, folder: &Path) -> Result<Config, String> {
    let bundle = plan.deployment.bundle.as_ref().ok_or("the deployment has no bundle")?;
    let mode = match bundle.run.mode.as_str() {
        "http" => Mode::Http,
        "streaming" => Mode::Streaming,
        "classic" | "serializing" => Mode::Classic,
        other => return Err(format!("unknown mode `{other}`: http, streaming and classic are known")),
    };
    if !bundle.dir.is_dir() {
        return Err(format!("the bundle's folder {} is not there", bundle.dir.display()));
    }
    let own = plan.deployment.env_process.as_ref().filter(|process| !process.trim().is_empty());
    let line = own.unwrap_or(&bundle.run.command);
    let mut command =
        shell_words::split(line).map_err(|e| format!("the command `{line}` can't be split into words: {e}"))?;
    let env = environment(plan, folder);
    let value = |name: &str| env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    // A function that asks a version manager for another version is given it.
    let asks = env.iter().any(|(name, _)| name.ends_with("ENV_VERSION"));
    if let Some(program) = command.first_mut().filter(|_| !asks)
        && let Some(behind) = crate::manager::behind_name(program, value("PATH").unwrap_or_default())
    {
        *program = behind.to_string_lossy().into_owned();
    }
    let mut config = Config::new(mode, command);
    config.cwd = Some(bundle.dir.clone());
    config.env = env;
    config.ready_path.clone_from(&bundle.run.ready_path);
    let asked = plan.deployment.env_vars.as_ref();
    let setting = |name: &str| asked.and_then(|vars| vars.get(name)).filter(|value| !value.is_empty());
    let duration = |name: &str, default| match setting(name) {
        None => Ok(default),
        Some(text) => parse_duration(text).ok_or_else(|| format!("{name} is `{text}`: write it as 30s or 1m30s")),
    };
    config.exec_timeout = duration("exec_timeout", CALL)?;
    // A body may take as long as the call itself, unless told otherwise.
    config.read_timeout = duration("read_timeout", config.exec_timeout)?;
    config.write_timeout = duration("write_timeout", config.exec_timeout)?;
    config.start_wait = READY;
    config.max_inflight = match (setting("max_inflight"), bundle.concurrency) {
        (Some(text), _) => text.parse().map_err(|_| format!("max_inflight is `{text}`: it must be a number"))?,
        (None, concurrency) => concurrency.unwrap_or(0),
    };
    let memory = plan.deployment.limits.as_ref().and_then(|limits| limits.memory.as_deref());
    config.memory_limit = match memory.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(parse_size(text).ok_or_else(|| format!("limits.memory is `{text}`: write it as 128Mi"))?),
    };
    let on =
        |name: &str| setting(name).is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "t" | "true"));
    config.log_call_id = on("log_callid") || on("log_call_id");
    config.log_requests = on("log_requests") || config.log_call_id;
    if let Some(path) = setting("ready_path") {
        config.ready_path = Some(path.clone());
    }
    Ok(config)
}

/// The whole environment of a function's process; later ones win.
fn environment(plan: &Plan<'_>, folder: &Path) -> Vec<(String, String)> {
    let mut all = plan.place.environment.clone();
    let mut add = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
    let bundle = plan.deployment.bundle.as_ref();
    for (name, value) in bundle.iter().flat_map(|b| &b.run.environment) {
        add(name, value);
    }
    for (name, value) in plan.deployment.env_vars.iter().flatten() {
        add(name, value);
    }
    if let Some(process) = &plan.deployment.env_process {
        add("fprocess", process);
    }
    add("OPENFAAS_NAME", &plan.key.name);
    add("OPENFAAS_NAMESPACE", &plan.key.namespace);
    add(FOLDER_VARIABLE, &folder.join("secrets").to_string_lossy());
    // The one variable by which a later start finds what a killed platform left behind.
    add(MARK, &plan.place.folder.to_string_lossy());
    all
}
