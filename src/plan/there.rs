//! What a platform has of functions that are named.
use std::collections::HashMap;

use crate::backend::{Backend, Deployed, Scope};
use crate::error::Result;
use crate::function::FunctionId;

/// What the platform has of these functions, one question a namespace; with `usage`, nobody waits for functions that are
/// starting.
///
/// # Errors
/// When the platform can't be asked.
pub async fn observe(
    ids: impl Iterator<Item = FunctionId>,
    backend: &dyn Backend,
    usage: bool,
) -> Result<HashMap<FunctionId, Deployed>> {
    let mut by_namespace: HashMap<Option<String>, Vec<String>> = HashMap::new();
    for id in ids {
        by_namespace.entry(id.namespace).or_default().push(id.name);
    }
    let mut observed = HashMap::new();
    for (namespace, names) in by_namespace {
        let scope = Scope { namespace: namespace.clone(), names, usage, ..Scope::default() };
        for deployed in backend.observe(&scope).await? {
            // The platform tells its default namespace by name; we ask by the name that the stack has.
            observed.insert(FunctionId { name: deployed.name.clone(), namespace: namespace.clone() }, deployed);
        }
    }
    Ok(observed)
}
