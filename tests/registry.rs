//! Registries, with and without an engine: logins, certificates, retries, digests. Needs the test beds (`make test`).
#![cfg(feature = "image")]
mod support;

#[path = "support/registry.rs"]
mod own;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use own::{Kind, PASSWORD, Registry, USER};
use support::{Done, Test, bed};

/// A project with one function whose image is nothing but a file.
fn small(image: &str) -> Test {
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  tax: {{lang: dockerfile, handler: ./tax, image: \"{image}\"}}\n"
    );
    let test = Test::new()
        .file("stack.yml", stack)
        .file("tax/Dockerfile", "FROM scratch\nCOPY a.txt /\n")
        .file("tax/a.txt", image);
    match std::env::var("DOCKER_HOST") {
        Ok(host) => test.env("DOCKER_HOST", host),
        Err(_) => test,
    }
}

/// A name that no other run uses; the image is removed from the engine in the end.
struct Image(String);

impl Image {
    fn new(host: &str, name: &str) -> Self {
        Self(format!("{host}/test/{name}-{}", std::process::id()))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["rmi", "-f", &self.0]).output();
    }
}

fn push(done: &Done) -> Test {
    done.then().arg("push")
}

#[test]
fn what_the_registry_has_is_not_pushed_again() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let image = Image::new(&registry.host, "again");
    let done = small(&image.0).arg("build").run();
    let first = push(&done).args(["--output", "json"]).run().json();
    assert_eq!(first[0]["sent"], true);
    let again = push(&done).args(["--output", "json"]).stderr_has("the registry has").run().json();
    assert_eq!((&again[0]["sent"], &again[0]["digest"]), (&false.into(), &first[0]["digest"]));
    // By digest: what is deployed is named by what was pushed, and `deploy` asks the registry.
    let up = ["up", "--skip-deploy", "--digest", "--output", "json"];
    let pinned = format!("{}@{}", image.0, first[0]["digest"].as_str().unwrap());
    assert_eq!(done.then().args(up).run().json()[0]["artifact"]["reference"], pinned.as_str());
    let skip = done.then().args(up).arg("--skip-push").run().json();
    assert_eq!(skip[0]["artifact"]["reference"], pinned.as_str(), "the registry is asked");
    // What changed is sent.
    std::fs::write(done.dir().join("tax/a.txt"), "b").unwrap();
    done.then().arg("build").run();
    assert_eq!(push(&done).args(["--output", "json"]).run().json()[0]["sent"], true);
}

#[test]
fn logins_come_from_docker_and_its_helpers_and_registry_login() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Login);
    let image = Image::new(&registry.host, "login");
    let done = small(&image.0).arg("build").run();
    push(&done).status(5).stderr_has(format!("no login is saved for it: `docker login {}`", registry.host)).run();

    let login = |password: &str| {
        let args = ["registry-login", "--server", registry.host.as_str(), "-u", USER, "--password-stdin"];
        done.then().args(args).stdin(password).run()
    };
    login("wrong").stdout.contains("OK").then_some(()).expect("told");
    push(&done).status(5).stderr_has("the saved login was refused").run();
    login(PASSWORD);
    let mode = std::fs::metadata(done.dir().join("credentials/config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    push(&done).stderr_has("pushed").run();
    std::fs::remove_dir_all(done.dir().join("credentials")).unwrap();
    push(&done).status(5).run();

    // docker's own file, and the programs that it names.
    let docker = done.dir().join("docker");
    std::fs::create_dir_all(docker.join("bin")).unwrap();
    let helper = |name: &str, script: &str| {
        let path = docker.join("bin").join(format!("docker-credential-{name}"));
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    helper(
        "good",
        &format!(
            "#!/bin/sh\nread server\n[ \"$1 $server\" = \"get {}\" ] || {{ echo credentials not found; exit 1; }}\n\
             echo '{{\"ServerURL\": \"x\", \"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'\n",
            registry.host
        ),
    );
    helper("bad", "#!/bin/sh\nread server\necho the vault is sealed >&2\nexit 1\n");
    let path = format!("{}:{}", docker.join("bin").display(), std::env::var("PATH").unwrap());
    let with = |config: String| {
        std::fs::write(docker.join("config.json"), config).unwrap();
        push(&done).env("DOCKER_CONFIG", docker.display().to_string()).env("PATH", &path)
    };
    let host = &registry.host;
    let auth = "bWU6aHVudGVyMg==";
    with(format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{auth}\"}}}}}}")).run();
    with(format!("{{\"credHelpers\": {{\"{host}\": \"good\"}}}}")).run();
    with("{\"credsStore\": \"good\"}".into()).run();
    with("{\"credHelpers\": {\"other.example\": \"good\"}}".into()).status(5).run();
    with("{\"credsStore\": \"bad\"}".into()).status(1).stderr_has("the vault is sealed").run();
    with("{\"credsStore\": \"none-such\"}".into()).status(1).stderr_has("not in PATH").run();
}

#[test]
fn a_registry_that_comes_back_is_tried_again() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let mut registry = Registry::stopped(Kind::Plain);
    let image = Image::new(&registry.host, "back");
    let done = small(&image.0).arg("build").run();
    let mut child = push(&done).spawn();
    drop(child.stdin.take());
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains("trying again in")), "it gives up at once");
    registry.start();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("tax: pushed")), "{rest:?}");
}

#[test]
fn names_that_are_none_are_refused_before_anything_is_asked() {
    for (image, hint) in [
        ("r.example/Me/tax", "names are in lower case: r.example/me/tax"),
        ("tax", "names no registry to push to"),
        ("r.example/tax:-x", "is no name for an image"),
    ] {
        small(image).arg("push").env("DOCKER_HOST", "tcp://127.0.0.1:1").status(2).stderr_has(hint).run();
    }
    small("r.example/Me/tax").arg("build").env("DOCKER_HOST", "tcp://127.0.0.1:1").status(2).run();
}

#[test]
fn registry_login_writes_what_faas_cli_writes_and_keeps_other_logins() {
    let done = Test::new().args(["registry-login", "-u", "me", "--password", "p"]).stdout_has("OK").run();
    let read = |done: &Done| serde_json::from_str::<serde_json::Value>(&done.read("credentials/config.json")).unwrap();
    assert_eq!(read(&done), serde_json::json!({"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cA=="}}}));
    assert!(!done.stderr.contains("p@") && !done.stdout.contains("bWU6cA"));
    let server = ["registry-login", "--server", "https://r.example", "-u", "me", "-s"];
    let two = done.then().args(server).stdin("q\n").run();
    assert_eq!(read(&two)["auths"].as_object().unwrap().len(), 2);
    assert_eq!(read(&two)["auths"]["https://r.example"]["auth"], "bWU6cQ==");

    let ecr = ["registry-login", "--ecr", "--account-id", "123", "--region", "eu-west-1"];
    let ecr = Test::new().args(ecr).run();
    let helper = serde_json::json!({"123.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login"});
    assert_eq!(read(&ecr), serde_json::json!({"credsStore": "ecr-login", "credHelpers": helper}));
    Test::new().args(["registry-login", "--ecr", "--account-id", "1"]).status(2).stderr_has("needs --region").run();
    Test::new().args(["registry-login"]).status(2).stderr_has("no user is given").run();
    Test::new().args(["registry-login", "-u", "me"]).status(2).stderr_has("no password is given").run();
    Test::new().args(["registry-login", "-u", "me", "-s"]).stdin("").status(2).stderr_has("is empty").run();
    let odd = Test::new().file("credentials/config.json", "[]").args(["registry-login", "-u", "me", "--password", "p"]);
    odd.status(2).stderr_has("no file of logins").run();
}
