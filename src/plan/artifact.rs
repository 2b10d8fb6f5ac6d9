//! What is deployed: built, foreseen, or taken as it is named; and whether a platform and a registry have it as it should be.
use super::check::is_built;
use super::run::Steps;
use crate::artifact::{Artifact, ArtifactKind};
use crate::backend::Backend;
use crate::build;
use crate::build::foreseen::Foreseen;
use crate::error::{Code, Fault, Kind, Result};
use crate::function::Function;
use crate::progress::{Progress, Silent};

/// How long a registry may take to tell which image is behind a tag.
const REGISTRY_WAIT: std::time::Duration = std::time::Duration::from_secs(20);

/// What a plan says of what is to be built before it is deployed.
pub(super) const TO_BUILD: &str = "to be built";

/// What it says where only the build shows whether that changes anything.
pub(super) const TO_SEE: &str = "to be built and compared";

/// The function's artifact, and how it came about.
pub(super) async fn artifact(
    function: &Function,
    backend: &dyn Backend,
    steps: &Steps<'_>,
    progress: &dyn Progress,
) -> Result<(Artifact, String)> {
    let kind = backend.wants(function);
    if is_built(function, kind, steps) && !steps.dry {
        let built = build::build(function, kind, steps.project, steps.options, progress).await?;
        if kind == ArtifactKind::Image && steps.push {
            if let Artifact::Image { reference, .. } = &built.artifact
                && let Some(login) = backend.registry(reference).await?
            {
                steps.project.log_in(login);
            }
            let pushed = pushed(function, built.artifact, steps, progress).await?;
            return Ok((by_digest(function, pushed, true, steps, progress).await?, "pushed".into()));
        }
        let named = by_digest(function, built.artifact, false, steps, progress).await?;
        return Ok((pinned(function, named, backend, steps, progress).await, built.reason));
    }
    let reference = build::tag::reference(function, steps.options.tag, steps.project.root)?;
    if is_built(function, kind, steps) && !function.build.skip {
        match build::foreseen::foresee(function, kind, steps.project, steps.options).await {
            Ok(Foreseen::Kept(artifact)) => {
                let named = by_digest(function, artifact, false, steps, progress).await?;
                return Ok((named, "unchanged".into()));
            }
            // A bundle goes by what goes into it, so all is known of it that there is to know.
            Ok(Foreseen::Built(artifact)) if kind == ArtifactKind::Bundle => return Ok((artifact, "not built".into())),
            Ok(Foreseen::Built(artifact)) => return Ok((artifact, TO_BUILD.into())),
            Ok(Foreseen::Unseen(artifact)) => return Ok((artifact, TO_SEE.into())),
            Err(fault) if kind != ArtifactKind::Image => return Err(fault),
            // What can't be told here goes by its name.
            Ok(Foreseen::Unknown) | Err(_) => {}
        }
    }
    let digest = reference.split_once('@').map(|(_, digest)| digest.to_owned());
    let artifact = Artifact::Image { reference, digest };
    let named = by_digest(function, artifact, false, steps, progress).await?;
    Ok((pinned(function, named, backend, steps, progress).await, "not built".into()))
}

/// Where the platform looks a tag up only once: the image with the digest that its registry has now, so that what was
/// not pushed again is not deployed again. Registries that don't answer here may answer there.
async fn pinned(
    function: &Function,
    artifact: Artifact,
    backend: &dyn Backend,
    steps: &Steps<'_>,
    progress: &dyn Progress,
) -> Artifact {
    let Artifact::Image { reference, digest: None } = &artifact else { return artifact };
    if !steps.deploy || !backend.pins_images() || reference.contains('@') {
        return artifact;
    }
    let asked = in_registry(function, reference, steps, &Silent);
    match tokio::time::timeout(REGISTRY_WAIT, asked).await {
        Ok(Ok(digest)) => Artifact::Image { reference: reference.clone(), digest: Some(digest) },
        Ok(Err(Fault { kind: Kind::Unsupported, .. })) => artifact,
        failed => {
            let why = match failed {
                Ok(Err(fault)) => fault.without(&function.name),
                _ => format!("{reference}: its registry gives no answer"),
            };
            progress.warn(&function.name, &format!("{why}; deployed by its tag, which the cluster looks up"));
            artifact
        }
    }
}

/// With `--digest`, the image under the digest that its registry knows it by; `known` when the artifact has that.
async fn by_digest(
    function: &Function,
    artifact: Artifact,
    known: bool,
    steps: &Steps<'_>,
    progress: &dyn Progress,
) -> Result<Artifact> {
    let Artifact::Image { reference, digest } = &artifact else { return Ok(artifact) };
    if !steps.by_digest || reference.contains('@') {
        return Ok(artifact);
    }
    let digest = match digest {
        Some(digest) if known => digest.clone(),
        _ => in_registry(function, reference, steps, progress).await?,
    };
    let name = build::tag::split(reference).0;
    Ok(Artifact::Image { reference: format!("{name}@{digest}"), digest: Some(digest) })
}

/// Looks whether an image is what a platform takes that is particular about them. Registries that don't answer here may
/// answer there.
#[cfg(feature = "image")]
pub(super) async fn is_single(
    function: &Function,
    artifact: &Artifact,
    backend: &dyn Backend,
    steps: &Steps<'_>,
) -> Result<()> {
    let (Artifact::Image { reference, digest }, Some(platform)) = (artifact, backend.image_platform(function)) else {
        return Ok(());
    };
    let name = build::tag::split(reference).0;
    let image = digest.as_ref().map_or_else(|| reference.clone(), |digest| format!("{name}@{digest}"));
    let talk = crate::registry::Talk { subject: &function.name, progress: &Silent };
    let looked = crate::registry::single::check(&steps.project.registries, &image, platform, talk);
    match tokio::time::timeout(REGISTRY_WAIT, looked).await {
        Ok(Err(fault)) if fault.kind == Kind::Usage => Err(fault),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(not(feature = "image"))]
pub(super) async fn is_single(_: &Function, _: &Artifact, _: &dyn Backend, _: &Steps<'_>) -> Result<()> {
    Ok(())
}

/// Looks whether an image is there before a function that runs is ended for it, on platforms that do that. Registries
/// that don't answer here may answer there.
#[cfg(feature = "image")]
pub(super) async fn is_in_registry(
    function: &Function,
    artifact: &Artifact,
    backend: &dyn Backend,
    steps: &Steps<'_>,
) -> Result<()> {
    let Artifact::Image { reference, digest: None } = artifact else { return Ok(()) };
    let on_this_machine = crate::registry::is_here(reference);
    if !backend.ends_for_images(on_this_machine) || !steps.project.registries.lacks(reference).await {
        return Ok(());
    }
    Err(Fault::failed(format!("{}: {reference} is not in its registry; the function is left as it is", function.name))
        .code(Code::IMAGE_UNAVAILABLE)
        .hint("push it first (`faas push`, `faas up`), or look at its name"))
}

#[cfg(not(feature = "image"))]
pub(super) async fn is_in_registry(_: &Function, _: &Artifact, _: &dyn Backend, _: &Steps<'_>) -> Result<()> {
    Ok(())
}

#[cfg(feature = "image")]
async fn pushed(
    function: &Function,
    artifact: Artifact,
    steps: &Steps<'_>,
    progress: &dyn Progress,
) -> Result<Artifact> {
    let Artifact::Image { reference, .. } = artifact else { return Ok(artifact) };
    let pushed = build::push(&function.name, &reference, steps.project, progress).await?;
    Ok(Artifact::Image { reference, digest: Some(pushed.digest) })
}

#[cfg(feature = "image")]
async fn in_registry(
    function: &Function,
    reference: &str,
    steps: &Steps<'_>,
    progress: &dyn Progress,
) -> Result<String> {
    build::push::digest(&function.name, reference, steps.project, progress).await
}

#[cfg(not(feature = "image"))]
async fn in_registry(function: &Function, _: &str, _: &Steps<'_>, _: &dyn Progress) -> Result<String> {
    Err(Fault::unsupported(format!("{}: this build of faas asks no registry for a digest", function.name))
        .hint("use a build with the cargo feature `image`, or name the image by its digest in the stack"))
}

#[cfg(not(feature = "image"))]
async fn pushed(function: &Function, _: Artifact, _: &Steps<'_>, _: &dyn Progress) -> Result<Artifact> {
    Err(Fault::unsupported(format!("{}: this build of faas pushes no images", function.name))
        .hint("use a build with the cargo feature `image`"))
}
