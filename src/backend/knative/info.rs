//! The platform itself: Kubernetes' version, and whether Knative Serving and Eventing are installed.
use kube::Api;
use serde_json::json;

use super::cluster::Cluster;
use super::trouble;
use crate::backend::Info;
use crate::error::{Fault, Result};

/// Asks the API server.
///
/// # Errors
/// When it can't be asked, or has no Knative Serving.
pub async fn info(cluster: &Cluster) -> Result<Info> {
    let reached = cluster.reach().await?;
    let what = format!("can't read the versions of the cluster at {}", reached.address);
    let kubernetes = reached.client.apiserver_version().await.map_err(|e| trouble::fault(&what, e))?;
    let groups = reached.client.list_api_groups().await.map_err(|e| trouble::fault(&what, e))?;
    let versions = |name: &str| {
        let group = groups.groups.iter().find(|g| g.name == name);
        group.map(|g| g.versions.iter().map(|v| v.version.clone()).collect::<Vec<_>>())
    };
    let Some(serving) = versions(super::objects::GROUP) else {
        return Err(Fault::failed(format!("the cluster at {} has no Knative Serving", reached.address))
            .hint("install Knative Serving, or choose another context"));
    };
    // The release is a label of Knative's namespace, which not everybody may read.
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(reached.client.clone());
    let release = namespaces.get_metadata("knative-serving").await.ok();
    let release = release.and_then(|n| n.metadata.labels?.get("app.kubernetes.io/version").cloned());
    let release = release.filter(|version| version != "devel");
    Ok(Info {
        provider: "knative".into(),
        orchestration: "kubernetes".into(),
        version: release.clone().unwrap_or_else(|| kubernetes.git_version.clone()),
        address: reached.address.clone(),
        details: json!({
            "kubernetes": kubernetes.git_version,
            "knative": release,
            "serving": serving,
            "eventing": versions("eventing.knative.dev"),
            "namespace": reached.namespace,
            "ingress": cluster.settings.ingress,
        }),
    })
}
