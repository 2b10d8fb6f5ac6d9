//! What was built, in its registries too.
#[cfg(feature = "image")]
use crate::artifact::Artifact;
use crate::build::{self, Options, Project};
use crate::function::Function;

/// What was built, once the images that the engine has are in their registries too, with the digests there.
#[cfg(feature = "image")]
pub async fn pushed<'f>(
    built: Vec<(&'f Function, build::Built)>,
    project: &Project<'_>,
    options: &Options,
    parallel: usize,
    progress: &dyn crate::progress::Progress,
) -> build::Several<(&'f Function, build::Built)> {
    let image = |function: &Function, built: &build::Built| match &built.artifact {
        Artifact::Image { reference, .. } if !function.build.skip => Some((function.name.clone(), reference.clone())),
        _ => None,
    };
    // Others have pushed while they built.
    let here = options.remote.is_none() && (project.builder_host().is_none() || options.engineless);
    let images: Vec<_> = built.iter().filter(|_| here).filter_map(|(function, built)| image(function, built)).collect();
    let mut pushed = build::push_all(&images, project, parallel, progress).await.each.into_iter();
    let one = |(function, mut built): (&'f Function, build::Built)| {
        let known = image(function, &built).filter(|_| here).is_some();
        let pushed = if known { pushed.next().flatten() } else { None };
        let pushed = pushed.transpose()?;
        if let (Artifact::Image { digest, .. }, Some(pushed)) = (&mut built.artifact, pushed) {
            *digest = Some(pushed.digest);
        }
        Ok((function, built))
    };
    build::Several::new(built.into_iter().map(one).map(Some).collect(), "push")
}

#[cfg(not(feature = "image"))]
pub async fn pushed<'f>(
    built: Vec<(&'f Function, build::Built)>,
    _: &Project<'_>,
    _: &Options,
    _: usize,
    _: &dyn crate::progress::Progress,
) -> build::Several<(&'f Function, build::Built)> {
    build::Several::new(built.into_iter().map(|one| Some(Ok(one))).collect(), "push")
}
