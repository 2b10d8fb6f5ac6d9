//! Build and push in one go, for several platforms under one name, and under several names.
use serde::Serialize;
use serde_json::{Value, json};

use super::push::Pushed;
use super::{Options, Project, Several, TagMode, image, oci, push, tag, tree};
use crate::artifact::Artifact;
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::registry::{self, Talk};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An image in its registry, under all of its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The function.
    pub name: String,
    /// The image's name with tag.
    pub image: String,
    /// The digest of the image, or of the index over those for several platforms.
    pub digest: String,
    /// The platforms that were asked for.
    pub platforms: Vec<String>,
    /// Other names of the same.
    pub also: Vec<String>,
    /// Whether anything was sent; the registry may have had it.
    pub sent: bool,
}

/// Builds `function` for its platforms, pushes it, and names it by the tags in `extra`, too.
///
/// # Errors
/// When a build fails, or the registry refuses something.
pub async fn publish(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    extra: &[String],
    progress: &dyn Progress,
) -> Result<Published> {
    let name = &function.name;
    let talk = Talk { subject: name, progress };
    let reference = tag::reference(function, options.tag, project.root)?;
    push::check(name, &reference)?;
    let others = extra
        .iter()
        .map(|extra| {
            let other = format!("{}:{extra}", tag::split(&reference).0);
            registry::parse(name, &other).map(|_| other)
        })
        .collect::<Result<Vec<_>>>()?;
    // A builder of its own, and we, make an index at once; an engine builds one platform after the other.
    let at_once = options.engineless || project.builder_host().is_some();
    let options = &Options { push: true, ..options.clone() };
    let Pushed { digest, sent } = if function.build.platforms.len() < 2 || at_once {
        if options.engineless {
            oci::build(function, project, options, progress).await?;
        } else {
            image::build(function, project, options, progress).await?;
        }
        push::push(name, &reference, project, progress).await?
    } else {
        one_by_one(function, &reference, project, options, talk).await?
    };
    let image = registry::parse(name, &reference)?;
    for other in &others {
        let remote = project.registries.remote(&image, talk).await?;
        let (body, _) = remote.manifest(&image.clone_with_digest(digest.clone()), talk).await?;
        let kind = kind(&body)?;
        remote.put_manifest(&registry::parse(name, other)?, body, &kind, talk).await?;
    }
    let platforms = function.build.platforms.clone();
    Ok(Published { name: name.clone(), image: reference, digest, platforms, also: others, sent })
}

/// Each platform under a tag of its own, and the index over them under the tag that is meant.
async fn one_by_one(
    function: &Function,
    reference: &str,
    project: &Project<'_>,
    options: &Options,
    talk: Talk<'_>,
) -> Result<Pushed> {
    let options = Options { tag: TagMode::Latest, ..options.clone() };
    let alone = |platform: &str| {
        let mut alone = function.clone();
        alone.build.platforms = vec![platform.to_owned()];
        alone
    };
    // What the last one lacks is told before the first is built and pushed.
    for platform in &function.build.platforms {
        tree::assemble(&alone(platform), project, &options, true)?;
    }
    let image = registry::parse(talk.subject, reference)?;
    let remote = project.registries.remote(&image, talk).await?;
    let (mut entries, mut any_sent) = (Vec::new(), false);
    for platform in &function.build.platforms {
        let (os, architecture) = platform.split_once('/').ok_or_else(|| {
            Fault::usage(format!("{}: `{platform}` is no platform", talk.subject)).hint("as linux/amd64, linux/arm64")
        })?;
        let (architecture, variant) =
            architecture.split_once('/').map_or((architecture, None), |(name, variant)| (name, Some(variant)));
        let one = format!("{reference}-{}", platform.trim_start_matches("linux/").replace('/', "-"));
        let mut alone = alone(platform);
        alone.build.image = Some(one.clone());
        let built = image::build(&alone, project, &options, talk.progress).await?;
        debug_assert!(matches!(&built.artifact, Artifact::Image { reference, .. } if *reference == one));
        let Pushed { digest, sent } = push::push(talk.subject, &one, project, talk.progress).await?;
        any_sent |= sent;
        let (body, _) = remote.manifest(&image.clone_with_digest(digest.clone()), talk).await?;
        let mut described = json!({ "os": os, "architecture": architecture });
        if let Some(variant) = variant {
            described["variant"] = json!(variant);
        }
        entries.push(json!({
            "mediaType": kind(&body)?, "size": body.len(), "digest": digest, "platform": described,
        }));
    }
    let docker = entries.iter().all(|entry| entry["mediaType"] == DOCKER);
    let kind = if docker { DOCKER_INDEX } else { INDEX };
    let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "mediaType": kind, "manifests": entries }))
        .or_fault(|| format!("{}: can't write the index", talk.subject))?;
    let digest = oci::digest_of(&index);
    let there = remote.digest(&image, talk).await?;
    if there.as_deref() != Some(&digest) {
        remote.put_manifest(&image, index.into(), kind, talk).await?;
        any_sent = true;
    }
    Ok(Pushed { digest, sent: any_sent })
}

/// The media type that a manifest or an index says of itself.
fn kind(body: &[u8]) -> Result<String> {
    let json: Value = serde_json::from_slice(body).or_fault(|| "the registry's manifest is no JSON".into())?;
    let said = json.get("mediaType").and_then(Value::as_str).map(str::to_owned);
    let manifests = if json.get("manifests").is_some() { INDEX } else { "application/vnd.oci.image.manifest.v1+json" };
    Ok(said.unwrap_or_else(|| manifests.to_owned()))
}

/// Publishes functions, so many at a time. All are tried; how each went is told through `progress`.
pub async fn publish_all(
    functions: &[Function],
    project: &Project<'_>,
    options: &Options,
    extra: &[String],
    parallel: usize,
    progress: &dyn Progress,
) -> Several<Published> {
    use futures_util::StreamExt;
    let one = async |function: &Function| {
        let result = publish(function, project, options, extra, progress).await;
        match &result {
            Ok(done) => {
                let pushed = Pushed { digest: done.digest.clone(), sent: done.sent };
                progress.done(&function.name, &push::told(&done.image, &pushed));
            }
            Err(fault) if functions.len() > 1 => progress.failed(&function.name, &fault.without(&function.name)),
            Err(_) => {}
        }
        result
    };
    let work = futures_util::stream::iter(functions.iter().map(one)).buffered(parallel.max(1));
    Several::new(work.map(Some).collect().await, "publish")
}
