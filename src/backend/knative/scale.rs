//! `faas scale`: the bounds of the autoscaler, and nothing else of the Service.
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::apply::SCALE_MANAGER;
use super::cluster::Cluster;
use super::{scaling, trouble};
use crate::error::Result;
use crate::function::FunctionId;

/// How often a Service is looked at again that others write at the same time.
const SCALE_ATTEMPTS: u32 = 8;

/// Sets the bounds between which a function scales: `replicas` pods, or any number up to its most when that is 0.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is no such function, or what the cluster refused.
pub async fn scale(cluster: &Cluster, id: &FunctionId, replicas: u32) -> Result<()> {
    let what = format!("can't scale {id}");
    let services = cluster.services(id.namespace.as_deref()).await?;
    let params = PatchParams { field_manager: Some(SCALE_MANAGER.into()), ..PatchParams::default() };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let service = cluster.our_service(id).await?;
        let annotation = |key: &str| {
            let all = service.spec.pointer("/template/metadata/annotations")?;
            all.get(key)?.as_str()?.parse::<u32>().ok()
        };
        let mut annotations = json!({ scaling::MIN: replicas.to_string() });
        if annotation(scaling::MAX).is_some_and(|most| most > 0 && most < replicas) {
            annotations[scaling::MAX] = json!(replicas.to_string());
        }
        let body = json!({
            "metadata": { "resourceVersion": service.metadata.resource_version },
            "spec": { "template": { "metadata": { "annotations": annotations } } },
        });
        match services.patch(&id.name, &params, &Patch::Merge(&body)).await {
            // Somebody wrote in between, often the cluster itself: what is there now is looked at.
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < SCALE_ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(100) * attempt).await;
            }
            done => return done.map(drop).map_err(|e| trouble::fault(&what, e)),
        }
    }
}
