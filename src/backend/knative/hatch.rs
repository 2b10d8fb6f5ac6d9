//! What stands under `knative:` of a function and can't be right, told without asking a cluster.
use serde_json::{Value, json};

use super::objects::API_VERSION;
use crate::function::Function;
use crate::problem::Problem;

/// Fields of a Service that people write, for the nearest to one that isn't there.
const FIELDS: [&str; 41] = [
    "affinity",
    "annotations",
    "args",
    "automountServiceAccountToken",
    "command",
    "containerConcurrency",
    "containers",
    "emptyDir",
    "enableServiceLinks",
    "env",
    "envFrom",
    "idleTimeoutSeconds",
    "image",
    "imagePullPolicy",
    "imagePullSecrets",
    "initContainers",
    "labels",
    "latestRevision",
    "limits",
    "livenessProbe",
    "metadata",
    "nodeSelector",
    "percent",
    "ports",
    "priorityClassName",
    "projected",
    "readinessProbe",
    "requests",
    "resources",
    "responseStartTimeoutSeconds",
    "revisionName",
    "runtimeClassName",
    "securityContext",
    "serviceAccountName",
    "startupProbe",
    "template",
    "timeoutSeconds",
    "tolerations",
    "traffic",
    "volumeMounts",
    "volumes",
];

/// What to do about a field that the cluster doesn't know.
pub fn unknown(path: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or_default();
    match crate::stack::schema::nearest(name, FIELDS) {
        Some(near) if near != name => format!("did you mean `{near}`?"),
        _ => format!("Knative lets no function of this cluster set `{name}`: leave it out"),
    }
}

/// What is wrong with it.
pub fn check(function: &Function) -> Vec<Problem> {
    let Some(extra) = function.extra.get("knative") else { return Vec::new() };
    let at = |field: &str| format!("functions.{}.knative.{field}", function.name);
    let mut problems = Vec::new();
    let own = [
        ("apiVersion", Some(API_VERSION), "leave it out"),
        ("kind", Some("Service"), "leave it out"),
        ("metadata.name", Some(function.name.as_str()), "the function's name in the stack file is that of its Service"),
        ("metadata.namespace", function.namespace.as_deref(), "`namespace:` of the function says where it goes"),
    ];
    for (field, is, hint) in own {
        let pointer = format!("/{}", field.replace('.', "/"));
        let Some(written) = extra.pointer(&pointer).filter(|value| !value.is_null()) else { continue };
        if is.is_none_or(|is| *written != json!(is)) {
            let shown = written.as_str().map_or_else(|| written.to_string(), Into::into);
            problems.push(Problem::error(at(field), format!("`{shown}` can't be its {field}")).hint(hint));
        }
    }
    let shares = extra.pointer("/spec/traffic").and_then(Value::as_array);
    let percent = |share: &Value| share.get("percent").and_then(Value::as_u64).unwrap_or(0);
    if let Some(sum) = shares.map(|all| all.iter().map(percent).sum::<u64>()).filter(|sum| *sum != 100) {
        problems.push(
            Problem::error(at("spec.traffic"), format!("the shares sum to {sum}, not to 100"))
                .hint("leave them out: `faas rollout set` moves traffic, and deployments leave it alone"),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_cluster_takes_is_told_by_its_field() {
        let found = |extra: Value| {
            let extra = [("knative".to_owned(), extra)].into();
            check(&Function { name: "tax".into(), extra, ..Function::default() })
        };
        let fields = |extra: Value| found(extra).into_iter().map(|p| p.field).collect::<Vec<_>>();
        assert_eq!(fields(json!({"metadata": {"name": "other"}})), ["functions.tax.knative.metadata.name"]);
        assert_eq!(fields(json!({"metadata": {"namespace": "a"}})), ["functions.tax.knative.metadata.namespace"]);
        assert_eq!(fields(json!({"kind": "Pod"})), ["functions.tax.knative.kind"]);
        let half = json!({"spec": {"traffic": [{"latestRevision": true, "percent": 50}]}});
        assert_eq!(fields(half), ["functions.tax.knative.spec.traffic"]);
        let right = json!({"kind": "Service", "metadata": {"name": "tax"},
            "spec": {"traffic": [{"latestRevision": true, "percent": 100}]}});
        assert_eq!(found(right), []);
    }

    #[test]
    fn a_field_that_is_not_there_leads_to_the_one_that_was_meant() {
        assert_eq!(unknown("spec.template.spec.containerConcurency"), "did you mean `containerConcurrency`?");
        assert!(unknown("spec.template.spec.containers[0].lifecycle").contains("leave it out"));
        assert!(unknown("spec.template.spec.hostNetwork").contains("leave it out"));
    }
}
