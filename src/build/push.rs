//! Images to their registries, with the credentials that docker keeps.
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::PushImageOptionsBuilder;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures_util::StreamExt;

use super::engine::{config_dir, said};
use super::{Project, tag};
use crate::error::{Fault, Kind, Result};
use crate::progress::Progress;

/// Docker Hub's name in docker's configuration.
const HUB: &str = "https://index.docker.io/v1/";

/// Pushes the image `reference`; gives the digest that the registry knows it by. `subject` is the function's name.
///
/// # Errors
/// When the image is not there, or the registry refuses it.
pub async fn push(subject: &str, reference: &str, project: &Project<'_>, progress: &dyn Progress) -> Result<String> {
    let (name, tag) = tag::split(reference);
    let registry = registry(name);
    if registry == HUB && !name.trim_start_matches("docker.io/").contains('/') {
        return Err(Fault::usage(format!("{subject}: the image {reference} names no registry to push to"))
            .hint("give it a prefix: `image: registry.example.com/me/NAME`, or `faas new --prefix`"));
    }
    let engine = project.engine().await?;
    progress.step(subject, &format!("pushing {reference}"));
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let credentials = credentials(project, &registry)?;
    let known = credentials.is_some();
    let mut digest = None;
    let mut events = std::pin::pin!(engine.api.push_image(name, Some(options), credentials));
    while let Some(event) = events.next().await {
        let event = event.map_err(|error| refused(subject, reference, &registry, known, &said(&error)))?;
        if let Some(detail) = event.error_detail {
            return Err(refused(subject, reference, &registry, known, &detail.message.unwrap_or_default()));
        }
        let Some(status) = event.status else { continue };
        if let Some(told) = digest_in(&status) {
            digest = Some(told.to_owned());
        }
        // Layers come without their ids, a line for each of their states: only what is said of the whole is worth one.
        let layer = ["Preparing", "Waiting", "Pushing", "Pushed", "Layer already exists", "Mounted from"];
        if !layer.iter().any(|word| status.starts_with(word)) {
            progress.line(subject, &status);
        }
    }
    digest.ok_or_else(|| Fault::failed(format!("{subject}: the engine did not say that {reference} was pushed")))
}

/// Pushes images, each given as subject and reference, so many at a time; gives the digests in the same order. All are
/// tried; how each went is told through `progress`.
///
/// # Errors
/// When at least one failed.
pub async fn push_all(
    images: &[(String, String)],
    project: &Project<'_>,
    parallel: usize,
    progress: &dyn Progress,
) -> Result<Vec<String>> {
    let one = async |(subject, reference): &(String, String)| {
        let result = push(subject, reference, project, progress).await;
        match &result {
            Ok(digest) => progress.done(subject, &format!("pushed {reference} ({})", &digest[..digest.len().min(19)])),
            Err(fault) if images.len() > 1 => progress.failed(subject, &super::folder::without(fault, subject)),
            Err(_) => {}
        }
        result
    };
    let results: Vec<_> = futures_util::stream::iter(images.iter().map(one)).buffered(parallel.max(1)).collect().await;
    let (mut digests, mut faults) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(digest) => digests.push(digest),
            Err(fault) => faults.push(fault),
        }
    }
    super::folder::worst(faults, images.len(), "push").map_or(Ok(digests), Err)
}

/// The digest in the engine's last word: `latest: digest: sha256:… size: 1234`.
fn digest_in(status: &str) -> Option<&str> {
    status.split_once("digest: ")?.1.split_whitespace().next().filter(|digest| digest.starts_with("sha256:"))
}

fn refused(subject: &str, reference: &str, registry: &str, known: bool, text: &str) -> Fault {
    let text = text.strip_prefix("Docker stream error: ").unwrap_or(text);
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
    } else {
        (Kind::Failed, None)
    };
    let mut fault = Fault::new(kind, format!("{subject}: can't push {reference}")).cause(text);
    fault.hint = hint;
    fault
}

/// The registry in an image's name, as docker's configuration names it.
fn registry(name: &str) -> String {
    let first = name.split('/').next().filter(|_| name.contains('/')).unwrap_or_default();
    let is_host = first.contains('.') || first.contains(':') || first == "localhost";
    if is_host && first != "docker.io" { first.to_owned() } else { HUB.to_owned() }
}

/// The login that docker keeps for a registry, perhaps through a helper program.
fn credentials(project: &Project<'_>, registry: &str) -> Result<Option<DockerCredentials>> {
    let path = config_dir(project).join("config.json");
    let Ok(file) = std::fs::File::open(&path) else { return Ok(None) };
    let serveraddress = Some(registry.to_owned());
    match docker_credential::get_credential_from_reader(std::io::BufReader::new(file), registry) {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(Some(DockerCredentials {
            username: Some(username),
            password: Some(password),
            serveraddress,
            ..DockerCredentials::default()
        })),
        Ok(DockerCredential::IdentityToken(token)) => {
            Ok(Some(DockerCredentials { identitytoken: Some(token), serveraddress, ..DockerCredentials::default() }))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // Helpers fail this way for registries they know nothing of.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("not found") => Ok(None),
        Err(error) => Err(Fault::failed(format!("can't get the login for {registry} from {}", path.display()))
            .cause(error.to_string().trim())),
    }
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
        .map(|base| registry(tag::split(base).0))
        .filter_map(|registry| Some((registry.clone(), credentials(project, &registry).ok()??)))
        .collect();
    Some(found).filter(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_named_as_in_dockers_configuration() {
        assert_eq!(registry("127.0.0.1:5000/fn/tax"), "127.0.0.1:5000");
        assert_eq!(registry("localhost/tax"), "localhost");
        assert_eq!(registry("me/tax"), HUB);
        assert_eq!(registry("docker.io/me/tax"), HUB);
    }

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
}
