//! `config view`, `target`, `explain`, files of variables, and the habits of every command, at a prompt.
use crate::support::Test;

const STACK: &str = "\
version: 1.0
provider: {name: openfaas, gateway: \"http://gw.example.com\"}
functions:
  tax:
    lang: python3
    handler: ./tax
    image: ${REGISTRY:-docker.io}/tax:${TAG}
    environment: {RATE: 7, DB_PASSWORD: hunter2}
    secrets: [key]
targets:
  prod:
    provider: {name: lambda, gateway: null}
    functions:
      tax: {timeout: 1m}
";

#[test]
fn the_effective_stack_is_shown_with_where_each_value_comes_from() {
    let first = Test::new()
        .file("tax/handler.py", "def handle(req): return req")
        .file("stack.yml", STACK)
        .env("TAG", "1.2")
        .args(["config", "view", "--target", "prod"])
        .stdout(
            "name: work                                # default\n\
             version: 1.0                              # stack.yml:1\n\
             provider:\n\
             \x20 name: lambda                            # stack.yml:12 (target prod)\n\
             functions:\n\
             \x20 tax:\n\
             \x20   lang: python3                         # stack.yml:5\n\
             \x20   handler: ./tax                        # stack.yml:6\n\
             \x20   image: docker.io/tax:1.2              # stack.yml:7 ($REGISTRY, $TAG)\n\
             \x20   environment:\n\
             \x20     RATE: 7                             # stack.yml:8\n\
             \x20     DB_PASSWORD: \"(secret)\"             # stack.yml:8\n\
             \x20   secrets:\n\
             \x20     - key                               # stack.yml:9\n\
             \x20   timeout: \"1m\"                         # stack.yml:14 (target prod)\n",
        );
    let first = first.run();
    // What it prints is a stack file.
    first.then().file("again.yml", first.stdout.clone()).args(["validate", "-f", "again.yml"]).run();
    let json = first.then().args(["config", "view", "--output", "json"]).run();
    assert!(!json.stdout.contains("hunter2"));
    let name = json.json().as_array().expect("a list").iter().find(|v| v["path"][0] == "name").expect("name").clone();
    assert_eq!(name["from"], "default");
}

#[test]
fn targets_are_listed_and_shown() {
    let first = Test::new()
        .file("stack.yml", STACK)
        .env("TAG", "1")
        .args(["target", "list"])
        .stdout("TARGET  PROVIDER  FUNCTIONS  GATEWAY\nprod    lambda    1\n");
    let first = first.run();
    first.then().args(["target", "show", "prod"]).stdout_has("name: lambda").stdout_has("timeout: \"1m\"").run();
    first.then().args(["target", "show", "prood"]).status(2).stderr_has("did you mean `prod`?").run();
}

#[test]
fn variables_come_from_the_environment_then_the_targets_file_then_the_file() {
    let image = |test: Test| {
        let done = test.args(["config", "view", "--output", "json"]).run();
        let all = done.json();
        let image = all.as_array().expect("a list").iter().find(|v| v["path"][2] == "image").expect("image").clone();
        (image["value"].as_str().expect("text").to_owned(), done)
    };
    let (value, done) = image(
        Test::new()
            .file("stack.yml", STACK)
            .file(".env", "# ours\nREGISTRY=r.example.com\nTAG='from file'\n".replace(" ", "")),
    );
    assert_eq!(value, "r.example.com/tax:fromfile");
    let prod = done.then().file(".env.prod", "TAG=prod\n").args(["--target", "prod"]);
    assert_eq!(image(prod).0, "r.example.com/tax:prod");
    assert_eq!(image(done.then().env("TAG", "shell").args(["--target", "prod"])).0, "r.example.com/tax:shell");
    assert_eq!(image(done.then().file("ci.env", "TAG=ci\n").args(["--env-file", "ci.env"])).0, "docker.io/tax:ci");
    done.then().args(["validate", "--env-file", "nowhere"]).status(2).stderr_has("can't read").run();
    let broken =
        done.then().file("bad.env", "A=1\nsecret words here\n").args(["validate", "--env-file", "bad.env"]).status(2);
    let broken = broken.stderr_has("bad.env is no file of variables (line 2)").run();
    assert!(!broken.stderr.contains("secret words"), "{}", broken.stderr);
}

#[test]
fn a_key_is_explained() {
    Test::new()
        .args(["explain", "functions.tax.timeout"])
        .stdout(
            "functions.NAME.timeout: a duration as 30s or 1h2m, or a number of seconds\n\n  \
             How long one call may take. The same as `exec_timeout` in `environment`, and beats it.\n  \
             A target may set it for all functions at once: targets.NAME.timeout\n\n  \
             For example:\n\n    functions:\n      tax:\n        timeout: 30s\n",
        )
        .run();
    Test::new().args(["explain", "timout"]).status(4).stdout("").stderr_has("did you mean `timeout`?").run();
    Test::new()
        .args(["explain", "--schema"])
        .stdout_has("\"$schema\": \"http://json-schema.org/draft-07/schema#\"")
        .run();
}

#[test]
fn stderr_is_json_lines_where_that_is_asked_for() {
    let done = Test::new()
        .file("stack.yml", "provider: {name: openfaas}\nfunctions:\n  a: {imagee: x, image: y}\n")
        .args(["validate", "--log-format", "json"])
        .run();
    for line in done.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["level"].is_string() && line["time"].is_string(), "{line}");
    }
    Test::new()
        .args(["up", "--log-format", "json"])
        .status(2)
        .stderr_has("\"level\":\"error\"")
        .stderr_has("there is no stack.yaml")
        .run();
}

#[test]
fn requests_are_told_by_vv_and_passwords_are_not() {
    let stack = "provider: {name: openfaas, gateway: \"http://me:geheim@127.0.0.1:1\"}\nfunctions: {}\n";
    let done = Test::new().file("stack.yml", stack).args(["list", "-vvv"]).status(1).run();
    assert!(!done.stderr.contains("geheim"), "{}", done.stderr);
}

#[test]
fn colour_follows_no_color_and_clicolor_force() {
    let error = || Test::new().args(["up"]).status(2);
    assert!(!error().run().stderr.contains('\u{1b}'));
    assert!(error().env("CLICOLOR_FORCE", "1").run().stderr.contains('\u{1b}'));
    assert!(!error().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").run().stderr.contains('\u{1b}'));
    assert!(!error().env("CLICOLOR_FORCE", "1").arg("--plain").run().stderr.contains('\u{1b}'));
}

#[test]
fn man_pages_are_written() {
    let done = Test::new().args(["man", "out"]).stdout_has("faas-up.1").run();
    assert!(done.read("out/faas-secret-create.1").contains(".TH FAAS-SECRET-CREATE 1"));
}

#[test]
fn a_file_of_variables_may_be_an_editors_of_windows() {
    let stack = "provider: {name: local}\nfunctions:\n  tax: {lang: python3, handler: ./tax, image: \"tax:${TAG}\"}\n";
    let done = Test::new()
        .file("stack.yml", stack)
        .file("tax/handler.py", "")
        .file(".env", "\u{feff}TAG=one\r\nOTHER=two\r\n")
        .args(["config", "view"])
        .stdout_has("tax:one")
        .run();
    done.then()
        .file(".env", "\u{feff}TAG=one\r\nno line\r\n")
        .args(["validate"])
        .status(2)
        .stderr_has("(line 2)")
        .run();
}
