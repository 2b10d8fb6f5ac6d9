//! What a stack deployed once and names no longer: told by its mark of ownership, and by nothing else.
use std::collections::HashSet;

use futures_util::StreamExt;

use super::{Action, Outcome};
use crate::backend::{Backend, Deployed, STACK_KEY, Scope};
use crate::error::{Fault, Result};
use crate::progress::Progress;

/// How many are removed at once.
const AT_ONCE: usize = 8;

/// The functions that bear the mark of `stack` in these namespaces, and are none of `names`.
///
/// # Errors
/// When the platform can't be asked.
pub async fn stale(
    backend: &dyn Backend,
    namespaces: &HashSet<Option<String>>,
    names: &HashSet<(String, Option<String>)>,
    stack: &str,
) -> Result<Vec<Deployed>> {
    let mut found: Vec<Deployed> = Vec::new();
    for namespace in namespaces {
        let scope = Scope { namespace: namespace.clone(), ..Scope::default() };
        for deployed in backend.observe(&scope).await? {
            let owned = deployed.annotations.get(STACK_KEY).is_some_and(|owner| owner == stack && !stack.is_empty());
            // A platform tells its default namespace by name, the stack leaves it out: either way it is the same one.
            let named = names.contains(&(deployed.name.clone(), namespace.clone()));
            let twice = found.iter().any(|f| f.id() == deployed.id());
            if owned && !named && !twice && backend.foreign(&deployed).is_none() {
                found.push(Deployed { namespace: namespace.clone().or(deployed.namespace.clone()), ..deployed });
            }
        }
    }
    found.sort_by_key(Deployed::id);
    Ok(found)
}

/// What would become of them.
#[must_use]
pub fn planned(stale: &[Deployed]) -> Vec<Outcome> {
    stale.iter().map(outcome).collect()
}

fn outcome(deployed: &Deployed) -> Outcome {
    Outcome {
        action: Some(Action::Pruned),
        reason: Some("no longer in the stack".into()),
        error: None,
        ..Outcome::failed(&deployed.name, Fault::failed(""))
    }
}

/// Removes them; all are tried.
pub async fn prune(backend: &dyn Backend, stale: &[Deployed], progress: &dyn Progress) -> Vec<Outcome> {
    let one = async |deployed: &Deployed| {
        progress.step(&deployed.name, "removing");
        match backend.remove(&deployed.id()).await {
            Ok(()) => {
                progress.done(&deployed.name, "removed: no longer in the stack");
                outcome(deployed)
            }
            Err(fault) => {
                progress.failed(&deployed.name, &fault.without(&deployed.name));
                Outcome::failed(&deployed.name, fault)
            }
        }
    };
    futures_util::stream::iter(stale).map(one).buffered(AT_ONCE).collect().await
}
