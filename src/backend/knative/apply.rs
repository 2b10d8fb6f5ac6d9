//! Making the cluster as a change says: secrets asked for first, one server-side apply, then the wait.
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Status;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{Cluster, no_function};
use super::objects::{API_VERSION, PAUSED_KEY, SERVED_KEY, Service, Share};
use super::{manifest, refusal, rehearsal, traffic, triggers, trouble, wait};
use crate::backend::{Change, How};
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::history::RECORD_KEY;
use crate::progress::Progress;

/// Owns labels, annotations and the template.
pub const MANAGER: &str = "faas";
/// Owns `spec.traffic`, so that a deployment doesn't move traffic that somebody split.
pub const TRAFFIC_MANAGER: &str = "faas-traffic";
/// Owns the bounds that `faas scale` sets.
pub const SCALE_MANAGER: &str = "faas-scale";
/// Owns the mark of a paused rollout.
const PAUSE_MANAGER: &str = "faas-pause";
/// The name by which a canary is called on its own.
pub const CANARY_TAG: &str = "canary";
/// How long a webhook that restarts is waited for.
const WEBHOOK_WAIT: Duration = Duration::from_secs(30);
/// Annotation of pods whose image is known by its tag only: when it was deployed, in RFC 3339.
pub const DEPLOYED_KEY: &str = "faas.dev/deployed";
/// Annotation of the Service: what its template was made from, but for the record of its deployment.
pub const TEMPLATE_KEY: &str = "faas.dev/template";
/// How long a removal may take before the function is made anew.
const REMOVAL_WAIT: Duration = Duration::from_secs(60);

/// Applies it and waits, as the settings say.
///
/// # Errors
/// What the cluster refused, and why; what keeps the new revision from starting; [`crate::error::Kind::TimedOut`].
pub async fn apply(cluster: &Cluster, change: &Change, progress: &dyn Progress) -> Result<Service> {
    let name = change.function.name.as_str();
    let services = cluster.services(change.function.namespace.as_deref()).await?;
    let applied = template(cluster, &services, change, progress).await?;
    let pinned = !applied.follows_latest();
    if applied.is_paused() {
        progress.warn(
            name,
            "the rollout is paused: the traffic stays where it is until `faas rollout resume` and `promote`",
        );
        if cluster.settings.wait.is_zero() {
            return Ok(applied);
        }
        let ready = wait::until_revision(cluster, &applied, cluster.settings.wait, progress).await?;
        return not_overtaken(&applied, ready);
    }
    if cluster.settings.wait.is_zero() {
        if pinned {
            progress.warn(name, "traffic is pinned to a revision: the new one gets none until `faas rollout promote`");
        }
        return Ok(applied);
    }
    if !pinned {
        let ready = wait::until_ready(cluster, &applied, cluster.settings.wait, progress).await?;
        return not_overtaken(&applied, ready);
    }
    // Not until all is ready: what is pinned to a revision that is gone never is.
    let ready = wait::until_revision(cluster, &applied, cluster.settings.wait, progress).await?;
    let ready = not_overtaken(&applied, ready)?;
    // Only now: before, the latest ready revision could be one that somebody rolled back from.
    let shares = traffic::words(&ready.traffic());
    progress.warn(name, &format!("traffic was pinned ({shares}): all of it goes to the new revision now"));
    let latest = json!([{ "latestRevision": true, "percent": 100 }]);
    let moved = set_traffic(&services, name, latest, traffic::mark(&ready)).await?;
    not_overtaken(&applied, wait::until_ready(cluster, &moved, cluster.settings.wait, progress).await?)
}

/// Deploys so that the new revision has the name `tag` and a part of the traffic, and what served before the rest.
///
/// # Errors
/// Those of [`apply`]; the traffic then stays where it was, pinned there by the revisions' names.
pub async fn tagged(
    cluster: &Cluster,
    change: &Change,
    tag: &str,
    percent: u8,
    progress: &dyn Progress,
) -> Result<Service> {
    let id = change.function.id();
    let name = id.name.as_str();
    let limit = cluster.settings.wait;
    if !matches!(change.how, How::Upsert | How::Adopt) {
        return Err(Fault::usage("a canary updates a function and leaves the revision before in place")
            .hint("leave out --replace and --update=false"));
    }
    if limit.is_zero() {
        return Err(Fault::usage("a canary is given traffic once it is ready, and that has to be waited for")
            .hint("leave out --no-wait"));
    }
    let services = cluster.services(id.namespace.as_deref()).await?;
    let there = services.get_opt(name).await.map_err(|e| trouble::fault(&format!("can't read {id}"), e))?;
    let Some(before) = there.filter(|service| service.status.traffic.iter().any(|share| share.percent > 0)) else {
        progress.warn(name, "nothing served before: all traffic goes to the new revision");
        return apply(cluster, change, progress).await;
    };
    if before.is_paused() {
        return Err(Fault::failed(format!("the rollout of {id} is paused"))
            .hint(format!("`faas rollout resume {name}` ends that; a plain `faas deploy` leaves the traffic alone")));
    }
    // By name, so that the new revision gets nothing by itself, even when it becomes ready after we gave up.
    let shares = before.status.traffic.iter().map(pinned).collect();
    set_traffic(&services, name, shares, traffic::mark(&before)).await?;
    let applied = template(cluster, &services, change, progress).await?;
    let ready = not_overtaken(&applied, wait::until_revision(cluster, &applied, limit, progress).await?)?;
    let new = &ready.status.latest_ready_revision_name;
    let shares = if before.status.latest_created_revision_name == *new {
        progress.warn(name, "nothing changed that makes a new revision: the traffic stays as it is");
        before.spec["traffic"].clone()
    } else {
        traffic::with(&before.status.traffic, new, tag, percent)
    };
    let split = set_traffic(&services, name, shares, traffic::mark(&ready)).await?;
    wait::until_ready(cluster, &split, limit, progress).await
}

/// What became ready, unless that is another's: somebody deployed the function since, too.
fn not_overtaken(applied: &Service, ready: Service) -> Result<Service> {
    if applied.spec["template"] == ready.spec["template"] {
        return Ok(ready);
    }
    let id = FunctionId { name: ready.name().into(), namespace: ready.metadata.namespace.clone() };
    Err(Fault::failed(format!("another deployment of {id} overtook this one: what was deployed here doesn't serve"))
        .cause(format!("its newest revision is {} now", ready.status.latest_created_revision_name))
        .hint(format!("`faas deployments list {}` says who deployed what; deploy again to have yours", id.name)))
}

/// A share as it is in force, by the revision's name.
pub fn pinned(share: &Share) -> Value {
    let mut pinned = json!({ "revisionName": share.revision_name, "percent": share.percent });
    if let Some(tag) = &share.tag {
        pinned["tag"] = json!(tag);
    }
    pinned
}

/// Marks the rollout of a function as paused, or takes the mark away.
///
/// # Errors
/// What the cluster refused.
pub async fn set_paused(services: &Api<Service>, service: &Service, paused: bool) -> Result<()> {
    let name = service.name();
    // With the uid, since an apply would make what was removed meanwhile.
    let mut metadata = json!({ "name": name, "uid": service.metadata.uid });
    if paused {
        metadata["annotations"] = json!({ PAUSED_KEY: jiff::Timestamp::now().to_string() });
    }
    let body = json!({ "apiVersion": API_VERSION, "kind": "Service", "metadata": metadata });
    let params = PatchParams::apply(PAUSE_MANAGER).force();
    let set = services.patch(name, &params, &Patch::Apply(&body)).await;
    set.map(drop).map_err(|e| trouble::fault(&format!("can't mark the rollout of {name}"), e))
}

/// Applies labels, annotations and the template; the traffic stays as it is.
async fn template(
    cluster: &Cluster,
    services: &Api<Service>,
    change: &Change,
    progress: &dyn Progress,
) -> Result<Service> {
    let function = &change.function;
    let (id, name) = (function.id(), function.name.as_str());
    let what = format!("can't deploy {name}");
    let pull_secrets = match cluster.was_rehearsed(&id) {
        Some(logins) => logins,
        None => rehearsal::needs(cluster, function).await?,
    };
    let mut wanted = manifest::of(change, &pull_secrets)?;
    if change.force || manifest::is_by_tag(&change.artifact) {
        // Knative looks a tag up once per revision: only a new revision sees what was pushed under it since. And only a
        // new revision has new processes.
        wanted["spec"]["template"]["metadata"]["annotations"][DEPLOYED_KEY] = json!(jiff::Timestamp::now().to_string());
    }
    match change.how {
        How::Upsert | How::Adopt => {}
        How::Create => {
            if services.get_opt(name).await.map_err(|e| trouble::fault(&what, e))?.is_some() {
                return Err(
                    Fault::failed(format!("{id} exists already")).hint("leave out --update=false, or pass --replace")
                );
            }
        }
        How::Replace => replace(services, &id, progress).await?,
    }
    keep(services, name, &mut wanted).await.map_err(|e| trouble::fault(&what, e))?;
    let applied = send(cluster, services, change, &wanted, false, progress).await?;
    triggers::sync(cluster, function, &applied).await?;
    Ok(applied)
}

/// What the Service itself remembers: which revisions served, and the record of the template that it has, since a
/// deployment that changes nothing there makes no revision.
async fn keep(services: &Api<Service>, name: &str, wanted: &mut Value) -> kube::Result<()> {
    const RECORD: &str = "/spec/template/metadata/annotations";
    let mut bare = wanted["spec"]["template"].clone();
    let record = bare.pointer_mut("/metadata/annotations").and_then(|all| all.as_object_mut()?.remove(RECORD_KEY));
    let digest = blake3::hash(bare.to_string().as_bytes()).to_hex()[..32].to_owned();
    let there = services.get_opt(name).await?;
    if let Some(served) = there.as_ref().and_then(traffic::mark) {
        wanted["metadata"]["annotations"][SERVED_KEY] = json!(served);
    }
    if record.is_some()
        && let Some(there) = there
        && there.metadata.annotations.as_ref().and_then(|all| all.get(TEMPLATE_KEY)) == Some(&digest)
        && let Some(kept) = there.spec.pointer("/template/metadata/annotations").and_then(|all| all.get(RECORD_KEY))
        && let Some(all) = wanted.pointer_mut(RECORD)
    {
        all[RECORD_KEY] = kept.clone();
    }
    wanted["metadata"]["annotations"][TEMPLATE_KEY] = json!(digest);
    Ok(())
}

/// Sets `spec.traffic` and what `served` before, and nothing else.
///
/// # Errors
/// [`crate::error::Kind::NotFound`] when there is no such function, or what the cluster refused.
pub async fn set_traffic(
    services: &Api<Service>,
    name: &str,
    shares: Value,
    served: Option<String>,
) -> Result<Service> {
    let mut body = json!({
        "apiVersion": API_VERSION, "kind": "Service", "metadata": { "name": name }, "spec": { "traffic": shares }
    });
    if let Some(served) = served {
        body["metadata"]["annotations"] = json!({ SERVED_KEY: served });
    }
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
    let uid = cluster.our_service(id).await?.metadata.uid;
    // What was looked at, and nothing that took its name since.
    let params = DeleteParams::background().preconditions(Preconditions { uid, resource_version: None });
    match services.delete(&id.name, &params).await {
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
    // What it made goes in the background, while the new one is made: pods take as long to end as a call may.
    match services.delete(&id.name, &DeleteParams::background()).await {
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

/// The server-side apply itself, or its `dry` run. Waits for a webhook that restarts, and takes over what only we
/// ourselves set.
///
/// # Errors
/// What the cluster refused, and why.
pub async fn send<K>(
    cluster: &Cluster,
    services: &Api<K>,
    change: &Change,
    wanted: &Value,
    dry: bool,
    progress: &dyn Progress,
) -> Result<K>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let name = change.function.name.as_str();
    let mut params = PatchParams::apply(MANAGER).validation_strict();
    params.dry_run = dry;
    // What is made anew stands in nobody's way.
    params.force = cluster.settings.force || change.how == How::Adopt || (dry && change.how == How::Replace);
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
        return Err(refused(cluster, change, &status, wanted).await);
    }
}

/// Why the cluster doesn't take what was sent.
async fn refused(cluster: &Cluster, change: &Change, status: &Status, wanted: &Value) -> Fault {
    let function = &change.function;
    if status.code == 409 {
        // Who may write may read; where not, the API server's own words have to do.
        let live = cluster.raw(&function.id()).await.ok().flatten();
        if let Some(fault) = refusal::conflict(function, status, wanted, live.as_ref()) {
            return fault;
        }
    }
    refusal::explain(function, status, wanted)
}
