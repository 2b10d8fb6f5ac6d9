//! Whether base images are there for the platforms that are built for, and images are for theirs: builders take a base for
//! another processor without a word.
use std::time::Duration;

use super::engine::Engine;
use super::image::{Request, short};
use super::{dockerfile, oci, push};
use crate::error::{Fault, Result};
use crate::platform;
use crate::progress::Silent;
use crate::registry::Talk;
use crate::registry::login::server;

/// How long a registry may take to say what it has. Where it can't be asked from here, the builder may well reach it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Refuses a base image that is there for other platforms only; `engine` is `None` for a builder of its own. What can't be
/// found out is left to the builder.
///
/// # Errors
/// When a base is not there for one of the platforms.
pub async fn check(request: &Request<'_>, engine: Option<&Engine>) -> Result<()> {
    let wanted = &request.function.build.platforms;
    if wanted.is_empty() {
        return Ok(());
    }
    for base in dockerfile::bases_of_the_platform(request.dockerfile, request.args) {
        let Some(have) = platforms(&base, request, engine).await else { continue };
        if let Some(lacks) = wanted.iter().find(|wanted| !have.iter().any(|have| is_for(have, wanted))) {
            return Err(lacking(request.name, &base, lacks, &have.join(", ")));
        }
    }
    Ok(())
}

/// What `base` is there for; `None` when nobody says so.
async fn platforms(base: &str, request: &Request<'_>, engine: Option<&Engine>) -> Option<Vec<String>> {
    let project = request.project;
    // An image of the engine's own may be in no registry.
    if let Some(engine) = engine {
        let own = engine.image(&short(base)).await.ok().flatten().map(|image| image.platform);
        let fits = |own: &String| request.function.build.platforms.iter().all(|wanted| is_for(own, wanted));
        if let Some(own) = own.filter(|own| !own.is_empty()).filter(fits) {
            return Some(vec![own]);
        }
    }
    let cell = project.bases.lock().await.entry(base.to_owned()).or_default().clone();
    let ask = async {
        let have = match engine {
            Some(engine) => {
                let login = push::credentials(project, &server(base)).ok()?;
                let told = engine.api.inspect_registry_image(base, login).await.ok()?;
                let shown = |one: bollard::models::OciPlatform| Some(format!("{}/{}", one.os?, one.architecture?));
                told.platforms.into_iter().filter_map(shown).collect()
            }
            None => oci::platforms(base, project, Talk { subject: request.name, progress: &Silent }).await.ok()?,
        };
        Some(have).filter(|have: &Vec<String>| !have.is_empty())
    };
    let ask = async { tokio::time::timeout(PATIENCE, ask).await.ok().flatten() };
    cell.get_or_init(|| ask).await.clone()
}

/// Whether what is for the platform `have` runs on `wanted`, as far as system and processor tell.
pub fn is_for(have: &str, wanted: &str) -> bool {
    let system = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let have = platform::normal(have).unwrap_or_else(|| have.to_owned());
    system(&have) == system(wanted) && platform::processor(&have) == platform::processor(wanted)
}

/// The fault for a base image that is not there for a platform.
pub fn lacking(subject: &str, base: &str, wanted: &str, have: &str) -> Fault {
    Fault::failed(format!("{subject}: the base image {base} is not there for {wanted}"))
        .cause(format!("it is there for {have}"))
        .hint("leave that platform out, or name another base: `-b BASE=…`, or FROM in a Dockerfile of your own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_and_processor_decide() {
        for (have, wanted, is) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v6", "linux/arm/v7", true),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(is_for(have, wanted), is, "{have} {wanted}");
        }
    }
}
