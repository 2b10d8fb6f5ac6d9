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
    let secret = request.secrets().into_keys().next();
    let missing =
        |what: String, why: &str, hint: &str| Err(Fault::unsupported(format!("{name}: {what}")).cause(why).hint(hint));
    if request.function.build.platforms.len() > 1 {
        let what = "an image for several platforms can't be kept by the engine".into();
        return missing(
            what,
            "it has images of one platform each",
            "name one platform, or set BUILDKIT_HOST and publish it",
        );
    }
    if engine.is_podman() {
        return match secret {
            Some(id) => {
                let what = format!("the build secret `{id}` needs BuildKit");
                missing(what, "Podman's API takes no secrets", "set BUILDKIT_HOST to a buildkitd, or use Docker")
            }
            None => Ok(Builder::Classic),
        };
    }
    let off = request.project.env.get("DOCKER_BUILDKIT").is_some_and(|value| matches!(value, "0" | "false"));
    let buildkit = if off { None } else { engine.buildkit().await };
    let at = |need: &Need| format!("{}:{}: {}", request.context.join("Dockerfile").display(), need.line, need.what);
    let Some(buildkit) = buildkit else {
        let what = match (needs.first(), secret) {
            (Some(need), _) => format!("{} needs BuildKit", at(need)),
            (None, Some(id)) => format!("the build secret `{id}` needs BuildKit"),
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
    Ok(Builder::BuildKit(buildkit))
}

/// The builder at `at` ended, or the way to it did, before the image of `name` was built.
pub fn gone(name: &str, at: &str, error: &str) -> Fault {
    Fault::failed(format!("{name}: the image can't be built"))
        .cause(format!("the builder at {at} went away: {error}"))
        .hint("when it runs again, build again: what it had built by then is in its cache")
}
