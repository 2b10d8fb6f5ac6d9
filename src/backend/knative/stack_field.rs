//! Where a field of the Service comes from in the stack file.
use serde_json::Value;

use crate::function::Function;

/// Parts of a path, and the stack's field behind them; the first that fits counts.
const FIELDS: [(&str, &str); 20] = [
    ("containerConcurrency", "concurrency"),
    ("timeoutSeconds", "timeout"),
    ("responseStartTimeoutSeconds", "timeout"),
    ("readOnlyRootFilesystem", "readonly_root_filesystem"),
    ("min-scale", "scale.min"),
    ("max-scale", "scale.max"),
    ("autoscaling.knative.dev/target", "scale.target"),
    ("retention-period", "scale.idle"),
    ("autoscaling.knative.dev", "scale"),
    ("imagePullSecrets", "secrets"),
    ("serviceAccountName", "annotations.com.openfaas.serviceaccount"),
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

/// The stack's field, as `functions.tax.environment.RATE`, for a path of the Service as the webhook or
/// [`super::difference`] writes it; `wanted` is the Service that was sent. `None` when nothing in the stack is behind it.
pub fn of(function: &Function, wanted: &Value, path: &str) -> Option<String> {
    let field = hatch(function, path)
        .or_else(|| variable(wanted, path))
        .or_else(|| keyed(function, path))
        .or_else(|| FIELDS.iter().find(|(sign, _)| path.contains(sign)).map(|(_, field)| (*field).to_owned()))?;
    Some(format!("functions.{}.{field}", function.name).trim_end_matches('.').to_owned())
}

/// `…containers[0].env[2].name` and `…env[RATE].value`.
fn variable(wanted: &Value, path: &str) -> Option<String> {
    let (before, rest) = path.split_once(".env[")?;
    let item = rest.split_once(']')?.0;
    let Ok(index) = item.parse::<usize>() else { return Some(format!("environment.{item}")) };
    let container = before.rsplit_once('[').and_then(|(_, n)| n.trim_end_matches(']').parse::<usize>().ok());
    let pointer = format!("/spec/template/spec/containers/{}/env/{index}/name", container.unwrap_or(0));
    Some(format!("environment.{}", wanted.pointer(&pointer)?.as_str()?))
}

/// Labels and annotations that the stack has by that name.
fn keyed(function: &Function, path: &str) -> Option<String> {
    let find = |map: &std::collections::BTreeMap<String, String>, word: &str| {
        let (_, key) = path.split_once(&format!("{word}."))?;
        map.contains_key(key).then(|| format!("{word}.{key}"))
    };
    find(&function.annotations, "annotations").or_else(|| find(&function.labels, "labels"))
}

/// What stands under `knative:` of the function itself. The path has indexes or names in brackets; the stack's place
/// is told without them.
fn hatch(function: &Function, path: &str) -> Option<String> {
    let mut value = function.extra.get("knative")?;
    let mut field = "knative".to_owned();
    for part in path.split('.') {
        let (key, items) = part.split_once('[').map_or((part, None), |(key, items)| (key, Some(items)));
        value = value.get(key)?;
        field.push('.');
        field.push_str(key);
        let Some(item) = items.and_then(|items| items.split(']').next()) else { continue };
        let list = value.as_array()?;
        value = match item.parse::<usize>() {
            Ok(index) => list.get(index)?,
            // The function's own container may have no name there.
            Err(_) => list.iter().find(|i| i.get("name").and_then(Value::as_str).is_none_or(|name| name == item))?,
        };
    }
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_of_the_service_is_a_field_of_the_stack() {
        let extra =
            json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}, "containers": [{"ports": []}]}}}});
        let function = Function {
            name: "tax".into(),
            annotations: [("autoscaling.knative.dev/window".to_owned(), "5s".to_owned())].into(),
            extra: [("knative".to_owned(), extra)].into(),
            ..Function::default()
        };
        let wanted =
            json!({"spec": {"template": {"spec": {"containers": [{"env": [{"name": "A"}, {"name": "PORT"}]}]}}}});
        let field = |path: &str| of(&function, &wanted, path);
        for (path, expected) in [
            ("spec.template.spec.timeoutSeconds", "timeout"),
            ("spec.template.spec.containers[0].env[1].name", "environment.PORT"),
            ("spec.template.spec.containers[user-container].env[RATE].value", "environment.RATE"),
            (
                "spec.template.metadata.annotations.autoscaling.knative.dev/window",
                "annotations.autoscaling.knative.dev/window",
            ),
            ("spec.template.metadata.annotations.autoscaling.knative.dev/max-scale", "scale.max"),
            ("spec.template.spec.nodeSelector", "knative.spec.template.spec.nodeSelector"),
            ("spec.template.spec.containers[0].ports", "knative.spec.template.spec.containers.ports"),
            ("spec.template.spec.containers[user-container].image", "image"),
            ("metadata.name", ""),
        ] {
            let expected = format!("functions.tax.{expected}");
            assert_eq!(field(path).as_deref(), Some(expected.trim_end_matches('.')), "{path}");
        }
        assert_eq!(field("spec.template.spec.dnsPolicy"), None);
    }
}
