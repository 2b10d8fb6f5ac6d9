//! Revisions and their shares of traffic.
use async_trait::async_trait;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::objects::{Revision as Object, SERVICE_LABEL, Service, Share};
use super::{apply, observe, wait};
use crate::backend::{Change, Deployed, Revision, Traffic};
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::progress::{Progress, Silent};

/// Shares in words, as `tax-00001 90 %, latest 10 %`.
pub fn words(shares: &[Share]) -> String {
    let one = |share: &Share| {
        let name = if share.latest_revision { "latest" } else { &share.revision_name };
        match &share.tag {
            Some(tag) => format!("{name} {} % as {tag}", share.percent),
            None => format!("{name} {} %", share.percent),
        }
    };
    shares.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl Cluster {
    /// The revisions of a function, newest first.
    async fn revisions_of(&self, id: &FunctionId) -> Result<Vec<Object>> {
        let revisions = self.revisions(id.namespace.as_deref()).await?;
        let params = ListParams::default().labels(&format!("{SERVICE_LABEL}={}", id.name));
        let mut all = Vec::new();
        let what = format!("can't list the revisions of {id}");
        observe::pages(&revisions, &params, &what, &mut |r| all.push(r)).await?;
        all.sort_by_key(|r| std::cmp::Reverse(r.number()));
        Ok(all)
    }

    /// Waits until new shares are in force, as the settings say.
    async fn settled(&self, set: &Service) -> Result<()> {
        if self.settings.wait.is_zero() {
            return Ok(());
        }
        wait::until_ready(self, set, self.settings.wait, &Silent).await.map(drop)
    }
}

#[async_trait]
impl Traffic for Cluster {
    async fn revisions(&self, id: &FunctionId) -> Result<Vec<Revision>> {
        let service = self.service(id).await?;
        let share = |name: &str| {
            let shares = service.status.traffic.iter().filter(|s| s.revision_name == name);
            shares.map(|s| s.percent).sum()
        };
        let one = |revision: &Object| Revision {
            name: revision.name().into(),
            share: share(revision.name()),
            created: revision.metadata.creation_timestamp.as_ref().map(|t| t.0.to_string()),
            image: revision.image().into(),
        };
        Ok(self.revisions_of(id).await?.iter().map(one).collect())
    }

    async fn set(&self, id: &FunctionId, shares: &[(String, u8)]) -> Result<()> {
        let sum: u32 = shares.iter().map(|(_, percent)| u32::from(*percent)).sum();
        if sum != 100 {
            return Err(Fault::usage(format!("the shares sum to {sum}, not to 100")));
        }
        // Knative takes a name that it doesn't have, and then never becomes ready.
        let there = self.revisions_of(id).await?;
        for (name, _) in shares {
            match there.iter().find(|r| r.name() == name) {
                Some(revision) if revision.is_ready() => {}
                Some(_) => {
                    return Err(Fault::failed(format!("the revision {name} is not ready"))
                        .hint("`faas revisions list` shows which are"));
                }
                None => return Err(gone(id, name, &there)),
            }
        }
        let service = self.service(id).await?;
        let tag = |name: &str| {
            let tagged = service.status.traffic.iter().find(|s| s.revision_name == name && s.tag.is_some());
            tagged.and_then(|s| s.tag.clone())
        };
        let traffic: Vec<Value> = shares
            .iter()
            .map(|(name, percent)| match tag(name) {
                Some(tag) => json!({ "revisionName": name, "percent": percent, "tag": tag }),
                None => json!({ "revisionName": name, "percent": percent }),
            })
            .collect();
        let services = self.services(id.namespace.as_deref()).await?;
        let set = apply::set_traffic(&services, &id.name, Value::Array(traffic)).await?;
        self.settled(&set).await
    }

    async fn canary(&self, change: &Change, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        Ok(observe::deployed(&apply::canary(self, change, percent, progress).await?, &[]))
    }

    async fn follow(&self, id: &FunctionId) -> Result<()> {
        let service = self.service(id).await?;
        let status = &service.status;
        // A newest revision that never became ready would leave the traffic where it is, without a word.
        if status.latest_created_revision_name != status.latest_ready_revision_name {
            return Err(Fault::failed(format!(
                "the newest revision, {}, is not ready",
                status.latest_created_revision_name
            ))
            .hint(format!("`faas rollout promote {} REVISION` chooses another", id.name)));
        }
        let services = self.services(id.namespace.as_deref()).await?;
        let latest = json!([{ "latestRevision": true, "percent": 100 }]);
        let set = apply::set_traffic(&services, &id.name, latest).await?;
        self.settled(&set).await
    }
}

fn gone(id: &FunctionId, name: &str, there: &[Object]) -> Fault {
    let names: Vec<_> = there.iter().map(Object::name).collect();
    let hint = if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) };
    Fault::not_found(format!("{id} has no revision {name}")).hint(hint)
}
