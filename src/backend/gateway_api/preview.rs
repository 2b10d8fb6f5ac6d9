//! What a deployment would change on a gateway, field by field. Gateways have no dry run: what they tell of the function
//! is compared with what they would be sent.
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::marks;
use crate::backend::{ARTIFACT_KEY, Change, Deployed, Difference, SPEC_KEY};
use crate::function::Resources;
use crate::history::same_spec;
use crate::wire::{FunctionDeployment, Map, Quantities};

/// Every field that would change. `whole_environment` says that the gateway tells no variables but those that it was
/// sent: others add those of the image, which are nobody's to take away.
pub fn differences(
    change: &Change,
    wanted: &FunctionDeployment,
    there: Option<&Deployed>,
    whole_environment: bool,
) -> Vec<Difference> {
    let nothing = Deployed::default();
    let known = there.is_some();
    let there = there.unwrap_or(&nothing);
    // With the same spec, what is there besides was put there by the platform or by hand, and a deploy leaves it.
    let same_spec = there.annotations.get(SPEC_KEY).is_some_and(|spec| same_spec(spec, &change.spec));
    let mut found = Found { all: Vec::new(), removals: known && !same_spec };
    let artifact = change.artifact.identity();
    found.one("artifact", there.annotations.get(ARTIFACT_KEY).map(|a| json!(a)), Some(json!(artifact)));
    let by_digest = there.image.ends_with(artifact) && !artifact.is_empty();
    if wanted.bundle.is_none() && !by_digest {
        found.one("image", text(&there.image), text(&wanted.image));
    }
    if wanted.env_process.is_some() {
        found.one("fprocess", there.process.as_ref().map(|p| json!(p)), wanted.env_process.as_ref().map(|p| json!(p)));
    }
    let empty = Map::default();
    let environment = wanted.env_vars.as_ref().unwrap_or(&empty);
    // Some gateways tell no environment at all.
    if !(known && there.environment.is_empty() && same_spec) {
        found.map("environment", &there.environment, environment, |_| whole_environment);
    }
    let platform = |key: &str| key == "faas_function" || key == "uid" || key.starts_with("prometheus.io");
    found.map("labels", &there.labels, wanted.labels.as_ref().unwrap_or(&empty), |key| !platform(key));
    let plain = |map: &Map| -> Map {
        map.iter().filter(|(k, _)| !marks::is_own(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let annotations = plain(wanted.annotations.as_ref().unwrap_or(&empty));
    found.map("annotations", &plain(&there.annotations), &annotations, |key| !platform(key));
    found.list("secrets", &there.secrets, wanted.secrets.as_deref().unwrap_or_default());
    found.list("constraints", &there.constraints, wanted.constraints.as_deref().unwrap_or_default());
    found.resources("limits", &there.limits, wanted.limits.as_ref(), same_spec);
    found.resources("requests", &there.requests, wanted.requests.as_ref(), same_spec);
    if known && there.read_only != wanted.read_only_root_filesystem && !same_spec {
        found.one(
            "readonly_root_filesystem",
            Some(json!(there.read_only)),
            Some(json!(wanted.read_only_root_filesystem)),
        );
    } else if !known && wanted.read_only_root_filesystem {
        found.one("readonly_root_filesystem", None, Some(json!(true)));
    }
    found.all
}

struct Found {
    all: Vec<Difference>,
    /// Whether what only the platform has goes away.
    removals: bool,
}

impl Found {
    fn one(&mut self, path: &str, before: Option<Value>, after: Option<Value>) {
        if before != after {
            self.all.push(Difference { path: path.into(), before, after });
        }
    }

    fn map(&mut self, name: &str, there: &BTreeMap<String, String>, wanted: &Map, ours: impl Fn(&str) -> bool) {
        for (key, value) in wanted {
            self.one(&format!("{name}.{key}"), there.get(key).map(|v| json!(v)), Some(json!(value)));
        }
        for (key, value) in
            there.iter().filter(|(key, _)| self.removals && !wanted.contains_key(*key) && ours(key)).collect::<Vec<_>>()
        {
            self.one(&format!("{name}.{key}"), Some(json!(value)), None);
        }
    }

    fn list(&mut self, name: &str, there: &[String], wanted: &[String]) {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            (!list.is_empty()).then(|| json!(list))
        };
        let (before, after) = (sorted(there), sorted(wanted));
        if after.is_some() || self.removals {
            self.one(name, before, after);
        }
    }

    fn resources(&mut self, name: &str, there: &Resources, wanted: Option<&Quantities>, same_spec: bool) {
        let (memory, cpu) = wanted.map_or((None, None), |q| (q.memory.clone(), q.cpu.clone()));
        for (what, before, after) in [("memory", &there.memory, memory), ("cpu", &there.cpu, cpu)] {
            // Gateways that tell none, or in other units, are no drift.
            if !same_spec && (after.is_some() || self.removals) {
                self.one(&format!("{name}.{what}"), before.as_ref().map(|v| json!(v)), after.map(|v| json!(v)));
            }
        }
    }
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifact;
    use crate::backend::How;
    use crate::function::Function;

    fn change() -> Change {
        let function = Function {
            name: "tax".into(),
            environment: [("RATE".to_owned(), "7".to_owned())].into(),
            secrets: vec!["key".into()],
            ..Function::default()
        };
        let artifact = Artifact::Image { reference: "r/tax:2".into(), digest: Some("sha256:2".into()) };
        Change {
            function,
            artifact,
            spec: "s2".into(),
            stack: "shop".into(),
            how: How::Upsert,
            force: false,
            history: Vec::new(),
        }
    }

    fn shown(there: Option<&Deployed>, whole: bool) -> Vec<String> {
        let change = change();
        let wanted = super::super::deployment::of(&change, "r/tax:2".into(), None);
        let value = |v: Option<Value>| v.map_or("-".into(), |v| v.to_string());
        differences(&change, &wanted, there, whole)
            .into_iter()
            .map(|d| format!("{} {} {}", d.path, value(d.before), value(d.after)))
            .collect()
    }

    #[test]
    fn of_a_new_function_every_field_is_new() {
        assert_eq!(
            shown(None, true),
            ["artifact - \"sha256:2\"", "image - \"r/tax:2\"", "environment.RATE - \"7\"", "secrets - [\"key\"]"]
        );
    }

    #[test]
    fn what_the_platform_adds_is_left_and_what_the_stack_dropped_goes() {
        let there = Deployed {
            image: "r/tax:1".into(),
            environment: [("RATE".into(), "6".into()), ("PATH".into(), "/bin".into())].into(),
            labels: [("faas_function".into(), "tax".into()), ("team".into(), "a".into())].into(),
            annotations: [(SPEC_KEY.into(), "s1".into()), (ARTIFACT_KEY.into(), "sha256:1".into())].into(),
            secrets: vec!["key".into()],
            ..Deployed::default()
        };
        assert_eq!(
            shown(Some(&there), false),
            [
                "artifact \"sha256:1\" \"sha256:2\"",
                "image \"r/tax:1\" \"r/tax:2\"",
                "environment.RATE \"6\" \"7\"",
                "labels.team \"a\" -"
            ]
        );
        assert!(shown(Some(&there), true).contains(&"environment.PATH \"/bin\" -".to_owned()));
    }

    #[test]
    fn of_the_same_spec_only_what_was_asked_for_counts() {
        let there = Deployed {
            image: "r/tax@sha256:2".into(),
            environment: [("RATE".into(), "6".into()), ("MORE".into(), "1".into())].into(),
            labels: [("team".into(), "a".into())].into(),
            annotations: [(SPEC_KEY.into(), "s2".into()), (ARTIFACT_KEY.into(), "sha256:2".into())].into(),
            secrets: vec!["key".into()],
            limits: Resources { memory: Some("1".into()), cpu: None },
            ..Deployed::default()
        };
        assert_eq!(shown(Some(&there), true), ["environment.RATE \"6\" \"7\""]);
    }
}
