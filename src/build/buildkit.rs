//! BuildKit, inside an engine or as a daemon of its own: one build is one `Solve`, a session that serves files, secrets
//! and logins to it, and a stream of what it does.
use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry, SolveRequest, StatusRequest};
use tonic::transport::Channel;
use uuid::Uuid;

use super::image::Request;
use super::log::Log;
use super::push;
use crate::error::{Fault, Kind, Result};

mod connect;
mod files;
mod session;
mod trace;

pub use connect::BuildKit;
pub use session::Secret;
use session::Session;
use trace::Trace;

/// BuildKit's own limit of a message.
const LARGEST: usize = 16 << 20;

/// Where the image goes.
pub struct Output<'a> {
    /// BuildKit's name of the exporter: `moby` for the engine's own images, `image` for a registry; empty for nothing.
    pub exporter: &'a str,
    /// What it is told.
    pub attributes: HashMap<String, String>,
    /// Caches to take layers from.
    pub import: Vec<CacheOptionsEntry>,
    /// Caches to put layers into.
    pub export: Vec<CacheOptionsEntry>,
}

impl BuildKit {
    fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone()).max_decoding_message_size(LARGEST).max_encoding_message_size(LARGEST)
    }
}

/// Builds the image of `request` and puts it where `output` says; gives what the exporter told.
///
/// # Errors
/// What BuildKit says, with the step that failed.
pub async fn run(request: &Request<'_>, buildkit: &BuildKit, output: Output<'_>) -> Result<HashMap<String, String>> {
    let Request { name, project, context, .. } = request;
    let mut log = Log::open(project, name, context, request.dockerfile, request.progress)?;
    let logins = push::credentials_for_bases(project, context, request.args).unwrap_or_default();
    let files = files::Files::new(request.tree, context);
    let session = Session::new(request, files, logins)?;
    // What ends this future, ends the session, and with it what it is for.
    let session = session.open(buildkit).await.map_err(|error| gone(request, &buildkit.shown, &error))?;
    let reference = Uuid::new_v4().simple().to_string();
    let solve = SolveRequest {
        r#ref: reference.clone(),
        exporter_deprecated: output.exporter.to_owned(),
        exporter_attrs_deprecated: output.attributes,
        session: session.id.clone(),
        frontend: "dockerfile.v0".into(),
        frontend_attrs: attributes(request),
        cache: Some(CacheOptions { exports: output.export, imports: output.import, ..CacheOptions::default() }),
        ..SolveRequest::default()
    };
    let mut trace = Trace::default();
    let watch = async {
        let mut control = buildkit.control();
        let Ok(events) = control.status(StatusRequest { r#ref: reference }).await else { return };
        let mut events = events.into_inner();
        while let Ok(Some(event)) = events.message().await {
            trace.take(event, &mut log);
        }
    };
    let mut control = buildkit.control();
    let solve = control.solve(solve);
    // The stream of events ends a moment after the build; nothing is waited for that hangs.
    let solved = {
        let mut watch = std::pin::pin!(watch);
        let mut solve = std::pin::pin!(solve);
        let mut watching = true;
        let solved = loop {
            tokio::select! {
                solved = &mut solve => break solved,
                () = &mut watch, if watching => watching = false,
            }
        };
        if watching {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(3), watch).await;
        }
        solved
    };
    match solved {
        Ok(response) => Ok(response.into_inner().exporter_response),
        Err(status) if is_lost(&status) => {
            let fault = log.failed(trace.failing, status.message());
            Err(Fault { cause: gone(request, &buildkit.shown, &chain(&status)).cause, ..fault })
        }
        Err(status) => {
            let mut fault = log.failed(trace.failing, said(&status));
            if let Some(hint) = hint(status.message()) {
                fault.hint = Some(hint);
            }
            Err(fault)
        }
    }
}

/// What the frontend is told: the names are those of `docker buildx`.
fn attributes(request: &Request<'_>) -> HashMap<String, String> {
    let mut attributes = HashMap::from([("filename".to_owned(), "Dockerfile".to_owned())]);
    attributes.extend(request.args_with_proxies().into_iter().map(|(k, v)| (format!("build-arg:{k}"), v)));
    attributes.extend(request.labels().into_iter().map(|(k, v)| (format!("label:{k}"), v)));
    if request.options.no_cache {
        attributes.insert("no-cache".into(), String::new());
    }
    if request.options.pull {
        attributes.insert("image-resolve-mode".into(), "pull".into());
    }
    let platforms = &request.function.build.platforms;
    if !platforms.is_empty() {
        attributes.insert("platform".into(), platforms.join(","));
    }
    attributes
}

/// The connection ended, rather than the build.
fn is_lost(status: &tonic::Status) -> bool {
    use tonic::Code;
    let text = chain(status).to_lowercase();
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
        && ["transport error", "broken pipe", "connection reset", "connection refused", "h2 protocol error", "goaway"]
            .iter()
            .any(|word| text.contains(word))
}

fn gone(request: &Request<'_>, at: &str, error: &str) -> Fault {
    Fault::new(Kind::Failed, format!("{}: the image can't be built", request.name))
        .cause(format!("the builder at {at} went away: {error}"))
        .hint("when it runs again, build again: what it had built by then is in its cache")
}

fn chain(status: &tonic::Status) -> String {
    super::engine::chain(status)
}

/// BuildKit's own words without gRPC's before them.
fn said(status: &tonic::Status) -> &str {
    let text = status.message();
    ["failed to solve with frontend dockerfile.v0: ", "failed to solve: ", "rpc error: code = Unknown desc = "]
        .iter()
        .fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text))
}

/// What to do about what it says.
fn hint(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["secret not found", "not found: secret", "missing id"])
        || lower.contains("secret") && lower.contains("not found")
    {
        return Some("give it: `build_secrets: {NAME: FILE}` in the stack, or `--secret id=NAME,src=FILE`".into());
    }
    if has(&["no space left on device"]) {
        return Some("the builder's disk is full: `docker builder prune` or `docker system prune` frees some".into());
    }
    None
}
