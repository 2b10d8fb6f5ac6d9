//! A deployed function with its replicas, and which of them gets a call.
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::logs::FunctionLog;
use super::metrics::Counters;
use super::record::{FunctionRecord, Key};
use super::replica::{Held, Replica};

/// Calls of one function that may wait for a replica at a time.
const WAITING: usize = 1024;

/// A deployed function.
pub(super) struct Function {
    /// Its name.
    pub key: Key,
    /// Its calls.
    pub counters: Counters,
    /// Its log.
    pub log: Arc<FunctionLog>,
    record: RwLock<Arc<FunctionRecord>>,
    replicas: RwLock<Arc<[Arc<Replica>]>>,
    changed: watch::Sender<()>,
    waiting: AtomicUsize,
    turn: AtomicUsize,
    failed: AtomicBool,
}

impl Function {
    /// A function without replicas.
    pub fn new(key: Key, record: FunctionRecord, log: Arc<FunctionLog>) -> Self {
        Self {
            key,
            counters: Counters::default(),
            log,
            record: RwLock::new(Arc::new(record)),
            replicas: RwLock::new(Arc::from([])),
            changed: watch::channel(()).0,
            waiting: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// How it was deployed.
    pub fn record(&self) -> Arc<FunctionRecord> {
        Arc::clone(&self.record.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its replicas.
    pub fn replicas(&self) -> Arc<[Arc<Replica>]> {
        Arc::clone(&self.replicas.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replicas that answer, and do not end again and again.
    pub fn available(&self) -> usize {
        self.replicas().iter().filter(|r| r.is_steady()).count()
    }

    /// Replicas that are on their way; all of them when none was started yet.
    pub fn starting(&self) -> usize {
        let replicas = self.replicas();
        if replicas.is_empty() && !self.failed.load(Ordering::Acquire) {
            return self.record().replicas as usize;
        }
        replicas.iter().filter(|r| r.invoker().is_starting()).count()
    }

    /// No replica can be started at all.
    pub fn set_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Replaces record and replicas; gives the replicas that were there. From now on no call gets one of those.
    pub fn set(&self, record: FunctionRecord, replicas: Vec<Arc<Replica>>) -> Arc<[Arc<Replica>]> {
        *self.record.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(record);
        let replicas = replicas.into();
        let mut place = self.replicas.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, replicas);
        drop(place);
        self.changed.send_replace(());
        before
    }

    /// Told with each change of the replicas.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The ready replica with the fewest calls, held for one; of several the next in turn.
    pub fn pick(&self) -> Option<Held> {
        // Held under the lock: after `set` no call can take a replica that is being drained.
        let replicas = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        if let [only] = &**replicas {
            return only.is_ready().then(|| only.hold());
        }
        let count = replicas.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .map(|at| &replicas[(first + at) % count])
            .filter(|replica| replica.is_ready())
            .min_by_key(|replica| replica.load())
            .map(Replica::hold)
    }

    /// Counts a call that waits for a replica, until the guard goes; `None` when too many wait.
    pub fn wait(&self) -> Option<Waiting<'_>> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Waiting(self))
    }
}

/// A call that waits for a replica.
pub(super) struct Waiting<'a>(&'a Function);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
