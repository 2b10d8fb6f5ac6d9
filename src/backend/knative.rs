//! Knative: functions are Services of Knative Serving in a Kubernetes cluster, with revisions and shares of traffic.
use async_trait::async_trait;

use super::capabilities::{Can, Capabilities};
use super::{
    Backend, Call, Change, Deployed, Detail, Difference, Finding, Info, LogQuery, LogStream, Namespaces, Reply, Scope,
    Secrets, Traffic,
};
use crate::artifact::ArtifactKind;
use crate::error::Result;
use crate::function::{Function, FunctionId};
use crate::problem::Problem;
use crate::progress::Progress;

mod apply;
mod broker;
mod busy;
mod check;
mod cluster;
mod detail;
mod diagnosis;
mod difference;
mod examine;
mod func_file;
mod hatch;
pub mod import;
mod info;
mod invoke;
mod logs;
mod manifest;
mod merge;
mod namespaces;
mod objects;
mod observe;
mod plugin;
mod preview;
mod refusal;
mod rehearsal;
mod scale;
mod scaling;
mod secrets;
mod stack_field;
mod subscriptions;
mod traffic;
pub mod triggers;
mod trouble;
mod tunnel;
mod wait;

pub use cluster::Settings;
pub use manifest::of as manifest;

/// What Knative can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    provider: "knative",
    // Where the namespace has a broker of Knative Eventing; the call says so where it has none.
    asynchronous: Can::Yes,
    logs: Can::Yes,
    scale: Can::Yes,
    scale_to_zero: Can::Yes,
    secrets: Can::Yes,
    namespaces: Can::Yes,
    traffic: Can::Yes,
    read_only: Can::Yes,
    constraints: Can::No {
        why: "Knative places pods by itself",
        instead: "where the administrator allows it, use `knative: {spec: {template: {spec: {nodeSelector: …}}}}`",
    },
    limits: Can::Yes,
    schedule: Can::Yes,
    attestations: Can::Yes,
};

/// A cluster with Knative Serving.
pub struct Knative {
    cluster: cluster::Cluster,
    caller: invoke::Caller,
}

impl Knative {
    /// The Services of the cluster by name, as they are there, for `faas import`; all of the namespace without names.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] for a name that is not there.
    pub async fn raw_services(&self, namespace: Option<&str>, names: &[String]) -> Result<Vec<serde_json::Value>> {
        observe::raw(&self.cluster, namespace, names).await
    }

    /// The cluster that `settings` lead to. Nothing is read and nobody is asked before the first call.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { caller: invoke::Caller::new(settings.ingress.clone()), cluster: cluster::Cluster::new(settings) }
    }
}

#[async_trait]
impl Backend for Knative {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn wants(&self, _: &Function) -> ArtifactKind {
        ArtifactKind::Image
    }

    fn pins_images(&self) -> bool {
        true
    }

    fn foreign(&self, deployed: &Deployed) -> Option<String> {
        cluster::foreign(Some(&deployed.labels))
    }

    fn check(&self, function: &Function) -> Vec<Problem> {
        check::check(function)
    }

    async fn observe(&self, scope: &Scope) -> Result<Vec<Deployed>> {
        observe::observe(&self.cluster, scope).await
    }

    async fn observe_everywhere(&self, others: bool) -> Result<Vec<Deployed>> {
        observe::everywhere(&self.cluster, others).await
    }

    fn rehearses(&self) -> bool {
        true
    }

    async fn rehearse(&self, change: &Change, progress: &dyn Progress) -> Result<()> {
        rehearsal::rehearse(&self.cluster, change, progress).await
    }

    async fn apply(&self, change: &Change, progress: &dyn Progress) -> Result<Deployed> {
        Ok(observe::deployed(&apply::apply(&self.cluster, change, progress).await?, &[]))
    }

    async fn settle(&self, function: &Function, deployed: &Deployed, progress: &dyn Progress) -> Result<()> {
        if let Some(shares) = &deployed.pinned {
            let name = &function.name;
            progress.warn(name, &format!("the traffic stays where it was put ({shares}): `faas rollout promote {name}` gives it to the newest revision"));
        }
        Ok(())
    }

    async fn preview(&self, change: &Change) -> Result<Option<Vec<Difference>>> {
        preview::preview(&self.cluster, change).await.map(Some)
    }

    async fn detail(&self, id: &FunctionId) -> Result<Option<Detail>> {
        detail::detail(&self.cluster, id).await.map(Some)
    }

    async fn remove(&self, id: &FunctionId) -> Result<()> {
        apply::remove(&self.cluster, id).await
    }

    async fn invoke(&self, id: &FunctionId, call: Call) -> Result<Reply> {
        self.caller.call(&self.cluster, id, call).await
    }

    async fn logs(&self, query: LogQuery) -> Result<LogStream> {
        logs::logs(&self.cluster, query).await
    }

    fn scales_by_itself(&self) -> bool {
        true
    }

    fn has_containers(&self) -> bool {
        true
    }

    async fn scale(&self, id: &FunctionId, replicas: u32) -> Result<Option<u64>> {
        scale::scale(&self.cluster, id, replicas).await.map(|()| None)
    }

    async fn ready(&self, id: &FunctionId) -> Result<bool> {
        // Scaled to zero is ready, too: the next call wakes it.
        Ok(self.cluster.service(id).await?.is_ready())
    }

    async fn info(&self) -> Result<Info> {
        info::info(&self.cluster).await
    }

    async fn examine(&self, _: &[Function], _: &str) -> Vec<Finding> {
        examine::examine(&self.cluster).await
    }

    fn traffic(&self) -> Option<&dyn Traffic> {
        Some(&self.cluster)
    }

    fn secrets(&self) -> Option<&dyn Secrets> {
        Some(&self.cluster)
    }

    fn namespaces(&self) -> Option<&dyn Namespaces> {
        Some(&self.cluster)
    }
}
