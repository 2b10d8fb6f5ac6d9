//! Whether the cluster would take a change: what it needs is there, and Kubernetes and Knative's webhook let a dry run pass.
use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;

use super::cluster::Cluster;
use super::{apply, manifest, triggers, trouble};
use crate::backend::Change;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::problem::Problem;
use crate::progress::Progress;

/// Asks for everything that keeps `change` from being made, and makes nothing.
///
/// # Errors
/// What is missing, and what the cluster would refuse.
pub async fn rehearse(cluster: &Cluster, change: &Change, progress: &dyn Progress) -> Result<()> {
    let id = change.function.id();
    let logins = needs(cluster, &change.function).await?;
    let wanted = manifest::of(change, &logins)?;
    let services = cluster.services(id.namespace.as_deref()).await?;
    apply::send(cluster, &services, change, &wanted, true, progress).await?;
    cluster.rehearsed(id, logins);
    Ok(())
}

/// What the function needs of the cluster is there: secrets, of which those that hold a registry's login are given, and
/// the types of what calls it.
///
/// # Errors
/// What is missing.
pub async fn needs(cluster: &Cluster, function: &Function) -> Result<BTreeSet<String>> {
    let (logins, possible) =
        futures_util::future::join(logins(cluster, function), triggers::are_possible(cluster, function)).await;
    possible?;
    logins
}

/// A pod whose secret is missing never starts, and its Service doesn't say so: ask first. Gives those that hold a
/// registry's login.
///
/// # Errors
/// The secrets that are missing.
async fn logins(cluster: &Cluster, function: &Function) -> Result<BTreeSet<String>> {
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
        let said = format!("the {noun} {} {verb} not in the namespace {namespace}", missing.join(", "));
        return Err(Fault::failed(format!("can't deploy {}", function.name))
            .problems(vec![Problem::error(format!("functions.{}.secrets", function.name), &said)])
            .cause(said)
            .hint(format!("`faas secret create {}` makes it", missing[0])));
    }
    let login =
        |kind: &Kind| matches!(kind.kind.as_str(), "kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg");
    Ok(found.into_iter().filter(|(_, kind)| kind.as_ref().is_some_and(login)).map(|(name, _)| name).collect())
}
