//! `faas deployments` and `faas rollout undo` at a prompt: who deployed what from which commit, and the way back.
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Local, Test, free_port};

fn stack(port: u16, more: &str) -> String {
    format!(
        "name: shop\nprovider:\n  name: local\n  gateway: http://127.0.0.1:{port}\ntargets:\n  eu: {{environment: {{REGION: eu}}}}\n\
         functions:\n  tax:\n    lang: python3\n    handler: ./tax\n{more}"
    )
}

fn handler(word: &str) -> String {
    format!("def handle(req):\n    return '{word}'\n")
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    for name in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{name}_NAME"), "t").env(format!("GIT_{name}_EMAIL"), "t@example.com");
    }
    let output = git.env("GIT_CONFIG_GLOBAL", "/dev/null").args(args).current_dir(dir).output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn committed(dir: &Path) -> String {
    git(dir, &["init", "--quiet", "--initial-branch=main"]);
    std::fs::write(dir.join(".gitignore"), "build/\n").expect("file");
    git(dir, &["add", "."]);
    git(dir, &["commit", "--quiet", "-m", "first"]);
    git(dir, &["rev-parse", "HEAD"])
}

/// One field of each, newest first.
pub fn all(list: &Value, field: &str) -> Vec<Value> {
    list.as_array().expect("a list").iter().map(|one| one[field].clone()).collect()
}

#[test]
fn every_deployment_is_remembered_with_who_when_and_from_which_commit_and_can_be_gone_back_to() {
    let port = free_port();
    let test = Test::new().file("stack.yml", stack(port, "")).file("tax/handler.py", handler("one"));
    let commit = committed(&test.dir());
    let up = test.env("USER", "jane").env("GITHUB_ACTOR", "").args(["up"]).run();
    let _stop = Local::of(&up);
    // Not committed, for a target, by CI; the value of a variable is nobody's business.
    let more = "    environment: {API_TOKEN: hunter2}\n";
    up.then()
        .file("stack.yml", stack(port, more))
        .file("tax/handler.py", handler("two"))
        .env("GITHUB_ACTOR", "robot")
        .args(["up", "--target", "eu"])
        .run();
    // What did not change is no deployment.
    up.then().args(["up", "--target", "eu"]).stdout_has("unchanged").run();

    let list = || up.then().args(["deployments", "list", "tax", "--output", "json"]).run();
    let told = list();
    assert!(!told.stdout.contains("hunter2"), "{}", told.stdout);
    let told = told.json();
    assert_eq!(all(&told, "id"), ["2", "1"]);
    assert_eq!(all(&told, "serves"), [true, false]);
    assert_eq!(all(&told, "by"), ["robot", "jane"]);
    assert_eq!(all(&told, "commit"), [commit.as_str(), commit.as_str()]);
    assert_eq!(all(&told, "dirty"), [json!(true), Value::Null]);
    assert_eq!(all(&told, "stack"), ["shop", "shop"]);
    assert_eq!(all(&told, "target"), [json!("eu"), Value::Null]);
    assert_eq!(
        all(&told, "changed"),
        [json!(["code", "environment.API_TOKEN", "environment.REGION"]), json!(["created"])]
    );
    let now = jiff::Timestamp::now();
    let at: jiff::Timestamp = told[0]["at"].as_str().expect("a time").parse().expect("RFC 3339");
    assert!((now.as_second() - at.as_second()).abs() < 3600, "{at}");

    let table = up.then().args(["deployments", "list", "tax"]).run().stdout;
    let short = &commit[..12];
    assert!(
        table.lines().nth(1).is_some_and(|row| row.starts_with("*  2") && row.contains(&format!("{short}+"))),
        "{table}"
    );
    let shown = up.then().args(["deployments", "show", "tax", "1"]).run().stdout;
    assert!(shown.contains(&format!("Commit:      {commit}\n")) || shown.contains(&commit), "{shown}");
    assert!(shown.contains("jane") && !shown.contains("robot"), "{shown}");
    up.then()
        .args(["deployments", "show", "tax", "9"])
        .status(4)
        .stderr("error: tax has no deployment 9\nhint: it has 2, 1\n")
        .run();

    // Back: the code of then, the configuration of now, and both are said.
    let back = up.then().args(["rollout", "undo", "tax", "--to", "1", "--output", "json"]);
    let back = back.stderr_has("deployment 1 had another configuration").stderr_has(&commit).run().json();
    assert_eq!(all(&back, "id"), ["3", "2", "1"]);
    assert_eq!(back[0]["changed"], json!(["back to 1"]));
    assert_eq!(back[0]["artifact"], back[2]["artifact"]);
    up.then().args(["invoke", "tax"]).stdout("one").run();
    // Without --to: what ran before that.
    up.then().args(["rollout", "undo", "tax"]).run();
    up.then().args(["invoke", "tax"]).stdout("two").run();
    assert_eq!(list().json()[0]["changed"], json!(["back to 2"]));
    up.then()
        .args(["rollout", "undo", "tax", "--to", "4"])
        .status(2)
        .stderr_has("deployment 4 of tax ran what runs now")
        .run();
}

#[test]
fn without_git_or_a_stack_file_nothing_is_made_up() {
    let port = free_port();
    let test = Test::new().file("stack.yml", stack(port, "")).file("tax/handler.py", handler("one"));
    let up = test.args(["up"]).run();
    let _stop = Local::of(&up);
    let told = up.then().args(["deployments", "list", "tax", "--output", "json"]).run().json();
    assert_eq!((&told[0]["commit"], &told[0]["by"]), (&Value::Null, &Value::Null), "{told}");
    std::fs::create_dir(up.dir().join("elsewhere")).expect("folder");
    up.then()
        .current_dir("elsewhere")
        .args(["rollout", "undo", "tax", "--to", "1"])
        .status(2)
        .stderr_has("tax is not in the stack file")
        .run();
    up.then().args(["rollout", "undo", "tax"]).status(4).stderr_has("no deployment of tax is remembered").run();
    up.then().args(["deployments", "list", "gone"]).status(4).stderr_has("there is no function gone").run();
}

#[test]
fn what_is_not_kept_any_more_is_said_with_the_commit_to_build_it_from() {
    let port = free_port();
    let test = Test::new().file("stack.yml", stack(port, "")).file("tax/handler.py", handler("0"));
    let commit = committed(&test.dir());
    let up = test.args(["up"]).run();
    let _stop = Local::of(&up);
    for n in 1..4 {
        up.then().file("tax/handler.py", handler(&n.to_string())).args(["up"]).run();
    }
    up.then()
        .args(["rollout", "undo", "tax", "--to", "1"])
        .status(4)
        .stderr_has("what deployment 1 of tax ran is not kept any more")
        .stderr_has(format!("git checkout {commit}"))
        .run();
    up.then().args(["invoke", "tax"]).stdout("3").run();
}
