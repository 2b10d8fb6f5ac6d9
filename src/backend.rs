//! What every platform does for `faas`: the Backend trait and its vocabulary. One line a backend in `registry`.
use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;

use crate::artifact::{Artifact, ArtifactKind};
use crate::error::{Fault, Result};
use crate::finding;
use crate::function::{Function, FunctionId, Resources};
use crate::problem::Problem;
use crate::progress::Progress;

pub mod capabilities;
pub mod gateway_api;
#[cfg(feature = "knative")]
pub mod knative;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "openfaas")]
pub mod openfaas;

pub use crate::finding::Finding;
pub use capabilities::Capabilities;

/// A body, streamed either way.
pub type Body = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// Log entries as they come.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<LogEntry>> + Send>>;

/// Annotation: hash of the neutral spec that was applied last.
pub const SPEC_KEY: &str = "faas.dev/spec";
/// Annotation: identity of the artifact that was applied last.
pub const ARTIFACT_KEY: &str = "faas.dev/artifact";
/// Annotation: the stack that owns the function; only such functions are ever pruned.
pub const STACK_KEY: &str = "faas.dev/stack";

/// The backends of this build, by their names in the stack file.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let all = [
        ("knative", cfg!(feature = "knative")),
        ("local", cfg!(feature = "local")),
        ("openfaas", cfg!(feature = "openfaas")),
        ("lambda", cfg!(feature = "lambda")),
    ];
    all.into_iter().filter_map(|(name, built)| built.then_some(name)).collect()
}

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

    /// Everything wrong with `function` on this platform, all at once, before anything is changed.
    fn check(&self, function: &Function) -> Vec<Problem>;

    /// What is deployed: all in the scope's namespace, or the named functions only (missing ones are left out).
    async fn observe(&self, scope: &Scope) -> Result<Vec<Deployed>>;

    /// What is deployed in all namespaces.
    async fn observe_everywhere(&self) -> Result<Vec<Deployed>> {
        let Some(namespaces) = self.namespaces() else { return self.observe(&Scope::default()).await };
        let mut all = Vec::new();
        for namespace in namespaces.list().await? {
            all.extend(self.observe(&Scope { namespace: Some(namespace), ..Scope::default() }).await?);
        }
        Ok(all)
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

    /// Whether a function's replicas have several containers, whose logs can be told apart.
    fn has_containers(&self) -> bool {
        false
    }

    /// Sets the number of replicas.
    async fn scale(&self, id: &FunctionId, replicas: u32) -> Result<()>;

    /// Whether the function answers calls now: `Ok(true)` once at least one replica is available.
    async fn ready(&self, id: &FunctionId) -> Result<bool>;

    /// The platform itself: name, version, address. An error when it can't be reached.
    async fn info(&self) -> Result<Info>;

    /// Everything that can keep this platform from being used, for `faas doctor`: whether it is reached, whether it knows
    /// the caller, what it lacks. Each look has its own time limit, by [`finding::look`]; nothing is changed.
    async fn examine(&self) -> Vec<Finding> {
        let look = async { self.info().await.map(|info| Finding::ok("platform", info.said())) };
        vec![finding::look("platform", finding::LIMIT, look).await]
    }

    /// Readies the platform's own registry for the image `reference`; `None` where that is not the platform's.
    async fn registry(&self, reference: &str) -> Result<Option<RegistryLogin>> {
        let _ = reference;
        Ok(None)
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

/// Which functions to look at.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// `None` is the platform's default namespace.
    pub namespace: Option<String>,
    /// Only these; empty is all.
    pub names: Vec<String>,
    /// Also ask for current use of memory and CPU, where that costs a call of its own.
    pub usage: bool,
}

/// A function as the platform has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Deployed {
    /// Its name.
    pub name: String,
    /// Its namespace, when the platform told.
    pub namespace: Option<String>,
    /// The image, or what the platform runs in its place.
    pub image: String,
    /// The process the invoker starts, when the platform told.
    pub process: Option<String>,
    /// Environment variables, as the platform reports them (OpenFaaS adds the image's own).
    pub environment: BTreeMap<String, String>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Placement constraints.
    pub constraints: Vec<String>,
    /// Limits.
    pub limits: Resources,
    /// Requests.
    pub requests: Resources,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Replicas wanted.
    pub replicas: u64,
    /// Replicas that answer; `None` when the platform did not tell (OpenFaaS's list).
    pub available: Option<u64>,
    /// Calls so far.
    pub invocations: f64,
    /// RFC 3339.
    pub created: Option<String>,
    /// Where it is called.
    pub url: Option<String>,
    /// Where it is called asynchronously.
    pub async_url: Option<String>,
    /// CPU in thousandths of a core and memory in bytes, when asked for and told.
    pub usage: Option<Usage>,
    /// The HTTP status that the platform took it with, where it has just been applied and the platform speaks HTTP.
    #[serde(skip)]
    pub taken: Option<u16>,
}

/// What a function uses now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usage {
    /// Thousandths of a core.
    pub cpu: f64,
    /// Bytes.
    pub memory: f64,
}

impl Deployed {
    /// Its name and namespace.
    #[must_use]
    pub fn id(&self) -> FunctionId {
        FunctionId { name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

/// What `apply` is to do for one function.
#[derive(Debug, Clone)]
pub struct Change {
    /// The function as it should be.
    pub function: Function,
    /// What it runs.
    pub artifact: Artifact,
    /// Hash of the neutral spec, kept on the platform as [`SPEC_KEY`].
    pub spec: String,
    /// The owning stack, kept on the platform as [`STACK_KEY`].
    pub stack: String,
    /// How to get there.
    pub how: How,
    /// New processes even if nothing changed (`--force`).
    pub force: bool,
}

/// A field of the platform's object that differs from what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its path in the platform's own words.
    pub path: String,
    /// As it is; `None` when it is not there.
    pub before: Option<serde_json::Value>,
    /// As it should be; `None` when it goes away.
    pub after: Option<serde_json::Value>,
}

/// How to get from what is there to what should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// Update, or create what is not there (faas-cli's `--update`).
    #[default]
    Upsert,
    /// Create; an existing function is an error (`--update=false`).
    Create,
    /// Remove first, then create (`--replace`).
    Replace,
    /// Update or create, and take over what something else deployed or changed (`--adopt`).
    Adopt,
}

/// One call of a function.
pub struct Call {
    /// The HTTP method.
    pub method: http::Method,
    /// Path below the function, starting with `/`, query included; `/` for none.
    pub path: String,
    /// Headers as given, repeated ones kept.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Body,
    /// The body's length in bytes, when known before.
    pub length: Option<u64>,
    /// Queue it instead of waiting for its answer.
    pub asynchronous: bool,
    /// Give up after this long; `None` waits for as long as the platform does.
    pub timeout: Option<Duration>,
    /// What only some platforms can do.
    pub options: CallOptions,
}

/// How to call a function, where a platform has several ways.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// The version or alias to call, in the place of the one that serves.
    pub qualifier: Option<String>,
    /// The body is the platform's own event, and the answer comes as the function gave it.
    pub raw: bool,
    /// By the function's public address, not by the platform's API.
    pub url: bool,
    /// Ask for the answer piece by piece.
    pub stream: bool,
    /// Where the end of the function's log is put.
    pub log: Option<LogTail>,
    /// Exchange the login's token for one that lets this function be called, first.
    pub exchange: bool,
}

/// The end of a function's log, there when the answer has ended.
pub type LogTail = std::sync::Arc<std::sync::Mutex<String>>;

impl CallOptions {
    /// The first one that is asked for, as its flag; `--raw` is none: other platforms have no events around bodies.
    #[must_use]
    pub fn first(&self) -> Option<&'static str> {
        let all = [
            ("--qualifier", self.qualifier.is_some()),
            ("--logs", self.log.is_some()),
            ("--url", self.url),
            ("--stream", self.stream),
        ];
        all.into_iter().find(|(_, asked)| *asked).map(|(flag, _)| flag)
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

/// What a function answered.
pub struct Reply {
    /// The status.
    pub status: http::StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body; an error in it means that the answer was cut.
    pub body: Body,
}

/// Which log entries.
#[derive(Debug, Clone)]
pub struct LogQuery {
    /// Whose.
    pub id: FunctionId,
    /// One instance only.
    pub instance: Option<String>,
    /// One container only, where replicas have several; `None` is all that are the function's own.
    pub container: Option<String>,
    /// Not before this time.
    pub since: Option<jiff::Timestamp>,
    /// The last so many; `None` is all there are.
    pub tail: Option<u64>,
    /// Go on as new ones come.
    pub follow: bool,
}

/// A line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// The function.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The replica.
    pub instance: String,
    /// When.
    pub timestamp: jiff::Timestamp,
    /// The line, without its end.
    pub text: String,
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

/// Canary, promote, roll back: shares of traffic by revision.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// The revisions of a function, newest first, each with its share.
    async fn revisions(&self, id: &FunctionId) -> Result<Vec<Revision>>;
    /// Sets the shares; they sum to 100.
    async fn set(&self, id: &FunctionId, shares: &[(String, u8)]) -> Result<()>;
    /// Deploys `change` so that its new revision gets `percent` of the traffic, and what served before gets the rest.
    async fn canary(&self, change: &Change, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        let _ = (percent, progress);
        Err(Fault::unsupported(format!("can't deploy {} to a part of the traffic", change.function.name))
            .cause("this platform splits traffic between revisions that are there")
            .hint("deploy it, then split with `faas rollout set`"))
    }
    /// Deploys `change` so that its new revision has an address of its own by the name `tag`, and `percent` of the
    /// traffic; what served before gets the rest.
    async fn tagged(&self, change: &Change, tag: &str, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        let _ = (tag, percent, progress);
        Err(Fault::unsupported(format!(
            "can't give the new revision of {} an address of its own",
            change.function.name
        ))
        .hint("deploy it under another name to try it out"))
    }
    /// Keeps the traffic where it is, whatever is deployed, until [`Traffic::resume`].
    async fn pause(&self, id: &FunctionId) -> Result<()> {
        Err(Fault::unsupported(format!("the rollout of {id} can't be paused on this platform"))
            .hint("`faas rollout set` holds the traffic until the next deployment"))
    }
    /// Ends what [`Traffic::pause`] began; the traffic stays where it is until it is moved.
    async fn resume(&self, id: &FunctionId) -> Result<()> {
        Err(Fault::unsupported(format!("the rollout of {id} can't be paused on this platform, so it never is")))
    }
    /// Whether the rollout is paused.
    async fn paused(&self, id: &FunctionId) -> Result<bool> {
        let _ = id;
        Ok(false)
    }
    /// Removes a revision that nothing leads to; [`crate::error::Kind::NotFound`] when there is none.
    async fn discard(&self, id: &FunctionId, revision: &str) -> Result<()> {
        Err(Fault::unsupported(format!("can't remove revision {revision} of {id}: this platform keeps them all")))
    }
    /// Sends all traffic to the newest revision; where the platform can, also to newer ones as they come.
    async fn follow(&self, id: &FunctionId) -> Result<()> {
        let revisions = self.revisions(id).await?;
        let newest = revisions.first().ok_or_else(|| Fault::not_found(format!("{id} has no revision")))?;
        self.set(id, &[(newest.name.clone(), 100)]).await
    }
}

/// An immutable deployment of a function.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Revision {
    /// Its name on the platform.
    pub name: String,
    /// Its share of traffic in percent.
    pub share: u8,
    /// RFC 3339.
    pub created: Option<String>,
    /// What it runs.
    pub image: String,
    /// Names that lead to it alone, each with its address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether it can take calls, when the platform told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Replicas that run now, when the platform told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
}

/// What a platform tells of one function beyond [`Deployed`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Detail {
    /// Whether it takes calls; scaled to zero it does.
    pub ready: bool,
    /// Whether its rollout is paused.
    pub paused: bool,
    /// What the platform says about its state.
    pub conditions: Vec<Condition>,
    /// Its revisions, newest first.
    pub revisions: Vec<Revision>,
    /// What keeps it from running, in the platform's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One thing that a platform says about a function's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// The platform's secrets. Values go in and never come out.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Names, in the namespace.
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<SecretName>>;
    /// Makes one; with `replace`, one that is there gets the new value. Says which it was.
    async fn create(&self, secret: &Secret, replace: bool) -> Result<Written>;
    /// Gives one that is there a new value.
    async fn update(&self, secret: &Secret) -> Result<()>;
    /// Removes one.
    async fn remove(&self, name: &SecretName) -> Result<()>;
}

/// A secret's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: Option<String>,
}

/// A secret on its way to the platform; its value is in no `Debug` and no log.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Its name and namespace.
    pub name: SecretName,
    /// Its bytes.
    pub value: secrecy::SecretSlice<u8>,
}

/// Whether a write made something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Written {
    /// It was not there before.
    Created,
    /// It was there and has a new value.
    Updated,
}

/// The platform's namespaces.
#[async_trait]
pub trait Namespaces: Send + Sync {
    /// All of them.
    async fn list(&self) -> Result<Vec<String>>;
    /// One, with its labels and annotations.
    async fn get(&self, name: &str) -> Result<Namespace>;
    /// Makes one.
    async fn create(&self, namespace: &Namespace) -> Result<()>;
    /// Changes one's labels and annotations.
    async fn update(&self, namespace: &Namespace) -> Result<()>;
    /// Removes one.
    async fn remove(&self, name: &str) -> Result<()>;
}

/// A namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}
