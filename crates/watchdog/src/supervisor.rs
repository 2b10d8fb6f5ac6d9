//! The life of the child in http mode: start it, see it listen, notice its end, start it again.

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::invoker::Shared;
use crate::lines::{self, LastLines, Stream};
use crate::link::Endpoint;
use crate::spawn::{self, Process};
use crate::{Config, Error, Upstream, memory, port, upstream};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A child that was up for this long is healthy: its next end is a first one.
pub(crate) const HEALTHY: Duration = Duration::from_secs(10);
const SWEEP: Duration = Duration::from_millis(250);
/// How long the other calls in a child may take to end once it is to be ended because one ran over its time.
const LAST_CALLS: Duration = Duration::from_secs(2);
/// How long a call may take on Lambda at most: what is said where there is no limit.
const LONGEST_CALL: Duration = Duration::from_secs(900);

/// Where the child is in its life.
#[derive(Clone)]
pub(crate) enum Phase {
    /// Not listening yet, or waiting to be started again; with what went wrong if the last start came to nothing.
    Starting(Option<Arc<Trouble>>),
    /// It listens, and `ready_path` has answered.
    Ready(Arc<Endpoint>),
    /// There is no child: a process is started per request.
    PerRequest,
    /// The invoker has been stopped.
    Stopped,
}

/// Why a start came to nothing.
pub(crate) struct Trouble {
    reason: String,
    last_lines: Vec<String>,
}

/// What the supervisor is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    No,
    /// TERM, and KILL after the grace.
    Gently,
    /// KILL.
    AtOnce,
}

impl Shared {
    /// The child's address, waiting for it while it is (re)started.
    pub(crate) async fn endpoint(&self, until: Instant) -> Result<Arc<Endpoint>, Failure> {
        if let Phase::Ready(endpoint) = &*self.phase.borrow() {
            return Ok(endpoint.clone());
        }
        let mut phases = self.phase.subscribe();
        let settled = phases.wait_for(|phase| matches!(phase, Phase::Ready(_) | Phase::Stopped));
        match tokio::time::timeout_at(until.into(), settled).await.map(|phase| phase.map(|phase| phase.clone())) {
            Ok(Ok(Phase::Ready(endpoint))) => Ok(endpoint),
            Ok(_) => Err(Failure::unavailable("the function is stopping")),
            Err(_) => Err(Failure::unavailable("the function is not ready")
                .because(format!("not ready after {:?}", self.config.start_wait))),
        }
    }
}

impl Shared {
    /// The child that was started then is ready.
    fn came_up(&self, started: Instant) {
        self.unsteady.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1 = Some(started);
    }

    /// The child has ended; `fine` when it was up for long, or was ended on purpose.
    fn fell(&self, fine: bool) {
        let mut unsteady = self.unsteady.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *unsteady = (if fine { 0 } else { unsteady.0.saturating_add(1) }, None);
    }
}

/// How long an answer waits for the supervisor to see that the child has ended.
const NOTICE: Duration = Duration::from_millis(50);

impl Shared {
    /// A call over this endpoint broke off. If that is because the child is ending, waits until it counts as gone, so
    /// that whoever is told about it and calls again meets the next child and not the remains of this one.
    pub(crate) async fn until_noticed(&self, endpoint: &Arc<Endpoint>) {
        let mut phases = self.phase.subscribe();
        let other = phases.wait_for(|phase| !matches!(phase, Phase::Ready(now) if Arc::ptr_eq(now, endpoint)));
        let _ = tokio::time::timeout(NOTICE, other).await;
    }
}

/// See [`crate::Invoker::wait_ready`].
pub(crate) async fn wait_ready(shared: &Shared, until: tokio::time::Instant, within: Duration) -> Result<(), Error> {
    let mut phases = shared.phase.subscribe();
    let settled = phases.wait_for(|phase| !matches!(phase, Phase::Starting(None)));
    let Ok(settled) = tokio::time::timeout_at(until, settled).await else {
        let last_lines = shared.last_lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get();
        return Err(Error::NotReady { within, missing: missing(&shared.config, false), last_lines });
    };
    match settled.as_deref() {
        _ if shared.draining() => Err(Error::Stopping),
        Ok(Phase::Starting(Some(trouble))) => {
            Err(Error::Ended { reason: trouble.reason.clone(), last_lines: trouble.last_lines.clone() })
        }
        Ok(Phase::Stopped) | Err(_) => Err(Error::Stopping),
        Ok(_) => Ok(()),
    }
}

/// What a function that isn't ready lacks.
pub(crate) fn missing(config: &Config, listens: bool) -> String {
    match (&config.ready_path, &config.upstream) {
        (Some(path), _) if listens => format!("{path} does not answer 2xx"),
        (Some(path), Some(upstream)) => {
            format!("it does not listen on port {}, or {path} does not answer 2xx", upstream.port())
        }
        (Some(path), None) => format!("it does not listen on the port in $PORT, or {path} does not answer 2xx"),
        (None, Some(upstream)) => format!("it does not listen on port {}", upstream.port()),
        (None, None) => "it does not listen on the port in $PORT".to_owned(),
    }
}

/// Keeps a child alive until told to stop.
pub(crate) async fn supervise(shared: Arc<Shared>, mut stop: watch::Receiver<Stop>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let life = live(&shared, &mut stop).await;
        shared.pid.store(0, Ordering::SeqCst);
        let Some(end) = life else { break };
        let fine = started.elapsed() >= HEALTHY || end.overran;
        if fine {
            pause = FIRST_PAUSE;
        }
        shared.fell(fine);
        shared.logs.note(&format!("the function's process ended: {}; started again in {pause:?}", end.trouble.reason));
        let trouble = (!end.was_ready).then(|| Arc::new(end.trouble));
        shared.phase.send_replace(Phase::Starting(trouble));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped(&mut stop) => break,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    shared.phase.send_replace(Phase::Stopped);
}

/// Waits for the word to stop; an invoker that is gone has none to give, and is one.
async fn stopped(stop: &mut watch::Receiver<Stop>) -> Stop {
    stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::AtOnce, |stop| *stop)
}

/// How a life ended by itself.
struct End {
    trouble: Trouble,
    was_ready: bool,
    /// It was ended because a call ran over its time.
    overran: bool,
}

/// One life of the child; `None` when it was ended on demand.
async fn live(shared: &Arc<Shared>, stop: &mut watch::Receiver<Stop>) -> Option<End> {
    let started = Instant::now();
    let (upstream, mut process) = match start(shared).await {
        Ok(started) => started,
        Err(cause) => {
            let reason = format!("can't start {}: {cause}", shared.config.command[0]);
            return Some(End { trouble: Trouble { reason, last_lines: Vec::new() }, was_ready: false, overran: false });
        }
    };
    let last = Arc::new(LastLines::default());
    *shared.last_lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = last.clone();
    let logs = copy_outputs(shared, &mut process, &last);
    let pid = process.group.id();
    shared.pid.store(pid, Ordering::SeqCst);

    let mut was_ready = false;
    let mut endpoint: Option<Arc<Endpoint>> = None;
    let status = loop {
        let next = async {
            match &endpoint {
                None => Some(until_ready(&shared.config, &upstream).await),
                Some(endpoint) => {
                    tokio::time::sleep(SWEEP).await;
                    endpoint.sweep();
                    None
                }
            }
        };
        tokio::select! {
            status = process.child.wait() => break status,
            how = stopped(stop) => {
                end(shared, process, how).await;
                return None;
            }
            reason = memory::exceeded(&shared.config, pid) => {
                if was_ready {
                    shared.phase.send_replace(Phase::Starting(None));
                }
                process.group.signal(Signal::KILL);
                let _ = process.child.wait().await;
                return Some(End { trouble: Trouble { reason, last_lines: last.get() }, was_ready, overran: false });
            }
            () = condemned(endpoint.as_deref()) => {
                if let Some(endpoint) = endpoint.take() && !end_overrun(process, endpoint, stop).await {
                    return None;
                }
                let reason = "killed, because a call did not end in time".to_owned();
                return Some(End { trouble: Trouble { reason, last_lines: Vec::new() }, was_ready, overran: true });
            }
            ready = next => if let Some(ready) = ready {
                let ready = Arc::new(ready);
                was_ready = true;
                shared.came_up(started);
                endpoint = Some(ready.clone());
                shared.phase.send_replace(Phase::Ready(ready));
            }
        }
    };
    // At once: calls wait for the next child from here on.
    if was_ready {
        shared.phase.send_replace(Phase::Starting(None));
    }
    // What it left behind may hold its port: dropping the group kills it.
    drop(process);
    // Its last words may still be in the pipe.
    let _ = tokio::time::timeout(Duration::from_millis(200), async {
        for log in logs {
            let _ = log.await;
        }
    })
    .await;
    let reason = status.map_or_else(|error| error.to_string(), describe);
    Some(End { trouble: Trouble { reason, last_lines: last.get() }, was_ready, overran: false })
}

async fn condemned(endpoint: Option<&Endpoint>) {
    match endpoint {
        Some(endpoint) => endpoint.condemned().await,
        None => std::future::pending().await,
    }
}

/// Ends a child, whole group, in which a call ran over its time; the other calls in it get a moment to end. False when
/// the invoker is being stopped.
async fn end_overrun(mut process: Process, endpoint: Arc<Endpoint>, stop: &mut watch::Receiver<Stop>) -> bool {
    // Every call in this child holds its endpoint; the last holder is this function.
    let others = async {
        while Arc::strong_count(&endpoint) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let goes_on = tokio::select! {
        _ = tokio::time::timeout(LAST_CALLS, others) => true,
        _ = process.child.wait() => true,
        _ = stopped(stop) => false,
    };
    process.group.signal(Signal::KILL);
    let _ = process.child.wait().await;
    endpoint.bury();
    goes_on
}

async fn start(shared: &Shared) -> std::io::Result<(Upstream, Process)> {
    let config = &shared.config;
    let upstream = match &config.upstream {
        Some(upstream) => upstream.clone(),
        None => Upstream::loopback(port::free()?),
    };
    let port = upstream.port().to_string();
    let env = config.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    // The shims' handlers of Lambda ask how long they have left.
    let limits = [config.exec_timeout, config.write_timeout].into_iter().filter(|limit| !limit.is_zero());
    let seconds = limits.min().unwrap_or(LONGEST_CALL).as_secs_f64().to_string();
    let env = [("AWS_LAMBDA_FUNCTION_TIMEOUT", seconds.as_str())].into_iter().chain(env);
    // Last, so that they win: `PORT` may say where the invoker itself listens, as on Knative.
    let env = env.chain([("PORT", port.as_str()), ("port", port.as_str())]);
    let process = spawn::start(&shared.program, &config.command[1..], config.cwd.as_deref(), env).await?;
    Ok((upstream, process))
}

fn copy_outputs(shared: &Arc<Shared>, process: &mut Process, last: &Arc<LastLines>) -> Vec<JoinHandle<()>> {
    let limit = shared.config.log_buffer_size;
    let mut tasks = Vec::with_capacity(2);
    if let Some(stdout) = process.child.stdout.take() {
        let copy = lines::copy(stdout, Stream::Stdout, shared.logs.clone(), limit, Some(last.clone()));
        tasks.push(tokio::spawn(copy));
    }
    if let Some(stderr) = process.child.stderr.take() {
        let copy = lines::copy(stderr, Stream::Stderr, shared.logs.clone(), limit, Some(last.clone()));
        tasks.push(tokio::spawn(copy));
    }
    tasks
}

/// Asks until the child listens and its ready path answers 2xx.
async fn until_ready(config: &Config, upstream: &Upstream) -> Endpoint {
    let started = Instant::now();
    loop {
        for address in &upstream.addresses {
            if Endpoint::listens(*address).await {
                let endpoint = Endpoint::new(*address, upstream.prefix.clone());
                match &config.ready_path {
                    Some(path) if !upstream::probe(&endpoint, path).await.is_success() => {}
                    _ => return endpoint,
                }
            }
        }
        tokio::time::sleep(pause(started.elapsed())).await;
    }
}

/// Until it is asked again: a start is never made longer by more than a twelfth, and a long one isn't asked after all the
/// time. What a start loses here, every first call on Lambda waits for.
fn pause(elapsed: Duration) -> Duration {
    (elapsed / 12).clamp(Duration::from_millis(1), Duration::from_millis(50))
}

/// Ends the child's whole group, and waits for the child.
async fn end(shared: &Shared, mut process: Process, how: Stop) {
    if how == Stop::Gently {
        process.group.signal(Signal::TERM);
        if tokio::time::timeout(shared.config.stop_grace, process.child.wait()).await.is_err() {
            shared.logs.note(&format!("the function's process ignored TERM for {:?}", shared.config.stop_grace));
        }
    }
    process.group.signal(Signal::KILL);
    let _ = process.child.wait().await;
}

/// How a process ended, in Go's words for a status.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_asked_after_often_enough_not_to_be_made_longer_and_a_long_one_seldom() {
        let millis = Duration::from_millis;
        assert_eq!(pause(Duration::ZERO), millis(1));
        for start in [24, 80, 400] {
            assert!(pause(millis(start)) <= millis(start) / 12, "{start}");
        }
        assert_eq!(pause(Duration::from_secs(9)), millis(50));
    }
}
