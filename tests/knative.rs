//! The Knative backend against a real cluster: `tests/beds/knative/up.sh` prints the variables that are needed here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use faas::artifact::Artifact;
use faas::backend::knative::{Knative, Settings};
use faas::backend::{Backend, Call, Change, How, LogQuery, Namespace, Reply, Scope, Secret, SecretName, Written};
use faas::error::{Fault, Kind};
use faas::function::{Function, FunctionId, UrlAccess};
use faas::plan::{Action, decide, spec_hash};
use faas::progress::Progress;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::support::Test;

/// Where the cluster is; `None`, with the reason, when nobody started one.
struct Bed {
    kubeconfig: String,
    ingress: String,
    image: String,
    crash: String,
    kubectl: PathBuf,
}

fn bed() -> Option<Bed> {
    let find = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (Some(kubeconfig), Some(ingress), Some(image), Some(crash), Some(kubectl)) =
        (find("KUBECONFIG"), find("INGRESS"), find("KNATIVE_ECHO"), find("KNATIVE_CRASH"), find("KUBECTL"))
    else {
        assert!(find("FAAS_TEST_KNATIVE").is_none(), "FAAS_TEST_KNATIVE is set, but the bed's variables are not");
        eprintln!("skipped: no Knative cluster (tests/beds/knative/up.sh starts one and prints its variables)");
        return None;
    };
    Some(Bed { kubeconfig, ingress, image, crash, kubectl: kubectl.into() })
}

/// A namespace that goes away with the test.
struct Place {
    bed: Bed,
    namespace: String,
    backend: Knative,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut command = self.kubectl();
        let _ = command.args(["delete", "namespace", &self.namespace, "--wait=false"]).output();
    }
}

impl Place {
    async fn new(bed: Bed, name: &str) -> Self {
        let namespace = format!("{name}-{}", std::process::id());
        let mut place = Self { backend: Knative::new(Settings::default()), bed, namespace };
        place.backend = place.backend(false);
        let namespaces = place.backend.namespaces().expect("namespaces");
        let namespace = Namespace { name: place.namespace.clone(), ..Namespace::default() };
        namespaces.create(&namespace).await.expect("the namespace is made");
        place
    }

    fn backend(&self, force: bool) -> Knative {
        let env = |name: &str| match name {
            "KUBECONFIG" => Some(self.bed.kubeconfig.clone()),
            "FAAS_KNATIVE_INGRESS" => Some(self.bed.ingress.clone()),
            "FAAS_KNATIVE_NAMESPACE" => Some(self.namespace.clone()),
            _ => None,
        };
        let provider = json!({ "force": force });
        let wait = Duration::from_secs(120);
        Knative::new(Settings::new(&provider, &env, Path::new("/"), Path::new("/"), wait).expect("settings"))
    }

    fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.bed.kubectl);
        command.args(["--kubeconfig", &self.bed.kubeconfig, "-n", &self.namespace]);
        command
    }

    fn kubectl_output(&self, args: &[&str]) -> String {
        let output = self.kubectl().args(args).output().expect("kubectl runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A session at a prompt, next to this cluster.
    fn prompt(&self) -> Test {
        Test::new()
            .file("stack.yml", "provider: {name: knative}\nfunctions: {}\n")
            .env("KUBECONFIG", &self.bed.kubeconfig)
            .env("FAAS_KNATIVE_INGRESS", &self.bed.ingress)
            .env("FAAS_KNATIVE_NAMESPACE", &self.namespace)
    }

    /// A stack file with the sample function.
    fn stack(&self, name: &str, version: &str) -> String {
        format!(
            "provider: {{name: knative}}\nfunctions:\n  {name}:\n    skip_build: true\n    image: {}\n    environment:\n      \
             VERSION: \"{version}\"\n",
            self.bed.image
        )
    }

    async fn apply(&self, function: &Function, heard: &Heard) -> Result<faas::backend::Deployed, Fault> {
        self.backend.apply(&self.change(function), heard).await
    }

    fn change(&self, function: &Function) -> Change {
        Change {
            spec: spec_hash(function),
            artifact: self.artifact(),
            stack: "test".into(),
            how: How::Upsert,
            force: false,
            function: function.clone(),
        }
    }

    fn artifact(&self) -> Artifact {
        image(&self.bed.image)
    }

    async fn call(&self, name: &str, path: &str, body: &'static str) -> (u16, Value) {
        let reply = self.reply(name, path, body).await;
        let status = reply.status.as_u16();
        let bytes: Vec<_> = reply.body.try_collect().await.expect("a body");
        (status, serde_json::from_slice(&bytes.concat()).expect("JSON"))
    }

    /// A call that no ingress takes: through the API server.
    async fn call_through(&self, name: &str, path: &str, body: &'static str) -> (u16, Value) {
        let env = |name: &str| match name {
            "KUBECONFIG" => Some(self.bed.kubeconfig.clone()),
            "FAAS_KNATIVE_NAMESPACE" => Some(self.namespace.clone()),
            _ => None,
        };
        let settings = Settings::new(&Value::Null, &env, Path::new("/"), Path::new("/"), Duration::ZERO);
        let reply = Knative::new(settings.expect("settings")).invoke(&id(name), call(path, body)).await;
        let reply = reply.expect("an answer");
        let status = reply.status.as_u16();
        let bytes: Vec<_> = reply.body.try_collect().await.expect("a body");
        (status, serde_json::from_slice(&bytes.concat()).expect("JSON"))
    }

    async fn reply(&self, name: &str, path: &str, body: &'static str) -> Reply {
        self.backend.invoke(&id(name), call(path, body)).await.expect("an answer")
    }

    async fn revisions(&self, name: &str) -> Vec<(String, u8)> {
        let traffic = self.backend.traffic().expect("traffic");
        let all = traffic.revisions(&id(name)).await.expect("revisions");
        all.into_iter().map(|r| (r.name, r.share)).collect()
    }
}

/// `name@sha256:…`, as the bed prints it.
fn image(pinned: &str) -> Artifact {
    let (name, digest) = pinned.split_once('@').expect("an image by digest");
    Artifact::Image { reference: format!("{name}:1"), digest: Some(digest.into()) }
}

fn call(path: &str, body: &'static str) -> Call {
    Call {
        method: http::Method::POST,
        path: path.into(),
        headers: http::HeaderMap::new(),
        body: Box::pin(futures_util::stream::iter([Ok(body.into())])),
        length: Some(body.len() as u64),
        asynchronous: false,
        timeout: Some(Duration::from_secs(60)),
        options: faas::backend::CallOptions::default(),
    }
}

fn id(name: &str) -> FunctionId {
    FunctionId { name: name.into(), namespace: None }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn echo(version: &str) -> Function {
    Function { name: "echo".into(), environment: map(&[("VERSION", version)]), ..Function::default() }
}

/// What the user was told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn all(&self) -> String {
        self.0.lock().expect("lines").join("\n")
    }
}

impl Progress for Heard {
    fn step(&self, _: &str, step: &str) {
        self.0.lock().expect("lines").push(format!("step: {step}"));
    }
    fn line(&self, _: &str, line: &str) {
        self.0.lock().expect("lines").push(format!("line: {line}"));
    }
    fn warn(&self, _: &str, message: &str) {
        self.0.lock().expect("lines").push(format!("warning: {message}"));
    }
    fn done(&self, _: &str, _: &str) {}
    fn failed(&self, _: &str, _: &str) {}
}

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
    assert_eq!(secrets.create(&secret("hunter2"), false).await.expect("made"), Written::Created);
    assert_eq!(secrets.create(&secret("hunter2"), false).await.expect_err("exists").kind, Kind::Failed);
    assert_eq!(secrets.create(&secret("hunter3"), true).await.expect("written"), Written::Updated);
    let names: Vec<_> = secrets.list(None).await.expect("names").into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["key"]);
    let stored = place.kubectl_output(&["get", "secret", "key", "-o", "json"]);
    let stored: Value = serde_json::from_str(&stored).expect("JSON");
    assert_eq!(stored["data"], json!({"key": "aHVudGVyMw=="}));
    assert_eq!(stored["metadata"].get("annotations"), None, "no annotation may hold what was applied");

    function.labels = map(&[("team", "a")]);
    function.timeout = Some(Duration::from_secs(600));
    function.concurrency = Some(5);
    function.annotations = map(&[("autoscaling.knative.dev/window", "30s"), ("note", "x")]);
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
    assert_eq!(decide(&function, &place.artifact(), seen.first()).action, Action::Unchanged, "{seen:?}");
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
    prompt(&["rollout", "set", "echo", "00001=90,echo-00002=10"]).stdout_has("echo-00001  90%").run();
    prompt(&["rollout", "undo", "echo"]).stdout_has("echo-00001  100%").stderr_has("until the next deployment").run();
    prompt(&["rollout", "undo", "echo"]).status(4).stderr_has("no revision before").run();
    prompt(&["rollout", "status", "echo"]).stdout_has("echo-00001  100%").run();
    prompt(&["rollout", "set", "echo", "00001=90"]).status(2).stderr_has("sum to 90").run();
    prompt(&["revisions", "list", "echo"]).stdout_has("echo-00002  0%").run();

    // The next deployment ends the pinning, and says so.
    function.environment = map(&[("VERSION", "3")]);
    let heard = Heard::default();
    place.apply(&function, &heard).await.expect("deployed");
    assert!(heard.all().contains("warning: traffic was pinned (echo-00001 100 %"), "{}", heard.all());
    let (_, reply) = place.call("echo", "/", "").await;
    assert_eq!(reply["version"], json!("3"));

    // Scaling, and a deployment after it, which takes back what only we ourselves set.
    place.backend.scale(&id("echo"), 2).await.expect("scaled");
    let template =
        place.kubectl_output(&["get", "ksvc", "echo", "-o", "jsonpath={.spec.template.metadata.annotations}"]);
    assert!(template.contains(r#""autoscaling.knative.dev/min-scale":"2""#), "{template}");
    function.scale.min = Some(1);
    place.apply(&function, &heard).await.expect("deployed over our own scaling");

    // A log that is followed has what was there and what comes.
    let query = LogQuery { id: id("echo"), instance: None, container: None, since: None, tail: None, follow: true };
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
    // A tag says nothing about what was pushed under it: Knative is made to look again.
    let tag = place.bed.image.split('@').next().unwrap_or_default().to_owned() + ":1";
    let by_tag = |args: &[&str]| {
        place
            .prompt()
            .file("stack.yml", stack("2").replace(&place.bed.image, &tag))
            .args(args.iter().map(ToString::to_string))
    };
    by_tag(&["deploy"]).stdout_has("updated").run();
    by_tag(&["deploy"]).stdout_has("updated").run();
    assert_eq!(place.revisions("shop").await[0], ("shop-00004".to_owned(), 100));

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
    prompt("2", &["deploy", "--adopt", "--timeout", "2m"]).stdout_has("updated").run();
    assert_eq!(place.call("echo", "/", "").await.1["version"], json!("2"));
    prompt("2", &["plan", "--exit-code"]).stdout("= leave echo (nothing changed)\n").run();
    prompt("3", &["deploy", "--dry-run"]).stdout_has("env[VERSION].value: \"2\" -> \"3\"").run();
    assert_eq!(place.call("echo", "/", "").await.1["version"], json!("2"));

    // What others set besides is theirs; what they put among ours is not.
    let patch = r#"{"spec": {"template": {"spec": {"idleTimeoutSeconds": 9}}}}"#;
    place.kubectl_output(&["patch", "ksvc", "echo", "--type=merge", "--field-manager=kn", "-p", patch]);
    prompt("2", &["plan"]).stdout_has("= leave echo").run();
    let patch =
        r#"[{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "C", "value": "3"}}]"#;
    place.kubectl_output(&["patch", "ksvc", "echo", "--type=json", "--field-manager=kn", "-p", patch]);
    let fault = place.apply(&echo("4"), &heard).await.expect_err("a conflict");
    assert!(fault.to_string().contains("environment.C"), "{fault}");
    place.backend(true).apply(&place.change(&echo("4")), &heard).await.expect("taken over, as the stack file says");

    // What something else deployed is left alone until it is adopted.
    let theirs = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "theirs"},
        "spec": {"template": {"spec": {"containers": [{"image": place.bed.image}]}}}});
    let file = std::env::temp_dir().join(format!("{}.json", place.namespace));
    std::fs::write(&file, theirs.to_string()).expect("a file");
    place.kubectl_output(&["create", "-f", &file.to_string_lossy()]);
    std::fs::remove_file(&file).expect("removed");
    let prompt = |args: &[&str]| {
        place.prompt().file("stack.yml", place.stack("theirs", "5")).args(args.iter().map(ToString::to_string))
    };
    for args in [&["deploy"][..], &["deploy", "--replace"], &["plan"]] {
        prompt(args).status(1).stderr_has("not one of faas").stderr_has("--adopt").run();
    }
    for args in [&["remove", "theirs"][..], &["scale", "theirs", "2"], &["rollout", "promote", "theirs"]] {
        prompt(args).status(1).stderr_has("is not one of faas").run();
    }
    prompt(&["deploy", "--adopt", "--timeout", "2m"]).stdout_has("updated").run();
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
    prompt("1", &["deploy", "--timeout", "2m"]).run();

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
    logs("user-container").stdout_has("GET /").run();
    logs("nothing").status(4).stderr_has("it has user-container, queue-proxy").run();
    assert!(!logs("queue-proxy").run().stdout.contains("GET /"));

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

#[tokio::test]
async fn who_may_not_is_told_which_rule_is_missing() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "rights").await;
    place.kubectl_output(&["create", "serviceaccount", "guest"]);
    let token = place.kubectl_output(&["create", "token", "guest"]);
    let text = place.kubectl_output(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["users"][0]["user"] = json!({ "token": token.trim() });
    let session = |name: &str, config: &Value| {
        place.prompt().file(name, config.to_string()).env("KUBECONFIG", name).args(["list"])
    };
    session("guest.json", &config)
        .status(5)
        .stderr_has(r#"apiGroups: ["serving.knative.dev"], resources: ["services"], verbs: ["list"]"#)
        .run();
    config["users"][0]["user"] = json!({ "token": "wrong" });
    session("wrong.json", &config).status(5).stderr_has("log in again").run();
    config["users"][0]["user"] = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "sh", "args": ["-c", "echo no login >&2; exit 3"] } });
    session("plugin.json", &config).status(5).stderr_has("no login").run();
}

#[tokio::test]
async fn events_schedules_topics_domains_and_what_is_imported() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "events").await;
    let prompt = |more: &str, args: &[&str]| {
        place.prompt().file("stack.yml", place.stack("echo", "1") + more).args(args.iter().map(ToString::to_string))
    };
    let schedule = "    schedule: '*/5 * * * *'\n    topic: [order.placed, order.paid]\n";

    // Where Eventing is missing, that is said before anything is made.
    let missing = prompt(schedule, &["deploy"]).status(6);
    missing.stderr_has("it has no PingSource").stderr_has("install Knative Eventing").run();
    prompt("", &["describe", "echo"]).status(4).run();

    // With types of the same shape, the requests are seen. The controllers behind them are not here.
    let types = [("PingSource", "pingsources", "sources.knative.dev"), ("Trigger", "triggers", "eventing.knative.dev")];
    for (kind, plural, group) in types {
        let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
        let file = std::env::temp_dir().join(format!("{}-{plural}.json", place.namespace));
        std::fs::write(&file, crd.to_string()).expect("a file");
        place.kubectl_output(&["create", "-f", &file.to_string_lossy()]);
        place.kubectl_output(&[
            "wait",
            "--for=condition=Established",
            &format!("crd/{plural}.{group}"),
            "--timeout=30s",
        ]);
        std::fs::remove_file(&file).expect("removed");
    }
    prompt(schedule, &["deploy", "--timeout", "2m"]).stdout_has("created").run();
    let get = |what: &str| place.kubectl_output(&["get", what, "-o", "json"]);
    let ping: Value = serde_json::from_str(&get("pingsources")).expect("JSON");
    assert_eq!(ping["items"][0]["metadata"]["name"], json!("echo-schedule"));
    assert_eq!(ping["items"][0]["spec"]["sink"]["ref"]["name"], json!("echo"));
    assert_eq!(ping["items"][0]["metadata"]["ownerReferences"][0]["kind"], json!("Service"));
    let names = |what: &str| {
        let list: Value = serde_json::from_str(&get(what)).expect("JSON");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|i| i["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("triggers"), ["echo-order-paid", "echo-order-placed"]);
    prompt(schedule, &["deploy"]).stdout_has("unchanged").run();
    // What the stack doesn't have any more goes, and no revision is made for that.
    let domain = format!("echo.{}.shop.test", place.namespace);
    let less = format!("    topic: order.paid\n    domain: {domain}\n");
    prompt(&less, &["deploy"]).stdout_has("updated").run();
    assert_eq!((names("pingsources").len(), names("triggers")), (0, vec!["echo-order-paid".to_owned()]));
    assert_eq!(names("domainmappings"), [domain.as_str()]);
    assert_eq!(place.revisions("echo").await.len(), 1);
    // A domain leads to one function.
    let stack = place.stack("other", "1") + &format!("    domain: {domain}\n");
    let other = place.prompt().file("stack.yml", stack).args(["deploy", "--timeout", "2m"]).status(1);
    other.stderr_has("is not of this function").run();
    let both = format!("    domain: {domain}\n    url: none\n");
    prompt(&both, &["deploy"]).status(2).stderr_has("lets everybody call").run();
    let written = prompt(&(schedule.to_owned() + "    domain: a.example.com\n"), &["generate"]).run().stdout;
    for kind in ["kind: Service", "kind: PingSource", "kind: Trigger", "kind: DomainMapping"] {
        assert!(written.contains(kind), "{kind}: {written}");
    }
    prompt("", &["deploy"]).run();
    assert_eq!((names("triggers").len(), names("domainmappings").len()), (0, 0));
    for (_, plural, group) in types {
        place.kubectl_output(&["delete", "crd", &format!("{plural}.{group}"), "--wait=false"]);
    }

    // A call that is an event.
    let event = |more: &[&str]| {
        let args = [&["invoke", "echo", "--event", "shop.order", "--event-attribute", "tenant=a b"], more].concat();
        let answer = prompt("", &args).stdin(r#"{"order": 7}"#).run().stdout;
        serde_json::from_str::<Value>(&answer).expect("JSON")
    };
    let answer = event(&[]);
    assert_eq!(answer["headers"]["Ce-Type"], json!(["shop.order"]));
    assert_eq!(answer["headers"]["Ce-Tenant"], json!(["a%20b"]));
    assert_eq!(answer["headers"]["Content-Type"], json!(["application/json"]));
    assert_eq!(answer["body"], json!(r#"{"order": 7}"#));
    let answer = event(&["--event-mode", "structured"]);
    assert_eq!(answer["headers"]["Content-Type"], json!(["application/cloudevents+json"]));
    let sent: Value = serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
    assert_eq!((&sent["type"], &sent["data"]["order"]), (&json!("shop.order"), &json!(7)));

    // What is there comes back as a stack file that means the same.
    let config = &place.bed.kubeconfig;
    let import =
        Test::new().args(["import", "--kubeconfig", config, "-n", &place.namespace, "--service", "echo"]).run();
    assert!(import.stdout.contains("VERSION: \"1\"") || import.stdout.contains("VERSION: '1'"), "{}", import.stdout);
    prompt("", &["validate"]).file("stack.yml", &import.stdout).run();
    prompt("", &["plan"]).file("stack.yml", &import.stdout).stdout_has("echo").run();
    Test::new().args(["import", "--kubeconfig", config, "--service", "nothing"]).status(4).run();
}

#[test]
fn what_func_wrote_is_a_stack_file() {
    let func = "specVersion: 0.36.0\nname: orders\nruntime: go\nregistry: r.example.com/shop\nrun:\n  envs:\n  - name: A\n    \
                value: '{{ env:HOME }}'\n";
    let done = Test::new().file("func.yaml", func).args(["import", "func.yaml"]);
    let done = done.stdout_has("image: r.example.com/shop/orders:latest").stderr_has("func build").run();
    assert!(done.stdout.contains("A: ${HOME}") || done.stdout.contains("A: \"${HOME}\""), "{}", done.stdout);
    let stack = done.stdout.clone();
    done.then().file("stack.yml", stack).args(["validate"]).run();
    Test::new()
        .file("x.yaml", "kind: Pod\n")
        .args(["import", "x.yaml"])
        .status(2)
        .stderr_has("no Knative Service")
        .run();
    Test::new().args(["import", "nowhere.yaml"]).status(4).run();
}

/// In a pod there is no kubeconfig: the service account's token, certificate and namespace are files.
#[tokio::test]
async fn in_a_pod_and_behind_a_proxy_the_cluster_is_found() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "inside").await;
    place.apply(&echo("1"), &Heard::default()).await.expect("deployed");
    place.kubectl_output(&["create", "serviceaccount", "guest"]);
    let account = format!("--serviceaccount={}:guest", place.namespace);
    place.kubectl_output(&["create", "rolebinding", "guest", "--clusterrole=edit", &account]);
    let token = place.kubectl_output(&["create", "token", "guest"]);
    let text = place.kubectl_output(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let cluster = config["clusters"][0]["cluster"].clone();
    let server: url::Url = cluster["server"].as_str().and_then(|s| s.parse().ok()).expect("a URL");
    let authority = cluster["certificate-authority-data"].as_str().expect("a certificate");

    let session = Test::new()
        .file("token", token.trim())
        .file("namespace", &place.namespace)
        .file("ca", authority)
        .file("stack.yml", "provider: {name: knative}\nfunctions: {}\n")
        .args(["list", "-q"]);
    // A file system of its own, so that nothing of this machine's is touched.
    let script = r#"mount -t tmpfs tmpfs /var/run && d=/var/run/secrets/kubernetes.io/serviceaccount && mkdir -p $d &&
        cp token namespace $d/ && base64 -d ca > $d/ca.crt && exec "$@""#;
    let inner = session.command();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(session.dir())
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", session.dir())
        .env("KUBERNETES_SERVICE_HOST", server.host_str().expect("a host"))
        .env("KUBERNETES_SERVICE_PORT", server.port().unwrap_or(443).to_string())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "echo\n", "{said}");

    // The kubeconfig's proxy is asked for the way.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (asked, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = asked.clone();
            std::thread::spawn(move || proxy(stream, &asked));
        }
    });
    config["clusters"][0]["cluster"]["proxy-url"] = json!(format!("http://127.0.0.1:{port}"));
    place
        .prompt()
        .file("proxied.json", config.to_string())
        .env("KUBECONFIG", "proxied.json")
        .args(["list", "-q"])
        .stdout("echo\n")
        .run();
    let line = heard.recv_timeout(Duration::from_secs(5)).expect("the proxy is asked");
    assert!(line.starts_with("CONNECT ") && line.contains(server.host_str().expect("a host")), "{line}");
}

/// One tunnel through a proxy: `CONNECT host:port`, then bytes both ways.
fn proxy(mut stream: std::net::TcpStream, asked: &std::sync::mpsc::Sender<String>) {
    use std::io::{Read, Write};
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let Some(Ok(mut there)) = line.split(' ').nth(1).map(std::net::TcpStream::connect) else { return };
    let _ = asked.send(line);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let (Ok(mut from), Ok(mut to)) = (stream.try_clone(), there.try_clone()) else { return };
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let _ = std::io::copy(&mut there, &mut stream);
}

#[test]
fn without_a_cluster_it_says_where_it_looked() {
    let stack = "provider: {name: knative, knative: {context: staging}}\nfunctions: {}\n";
    Test::new()
        .file("stack.yml", stack)
        .args(["list"])
        .status(1)
        .stderr_has("there is no kubeconfig")
        .stderr_has(".kube/config")
        .run();
    let kubeconfig = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "a", "context": {"cluster": "c"}}], "users": []}"#;
    Test::new()
        .file("stack.yml", stack)
        .file("config.json", kubeconfig)
        .env("KUBECONFIG", "config.json")
        .args(["list"])
        .status(1)
        .stderr_has("the context staging")
        .stderr_has("it has these: a")
        .run();
    Test::new()
        .file("stack.yml", "provider: {name: knative}\nfunctions: {}\n")
        .file("config.json", kubeconfig)
        .env("KUBECONFIG", "config.json")
        .args(["list"])
        .status(1)
        .stderr_has("can't list the functions")
        .stderr_has("onnection refused")
        .run();
}
