//! What a function that is not there may have been meant for: one of the stack's, else one that is deployed.
use std::time::Duration;

use super::{Backend, Scope};
use crate::function::FunctionId;
use crate::stack::nearest;

/// Nobody waits longer for a hint.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to say to whoever named `id`, which the platform has not; `stack` has the names of the stack file.
pub async fn hint(backend: &dyn Backend, id: &FunctionId, stack: &[String]) -> String {
    const LIST: &str = "`faas list` shows what is deployed";
    if stack.contains(&id.name) {
        return format!("it is in the stack file, and `faas up` deploys it; {LIST}");
    }
    let near = match nearest(&id.name, stack.iter().map(String::as_str)) {
        Some(near) => Some(near.to_owned()),
        None => {
            let scope = Scope { namespace: id.namespace.clone(), ..Scope::default() };
            let there = tokio::time::timeout(PATIENCE, backend.observe(&scope)).await;
            let there = there.ok().and_then(Result::ok).unwrap_or_default();
            nearest(&id.name, there.iter().map(|one| one.name.as_str())).map(str::to_owned)
        }
    };
    near.map_or_else(|| LIST.into(), |near| format!("did you mean `{near}`? {LIST}"))
}
