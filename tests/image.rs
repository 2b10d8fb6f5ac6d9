//! Images by a real engine, pushed to a real registry. Needs the test beds (`make test`).
#![cfg(feature = "image")]
mod support;

use support::{Done, Test, bed};

/// The registry, and a name in it that no other run uses.
fn image(name: &str) -> Option<(String, String)> {
    let registry = bed("FAAS_REGISTRY")?;
    let image = format!("{registry}/test/{name}-{}", std::process::id());
    Some((registry, image))
}

fn engine(test: Test) -> Test {
    match std::env::var("DOCKER_HOST") {
        Ok(host) => test.env("DOCKER_HOST", host),
        Err(_) => test,
    }
}

fn build(test: Test) -> Test {
    engine(test).arg("build")
}

fn project(base: &str, image: &str) -> Test {
    Test::new()
        .file(
            "stack.yml",
            format!(
                "provider: {{name: openfaas}}\nfunctions:\n  tax:\n    lang: dockerfile\n    handler: ./tax\n    \
                 image: {image}\n    build_args: {{BASE: {base}}}\n"
            ),
        )
        .file(
            "tax/Dockerfile",
            "ARG BASE\nFROM ${BASE}\nARG WORD=none\nRUN echo word=$WORD > /word\nCOPY . /home/app\n",
        )
        .file("tax/a.txt", "a")
}

fn digest(done: &Done) -> String {
    done.json()[0]["artifact"]["digest"].as_str().expect("a digest").to_owned()
}

fn json(done: &Done, args: &[&str]) -> Done {
    build(done.then()).args(args).args(["--output", "json"]).run()
}

#[test]
fn an_image_is_built_pushed_and_left_alone() {
    let Some((registry, image)) = image("life") else { return };
    let base = format!("{registry}/base/debian:bookworm");
    let done = build(project(&base, &image)).stderr_has(format!("tax: built {image}:latest in")).run();
    assert!(done.stderr.contains("Step 1/"), "{}", done.stderr);
    assert!(done.read("build/logs/tax.log").contains("Successfully built"));
    build(done.then()).stderr("tax: unchanged\n").run();
    let id = digest(&json(&done, &[]));

    let pushed = engine(done.then()).args(["push", "--output", "json"]).run();
    let in_registry = pushed.json()[0]["digest"].as_str().unwrap().to_owned();
    assert_ne!(in_registry, id);
    assert_eq!(digest(&json(&done, &[])), in_registry, "once it is pushed, the registry's digest counts");

    std::fs::write(done.dir().join("tax/a.txt"), "b").unwrap();
    let changed = json(&done, &[]);
    assert_eq!(changed.json()[0]["rebuilt"], true);
    assert_ne!(digest(&changed), in_registry);
    // Another argument is another image, and so is another label; then all is as it was.
    assert_eq!(json(&done, &["-b", "WORD=hi"]).json()[0]["rebuilt"], true);
    assert_eq!(json(&done, &["-b", "WORD=hi"]).json()[0]["rebuilt"], false);
    assert_eq!(json(&done, &["-b", "WORD=hi", "--build-label", "a=b"]).json()[0]["rebuilt"], true);
    assert_eq!(json(&done, &["-b", "WORD=hi", "--build-label", "a=b", "--no-cache"]).json()[0]["rebuilt"], true);
}

#[test]
fn a_tag_may_come_from_the_content_or_from_git() {
    let Some((registry, image)) = image("tag") else { return };
    let base = format!("{registry}/base/debian:bookworm");
    let done = build(project(&base, &image)).args(["--tag", "digest", "--output", "json"]).run();
    let reference = done.json()[0]["artifact"]["reference"].as_str().unwrap().to_owned();
    let (name, tag) = reference.rsplit_once(':').unwrap();
    assert_eq!((name, tag.len()), (image.as_str(), 32));
    let git = |args: &[&str]| {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(done.dir())
            .status()
            .unwrap();
        assert!(status.success(), "git {args:?}");
    };
    git(&["init", "-q", "-b", "feature/x"]);
    git(&["commit", "-q", "--allow-empty", "-m", "one"]);
    let branch = json(&done, &["--tag", "branch"]);
    let reference = branch.json()[0]["artifact"]["reference"].as_str().unwrap().to_owned();
    assert!(reference.starts_with(&format!("{image}:latest-feature-x-")), "{reference}");
}

#[test]
fn a_step_that_fails_is_shown() {
    let Some((registry, image)) = image("fails") else { return };
    let done = build(project(&format!("{registry}/base/debian:bookworm"), &image))
        .file("tax/Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN echo early\n\nRUN echo about to fail; exit 3\n")
        .status(1)
        .stderr_has("tax: the image can't be built")
        .stderr_has("build/tax/Dockerfile:5: RUN echo about to fail; exit 3\nabout to fail")
        .stderr_has("returned a non-zero code: 3")
        .stderr_has("build/logs/tax.log")
        .run();
    let error = done.stderr.split("error: ").nth(1).unwrap().to_owned();
    assert!(!error.contains("early"), "only the failing step is shown: {error}");
}

#[test]
fn explain_says_what_changed() {
    let Some((registry, image)) = image("explain") else { return };
    let base = format!("{registry}/base/debian:bookworm");
    let explain = |test: Test| build(test).arg("--explain");
    let done = explain(project(&base, &image)).stderr_has("tax: is built because nothing is known of an").run();
    explain(done.then()).stderr("tax: unchanged\n").run();
    explain(done.then())
        .file("tax/a.txt", "b")
        .file("tax/b.txt", "b")
        .args(["-b", "WORD=hi"])
        .stderr_has("tax: is built because a.txt changed; b.txt is new; the build argument WORD is new\n")
        .run();
    explain(done.then()).args(["-b", "WORD=hi", "--no-cache"]).stderr_has("because --no-cache asks for it\n").run();
}

#[test]
fn others_go_on_unless_fail_fast() {
    let Some((registry, image)) = image("others") else { return };
    let base = format!("{registry}/base/debian:bookworm");
    let test = Test::new()
        .file(
            "stack.yml",
            format!(
                "provider: {{name: openfaas}}\nfunctions:\n  bad: {{lang: dockerfile, handler: ./bad, image: {image}-bad}}\n  \
                 good: {{lang: dockerfile, handler: ./good, image: {image}-good}}\n"
            ),
        )
        .file("bad/Dockerfile", format!("FROM {base}\nRUN exit 7\n"))
        .file("good/Dockerfile", format!("FROM {base}\nRUN sleep 1\n"));
    let done = build(test).args(["--fail-fast", "--parallel", "2"]).status(1).run();
    assert!(done.stderr.contains("1 of 2 functions did not build, 1 more given up by --fail-fast"), "{}", done.stderr);
    assert!(!done.stderr.contains("good: built"), "{}", done.stderr);
    build(done.then()).status(1).stderr_has("good: built").stderr_has("1 of 2 functions did not build:").run();
}

#[test]
fn what_dockerignore_names_stays_out() {
    let Some((registry, image)) = image("ignore") else { return };
    build(project(&format!("{registry}/base/debian:bookworm"), &image))
        .file("tax/.dockerignore", "secret\n!secret/not\n*.md\n**/deep\n")
        .file("tax/secret/x", "x")
        .file("tax/secret/not", "x")
        .file("tax/a.md", "x")
        .file("tax/sub/b.md", "x")
        .file("tax/sub/deep/x", "x")
        .file(
            "tax/Dockerfile",
            "ARG BASE\nFROM ${BASE}\nCOPY . /app\nRUN set -e; cd /app; find .; test ! -e secret/x; \
             test -e secret/not; test ! -e a.md; test -e sub/b.md; test ! -e sub/deep; test -e a.txt\n",
        )
        .run();
}

#[test]
fn a_push_that_is_refused_says_why() {
    let Some((_, image)) = image("never-built") else { return };
    engine(project("x", &image)).arg("push").status(4).stderr_has("build it first").run();
    engine(project("x", "tax")).arg("push").status(2).stderr_has("names no registry to push to").run();
}

#[test]
fn templates_build_with_a_base_of_ones_own() {
    let Some((registry, image)) = image("lang") else { return };
    for (lang, base, file, handler) in [
        ("python3", "python:3.11", "handler.py", "def handle(req):\n    return req\n"),
        ("node", "node:18", "handler.js", "module.exports = async (req) => req;\n"),
        ("bash", "debian:bookworm", "handler.sh", "cat\n"),
    ] {
        let package = "{\"dependencies\": {}}";
        let mut test = Test::new()
            .file(
                "stack.yml",
                format!(
                    "provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: {lang}, handler: ./f, image: \"{image}-{lang}\"}}\n"
                ),
            )
            .file(format!("f/{file}"), handler)
            .file("f/package.json", package);
        if std::env::var_os("FAAS_WATCHDOG").is_none() {
            // What is in the image is started elsewhere; here it only has to be built.
            test = test.file("faas-watchdog", "#!/bin/sh\n");
            let path = test.dir().join("faas-watchdog").display().to_string();
            test = test.env("FAAS_WATCHDOG", path);
        }
        let done = build(test).args(["-b", &format!("BASE={registry}/base/{base}")]).run();
        assert!(done.stderr.contains("f: built"), "{}", done.stderr);
    }
}
