//! `--prune`: away with images that a newer build took the name from, and with layers that no image needs.
use std::collections::HashMap;

use bollard::query_parameters::PruneImagesOptionsBuilder;

use super::engine::{FINGERPRINT_KEY, said};
use super::oci::Store;
use super::{Options, Project};
use crate::error::{Fault, Result};
use crate::progress::Progress;

/// Removes, in the engine, images without a name that `faas` built (no others), and in the cache, layers of images that
/// were put together without an engine and are nobody's any more.
///
/// # Errors
/// When the engine or the cache refuses it.
pub async fn prune(project: &Project<'_>, options: &Options, progress: &dyn Progress) -> Result<()> {
    let freed = Store::of(project).sweep()?;
    let mut said_of = vec![format!("{freed} bytes of layers")];
    if !options.engineless && project.builder_host().is_none() {
        let engine = project.engine().await?;
        let filters =
            HashMap::from([("dangling", vec!["true".to_owned()]), ("label", vec![FINGERPRINT_KEY.to_owned()])]);
        let filters = PruneImagesOptionsBuilder::default().filters(&filters).build();
        let pruned = engine.api.prune_images(Some(filters)).await;
        let pruned = pruned.map_err(|error| Fault::failed("the engine can't prune its images").cause(said(&error)))?;
        let images = pruned.images_deleted.unwrap_or_default().iter().filter(|image| image.deleted.is_some()).count();
        let bytes = pruned.space_reclaimed.unwrap_or_default();
        said_of.push(format!("{images} layers of the engine's images ({bytes} bytes)"));
    }
    progress.done("prune", &format!("removed {}", said_of.join(" and ")));
    Ok(())
}
