//! `faas doctor` at a prompt: what is well is told so, what is not says how to mend it, and only `--fix` changes anything.
use std::os::unix::fs::PermissionsExt;

use crate::support::{Done, Test, free_port};

const LOCAL: &str = "provider: {name: local, gateway: \"http://127.0.0.1:PORT\"}\nfunctions:\n  tax: {lang: python3, handler: ./tax, image: tax}\n";

fn local() -> String {
    LOCAL.replace("PORT", &free_port().to_string())
}

/// The finding about a thing.
fn finding<'j>(findings: &'j serde_json::Value, about: &str) -> &'j serde_json::Value {
    let all = findings.as_array().expect("a list");
    all.iter().find(|finding| finding["about"] == about).unwrap_or_else(|| panic!("nothing about {about}: {findings}"))
}

fn mode(done: &Done, path: &str) -> u32 {
    std::fs::metadata(done.home().join(path)).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_stack_that_can_be_brought_up_is_told_so() {
    let done = Test::new().file("stack.yml", local()).args(["doctor", "--output", "json"]).run();
    let found = done.json();
    assert_eq!(finding(&found, "stack file")["found"], "stack.yml: one function for provider local");
    assert_eq!(finding(&found, "template python3")["state"], "ok");
    assert_eq!(finding(&found, "embedded platform")["state"], "ok");
    assert_eq!(finding(&found, "disk")["state"], "ok");
    let shown = done.then().args(["doctor"]).stdout_has("template python3").stdout_has("python3>=3.").run();
    assert!(shown.stdout.lines().next().expect("a line").starts_with("ok       faas "), "{}", shown.stdout);
}

#[test]
fn what_is_wrong_in_the_stack_file_is_told_with_its_line_and_all_else_is_looked_at() {
    let done = Test::new()
        .file("stack.yml", "functions:\n  tax:\n    lang: [1]\n")
        .args(["doctor", "--output", "json"])
        .status(1)
        .run();
    let stack = finding(&done.json(), "stack file").clone();
    assert_eq!(stack["state"], "broken");
    assert!(stack["found"].as_str().expect("text").contains("stack.yml:3: `lang` must be text"), "{stack}");
    assert_eq!(finding(&done.json(), "disk")["state"], "ok");
    assert!(done.stderr.contains("stack file is not as it should be"), "{}", done.stderr);
}

#[test]
fn a_template_that_is_not_there_and_a_program_that_is_missing_are_told() {
    let wrong = local().replace("python3,", "python4,");
    let done = Test::new().file("stack.yml", wrong).args(["doctor", "--output", "json"]).status(1).run();
    let template = finding(&done.json(), "template python4").clone();
    assert!(template["hint"].as_str().expect("a hint").contains("template/python4/"), "{template}");

    let bare = Test::new()
        .file("stack.yml", local())
        .env("PATH", "/nowhere")
        .args(["doctor", "--output", "json"])
        .status(1)
        .run();
    let python = finding(&bare.json(), "template python3").clone();
    assert!(python["found"].as_str().expect("text").contains("python3 3.9 or newer is needed"), "{python}");
}

#[test]
fn files_of_credentials_are_closed_by_fix_and_not_before() {
    let first = Test::new().args(["doctor", "--output", "json"]).run();
    for path in [".openfaas/config.yml", ".docker/config.json"] {
        let path = first.home().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, "").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("opened");
    }
    let told = first
        .then()
        .args(["doctor"])
        .stdout_has("config.yml (mode 644)")
        .stdout_has("`faas doctor --fix` mends 2")
        .run();
    assert_eq!(mode(&told, ".openfaas/config.yml"), 0o644);

    let mended = first.then().args(["doctor", "--fix"]).stdout_has("mended: set its mode to 600").run();
    assert_eq!((mode(&mended, ".openfaas/config.yml"), mode(&mended, ".docker/config.json")), (0o600, 0o600));
    first.then().args(["doctor"]).stdout_has("all 2 files of credentials are for their owner alone").run();
}

#[test]
fn a_gateway_that_does_not_answer_is_broken_and_ends_nothing_else() {
    let stack = format!(
        "provider: {{name: openfaas, gateway: \"http://127.0.0.1:{}\"}}\nfunctions:\n  tax: {{skip_build: true, image: 127.0.0.1:1/tax}}\n",
        free_port()
    );
    let done = Test::new().file("stack.yml", stack).args(["doctor", "--output", "json"]).status(1).run();
    let found = done.json();
    assert_eq!(finding(&found, "gateway")["state"], "broken");
    assert_eq!(finding(&found, "registry 127.0.0.1:1")["state"], "broken");
    assert!(done.stderr.contains("things are not as they should be"), "{}", done.stderr);
}

#[cfg(feature = "local")]
#[test]
fn what_a_killed_platform_leaves_is_cleared_by_fix() {
    use crate::support::Local;
    let up = Test::new()
        .file("stack.yml", local())
        .file("tax/handler.py", "def handle(req):\n    return req\n")
        .args(["up"])
        .run();
    let _stop = Local::of(&up);
    let running = up.then().args(["doctor", "--output", "json"]).run();
    assert_eq!(finding(&running.json(), "gateway")["state"], "ok");
    assert!(finding(&running.json(), "login")["found"].as_str().expect("text").contains("it knows admin"));

    let state = up.faas_home().join("data/local/running.json");
    let pid = serde_json::from_slice::<serde_json::Value>(&std::fs::read(&state).expect("state")).expect("JSON")["pid"]
        .to_string();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().expect("kill").success());
    while std::path::Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok() {
        std::thread::yield_now();
    }
    let left = up.then().args(["doctor", "--output", "json"]).run();
    let about = finding(&left.json(), "embedded platform").clone();
    assert_eq!(about["state"], "warning", "{about}");
    assert!(about["found"].as_str().expect("text").contains("a file that says it runs"), "{about}");
    assert!(state.exists());

    let fixed = up.then().args(["doctor", "--fix", "--output", "json"]).run();
    let about = finding(&fixed.json(), "embedded platform").clone();
    assert_eq!((about["state"].as_str(), about["fixed"].as_str()), (Some("ok"), Some("removed its state file")));
    assert!(!state.exists());
}

/// The real gateway knows its login, and refuses another.
#[test]
fn a_real_gateway_is_looked_at_with_and_without_its_login() {
    let (Some(url), Some(file)) = (crate::support::bed("OPENFAAS_URL"), crate::support::bed("OPENFAAS_PASSWORD_FILE"))
    else {
        return;
    };
    let password = std::fs::read_to_string(file).expect("password");
    let stack = format!("provider: {{name: openfaas, gateway: \"{url}\"}}\nfunctions: {{}}\n");
    let without = Test::new().file("stack.yml", stack).args(["doctor", "--output", "json"]).status(1).run();
    let found = without.json();
    assert_eq!(finding(&found, "gateway")["state"], "ok");
    assert_eq!(finding(&found, "login")["hint"], format!("faas login --gateway {url}"));

    without.then().args(["login", "--gateway", &url, "--password-stdin"]).stdin(password.trim()).run();
    let with = without.then().args(["doctor", "--output", "json"]).run();
    assert!(finding(&with.json(), "login")["found"].as_str().expect("text").starts_with("it knows admin: "));
    assert_eq!(finding(&with.json(), "clock")["state"], "ok");
}

#[test]
fn a_database_that_is_damaged_is_told_and_moved_away_by_fix() {
    let first = Test::new().file("stack.yml", local()).args(["doctor", "--output", "json"]).run();
    let folder = first.faas_home().join("data/local");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("closed");
    std::fs::write(folder.join("state.redb"), "this is no database").expect("written");
    let told = first.then().args(["doctor", "--output", "json"]).status(1).run();
    let platform = finding(&told.json(), "embedded platform").clone();
    assert!(platform["found"].as_str().expect("text").contains("can't read the database"), "{platform}");
    assert!(platform["hint"].as_str().expect("a hint").contains("move it away"), "{platform}");
    assert!(folder.join("state.redb").is_file());
    first.then().args(["doctor", "--fix"]).stdout_has("mended: moved it to ").run();
    assert!(!folder.join("state.redb").exists());
    let aside = std::fs::read_dir(&folder).expect("the folder").flatten();
    let aside: Vec<String> = aside.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(aside.iter().any(|name| name.starts_with("state.redb.damaged-")), "{aside:?}");
    first.then().args(["doctor"]).stdout_has("`faas up` starts it").run();
}

#[test]
fn a_data_folder_that_nothing_can_be_written_to_is_told() {
    let test = Test::new().file("stack.yml", local()).file("taken", "a file");
    let done = test.env("FAAS_HOME", "taken").args(["doctor", "--output", "json"]).status(1).run();
    let folder = finding(&done.json(), "data folder").clone();
    assert!(folder["found"].as_str().expect("text").contains("is in the way"), "{folder}");
    assert!(folder["hint"].as_str().expect("a hint").contains("FAAS_HOME"), "{folder}");
    // Not even root can write there.
    let done = done.then().env("FAAS_HOME", "/proc/faas").args(["doctor", "--output", "json"]).status(1).run();
    let folder = finding(&done.json(), "data folder").clone();
    assert!(folder["found"].as_str().expect("text").contains("nothing can be written to /proc"), "{folder}");
}

#[test]
fn a_base_image_that_no_registry_gives_and_an_invoker_that_is_not_static_are_told() {
    let port = free_port();
    let stack = format!(
        "provider: {{name: openfaas, gateway: \"http://127.0.0.1:{port}\"}}\nfunctions:\n  img: {{lang: dockerfile, handler: ./img, image: 127.0.0.1:1/me/img}}\n"
    );
    let done = Test::new()
        .file("stack.yml", stack)
        .file("img/Dockerfile", "FROM 127.0.0.1:1/no/base:1\nRUN true\n")
        .env("FAAS_WATCHDOG", "/bin/bash")
        .args(["doctor", "--output", "json"])
        .status(1)
        .run();
    let base = finding(&done.json(), "base image 127.0.0.1:1/no/base:1").clone();
    assert_eq!(base["state"], "broken", "{base}");
    let invoker = finding(&done.json(), "invoker").clone();
    assert_eq!(invoker["state"], "warning", "{invoker}");
    assert!(invoker["found"].as_str().expect("text").contains("/bin/bash is not static"), "{invoker}");
    assert!(invoker["hint"].as_str().expect("a hint").contains("FAAS_WATCHDOG"), "{invoker}");
}
