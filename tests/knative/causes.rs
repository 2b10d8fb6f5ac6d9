//! What does not start, and what the cluster refuses, is told as it is.
use std::time::{Duration, Instant};

use faas::backend::{Backend, Change};
use faas::function::Function;
use serde_json::json;

use super::bed::*;

#[tokio::test]
async fn what_does_not_start_says_why_and_the_old_revision_goes_on() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "fails").await;
    let heard = Heard::default();
    place.apply(&echo("1"), &heard).await.expect("deployed");

    // An image that nobody has.
    let missing = format!("{}@sha256:{}", place.bed.image.split('@').next().unwrap_or_default(), "0".repeat(64));
    let change = Change { artifact: image(&missing), ..place.change(&echo("2")) };
    let start = Instant::now();
    let fault = place.backend.apply(&change, &heard).await.expect_err("no such image");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(fault.to_string().contains("the image can't be pulled"), "{fault}");
    assert!(fault.hint.clone().unwrap_or_default().contains("revision echo-00001 goes on serving"), "{fault:?}");
    assert_eq!(place.call("echo", "/", "").await.1["version"], json!("1"));

    // A process that ends says its last words.
    let change = Change { artifact: image(&place.bed.crash), ..place.change(&echo("3")) };
    let fault = place.backend.apply(&change, &heard).await.expect_err("it ends");
    let said = fault.to_string();
    assert!(said.contains("ended with exit code 1") && said.contains("usage: relay"), "{said}");
    // They stay to be read, whether it waits for its next start or runs.
    let logs = |more: &str| place.prompt().args(["logs", "echo", "--tail=false", more]);
    let again = async {
        while !place.kubectl_output(&["get", "pods", "-o", "jsonpath={..restartCount}"]).contains(['1', '2', '3']) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("it is started again");
    logs("--previous").stdout_has("usage: relay").run();

    // What the webhook refuses is said in its words, at the stack's field, and where that stands.
    let hatch = "    knative: {spec: {template: {spec: {nodeSelector: {a: b}}}}}\n";
    let prompt = place.prompt().file("stack.yml", place.stack("echo", "4") + hatch).args(["deploy"]);
    prompt.status(1).stderr_has("must not set the field(s)").stderr_has("stack.yml:8:").run();
    let function = Function {
        extra: [("knative".to_owned(), json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}))].into(),
        ..echo("4")
    };
    let fault = place.apply(&function, &heard).await.expect_err("refused");
    assert!(fault.hint.unwrap_or_default().contains("kubernetes.podspec-nodeselector"));

    // A field that Kubernetes doesn't have is no quiet nothing.
    let function = Function { extra: [("knative".to_owned(), json!({"spec": {"tmplate": {}}}))].into(), ..echo("4") };
    let fault = place.apply(&function, &heard).await.expect_err("refused");
    assert!(fault.to_string().contains("tmplate"), "{fault}");
}

#[tokio::test]
async fn what_the_cluster_refuses_later_is_told_as_it_is() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "causes").await;
    let stack = |more: &str| place.stack("echo", "1") + more;
    let deploy = |more: &str, timeout: &str| {
        let args = ["deploy", "--timeout", timeout].map(ToString::to_string);
        place.prompt().file("stack.yml", stack(more)).args(args)
    };
    // What is left of the one before, of the same name, says nothing about the next.
    let again = || place.prompt().args(["remove", "echo"]).run();

    // Too little memory to run at all.
    deploy("    limits: {memory: 1Mi}\n", "90s").status(1).stderr_has("ran out of memory").stderr_has("limits").run();
    again();

    // Enough to start, and too little for what comes later: the Service says nothing of it, its pods do.
    deploy("    limits: {memory: 20Mi}\n", "90s").run();
    let endless = ["invoke", "echo", "--query", "file=/dev/zero", "--timeout", "30s"];
    place.prompt().args(endless).stdin("").status(1).run();
    let killed = async || loop {
        let described = place.prompt().args(["describe", "echo"]).run().stdout;
        if described.contains("ran out of memory") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    tokio::time::timeout(Duration::from_secs(30), killed()).await.expect("describe tells it");
    again();

    // No node has so much.
    let big = deploy("    requests: {cpu: \"1000\"}\n", "12s").status(124);
    big.stderr_has("Insufficient cpu").stderr_has("ask for less").run();
    again();

    // A quota that is used up.
    place.kubectl_output(&["create", "quota", "none", "--hard=pods=0"]);
    let start = Instant::now();
    deploy("", "90s").status(1).stderr_has("exceeded quota: none").stderr_has("quota").run();
    assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
    place.kubectl_output(&["delete", "quota", "none"]);
    again();

    // A namespace that is not there, and one that goes away.
    deploy("", "10s").args(["-n", "nowhere-at-all"]).status(4).stderr_has("nowhere-at-all").run();
    let patch = r#"{"metadata": {"finalizers": ["faas.dev/test"]}}"#;
    place.kubectl_output(&["create", "configmap", "holds"]);
    place.kubectl_output(&["patch", "configmap", "holds", "--type=merge", "-p", patch]);
    place.kubectl_output(&["delete", "namespace", &place.namespace, "--wait=false"]);
    deploy("", "10s").status(1).stderr_has("being terminated").stderr_has("being removed").run();
    let patch = r#"{"metadata": {"finalizers": null}}"#;
    place.kubectl_output(&["patch", "configmap", "holds", "--type=merge", "-p", patch]);
}
