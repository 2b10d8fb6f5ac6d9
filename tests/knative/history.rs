//! What the cluster remembers of each deployment, the way back to one of them, and what a stack names no longer.
use serde_json::{Value, json};

use super::bed::*;
use crate::history::{all, committed};

#[tokio::test]
async fn revisions_remember_who_deployed_them_from_which_commit_and_undo_takes_one_of_them() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "history").await;
    let stack = |version: &str, more: &str| format!("name: shop\n{}{more}", place.stack("echo", version));
    let test = place.prompt().file("stack.yml", stack("1", ""));
    let commit = committed(&test.dir());
    let first = test.env("USER", "jane").env("GITHUB_ACTOR", "").args(["deploy", "--timeout", "5m"]).run();
    let token = "      TOKEN: hunter2\n";
    let deploy = |version: &str, more: &str| {
        let then = first.then().file("stack.yml", stack(version, more)).env("GITHUB_ACTOR", "robot");
        then.args(["deploy", "--timeout", "5m"])
    };
    deploy("2", token).stdout_has("updated").run();
    deploy("2", token).stdout_has("unchanged").run();

    let list = || first.then().args(["deployments", "list", "echo", "--output", "json"]).run();
    let told = list();
    assert!(!told.stdout.contains("hunter2"), "{}", told.stdout);
    let told = told.json();
    assert_eq!(all(&told, "id"), ["echo-00002", "echo-00001"]);
    assert_eq!(all(&told, "serves"), [true, false]);
    assert_eq!(all(&told, "by"), ["robot", "jane"]);
    assert_eq!(all(&told, "commit"), [commit.as_str(), commit.as_str()]);
    assert_eq!(all(&told, "dirty"), [json!(true), Value::Null]);
    assert_eq!(all(&told, "stack"), ["shop", "shop"]);
    assert_eq!(all(&told, "changed"), [json!(["environment.TOKEN", "environment.VERSION"]), json!(["created"])]);
    let shown = first.then().args(["deployments", "show", "echo", "1"]).run().stdout;
    assert!(shown.contains(&commit) && shown.contains("jane") && !shown.contains("robot"), "{shown}");
    first.then().args(["deployments", "show", "echo", "9"]).status(4).stderr_has("it has echo-00002, echo-00001").run();

    // What makes no revision is no deployment of its own; the record stays that of the revision.
    first
        .then()
        .file("stack.yml", stack("2", token) + "    topic: shop.order.placed\n")
        .args(["deploy", "--timeout", "5m"])
        .stdout_has("updated")
        .run();
    assert_eq!(all(&list().json(), "id"), ["echo-00002", "echo-00001"]);

    // Back, and told so wherever somebody looks.
    let back = first.then().args(["rollout", "undo", "echo", "--to", "1"]).run();
    assert!(back.stdout.contains("echo-00001") && back.stderr.contains("until the next deployment"), "{}", back.stderr);
    assert_eq!(all(&list().json(), "serves"), [false, true]);
    let serves = first.then().args(["deployments", "show", "echo"]).run().stdout;
    assert!(serves.contains("jane"), "{serves}");
    assert_eq!(place.call("echo", "/", "").await.1["version"], json!("1"));
    // A deployment that changes nothing doesn't bring back what somebody went away from, and says so.
    let again = first.then().args(["deploy"]).stdout_has("unchanged");
    again.stderr_has("the traffic stays where it was put (echo-00001 100 %): `faas rollout promote echo`").run();
    first.then().args(["rollout", "undo", "echo", "--to", "9"]).status(4).stderr_has("has no revision 9").run();

    // What another tool deployed has no record, and is in the list all the same.
    let patch = r#"{"spec": {"template": {"metadata": {"annotations": {"note": "x", "faas.dev/deployment": null}}}}}"#;
    place.kubectl_output(&["patch", "ksvc", "echo", "--type=merge", "--field-manager=kn", "-p", patch]);
    place.kubectl_output(&["wait", "--for=condition=ConfigurationsReady", "ksvc/echo", "--timeout=180s"]);
    let told = list().json();
    assert_eq!(all(&told, "id"), ["echo-00003", "echo-00002", "echo-00001"]);
    assert_eq!(all(&told, "by"), [Value::Null, json!("robot"), json!("jane")]);

    // A revision that gets no traffic gets no pods, either.
    let scale = |to: &str| first.then().args(["scale", "echo", to]).stdout(format!("Scaled echo to {to}.\n"));
    scale("2").stderr_has("the traffic stays where it was put").stderr_has("what was scaled gets none").run();
    scale("0").run();
}

#[tokio::test]
async fn what_a_stack_names_no_longer_is_pruned_and_what_others_deployed_stays() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "prune").await;
    let stack = |name: &str, functions: &[&str]| {
        let image = &place.bed.image;
        let one = |f: &&str| format!("  {f}: {{skip_build: true, image: '{image}'}}\n");
        format!(
            "name: {name}\nprovider: {{name: knative}}\nfunctions:\n{}",
            functions.iter().map(one).collect::<String>()
        )
    };
    let prompt = |stack: String, args: &[&str]| {
        place.prompt().file("stack.yml", stack).args(args.iter().map(ToString::to_string))
    };
    prompt(stack("shop", &["keep", "drop"]), &["deploy", "--timeout", "5m"]).run();
    prompt(stack("till", &["other"]), &["deploy", "--timeout", "5m"]).run();
    let theirs = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "theirs",
        "annotations": {"faas.dev/stack": "shop"}},
        "spec": {"template": {"spec": {"containers": [{"image": place.bed.image}]}}}});
    place.create(&theirs);

    let shop = || stack("shop", &["keep"]);
    prompt(shop(), &["plan"]).stderr_has("drop is deployed and no longer in the stack").run();
    prompt(shop(), &["plan", "--prune", "--exit-code"]).status(3).stdout_has("- prune drop").run();
    prompt(shop(), &["deploy", "--prune"]).stdout_has("drop").stderr_has("1 pruned").run();
    prompt(shop(), &["list", "-q"]).stdout("keep\nother\n").run();
    prompt(shop(), &["list", "-q", "--all"]).stdout("keep\nother\ntheirs\n").run();
    prompt(shop(), &["plan", "--prune", "--exit-code"]).run();
}
