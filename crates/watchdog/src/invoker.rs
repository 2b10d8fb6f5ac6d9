//! The invoker itself: admits a call, hands it to its mode, counts it, answers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::body::{Deadline, RequestBody, X_TIMEOUT};
use crate::headers::{DURATION, duration_value};
use crate::launch::Launch;
use crate::lines::{LastLines, LogSink};
use crate::supervisor::{Phase, Stop};
use crate::ticket::Ticket;
use crate::{Body, BoxError, Config, Error, Metrics, Mode, files, fork, parse_duration, program, supervisor, upstream};

/// What the parts of an invoker have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) program: PathBuf,
    /// How the processes of calls are started, in the other modes.
    pub(crate) launch: Launch,
    pub(crate) logs: Arc<dyn LogSink>,
    pub(crate) phase: watch::Sender<Phase>,
    /// The child's process id in http mode; 0 when there is none.
    pub(crate) pid: AtomicU32,
    /// When the child came up that is there now, after how many that did not stay up.
    pub(crate) unsteady: Mutex<(u32, Option<Instant>)>,
    /// What the child wrote last.
    pub(crate) last_lines: Mutex<Arc<LastLines>>,
    /// The process groups of the calls that are under way, in the other modes.
    pub(crate) groups: Mutex<Vec<u32>>,
    pub(crate) metrics: Metrics,
    pub(crate) in_flight: AtomicUsize,
    draining: AtomicBool,
    /// Told when the last call has ended.
    pub(crate) quiet: Notify,
}

impl Shared {
    pub(crate) fn draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// Runs one function. Dropped, it ends its processes.
pub struct Invoker {
    shared: Arc<Shared>,
    stop: watch::Sender<Stop>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Invoker {
    /// Looks the program up and, in [`Mode::Http`], starts and supervises the child in the background: a child that
    /// ends is started again after 100 ms, doubling to 5 s while it doesn't stay up.
    ///
    /// # Errors
    /// No command, a program that isn't there, or no tokio runtime around the call.
    pub fn start(config: Config, logs: Arc<dyn LogSink>) -> Result<Arc<Self>, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let program = match config.mode {
            Mode::Static => files::readable(&config.static_path).map(|()| PathBuf::new())?,
            _ => program::find(&config)?,
        };
        let http = config.mode == Mode::Http;
        let shared = Arc::new(Shared {
            launch: Launch::new(&config, program.clone()),
            config,
            program,
            logs,
            phase: watch::Sender::new(if http { Phase::Starting(None) } else { Phase::PerRequest }),
            pid: AtomicU32::new(0),
            unsteady: Mutex::default(),
            last_lines: Mutex::default(),
            groups: Mutex::default(),
            metrics: Metrics::default(),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            quiet: Notify::new(),
        });
        let stop = watch::Sender::new(Stop::No);
        let supervisor = http.then(|| runtime.spawn(supervisor::supervise(shared.clone(), stop.subscribe())));
        Ok(Arc::new(Invoker { shared, stop, supervisor: Mutex::new(supervisor) }))
    }

    /// Waits until the function can be called: its child listens and `ready_path`, if set, answers 2xx.
    ///
    /// # Errors
    /// [`Error::Ended`] as soon as a child ended before it listened, [`Error::NotReady`] when the time is over, both
    /// with the last lines the child wrote; [`Error::Stopping`] when the invoker is being stopped.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + timeout;
        if self.shared.config.mode == Mode::Static {
            return if self.shared.draining() { Err(Error::Stopping) } else { Ok(()) };
        }
        if self.shared.config.mode != Mode::Http {
            return match tokio::time::timeout_at(until, self.forked_until_ready()).await {
                Ok(()) if self.shared.draining() => Err(Error::Stopping),
                Ok(()) => Ok(()),
                Err(_) => Err(Error::NotReady {
                    within: timeout,
                    missing: supervisor::missing(&self.shared.config, true),
                    last_lines: Vec::new(),
                }),
            };
        }
        supervisor::wait_ready(&self.shared, until, timeout).await
    }

    async fn forked_until_ready(&self) {
        let Some(path) = &self.shared.config.ready_path else { return };
        while !self.shared.draining() && !fork::probe(&self.shared, path).await.is_success() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether a call would be taken right now: not draining, and in [`Mode::Http`] the child listens.
    pub fn is_ready(&self) -> bool {
        !self.shared.draining() && matches!(*self.shared.phase.borrow(), Phase::Ready(_) | Phase::PerRequest)
    }

    /// Whether it is ready, and likely to stay so: a child that ended by itself soon after its start, twice in a row or
    /// more, must first stay up for a while.
    pub fn is_steady(&self) -> bool {
        let (falls, up) = *self.shared.unsteady.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_ready() && (falls < 2 || up.is_some_and(|up| up.elapsed() >= supervisor::HEALTHY))
    }

    /// Whether it was started and has not been ready yet, and nothing has gone wrong so far.
    pub fn is_starting(&self) -> bool {
        !self.shared.draining() && matches!(*self.shared.phase.borrow(), Phase::Starting(None))
    }

    /// What a readiness probe should be told: 200, 503 while not ready, 429 while there is no room for a call, or
    /// what `ready_path` answers.
    pub async fn readiness(&self) -> StatusCode {
        let limit = self.shared.config.max_inflight as usize;
        let phase = self.shared.phase.borrow().clone();
        match (phase, &self.shared.config.ready_path) {
            _ if self.shared.draining() => StatusCode::SERVICE_UNAVAILABLE,
            (Phase::Starting(_) | Phase::Stopped, _) => StatusCode::SERVICE_UNAVAILABLE,
            _ if limit > 0 && self.in_flight() >= limit => StatusCode::TOO_MANY_REQUESTS,
            (_, None) => StatusCode::OK,
            (Phase::Ready(endpoint), Some(path)) => upstream::probe(&endpoint, path).await,
            (Phase::PerRequest, Some(_)) if self.shared.config.mode == Mode::Static => StatusCode::OK,
            (Phase::PerRequest, Some(path)) => fork::probe(&self.shared, path).await,
        }
    }

    /// Calls under way; a call lasts until its response's last byte is taken, and in [`Mode::Http`] one that nobody
    /// waits for any more lasts until the child has answered it all the same, or has been ended.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// The child's process id in [`Mode::Http`], while it lives. It is also the id of its process group.
    pub fn pid(&self) -> Option<u32> {
        Some(self.shared.pid.load(Ordering::SeqCst)).filter(|pid| *pid != 0)
    }

    /// Counts and durations so far, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.shared.metrics.text(self.in_flight())
    }

    /// Calls the function. Never fails: what goes wrong is a status with one line for the caller (400 and 408 for a
    /// request that didn't arrive, 429 too many at a time, 500 a process that failed, 502 a child that broke off, 503
    /// not ready or stopping, 504 a time limit), and a reason in the log.
    pub async fn call<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let ticket = match Ticket::admit(&self.shared, &parts) {
            Ok(ticket) => ticket,
            Err(failure) => return failure.response(Instant::now()),
        };
        let since = ticket.since;
        let config = &self.shared.config;
        let body = RequestBody::new(body, Deadline::after(since, config.read_timeout, "read_timeout"));
        let deadline = deadline(config, &parts, since);
        let mut ticket = Some(ticket);
        let answer = match config.mode {
            Mode::Http => upstream::call(&self.shared, parts, body, &mut ticket, deadline).await,
            Mode::Streaming => fork::stream(&self.shared, parts, body, &mut ticket, deadline).await,
            Mode::Static => files::serve(&config.static_path, parts, &mut ticket).await.map(|mut response| {
                response.headers_mut().insert(DURATION, duration_value(since));
                response
            }),
            Mode::Classic => fork::serialize(&self.shared, parts, body, deadline).await.map(|output| {
                let mut response = fork::response(config, Body::full(output));
                response.headers_mut().insert(DURATION, duration_value(since));
                response
            }),
        };
        let response = answer.unwrap_or_else(|failure| {
            if let (Some(ticket), Some(reason)) = (&ticket, &failure.reason) {
                ticket.note(&format!("{reason}: answered {}", failure.status.as_u16()));
            }
            failure.response(since)
        });
        // Still here: nothing of the answer has to come any more, so the call ends with this line.
        if let Some(ticket) = &mut ticket {
            ticket.answered(response.status(), response.body().size_hint().exact());
        }
        response
    }

    /// Takes no more calls, gives those under way until `grace` to end, then ends the processes: TERM first, KILL
    /// after [`Config::stop_grace`].
    pub async fn drain(&self, grace: Duration) {
        self.shared.draining.store(true, Ordering::SeqCst);
        let _ = tokio::time::timeout(grace, async {
            loop {
                let quiet = self.shared.quiet.notified();
                if self.in_flight() == 0 {
                    break;
                }
                quiet.await;
            }
        })
        .await;
        fork::end_all(&self.shared);
        self.stop.send_replace(Stop::Gently);
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.await;
        }
    }
}

impl Drop for Invoker {
    fn drop(&mut self) {
        self.shared.draining.store(true, Ordering::SeqCst);
        self.stop.send_if_modified(|stop| {
            let before = *stop == Stop::No;
            if before {
                *stop = Stop::AtOnce;
            }
            before
        });
    }
}

/// The moment by which a call must have ended, and the name of the limit that says so.
fn deadline(config: &Config, parts: &Parts, since: Instant) -> Deadline {
    let own = own_deadline(config, since);
    match parts.headers.get("x-timeout").and_then(|value| parse_duration(value.to_str().ok()?)) {
        Some(asked) if !asked.is_zero() && own.is_after(since, asked) => Deadline::after(since, asked, X_TIMEOUT),
        _ => own,
    }
}

/// The same without what the caller asked for.
pub(crate) fn own_deadline(config: &Config, since: Instant) -> Deadline {
    let (exec, write) = (config.exec_timeout, config.write_timeout);
    if !write.is_zero() && (exec.is_zero() || write < exec) {
        return Deadline::after(since, write, "write_timeout");
    }
    Deadline::after(since, exec, "exec_timeout")
}
