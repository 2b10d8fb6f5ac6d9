//! What a build would do, without building: for plans.
use super::{Options, Project, bundle};
#[cfg(feature = "image")]
use super::{
    dockerfile,
    engine::Image,
    image::{self, arguments, base_ids, is_same_base, short, wanted},
    oci, tag, tree,
};
use crate::artifact::{Artifact, ArtifactKind};
use crate::error::Result;
use crate::function::Function;

/// What would become of a function's artifact.
#[derive(Debug, Clone, PartialEq)]
pub enum Foreseen {
    /// It is left as it is.
    Kept(Artifact),
    /// It is built, since something that goes into it has changed: into this, as far as that is known before.
    Built(Artifact),
    /// It is built since it isn't here, which says nothing of whether anything has changed.
    Unseen(Artifact),
    /// Nothing here knows it.
    Unknown,
}

/// What [`super::build()`] would make of `function`. Its files are read, and nothing is run or written.
///
/// # Errors
/// When its files or its template can't be used, a program is missing, or no container engine answers.
pub async fn foresee(
    function: &Function,
    kind: ArtifactKind,
    project: &Project<'_>,
    options: &Options,
) -> Result<Foreseen> {
    match kind {
        ArtifactKind::Bundle => bundle::foresee(function, project, options),
        #[cfg(feature = "lambda")]
        ArtifactKind::Archive => super::zip::foresee(function, project, options),
        _ => image(function, project, options).await,
    }
}

#[cfg(feature = "image")]
async fn image(function: &Function, project: &Project<'_>, options: &Options) -> Result<Foreseen> {
    let name = &function.name;
    let reference = tag::reference(function, options.tag, project.root)?;
    let kept = |digest: &str| {
        Foreseen::Kept(Artifact::Image { reference: reference.clone(), digest: Some(digest.to_owned()) })
    };
    let built = || Foreseen::Built(Artifact::Image { reference: reference.clone(), digest: None });
    if let Some(made) = oci::made(project, &reference) {
        let tree = tree::assemble(function, project, options, false)?;
        let content = tree.digest()?.to_hex().to_string();
        let known = project.index.get(&format!("{name}/oci"));
        return Ok(match known {
            Some(known) if known.content == content => kept(&made.digest),
            Some(_) => built(),
            None => Foreseen::Unknown,
        });
    }
    let tree = tree::assemble(function, project, options, true)?;
    let args = arguments(function, &tree, options)?;
    let content = tree.digest()?.to_hex().to_string();
    let wanted = wanted(function, &content, &args, options);
    if project.builder_host().is_some() {
        let known = project.index.get(&format!("{name}/builder"));
        return Ok(match known {
            Some(known) if known.content == wanted && known.output == reference => kept(&known.stamp),
            Some(_) => built(),
            None => Foreseen::Unknown,
        });
    }
    let Some(file) = tree.files.iter().find(|file| file.path.as_os_str() == "Dockerfile") else {
        return Ok(Foreseen::Unknown);
    };
    let text = String::from_utf8_lossy(&file.content.read()?).into_owned();
    let engine = project.engine().await?;
    let bases = dockerfile::bases(&text, &args);
    let tagged = short(&reference);
    let (there, base_ids) = futures_util::try_join!(engine.image(&tagged), base_ids(&bases, engine, false))?;
    let known = project.index.get(&format!("{name}/image"));
    let same_base = is_same_base(known.as_ref(), &base_ids);
    let fingerprint = there.as_ref().and_then(Image::fingerprint);
    Ok(match &there {
        Some(image) if same_base && fingerprint == Some(&wanted) => {
            Foreseen::Kept(image::artifact(image, reference.clone(), engine))
        }
        // Somebody else's.
        Some(_) if fingerprint.is_none() => Foreseen::Unknown,
        Some(_) => built(),
        None if known.is_some_and(|known| known.content != wanted) => built(),
        None => Foreseen::Unknown,
    })
}

#[cfg(not(feature = "image"))]
async fn image(_: &Function, _: &Project<'_>, _: &Options) -> Result<Foreseen> {
    Ok(Foreseen::Unknown)
}

/// The images that the function's own image starts from, by its Dockerfile.
///
/// # Errors
/// When its files or its template can't be used.
#[cfg(feature = "image")]
pub fn bases(function: &Function, project: &Project<'_>) -> Result<Vec<String>> {
    let options = Options::default();
    let tree = tree::assemble(function, project, &options, true)?;
    let args = arguments(function, &tree, &options)?;
    let file = tree.files.iter().find(|file| file.path.as_os_str() == "Dockerfile");
    let text = file.map(|file| file.content.read()).transpose()?.unwrap_or_default();
    let mut bases = dockerfile::bases(&String::from_utf8_lossy(&text), &args);
    bases.retain(|base| base != "scratch");
    Ok(bases)
}

/// Whether the project's container engine has an image; `None` where no engine answers.
#[cfg(feature = "image")]
pub async fn is_in_engine(reference: &str, project: &Project<'_>) -> Option<bool> {
    let image = project.engine().await.ok()?.image(&short(reference)).await.ok()?;
    Some(image.is_some())
}
