//! The ringleader: creates, updates, scales and removes functions. One change of a function at a time.
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::answer::Refused;
use super::balance::Function;
use super::functions::{Limits, check};
use super::logs::{self, FunctionLog};
use super::namespaces::Namespaces;
use super::record::{FunctionRecord, Key};
use super::replica::{Plan, READY, Replica};
use super::secrets::Secrets;
use super::serve::Place;
use super::store::Store;
use super::{DEFAULT_NAMESPACE, files};
use crate::error::Result;
use crate::wire::{FunctionDeployment, Orders};

/// Functions that are started at a time after a restart.
const STARTING: usize = 4;

/// All functions, by what stands in a call's path.
#[derive(Default)]
struct Table {
    all: BTreeMap<Key, Arc<Function>>,
    by_path: HashMap<String, Arc<Function>>,
}

/// The ringleader.
pub(super) struct Controller {
    place: Place,
    /// The database.
    pub store: Store,
    /// Namespaces.
    pub namespaces: Namespaces,
    /// Secrets.
    pub secrets: Secrets,
    grace: Duration,
    table: RwLock<Arc<Table>>,
    turns: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

impl Controller {
    /// With the functions that the database knows; none runs yet.
    pub fn open(place: Place, store: Store, grace: Duration) -> Result<Arc<Self>> {
        let namespaces = Namespaces::open(&store)?;
        let controller = Self {
            namespaces,
            secrets: Secrets::new(&place.folder),
            place,
            grace,
            table: RwLock::default(),
            turns: Mutex::default(),
            store,
        };
        for (key, record) in controller.store.functions()? {
            let log = controller.log(&key);
            controller.enter(Arc::new(Function::new(key, record, log)));
        }
        Ok(Arc::new(controller))
    }

    /// The platform's folder.
    pub fn platform(&self) -> &Path {
        &self.place.folder
    }

    /// Starts all functions that should run, a few at a time. Calls don't wait for their turn here.
    pub fn start_all(self: &Arc<Self>) {
        let places = Arc::new(Semaphore::new(STARTING));
        for function in self.functions(None) {
            let (controller, places) = (Arc::clone(self), Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire().await;
                if function.record().replicas > 0
                    && let Ok(()) = controller.wake(&function).await
                    && let Some(replica) = function.replicas().first()
                {
                    // The place is kept until the first replica is up: starting is what takes the processor.
                    let _ = replica.invoker().wait_ready(READY).await;
                }
            });
        }
    }

    /// The function that a call's path names, as `NAME` or `NAME.NAMESPACE`.
    pub fn find(&self, full: &str) -> Option<Arc<Function>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_path.get(full).cloned()
    }

    /// A function.
    pub fn get(&self, key: &Key) -> Option<Arc<Function>> {
        self.table().all.get(key).cloned()
    }

    /// All functions of a namespace, or of all; sorted by name.
    pub fn functions(&self, namespace: Option<&str>) -> Vec<Arc<Function>> {
        let table = self.table();
        table.all.values().filter(|f| namespace.is_none_or(|n| n == f.key.namespace)).cloned().collect()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_table(&self, change: impl FnOnce(&mut BTreeMap<Key, Arc<Function>>)) {
        let mut place = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = place.all.clone();
        change(&mut all);
        let mut by_path = HashMap::with_capacity(2 * all.len());
        for (key, function) in &all {
            by_path.insert(key.to_string(), Arc::clone(function));
            // A name with a dot can only be called with its namespace: the last dot parts the two.
            if key.namespace == DEFAULT_NAMESPACE && !key.name.contains('.') {
                by_path.insert(key.name.clone(), Arc::clone(function));
            }
        }
        *place = Arc::new(Table { all, by_path });
    }

    fn enter(&self, function: Arc<Function>) {
        self.change_table(|all| drop(all.insert(function.key.clone(), function)));
    }

    fn log(&self, key: &Key) -> Arc<FunctionLog> {
        FunctionLog::new(key.clone(), logs::folder(&self.place.folder, key), logs::FILE_SIZE)
    }

    /// The log of a function that is not there: that of its first deployment, when it did not come up.
    pub fn log_left(&self, key: &Key) -> Option<Arc<FunctionLog>> {
        let named = super::functions::is_name(&key.name) && super::functions::is_name(&key.namespace);
        (named && logs::folder(&self.place.folder, key).is_dir()).then(|| self.log(key))
    }

    /// One change of a function at a time.
    async fn turn(&self, key: &Key) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(key.clone()).or_default())
        };
        turn.lock_owned().await
    }

    /// Creates a function, or updates one. The new replicas answer before the old ones stop; when they don't come up, or
    /// the client goes away before they do, nothing has changed.
    pub async fn deploy(self: &Arc<Self>, mut deployment: FunctionDeployment, update: bool) -> Result<(), Refused> {
        let orders = deployment.bundle.as_mut().map(|b| std::mem::take(&mut b.orders)).unwrap_or_default();
        let namespace = deployment.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or(DEFAULT_NAMESPACE);
        self.namespaces.check(namespace)?;
        let key = Key::new(namespace, &deployment.service);
        let turn = self.turn(&key).await;
        let old = self.get(&key);
        if update && old.is_none() {
            return Err(Refused::missing(format_args!("service {} not found", key.name)));
        }
        if !update && old.is_some() {
            return Err(Refused::bad(format_args!(
                "unable to create container: {0}, error: snapshot \"{0}-snapshot\": already exists",
                key.name
            )));
        }
        let limits = check(&deployment, namespace, &self.secrets)?;
        let (created, wanted) = match old.as_ref().map(|f| f.record()) {
            Some(record) => (record.created, record.replicas.clamp(limits.min.max(1), limits.max)),
            None => (jiff::Timestamp::now(), limits.min.max(1)),
        };
        let record = FunctionRecord { deployment, created, replicas: wanted };
        match old {
            None => self.create(turn, key, record, orders).await,
            Some(function) => self.update(turn, function, record, orders).await,
        }
    }

    async fn create(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        key: Key,
        record: FunctionRecord,
        orders: Orders,
    ) -> Result<(), Refused> {
        let log = self.log(&key);
        let replicas = match orders.unawaited {
            true => self.start(&key, &record, &log, record.replicas).map_err(|e| not_started(&key, &e))?,
            false => self.come_up(&key, &record, &log, orders).await?,
        };
        let controller = Arc::clone(self);
        for_good(async move {
            let _turn = turn;
            if let Err(fault) = controller.store.put_function(&key, &record).await {
                controller.retire(replicas);
                return Err(fault.into());
            }
            let function = Arc::new(Function::new(key, record.clone(), log));
            function.set(record, replicas);
            controller.enter(function);
            Ok(())
        })
        .await
    }

    async fn update(
        self: &Arc<Self>,
        turn: OwnedMutexGuard<()>,
        function: Arc<Function>,
        record: FunctionRecord,
        orders: Orders,
    ) -> Result<(), Refused> {
        let running = function.replicas();
        let now = function.record();
        let healthy = running.len() == record.replicas as usize && running.iter().all(|r| r.is_steady());
        let controller = Arc::clone(self);
        if healthy && !orders.restart && same_processes(&now.deployment, &record.deployment) {
            return for_good(async move {
                let _turn = turn;
                controller.store.put_function(&function.key, &record).await?;
                function.set(record, running.to_vec());
                Ok(())
            })
            .await;
        }
        if orders.unawaited {
            tokio::spawn(async move {
                let key = function.key.clone();
                if let Err(refused) = controller.replace(turn, function, record, orders).await {
                    tracing::warn!("{key} stays as it was: {}", refused.text.trim_end());
                }
            });
            return Ok(());
        }
        controller.replace(turn, function, record, orders).await
    }

    /// Starts new replicas, and ends the old ones once those are ready.
    async fn replace(
        self: Arc<Self>,
        turn: OwnedMutexGuard<()>,
        function: Arc<Function>,
        record: FunctionRecord,
        orders: Orders,
    ) -> Result<(), Refused> {
        let replicas = self.come_up(&function.key, &record, &function.log, orders).await?;
        for_good(async move {
            let _turn = turn;
            if let Err(fault) = self.store.put_function(&function.key, &record).await {
                self.retire(replicas);
                return Err(fault.into());
            }
            let before = function.set(record, replicas);
            self.retire(before.to_vec());
            Ok(())
        })
        .await
    }

    /// As many replicas as wanted, all ready.
    async fn come_up(
        &self,
        key: &Key,
        record: &FunctionRecord,
        log: &Arc<FunctionLog>,
        orders: Orders,
    ) -> Result<Vec<Arc<Replica>>, Refused> {
        let refused = |why: &dyn std::fmt::Display| not_started(key, why);
        let replicas = self.start(key, record, log, record.replicas).map_err(|e| refused(&e))?;
        // A deploy that is given up, because the client went away, must leave no process behind.
        let replicas = Unclaimed { controller: self, replicas };
        let ready = futures_util::future::try_join_all(
            replicas.replicas.iter().map(|r| r.invoker().wait_ready(orders.ready_within.unwrap_or(READY))),
        );
        ready.await.map_err(|e| match e {
            faas_watchdog::Error::NotReady { .. } => {
                Refused { status: StatusCode::GATEWAY_TIMEOUT, text: refused(&e).text }
            }
            _ => refused(&e),
        })?;
        Ok(replicas.claim())
    }

    fn start(
        &self,
        key: &Key,
        record: &FunctionRecord,
        log: &Arc<FunctionLog>,
        count: u32,
    ) -> Result<Vec<Arc<Replica>>, String> {
        let plan = Plan { place: &self.place, key, deployment: &record.deployment, secrets: &self.secrets, log };
        let mut replicas = Vec::new();
        for _ in 0..count {
            match Replica::start(&plan) {
                Ok(replica) => replicas.push(replica),
                Err(why) => {
                    self.retire(replicas);
                    return Err(why);
                }
            }
        }
        Ok(replicas)
    }

    /// Lets replicas answer what they have begun, and ends them, in the background.
    fn retire(&self, replicas: Vec<Arc<Replica>>) {
        for replica in replicas {
            let grace = self.grace;
            tokio::spawn(async move { replica.drain(grace).await });
        }
    }

    /// Starts the replicas of a function that has none, and does not wait until they answer.
    pub async fn wake(&self, function: &Arc<Function>) -> Result<(), Refused> {
        let _turn = self.turn(&function.key).await;
        if self.get(&function.key).is_none() {
            return Err(Refused::missing(format_args!("service {} not found", function.key.name)));
        }
        if !function.replicas().is_empty() {
            return Ok(());
        }
        let mut record = FunctionRecord::clone(&function.record());
        if record.replicas == 0 {
            record.replicas = Limits::of(&record.deployment).map_or(1, |limits| limits.min.max(1));
            self.store.put_function(&function.key, &record).await?;
        }
        match self.start(&function.key, &record, &function.log, record.replicas) {
            Ok(replicas) => {
                function.set(record, replicas);
                Ok(())
            }
            Err(why) => {
                function.set_failed();
                Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why))
            }
        }
    }

    /// Sets the number of replicas; 0 lets the function sleep until the next call.
    pub async fn scale(&self, key: &Key, wanted: u32) -> Result<(), Refused> {
        self.namespaces.check(&key.namespace)?;
        let _turn = self.turn(key).await;
        let Some(function) = self.get(key) else {
            return Err(Refused::missing(format_args!("service {} not found", key.name)));
        };
        let mut record = FunctionRecord::clone(&function.record());
        let limits = Limits::of(&record.deployment)?;
        if wanted > limits.max {
            return Err(Refused::bad(format_args!(
                "{} can have at most {} replicas: label com.openfaas.scale.max says how many",
                key.name, limits.max
            )));
        }
        record.replicas = wanted;
        let mut replicas = function.replicas().to_vec();
        let surplus = replicas.split_off(replicas.len().min(wanted as usize));
        let missing = wanted - u32::try_from(replicas.len()).unwrap_or(wanted);
        let more = self.start(key, &record, &function.log, missing).map_err(Refused::bad)?;
        replicas.extend(more);
        self.store.put_function(key, &record).await?;
        function.set(record, replicas);
        self.retire(surplus);
        Ok(())
    }

    /// Removes a function with its log.
    pub async fn remove(&self, key: &Key) -> Result<(), Refused> {
        self.namespaces.check(&key.namespace)?;
        let _turn = self.turn(key).await;
        let Some(function) = self.get(key) else {
            return Err(Refused::missing(format_args!("service {} not found", key.name)));
        };
        self.store.remove_function(key).await?;
        self.change_table(|all| drop(all.remove(key)));
        let before = function.set(FunctionRecord::clone(&function.record()), Vec::new());
        // Now, and not when the processes have ended: by then there may be a new function of this name.
        if let Err(e) = function.log.remove() {
            tracing::warn!("can't remove the log of {key}: {e}");
        }
        self.retire(before.to_vec());
        Ok(())
    }

    /// Makes a namespace's folder of secrets go with it; refused while it holds functions.
    pub async fn remove_namespace(&self, name: &str) -> Result<(), Refused> {
        if name == DEFAULT_NAMESPACE || !self.functions(Some(name)).is_empty() {
            return Err(Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format_args!("namespace \"{name}\" must be empty, but it still has containers"),
            ));
        }
        self.namespaces.remove(&self.store, name).await?;
        if let Err(e) = self.secrets.remove_all(name) {
            tracing::warn!("can't remove the secrets of namespace {name}: {e}");
        }
        Ok(())
    }

    /// Ends all who follow a log.
    pub fn close_logs(&self) {
        self.functions(None).iter().for_each(|f| f.log.close());
    }

    /// Ends all functions, calls in flight answered; they come back with the next start.
    pub async fn shut_down(&self, grace: Duration) {
        let functions = self.functions(None);
        let all = functions.iter().flat_map(|f| f.replicas().to_vec());
        futures_util::future::join_all(all.map(|replica| async move { replica.drain(grace).await })).await;
        let _ = files::remove(&self.place.folder.join("run"));
    }
}

/// Does the end of a change in a task of its own, so that a client that goes away now leaves no half of it.
async fn for_good(change: impl Future<Output = Result<(), Refused>> + Send + 'static) -> Result<(), Refused> {
    match tokio::spawn(change).await {
        Ok(outcome) => outcome,
        Err(e) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, e)),
    }
}

fn not_started(key: &Key, why: &dyn std::fmt::Display) -> Refused {
    Refused::bad(format_args!("unable to start function: {}, error: {why}", key.name))
}

/// Replicas that end unless they are claimed.
struct Unclaimed<'a> {
    controller: &'a Controller,
    replicas: Vec<Arc<Replica>>,
}

impl Unclaimed<'_> {
    fn claim(mut self) -> Vec<Arc<Replica>> {
        std::mem::take(&mut self.replicas)
    }
}

impl Drop for Unclaimed<'_> {
    fn drop(&mut self) {
        self.controller.retire(std::mem::take(&mut self.replicas));
    }
}

/// Whether both deployments run the same processes, so that replicas can go on under the new one.
fn same_processes(one: &FunctionDeployment, other: &FunctionDeployment) -> bool {
    let runs = |d: &FunctionDeployment| {
        (
            d.bundle.clone(),
            d.env_vars.clone().unwrap_or_default(),
            d.env_process.clone(),
            d.secrets.clone().unwrap_or_default(),
        )
    };
    runs(one) == runs(other)
}
