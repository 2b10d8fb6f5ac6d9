//! A function from its first deployment to its removal; what others changed; blue and green.
use std::time::Duration;

use faas::backend::{Backend, Existing, LogQuery, Scope, Secret, SecretName, Written};
use faas::error::Kind;
use faas::function::{Function, UrlAccess};
use faas::plan::{Action, decide};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::bed::*;
use crate::support::Test;

#[tokio::test]
async fn a_function_is_deployed_called_changed_rolled_back_and_removed() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "life").await;
    let heard = Heard::default();

    // A secret goes in, and comes out of the function only.
    let secrets = place.backend.secrets().expect("secrets");
    let secret = |value: &str| Secret {
        name: SecretName { name: "key".into(), namespace: None },
        value: value.as_bytes().to_vec().into(),
    };
    let mut function = Function { secrets: vec!["key".into()], read_only: true, ..echo("1") };
    let fault = place.apply(&function, &heard).await.expect_err("the secret is missing");
    assert!(fault.to_string().contains("the secret key is not in the namespace"), "{fault}");
    assert_eq!(secrets.create(&secret("hunter2"), Existing::Refuse).await.expect("made"), Written::Created);
    let refused = secrets.create(&secret("hunter2"), Existing::Refuse).await;
    assert_eq!(refused.expect_err("exists").kind, Kind::Failed);
    assert_eq!(secrets.create(&secret("hunter3"), Existing::Replace).await.expect("written"), Written::Updated);
    let names: Vec<_> = secrets.list(None).await.expect("names").into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["key"]);
    let stored = place.kubectl_output(&["get", "secret", "key", "-o", "json"]);
    let stored: Value = serde_json::from_str(&stored).expect("JSON");
    assert_eq!(stored["data"], json!({"key": "aHVudGVyMw=="}));
    assert_eq!(stored["metadata"].get("annotations"), None, "no annotation may hold what was applied");

    function.labels = map(&[("team", "a")]);
    function.timeout = Some(Duration::from_secs(600));
    function.concurrency = Some(5);
    function.annotations = map(&[("autoscaling.knative.dev/window", "300s"), ("note", "x")]);
    let there = place.apply(&function, &heard).await.expect("deployed");
    assert!(there.image.contains("@sha256:"), "{}", there.image);
    assert!(heard.all().contains("step: starting revision echo-00001"), "{}", heard.all());
    let (status, reply) = place.call("echo", "/a/b?file=/var/openfaas/secrets/key&status=418", "hello").await;
    assert_eq!((status, &reply["body"], &reply["path"]), (418, &json!("hello"), &json!("/a/b")));
    assert_eq!(reply["file"], json!("hunter3"));

    // The same without an ingress; for callers inside the cluster only, too.
    let (status, reply) = place.call_through("echo", "/a/b?status=418", "hello").await;
    assert_eq!((status, &reply["body"], &reply["path"]), (418, &json!("hello"), &json!("/a/b")));
    let hidden = Function { name: "hidden".into(), url: Some(UrlAccess::None), ..echo("1") };
    place.apply(&hidden, &heard).await.expect("deployed");
    assert_eq!(place.call_through("hidden", "/", "psst").await.1["body"], json!("psst"));
    place.backend.remove(&id("hidden")).await.expect("removed");

    // Nothing changed: the plan says so, and applying all the same makes no revision.
    let scope = Scope { names: vec!["echo".into()], ..Scope::default() };
    let seen = place.backend.observe(&scope).await.expect("observed");
    assert_eq!(decide(&function, &place.artifact(), seen.first(), None).action, Action::Unchanged, "{seen:?}");
    assert_eq!(seen[0].available, Some(1));
    place.apply(&function, &heard).await.expect("applied again");
    assert_eq!(place.revisions("echo").await, [("echo-00001".to_owned(), 100)]);

    // The commands see the same.
    place.prompt().args(["list"]).stdout_has("echo").run();
    place.prompt().args(["describe", "echo"]).stdout_has("http://echo.").run();
    place.prompt().args(["invoke", "echo"]).stdin("from the prompt").stdout_has("from the prompt").run();
    place.prompt().args(["logs", "echo", "--tail=false"]).stdout_has("POST /").run();
    place.prompt().args(["describe", "nothing"]).status(4).run();

    // A change makes a revision; traffic can be split, and pinned to the old one.
    function.environment = map(&[("VERSION", "2")]);
    place.apply(&function, &heard).await.expect("deployed");
    assert_eq!(place.revisions("echo").await, [("echo-00002".to_owned(), 100), ("echo-00001".to_owned(), 0)]);
    let traffic = place.backend.traffic().expect("traffic");
    let set = |old: u8| vec![("echo-00001".to_owned(), old), ("echo-00002".to_owned(), 100 - old)];
    assert_eq!(traffic.set(&id("echo"), &[("echo-00001".into(), 90)]).await.expect_err("sum").kind, Kind::Usage);
    let nobody = traffic.set(&id("echo"), &[("echo-00009".into(), 100)]).await.expect_err("no such revision");
    assert_eq!(nobody.kind, Kind::NotFound);
    traffic.set(&id("echo"), &set(50)).await.expect("split");
    assert_eq!(place.revisions("echo").await, [("echo-00002".to_owned(), 50), ("echo-00001".to_owned(), 50)]);
    traffic.set(&id("echo"), &set(100)).await.expect("rolled back");
    let (_, reply) = place.call("echo", "/", "").await;
    assert_eq!((&reply["version"], &reply["revision"]), (&json!("1"), &json!("echo-00001")));

    // The same at the prompt.
    let prompt = |args: &[&str]| place.prompt().args(args.iter().map(ToString::to_string));
    prompt(&["rollout", "promote", "echo"]).stdout_has("echo-00002  100%").run();
    prompt(&["rollout", "set", "echo", "v1=90,echo-00002=10"]).stdout_has("echo-00001  90%").run();
    // To what had all of it before it was split, then further.
    prompt(&["rollout", "undo", "echo"]).stdout_has("echo-00002  100%").stderr_has("until the next deployment").run();
    prompt(&["rollout", "undo", "echo"]).stdout_has("echo-00001  100%").run();
    prompt(&["rollout", "undo", "echo"]).status(4).stderr_has("no revision that had all of the traffic").run();
    prompt(&["rollout", "status", "echo"]).stdout_has("echo-00001  100%").run();
    prompt(&["rollout", "set", "echo", "00001=90"]).status(2).stderr_has("sum to 90").run();
    prompt(&["rollout", "set", "echo", "00001=50,00001=50"]).status(2).stderr_has("named twice").run();
    prompt(&["revisions", "list", "echo"]).stdout_has("echo-00002  0%").run();

    // The next deployment ends the pinning, and says so.
    function.environment = map(&[("VERSION", "3")]);
    let heard = Heard::default();
    place.apply(&function, &heard).await.expect("deployed");
    assert!(heard.all().contains("warning: traffic was pinned (echo-00001 100 %"), "{}", heard.all());
    let (_, reply) = place.call("echo", "/", "").await;
    assert_eq!(reply["version"], json!("3"));

    // What traffic is pinned to may be gone; the next deployment gets it all the same.
    prompt(&["rollout", "undo", "echo"]).run();
    let serves = place.revisions("echo").await.into_iter().find(|(_, share)| *share == 100).expect("one serves").0;
    place.kubectl_output(&["delete", "revision", &serves]);
    prompt(&["rollout", "undo", "echo", "--to", &serves]).status(4).stderr_has("has no revision").run();
    function.environment = map(&[("VERSION", "4")]);
    place.apply(&function, &heard).await.expect("deployed");
    assert_eq!(place.call("echo", "/", "").await.1["version"], json!("4"));

    // Scaling, and a deployment after it, which takes back what only we ourselves set.
    place.backend.scale(&id("echo"), 2).await.expect("scaled");
    let template =
        place.kubectl_output(&["get", "ksvc", "echo", "-o", "jsonpath={.spec.template.metadata.annotations}"]);
    assert!(template.contains(r#""autoscaling.knative.dev/min-scale":"2""#), "{template}");
    function.scale.min = Some(1);
    place.apply(&function, &heard).await.expect("deployed over our own scaling");

    // A log that is followed has what was there and what comes.
    let query = LogQuery {
        id: id("echo"),
        instance: None,
        container: None,
        since: None,
        tail: None,
        follow: true,
        previous: false,
    };
    let mut log = place.backend.logs(query).await.expect("a log");
    place.call("echo", "/followed", "").await;
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        while let Some(entry) = log.next().await {
            if entry.expect("a line").text.contains("/followed") {
                return true;
            }
        }
        false
    });
    assert!(found.await.expect("the line comes in time"));
    drop(log);

    // A canary from the stack: a tenth of the traffic, and an address of its own.
    let stack = |version: &str| {
        format!(
            "provider: {{name: knative}}\nfunctions:\n  shop:\n    skip_build: true\n    lang: dockerfile\n    handler: .\n    \
             image: {}\n    environment: {{VERSION: \"{version}\"}}\n",
            place.bed.image
        )
    };
    let deploy = |version: &str, more: &[&str]| {
        let args = ["deploy"].iter().chain(more).map(ToString::to_string);
        place.prompt().file("stack.yml", stack(version)).args(args)
    };
    deploy("1", &[]).stdout_has("created").run();
    deploy("1", &[]).stdout_has("unchanged").run();
    deploy("2", &["--canary", "10"]).stdout_has("updated").run();
    assert_eq!(place.revisions("shop").await, [("shop-00002".to_owned(), 10), ("shop-00001".to_owned(), 90)]);
    let shares = place.kubectl_output(&["get", "ksvc", "shop", "-o", "jsonpath={.status.traffic[*].url}"]);
    assert!(shares.contains("http://canary-shop."), "{shares}");
    let promote = ["rollout", "promote", "shop", "--steps", "50,100", "--every", "1s", "--probe"];
    prompt(&promote).arg("/?status=503").status(1).stderr_has("probes failed").stderr_has("shop-00001 90%").run();
    prompt(&promote).arg("/").stderr_has("shop-00002 gets 50%").stdout_has("shop-00002  100%").run();
    prompt(&["rollout", "promote", "shop"]).stdout_has("shop-00002  100%").run();
    // A tag is looked up at the registry: what was not pushed again is not deployed again.
    let tag = format!("{}/by-tag-{}:1", place.bed.image.split('/').next().unwrap_or_default(), std::process::id());
    place.push(&tag, "echo");
    let by_tag = |args: &[&str]| {
        let stack = stack("2").replace(&place.bed.image, &tag);
        place.prompt().file("stack.yml", stack).args(args.iter().map(ToString::to_string))
    };
    by_tag(&["deploy"]).stdout_has("unchanged").run();
    assert_eq!(place.revisions("shop").await[0], ("shop-00002".to_owned(), 100));
    place.push(&tag, "relay");
    by_tag(&["plan"]).stdout_has("the code changed").run();
    // New processes, when they are asked for.
    deploy("2", &["--force"]).stdout_has("updated").run();
    assert_eq!(place.revisions("shop").await[0], ("shop-00003".to_owned(), 100));

    // A canary that doesn't start leaves a split as it is.
    prompt(&["rollout", "set", "shop", "shop-00001=60,shop-00002=40"]).run();
    let shares = async || place.revisions("shop").await.into_iter().filter(|(_, share)| *share > 0).collect::<Vec<_>>();
    let split = [("shop-00002".to_owned(), 40), ("shop-00001".to_owned(), 60)];
    assert_eq!(shares().await, split);
    let crash = stack("4").replace(&place.bed.image, &place.bed.crash);
    place.prompt().file("stack.yml", crash).args(["deploy", "--canary", "10"]).status(1).run();
    assert_eq!(shares().await, split);
    for how in ["--replace", "--update=false"] {
        deploy("5", &["--canary", "10", how]).status(2).stderr_has("leave out --replace").run();
    }
    assert_eq!(shares().await, split);

    // For GitOps: the cluster takes what is written, and it is the same every time.
    let written = prompt(&["generate", "-n", &place.namespace]).file("stack.yml", stack("2")).run().stdout;
    assert_eq!(written, prompt(&["generate", "-n", &place.namespace]).file("stack.yml", stack("2")).run().stdout);
    std::fs::write(std::env::temp_dir().join(&place.namespace), &written).expect("a file");
    let file = std::env::temp_dir().join(&place.namespace);
    place.kubectl_output(&[
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "--force-conflicts",
        "-f",
        &file.to_string_lossy(),
    ]);
    std::fs::remove_file(&file).expect("removed");

    deploy("3", &["--canary", "10", "--no-wait"]).status(2).stderr_has("has to be waited for").run();

    place.backend.remove(&id("shop")).await.expect("removed");
    place.backend.remove(&id("echo")).await.expect("removed");
    assert_eq!(place.backend.remove(&id("echo")).await.expect_err("gone").kind, Kind::NotFound);
    assert_eq!(place.backend.observe(&Scope::default()).await.expect("observed"), []);
    let key = SecretName { name: "key".into(), namespace: None };
    place.backend.secrets().expect("secrets").remove(&key).await.expect("removed");
}

#[tokio::test]
async fn what_others_changed_is_theirs_until_it_is_taken_over() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "others").await;
    let heard = Heard::default();
    place.apply(&echo("1"), &heard).await.expect("deployed");
    let patch = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/env/0/value", "value": "theirs"}]"#;
    place.kubectl_output(&["patch", "ksvc", "echo", "--type=json", "--field-manager=kn", "-p", patch]);
    let fault = place.apply(&echo("2"), &heard).await.expect_err("a conflict");
    let said = fault.cause.clone().unwrap_or_default();
    assert!(said.starts_with("somebody else changed this function: kn ("), "{fault}");
    assert!(said.ends_with("set environment.VERSION"), "{fault}");
    assert!(fault.hint.clone().unwrap_or_default().contains("--adopt"), "{fault:?}");
    assert_eq!(fault.problems[0].field, "functions.echo.environment.VERSION");

    // The same at the prompt, where it stands in the stack file; nothing is written by a plan.
    let prompt = |version: &str, args: &[&str]| {
        place.prompt().file("stack.yml", place.stack("echo", version)).args(args.iter().map(ToString::to_string))
    };
    prompt("2", &["deploy"]).status(1).stderr_has("kn set another value").stderr_has("stack.yml:7:").run();
    prompt("2", &["plan"]).status(1).stderr_has("--adopt").run();
    let planned = prompt("2", &["plan", "--adopt", "--exit-code"]).status(3);
    planned.stdout_has("env[VERSION].value: \"theirs\" -> \"2\"").run();
    prompt("2", &["deploy", "--adopt", "--timeout", "5m"]).stdout_has("updated").run();
    assert_eq!(place.call("echo", "/", "").await.1["version"], json!("2"));
    prompt("2", &["plan", "--exit-code"]).stdout("= leave echo (nothing changed)\n").run();
    prompt("3", &["deploy", "--dry-run"]).stdout_has("env[VERSION].value: \"2\" -> \"3\"").run();
    assert_eq!(place.call("echo", "/", "").await.1["version"], json!("2"));

    // What others set besides is theirs; what they put among ours is not.
    let patch = r#"{"spec": {"template": {"spec": {"idleTimeoutSeconds": 9}}}}"#;
    place.kubectl_output(&["patch", "ksvc", "echo", "--type=merge", "--field-manager=kn", "-p", patch]);
    place.kubectl_output(&["wait", "--for=condition=Ready", "ksvc/echo", "--timeout=180s"]);
    prompt("2", &["plan"]).stdout_has("= leave echo").run();
    let patch =
        r#"[{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "C", "value": "3"}}]"#;
    place.kubectl_output(&["patch", "ksvc", "echo", "--type=json", "--field-manager=kn", "-p", patch]);
    let fault = place.apply(&echo("4"), &heard).await.expect_err("a conflict");
    assert!(fault.to_string().contains("environment.C"), "{fault}");
    place.backend(true).apply(&place.change(&echo("4")), &heard).await.expect("taken over, as the stack file says");

    // Knative's own client reads what we wrote, and what it writes is told as its own.
    if let Some(kn) = place.kn() {
        let kn = |args: &[&str]| {
            let output = kn(args).output().expect("kn runs");
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let described = kn(&["service", "describe", "echo"]);
        assert!(described.contains("100%  @latest") && described.contains("++ Ready"), "{described}");
        kn(&["service", "update", "echo", "-e", "D=4"]);
        let fault = place.apply(&echo("4"), &heard).await.expect_err("a conflict");
        assert!(fault.to_string().contains("kn (") && fault.to_string().contains("environment.D"), "{fault}");
        place.backend(true).apply(&place.change(&echo("4")), &heard).await.expect("taken over");
        assert!(!kn(&["service", "describe", "echo", "-o", "json"]).contains("\"D\""));
    }

    // What something else deployed is left alone until it is adopted.
    let theirs = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "theirs"},
        "spec": {"template": {"spec": {"containers": [{"image": place.bed.image}]}}}});
    place.create(&theirs);
    let prompt = |args: &[&str]| {
        place.prompt().file("stack.yml", place.stack("theirs", "5")).args(args.iter().map(ToString::to_string))
    };
    prompt(&["list", "-q"]).stdout("echo\n").run();
    prompt(&["list", "-q", "--all"]).stdout("echo\ntheirs\n").run();
    assert!(!prompt(&["list", "-A"]).run().stdout.contains("theirs"));
    prompt(&["list", "-A", "--all", "-q"]).stdout_has(format!("theirs.{}", place.namespace)).run();
    prompt(&["logs", "echo", "--previous"]).status(4).stderr_has("no process of echo was started again").run();
    for args in [&["deploy"][..], &["deploy", "--replace"], &["plan"]] {
        prompt(args).status(1).stderr_has("not one of faas").stderr_has("--adopt").run();
    }
    for args in [&["remove", "theirs"][..], &["scale", "theirs", "2"], &["rollout", "promote", "theirs"]] {
        prompt(args).status(1).stderr_has("is not one of faas").run();
    }
    prompt(&["deploy", "--adopt", "--timeout", "5m"]).stdout_has("updated").run();
    assert_eq!(place.call("theirs", "/", "").await.1["version"], json!("5"));
    prompt(&["deploy"]).stdout_has("unchanged").run();

    // Context, kubeconfig and namespaces by flags, without a stack file.
    let config = place.bed.kubeconfig.clone();
    let context = place.kubectl_output(&["config", "current-context"]);
    let list = |args: &[&str]| Test::new().args(["list"]).args(args.iter().map(ToString::to_string));
    list(&["--kubeconfig", &config, "-n", &place.namespace, "-q"]).stdout("echo\ntheirs\n").run();
    let all = list(&["--kubeconfig", &config, "--context", context.trim(), "-A", "--output", "json"]).run().stdout;
    let all: Vec<Value> = serde_json::from_str(&all).expect("JSON");
    let ours: Vec<_> = all.iter().filter(|f| f["namespace"] == json!(place.namespace)).map(|f| &f["name"]).collect();
    assert_eq!(ours, [&json!("echo"), &json!("theirs")]);
    assert!(all.iter().any(|f| f["replicas"] != json!(0)), "{all:?}");
    list(&["--kubeconfig", &config, "--context", "staging"]).status(1).stderr_has("the context staging").run();
    list(&["--kubeconfig", "nowhere.yaml"]).status(1).stderr_has("there is no kubeconfig").run();
}

#[tokio::test]
async fn blue_and_green_a_pause_and_what_is_left_of_it() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "green").await;
    let prompt = |version: &str, args: &[&str]| {
        place.prompt().file("stack.yml", place.stack("echo", version)).args(args.iter().map(ToString::to_string))
    };
    let version = async || place.call("echo", "/", "").await.1["version"].clone();
    prompt("1", &["deploy", "--timeout", "5m"]).run();

    // Green has an address and no traffic, until it is promoted by its name.
    prompt("2", &["deploy", "--revision-tag", "green"]).run();
    assert_eq!(place.revisions("echo").await, [("echo-00002".to_owned(), 0), ("echo-00001".to_owned(), 100)]);
    assert_eq!(version().await, json!("1"));
    let host = format!("green-echo.{}.example.com", place.namespace);
    let mut request = reqwest::Client::new().get(&place.bed.ingress).header("host", &host);
    request = request.timeout(Duration::from_secs(60));
    let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["version"], json!("2"));
    prompt("2", &["rollout", "status", "echo"]).stdout_has("echo-00002  0%       green").run();
    prompt("3", &["deploy", "--revision-tag", "Green"]).status(2).run();

    // All that is known of it, in one place.
    let described = prompt("2", &["describe", "echo"]).run().stdout;
    for part in ["Status:             Ready", "green: http://green-echo.", "RoutesReady", "REVISION"] {
        assert!(described.contains(part), "{part}: {described}");
    }
    let described = prompt("2", &["describe", "echo", "--output", "json"]).run().stdout;
    let described: Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described["revisions"][0]["tags"]["green"], json!(format!("http://{host}")));
    assert_eq!(described["conditions"][0]["type"], json!("Ready"));
    assert_eq!((&described["ready"], &described["Status"]), (&json!(true), &json!("Ready")));

    // While it is paused, deployments leave the traffic alone.
    prompt("2", &["rollout", "pause", "echo"]).stdout_has("echo-00001  100%").stderr_has("is paused").run();
    prompt("3", &["deploy"]).stderr_has("the rollout is paused").run();
    assert_eq!(version().await, json!("1"));
    prompt("3", &["describe", "echo"]).stdout_has("Rollout:            paused").run();
    prompt("3", &["rollout", "promote", "echo"]).status(1).stderr_has("rollout resume echo").run();
    prompt("4", &["deploy", "--canary", "10"]).status(1).stderr_has("is paused").run();
    prompt("3", &["rollout", "resume", "echo"]).stdout_has("echo-00001  100%").run();
    prompt("3", &["rollout", "promote", "echo", "green"]).stdout_has("echo-00002  100%").run();
    assert_eq!(version().await, json!("2"));

    // The log of one container; the sidecar's too, when it is asked for.
    let logs = |container: &str| prompt("3", &["logs", "echo", "--tail=false", "--container", container]);
    logs("user-container").stdout_has("GET / 200").run();
    logs("nothing").status(4).stderr_has("it has user-container, queue-proxy").run();
    assert!(!logs("queue-proxy").run().stdout.contains("GET / 200"));

    // Old revisions go, apart from those that something leads to, and the newest.
    prompt("5", &["deploy"]).run();
    let names = async || place.revisions("echo").await.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names().await, ["echo-00004", "echo-00003", "echo-00002", "echo-00001"]);
    let prune = |more: &[&str]| prompt("5", &[&["revisions", "prune", "echo"], more].concat());
    prune(&["--keep", "3"]).stdout("").run();
    prune(&["--keep", "1", "--dry-run"]).stdout("Would remove echo-00002.\nWould remove echo-00001.\n").run();
    prune(&["--keep", "1"]).stdout("Removed echo-00002.\nRemoved echo-00001.\n").run();
    assert_eq!(names().await, ["echo-00004", "echo-00003"]);
    let traffic = place.backend.traffic().expect("traffic");
    let fault = traffic.discard(&id("echo"), "echo-00004").await.expect_err("it serves");
    assert!(fault.to_string().contains("is in use"), "{fault}");
    assert_eq!(traffic.discard(&id("echo"), "echo-00001").await.expect_err("gone").kind, Kind::NotFound);
}
