//! What the API server or Knative's webhook refused of a function, in its own words, at the stack's own field.
use kube::core::{DynamicObject, Status};
use serde_json::Value;

use super::{apply, difference, hatch, stack_field, trouble};
use crate::backend::Difference;
use crate::error::Fault;
use crate::function::Function;
use crate::problem::Problem;

/// The setting of the ConfigMap `config-features` that lets a field through.
const FLAGS: [(&str, &str); 13] = [
    ("nodeSelector", "kubernetes.podspec-nodeselector"),
    ("affinity", "kubernetes.podspec-affinity"),
    ("tolerations", "kubernetes.podspec-tolerations"),
    ("topologySpreadConstraints", "kubernetes.podspec-topologyspreadconstraints"),
    ("runtimeClassName", "kubernetes.podspec-runtimeclassname"),
    ("priorityClassName", "kubernetes.podspec-priorityclassname"),
    ("hostAliases", "kubernetes.podspec-hostaliases"),
    ("securityContext.runAs", "kubernetes.podspec-securitycontext"),
    ("capabilities.add", "kubernetes.containerspec-addcapabilities"),
    ("ersistentVolumeClaim", "kubernetes.podspec-persistent-volume-claim"),
    ("ersistent volume claim", "kubernetes.podspec-persistent-volume-claim"),
    ("init-containers", "kubernetes.podspec-init-containers"),
    ("fieldRef", "kubernetes.podspec-fieldref"),
];

/// Whether only field managers of ours stand in the way of an apply.
pub fn is_ours(status: &Status) -> bool {
    let managers = managers(status);
    !managers.is_empty() && managers.iter().all(|(manager, _)| is_own(manager))
}

fn is_own(manager: &str) -> bool {
    [apply::MANAGER, apply::TRAFFIC_MANAGER, apply::SCALE_MANAGER].contains(&manager)
}

/// Who set which field: from causes like `conflict with "kn" using serving.knative.dev/v1`.
fn managers(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .filter_map(|cause| Some((cause.message.split('"').nth(1)?.to_owned(), cause.field.clone())))
        .collect()
}

/// How many fields of a conflict are told.
const MOST: usize = 6;

/// Somebody else set fields that the stack sets, too; `live` is the Service as it is, where it could be read.
pub fn conflict(function: &Function, status: &Status, wanted: &Value, live: Option<&DynamicObject>) -> Option<Fault> {
    let managers = managers(status);
    if managers.is_empty() {
        return None;
    }
    let changed = |manager: &str| {
        let entries = live.and_then(|live| live.metadata.managed_fields.as_ref())?;
        let time = entries.iter().find(|entry| entry.manager.as_deref() == Some(manager))?.time.as_ref()?;
        Some(format!(" ({})", time.0))
    };
    let wanted = &with_environment(wanted);
    let mut said = Vec::new();
    let mut problems = Vec::new();
    for (manager, field) in managers.iter().filter(|(manager, _)| !is_own(manager)) {
        let field = field.trim_start_matches('.');
        let mut fields = Vec::new();
        if let Some((live, wanted)) =
            live.and_then(|live| Some((difference::at(&live.data, field)?, difference::at(wanted, field)?)))
        {
            for found in difference::missed(live, wanted) {
                let path = if found.path.starts_with('[') {
                    format!("{field}{}", found.path)
                } else {
                    format!("{field}.{}", found.path)
                };
                let path = path.trim_end_matches('.').to_owned();
                match stack_field::of(function, wanted, &path) {
                    Some(stack) => {
                        let message = message(manager, &path, &found);
                        problems.push(Problem::error(stack.clone(), message));
                        fields.push(stack.trim_start_matches(&format!("functions.{}.", function.name)).to_owned());
                    }
                    None => fields.push(path),
                }
            }
        }
        fields.dedup();
        let more = fields.len().saturating_sub(MOST);
        fields.truncate(MOST);
        let what = if fields.is_empty() { field.to_owned() } else { fields.join(", ") };
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        said.push(format!("{manager}{} set {what}{more}", changed(manager).unwrap_or_default()));
    }
    problems.truncate(MOST);
    Some(
        Fault::failed(format!("can't deploy {}", function.name))
            .cause(format!("somebody else changed this function: {}", said.join("; ")))
            .problems(problems)
            .hint("`--adopt` takes these fields over; so does `provider.knative.force: true`, every time; `--replace` makes the function anew"),
    )
}

/// With an empty environment where there is none, so that what somebody put there is seen.
fn with_environment(wanted: &Value) -> Value {
    let mut wanted = wanted.clone();
    let containers = wanted.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        container.entry("env").or_insert_with(|| Value::Array(Vec::new()));
    }
    wanted
}

/// What a manager made of a field. Values of variables may be secret.
fn message(manager: &str, path: &str, found: &Difference) -> String {
    let shown = |value: &Option<Value>| match value {
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
        None => "nothing".into(),
    };
    match (&found.before, &found.after) {
        (Some(_), None) => format!("{manager} added this, and the stack doesn't have it"),
        (None, Some(_)) => format!("{manager} removed this, and the stack has it"),
        _ if path.contains(".env[") => format!("{manager} set another value than the stack has"),
        (before, after) => format!("{manager} set {}, and the stack has {}", shown(before), shown(after)),
    }
}

/// The refusal with what to do about it; `wanted` is the Service that was sent.
pub fn explain(function: &Function, status: &Status, wanted: &Value) -> Fault {
    let what = format!("can't deploy {}", function.name);
    if let Some(fault) = unknown(function, status, wanted) {
        return fault;
    }
    // Only 400 and 422 are about what the function asks for.
    if !matches!(status.code, 400 | 422) {
        return trouble::refused(&what, status);
    }
    let said = trouble::words(status);
    let found = said.lines().flat_map(|line| problems(function, wanted, line)).collect();
    let fault = Fault::failed(what).cause(&said).problems(found);
    match FLAGS.iter().find(|(sign, _)| said.contains(sign)) {
        Some((_, flag)) => fault.hint(format!(
            "an administrator of the cluster can allow it: `{flag}: enabled` in the ConfigMap config-features of knative-serving"
        )),
        None => fault,
    }
}

/// What an API server of Kubernetes says of fields that a type hasn't, or that hold something else; with code 500.
const UNTYPED: &str = "failed to create typed patch object";

/// Fields that the cluster's type hasn't, each at the stack's own.
fn unknown(function: &Function, status: &Status, wanted: &Value) -> Option<Fault> {
    let said = status.message.split_once(UNTYPED)?.1.split_once("): ")?.1;
    let lines: Vec<&str> =
        said.trim_start_matches("errors:").lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let fault = Fault::failed(format!("can't deploy {}", function.name))
        .cause(lines.iter().map(|line| line.trim_start_matches('.')).collect::<Vec<_>>().join("; "));
    let one = |line: &&str| {
        let (path, message) = line.trim_start_matches('.').split_once(": ")?;
        // Items of lists have keys as `[name="data"]`.
        let path = path.replace("name=\"", "").replace('"', "");
        let field = stack_field::of(function, wanted, &path)?;
        let hint = message.contains("not declared").then(|| hatch::unknown(&path));
        Some(Problem { hint, ..Problem::error(field, format!("{path}: {message}")) })
    };
    let found: Vec<_> = lines.iter().filter_map(one).collect();
    let first = lines.first().and_then(|line| line.trim_start_matches('.').split_once(": "));
    match (found.is_empty(), first) {
        (true, Some((path, _))) => Some(fault.hint(hatch::unknown(path))),
        _ => Some(fault.problems(found)),
    }
}

/// One line of the webhook, whose paths stand after the last colon.
fn problems(function: &Function, wanted: &Value, line: &str) -> Vec<Problem> {
    let (message, paths) = line.rsplit_once(": ").unwrap_or((line, line));
    let one = |path: &str| Some(Problem::error(stack_field::of(function, wanted, path.trim())?, message));
    paths.split(", ").filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: u16, message: &str) -> Fault {
        let function = Function { name: "tax".into(), ..Function::default() };
        explain(&function, &Status::failure(message, "").with_code(code), &Value::Null)
    }

    #[test]
    fn the_webhooks_field_is_said_as_the_stacks() {
        let fault = explained(
            400,
            r#"admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds"#,
        );
        assert_eq!(fault.cause.as_deref(), Some("expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds"));
        assert_eq!(fault.problems[0].field, "functions.tax.timeout");
        assert_eq!(fault.problems[0].message, "expected 0 <= 601 <= 600");
    }

    #[test]
    fn a_field_that_the_cluster_has_not_is_told_where_it_stands() {
        let extra = serde_json::json!({"spec": {"template": {"spec": {"containerConcurency": 3}}}});
        let function =
            Function { name: "tax".into(), extra: [("knative".to_owned(), extra)].into(), ..Function::default() };
        let one = "failed to create typed patch object (a/tax; serving.knative.dev/v1, Kind=Service): \
                   .spec.template.spec.containerConcurency: field not declared in schema";
        let explain = |message: &str| explain(&function, &Status::failure(message, "").with_code(500), &Value::Null);
        let problem = &explain(one).problems[0];
        assert_eq!(problem.field, "functions.tax.knative.spec.template.spec.containerConcurency");
        assert_eq!(problem.hint.as_deref(), Some("did you mean `containerConcurrency`?"));
        let two = "failed to create typed patch object (a/tax; serving.knative.dev/v1, Kind=Service): errors:\n  \
                   .spec.template.spec.containerConcurency: field not declared in schema\n  .spec.tmplate: field not \
                   declared in schema";
        let told = explain(two).cause.unwrap();
        assert!(told.ends_with("schema; spec.tmplate: field not declared in schema"), "{told}");
    }

    #[test]
    fn a_field_behind_a_flag_names_the_flag() {
        let fault = explained(400, "validation failed: must not set the field(s): spec.template.spec.nodeSelector");
        assert!(fault.hint.unwrap().contains("kubernetes.podspec-nodeselector"));
    }

    #[test]
    fn a_conflict_names_who_and_what() {
        let cause = |manager: &str| {
            serde_json::json!({"reason": "FieldManagerConflict", "field": ".spec.template.spec.containers",
                "message": format!("conflict with \"{manager}\" using serving.knative.dev/v1")})
        };
        let status = |manager: &str| -> Status {
            serde_json::from_value(serde_json::json!({"code": 409, "message": "Apply failed", "reason": "Conflict",
                "details": {"causes": [cause(manager)]}}))
            .unwrap()
        };
        assert!(is_ours(&status("faas-scale")) && !is_ours(&status("kn")));
        let function = Function { name: "tax".into(), ..Function::default() };
        let container = |value: &str| {
            serde_json::json!({"spec": {"template": {"spec": {"containers": [
                {"name": "user-container", "env": [{"name": "KEY", "value": value}]}]}}}})
        };
        let mut live = container("theirs");
        live["metadata"] = serde_json::json!({"managedFields": [{"manager": "kn", "time": "2026-11-24T01:02:03Z"}]});
        let live: DynamicObject = serde_json::from_value(live).unwrap();
        let fault = conflict(&function, &status("kn"), &container("ours"), Some(&live)).unwrap();
        assert_eq!(
            fault.cause.as_deref(),
            Some("somebody else changed this function: kn (2026-11-24T01:02:03Z) set environment.KEY")
        );
        assert_eq!(fault.problems[0].field, "functions.tax.environment.KEY");
        assert!(!format!("{fault:?}").contains("theirs"), "values of variables may be secret");
        // Without the Service itself, the field is told as the API server names it.
        let said = conflict(&function, &status("kn"), &Value::Null, None).unwrap().cause.unwrap();
        assert_eq!(said, "somebody else changed this function: kn set spec.template.spec.containers");
    }
}
