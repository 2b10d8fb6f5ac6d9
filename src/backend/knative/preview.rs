//! What an apply would change, by a server-side dry run: Kubernetes and Knative's webhook do all their work but the writing.
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};

use super::apply::{self, DEPLOYED_KEY, TEMPLATE_KEY};
use super::cluster::Cluster;
use super::objects::{SERVED_KEY, Service};
use super::triggers::MADE_KEY;
use super::{difference, manifest, rehearsal};
use crate::backend::{ARTIFACT_KEY, Change, Difference, SPEC_KEY, STACK_KEY};
use crate::error::Result;
use crate::history::RECORD_KEY;
use crate::progress::Silent;

/// Marks of ours and of Knative's: they change with everything, and say nothing by themselves.
const MARKS: [&str; 10] = [
    SERVED_KEY,
    RECORD_KEY,
    TEMPLATE_KEY,
    MADE_KEY,
    SPEC_KEY,
    ARTIFACT_KEY,
    STACK_KEY,
    DEPLOYED_KEY,
    "serving.knative.dev/creator",
    "serving.knative.dev/lastModifier",
];

/// The fields that an apply would change; none of a function that isn't there yet, whose whole would be new.
///
/// # Errors
/// What the cluster would refuse, as [`apply::apply`] tells it.
pub async fn preview(cluster: &Cluster, change: &Change) -> Result<Vec<Difference>> {
    let function = &change.function;
    let pull_secrets = rehearsal::needs(cluster, function).await?;
    let wanted = manifest::of(change, &pull_secrets)?;
    let namespace = cluster.namespace(function.namespace.as_deref()).await?;
    let kind = ApiResource::erase::<Service>(&());
    let services: Api<DynamicObject> = Api::namespaced_with(cluster.client().await?, namespace, &kind);
    let live = cluster.raw(&function.id()).await?;
    let applied: DynamicObject = apply::send(cluster, &services, change, &wanted, true, &Silent).await?;
    Ok(live.map(|live| difference::all(&shown(&live), &shown(&applied))).unwrap_or_default())
}

/// What of a Service people change.
fn shown(service: &DynamicObject) -> Value {
    let mut spec = service.data.get("spec").cloned().unwrap_or_default();
    let mut annotations = json!(service.metadata.annotations);
    for key in MARKS {
        for map in [Some(&mut annotations), spec.pointer_mut("/template/metadata/annotations")].into_iter().flatten() {
            if let Some(map) = map.as_object_mut() {
                map.shift_remove(key);
            }
        }
    }
    // A map that held nothing but marks is as good as none.
    if let Some(metadata) = spec.pointer_mut("/template/metadata").and_then(Value::as_object_mut)
        && metadata.get("annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
    {
        metadata.shift_remove("annotations");
    }
    json!({ "metadata": { "labels": service.metadata.labels, "annotations": annotations }, "spec": spec })
}
