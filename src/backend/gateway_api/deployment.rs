//! A function as the gateway's deployment request: the same words for OpenFaaS and for the embedded platform.
use std::time::Duration;

use super::marks;
use crate::backend::Change;
use crate::function::Resources;
use crate::wire::{Bundle, FunctionDeployment, Quantities};

/// Where the connector for cron reads when to call; see its README in the openfaas organisation.
const SCHEDULE: &str = "schedule";
const TOPIC: (&str, &str) = ("topic", "cron-function");

/// The request body, for what runs: an image, or a bundle with a name in the image's place.
pub fn of(change: &Change, image: String, bundle: Option<Bundle>) -> FunctionDeployment {
    let function = &change.function;
    let mut environment = function.environment.clone();
    let mut set = |name: &str, value: String| {
        environment.entry(name.into()).or_insert(value);
    };
    if let Some(timeout) = function.timeout {
        // of-watchdog's read and write timeouts are 10 s each unless told: they would cut a longer call.
        for name in ["exec_timeout", "read_timeout", "write_timeout"] {
            set(name, go_duration(timeout));
        }
    }
    if let Some(most) = function.concurrency {
        set("max_inflight", most.to_string());
    }

    let mut labels = function.labels.clone();
    let scale = &function.scale;
    let mut label = |name: &str, value: String| labels.insert(format!("com.openfaas.scale.{name}"), value);
    match scale.min {
        Some(0) => drop(label("zero", "true".into())),
        Some(min) => drop(label("min", min.to_string())),
        None => {}
    }
    if let Some(max) = scale.max {
        label("max", max.to_string());
    }
    if let Some(target) = scale.target {
        label("target", target.to_string());
    }
    if let Some(idle) = scale.idle {
        label("zero-duration", go_duration(idle));
    }

    let mut annotations = function.annotations.clone();
    if let Some(schedule) = &function.schedule {
        annotations.entry(TOPIC.0.into()).or_insert_with(|| TOPIC.1.into());
        annotations.insert(SCHEDULE.into(), schedule.clone());
    }
    // Connectors read a list, of which cron's own topic may be one; an annotation that the stack writes wins.
    if !function.topics.is_empty() && !function.annotations.contains_key(TOPIC.0) {
        let cron = function.schedule.as_ref().map(|_| TOPIC.1.to_owned());
        let all: Vec<String> = cron.into_iter().chain(function.topics.iter().cloned()).collect();
        annotations.insert(TOPIC.0.into(), all.join(","));
    }
    annotations.insert(marks::KEY.into(), marks::pack(change, &image));

    FunctionDeployment {
        service: function.name.clone(),
        image,
        namespace: function.namespace.clone(),
        env_process: function.process.clone(),
        env_vars: some(environment, |e| e.is_empty()),
        constraints: some(function.constraints.clone(), Vec::is_empty),
        secrets: some(function.secrets.clone(), Vec::is_empty),
        labels: some(labels, |l| l.is_empty()),
        annotations: Some(annotations),
        limits: quantities(&function.limits),
        requests: quantities(&function.requests),
        read_only_root_filesystem: function.read_only,
        bundle,
    }
}

fn some<T>(value: T, is_empty: impl Fn(&T) -> bool) -> Option<T> {
    (!is_empty(&value)).then_some(value)
}

fn quantities(resources: &Resources) -> Option<Quantities> {
    some(resources, |r| r.is_empty()).map(|r| Quantities { memory: r.memory.clone(), cpu: r.cpu.clone() })
}

/// As Go reads durations: `90s`, `1500ms`.
fn go_duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifact;
    use crate::backend::How;
    use crate::function::{Function, Scale};

    fn change(function: Function) -> Change {
        Change {
            function,
            artifact: Artifact::Image { reference: "reg/tax:1".into(), digest: Some("sha256:abc".into()) },
            spec: "s1".into(),
            stack: "shop".into(),
            how: How::Upsert,
            force: false,
            history: Vec::new(),
        }
    }

    #[test]
    fn scale_timeout_and_concurrency_are_said_in_openfaas_words() {
        let function = Function {
            name: "tax".into(),
            timeout: Some(Duration::from_secs(90)),
            concurrency: Some(7),
            scale: Scale { min: Some(0), max: Some(5), target: Some(50), idle: Some(Duration::from_millis(1500)) },
            schedule: Some("*/5 * * * *".into()),
            environment: [("exec_timeout".to_owned(), "30s".to_owned())].into(),
            ..Function::default()
        };
        let body = of(&change(function), "reg/tax:1".into(), None);
        insta::assert_json_snapshot!(body, @r#"
        {
          "service": "tax",
          "image": "reg/tax:1",
          "envVars": {
            "exec_timeout": "30s",
            "max_inflight": "7",
            "read_timeout": "90s",
            "write_timeout": "90s"
          },
          "labels": {
            "com.openfaas.scale.max": "5",
            "com.openfaas.scale.target": "50",
            "com.openfaas.scale.zero": "true",
            "com.openfaas.scale.zero-duration": "1500ms"
          },
          "annotations": {
            "faas.dev": "=s1,shop,=sha256:abc",
            "schedule": "*/5 * * * *",
            "topic": "cron-function"
          }
        }
        "#);
    }
}
