//! OpenFaaS: functions are container images behind a gateway (Kubernetes or faasd).
use std::time::Duration;

use async_trait::async_trait;

use super::capabilities::{Can, Capabilities};
use super::gateway_api::{GatewayApi, deployment, examine};
use super::{
    Backend, Call, Change, Deployed, Difference, Finding, Info, LogQuery, LogStream, Namespaces, Reply, Scope, Secrets,
};
use crate::artifact::{Artifact, ArtifactKind};
use crate::error::Result;
use crate::function::{Function, FunctionId};
use crate::problem::Problem;
use crate::progress::Progress;
use crate::wire::client::Client;

mod apply;
mod check;

/// What OpenFaaS can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    provider: "openfaas",
    asynchronous: Can::Yes,
    logs: Can::Yes,
    scale: Can::Yes,
    scale_to_zero: Can::Yes,
    secrets: Can::Yes,
    namespaces: Can::Yes,
    traffic: Can::No {
        why: "OpenFaaS keeps one version of a function",
        instead: "deploy the new version under a second name, or use provider `knative` or `lambda`",
    },
    read_only: Can::Yes,
    constraints: Can::Yes,
    limits: Can::Yes,
    schedule: Can::Yes,
    attestations: Can::Yes,
};

/// An OpenFaaS gateway.
#[derive(Debug)]
pub struct OpenFaas {
    api: GatewayApi,
    wait: Duration,
}

impl OpenFaas {
    /// The gateway behind `client`; `apply` waits for at most `wait` until the function answers, zero doesn't wait.
    #[must_use]
    pub fn new(client: Client, wait: Duration) -> Self {
        Self { api: GatewayApi { client }, wait }
    }
}

#[async_trait]
impl Backend for OpenFaas {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn wants(&self, _: &Function) -> ArtifactKind {
        ArtifactKind::Image
    }

    fn check(&self, function: &Function) -> Vec<Problem> {
        check::check(function)
    }

    fn ends_for_images(&self, on_this_machine: bool) -> bool {
        // faasd does.
        !on_this_machine || self.api.client.is_loopback()
    }

    async fn observe(&self, scope: &Scope) -> Result<Vec<Deployed>> {
        self.api.observe(scope).await
    }

    fn last_status(&self) -> Option<u16> {
        self.api.client.last_status()
    }

    async fn apply(&self, change: &Change, progress: &dyn Progress) -> Result<Deployed> {
        apply::apply(&self.api, self.wait, change, progress).await
    }

    async fn settle(&self, function: &Function, deployed: &Deployed, progress: &dyn Progress) -> Result<()> {
        apply::settle(&self.api, self.wait, function, deployed, progress).await
    }

    async fn preview(&self, change: &Change) -> Result<Option<Vec<Difference>>> {
        let Artifact::Image { reference, .. } = &change.artifact else { return Ok(None) };
        let wanted = deployment::of(change, reference.clone(), None);
        self.api.preview(change, &wanted, false).await.map(Some)
    }

    async fn remove(&self, id: &FunctionId) -> Result<()> {
        apply::remove(&self.api, id).await
    }

    async fn invoke(&self, id: &FunctionId, call: Call) -> Result<Reply> {
        self.api.invoke(id, call).await
    }

    async fn logs(&self, query: LogQuery) -> Result<LogStream> {
        self.api.logs(query).await
    }

    async fn scale(&self, id: &FunctionId, replicas: u32) -> Result<Option<u64>> {
        self.api.scale(id, replicas).await.map(|()| None)
    }

    async fn ready(&self, id: &FunctionId) -> Result<bool> {
        // A replica counts as available before it listens.
        Ok(self.api.ready(id).await? && apply::listens(&self.api, id).await)
    }

    async fn is_up(&self) -> Result<()> {
        // Needs no login: who refuses this is no gateway, or none that is up.
        self.api.client.healthz().await
    }

    async fn info(&self) -> Result<Info> {
        self.api.info().await
    }

    async fn examine(&self, _: &[Function], _: &str) -> Vec<Finding> {
        examine::examine(&self.api).await
    }

    fn lists_every_secret(&self) -> bool {
        true
    }

    fn secrets(&self) -> Option<&dyn Secrets> {
        Some(&self.api)
    }

    fn namespaces(&self) -> Option<&dyn Namespaces> {
        Some(&self.api)
    }
}
