//! Namespaces are the cluster's own.
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Namespace as Object;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use serde_json::json;

use super::apply::MANAGER;
use super::cluster::Cluster;
use super::trouble;
use crate::backend::{Namespace, Namespaces};
use crate::error::{Fault, Result};

#[async_trait]
impl Namespaces for Cluster {
    async fn list(&self) -> Result<Vec<String>> {
        let api: Api<Object> = Api::all(self.client().await?);
        let found = api.list_metadata(&kube::api::ListParams::default()).await;
        let found = found.map_err(|e| trouble::fault("can't list the namespaces", e))?;
        let mut names: Vec<_> = found.items.into_iter().filter_map(|n| n.metadata.name).collect();
        names.sort();
        Ok(names)
    }

    async fn get(&self, name: &str) -> Result<Namespace> {
        let api: Api<Object> = Api::all(self.client().await?);
        let found = api.get_metadata_opt(name).await;
        let found = found.map_err(|e| trouble::fault(&format!("can't read the namespace {name}"), e))?;
        let metadata = found.ok_or_else(|| no_namespace(name))?.metadata;
        Ok(Namespace {
            name: name.into(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
        })
    }

    async fn create(&self, namespace: &Namespace) -> Result<()> {
        let api: Api<Object> = Api::all(self.client().await?);
        let name = &namespace.name;
        let object = Object {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(namespace.labels.clone()),
                annotations: Some(namespace.annotations.clone()),
                ..ObjectMeta::default()
            },
            ..Object::default()
        };
        match api.create(&PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() }, &object).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 && !status.message.contains("being deleted") => {
                Err(Fault::failed(format!("the namespace {name} exists already"))
                    .hint(format!("`faas namespace update {name}` changes its labels and annotations")))
            }
            Err(error) => Err(trouble::fault(&format!("can't create the namespace {name}"), error)),
        }
    }

    async fn update(&self, namespace: &Namespace) -> Result<()> {
        let api: Api<Object> = Api::all(self.client().await?);
        let name = &namespace.name;
        let body = json!({ "metadata": { "labels": namespace.labels, "annotations": namespace.annotations } });
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match api.patch_metadata(name, &params, &Patch::Merge(&body)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(no_namespace(name)),
            Err(error) => Err(trouble::fault(&format!("can't update the namespace {name}"), error)),
        }
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let api: Api<Object> = Api::all(self.client().await?);
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(no_namespace(name)),
            Err(error) => Err(trouble::fault(&format!("can't remove the namespace {name}"), error)),
        }
    }
}

fn no_namespace(name: &str) -> Fault {
    Fault::not_found(format!("there is no namespace {name}")).hint("`faas namespace list` shows what is there")
}
