//! Canary, promote, roll back: what platforms do that split traffic between revisions.
use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;

use super::{Change, Deployed};
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::history::{Deployment, Record};
use crate::progress::Progress;

/// Canary, promote, roll back: shares of traffic by revision.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// The revisions of a function, newest first, each with its share.
    async fn revisions(&self, id: &FunctionId) -> Result<Vec<Revision>>;
    /// Sets the shares; they sum to 100.
    async fn set(&self, id: &FunctionId, shares: &[(String, u8)]) -> Result<()>;
    /// Deploys `change` so that its new revision gets `percent` of the traffic, and what served before gets the rest.
    async fn canary(&self, change: &Change, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        let _ = (percent, progress);
        Err(Fault::unsupported(format!("can't deploy {} to a part of the traffic", change.function.name))
            .cause("this platform splits traffic between revisions that are there")
            .hint("deploy it, then split with `faas rollout set`"))
    }
    /// Deploys `change` so that its new revision has an address of its own by the name `tag`, and `percent` of the
    /// traffic; what served before gets the rest.
    async fn tagged(&self, change: &Change, tag: &str, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        let _ = (tag, percent, progress);
        Err(Fault::unsupported(format!(
            "can't give the new revision of {} an address of its own",
            change.function.name
        ))
        .hint("deploy it under another name to try it out"))
    }
    /// Keeps the traffic where it is, whatever is deployed, until [`Traffic::resume`].
    async fn pause(&self, id: &FunctionId) -> Result<()> {
        Err(Fault::unsupported(format!("the rollout of {id} can't be paused on this platform"))
            .hint("`faas rollout set` holds the traffic until the next deployment"))
    }
    /// Ends what [`Traffic::pause`] began; the traffic stays where it is until it is moved.
    async fn resume(&self, id: &FunctionId) -> Result<()> {
        Err(Fault::unsupported(format!("the rollout of {id} can't be paused on this platform, so it never is")))
    }
    /// Whether the rollout is paused.
    async fn paused(&self, id: &FunctionId) -> Result<bool> {
        let _ = id;
        Ok(false)
    }
    /// Removes a revision that nothing leads to; [`crate::error::Kind::NotFound`] when there is none.
    async fn discard(&self, id: &FunctionId, revision: &str) -> Result<()> {
        Err(Fault::unsupported(format!("can't remove revision {revision} of {id}: this platform keeps them all")))
    }
    /// The revisions that had all of the traffic before others got it, newest first; `None` where nobody noted them.
    async fn served(&self, id: &FunctionId) -> Result<Option<Vec<String>>> {
        let _ = id;
        Ok(None)
    }
    /// Sends all traffic back to a revision, and forgets that later ones served.
    async fn back(&self, id: &FunctionId, revision: &str) -> Result<()> {
        self.set(id, &[(revision.to_owned(), 100)]).await
    }
    /// Sends all traffic to the newest revision; where the platform can, also to newer ones as they come.
    async fn follow(&self, id: &FunctionId) -> Result<()> {
        let revisions = self.revisions(id).await?;
        let newest = revisions.first().ok_or_else(|| Fault::not_found(format!("{id} has no revision")))?;
        self.set(id, &[(newest.name.clone(), 100)]).await
    }
}

/// An immutable deployment of a function.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Revision {
    /// Its name on the platform.
    pub name: String,
    /// Its share of traffic in percent.
    pub share: u8,
    /// RFC 3339.
    pub created: Option<String>,
    /// What it runs.
    pub image: String,
    /// Names that lead to it alone, each with its address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether it can take calls, when the platform told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Replicas that run now, when the platform told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u64>,
    /// The deployment that it came from, where `faas` made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Record>,
}

impl Revision {
    /// As a deployment: what `faas` noted, and what the platform knows by itself.
    #[must_use]
    pub fn into_deployment(self) -> Deployment {
        let mut record = self.deployment.unwrap_or_default();
        record.at = record.at.or(self.created);
        record.image = record.image.or(Some(self.image));
        Deployment { id: self.name, serves: self.share > 0, record }
    }
}
