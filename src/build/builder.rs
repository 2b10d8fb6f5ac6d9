//! Which builder an image is built by: BuildKit where the engine has it, else the classic one, if it can.
use super::buildkit::BuildKit;
use super::dockerfile::{self, Need};
use super::engine::Engine;
use super::image::Request;
use crate::error::{Fault, Result};

/// What builds an image.
pub enum Builder<'e> {
    /// The engine's classic builder, or Podman's own behind the same API.
    Classic,
    /// The engine's BuildKit.
    BuildKit(&'e BuildKit),
}

/// Chooses the builder of `request`.
///
/// # Errors
/// When the Dockerfile, a secret or the platforms need what the engine has not; said before anything is built.
pub async fn choose<'e>(request: &Request<'_>, engine: &'e Engine) -> Result<Builder<'e>> {
    let name = request.name;
    let needs = dockerfile::needs(request.dockerfile);
    let mounted = mounted(request);
    let missing =
        |what: String, why: &str, hint: &str| Err(Fault::unsupported(format!("{name}: {what}")).cause(why).hint(hint));
    if let Some(kind) = request.options.attestations.keys().next() {
        let why = format!("the engine at {} keeps images alone", engine.address.shown);
        return missing(
            format!("no {kind} can be put beside the image"),
            &why,
            "leave --sbom and --provenance out, or set BUILDKIT_HOST to a buildkitd and build with --push",
        );
    }
    if request.function.build.platforms.len() > 1 {
        let what = "an image for several platforms can't be kept by the engine".into();
        return missing(
            what,
            "it has images of one platform each",
            "name one platform, or set BUILDKIT_HOST and publish it",
        );
    }
    if engine.is_podman() {
        return match mounted {
            Some(what) => {
                let why = "Podman's API takes no secrets, no ssh agents and no caches";
                missing(format!("{what} needs BuildKit"), why, "set BUILDKIT_HOST to a buildkitd, or use Docker")
            }
            None => Ok(Builder::Classic),
        };
    }
    let off = request.project.env.get("DOCKER_BUILDKIT").is_some_and(|value| matches!(value, "0" | "false"));
    let buildkit = if off { None } else { engine.buildkit().await };
    let at = |need: &Need| format!("{}:{}: {}", request.context.join("Dockerfile").display(), need.line, need.what);
    let Some(buildkit) = buildkit else {
        let what = match (needs.first(), mounted) {
            (Some(need), _) => format!("{} needs BuildKit", at(need)),
            (None, Some(what)) => format!("{what} needs BuildKit"),
            (None, None) => return Ok(Builder::Classic),
        };
        return match off {
            true => missing(what, "DOCKER_BUILDKIT=0 turns it off", "unset DOCKER_BUILDKIT"),
            false => {
                let why = format!("the engine at {} ({}) has none", engine.address.shown, engine.server);
                missing(what, &why, "use Docker 20.10 or newer without a proxy before it, or set BUILDKIT_HOST")
            }
        };
    };
    let late = needs.iter().find(|need| need.late).filter(|_| dockerfile::syntax(request.dockerfile).is_none());
    if let Some(need) = late.filter(|_| !engine.knows_dockerfile_1_4()) {
        let what = format!("{} came with version 1.4 of Dockerfiles", at(need));
        let why = format!("the engine at {} ({}) knows an older one", engine.address.shown, engine.server);
        return missing(what, &why, "start the Dockerfile with `# syntax=docker/dockerfile:1`, or use Docker 23.0");
    }
    for text in &request.options.cache_to {
        if super::buildkit::cache("--cache-to", text)?.r#type != "inline" && !engine.has_containerd_images().await {
            let what = format!("no cache can be put into `{text}`");
            let why =
                format!("the BuildKit in the engine at {} ({}) exports none", engine.address.shown, engine.server);
            return missing(
                what,
                &why,
                "leave --cache-to out, or set BUILDKIT_HOST to a buildkitd; a Docker with containerd's images does too",
            );
        }
    }
    Ok(Builder::BuildKit(buildkit))
}

/// What the build is given besides files and arguments, which only BuildKit takes.
fn mounted(request: &Request<'_>) -> Option<String> {
    let secret = request.secrets().into_keys().next().map(|id| format!("the build secret `{id}`"));
    let caches = request.options.cache_to.iter().chain(&request.options.cache_from);
    secret
        .or_else(|| request.options.ssh.keys().next().map(|id| format!("the ssh agent `{id}`")))
        .or_else(|| caches.into_iter().next().map(|cache| format!("the cache `{cache}`")))
}

/// The builder at `at` ended, or the way to it did, before the image of `name` was built.
pub fn gone(name: &str, at: &str, error: &str) -> Fault {
    Fault::failed(format!("{name}: the image can't be built"))
        .cause(format!("the builder at {at} went away: {error}"))
        .hint("when it runs again, build again: what it had built by then is in its cache")
}

/// What to do about what a builder says of a failure.
#[must_use]
pub fn hint(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if lower.contains("secret") && has(&["not found", "missing id"]) {
        return Some(
            "give it: `build_secrets: {NAME: FILE}` in the stack, or `--build-secret id=NAME,src=FILE`".into(),
        );
    }
    if lower.contains("ssh") && has(&["no ssh", "unset ssh forward key", "not forwarded", "no ssh agent"]) {
        return Some("give it: `--ssh default` for the agent that runs, or `--ssh default=FILE` for a key".into());
    }
    if has(&["no space left on device"]) {
        return Some("the builder's disk is full: `docker builder prune` or `docker system prune` frees some".into());
    }
    let base = [
        "failed to resolve source metadata",
        "load metadata",
        "pull access denied",
        "manifest unknown",
        "manifest for",
        "reading manifest",
        "failed to do request",
        "no such host",
        "repository does not exist",
    ];
    if has(&base) || lower.contains("not found") && lower.contains("docker.io") {
        return Some(
            "a base image can't be had: check the name after FROM, the network, and the login (`docker login REGISTRY`)"
                .into(),
        );
    }
    None
}

/// What to do when the frontend that a Dockerfile asks for can't be had.
#[must_use]
pub fn about_frontend(image: &str) -> String {
    format!(
        "the frontend `{image}` of its line `# syntax=` can't be had: check that name, the network and the login, or leave \
         the line out, since the builder has one of its own"
    )
}

/// Warns of secrets in build arguments, which stay in the image's history.
pub fn warn(request: &Request<'_>) {
    let (name, progress) = (request.name, request.progress);
    for key in request.args.keys().filter(|key| crate::sensitive::is_secret(key)) {
        progress.warn(
            name,
            &format!(
                "the build argument {key} looks like a secret, and arguments can be read from the image: use \
                 `build_secrets:` or --build-secret"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_that_can_not_be_had_has_a_hint() {
        for text in [
            "127.0.0.1:5000/x:1: failed to resolve source metadata for 127.0.0.1:5000/x:1: not found",
            "[internal] load metadata for 127.0.0.1:5000/x:1 failed to create LLB definition: 127.0.0.1:5000/x:1: not found",
            "pull access denied for nowhere, repository does not exist or may require 'docker login'",
            "manifest for r.example/x:1 not found: manifest unknown: manifest unknown",
        ] {
            assert!(hint(text).unwrap().starts_with("a base image"), "{text}");
        }
        assert!(hint("exit code: 3").is_none());
    }
}
