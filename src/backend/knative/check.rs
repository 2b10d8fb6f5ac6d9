//! What is wrong with a function on Knative, told before anything is changed: what its admission webhook would refuse
//! (knative/serving `pkg/apis/serving/k8s_validation.go`), and what it would take and never do.
use std::time::Duration;

use super::manifest::{LONGEST_TIMEOUT, OWNER_LABEL};
use super::{hatch, scaling, triggers};
use crate::backend::quantity;
use crate::function::{Function, UrlAccess};
use crate::problem::Problem;

/// The most calls in flight that one pod takes.
const MOST_CONCURRENCY: u32 = 1000;
/// The longest name: Kubernetes makes a label of it.
const LONGEST_NAME: usize = 63;
/// Environment variables that Knative sets.
const RESERVED: [&str; 4] = ["PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"];

/// Annotation: which autoscaler it is.
const CLASS: &str = "autoscaling.knative.dev/class";

/// The autoscaler's annotations and what each takes.
const AUTOSCALING: [(&str, Value); 16] = [
    ("class", Value::OneOf(&["kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"])),
    ("metric", Value::Any),
    ("min-scale", Value::Whole(0, i32::MAX as i64)),
    ("max-scale", Value::Whole(0, i32::MAX as i64)),
    ("initial-scale", Value::Whole(0, i32::MAX as i64)),
    ("activation-scale", Value::Whole(2, i32::MAX as i64)),
    ("target", Value::Number(0.01, f64::MAX)),
    ("target-utilization-percentage", Value::Number(1.0, 100.0)),
    ("target-burst-capacity", Value::Number(-1.0, f64::MAX)),
    ("window", Value::Time(6, 3600)),
    ("scale-down-delay", Value::Time(0, 3600)),
    ("scale-to-zero-pod-retention-period", Value::Time(0, 3600)),
    ("panic-window-percentage", Value::Number(1.0, 100.0)),
    ("panic-threshold-percentage", Value::Number(110.0, 1000.0)),
    ("metric-aggregation-algorithm", Value::OneOf(&["linear", "weighted-exponential"])),
    ("scale-buffer", Value::Whole(0, i32::MAX as i64)),
];

/// What an annotation takes.
enum Value {
    Any,
    OneOf(&'static [&'static str]),
    Whole(i64, i64),
    Number(f64, f64),
    /// From so many seconds to so many.
    Time(u64, u64),
}

/// Everything wrong with it, all at once.
pub fn check(function: &Function) -> Vec<Problem> {
    let mut problems = Vec::new();
    let at = |field: &str| format!("functions.{}.{field}", function.name);
    names(function, &mut problems);
    scale(function, &mut problems);
    for name in function.environment.keys().filter(|name| RESERVED.contains(&name.as_str())) {
        problems.push(
            Problem::error(at(&format!("environment.{name}")), format!("Knative sets {name} itself")).hint(
                if name == "PORT" {
                    "leave it out; another port goes under `knative: {spec: {template: {spec: {containers: [{ports: …}]}}}}`"
                } else {
                    "leave it out"
                },
            ),
        );
    }
    if let Some(timeout) = function.timeout.filter(|t| t.as_secs() > LONGEST_TIMEOUT) {
        problems.push(
            Problem::error(
                at("timeout"),
                format!("{} is longer than the {LONGEST_TIMEOUT} s that Knative takes", humantime::format_duration(timeout)),
            )
            .hint("an administrator can raise `max-revision-timeout-seconds` in the ConfigMap config-defaults; until then make it shorter"),
        );
    }
    if let Some(most) = function.concurrency.filter(|n| *n > MOST_CONCURRENCY) {
        problems.push(
            Problem::error(at("concurrency"), format!("{most} is more than the {MOST_CONCURRENCY} that Knative takes"))
                .hint("0 is unlimited"),
        );
    }
    if !function.constraints.is_empty() {
        problems
            .push(Problem::warning(at("constraints"), "Knative has no placement constraints: they are left out").hint(
            "where the administrator allows it, `knative: {spec: {template: {spec: {nodeSelector: …}}}}` does the same",
        ));
    }
    if !function.domains.is_empty() && function.url == Some(UrlAccess::None) {
        problems.push(
            Problem::error(at("domain"), "a domain lets everybody call the function: `url: none` can't be kept")
                .hint("leave out one of them"),
        );
    }
    if function.url == Some(UrlAccess::Iam) {
        problems.push(
            Problem::error(at("url"), "Knative lets anyone call a function: `url: iam` can't be kept")
                .hint("use `url: public`, or `url: none` for callers inside the cluster only"),
        );
    }
    for (field, of) in [("limits", &function.limits), ("requests", &function.requests)] {
        for (part, value) in [("memory", &of.memory), ("cpu", &of.cpu)] {
            if let Some(value) = value.as_ref().filter(|v| !is_quantity(v)) {
                problems.push(
                    Problem::error(at(&format!("{field}.{part}")), format!("`{value}` is no quantity"))
                        .hint(if part == "cpu" { "write it as 100m or 0.5" } else { "write it as 128Mi or 1Gi" }),
                );
            }
        }
    }
    problems.extend(quantity::beyond(function));
    if let Some(retries) = function.annotations.get(triggers::RETRIES_KEY).filter(|text| text.parse::<u32>().is_err()) {
        problems.push(
            Problem::error(at(&format!("annotations.{}", triggers::RETRIES_KEY)), format!("`{retries}` is no number"))
                .hint("it says how often an event is delivered again after the function failed"),
        );
    }
    problems.extend(hatch::check(function));
    for (kind, field) in triggers::unasked(function) {
        problems.push(
            Problem::warning(at(&format!("knative.{kind}")), format!("there is no {kind} that it could be laid over"))
                .hint(format!("`{field}` makes one")),
        );
    }
    let named = function.extra.get("knative").and_then(|extra| extra.pointer("/spec/template/metadata/name"));
    if named.is_some() {
        problems.push(
            Problem::error(
                at("knative.spec.template.metadata.name"),
                "a revision with a name of its own can be deployed once only",
            )
            .hint("leave it out: Knative numbers revisions"),
        );
    }
    problems
}

fn names(function: &Function, problems: &mut Vec<Problem>) {
    let at = |field: &str| format!("functions.{}.{field}", function.name);
    if !is_label(&function.name) || !function.name.starts_with(|c: char| c.is_ascii_lowercase()) {
        problems.push(
            Problem::error(
                format!("functions.{}", function.name),
                format!("`{}` is no name for a Knative Service", function.name),
            )
            .hint(format!("lower-case letters, digits and dashes, a letter first, at most {LONGEST_NAME} characters")),
        );
    }
    for secret in function.secrets.iter().filter(|s| !s.split('.').all(is_label) || s.len() > 253) {
        problems.push(
            Problem::error(at("secrets"), format!("`{secret}` is no name for a secret"))
                .hint("lower-case letters, digits, dashes and dots"),
        );
    }
    for (key, value) in &function.labels {
        if !is_key(key) {
            problems.push(Problem::error(at(&format!("labels.{key}")), format!("`{key}` is no name for a label")));
        }
        if !is_value(value) {
            problems.push(
                Problem::error(at(&format!("labels.{key}")), format!("`{value}` is no value for a label")).hint(
                    "letters, digits, dashes, dots and underscores, at most 63; anything else goes into annotations",
                ),
            );
        }
    }
    if function.labels.get(OWNER_LABEL.0).is_some_and(|value| value != OWNER_LABEL.1) {
        problems.push(
            Problem::error(
                at(&format!("labels.{}", OWNER_LABEL.0)),
                "this label says whose the function is, and faas sets it",
            )
            .hint("use another label"),
        );
    }
    for key in function.annotations.keys().filter(|key| !is_key(key)) {
        problems
            .push(Problem::error(at(&format!("annotations.{key}")), format!("`{key}` is no name for an annotation")));
    }
}

fn scale(function: &Function, problems: &mut Vec<Problem>) {
    let at = |field: &str| format!("functions.{}.{field}", function.name);
    let scale = &function.scale;
    if let (Some(min), Some(max)) = (scale.min, scale.max)
        && min > max
        && max > 0
    {
        problems.push(Problem::error(at("scale"), format!("`min` is {min}, more than `max`, which is {max}")));
    }
    if scale.target == Some(0) {
        problems.push(Problem::error(at("scale.target"), "a target of 0 can't be aimed at"));
    }
    if let Some(idle) = scale.idle.filter(|idle| *idle > scaling::LONGEST_IDLE) {
        problems.push(Problem::warning(
            at("scale.idle"),
            format!(
                "Knative keeps the last pod for at most {}: {} is cut to that",
                humantime::format_duration(scaling::LONGEST_IDLE),
                humantime::format_duration(idle)
            ),
        ));
    }
    if let Some(kind) = function.labels.get(scaling::TYPE_LABEL).filter(|k| !["rps", "capacity"].contains(&k.as_str()))
    {
        problems.push(
            Problem::error(at(&format!("labels.{}", scaling::TYPE_LABEL)), format!("Knative can't scale by `{kind}`"))
                .hint("it scales by `rps` and by `capacity`; with its HPA add-on also by the annotations autoscaling.knative.dev/class and /metric"),
        );
    }
    if let Some(share) = function.labels.get(scaling::PROPORTION_LABEL).filter(|p| scaling::percentage(p).is_none()) {
        problems.push(
            Problem::error(
                at(&format!("labels.{}", scaling::PROPORTION_LABEL)),
                format!("`{share}` is no share of a target"),
            )
            .hint("write it as 0.9"),
        );
    }
    for (key, value) in &function.annotations {
        let Some(name) = key.strip_prefix("autoscaling.knative.dev/") else { continue };
        let field = at(&format!("annotations.{key}"));
        // Only Knative's own autoscaler is that particular about it.
        let by_hpa = function.annotations.get(CLASS).is_some_and(|class| class.starts_with("hpa."));
        if name == "metric" && !by_hpa {
            problems.extend(Value::OneOf(&["concurrency", "rps"]).problem(&field, value));
            continue;
        }
        match AUTOSCALING.iter().find(|(known, _)| *known == dashed(name)) {
            Some((_, takes)) => problems.extend(takes.problem(&field, value)),
            // Knative would take it and do nothing.
            None => problems.push(
                Problem::error(field, format!("the autoscaler has no `{name}`"))
                    .hint(format!("it has {}", AUTOSCALING.map(|(known, _)| known).join(", "))),
            ),
        }
    }
}

/// `minScale` as `min-scale`: both are taken.
fn dashed(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

impl Value {
    fn problem(&self, field: &str, value: &str) -> Option<Problem> {
        let wrong = |hint: String| Some(Problem::error(field, format!("`{value}` is not taken")).hint(hint));
        match self {
            Self::Any => None,
            Self::OneOf(all) if all.contains(&value) => None,
            Self::OneOf(all) => wrong(format!("it is one of {}", all.join(", "))),
            Self::Whole(least, most) if value.parse().is_ok_and(|n: i64| (*least..=*most).contains(&n)) => None,
            Self::Whole(least, _) => wrong(format!("it is a whole number, {least} or more")),
            Self::Number(least, most) if value.parse().is_ok_and(|n: f64| (*least..=*most).contains(&n)) => None,
            Self::Number(least, f64::MAX) => wrong(format!("it is a number, {least} or more")),
            Self::Number(least, most) => wrong(format!("it is a number from {least} to {most}")),
            Self::Time(least, most) => {
                let range = Duration::from_secs(*least)..=Duration::from_secs(*most);
                match humantime::parse_duration(value) {
                    Ok(time) if range.contains(&time) && time.subsec_nanos() == 0 => None,
                    _ => wrong(format!("it is a time in whole seconds from {least}s to {most}s")),
                }
            }
        }
    }
}

/// A DNS label, as RFC 1123 has it.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=LONGEST_NAME).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A label's or annotation's key: an optional DNS name and a slash, then a name.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(|p| p.split('.').all(is_label) && p.len() <= 253) && !name.is_empty() && is_value(name)
}

fn is_value(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.chars().all(|c| outer(c) || matches!(c, '-' | '_' | '.'))
            && text.starts_with(outer)
            && text.ends_with(outer)
}

/// A quantity: k8s.io/apimachinery `pkg/api/resource/quantity.go`.
fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 16] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|e| e.parse::<i8>().is_ok());
    number.parse::<f64>().is_ok() && (SUFFIXES.contains(&suffix) || exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::{Resources, Scale};

    fn found(function: &Function) -> Vec<(String, bool)> {
        check(function).into_iter().map(|p| (p.field.clone(), p.is_error())).collect()
    }

    #[test]
    fn everything_wrong_is_told_at_once_and_by_field() {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let function = Function {
            name: "Tax".into(),
            environment: map(&[("PORT", "1"), ("A", "1")]),
            secrets: vec!["a_b".into()],
            labels: map(&[("a", "x/y"), ("com.openfaas.scale.type", "cpu")]),
            annotations: map(&[
                ("autoscaling.knative.dev/min-scael", "1"),
                ("autoscaling.knative.dev/metric", "nope"),
                ("autoscaling.knative.dev/window", "5s"),
                ("autoscaling.knative.dev/minScale", "1"),
            ]),
            constraints: vec!["a=b".into()],
            timeout: Some(Duration::from_secs(601)),
            concurrency: Some(1001),
            scale: Scale { min: Some(3), max: Some(2), target: Some(0), idle: Some(Duration::from_secs(7200)) },
            limits: Resources { memory: Some("1 GB".into()), cpu: Some("100m".into()) },
            url: Some(UrlAccess::Iam),
            extra: [("knative".to_owned(), serde_json::json!({"spec": {"template": {"metadata": {"name": "x"}}}}))]
                .into(),
            ..Function::default()
        };
        let expected = [
            ("", true),
            ("secrets", true),
            ("labels.a", true),
            ("scale", true),
            ("scale.target", true),
            ("scale.idle", false),
            ("labels.com.openfaas.scale.type", true),
            ("annotations.autoscaling.knative.dev/metric", true),
            ("annotations.autoscaling.knative.dev/min-scael", true),
            ("annotations.autoscaling.knative.dev/window", true),
            ("environment.PORT", true),
            ("timeout", true),
            ("concurrency", true),
            ("constraints", false),
            ("url", true),
            ("limits.memory", true),
            ("knative.spec.template.metadata.name", true),
        ]
        .map(|(field, error)| (format!("functions.Tax.{field}").trim_end_matches('.').to_owned(), error));
        assert_eq!(found(&function), expected);
    }

    #[test]
    fn a_plain_function_is_fine() {
        let limits = Resources { memory: Some("128Mi".into()), cpu: Some("0.5".into()) };
        assert_eq!(found(&Function { name: "get-tax2".into(), limits, ..Function::default() }), []);
    }

    #[test]
    fn quantities_are_kubernetes_own() {
        assert!(["1", "0.5", "100m", "128Mi", "1e3", "2E"].iter().all(|q| is_quantity(q)));
        assert!(["", "Mi", "1 Gi", "128MB", "lots", "-1"].iter().all(|q| !is_quantity(q)));
    }
}
