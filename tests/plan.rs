//! `faas plan`, `--prune` and several targets at a prompt, on the embedded platform.
use crate::support::{Done, Local, Test, free_port};

const ECHO: &str = "def handle(req):\n    return req\n";

fn stack(port: u16, functions: &str) -> String {
    format!("name: shop\nprovider:\n  name: local\n  gateway: http://127.0.0.1:{port}\nfunctions:\n{functions}")
}

fn one(name: &str, more: &str) -> String {
    format!("  {name}:\n    lang: python3\n    handler: ./echo\n{more}")
}

/// What would change of a function: `path before after`.
fn changes(done: &Done, name: &str) -> Vec<String> {
    let rows = done.json();
    let row = rows.as_array().expect("a list").iter().find(|row| row["name"] == name).expect("the function").clone();
    let text = |v: &serde_json::Value| if v.is_null() { "-".to_owned() } else { v.to_string() };
    let all = row["changes"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|c| format!("{} {} {}", c["path"].as_str().unwrap_or_default(), text(&c["before"]), text(&c["after"])))
        .collect()
}

#[test]
fn a_plan_says_field_by_field_what_up_then_does_and_prune_takes_only_what_is_ours() {
    let port = free_port();
    let up = Test::new()
        .file(
            "stack.yml",
            stack(
                port,
                &(one("keep", "    environment: {RATE: 6, API_TOKEN: old, GONE: x}\n    labels: {team: a}\n")
                    + &one("drop", "")),
            ),
        )
        .file("echo/handler.py", ECHO)
        .args(["up"])
        .stderr_has("2 created")
        .run();
    let _stop = Local::of(&up);
    // A stack of another name, of which nothing may be taken.
    let other = stack(port, &one("others", "")).replace("name: shop", "name: other");
    up.then().file("other.yml", other).args(["up", "-f", "other.yml"]).run();

    let after = stack(port, &one("keep", "    environment: {RATE: 7, API_TOKEN: new}\n    labels: {team: b}\n"));
    let plan =
        up.then().file("stack.yml", after).args(["plan", "--prune", "--exit-code", "--output", "json"]).status(3).run();
    assert_eq!(
        changes(&plan, "keep"),
        [
            "environment.API_TOKEN \"(secret)\" \"(secret)\"",
            "environment.RATE \"6\" \"7\"",
            "environment.GONE \"x\" -",
            "labels.team \"a\" \"b\"",
        ]
    );
    let actions: Vec<String> = plan
        .json()
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| format!("{} {}", row["name"], row["action"]))
        .collect();
    assert_eq!(actions, ["\"keep\" \"updated\"", "\"drop\" \"pruned\""]);
    let shown = up.then().args(["plan", "--prune"]).run();
    assert_eq!(
        shown.stdout,
        "~ update keep (its configuration changed)\n    ~ environment.API_TOKEN: changed\n    ~ environment.RATE: \"6\" -> \"7\"\n    - environment.GONE: \"x\"\n    ~ labels.team: \"a\" -> \"b\"\n- prune drop (no longer in the stack)\n"
    );
    assert!(!shown.stdout.contains("new"), "{}", shown.stdout);
    up.then().args(["plan"]).stderr_has("drop is deployed and no longer in the stack: --prune removes it").run();

    up.then().args(["up", "--prune"]).stderr_has("1 updated, 1 pruned").run();
    let left = up.then().args(["list", "--quiet"]).run();
    assert_eq!(left.stdout.lines().collect::<Vec<_>>(), ["keep", "others"]);
    up.then().args(["plan", "--prune", "--exit-code"]).stdout("= leave keep (nothing changed)\n").run();
}

#[test]
fn prune_looks_at_the_whole_stack_or_at_nothing() {
    let test = Test::new().file("stack.yml", stack(1, &one("keep", ""))).file("echo/handler.py", ECHO);
    test.args(["up", "--prune", "--filter", "keep"])
        .status(2)
        .stderr(
            "error: --prune looks at the whole stack, and --filter and --regex at a part of it\n\
             hint: leave one of them out\n",
        )
        .run();
}

#[test]
fn several_targets_are_brought_up_by_one_command_and_one_that_fails_keeps_no_other_back() {
    let port = free_port();
    let targets = "targets:\n  eu: {name: eu, namespace: eu}\n  us: {name: us, namespace: us}\n";
    let text = stack(port, &one("keep", "")) + targets;
    let start = Test::new()
        .file("stack.yml", text)
        .file("echo/handler.py", ECHO)
        .args(["local", "start", "--port", &port.to_string()])
        .run();
    let _stop = Local::of(&start);
    start.then().args(["namespace", "create", "eu"]).run();
    // There is no namespace `us` yet.
    let half = start.then().args(["up", "--target", "us,eu", "--output", "json"]).status(4);
    let half = half.stderr_has("1 of 2 targets failed: us").run();
    let told = half.json();
    assert_eq!((told[0]["target"].as_str(), told[1]["target"].as_str()), (Some("us"), Some("eu")));
    assert_eq!(told[1]["functions"][0]["action"], "created", "{told}");
    start.then().args(["namespace", "create", "us"]).run();
    let whole = start.then().args(["up", "--target", "us,eu"]).run();
    assert!(whole.stdout.contains("us:\n") && whole.stdout.contains("eu:\n"), "{}", whole.stdout);
    let apart = "FUNCTION  ACTION     URL\n";
    assert!(whole.stdout.starts_with("us:\n") && whole.stdout.contains(apart), "{}", whole.stdout);
    assert!(whole.stderr.contains("us: 1 created\n") && whole.stderr.contains("eu: 1 unchanged\n"), "{}", whole.stderr);
    // Each function is told with its target.
    assert!(whole.stderr.contains("us/keep: deployed\n"), "{}", whole.stderr);
    start.then().args(["up", "--target", "eu,asia"]).status(2).stderr_has("stack.yml has no target `asia`").run();

    let gone = start.then().args(["remove", "--target", "us,eu", "--output", "json"]).run().json();
    let removed = |target: &str| serde_json::json!({"target": target, "removed": ["keep"]});
    assert_eq!(gone, serde_json::json!([removed("us"), removed("eu")]));
    start
        .then()
        .args(["remove", "--target", "us,eu"])
        .status(4)
        .stderr_has("error: us: can't remove keep")
        .stderr_has("2 of 2 targets failed: us, eu")
        .run();
}

#[test]
fn targets_that_build_the_same_code_at_once_do_not_disturb_each_other() {
    let port = free_port();
    let names = ["a", "b", "c", "d"];
    let targets: String = names.iter().map(|name| format!("  {name}: {{name: {name}, namespace: {name}}}\n")).collect();
    let text = stack(port, &(one("keep", "") + &one("more", ""))) + "targets:\n" + &targets;
    let start = Test::new()
        .file("stack.yml", text)
        .file("echo/handler.py", ECHO)
        .args(["local", "start", "--port", &port.to_string()])
        .run();
    let _stop = Local::of(&start);
    for name in names {
        start.then().args(["namespace", "create", name]).run();
    }
    let up = start.then().args(["up", "--target", "a,b,c,d", "--output", "json"]).run().json();
    for (nth, name) in names.into_iter().enumerate() {
        assert_eq!(up[nth]["target"], name);
        let actions: Vec<&str> =
            up[nth]["functions"].as_array().expect("all").iter().filter_map(|f| f["action"].as_str()).collect();
        assert_eq!(actions, ["created", "created"], "{up}");
        start.then().args(["invoke", "keep", "--namespace", name]).stdin("x").stdout("x").run();
    }
}

#[test]
fn on_a_terminal_prune_asks_first_and_yes_answers() {
    let port = free_port();
    let up = Test::new()
        .file("stack.yml", stack(port, &(one("keep", "") + &one("drop", ""))))
        .file("echo/handler.py", ECHO)
        .args(["up"])
        .run();
    let _stop = Local::of(&up);
    let left = |names: &[&str]| {
        let list = up.then().args(["list", "--quiet"]).run();
        assert_eq!(list.stdout.lines().collect::<Vec<_>>(), names);
    };
    let ask = |answer: &str| {
        let test = up.then().file("stack.yml", stack(port, &one("keep", ""))).env("TERM", "xterm");
        let mut command = test.args(["up", "--prune"]).command();
        command.env_remove("CI");
        let mut session = rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal");
        session.exp_string("Remove drop, which the stack names no longer?").expect("the question");
        session.send(answer).expect("typed");
        session.flush().expect("typed");
        session.exp_eof().expect("its end")
    };
    let said = ask("n");
    assert!(said.contains("it was left"), "{said}");
    left(&["drop", "keep"]);
    ask("y");
    left(&["keep"]);
    up.then().file("stack.yml", stack(port, &(one("keep", "") + &one("drop", "")))).args(["up"]).run();
    // Nobody is asked without a terminal, or with --yes.
    let test = up.then().file("stack.yml", stack(port, &one("keep", ""))).env("TERM", "xterm");
    let mut command = test.args(["up", "--prune", "--yes"]).command();
    command.env_remove("CI");
    let mut session = rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal");
    let said = session.exp_eof().expect("its end");
    assert!(!said.contains("Remove drop"), "{said}");
    left(&["keep"]);
}

#[test]
fn before_the_first_start_all_is_to_be_created_and_what_is_kept_may_come_back() {
    let port = free_port();
    let test =
        Test::new().file("stack.yml", stack(port, &(one("keep", "") + &one("more", "")))).file("echo/handler.py", ECHO);
    let plan = test.args(["plan"]).stderr_has("the embedded platform does not run: `faas up` starts it\n");
    let plan = plan.stdout("+ create keep (not deployed yet)\n+ create more (not deployed yet)\n").run();
    plan.then().args(["list"]).status(4).stderr_has("error: the embedded platform does not run\n").run();
    plan.then().args(["plan", "-n", "eu"]).status(4).stdout("").stderr_has("more: faas explain E0501\n").run();
    let secret = stack(port, &one("keep", "    secrets: [key]\n"));
    plan.then()
        .file("secret.yml", secret)
        .args(["plan", "-f", "secret.yml"])
        .status(1)
        .stderr_has("a secret is missing")
        .run();
    let up = plan.then().args(["up"]).run();
    let _stop = Local::of(&up);
    up.then().args(["local", "stop"]).run();
    for command in [&["plan"][..], &["plan", "--prune"], &["rollout", "undo", "keep"], &["deploy", "--dry-run"]] {
        up.then()
            .args(command.iter().copied())
            .status(4)
            .stdout("")
            .stderr(
                "error: the embedded platform does not run\nhint: `faas up` and `faas deploy` start it, and so does \
                 `faas local start`\nmore: faas explain E0501\n",
            )
            .run();
    }
    up.then().args(["up"]).run();
    up.then().args(["plan", "--exit-code"]).run();
}

#[test]
fn a_function_of_another_stack_is_taken_over_with_its_owners_name_and_not_removed_by_the_way() {
    let port = free_port();
    let two = |rate: u8| {
        stack(port, &one("tax", &format!("    environment: {{RATE: {rate}}}\n"))).replace("shop", "shop-two")
    };
    let up = Test::new()
        .file("stack.yml", stack(port, &one("tax", "")).replace("shop", "shop-one"))
        .file("echo/handler.py", ECHO)
        .args(["up"])
        .run();
    let _stop = Local::of(&up);
    let warning = "warning: tax: it bears the mark of stack shop-one: stack shop-two takes it over\n";
    up.then()
        .file("two.yml", two(7))
        .args(["plan", "-f", "two.yml"])
        .stdout_has("~ update tax (its configuration changed, and it bears the mark of stack shop-one)\n")
        .stderr_has(warning)
        .run();
    up.then()
        .args(["remove", "-f", "two.yml"])
        .stdout("")
        .stderr_has("tax bears the mark of stack shop-one and was left: `faas remove tax` removes it all the same")
        .run();
    up.then().args(["invoke", "tax"]).stdin("x").stdout("x").run();
    // What is missing is told as ever.
    up.then().file("two.yml", two(7).replace("tax:", "tex:")).args(["remove", "-f", "two.yml"]).status(4).run();
    up.then().file("two.yml", two(7)).args(["up", "-f", "two.yml"]).stderr_has(warning).run();
    // It is theirs now.
    let again = up.then().args(["up", "-f", "two.yml"]).stdout_has("unchanged").run();
    assert!(!again.stderr.contains("mark"), "{}", again.stderr);
    up.then().args(["remove"]).stdout("").stderr_has("mark of stack shop-two").run();
    // A folder's name is no name of the stack's own.
    let unnamed = stack(port, &one("tax", "")).replace("name: shop\n", "");
    let quiet = up.then().file("unnamed.yml", unnamed).args(["plan", "-f", "unnamed.yml"]).run();
    assert!(!quiet.stderr.contains("mark"), "{}", quiet.stderr);
    up.then().args(["remove", "-f", "unnamed.yml"]).stdout("Removed tax.\n").run();
}

#[test]
fn targets_that_can_not_go_together_are_told_before_anything_is_deployed() {
    let port = free_port();
    let targets = "targets:\n  st: {}\n  same: {}\n  hot: {environment: {RATE: 9}}\n  far: {namespace: far, environment: {RATE: 9}}\n  \
        image: {namespace: far, functions: {keep: {skip_build: true, image: x}}}\n";
    let start = Test::new()
        .file("stack.yml", stack(port, &one("keep", "")) + targets)
        .file("echo/handler.py", ECHO)
        .args(["local", "start", "--port", &port.to_string()])
        .run();
    let _stop = Local::of(&start);
    start.then().args(["namespace", "create", "far"]).run();
    for command in ["plan", "up"] {
        start
            .then()
            .args([command, "--target", "st,hot"])
            .status(2)
            .stdout("")
            .stderr_has("error: the targets st and hot lead to the same function keep, with different settings: nothing was changed\nhint: ")
            .run();
        start
            .then()
            .args([command, "--target", "st,image"])
            .status(2)
            .stdout("")
            .stderr_has("error: image: one problem for provider `local`, nothing was changed\n")
            .stderr_has("`keep` is an image, and the embedded platform runs processes\n  --> stack.yml:14:")
            .run();
    }
    start.then().args(["list", "--quiet"]).stdout("").run();
    start
        .then()
        .args(["deploy", "--image", "x", "--name", "y"])
        .status(2)
        .stderr_has("`y` is an image, and the embedded")
        .run();
    start.then().args(["up", "--target", "st,st"]).stdout_has("keep      created").run();
    start.then().args(["up", "--target", "st,same,far"]).stderr_has("far: 1 created\n").run();
}

#[test]
fn a_plan_runs_nothing_of_the_users_and_knows_what_would_be_built() {
    let port = free_port();
    let bundles = |done: &Done| {
        let folder = std::fs::read_dir(done.faas_home().join("data/bundles")).into_iter().flatten().flatten();
        folder.filter(|entry| entry.file_name().to_string_lossy().starts_with("keep-")).count()
    };
    let test = Test::new().file("stack.yml", stack(port, &one("keep", ""))).file("echo/handler.py", ECHO);
    // What a build could not install, nor compile.
    let test = test.file("echo/requirements.txt", "none @ file:///nowhere/at/all\n");
    let first = test.args(["plan"]).stdout("+ create keep (not deployed yet)\n").run();
    assert_eq!(bundles(&first), 0);
    let ready = first.then().file("echo/requirements.txt", "").args(["up"]).run();
    let _stop = Local::of(&ready);
    ready.then().args(["plan", "--exit-code"]).stdout("= leave keep (nothing changed)\n").run();
    let changed = ready.then().file("echo/handler.py", "def handle(req):\n    return (\n").args(["plan"]);
    let changed = changed.stdout_has("~ update keep (the code changed)\n").run();
    assert_eq!(bundles(&changed), 1);
    changed.then().args(["deploy", "--dry-run"]).stdout_has("the code changed").run();
    assert_eq!(bundles(&changed), 1);
    // What changes the result of `up` is taken here, too, and refused alike.
    changed.then().file("echo/handler.py", ECHO).file("more/rates.txt", "6").args(["plan", "--exit-code"]).run();
    changed.then().args(["plan", "--exit-code", "--copy-extra", "more"]).status(3).stdout_has("the code changed").run();
    for command in ["plan", "up"] {
        changed.then().args([command, "-o", "nope"]).status(2).stderr_has("has no build option `nope`").run();
        changed.then().args([command, "-b", "nope"]).status(2).stderr_has("`--build-arg nope` is no KEY=VALUE").run();
    }
}
