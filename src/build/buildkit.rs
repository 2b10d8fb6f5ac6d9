//! BuildKit, inside an engine or as a daemon of its own: one build is one `Solve`, a session that serves files, secrets
//! and logins to it, and a stream of what it does.
use std::collections::HashMap;

use bollard::auth::DockerCredentials;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry, SolveRequest, StatusRequest};
use tonic::transport::Channel;
use uuid::Uuid;

use super::builder::gone;
use super::image::Request;
use super::log::Log;
use super::{Project, push};
use crate::error::{Fault, Result};
use crate::registry::login::server;

mod connect;
mod files;
mod session;
mod ssh;
mod trace;

pub use connect::BuildKit;
pub use session::Secret;
use session::Session;
pub use ssh::{Agent, DEFAULT as DEFAULT_AGENT};
use trace::Trace;

/// BuildKit's own limit of a message.
const LARGEST: usize = 16 << 20;

/// Where the image goes.
pub struct Output<'a> {
    /// BuildKit's name of the exporter: `moby` for the engine's own images, `image` for a registry; empty for nowhere.
    pub exporter: &'a str,
    /// What it is told.
    pub attributes: HashMap<String, String>,
    /// Logins that it needs, by the registry's name in docker's configuration.
    pub logins: HashMap<String, DockerCredentials>,
}

/// A cache that layers are taken from or put into: `type=registry,ref=NAME`, or the NAME alone.
///
/// # Errors
/// When it is neither, or of a type that needs files on this machine.
pub fn cache(flag: &str, text: &str) -> Result<CacheOptionsEntry> {
    let wrong = |cause: &str| {
        Fault::usage(format!("`{flag} {text}` is no cache"))
            .cause(cause)
            .hint(format!("write `{flag} type=registry,ref=REGISTRY/NAME` or `{flag} REGISTRY/NAME`"))
    };
    if !text.contains('=') {
        let attrs = [("ref".to_owned(), text.to_owned())].into();
        return if text.is_empty() {
            Err(wrong("it is empty"))
        } else {
            Ok(CacheOptionsEntry { r#type: "registry".into(), attrs })
        };
    }
    let mut attrs = HashMap::new();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| wrong(&format!("`{field}` has no value")))?;
        attrs.insert(key.trim().to_owned(), value.to_owned());
    }
    match attrs.remove("type") {
        Some(kind) if kind == "local" => Err(wrong("caches in a folder of this machine are not kept")),
        Some(kind) => Ok(CacheOptionsEntry { r#type: kind, attrs }),
        None => Err(wrong("it has no type")),
    }
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
    let mut logins = push::credentials_for_bases(project, context, request.args).unwrap_or_default();
    let imports = caches("--cache-from", &request.options.cache_from, project, &mut logins)?;
    let exports = caches("--cache-to", &request.options.cache_to, project, &mut logins)?;
    logins.extend(output.logins);
    let files = files::Files::new(request.tree, context);
    let session = Session::new(request, files, logins).await?;
    log.hide(session.mask());
    // What ends this future, ends the session, and with it what it is for.
    let session = session.open(buildkit).await.map_err(|error| gone(name, &buildkit.shown, &error))?;
    let reference = Uuid::new_v4().simple().to_string();
    let solve = SolveRequest {
        r#ref: reference.clone(),
        exporter_deprecated: output.exporter.to_owned(),
        exporter_attrs_deprecated: output.attributes,
        session: session.id.clone(),
        frontend: "dockerfile.v0".into(),
        frontend_attrs: attributes(request),
        cache: Some(CacheOptions { exports, imports, ..CacheOptions::default() }),
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
            log.write(status.message());
            Err(gone(name, &buildkit.shown, &chain(&status)))
        }
        Err(status) => Err(log.failed(trace.failing, said(&status))),
    }
}

/// The caches of a flag; what is kept for their registries goes to `logins`.
fn caches(
    flag: &str,
    given: &[String],
    project: &Project<'_>,
    logins: &mut HashMap<String, DockerCredentials>,
) -> Result<Vec<CacheOptionsEntry>> {
    let caches = given.iter().map(|text| cache(flag, text)).collect::<Result<Vec<_>>>()?;
    for reference in caches.iter().filter_map(|cache| cache.attrs.get("ref")) {
        let registry = server(reference);
        logins.extend(push::credentials(project, &registry)?.map(|login| (registry, login)));
    }
    Ok(caches)
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
    let attestations = request.options.attestations.iter();
    attributes.extend(attestations.map(|(kind, how)| (format!("attest:{kind}"), how.clone())));
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

/// What it says and why; gRPC's own way to show it is for programmers.
fn chain(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = inner.source();
    }
    text
}

/// BuildKit's own words without gRPC's before them.
fn said(status: &tonic::Status) -> &str {
    let text = status.message();
    [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve with frontend gateway.v0: ",
        "failed to solve: ",
        "rpc error: code = Unknown desc = ",
    ]
    .iter()
    .fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_written_as_for_buildx() {
        let short = cache("--cache-from", "r.example/c:1").unwrap();
        assert_eq!((short.r#type.as_str(), short.attrs["ref"].as_str()), ("registry", "r.example/c:1"));
        let long = cache("--cache-to", "type=registry,ref=r.example/c,mode=max").unwrap();
        assert_eq!((long.attrs.len(), long.attrs["mode"].as_str()), (2, "max"));
        for wrong in ["", "ref=x", "type=local,dest=/x", "type=registry,ref"] {
            assert!(cache("--cache-to", wrong).is_err(), "{wrong}");
        }
    }
}
