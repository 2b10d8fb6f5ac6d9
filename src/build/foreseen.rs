//! What a build would do, without building: for plans.
use super::{Options, Project};
#[cfg(feature = "image")]
use super::{
    dockerfile,
    engine::Image,
    image::{self, arguments, base_ids, is_same_base, short, wanted},
    oci, tag, tree,
};
use crate::artifact::Artifact;
use crate::error::Result;
use crate::function::Function;

/// What would become of a function's image.
#[derive(Debug, Clone, PartialEq)]
pub enum Foreseen {
    /// It is left as it is.
    Kept(Artifact),
    /// It is built: something that goes into it has changed.
    Built,
    /// Nothing here knows the image.
    Unknown,
}

/// What [`super::build()`] would do for the image of `function`.
///
/// # Errors
/// When its files or its template can't be used, or no container engine answers.
#[cfg(feature = "image")]
pub async fn image(function: &Function, project: &Project<'_>, options: &Options) -> Result<Foreseen> {
    let name = &function.name;
    let reference = tag::reference(function, options.tag, project.root)?;
    let kept = |digest: &str| {
        Foreseen::Kept(Artifact::Image { reference: reference.clone(), digest: Some(digest.to_owned()) })
    };
    if let Some(made) = oci::made(project, &reference) {
        let tree = tree::assemble(function, project, options, false)?;
        let content = tree.digest()?.to_hex().to_string();
        let known = project.index.get(&format!("{name}/oci"));
        return Ok(match known {
            Some(known) if known.content == content => kept(&made.digest),
            Some(_) => Foreseen::Built,
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
            Some(_) => Foreseen::Built,
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
            Foreseen::Kept(image::artifact(image, reference, engine))
        }
        // Somebody else's.
        Some(_) if fingerprint.is_none() => Foreseen::Unknown,
        Some(_) => Foreseen::Built,
        None if known.is_some_and(|known| known.content != wanted) => Foreseen::Built,
        None => Foreseen::Unknown,
    })
}

/// A build without images foresees none.
///
/// # Errors
/// None.
#[cfg(not(feature = "image"))]
pub async fn image(_: &Function, _: &Project<'_>, _: &Options) -> Result<Foreseen> {
    Ok(Foreseen::Unknown)
}
