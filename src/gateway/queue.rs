//! The queue: accepted calls wait in the database, each function has a lane, and a call leaves when it is done. Killed
//! at any moment, the platform makes the calls that were not done again: at least once.
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use faas_watchdog::BoxError;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::{Notify, Semaphore};

use super::answer::{Answer, Refused};
use super::callback::Callbacks;
use super::controller::Controller;
use super::invoke::{self, CALL_ID, START_TIME, Stamp};
use super::record::{Key, QueuedCall};
use super::{files, launch::Settings};
use crate::error::{OrFault, Result};

/// Calls made at a time, over all functions.
const AT_A_TIME: usize = 64;
/// Calls made at a time for each replica of a function that names no limit.
const PER_REPLICA: usize = 8;
/// The wait before the second try; it doubles with each, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// The queue.
pub(super) struct Queue {
    controller: Arc<Controller>,
    folder: PathBuf,
    body_limit: u64,
    attempts: u32,
    next: AtomicU64,
    lanes: Mutex<HashMap<Key, Lane>>,
    places: Arc<Semaphore>,
    callbacks: Callbacks,
    length: AtomicUsize,
    running: AtomicUsize,
    ended: Notify,
    stopping: AtomicBool,
}

/// A function's calls, in the order in which they came.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<u64>,
    running: usize,
}

impl Queue {
    /// With the calls that the database knows; none is made yet.
    pub fn open(platform: &Path, controller: Arc<Controller>, settings: &Settings) -> Result<Arc<Self>> {
        let folder = platform.join("queue");
        files::private_dir(&folder).or_fault(|| format!("can't make the folder {}", folder.display()))?;
        let (queued, next) = controller.store.queued()?;
        let dead = controller.store.dead()?;
        remove_strays(&folder, queued.iter().chain(&dead).map(|(number, _)| *number).collect());
        let mut lanes: HashMap<Key, Lane> = HashMap::new();
        for (number, call) in &queued {
            lanes.entry(Key::parse(&call.called)).or_default().waiting.push_back(*number);
        }
        Ok(Arc::new(Self {
            controller,
            folder,
            body_limit: settings.queue_body,
            attempts: settings.queue_attempts.max(1),
            next: AtomicU64::new(next),
            lanes: Mutex::new(lanes),
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            callbacks: Callbacks::default(),
            length: AtomicUsize::new(queued.len()),
            running: AtomicUsize::new(0),
            ended: Notify::new(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Starts to make the calls that are there.
    pub fn resume(self: &Arc<Self>) {
        let keys: Vec<Key> = self.lanes().keys().cloned().collect();
        for key in keys {
            self.pump(&key);
        }
    }

    /// The number for the next call.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Where a call's body lies when it is large.
    pub fn body_path(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// Most bytes of a body.
    pub fn body_limit(&self) -> u64 {
        self.body_limit
    }

    /// Calls that are not done yet.
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Keeps a call, and makes it in its turn.
    pub async fn accept(self: &Arc<Self>, number: u64, call: QueuedCall, body: Option<Bytes>) -> Result<(), Refused> {
        self.controller.store.put_call(number, &call, body).await?;
        self.length.fetch_add(1, Ordering::Relaxed);
        let key = Key::parse(&call.called);
        self.lanes().entry(key.clone()).or_default().waiting.push_back(number);
        self.pump(&key);
        Ok(())
    }

    /// Makes no more calls, and waits for those that are being made.
    pub async fn stop(&self, grace: Duration) {
        self.stopping.store(true, Ordering::Release);
        let idle = async {
            loop {
                let ended = self.ended.notified();
                if self.running.load(Ordering::Acquire) == 0 {
                    return;
                }
                ended.await;
            }
        };
        let _ = tokio::time::timeout(grace, idle).await;
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts as many calls of a function as may be made at a time.
    fn pump(self: &Arc<Self>, key: &Key) {
        let limit = self.limit(key);
        let mut lanes = self.lanes();
        let Some(lane) = lanes.get_mut(key) else { return };
        while lane.running < limit && !self.stopping.load(Ordering::Acquire) {
            let Some(number) = lane.waiting.pop_front() else { break };
            lane.running += 1;
            self.running.fetch_add(1, Ordering::AcqRel);
            let turn = Turn { queue: Arc::clone(self), key: key.clone() };
            tokio::spawn(async move { Arc::clone(&turn.queue).make(number, turn).await });
        }
        if lane.running == 0 && lane.waiting.is_empty() {
            lanes.remove(key);
        }
    }

    fn limit(&self, key: &Key) -> usize {
        let Some(function) = self.controller.get(key) else { return PER_REPLICA };
        let record = function.record();
        let each = match record.deployment.bundle.as_ref().and_then(|b| b.concurrency) {
            Some(limit) if limit > 0 => limit as usize,
            _ => PER_REPLICA,
        };
        each * (record.replicas.max(1) as usize)
    }

    async fn make(&self, number: u64, turn: Turn) {
        let Ok(_place) = self.places.acquire().await else { return };
        match self.controller.store.call(number) {
            Ok(Some((mut call, body))) => {
                let began = Instant::now();
                match self.request(number, &call, body).await {
                    Ok((request, stamp)) => {
                        let answer = invoke::call(&self.controller, &call.called, request, stamp).await;
                        call.attempts += 1;
                        if invoke::is_worth_another_try(&answer) && call.attempts < self.attempts {
                            return self.again(number, call, turn).await;
                        }
                        self.finish(number, call, answer, began.elapsed()).await;
                    }
                    Err(fault) => {
                        call.failure = Some(fault.to_string());
                        self.bury(number, &call).await;
                    }
                }
            }
            Ok(None) => {}
            Err(fault) => tracing::error!("queued call {number}: {fault}"),
        }
    }

    /// The call as it came, once more.
    async fn request(&self, number: u64, call: &QueuedCall, body: Vec<u8>) -> Result<(Request<RequestBody>, Stamp)> {
        let body: RequestBody = if call.body_in_file {
            let path = self.body_path(number);
            let file =
                tokio::fs::File::open(&path).await.or_fault(|| format!("can't read the body in {}", path.display()))?;
            let pieces = tokio_util::io::ReaderStream::with_capacity(file, 64 << 10);
            StreamBody::new(pieces.map_ok(Frame::data).map_err(BoxError::from)).boxed_unsync()
        } else {
            Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync()
        };
        let mut request = Request::post(call.path.as_str())
            .body(body)
            .or_fault(|| format!("the path `{}` of a queued call is not valid", call.path))?;
        *request.headers_mut() = call
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let value = HeaderValue::from_bytes(&BASE64_STANDARD.decode(value).ok()?).ok()?;
                Some((name.parse::<HeaderName>().ok()?, value))
            })
            .collect();
        let header = |headers: &HeaderMap, name| headers.get(name).cloned().unwrap_or(HeaderValue::from_static(""));
        let headers = request.headers();
        let stamp = Stamp { call_id: header(headers, CALL_ID), start: header(headers, START_TIME) };
        Ok((request, stamp))
    }

    /// Puts a call back, to be made again after a while.
    async fn again(&self, number: u64, call: QueuedCall, turn: Turn) {
        if let Err(fault) = self.controller.store.put_call(number, &call, None).await {
            tracing::error!("queued call {}: {fault}", call.call_id);
        }
        let wait = LONGEST_WAIT.min(FIRST_WAIT * 2_u32.saturating_pow(call.attempts.min(16) - 1));
        tracing::info!(
            "async call {} of {} was not taken (try {} of {}), again in {wait:?}",
            call.call_id,
            call.called,
            call.attempts,
            self.attempts
        );
        let (queue, key) = (Arc::clone(&turn.queue), turn.key.clone());
        drop(turn);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            queue.lanes().entry(key.clone()).or_default().waiting.push_back(number);
            queue.pump(&key);
        });
    }

    /// Tells the callback, and forgets the call, or puts it aside when nobody took it.
    async fn finish(&self, number: u64, mut call: QueuedCall, answer: Answer, took: Duration) {
        let given_up = invoke::is_worth_another_try(&answer);
        if given_up {
            call.failure = Some(format!("answered {} {} times", answer.status(), call.attempts));
        }
        self.callbacks.tell(&call, answer, took, self.body_limit).await;
        if given_up {
            return self.bury(number, &call).await;
        }
        match self.controller.store.remove_call(number).await {
            Ok(()) => self.length.fetch_sub(1, Ordering::Relaxed),
            Err(fault) => return tracing::error!("async call {} will be made again: {fault}", call.call_id),
        };
        if call.body_in_file
            && let Err(e) = files::remove(&self.body_path(number))
        {
            tracing::warn!("can't remove the body of async call {}: {e}", call.call_id);
        }
    }

    async fn bury(&self, number: u64, call: &QueuedCall) {
        let why = call.failure.as_deref().unwrap_or_default();
        tracing::warn!("async call {} of {} is put aside: {why}", call.call_id, call.called);
        match self.controller.store.bury_call(number, call).await {
            Ok(()) => drop(self.length.fetch_sub(1, Ordering::Relaxed)),
            Err(fault) => tracing::error!("async call {}: {fault}", call.call_id),
        }
    }
}

/// A call's turn in its lane; the next call's comes when it goes.
struct Turn {
    queue: Arc<Queue>,
    key: Key,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(lane) = self.queue.lanes().get_mut(&self.key) {
            lane.running -= 1;
        }
        self.queue.running.fetch_sub(1, Ordering::AcqRel);
        self.queue.ended.notify_waiters();
        self.queue.pump(&self.key);
    }
}

/// Bodies of calls that were not accepted before the platform was killed.
fn remove_strays(folder: &Path, known: HashSet<u64>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if number.is_none_or(|number: u64| !known.contains(&number)) {
            let _ = files::remove(&entry.path());
        }
    }
}
