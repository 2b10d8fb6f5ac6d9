//! The embedded platform: functions are processes on this machine, behind the same API as OpenFaaS's gateway.
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::capabilities::{Can, Capabilities};
use super::gateway_api::{GatewayApi, deployment, examine};
use super::{
    Backend, Call, Change, Deployed, Difference, Finding, Info, LogQuery, LogStream, Namespaces, Reply, Scope, Secrets,
};
use crate::artifact::{Artifact, ArtifactKind};
use crate::error::{Fault, Kind, Result};
use crate::function::{Function, FunctionId};
use crate::problem::Problem;
use crate::progress::Progress;
use crate::wire::Bundle;
use crate::wire::client::Client;

mod apply;
mod check;

/// A deploy is answered once the new processes are ready, which may take a minute for each that is slow to start.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// How long replicas that are starting are waited for before they count as not there, and how often they are asked.
const STARTING: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the embedded platform can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    provider: "local",
    asynchronous: Can::Yes,
    logs: Can::Yes,
    scale: Can::Yes,
    scale_to_zero: Can::Yes,
    secrets: Can::Yes,
    namespaces: Can::Yes,
    traffic: Can::No {
        why: "the embedded platform keeps one version of a function",
        instead: "deploy the new version under a second name, or use provider `knative` or `lambda`",
    },
    read_only: Can::No {
        why: "functions run as processes that share this machine's file system",
        instead: "use provider `openfaas` or `knative`, where functions are containers",
    },
    constraints: Can::No {
        why: "the embedded platform is one machine",
        instead: "use provider `openfaas` or `knative`, which place functions on nodes",
    },
    // Memory; `check` says that CPU is not.
    limits: Can::Yes,
    schedule: Can::No {
        why: "the embedded platform has no clock for functions",
        instead: "call `faas invoke NAME` from cron",
    },
    attestations: Can::No {
        why: "functions run as processes: no image is made",
        instead: "leave --sbom and --provenance out, or build for a platform that runs images",
    },
};

/// The embedded platform that runs on this machine.
#[derive(Debug)]
pub struct Local {
    api: GatewayApi,
    wait: Duration,
}

impl Local {
    /// The embedded platform behind `client`, which should be given [`TIMEOUT`]. New processes may take `wait` to
    /// become ready; zero leaves it to the platform.
    #[must_use]
    pub fn new(client: Client, wait: Duration) -> Self {
        Self { api: GatewayApi { client }, wait }
    }
}

#[async_trait]
impl Backend for Local {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn wants(&self, _: &Function) -> ArtifactKind {
        ArtifactKind::Bundle
    }

    fn check(&self, function: &Function) -> Vec<Problem> {
        check::check(function)
    }

    async fn observe(&self, scope: &Scope) -> Result<Vec<Deployed>> {
        // Who asks for some by name wants to know whether they answer; after a start of the platform they soon do.
        let until = tokio::time::Instant::now() + STARTING;
        for name in scope.names.iter().filter(|_| !scope.usage) {
            while tokio::time::Instant::now() < until
                && let Ok(status) = self.api.client.function(name, scope.namespace.as_deref(), false).await
                && status.available_replicas == Some(0)
                && status.starting_replicas.is_some()
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        self.api.observe(scope).await
    }

    fn gives_up(&self) -> bool {
        true
    }

    fn last_status(&self) -> Option<u16> {
        self.api.client.last_status()
    }

    async fn apply(&self, change: &Change, progress: &dyn Progress) -> Result<Deployed> {
        apply::apply(&self.api, change, self.wait, progress).await
    }

    async fn preview(&self, change: &Change) -> Result<Option<Vec<Difference>>> {
        let Artifact::Bundle { dir, digest, run } = &change.artifact else { return Ok(None) };
        let bundle = Bundle { dir: dir.clone(), digest: digest.clone(), run: run.clone(), ..Bundle::default() };
        let wanted = deployment::of(change, format!("bundle:{digest}"), Some(bundle));
        self.api.preview(change, &wanted, true).await.map(Some)
    }

    async fn remove(&self, id: &FunctionId) -> Result<()> {
        self.api.remove(id).await
    }

    async fn invoke(&self, id: &FunctionId, call: Call) -> Result<Reply> {
        self.api.invoke(id, call).await
    }

    async fn logs(&self, query: LogQuery) -> Result<LogStream> {
        let missing = match self.api.describe(&query.id).await {
            Err(fault) if is_missing(&fault) => fault,
            _ => return self.api.logs(query).await,
        };
        // What the first deployment of a function said that did not come up is kept.
        let mut kept = self.api.log(LogQuery { follow: false, ..query }).await?;
        match kept.next().await {
            Some(first) => Ok(Box::pin(futures_util::stream::iter([first]).chain(kept))),
            None => Err(missing),
        }
    }

    async fn scale(&self, id: &FunctionId, replicas: u32) -> Result<Option<u64>> {
        self.api.scale(id, replicas).await.map(|()| None)
    }

    async fn ready(&self, id: &FunctionId) -> Result<bool> {
        self.api.ready(id).await
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

/// Whether the failure says that nothing was there.
fn is_missing(fault: &Fault) -> bool {
    fault.kind == Kind::NotFound
}
