//! Making the cluster as a change says: secrets asked for first, one server-side apply, then the wait.
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{Cluster, no_function};
use super::objects::{API_VERSION, Service};
use super::{manifest, refusal, traffic, trouble, wait};
use crate::backend::{Change, How};
use crate::error::{Fault, Result};
use crate::function::{Function, FunctionId};
use crate::progress::Progress;

/// Owns labels, annotations and the template.
pub const MANAGER: &str = "faas";
/// Owns `spec.traffic`, so that a deployment doesn't move traffic that somebody split.
pub const TRAFFIC_MANAGER: &str = "faas-traffic";
/// Owns the bounds that `faas scale` sets.
pub const SCALE_MANAGER: &str = "faas-scale";
/// How long a webhook that restarts is waited for.
const WEBHOOK_WAIT: Duration = Duration::from_secs(30);
/// How long a removal may take before the function is made anew.
const REMOVAL_WAIT: Duration = Duration::from_secs(60);

/// Applies it and waits, as the settings say.
///
/// # Errors
/// What the cluster refused, and why; what keeps the new revision from starting; [`crate::error::Kind::TimedOut`].
pub async fn apply(cluster: &Cluster, change: &Change, progress: &dyn Progress) -> Result<Service> {
    let function = &change.function;
    let (id, name) = (function.id(), function.name.as_str());
    let what = format!("can't deploy {name}");
    let pull_secrets = secrets_are_there(cluster, function).await?;
    let wanted = manifest::of(change, &pull_secrets)?;
    let services = cluster.services(id.namespace.as_deref()).await?;
    match change.how {
        How::Upsert => {}
        How::Create => {
            if services.get_opt(name).await.map_err(|e| trouble::fault(&what, e))?.is_some() {
                return Err(
                    Fault::failed(format!("{id} exists already")).hint("leave out --update=false, or pass --replace")
                );
            }
        }
        How::Replace => replace(&services, &id, progress).await?,
    }
    progress.step(name, "deploying");
    let applied = send(cluster, &services, function, &wanted, progress).await?;
    let pinned = !applied.follows_latest();
    if cluster.settings.wait.is_zero() {
        if pinned {
            progress.warn(name, "traffic is pinned to a revision: the new one gets none until `faas rollout promote`");
        }
        return Ok(applied);
    }
    let ready = wait::until_ready(cluster, &applied, cluster.settings.wait, progress).await?;
    if !pinned {
        return Ok(ready);
    }
    // Only now: before, the latest ready revision could be one that somebody rolled back from.
    let shares = traffic::words(&ready.traffic());
    progress.warn(name, &format!("traffic was pinned ({shares}): all of it goes to the new revision now"));
    let moved = set_traffic(&services, name, json!([{ "latestRevision": true, "percent": 100 }])).await?;
    wait::until_ready(cluster, &moved, cluster.settings.wait, progress).await
}

/// Sets `spec.traffic`, and nothing else.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is no such function, or what the cluster refused.
pub async fn set_traffic(services: &Api<Service>, name: &str, shares: Value) -> Result<Service> {
    let body = json!({
        "apiVersion": API_VERSION, "kind": "Service", "metadata": { "name": name }, "spec": { "traffic": shares }
    });
    // Ours is the last word on traffic, whoever set it before.
    let params = PatchParams::apply(TRAFFIC_MANAGER).force();
    services
        .patch(name, &params, &Patch::Apply(&body))
        .await
        .map_err(|e| trouble::fault(&format!("can't set the traffic of {name}"), e))
}

/// Removes a function; what Knative made for it goes with it.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is none.
pub async fn remove(cluster: &Cluster, id: &FunctionId) -> Result<()> {
    let services = cluster.services(id.namespace.as_deref()).await?;
    match services.delete(&id.name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 && !trouble::is_missing_api(&status) => {
            Err(no_function(id))
        }
        Err(error) => Err(trouble::fault(&format!("can't remove {id}"), error)),
    }
}

async fn replace(services: &Api<Service>, id: &FunctionId, progress: &dyn Progress) -> Result<()> {
    let what = format!("can't remove {id}");
    let gone = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
    match services.delete(&id.name, &DeleteParams::foreground()).await {
        Ok(_) => {}
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(trouble::fault(&what, error)),
    }
    progress.step(&id.name, "removing the old one");
    let end = Instant::now() + REMOVAL_WAIT;
    while services.get_metadata_opt(&id.name).await.map_err(|e| trouble::fault(&what, e))?.is_some() {
        if Instant::now() > end {
            return Err(Fault::timed_out(what).cause("its pods or routes don't go away"));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// A pod whose secret is missing never starts, and its Service doesn't say so: ask first. Gives those that hold a
/// registry's login.
async fn secrets_are_there(cluster: &Cluster, function: &Function) -> Result<BTreeSet<String>> {
    /// A secret without its values.
    #[derive(Clone, Debug, serde::Deserialize)]
    struct Kind {
        #[serde(rename = "type", default)]
        kind: String,
    }
    if function.secrets.is_empty() {
        return Ok(BTreeSet::new());
    }
    let client: Client = cluster.client().await?;
    let namespace = cluster.namespace(function.namespace.as_deref()).await?;
    let url = <Secret as kube::Resource>::url_path(&(), Some(namespace));
    let found: Vec<(String, Option<Kind>)> = futures_util::stream::iter(function.secrets.clone())
        .map(|name| {
            let (client, url) = (client.clone(), url.clone());
            async move {
                let what = format!("can't look for the secret {name}");
                let request = kube::core::Request::new(url).get(&name, &kube::api::GetParams::default());
                let request = request.map_err(|e| Fault::failed(&what).cause(e))?;
                match client.request::<Kind>(request).await {
                    Ok(kind) => Ok((name, Some(kind))),
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok((name, None)),
                    // Who may deploy may not always read secrets; the wait then tells.
                    Err(kube::Error::Api(status)) if status.code == 403 => {
                        Ok((name, Some(Kind { kind: String::new() })))
                    }
                    Err(error) => Err(trouble::fault(&what, error)),
                }
            }
        })
        .buffered(8)
        .try_collect()
        .await?;
    let missing: Vec<_> = found.iter().filter(|(_, kind)| kind.is_none()).map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        let (noun, verb) = if missing.len() == 1 { ("secret", "is") } else { ("secrets", "are") };
        return Err(Fault::failed(format!("can't deploy {}", function.name))
            .cause(format!("the {noun} {} {verb} not in the namespace {namespace}", missing.join(", ")))
            .hint(format!("`faas secret create {}` makes it; nothing was changed", missing[0])));
    }
    let login =
        |kind: &Kind| matches!(kind.kind.as_str(), "kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg");
    Ok(found.into_iter().filter(|(_, kind)| kind.as_ref().is_some_and(login)).map(|(name, _)| name).collect())
}

/// The server-side apply itself. Waits for a webhook that restarts, and takes over what only we ourselves set.
async fn send(
    cluster: &Cluster,
    services: &Api<Service>,
    function: &Function,
    wanted: &Value,
    progress: &dyn Progress,
) -> Result<Service> {
    let name = function.name.as_str();
    let mut params = PatchParams::apply(MANAGER).validation_strict();
    params.force = cluster.settings.force;
    let end = Instant::now() + WEBHOOK_WAIT;
    let mut warned = false;
    loop {
        let status: Box<Status> = match services.patch(name, &params, &Patch::Apply(wanted)).await {
            Ok(applied) => return Ok(applied),
            Err(kube::Error::Api(status)) => status,
            Err(error) => return Err(trouble::fault(&format!("can't deploy {name}"), error)),
        };
        if status.code == 409 && !params.force && refusal::is_ours(&status) {
            params.force = true;
            continue;
        }
        if trouble::is_webhook_down(&status) && Instant::now() < end {
            if !warned {
                progress.warn(name, "Knative's webhook doesn't answer, as while it restarts: trying again");
                warned = true;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        return Err(refusal::explain(function, &status));
    }
}

/// Sets the bounds between which a function scales: `replicas` pods, or any number up to its most when that is 0.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is no such function, or what the cluster refused.
pub async fn scale(cluster: &Cluster, id: &FunctionId, replicas: u32) -> Result<()> {
    let what = format!("can't scale {id}");
    let service = cluster.service(id).await?;
    let annotation = |key: &str| {
        let all = service.spec.pointer("/template/metadata/annotations")?;
        all.get(key)?.as_str()?.parse::<u32>().ok()
    };
    let mut annotations = json!({ super::scaling::MIN: replicas.to_string() });
    if annotation(super::scaling::MAX).is_some_and(|most| most > 0 && most < replicas) {
        annotations[super::scaling::MAX] = json!(replicas.to_string());
    }
    let body = json!({
        "metadata": { "resourceVersion": service.metadata.resource_version },
        "spec": { "template": { "metadata": { "annotations": annotations } } },
    });
    let params = PatchParams { field_manager: Some(SCALE_MANAGER.into()), ..PatchParams::default() };
    let services = cluster.services(id.namespace.as_deref()).await?;
    services.patch(&id.name, &params, &Patch::Merge(&body)).await.map_err(|e| trouble::fault(&what, e))?;
    Ok(())
}
