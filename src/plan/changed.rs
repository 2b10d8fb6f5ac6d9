//! What a deployment changes, by name: for the record of it that the platform keeps. Values are never told.
use std::collections::BTreeMap;

use super::{Action, Decision, spec_hash};
use crate::artifact::Artifact;
use crate::backend::{ARTIFACT_KEY, Deployed, SPEC_KEY};
use crate::function::{Function, Resources};
use crate::history::same_spec;

/// The names of what differs: `created`, `code`, `environment.RATE`, `limits`…
pub fn names(
    function: &Function,
    artifact: &Artifact,
    observed: Option<&Deployed>,
    decision: &Decision,
) -> Vec<String> {
    let Some(there) = observed.filter(|_| decision.action != Action::Created) else { return vec!["created".into()] };
    let mark = |key: &str| there.annotations.get(key).map(String::as_str);
    let mut changed = Vec::new();
    if mark(ARTIFACT_KEY) != Some(artifact.identity()) {
        changed.push("code".to_owned());
    }
    let mut map = |name: &str, wanted: &BTreeMap<String, String>, there: &BTreeMap<String, String>| {
        let differs = wanted.iter().filter(|(key, value)| there.get(*key) != Some(*value));
        changed.extend(differs.map(|(key, _)| format!("{name}.{key}")));
    };
    map("environment", &function.environment, &there.environment);
    map("labels", &function.labels, &there.labels);
    map("annotations", &function.annotations, &there.annotations);
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    let told = |resources: &Resources| resources.memory.is_some() || resources.cpu.is_some();
    let mut field = |name: &str, differs: bool| {
        if differs {
            changed.push(name.to_owned());
        }
    };
    field("secrets", sorted(&function.secrets) != sorted(&there.secrets));
    field("process", function.process.is_some() && function.process != there.process);
    field("limits", told(&function.limits) && function.limits != there.limits);
    field("requests", told(&function.requests) && function.requests != there.requests);
    if changed.is_empty() && !mark(SPEC_KEY).is_some_and(|spec| same_spec(spec, &spec_hash(function))) {
        changed.push("configuration".into());
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::decide;

    #[test]
    fn names_and_no_values() {
        let artifact = |digest: &str| Artifact::Image { reference: "r/tax:1".into(), digest: Some(digest.into()) };
        let mut function = Function { name: "tax".into(), ..Function::default() };
        let of = |function: &Function, artifact: &Artifact, there: Option<&Deployed>| {
            names(function, artifact, there, &decide(function, artifact, there, None))
        };
        assert_eq!(of(&function, &artifact("1"), None), ["created"]);
        let there = Deployed {
            annotations: [
                (SPEC_KEY.to_owned(), spec_hash(&function)),
                (ARTIFACT_KEY.to_owned(), artifact("1").identity().to_owned()),
            ]
            .into(),
            ..Deployed::default()
        };
        assert!(of(&function, &artifact("1"), Some(&there)).is_empty());
        function.environment.insert("API_TOKEN".into(), "hunter2".into());
        function.secrets.push("key".into());
        assert_eq!(of(&function, &artifact("2"), Some(&there)), ["code", "environment.API_TOKEN", "secrets"]);
        let bounded = Function { concurrency: Some(3), ..Function { name: "tax".into(), ..Function::default() } };
        assert_eq!(of(&bounded, &artifact("1"), Some(&there)), ["configuration"]);
    }
}
