//! AWS Lambda by its API alone: no CloudFormation, no bucket, and no container engine for zip functions.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::OnceCell;

use super::capabilities::{Can, Capabilities};
use super::{
    Backend, Call, Change, Deployed, Difference, Finding, Info, LogQuery, LogStream, RegistryLogin, Reply, STACK_KEY,
    Scope, Secrets, Traffic,
};
use crate::artifact::ArtifactKind;
use crate::error::{Fault, Result};
use crate::function::{Function, FunctionId};
use crate::imported::Imported;
use crate::problem::Problem;
use crate::progress::Progress;

mod apply;
mod aws;
mod beside;
mod bucket;
mod check;
mod concurrency;
mod create;
mod event;
mod examine;
mod extras;
mod fault;
#[cfg(test)]
mod fixture;
pub mod import;
mod invoke;
mod logs;
mod manager;
mod mfa;
mod name;
mod observe;
mod pace;
mod package;
mod parameters;
mod preview;
mod prune;
mod registry;
mod remove;
mod rights;
mod role;
mod schedule;
mod secrets;
mod settings;
mod signed;
mod stream;
pub mod template;
pub mod terraform;
mod traffic;
mod url;
mod url_call;
mod wait;
mod wanted;

pub use settings::{AskCode, Settings};

use aws::Aws;

/// What Lambda can do.
pub const CAPABILITIES: Capabilities = Capabilities {
    provider: "lambda",
    asynchronous: Can::Yes,
    logs: Can::Yes,
    scale: Can::Yes,
    scale_to_zero: Can::Yes,
    secrets: Can::Yes,
    namespaces: Can::No {
        why: "Lambda has one space of names per account and region",
        instead: "a function's `namespace` becomes the start of its name; nothing has to be made for that",
    },
    traffic: Can::Yes,
    read_only: Can::Yes,
    constraints: Can::No {
        why: "Lambda places functions by itself",
        instead: "leave `constraints` out; `lambda: {architecture: arm64}` chooses the processor",
    },
    limits: Can::Yes,
    schedule: Can::Yes,
    attestations: Can::No {
        why: "Lambda refuses images with an SBOM or a provenance beside them",
        instead: "leave --sbom and --provenance out",
    },
};

/// Lambda in one account and region. Clones share credentials and connections.
#[derive(Debug, Clone)]
pub struct Lambda {
    settings: Arc<Settings>,
    aws: Arc<OnceCell<Aws>>,
    roles: Arc<role::Roles>,
    seen: Arc<Mutex<HashMap<String, wait::There>>>,
}

impl Lambda {
    /// Nothing is looked for until the first call.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), aws: Arc::default(), roles: Arc::default(), seen: Arc::default() }
    }

    /// The function `name` of the account, whoever made it, as an entry of a stack file; and its region.
    ///
    /// # Errors
    /// When there is none, or Lambda can't be asked.
    pub async fn imported(&self, name: &str) -> Result<(Imported, String)> {
        let region = self.aws().await?.region.clone();
        Ok((import::function(self, name).await?, region))
    }

    /// Keeps what a function is on Lambda, for [`Backend::drift`].
    fn saw(&self, name: &str, there: wait::There) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), there);
    }

    async fn aws(&self) -> Result<&Aws> {
        self.aws.get_or_try_init(|| Aws::connect(&self.settings)).await
    }
}

#[async_trait]
impl Backend for Lambda {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn wants(&self, function: &Function) -> ArtifactKind {
        match crate::build::is_image_on_lambda(function) {
            true => ArtifactKind::Image,
            false => ArtifactKind::Archive,
        }
    }

    fn image_platform(&self, function: &Function) -> Option<&'static str> {
        wanted::image_platform(function, &self.settings)
    }

    fn check(&self, function: &Function) -> Vec<Problem> {
        check::check(function, &self.settings)
    }

    async fn observe(&self, scope: &Scope) -> Result<Vec<Deployed>> {
        observe::observe(self, scope).await
    }

    async fn apply(&self, change: &Change, progress: &dyn Progress) -> Result<Deployed> {
        apply::apply(self, change, None, progress).await
    }

    fn foreign(&self, deployed: &Deployed) -> Option<String> {
        let ours = deployed.annotations.contains_key(STACK_KEY);
        (!ours).then(|| format!("it has no tag {STACK_KEY}"))
    }

    fn drift(&self, change: &Change) -> Result<Vec<Difference>> {
        preview::drift(self, change)
    }

    async fn preview(&self, change: &Change) -> Result<Option<Vec<Difference>>> {
        preview::preview(self, change).await.map(Some)
    }

    async fn remove(&self, id: &FunctionId) -> Result<()> {
        remove::remove(self.aws().await?, id, remove::What::All).await
    }

    async fn invoke(&self, id: &FunctionId, call: Call) -> Result<Reply> {
        invoke::invoke(self.aws().await?, id, call).await
    }

    async fn logs(&self, query: LogQuery) -> Result<LogStream> {
        logs::logs(self, query).await
    }

    /// Lambda starts as many instances as there are calls: what can be set is how many at most, and 0 is a pause.
    async fn scale(&self, id: &FunctionId, replicas: u32) -> Result<Option<u64>> {
        let limit = i32::try_from(replicas).map_err(|_| Fault::usage(format!("{replicas} is too many")))?;
        let taken = concurrency::set_concurrency(self.aws().await?, &name::function_name(id), limit).await?;
        Ok(u64::try_from(taken).ok())
    }

    async fn ready(&self, id: &FunctionId) -> Result<bool> {
        let aws = self.aws().await?;
        let name = name::function_name(id);
        let there = wait::read(aws, &name).await?;
        let there = there.ok_or_else(|| Fault::not_found(format!("there is no function {name} in {}", aws.region)))?;
        Ok(observe::is_ready(&there.configuration))
    }

    async fn info(&self) -> Result<Info> {
        let aws = self.aws().await?;
        let identity = aws
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| fault::fault("can't ask AWS who we are", &error))?;
        Ok(Info {
            provider: "lambda".into(),
            orchestration: "aws".into(),
            version: "2015-03-31".into(),
            address: aws.address.clone(),
            details: json!({"account": identity.account(), "identity": identity.arn(), "region": aws.region}),
        })
    }

    async fn examine(&self, functions: &[Function], stack: &str) -> Vec<Finding> {
        examine::examine(self, functions, stack).await
    }

    async fn registry(&self, reference: &str) -> Result<Option<RegistryLogin>> {
        registry::ready(self, reference).await
    }

    async fn remove_foreign(&self, id: &FunctionId) -> Result<()> {
        remove::remove(self.aws().await?, id, remove::What::Foreign).await
    }

    async fn remove_but_log(&self, id: &FunctionId) -> Result<()> {
        remove::remove(self.aws().await?, id, remove::What::AllButLog).await
    }

    fn traffic(&self) -> Option<&dyn Traffic> {
        Some(self)
    }

    fn secrets(&self) -> Option<&dyn Secrets> {
        Some(self)
    }
}
