//! Images to their registries: from the container engine, or from where they were put together without one.
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bollard::auth::DockerCredentials;
use bollard::query_parameters::PushImageOptionsBuilder;
use futures_util::StreamExt;
use secrecy::ExposeSecret;

use super::engine::{Engine, said};
use super::{Project, Several, tag};
use crate::error::{Fault, Kind, Result};
use crate::progress::Progress;
use crate::registry::Talk;
use crate::registry::login::{HUB, Login, server};

/// How often a push is tried again when the registry fails in a way that may pass, and the engine did not try again by
/// itself, as it does for layers: five tries, with longer and longer waits, 50 seconds in all.
const RETRIES: usize = 3;

/// An image in its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest that the registry knows it by.
    pub digest: String,
    /// Whether anything was sent; the registry may have had it.
    pub sent: bool,
}

/// Pushes the image `reference`, unless the registry has it. `subject` is the function's name.
///
/// # Errors
/// When the image is not there, or the registry refuses it.
pub async fn push(subject: &str, reference: &str, project: &Project<'_>, progress: &dyn Progress) -> Result<Pushed> {
    check(subject, reference)?;
    if let Some(made) = super::oci::made(project, reference) {
        return super::oci::push(&made, project, Talk { subject, progress }).await;
    }
    if project.builder_host().is_some() {
        let digest = super::daemon::pushed(subject, reference, project, progress).await?;
        return Ok(Pushed { digest, sent: false });
    }
    let engine = project.engine().await?;
    let credentials = credentials(project, &server(reference))?;
    if let Some(digest) = already(engine, reference, credentials.clone()).await {
        return Ok(Pushed { digest, sent: false });
    }
    progress.step(subject, &format!("pushing {reference}"));
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_factor(3.0)
        .with_max_times(RETRIES)
        .with_jitter()
        .build();
    loop {
        let (said, tried) = match send(subject, reference, engine, credentials.clone(), progress).await {
            Ok(digest) => return Ok(Pushed { digest, sent: true }),
            Err(refusal) => refusal,
        };
        // What the engine itself tried again and again, it would try as often again.
        let wait = if may_pass(&said) && !tried { waits.next() } else { None };
        let Some(wait) = wait else {
            return Err(refused(subject, reference, &server(reference), credentials.is_some(), &said));
        };
        progress.warn(subject, &format!("{}; trying again in {:.1}s", plain(&said), wait.as_secs_f64()));
        tokio::time::sleep(wait).await;
    }
}

/// The digest that the registry has under the name `reference`.
///
/// # Errors
/// [`Kind::NotFound`] when there is none; when the registry can't be asked.
pub async fn digest(subject: &str, reference: &str, project: &Project<'_>, progress: &dyn Progress) -> Result<String> {
    let image = crate::registry::parse(subject, reference)?;
    let talk = Talk { subject, progress };
    let remote = project.registries.remote(&image, talk).await?;
    remote.digest(&image, talk).await?.ok_or_else(|| {
        Fault::not_found(format!("{subject}: {reference} is not in its registry")).hint("push it first: `faas push`")
    })
}

/// What can be told to be wrong before anything is asked.
pub(super) fn check(subject: &str, reference: &str) -> Result<()> {
    crate::registry::parse(subject, reference)?;
    let name = tag::split(reference).0;
    if server(name) == HUB && !name.trim_start_matches("docker.io/").contains('/') {
        return Err(Fault::usage(format!("{subject}: the image {reference} names no registry to push to"))
            .hint("give it a prefix: `image: registry.example.com/me/NAME`, or `faas new --prefix`"));
    }
    Ok(())
}

/// The digest, when the registry has under this name what the engine has. Engines that can't ask (Podman) push.
async fn already(engine: &Engine, reference: &str, credentials: Option<DockerCredentials>) -> Option<String> {
    let image = engine.api.inspect_image(reference).await.ok()?;
    let name = super::image::familiar(tag::split(reference).0);
    let known: Vec<String> = image
        .repo_digests
        .unwrap_or_default()
        .iter()
        .filter_map(|known| Some(known.strip_prefix(&name)?.strip_prefix('@')?.to_owned()))
        .collect();
    if known.is_empty() {
        return None;
    }
    let there = engine.api.inspect_registry_image(reference, credentials).await.ok()?;
    let digest = there.descriptor.digest?;
    known.contains(&digest).then_some(digest)
}

/// One try; gives the digest, or what the engine said, and whether it had tried again by itself.
async fn send(
    subject: &str,
    reference: &str,
    engine: &Engine,
    credentials: Option<DockerCredentials>,
    progress: &dyn Progress,
) -> Result<String, (String, bool)> {
    let (name, tag) = tag::split(reference);
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let mut digest = None;
    // The longest that the engine waited for before it tried again.
    let mut waited = 0;
    // By size, since the engine's library drops the layers' ids: of bytes sent, and of all.
    let mut layers: HashMap<i64, i64> = HashMap::new();
    let mut events = std::pin::pin!(engine.api.push_image(name, Some(options), credentials));
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| (said(&error), waited > 0))?;
        if let Some(detail) = event.error_detail {
            return Err((detail.message.unwrap_or_default(), waited > 0));
        }
        if let Some(detail) = event.progress_detail
            && let (Some(current), Some(total)) = (detail.current, detail.total)
        {
            layers.insert(total, current.min(total));
            let sum = |numbers: &mut dyn Iterator<Item = i64>| numbers.sum::<i64>().max(0).cast_unsigned();
            progress.amount(
                subject,
                &format!("pushing {reference}"),
                sum(&mut layers.values().copied()),
                sum(&mut layers.keys().copied()),
            );
        }
        let Some(status) = event.status else { continue };
        if let Some(told) = digest_in(&status) {
            digest = Some(told.to_owned());
        }
        // Told once a second, for each layer; each wait is longer than the one before.
        if let Some(seconds) = again_in(&status) {
            if seconds > waited {
                waited = seconds;
                progress.warn(subject, &format!("the registry fails; the engine tries again in {seconds}s"));
            }
            continue;
        }
        // Layers come without their ids, a line for each of their states: only what is said of the whole is worth one.
        let layer = ["Preparing", "Waiting", "Pushing", "Pushed", "Layer already exists", "Mounted from"];
        if !layer.iter().any(|word| status.starts_with(word)) {
            progress.line(subject, &status);
        }
    }
    digest.ok_or_else(|| ("the engine did not say that it was pushed".to_owned(), waited > 0))
}

/// The seconds of `Retrying in 5 seconds`.
fn again_in(status: &str) -> Option<u64> {
    status.strip_prefix("Retrying in ")?.split(' ').next()?.parse().ok()
}

/// Whether another try may go well, by the engine's words.
fn may_pass(said: &str) -> bool {
    let said = said.to_lowercase();
    let words = [
        "unexpected http status: 5",
        "toomanyrequests",
        "too many requests",
        "eof",
        "connection reset",
        "connection refused",
        "broken pipe",
        "i/o timeout",
        "handshake timeout",
        "unavailable",
    ];
    words.iter().any(|word| said.contains(word))
}

fn plain(said: &str) -> &str {
    said.strip_prefix("Docker stream error: ").unwrap_or(said)
}

/// Pushes images, each given as subject and reference, so many at a time; gives the digests in the same order. All are
/// tried; how each went is told through `progress`.
pub async fn push_all(
    images: &[(String, String)],
    project: &Project<'_>,
    parallel: usize,
    progress: &dyn Progress,
) -> Several<Pushed> {
    let one = async |(subject, reference): &(String, String)| {
        let result = push(subject, reference, project, progress).await;
        match &result {
            Ok(pushed) => progress.done(subject, &told(reference, pushed)),
            Err(fault) if images.len() > 1 => progress.failed(subject, &fault.without(subject)),
            Err(_) => {}
        }
        result
    };
    let work = futures_util::stream::iter(images.iter().map(one)).buffered(parallel.max(1));
    Several::new(work.map(Some).collect().await, "push")
}

/// What became of it, for people.
#[must_use]
pub fn told(reference: &str, pushed: &Pushed) -> String {
    let Pushed { digest, sent } = pushed;
    match sent {
        true => format!("pushed {reference} ({digest})"),
        false => format!("the registry has {reference} already ({digest})"),
    }
}

/// The digest in the engine's last word: `latest: digest: sha256:… size: 1234`.
fn digest_in(status: &str) -> Option<&str> {
    status.split_once("digest: ")?.1.split_whitespace().next().filter(|digest| digest.starts_with("sha256:"))
}

pub(super) fn refused(subject: &str, reference: &str, registry: &str, known: bool, text: &str) -> Fault {
    let text = plain(text);
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let (kind, hint) = if has(&["unauthorized", "authentication required", "denied", "no basic auth"]) {
        let login = format!("docker login {}", if registry == HUB { "" } else { registry });
        let login = login.trim();
        (
            Kind::Unauthorized,
            Some(match known {
                true => format!("the saved login was refused: log in again by `{login}`, or check the image's name"),
                false => format!("no login is saved for it: `{login}`"),
            }),
        )
    } else if has(&["does not exist locally", "no such image", "tag does not exist"]) {
        (Kind::NotFound, Some("build it first: `faas build`".into()))
    } else if has(&["not found", "404"]) {
        (Kind::NotFound, Some("check the registry and the path in the function's `image:`".into()))
    } else if has(&["server gave http response to https client"]) {
        (Kind::Failed, Some("the registry speaks plain HTTP: list it under `insecure-registries` of the engine".into()))
    } else if has(&["x509", "certificate"]) {
        let file = format!("/etc/docker/certs.d/{registry}/ca.crt");
        (Kind::Failed, Some(format!("the engine does not trust its certificate: put that of its CA in {file}")))
    } else if has(&["invalid character '<'", "error parsing http 200", "error parsing http 30"]) {
        let hint = "what answers there is no registry: check the host in `image:`, and what stands before it";
        (Kind::Failed, Some(hint.into()))
    } else if has(&["413", "request entity too large"]) {
        let hint = "it is too large for the registry or for a proxy before it: raise the limit there (nginx: `client_max_body_size`)";
        (Kind::Failed, Some(hint.into()))
    } else if has(&["toomanyrequests", "too many requests"]) {
        (Kind::Failed, Some("the registry takes no more for now: wait, and use a smaller --parallel".into()))
    } else if may_pass(text) {
        (Kind::Failed, Some("the registry can't be reached or is in trouble: is its name right, does it run?".into()))
    } else {
        (Kind::Failed, None)
    };
    let mut fault = Fault::new(kind, format!("{subject}: can't push {reference}")).cause(text);
    fault.hint = hint;
    fault
}

/// The login that is kept for a registry, as the engine takes it.
pub(super) fn credentials(project: &Project<'_>, registry: &str) -> Result<Option<DockerCredentials>> {
    let serveraddress = Some(registry.to_owned());
    let login = project.registries.logins.find(registry)?;
    Ok(login.map(|login| match login {
        Login::Basic { user, password } => DockerCredentials {
            username: Some(user),
            password: Some(password.expose_secret().to_owned()),
            serveraddress,
            ..DockerCredentials::default()
        },
        Login::Token(token) => DockerCredentials {
            identitytoken: Some(token.expose_secret().to_owned()),
            serveraddress,
            ..DockerCredentials::default()
        },
    }))
}

/// The logins for the registries of a Dockerfile's base images; those that can't be had are left out, since a base may
/// be there already or open to all.
pub(super) fn credentials_for_bases(
    project: &Project<'_>,
    dir: &Path,
    args: &BTreeMap<String, String>,
) -> Option<HashMap<String, DockerCredentials>> {
    let dockerfile = std::fs::read_to_string(dir.join("Dockerfile")).ok()?;
    let found: HashMap<_, _> = super::dockerfile::bases(&dockerfile, args)
        .iter()
        .map(|base| server(tag::split(base).0))
        .filter_map(|registry| Some((registry.clone(), credentials(project, &registry).ok()??)))
        .collect();
    Some(found).filter(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_in_the_last_word() {
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(digest_in(&format!("latest: digest: {digest} size: 1234")), Some(digest.as_str()));
        assert_eq!(digest_in("The push refers to repository [127.0.0.1:5000/fn/tax]"), None);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let fault = refused("tax", "r.example/tax", "r.example", false, "unauthorized: authentication required");
        assert_eq!(fault.kind, Kind::Unauthorized);
        assert_eq!(fault.hint.as_deref(), Some("no login is saved for it: `docker login r.example`"));
    }

    #[test]
    fn an_engine_says_when_it_tries_again() {
        assert_eq!(again_in("Retrying in 15 seconds"), Some(15));
        assert_eq!(again_in("Retrying in 1 second"), Some(1));
        assert_eq!(again_in("Pushing"), None);
    }

    #[test]
    fn trouble_that_passes_is_told_from_refusals() {
        for (said, passes) in [
            ("received unexpected HTTP status: 503 Service Unavailable", true),
            ("Patch \"http://r/v2/x\": EOF", true),
            ("toomanyrequests: slow down", true),
            ("unauthorized: authentication required", false),
            ("denied: requested access to the resource is denied", false),
        ] {
            assert_eq!(may_pass(said), passes, "{said}");
        }
    }
}
