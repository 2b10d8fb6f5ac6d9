//! What a new user ran into: the way back past a canary that was given up, and what is told before anything is changed.
use std::time::{Duration, Instant};

use super::bed::*;
use crate::support::Test;

/// A session with one function of that version.
fn at(place: &Place, version: &str, more: &str, args: &[&str]) -> Test {
    let stack = place.stack("echo", version) + more;
    place.prompt().file("stack.yml", stack).args(args.iter().map(ToString::to_string))
}

#[tokio::test]
async fn undo_goes_to_what_served_and_not_to_a_canary_that_was_given_up() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "undo").await;
    let prompt = |version: &str, args: &[&str]| at(&place, version, "", args);
    prompt("1", &["deploy", "--timeout", "5m"]).run();
    prompt("1", &["rollout", "undo", "echo"]).status(4).stderr_has("no revision that had all of the traffic").run();
    prompt("2", &["deploy", "--canary", "10"]).run();
    prompt("2", &["rollout", "undo", "echo"]).stdout_has("echo-00001  100%").run();
    // One that gets nothing, and one that is promoted.
    prompt("3", &["deploy", "--revision-tag", "green"]).run();
    prompt("4", &["deploy", "--canary", "10"]).run();
    prompt("4", &["rollout", "promote", "echo"]).stdout_has("echo-00004  100%").run();
    prompt("4", &["rollout", "pause", "echo"]).run();
    prompt("4", &["rollout", "undo", "echo"]).status(1).stderr_has("faas rollout resume echo").run();
    prompt("4", &["rollout", "resume", "echo"]).run();
    prompt("4", &["rollout", "undo", "echo"]).stdout_has("echo-00001  100%").run();
    // From deployment to deployment, each undo goes one further.
    prompt("5", &["deploy"]).stderr_has("traffic was pinned").run();
    prompt("6", &["deploy"]).run();
    for expected in ["echo-00005  100%", "echo-00001  100%"] {
        prompt("6", &["rollout", "undo", "echo"]).stdout_has(expected).run();
    }
    prompt("6", &["rollout", "undo", "echo"]).status(4).stderr_has("--to names one").run();
    prompt("6", &["plan"]).stdout_has("= leave echo").run();
}

#[tokio::test]
async fn what_the_cluster_would_refuse_is_said_of_all_functions_before_one_is_made() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "before").await;
    let function = |name: &str, more: &str| {
        format!(
            "  {name}:\n    skip_build: true\n    image: {}\n    environment: {{VERSION: a}}\n{more}",
            place.bed.image
        )
    };
    let hatch = |spec: &str| format!("    knative: {{spec: {{template: {{spec: {{{spec}}}}}}}}}\n");
    let stack = format!(
        "provider: {{name: knative}}\nfunctions:\n{}{}{}{}{}",
        function("good", ""),
        function("misspelt", &hatch("containerConcurency: 3")),
        function("mounted", &hatch("volumes: [{name: v, hostPath: {path: /x}}]")),
        function("placed", &hatch("nodeSelector: {a: b}")),
        function("secret", "    secrets: [nobody-made-it]\n"),
    );
    let deploy = |stack: &str, args: &[&str]| {
        place.prompt().file("stack.yml", stack).args(["deploy"]).args(args.iter().map(ToString::to_string))
    };
    let told = deploy(&stack, &[]).status(1).run().stderr;
    for words in [
        "the platform refuses 4 functions, nothing was changed",
        "stack.yml:11:",
        "did you mean `containerConcurrency`?",
        "stack.yml:16:",
        "hostPath: field not declared in schema",
        "stack.yml:21:",
        "kubernetes.podspec-nodeselector",
        "the secret nobody-made-it is not in the namespace",
        "stack.yml:26:",
        "faas secret create nobody-made-it",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(place.kubectl_output(&["get", "ksvc", "-o", "name"]), "");

    // One alone in its own words.
    let one = format!("provider: {{name: knative}}\nfunctions:\n{}", function("mixed", &hatch("hostNetwork: true")));
    let told = deploy(&one, &[]).status(1).stderr_has("stack.yml:7:").run().stderr;
    assert!(told.contains("can't deploy mixed") && told.contains("nothing was changed"), "{told}");

    // What no cluster takes needs none.
    let validate = |more: &str| {
        let stack = place.stack("echo", "1") + more;
        let test = Test::new().file("stack.yml", stack).env("KUBECONFIG", "nowhere").arg("validate");
        test.status(2).stderr_has("stack.yml:8:")
    };
    validate("    knative: {metadata: {name: other}}\n").stderr_has("`other` can't be its metadata.name").run();
    let half = "    knative: {spec: {traffic: [{latestRevision: true, percent: 50}]}}\n";
    validate(half).stderr_has("the shares sum to 50").run();
    validate("    annotations: {autoscaling.knative.dev/metric: nope}\n").stderr_has("concurrency, rps").run();

    // A dry run more for what is changed, none for what is not.
    let relay = super::relay::Relay::new(&place);
    let good = format!("provider: {{name: knative}}\nfunctions:\n{}{}", function("a", ""), function("b", ""));
    let through =
        || deploy(&good, &["--timeout", "5m"]).file("relay.yaml", relay.kubeconfig()).env("KUBECONFIG", "relay.yaml");
    through().run();
    assert_eq!((relay.asked(&["PATCH ", "dryRun=All"]), relay.asked(&["PATCH "])), (2, 4));
    through().stdout_has("unchanged").run();
    assert_eq!(relay.asked(&["PATCH "]), 4);
}

#[tokio::test]
async fn what_can_never_start_is_not_waited_for() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "never").await;
    let deploy = |more: &str| at(&place, "1", more, &["deploy", "--timeout", "5m"]);
    let again = || place.prompt().args(["remove", "echo"]).run();
    // What is told before.
    let above = "    limits: {memory: 64Mi}\n    requests: {memory: 1Gi}\n";
    deploy(above).status(2).stderr_has("1Gi is more than `limits.memory`").stderr_has("stack.yml:9:").run();
    // The same where only the cluster sees it.
    let hatch = "    limits: {memory: 64Mi}\n    knative: {spec: {template: {spec: {containers: [{resources: {requests: {memory: 1Gi}}}]}}}}\n";
    let start = Instant::now();
    deploy(hatch).status(1).stderr_has("must be less than or equal to memory limit").run();
    again();
    // A service account that nobody made, and more than any node has.
    let account = "    annotations: {com.openfaas.serviceaccount: nobody}\n";
    deploy(account).status(1).stderr_has("kubectl create serviceaccount").run();
    again();
    deploy("    requests: {memory: 900Gi}\n").status(1).stderr_has("Insufficient memory").run();
    assert!(start.elapsed() < Duration::from_secs(240), "{:?}", start.elapsed());
}

#[tokio::test]
async fn another_tools_scale_is_a_conflict_at_its_line() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "scaled").await;
    let scale = "    scale: {max: 5}\n";
    at(&place, "1", scale, &["deploy", "--timeout", "5m"]).run();
    let patch = r#"{"spec": {"template": {"metadata": {"annotations": {"autoscaling.knative.dev/max-scale": "9"}}}}}"#;
    place.kubectl_output(&["patch", "ksvc", "echo", "--type=merge", "--field-manager=kn", "-p", patch]);
    let told = at(&place, "2", scale, &["deploy"]).status(1).stderr_has("stack.yml:8:").run().stderr;
    assert!(told.contains("kn set `9`, and the stack has `5`") && told.contains("set scale.max"), "{told}");
}

#[tokio::test]
async fn what_is_for_callers_inside_is_called_and_what_never_started_says_so() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "inside").await;
    let more = "    url: none\n    timeout: 30s\n";
    let prompt = |args: &[&str]| at(&place, "1", more, args);
    prompt(&["deploy", "--timeout", "5m"]).run();
    prompt(&["invoke", "echo"]).stdin("psst").stdout_has("psst").run();

    // Nobody counts calls here, and nobody makes them up.
    let list = prompt(&["list"]).stdout_has("Ready").stdout_has("http://echo.").run().stdout;
    assert!(!list.contains("Invocations"), "{list}");
    let list = prompt(&["list", "--output", "json"]).run().json();
    assert_eq!(list[0]["invocationCount"], serde_json::Value::Null);
    assert!(!prompt(&["describe", "echo"]).run().stdout.contains("Invocations"));

    // What the stack file says comes back, what is made of it does not; and the image is the one that runs.
    let imported = prompt(&["import", "--service", "echo"]).stdout_has("timeout: 30s").run().stdout;
    assert!(!imported.contains("exec_timeout") && imported.contains(&place.bed.image), "{imported}");

    let crash = place.stack("never", "1").replace(&place.bed.image, &place.bed.crash);
    let never = |args: &[&str]| place.prompt().file("stack.yml", &crash).args(args.iter().map(ToString::to_string));
    never(&["deploy", "--no-wait"]).run();
    let called = async || loop {
        let called = never(&["invoke", "never"]).stdin("").status(1).run().stderr;
        if !called.contains("has no URL yet") {
            return called;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let called = tokio::time::timeout(Duration::from_secs(60), called()).await.expect("it has a URL");
    assert!(called.contains("never is not ready") && called.contains("faas describe never"), "{called}");
}

#[tokio::test]
async fn who_was_overtaken_is_told_and_what_is_replaced_answers() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "race").await;
    let deploy =
        |version: &str, more: &[&str]| at(&place, version, "", &[&["deploy", "--timeout", "5m"], more].concat());
    deploy("1", &[]).run();
    let slower = deploy("2", &[]);
    let mut slower = slower.command().stderr(std::process::Stdio::piped()).spawn().expect("it runs");
    let sent = async {
        let value = "jsonpath={.spec.template.spec.containers[0].env[0].value}";
        while place.kubectl_output(&["get", "ksvc", "echo", "-o", value]) != "2" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), sent).await.expect("the first is sent");
    deploy("3", &[]).stdout_has("updated").run();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut slower.stderr.take().expect("stderr"), &mut said).expect("text");
    assert_eq!(slower.wait().expect("it ends").code(), Some(1), "{said}");
    assert!(said.contains("another deployment of echo") && said.contains("overtook"), "{said}");
    assert_eq!(place.call("echo", "/", "").await.1["version"], serde_json::json!("3"));

    deploy("4", &["--replace"]).stderr_has("removing the old one").run();
    assert_eq!(place.call("echo", "/", "").await.1["version"], serde_json::json!("4"));
    assert_eq!(place.revisions("echo").await, [("echo-00001".to_owned(), 100)]);
}

#[tokio::test]
async fn the_doctor_prints_a_role_to_who_may_not_ask_for_types() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "types").await;
    let relay = super::relay::Relay::new(&place);
    relay.rule(|line| match ["GET /apis ", "GET /api ", "GET /version "].iter().any(|start| line.starts_with(start)) {
        true => {
            super::relay::Does::Answer(super::relay::status(403, "Forbidden", "forbidden: User \"x\" cannot get path"))
        }
        false => super::relay::Does::Pass,
    });
    let doctor = place.prompt().file("relay.yaml", relay.kubeconfig()).env("KUBECONFIG", "relay.yaml").arg("doctor");
    doctor.stdout_has("kind: Role").run();
}
