//! Whether an image is a single one for one platform, as platforms want it that take no index.
use serde_json::Value;

use super::{Registries, Talk, by_digest, parse};
use crate::error::{Fault, OrFault, Result};

/// Looks at the image in its registry.
///
/// # Errors
/// [`crate::error::Kind::Usage`] when it is an index, or for another platform than `platform` (as `linux/arm64`); other
/// kinds when the registry does not tell.
pub async fn check(registries: &Registries, image: &str, platform: &str, talk: Talk<'_>) -> Result<()> {
    let reference = parse(talk.subject, image)?;
    let remote = registries.remote(&reference, talk).await?;
    let (manifest, digest) = remote.manifest(&reference, talk).await?;
    let unreadable = || format!("{}: the manifest of {image} can't be read", talk.subject);
    let manifest: Value = serde_json::from_slice(&manifest).or_fault(unreadable)?;
    if manifest.get("manifests").is_some() {
        return Err(Fault::usage(format!(
            "{}: {image} is an index of several images, and one is wanted",
            talk.subject
        ))
        .hint("build it for one platform, with --provenance=false --sbom=false"));
    }
    let Some(config) = manifest.pointer("/config/digest").and_then(Value::as_str) else { return Ok(()) };
    let config = remote.blob(&by_digest(&reference, &digest), config, talk).await?;
    let config: Value = serde_json::from_slice(&config).or_fault(unreadable)?;
    let part = |name: &str| config.get(name).and_then(Value::as_str);
    // Old builders tell neither.
    let (Some(os), Some(architecture)) = (part("os"), part("architecture")) else { return Ok(()) };
    let is = format!("{os}/{architecture}");
    if is == platform {
        return Ok(());
    }
    Err(Fault::usage(format!("{}: {image} is for {is}, and the function is to run on {platform}", talk.subject))
        .hint(format!("build it by `platforms: {platform}`, or let the function run on {is}")))
}
