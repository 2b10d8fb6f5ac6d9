//! Golden Services: every field of the stack file, and nothing but a name and an image.
use super::*;
use crate::backend::How;
use crate::function::Scale;

fn change(function: Function) -> Change {
    Change {
        function,
        artifact: Artifact::Image {
            reference: "reg:5000/shop/tax:1".into(),
            digest: Some("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into()),
        },
        spec: "s1".into(),
        stack: "shop".into(),
        how: How::Upsert,
        force: false,
        history: Vec::new(),
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_plain_image_is_little_more_than_itself() {
    let service = of(&change(Function { name: "tax".into(), ..Function::default() }), &BTreeSet::new()).unwrap();
    insta::assert_json_snapshot!("plain", service);
}

#[test]
fn every_field_has_its_place() {
    let function = Function {
        name: "tax".into(),
        namespace: Some("shop".into()),
        lang: "python3@v1".into(),
        process: Some("python3 index.py".into()),
        environment: map(&[("RATE", "4.7"), ("exec_timeout", "30s")]),
        secrets: vec!["key".into(), "cert".into(), "login".into()],
        labels: map(&[
            ("team", "a"),
            ("com.openfaas.scale.type", "rps"),
            ("com.openfaas.scale.target-proportion", "0.9"),
        ]),
        annotations: map(&[
            ("topic", "payments"),
            ("autoscaling.knative.dev/window", "10s"),
            ("serving.knative.dev/rollout-duration", "60s"),
            ("serving.knative.dev/creator", "me"),
            ("com.openfaas.serviceaccount", "taxer"),
        ]),
        limits: Resources { memory: Some("128Mi".into()), cpu: Some("500m".into()) },
        requests: Resources { memory: Some("64Mi".into()), cpu: None },
        scale: Scale { min: Some(1), max: Some(5), target: Some(50), idle: Some(Duration::from_secs(7200)) },
        timeout: Some(Duration::from_secs(90)),
        concurrency: Some(10),
        read_only: true,
        url: Some(UrlAccess::None),
        extra: [("knative".to_owned(), json!({"spec": {"template": {"spec": {"idleTimeoutSeconds": 20}}}}))].into(),
        ..Function::default()
    };
    let service = of(&change(function), &["login".to_owned()].into()).unwrap();
    insta::assert_json_snapshot!("every_field", service);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let text = || {
        let function =
            Function { name: "tax".into(), environment: map(&[("B", "2"), ("A", "1")]), ..Function::default() };
        of(&change(function), &BTreeSet::new()).unwrap().to_string()
    };
    assert_eq!(text(), text());
}

#[test]
fn images_are_named_by_digest() {
    assert_eq!(pinned("reg:5000/tax", Some("sha256:a")), "reg:5000/tax@sha256:a");
    assert_eq!(pinned("reg:5000/tax:1", Some("sha256:a")), "reg:5000/tax@sha256:a");
    assert_eq!(pinned("tax:1", None), "tax:1");
    assert_eq!(pinned("tax@sha256:b", Some("sha256:a")), "tax@sha256:b");
}

#[test]
fn timeouts_stay_within_what_clusters_take() {
    assert_eq!(seconds(Duration::from_millis(1500)), 3);
    assert_eq!(seconds(Duration::from_secs(600)), 600);
    assert_eq!(seconds(Duration::from_secs(900)), 900);
}

#[test]
fn only_images_are_deployed() {
    let mut change = change(Function { name: "tax".into(), ..Function::default() });
    change.artifact =
        Artifact::Archive { path: "x.zip".into(), sha256: "1".into(), entry: "h".into(), runtime: "r".into() };
    assert!(of(&change, &BTreeSet::new()).unwrap_err().to_string().contains("container images"));
}
