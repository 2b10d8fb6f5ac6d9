//! Images put together without an engine: languages that are compiled, and templates that extend others; run by an engine
//! afterwards. Needs the test beds (`make test`).

use std::path::Path;
use std::process::Command;

use crate::support::{Test, bed, copy_tree, free_port};

/// A template, the base image of the test beds that it goes on, and whether it takes long.
const LANGUAGES: [(&str, &str, bool); 6] = [
    ("go", "debian:bookworm", false),
    ("typescript", "node:18", false),
    ("python3-http", "python:3.11", false),
    ("node-express", "node:18", false),
    ("java", "java:17", true),
    ("rust", "debian:bookworm", true),
];

fn project(lang: &str, image: &str) -> Test {
    let stack =
        format!("provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: {lang}, handler: ./f, image: \"{image}\"}}\n");
    let handler = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/portability").join(lang);
    let mut test = Test::new()
        .file("stack.yml", stack)
        .layout(|dir| copy_tree(&handler, &dir.join("f")))
        .env("FAAS_ENGINE", "none")
        // No engine may be needed for any of this.
        .env("DOCKER_HOST", "tcp://127.0.0.1:1");
    // Compilers and package managers find what they keep in the home of whoever runs the tests.
    let home = std::env::var("HOME").unwrap_or_default();
    for (name, folder) in [
        ("RUSTUP_HOME", ".rustup"),
        ("CARGO_HOME", ".cargo"),
        ("npm_config_cache", ".npm"),
        ("GOCACHE", ".cache/go-build"),
    ] {
        test = test.env(name, std::env::var(name).unwrap_or_else(|_| format!("{home}/{folder}")));
    }
    test
}

#[test]
fn compiled_and_extended_languages_are_put_together_alike_and_answer() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let full = std::env::var_os("FAAS_TEST_FULL").is_some();
    for (lang, base, slow) in LANGUAGES {
        if slow && !full {
            eprintln!("{lang}: with `make test-full` only");
            continue;
        }
        if base.starts_with("java") {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beds/openfaas/base-images.sh");
            assert!(Command::new(script).arg("java").status().unwrap().success());
        }
        let image = format!("{registry}/test/engineless-{lang}-{}", std::process::id());
        let base = format!("BASE={registry}/base/{base}");
        let build = |test: Test| test.args(["build", "--output", "json", "-b", &base]).run();
        let digest = |done: &crate::support::Done| done.json()[0]["artifact"]["digest"].as_str().unwrap().to_owned();
        let one = build(project(lang, &image));
        // Another folder, another home, another cache.
        assert_eq!(digest(&one), digest(&build(project(lang, &image))), "{lang} is not the same twice");
        assert_eq!(build(one.then()).json()[0]["rebuilt"], false, "{lang}");
        one.then().arg("push").run();

        let name = format!("faas-engineless-{lang}-{}", std::process::id());
        let port = free_port();
        let docker = |args: &[&str]| Command::new("docker").args(args).output().unwrap();
        let publish = format!("127.0.0.1:{port}:8080");
        let started = docker(&["run", "-d", "--name", &name, "-p", &publish, &image]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let answer = answer(port);
        let log = docker(&["logs", &name]);
        docker(&["rm", "-f", &name]);
        docker(&["rmi", "-f", &image]);
        assert_eq!(answer.as_deref(), Some("hello"), "{lang}: {}", String::from_utf8_lossy(&log.stderr));
    }
}

/// What a function answers to `hello`, once it answers.
fn answer(port: u16) -> Option<String> {
    for _ in 0..100 {
        let address = format!("http://127.0.0.1:{port}/echo");
        let asked = Command::new("curl").args(["-fsS", "-m", "5", "-d", "hello", &address]).output().unwrap();
        if asked.status.success() {
            return Some(String::from_utf8_lossy(&asked.stdout).into_owned());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    None
}

#[test]
fn a_compiled_language_whose_template_does_not_say_how_is_refused() {
    Test::new()
        .file(
            "stack.yml",
            "provider: {name: openfaas}\nfunctions:\n  f: {lang: own, handler: ./f, image: r.example/f}\n",
        )
        .file("template/own/template.yml", "language: own\nnative: {build: [make], run: ./f}\nimage: {base: scratch}\n")
        .file("f/f.c", "")
        .args(["build", "--engine", "none"])
        .status(6)
        .stderr_has("f: lang own is compiled, and its template does not say how for an image")
        .run();
    let with_agent = Test::new()
        .file(
            "stack.yml",
            "provider: {name: openfaas}\nfunctions:\n  f: {lang: bash, handler: ./f, image: r.example/f}\n",
        )
        .file("f/handler.sh", "cat\n")
        .file("key", "");
    let refused = with_agent.args(["build", "--engine", "none", "--ssh", "default=key"]).status(6);
    refused.stderr_has("f: the ssh agent `default` needs a container engine").run();
}
