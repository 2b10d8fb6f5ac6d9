//! `--prune`, the memory of deployments and the way back, on a real OpenFaaS gateway and on Lambda: only what this stack
//! deployed is taken.
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Done, Test, bed};

fn actions(told: &Value) -> Vec<(String, String)> {
    let all = told["changes"].as_array().or_else(|| told.as_array()).expect("a list of changes");
    let text = |change: &Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
    all.iter().map(|change| (text(change, "name"), text(change, "action"))).collect()
}

fn names(done: &Done) -> Vec<String> {
    let listed = done.then().args(["list", "--output", "json"]).run().json();
    listed.as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
}

/// Removes at the end what the test may have left.
struct Gone(Done, &'static [&'static str]);

impl Drop for Gone {
    fn drop(&mut self) {
        for name in self.1 {
            let _ = self.0.then().args(["remove", name]).command().output();
        }
    }
}

#[test]
#[cfg(feature = "openfaas")]
fn on_openfaas_only_what_this_stack_deployed_is_pruned_and_undo_finds_its_way_back() {
    let (Some(url), Some(file)) = (bed("OPENFAAS_URL"), bed("OPENFAAS_PASSWORD_FILE")) else { return };
    let Some(image) = bed("FAAS_ECHO_IMAGE") else { return };
    let password = std::fs::read_to_string(file).expect("the password");
    // The same image by its digest: another artifact to go back from.
    let (registry, rest) = image.split_once('/').expect("a registry");
    let (repository, tag) = rest.rsplit_once(':').expect("a tag");
    let manifest = format!("http://{registry}/v2/{repository}/manifests/{tag}");
    let accept =
        "Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json";
    let head = Command::new("curl").args(["-fsSI", "-H", accept, &manifest]).output().expect("curl");
    let head = String::from_utf8(head.stdout).expect("text").to_lowercase();
    let digest = head.lines().find_map(|line| line.strip_prefix("docker-content-digest:")).expect("a digest").trim();
    let pinned = format!("{registry}/{repository}@{digest}");
    let stack = |name: &str, image: &str, functions: &[(&str, &str)]| {
        let mut text = format!("name: {name}\nprovider: {{name: openfaas, gateway: \"{url}\"}}\nfunctions:\n");
        for (function, word) in functions {
            text += &format!(
                "  {function}:\n    image: {image}\n    skip_build: true\n    environment: {{WORD: {word}}}\n"
            );
        }
        text
    };
    let start = Test::new()
        .file("stack.yml", stack("t-prune", &image, &[("t-prune-a", "one"), ("t-prune-b", "one")]))
        .file("other.yml", stack("t-prune-other", &image, &[("t-prune-c", "one")]))
        .args(["login", "-s", "-g", &url])
        .stdin(password)
        .run();
    let _gone = Gone(start.then().args(["version"]).run(), &["t-prune-a", "t-prune-b", "t-prune-c"]);
    start.then().args(["deploy"]).stdout_has("created").run();
    start.then().args(["deploy", "-f", "other.yml"]).run();
    // An image by its tag is deployed each time, and the way out is told.
    start.then().args(["plan"]).stdout_has("behind the tag changed: `--digest` pins it)").run();
    let two = stack("t-prune-two", &image, &[("t-prune-a", "two")]);
    let two = start.then().file("two.yml", two).args(["plan", "-f", "two.yml"]);
    two.stdout_has("(its configuration changed, and it bears the mark of stack t-prune)")
        .stderr_has("it bears the mark of stack t-prune: stack t-prune-two takes it over")
        .run();
    let left = start.then().args(["remove", "-f", "two.yml"]).stdout("");
    left.stderr_has("t-prune-a bears the mark of stack t-prune and was left").run();

    let after = || start.then().file("stack.yml", stack("t-prune", &pinned, &[("t-prune-a", "two")]));
    let plan = after().args(["plan", "--prune", "--exit-code", "--output", "json"]).status(3).run().json();
    let wanted = [("t-prune-a", "updated"), ("t-prune-b", "pruned")].map(|(name, what)| (name.into(), what.into()));
    assert_eq!(actions(&plan), wanted, "{plan}");
    start.then().args(["deploy", "--prune"]).stderr_has("1 updated, 1 pruned").run();
    let left = names(&start);
    assert!(!left.contains(&"t-prune-b".into()), "{left:?}");
    assert!(left.contains(&"t-prune-c".into()), "another stack's is not ours: {left:?}");
    start.then().args(["invoke", "t-prune-a", "--path", "/env/WORD"]).stdout("two").run();

    let list = || start.then().args(["deployments", "list", "t-prune-a", "--output", "json"]).run().json();
    let told = list();
    assert_eq!((&told[0]["id"], &told[0]["changed"]), (&json!("2"), &json!(["code", "environment.WORD"])), "{told}");
    assert_eq!(told[1]["changed"], json!(["created"]), "{told}");
    start.then().args(["rollout", "undo", "t-prune-a", "--to", "1"]).run();
    start.then().args(["invoke", "t-prune-a", "--path", "/env/WORD"]).stdout("two").run();
    let told = list();
    assert_eq!(told[0]["artifact"], told[2]["artifact"], "{told}");
    assert_eq!((&told[0]["id"], &told[0]["changed"]), (&json!("3"), &json!(["back to 1"])), "{told}");
}

#[test]
#[cfg(feature = "lambda")]
fn on_lambda_only_what_this_stack_deployed_is_pruned() {
    use crate::support::lambda::{HANDLER, Oracle, bed};
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let stack = |name: &str, functions: &[&str]| {
        let functions: String =
            functions.iter().map(|name| format!("  {name}: {{lang: python3, handler: ./tax}}\n")).collect();
        format!("provider: {{name: lambda, lambda: {{region: us-east-1}}}}\nname: {name}\nfunctions:\n{functions}")
    };
    let start = oracle
        .project("prune", "")
        .file("stack.yml", stack("prune", &["prune-a", "prune-b"]))
        .file("other.yml", stack("prune-other", &["prune-c"]))
        .file("tax/handler.py", HANDLER)
        .arg("up")
        .run();
    start.then().args(["up", "-f", "other.yml"]).run();
    let after = || start.then().file("stack.yml", stack("prune", &["prune-a"]));
    let plan = after().args(["plan", "--prune", "--exit-code", "--output", "json"]).status(3).run().json();
    let wanted = [("prune-a", "unchanged"), ("prune-b", "pruned")].map(|(name, what)| (name.into(), what.into()));
    assert_eq!(actions(&plan), wanted, "{plan}");
    start.then().args(["up", "--prune"]).stderr_has("1 pruned").run();
    let left = names(&start);
    assert!(!left.contains(&"prune-b".into()), "{left:?}");
    assert!(left.contains(&"prune-c".into()), "another stack's is not ours: {left:?}");
    let told = start.then().args(["deployments", "list", "prune-a", "--output", "json"]).run().json();
    assert_eq!(told[0]["changed"], json!(["created"]), "{told}");
    oracle.check();
}
