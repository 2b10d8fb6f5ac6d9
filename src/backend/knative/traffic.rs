//! Revisions and their shares of traffic.
use async_trait::async_trait;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::objects::{Revision as Object, SERVED_KEY, SERVICE_LABEL, Service, Share};
use super::{apply, observe, trouble, wait};
use crate::backend::{Change, Deployed, Revision, Traffic, served};
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::history;
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

/// What served before, with a new revision that has the name `tag` and `percent` of the traffic. The revision that had
/// most keeps the rest; others keep their names only.
pub fn with(before: &[Share], new: &str, tag: &str, percent: u8) -> Value {
    let share = |revision: &str, percent: u8, tag: Option<&str>| Share {
        revision_name: revision.into(),
        percent,
        tag: tag.map(Into::into),
        ..Share::default()
    };
    let most = before.iter().filter(|s| s.revision_name != new).max_by_key(|s| s.percent);
    let stable = most.map(|s| s.revision_name.clone()).unwrap_or_default();
    let mut shares = vec![share(new, percent, Some(tag)), share(&stable, 100 - percent, None)];
    // A tag leads to one revision: who had this one before loses it.
    for (name, other) in before.iter().filter_map(|s| Some((s.tag.as_deref()?, s))).filter(|(name, _)| *name != tag) {
        match shares.iter_mut().find(|s| s.revision_name == other.revision_name && s.tag.is_none()) {
            Some(same) => same.tag = Some(name.into()),
            None => shares.push(share(&other.revision_name, 0, Some(name))),
        }
    }
    shares.iter().map(apply::pinned).collect()
}

/// What [`SERVED_KEY`] is to say when the traffic of `service` moves; `None` where nothing is known.
pub fn mark(service: &Service) -> Option<String> {
    let kept = service.metadata.annotations.as_ref().and_then(|all| all.get(SERVED_KEY));
    let mut shares: Vec<(&str, u8)> = Vec::new();
    for share in &service.status.traffic {
        match shares.iter_mut().find(|(name, _)| *name == share.revision_name) {
            Some((_, percent)) => *percent += share.percent,
            None => shares.push((&share.revision_name, share.percent)),
        }
    }
    let alone = shares.iter().find(|(name, percent)| *percent == 100 && !name.is_empty()).map(|(name, _)| *name);
    let list = served::noted(kept.map(|text| served::read(text)).unwrap_or_default(), alone);
    (kept.is_some() || !list.is_empty()).then(|| served::write(&list))
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

    /// Sets the shares; all of the traffic may be going back to one of them.
    async fn shift(&self, id: &FunctionId, shares: &[(String, u8)], back: bool) -> Result<()> {
        // Knative takes a name that it doesn't have, and then never becomes ready.
        let there = self.revisions_of(id).await?;
        for (name, _) in shares {
            match there.iter().find(|r| r.name() == name) {
                Some(revision) if revision.is_ready() => {}
                Some(_) => {
                    return Err(Fault::failed(format!("the revision {name} is not ready"))
                        .hint("`faas revisions list` shows which are"));
                }
                None => return Err(no_revision(id, name, &there)),
            }
        }
        let service = self.our_service(id).await?;
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
        let served = match shares {
            [(name, _)] if back => mark(&service).map(|list| served::write(&served::back(served::read(&list), name))),
            _ => mark(&service),
        };
        let services = self.services(id.namespace.as_deref()).await?;
        let set = apply::set_traffic(&services, &id.name, Value::Array(traffic), served).await?;
        self.settled(&set).await
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
        let tags = |name: &str| {
            let own = service.status.traffic.iter().filter(|s| s.revision_name == name);
            own.filter_map(|s| Some((s.tag.clone()?, s.url.clone().unwrap_or_default()))).collect()
        };
        let one = |revision: &Object| Revision {
            name: revision.name().into(),
            share: share(revision.name()),
            created: revision.metadata.creation_timestamp.as_ref().map(|t| t.0.to_string()),
            image: revision.image().into(),
            tags: tags(revision.name()),
            ready: Some(revision.is_ready()),
            replicas: Some(revision.status.actual_replicas.unwrap_or(0)),
            deployment: revision.metadata.annotations.as_ref().and_then(|all| history::past(all).into_iter().next()),
        };
        Ok(self.revisions_of(id).await?.iter().map(one).collect())
    }

    async fn set(&self, id: &FunctionId, shares: &[(String, u8)]) -> Result<()> {
        let sum: u32 = shares.iter().map(|(_, percent)| u32::from(*percent)).sum();
        if sum != 100 {
            return Err(Fault::usage(format!("the shares sum to {sum}, not to 100")));
        }
        if let Some((name, _)) = shares
            .iter()
            .enumerate()
            .find(|(at, (name, _))| shares[..*at].iter().any(|(n, _)| n == name))
            .map(|(_, share)| share)
        {
            return Err(Fault::usage(format!("the revision {name} is named twice")));
        }
        self.shift(id, shares, false).await
    }

    async fn served(&self, id: &FunctionId) -> Result<Option<Vec<String>>> {
        let service = self.service(id).await?;
        let kept = service.metadata.annotations.as_ref().and_then(|all| all.get(SERVED_KEY));
        Ok(kept.map(|list| served::read(list)))
    }

    async fn back(&self, id: &FunctionId, revision: &str) -> Result<()> {
        self.shift(id, &[(revision.to_owned(), 100)], true).await
    }

    async fn canary(&self, change: &Change, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        self.tagged(change, apply::CANARY_TAG, percent, progress).await
    }

    async fn tagged(&self, change: &Change, tag: &str, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        Ok(observe::deployed(&apply::tagged(self, change, tag, percent, progress).await?, &[]))
    }

    async fn pause(&self, id: &FunctionId) -> Result<()> {
        let service = self.our_service(id).await?;
        if service.is_paused() {
            return Ok(());
        }
        let services = self.services(id.namespace.as_deref()).await?;
        // The mark first: a deployment that comes in between leaves the traffic alone then.
        apply::set_paused(&services, &service, true).await?;
        let shares: Vec<_> = service.status.traffic.iter().map(apply::pinned).collect();
        if shares.is_empty() {
            return Ok(());
        }
        let set = apply::set_traffic(&services, &id.name, Value::Array(shares), mark(&service)).await?;
        self.settled(&set).await
    }

    async fn resume(&self, id: &FunctionId) -> Result<()> {
        let service = self.our_service(id).await?;
        let services = self.services(id.namespace.as_deref()).await?;
        apply::set_paused(&services, &service, false).await
    }

    async fn paused(&self, id: &FunctionId) -> Result<bool> {
        Ok(self.service(id).await?.is_paused())
    }

    async fn discard(&self, id: &FunctionId, revision: &str) -> Result<()> {
        let service = self.our_service(id).await?;
        let status = &service.status;
        let mut routed = status.traffic.iter().map(|s| &s.revision_name).chain([&status.latest_ready_revision_name]);
        if revision == status.latest_created_revision_name || routed.any(|name| name == revision) {
            return Err(Fault::failed(format!("the revision {revision} of {id} is in use"))
                .hint("`faas rollout set` moves traffic and tags to others"));
        }
        let there = self.revisions_of(id).await?;
        if !there.iter().any(|r| r.name() == revision) {
            return Err(no_revision(id, revision, &there));
        }
        let revisions: Api<Object> = self.api(id.namespace.as_deref()).await?;
        let removed = revisions.delete(revision, &DeleteParams::background()).await;
        removed.map(drop).map_err(|e| trouble::fault(&format!("can't remove the revision {revision}"), e))
    }

    async fn follow(&self, id: &FunctionId) -> Result<()> {
        let service = self.our_service(id).await?;
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
        let set = apply::set_traffic(&services, &id.name, latest, mark(&service)).await?;
        self.settled(&set).await
    }
}

fn no_revision(id: &FunctionId, name: &str, there: &[Object]) -> Fault {
    let names: Vec<_> = there.iter().map(Object::name).collect();
    let hint = if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) };
    Fault::not_found(format!("{id} has no revision {name}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(revision: &str, percent: u8, tag: Option<&str>) -> Share {
        Share { revision_name: revision.into(), percent, tag: tag.map(Into::into), ..Share::default() }
    }

    #[test]
    fn a_new_revision_takes_its_tag_and_leaves_the_others_theirs() {
        let before = [share("a-1", 90, Some("blue")), share("a-2", 10, Some("canary")), share("a-0", 0, Some("old"))];
        assert_eq!(
            with(&before, "a-3", "canary", 20),
            json!([
                {"revisionName": "a-3", "percent": 20, "tag": "canary"},
                {"revisionName": "a-1", "percent": 80, "tag": "blue"},
                {"revisionName": "a-0", "percent": 0, "tag": "old"},
            ])
        );
        let one = [share("a-1", 100, None)];
        assert_eq!(
            with(&one, "a-2", "green", 0),
            json!([{"revisionName": "a-2", "percent": 0, "tag": "green"}, {"revisionName": "a-1", "percent": 100}])
        );
    }
}
