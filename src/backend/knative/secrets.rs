//! Secrets of functions: Kubernetes Secrets with our label, one key each, which is their name. Values are only ever
//! sent; what comes back is metadata, and no annotation holds what was applied.
use std::fmt;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as Object;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use secrecy::ExposeSecret;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::apply::MANAGER;
use super::cluster::Cluster;
use super::manifest::OWNER_LABEL;
use super::trouble;
use crate::backend::{Existing, Secret, SecretName, Secrets, Written};
use crate::error::{Fault, Result};

/// A secret on its way, whose `Debug` tells nothing.
struct Sent<'a>(&'a Secret);

impl fmt::Debug for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sent").field(&self.0.name).finish()
    }
}

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = &self.0.name.name;
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "labels": { OWNER_LABEL.0: OWNER_LABEL.1 } },
            "type": "Opaque",
            "data": { name: ByteString(self.0.value.expose_secret().to_vec()) },
        })
        .serialize(serializer)
    }
}

impl Cluster {
    /// What is there under this name, whoever made it.
    async fn secret(&self, name: &SecretName) -> Result<(Api<Object>, Option<PartialObjectMeta<Object>>)> {
        let api: Api<Object> = self.api(name.namespace.as_deref()).await?;
        let what = format!("can't look for the secret {}", name.name);
        let found = api.get_metadata_opt(&name.name).await.map_err(|e| trouble::fault(&what, e))?;
        Ok((api, found))
    }

    /// The same when it is ours.
    async fn our_secret(&self, name: &SecretName) -> Result<Api<Object>> {
        match self.secret(name).await? {
            (api, Some(found)) if is_ours(&found) => Ok(api),
            (_, Some(_)) => Err(foreign(&name.name)),
            (_, None) => Err(Fault::not_found(format!("there is no secret {}", name.name))
                .hint("`faas secret list` shows what is there")),
        }
    }
}

fn is_ours(found: &PartialObjectMeta<Object>) -> bool {
    let labels = found.metadata.labels.as_ref();
    labels.and_then(|l| l.get(OWNER_LABEL.0)).is_some_and(|value| value == OWNER_LABEL.1)
}

fn foreign(name: &str) -> Fault {
    Fault::failed(format!("the secret {name} is not one of faas"))
        .cause(format!("it has no label {}={}", OWNER_LABEL.0, OWNER_LABEL.1))
        .hint("functions may use it as it is; change it with the tool that made it, or give yours another name")
}

async fn write(api: &Api<Object>, secret: &Secret) -> Result<()> {
    let params = PatchParams::apply(MANAGER).force();
    let name = &secret.name.name;
    let sent = api.patch_metadata(name, &params, &Patch::Apply(Sent(secret))).await;
    sent.map(drop).map_err(|e| trouble::fault(&format!("can't write the secret {name}"), e))
}

#[async_trait]
impl Secrets for Cluster {
    async fn list(&self, namespace: Option<&str>) -> Result<Vec<SecretName>> {
        let api: Api<Object> = self.api(namespace).await?;
        let params = ListParams::default().labels(&format!("{}={}", OWNER_LABEL.0, OWNER_LABEL.1));
        let found = api.list_metadata(&params).await.map_err(|e| trouble::fault("can't list the secrets", e))?;
        let name = |s: PartialObjectMeta<Object>| SecretName {
            name: s.metadata.name.unwrap_or_default(),
            namespace: s.metadata.namespace,
        };
        let mut names: Vec<_> = found.items.into_iter().map(name).collect();
        names.sort();
        Ok(names)
    }

    async fn create(&self, secret: &Secret, existing: Existing) -> Result<Written> {
        let name = &secret.name.name;
        match self.secret(&secret.name).await? {
            (api, None) => write(&api, secret).await.map(|()| Written::Created),
            (_, Some(found)) if !is_ours(&found) => Err(foreign(name)),
            (api, Some(_)) if existing != Existing::Refuse => write(&api, secret).await.map(|()| Written::Updated),
            _ => Err(Fault::failed(format!("the secret {name} exists already"))
                .hint("without --no-replace it gets the new value")),
        }
    }

    async fn update(&self, secret: &Secret) -> Result<()> {
        write(&self.our_secret(&secret.name).await?, secret).await
    }

    async fn remove(&self, name: &SecretName) -> Result<()> {
        let api = self.our_secret(name).await?;
        let removed = api.delete(&name.name, &DeleteParams::default()).await;
        removed.map(drop).map_err(|e| trouble::fault(&format!("can't remove the secret {}", name.name), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret { name: SecretName { name: "key".into(), namespace: None }, value: b"hunter2".to_vec().into() }
    }

    #[test]
    fn a_value_is_sent_under_its_name_and_shown_nowhere() {
        let secret = secret();
        let sent = Sent(&secret);
        assert_eq!(serde_json::to_value(&sent).unwrap()["data"], json!({"key": "aHVudGVyMg=="}));
        assert!(!format!("{sent:?}").contains("hunter2"));
    }
}
