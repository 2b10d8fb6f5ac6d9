//! Services as entries of a stack file.
use super::*;
use std::collections::BTreeSet;

use crate::artifact::Artifact;
use crate::backend::{Change, How};
use crate::function::{Function, Resources, Scale, UrlAccess};

/// What comes in must go out again as the same Service.
#[test]
fn a_service_of_ours_is_the_entry_that_made_it() {
    let function = Function {
        name: "tax".into(),
        namespace: Some("shop".into()),
        process: Some("python3 index.py".into()),
        environment: [("RATE".to_owned(), "4$".to_owned())].into(),
        secrets: vec!["key".into(), "login".into()],
        labels: [("team".to_owned(), "a".to_owned())].into(),
        annotations: [("autoscaling.knative.dev/window".to_owned(), "10s".to_owned())].into(),
        limits: Resources { memory: Some("128Mi".into()), cpu: None },
        scale: Scale { min: Some(1), max: Some(5), target: Some(50), idle: Some(std::time::Duration::from_secs(60)) },
        timeout: Some(std::time::Duration::from_secs(30)),
        concurrency: Some(10),
        read_only: true,
        url: Some(UrlAccess::None),
        extra: [("knative".to_owned(), json!({"spec": {"template": {"spec": {"idleTimeoutSeconds": 20}}}}))].into(),
        ..Function::default()
    };
    let change = Change {
        spec: "s".into(),
        artifact: Artifact::Image { reference: "r/tax:1".into(), digest: Some("sha256:a".into()) },
        stack: "shop".into(),
        how: How::Upsert,
        force: false,
        history: Vec::new(),
        function,
    };
    let pull: BTreeSet<String> = ["login".to_owned()].into();
    let imported = service(&super::super::manifest::of(&change, &pull).unwrap()).unwrap();
    assert_eq!(imported.name, "tax");
    assert_eq!(
        Value::Object(imported.entry),
        json!({
            "skip_build": true, "image": "r/tax@sha256:a", "namespace": "shop",
            "fprocess": "python3 index.py",
            "environment": {"RATE": "4$$"},
            "secrets": ["key", "login"],
            "limits": {"memory": "128Mi"}, "readonly_root_filesystem": true,
            "concurrency": 10, "timeout": "30s",
            "scale": {"min": 1, "max": 5, "target": 50, "idle": "60s"},
            "labels": {"team": "a"}, "annotations": {"autoscaling.knative.dev/window": "10s"},
            "url": "none",
            "knative": {"spec": {"template": {"spec": {"idleTimeoutSeconds": 20}}}},
        })
    );
}

#[test]
fn what_the_stack_has_no_word_for_stays_as_it_is() {
    let object = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "hi", "annotations": {"serving.knative.dev/creator": "me", "note": "x"}},
        "spec": {
            "template": {
                "metadata": {"name": "hi-1", "annotations": {"client.knative.dev/user-image": "i"}},
                "spec": {"containerConcurrency": 0, "timeoutSeconds": 300, "nodeSelector": {"a": "b"},
                    "volumes": [{"name": "v", "configMap": {"name": "c"}}],
                    "containers": [{"name": "user-container", "image": "img@sha256:1", "args": ["-v"],
                        "env": [{"name": "A", "value": "1"},
                                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                        "readinessProbe": {"successThreshold": 1, "tcpSocket": {"port": 0}},
                        "resources": {}}]}},
            "traffic": [{"revisionName": "hi-1", "percent": 100}]}
    });
    let imported = service(&object).unwrap();
    assert_eq!(
        Value::Object(imported.entry),
        json!({
            "skip_build": true, "image": "img@sha256:1", "environment": {"A": "1"}, "annotations": {"note": "x"},
            "knative": {"spec": {"template": {"spec": {
                "nodeSelector": {"a": "b"},
                "volumes": [{"name": "v", "configMap": {"name": "c"}}],
                "containers": [{"args": ["-v"], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    "env": [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}],
            }}}},
        })
    );
    assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
}

#[test]
fn other_objects_are_refused() {
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}});
    assert!(service(&object).unwrap_err().to_string().contains("no Knative Service"));
}
