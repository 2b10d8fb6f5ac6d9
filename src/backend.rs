//! What every platform does for `faas`: the Backend trait and its vocabulary. One line a backend in `cli/backends.rs`.
use async_trait::async_trait;
use serde::Serialize;

use crate::artifact::ArtifactKind;
use crate::error::{Code, Fault, Kind, Result};
use crate::finding;
use crate::function::{Function, FunctionId};
use crate::history::{self, Deployment};
use crate::problem::Problem;
use crate::progress::Progress;

mod call;
pub mod capabilities;
mod change;
mod deployed;
pub mod gateway_api;
#[cfg(feature = "knative")]
pub mod knative;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
mod log;
mod namespaces;
pub mod near;
#[cfg(feature = "openfaas")]
pub mod openfaas;
#[cfg(any(feature = "knative", feature = "openfaas"))]
mod quantity;
mod secrets;
#[cfg(any(feature = "knative", feature = "lambda"))]
mod served;
mod traffic;

pub use crate::finding::Finding;
pub use call::{Body, Call, CallOptions, LogTail, Reply};
pub use capabilities::Capabilities;
pub use change::{Change, Difference, How};
pub use deployed::{Condition, Deployed, Detail, Scope, Usage};
pub use log::{LogEntry, LogQuery, LogStream};
pub use namespaces::{Namespace, Namespaces};
pub use secrets::{Existing, Secret, SecretName, Secrets, Written};
pub use traffic::{Revision, Traffic};

/// Annotation: hash of the neutral spec that was applied last.
pub const SPEC_KEY: &str = "faas.dev/spec";
/// Annotation: identity of the artifact that was applied last.
pub const ARTIFACT_KEY: &str = "faas.dev/artifact";
/// Annotation: the stack that owns the function; only such functions are ever pruned.
pub const STACK_KEY: &str = "faas.dev/stack";

/// A platform.
#[async_trait]
pub trait Backend: Send + Sync {
    /// What this platform can do, row by row.
    fn capabilities(&self) -> &'static Capabilities;

    /// What kind of artifact this function needs here.
    fn wants(&self, function: &Function) -> ArtifactKind;

    /// Whether the platform looks an image's tag up only when a function is changed, so that deploying wants a digest.
    fn pins_images(&self) -> bool {
        false
    }

    /// The platform, as `linux/arm64`, that the function's image must be for, alone; `None` where an index will do.
    fn image_platform(&self, function: &Function) -> Option<&'static str> {
        let _ = function;
        None
    }

    /// Whether an update ends the function that runs before the new image was pulled, so that one which is not there costs
    /// it. A registry `on_this_machine` may be another one to the platform.
    fn ends_for_images(&self, on_this_machine: bool) -> bool {
        let _ = on_this_machine;
        false
    }

    /// Everything wrong with `function` on this platform, all at once, before anything is changed.
    fn check(&self, function: &Function) -> Vec<Problem>;

    /// What is deployed: all in the scope's namespace, or the named functions only (missing ones are left out).
    async fn observe(&self, scope: &Scope) -> Result<Vec<Deployed>>;

    /// What is deployed in all namespaces; with `others`, what other tools deployed, too.
    async fn observe_everywhere(&self, others: bool) -> Result<Vec<Deployed>> {
        let Some(namespaces) = self.namespaces() else {
            return self.observe(&Scope { others, ..Scope::default() }).await;
        };
        let mut all = Vec::new();
        for namespace in namespaces.list().await? {
            all.extend(self.observe(&Scope { namespace: Some(namespace), others, ..Scope::default() }).await?);
        }
        Ok(all)
    }

    /// Whether a deployment that is under way ends with the command that asked for it.
    fn gives_up(&self) -> bool {
        false
    }

    /// The HTTP status of the platform's last answer, where it speaks HTTP and one call follows another.
    fn last_status(&self) -> Option<u16> {
        None
    }

    /// Why `deployed` is not for this tool to change; `None` where everybody changes everything.
    fn foreign(&self, deployed: &Deployed) -> Option<String> {
        let _ = deployed;
        None
    }

    /// Whether the platform can be asked beforehand what it would refuse, by [`Backend::rehearse`].
    fn rehearses(&self) -> bool {
        false
    }

    /// Asks the platform whether it would take `change`; nothing is changed.
    ///
    /// # Errors
    /// What it would refuse, and why.
    async fn rehearse(&self, change: &Change, progress: &dyn Progress) -> Result<()> {
        let _ = (change, progress);
        Ok(())
    }

    /// Makes the platform as `change` says. Idempotent: run twice, or killed and run again, it ends in the same state.
    async fn apply(&self, change: &Change, progress: &dyn Progress) -> Result<Deployed>;

    /// Waits until a function that was left as it is answers, for as long as [`Backend::apply`] would; nothing where
    /// [`Deployed`] tells that already.
    ///
    /// # Errors
    /// [`crate::error::Kind::TimedOut`] when it doesn't.
    async fn settle(&self, function: &Function, deployed: &Deployed, progress: &dyn Progress) -> Result<()> {
        let _ = (function, deployed, progress);
        Ok(())
    }

    /// What somebody changed behind our back, by what [`Backend::observe`] saw, and beyond what [`Deployed`] tells.
    ///
    /// # Errors
    /// When the change can't be one of this platform.
    fn drift(&self, change: &Change) -> Result<Vec<Difference>> {
        let _ = change;
        Ok(Vec::new())
    }

    /// What [`Backend::apply`] would change, as the platform itself works it out without doing it; `None` where it
    /// can't say.
    async fn preview(&self, change: &Change) -> Result<Option<Vec<Difference>>> {
        let _ = change;
        Ok(None)
    }

    /// What the platform tells of one function beyond [`Deployed`]; `None` where there is no more.
    async fn detail(&self, id: &FunctionId) -> Result<Option<Detail>> {
        let _ = id;
        Ok(None)
    }

    /// Removes a function; [`crate::error::Kind::NotFound`] when there is none.
    async fn remove(&self, id: &FunctionId) -> Result<()>;

    /// Calls a function. Bodies are streams, both ways; any status the function answers is a [`Reply`], not an error.
    async fn invoke(&self, id: &FunctionId, call: Call) -> Result<Reply>;

    /// A function's log.
    async fn logs(&self, query: LogQuery) -> Result<LogStream>;

    /// Whether [`Backend::scale`] sets the least, and the platform ends what is more once it has nothing to do.
    fn scales_by_itself(&self) -> bool {
        false
    }

    /// Whether a function's replicas have several containers, whose logs can be told apart.
    fn has_containers(&self) -> bool {
        false
    }

    /// Sets the number of replicas; tells how many the platform has taken, where its answer says so.
    async fn scale(&self, id: &FunctionId, replicas: u32) -> Result<Option<u64>>;

    /// Whether the function answers calls now: `Ok(true)` once at least one replica is available.
    async fn ready(&self, id: &FunctionId) -> Result<bool>;

    /// Whether the platform itself answers; an error when it doesn't. One that wants a login is there.
    async fn is_up(&self) -> Result<()> {
        match self.info().await {
            Err(fault) if fault.kind != Kind::Unauthorized => Err(fault),
            _ => Ok(()),
        }
    }

    /// The platform itself: name, version, address. An error when it can't be reached.
    async fn info(&self) -> Result<Info>;

    /// Everything that can keep this platform from being used, for `faas doctor`: whether it is reached, whether it knows
    /// the caller, what it lacks for the functions of a stack. Each look has its own time limit, by [`finding::look`];
    /// nothing is changed.
    async fn examine(&self, functions: &[Function], stack: &str) -> Vec<Finding> {
        let _ = (functions, stack);
        let look = async { self.info().await.map(|info| Finding::ok("platform", info.said())) };
        vec![finding::look("platform", finding::LIMIT, look).await]
    }

    /// Readies the platform's own registry for the image `reference`; `None` where that is not the platform's.
    async fn registry(&self, reference: &str) -> Result<Option<RegistryLogin>> {
        let _ = reference;
        Ok(None)
    }

    /// Removes a function, also one that something else deployed, and nothing beside it.
    async fn remove_foreign(&self, id: &FunctionId) -> Result<()> {
        self.remove(id).await
    }

    /// Removes a function and leaves its log where it is.
    async fn remove_but_log(&self, id: &FunctionId) -> Result<()> {
        let provider = self.capabilities().provider;
        Err(Fault::unsupported(format!("can't keep the log of {id}"))
            .cause(format!("on provider `{provider}` logs go with their functions"))
            .hint("leave out --keep-logs, and save the log by `faas logs` before"))
    }

    /// Canary, promote, roll back, revisions; `None` where the platform has no such thing.
    fn traffic(&self) -> Option<&dyn Traffic> {
        None
    }

    /// The deployments of a function that the platform remembers, newest first: those of its revisions, where it has
    /// such, else those that stand in an annotation.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when there is no such function.
    async fn deployments(&self, id: &FunctionId) -> Result<Vec<Deployment>> {
        if let Some(traffic) = self.traffic() {
            return Ok(traffic.revisions(id).await?.into_iter().map(Revision::into_deployment).collect());
        }
        let scope = Scope { namespace: id.namespace.clone(), names: vec![id.name.clone()], ..Scope::default() };
        let there = self.observe(&scope).await?.into_iter().next().ok_or_else(|| {
            Fault::not_found(format!("there is no function {id}"))
                .code(Code::NO_FUNCTION)
                .hint("`faas list` shows what is deployed")
        })?;
        let all = history::past(&there.annotations).into_iter().enumerate();
        Ok(all.map(|(n, record)| Deployment { id: record.number.to_string(), serves: n == 0, record }).collect())
    }

    /// Whether [`Secrets::list`] tells of every secret that a function may name.
    fn lists_every_secret(&self) -> bool {
        false
    }

    /// Secrets; `None` where the platform has no such thing.
    fn secrets(&self) -> Option<&dyn Secrets> {
        None
    }

    /// Namespaces; `None` where the platform has no such thing.
    fn namespaces(&self) -> Option<&dyn Namespaces> {
        None
    }
}

/// A login for a registry.
#[derive(Debug, Clone)]
pub struct RegistryLogin {
    /// The registry's address, as it stands in images' names.
    pub registry: String,
    /// Who.
    pub user: String,
    /// The password.
    pub password: secrecy::SecretString,
}

/// The platform itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Info {
    /// Its name, as `faas-local` or `faasd`.
    pub provider: String,
    /// What runs the functions, as `containerd`, `kubernetes`, `process`.
    pub orchestration: String,
    /// Its version.
    pub version: String,
    /// Its address.
    pub address: String,
    /// Everything it told about itself.
    pub details: serde_json::Value,
}

impl Info {
    /// What it is and where, in a line.
    #[must_use]
    pub fn said(&self) -> String {
        let Self { provider, orchestration, version, address, .. } = self;
        let on = if orchestration.is_empty() || orchestration == provider {
            String::new()
        } else {
            format!(" on {orchestration}")
        };
        let version = if version.is_empty() { String::new() } else { format!(" {version}") };
        format!("{provider}{version}{on} at {address}")
    }
}
