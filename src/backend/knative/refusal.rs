//! What the API server or Knative's webhook refused of a function, in its own words, at the stack's own field.
use kube::core::Status;

use super::{apply, trouble};
use crate::error::Fault;
use crate::function::Function;
use crate::problem::Problem;

/// Where a path of the Service comes from in the stack file, longest first.
const FIELDS: [(&str, &str); 17] = [
    ("containerConcurrency", "concurrency"),
    ("timeoutSeconds", "timeout"),
    ("responseStartTimeoutSeconds", "timeout"),
    ("readOnlyRootFilesystem", "readonly_root_filesystem"),
    ("min-scale", "scale.min"),
    ("max-scale", "scale.max"),
    ("autoscaling.knative.dev", "scale"),
    ("imagePullSecrets", "secrets"),
    ("volumes", "secrets"),
    ("volumeMounts", "secrets"),
    ("resources.limits", "limits"),
    ("resources.requests", "requests"),
    ("env", "environment"),
    ("image", "image"),
    ("annotations", "annotations"),
    ("labels", "labels"),
    ("metadata.name", ""),
];

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
    let ours = [apply::MANAGER, apply::TRAFFIC_MANAGER, apply::SCALE_MANAGER];
    let managers = managers(status);
    !managers.is_empty() && managers.iter().all(|(manager, _)| ours.contains(&manager.as_str()))
}

/// Who set which field: from causes like `conflict with "kn" using serving.knative.dev/v1`.
fn managers(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    causes
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .filter_map(|cause| Some((cause.message.split('"').nth(1)?.to_owned(), cause.field.clone())))
        .collect()
}

/// The refusal with what to do about it.
pub fn explain(function: &Function, status: &Status) -> Fault {
    let what = format!("can't deploy {}", function.name);
    let managers = managers(status);
    if status.code == 409 && !managers.is_empty() {
        let said: Vec<_> = managers
            .iter()
            .map(|(manager, field)| format!("{manager} set {}", field.trim_start_matches('.')))
            .collect();
        return Fault::failed(what)
            .cause(format!("somebody else changed this function: {}", said.join(", ")))
            .hint("`provider.knative.force: true` takes these fields over; `--replace` makes the function anew");
    }
    // Only 400 and 422 are about what the function asks for.
    if !matches!(status.code, 400 | 422) {
        return trouble::refused(&what, status);
    }
    let said = trouble::words(status);
    let fault =
        Fault::failed(what).cause(&said).problems(said.lines().filter_map(|line| problem(function, line)).collect());
    match FLAGS.iter().find(|(sign, _)| said.contains(sign)) {
        Some((_, flag)) => fault.hint(format!(
            "an administrator of the cluster can allow it: `{flag}: enabled` in the ConfigMap config-features of knative-serving"
        )),
        None => fault,
    }
}

/// One line of the webhook, whose path stands after the last colon.
fn problem(function: &Function, line: &str) -> Option<Problem> {
    let (message, path) = line.rsplit_once(": ").unwrap_or((line, line));
    let (_, field) = FIELDS.iter().find(|(sign, _)| path.contains(sign))?;
    let field = format!("functions.{}.{field}", function.name);
    Some(Problem::error(field.trim_end_matches('.'), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: u16, message: &str) -> Fault {
        let function = Function { name: "tax".into(), ..Function::default() };
        explain(&function, &Status::failure(message, "").with_code(code))
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
        let said = explain(&function, &status("kn")).cause.unwrap();
        assert_eq!(said, "somebody else changed this function: kn set spec.template.spec.containers");
    }
}
