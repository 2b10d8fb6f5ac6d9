//! Everything about one function: conditions, revisions with their shares, and what its pods say.
use super::cluster::Cluster;
use super::diagnosis;
use crate::backend::{Condition, Detail, Traffic};
use crate::error::{Kind, Result};
use crate::function::FunctionId;

/// What there is to know.
///
/// # Errors
/// [`Kind::NotFound`] when there is no such function.
pub async fn detail(cluster: &Cluster, id: &FunctionId) -> Result<Detail> {
    let service = cluster.service(id).await?;
    let revisions = Traffic::revisions(cluster, id).await?;
    let found = match diagnosis::of(cluster, &service).await {
        Ok(None) => diagnosis::of_serving(cluster, &service).await,
        found => found,
    };
    let trouble = match found {
        Ok(found) => found.map(|found| found.cause),
        // Who may read functions may not always read pods; the conditions are told all the same.
        Err(fault) if fault.kind == Kind::Unauthorized => None,
        Err(fault) => return Err(fault),
    };
    let conditions = service.status.conditions.iter().cloned().map(|c| Condition {
        kind: c.kind,
        status: c.status,
        reason: c.reason,
        message: c.message,
        since: c.since,
    });
    let mut conditions: Vec<_> = conditions.collect();
    // The sum first, then what it is made of.
    conditions.sort_by_key(|c| (c.kind != "Ready", c.kind.clone()));
    Ok(Detail { ready: service.is_ready(), paused: service.is_paused(), conditions, revisions, trouble })
}
