//! Images by a real engine, pushed to a real registry. Needs the test beds (`make test`).

use crate::support::{Done, Test, bed};

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
    assert!(done.read("build/logs/tax.log").contains("writing image sha256:"));
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
        .stderr_has("exit code: 3")
        .stderr_has("build/logs/tax.log")
        .run();
    let only_the_failing_step = |done: &Done| {
        let error = done.stderr.split("error: ").nth(1).unwrap().to_owned();
        assert!(!error.contains("early"), "{error}");
    };
    only_the_failing_step(&done);
    let done = build(done.then())
        .env("DOCKER_BUILDKIT", "0")
        .status(1)
        .stderr_has("build/tax/Dockerfile:5: RUN echo about to fail; exit 3\nabout to fail")
        .stderr_has("returned a non-zero code: 3")
        .run();
    only_the_failing_step(&done);
    build(done.then())
        .file("tax/Dockerfile", "ARG BASE\nFROM ${BASE}\nNONSENSE\n")
        .status(1)
        .stderr_has("build/tax/Dockerfile:3")
        .run();
}

#[test]
fn the_classic_builder_is_taken_where_buildkit_is_not() {
    let Some((registry, image)) = image("classic") else { return };
    let base = format!("{registry}/base/debian:bookworm");
    let done = build(project(&base, &image)).env("DOCKER_BUILDKIT", "0").stderr_has("Step 1/").run();
    assert!(done.read("build/logs/tax.log").contains("Successfully built"));
    // An engine behind a proxy that lets builds through, but no gRPC.
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let Some(socket) = host.strip_prefix("unix://") else { return };
    let port = proxy_without_grpc(socket.to_owned());
    let plain = |test: Test| test.env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"));
    plain(done.then().env("DOCKER_BUILDKIT", "1"))
        .file("tax/a.txt", "b")
        .arg("build")
        .stderr_has("Step 1/")
        .stderr_has("tax: built")
        .run();
    plain(done.then().env("DOCKER_BUILDKIT", "1"))
        .file("tax/Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN --mount=type=cache,target=/c true\n")
        .arg("build")
        .status(6)
        .stderr_has("build/tax/Dockerfile:3: `RUN --mount` needs BuildKit: the engine at tcp://127.0.0.1")
        .run();
    build(done.then())
        .file("tax/Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN true\n")
        .args(["--build-secret", "id=x,src=tax/a.txt"])
        .env("DOCKER_BUILDKIT", "0")
        .status(6)
        .stderr_has("tax: the build secret `x` needs BuildKit: DOCKER_BUILDKIT=0 turns it off")
        .run();
}

/// Passes every connection on to the socket, but those for gRPC.
fn proxy_without_grpc(socket: String) -> u16 {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let socket = socket.clone();
            std::thread::spawn(move || {
                let mut first = [0; 4096];
                let n = client.read(&mut first).unwrap_or(0);
                if first.starts_with(b"POST /grpc") || first.starts_with(b"POST /session") {
                    let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
                    return;
                }
                let mut engine = UnixStream::connect(&socket).unwrap();
                engine.write_all(&first[..n]).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
                let up = std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
                let _ = std::io::copy(&mut engine, &mut client);
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = up.join();
            });
        }
    });
    port
}

#[test]
fn secrets_and_caches_are_mounted_and_stay_out_of_the_image() {
    let Some((registry, image)) = image("secret") else { return };
    let id = std::process::id();
    let dockerfile = format!(
        "ARG BASE\nFROM ${{BASE}}\nRUN --mount=type=cache,id=faas-test-{id},target=/c echo x >> /c/n; cp /c/n /n\n\
         RUN --mount=type=secret,id=file test \"$(cat /run/secrets/file)\" = of-a-file\n\
         RUN --mount=type=secret,id=env,target=/e,required=true test $(wc -c </e) = 18\nCOPY . /app\n"
    );
    let test = project(&format!("{registry}/base/debian:bookworm"), &image).file("tax/Dockerfile", dockerfile);
    let stack = std::fs::read_to_string(test.dir().join("stack.yml")).unwrap();
    let done = build(test)
        .file("stack.yml", format!("{stack}    build_secrets: {{file: ./secret.txt}}\n"))
        .file("secret.txt", "of-a-file")
        .env("WORDS", "of the environment")
        .args(["--build-secret", "id=env,env=WORDS"])
        .run();
    assert!(done.stderr.contains("tax: built"), "{}", done.stderr);
    assert!(!done.stderr.contains("of the environment"), "{}", done.stderr);
    for (missing, said) in [
        (vec!["--build-secret", "id=env,src=nowhere.txt"], "the build secret `env` can't be read from"),
        (vec!["--build-secret", "id=env,env=NOWHERE"], "the variable NOWHERE is not set"),
        (vec!["--build-secret", "src=x"], "it has no id"),
    ] {
        build(done.then()).arg("--no-cache").args(missing).status(2).stderr_has(said).run();
    }
    build(done.then()).arg("--no-cache").status(1).stderr_has("`build_secrets: {NAME: FILE}`").run();
}

#[test]
fn what_the_engine_can_not_do_is_said_beforehand() {
    let Some((registry, image)) = image("late") else { return };
    let version = std::process::Command::new("docker").args(["version", "-f", "{{.Server.APIVersion}}"]).output();
    if version.is_ok_and(|output| !output.stdout.starts_with(b"1.41")) {
        eprintln!("skipped: this engine knows here-documents");
        return;
    }
    build(project(&format!("{registry}/base/debian:bookworm"), &image))
        .file("tax/Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN <<E\necho hi\nE\n")
        .status(6)
        .stderr_has("build/tax/Dockerfile:3: a here-document in `RUN` came with version 1.4 of Dockerfiles")
        .stderr_has("# syntax=docker/dockerfile:1")
        .run();
    let cached = build(project(&format!("{registry}/base/debian:bookworm"), &image))
        .args(["--cache-to", "r.example/cache"])
        .status(6)
        .stderr_has("tax: no cache can be put into `r.example/cache`: the BuildKit in the engine at ")
        .stderr_has("set BUILDKIT_HOST to a buildkitd")
        .run();
    assert!(!cached.stderr.contains("tax: building"), "{}", cached.stderr);
    build(project(&format!("{registry}/base/debian:bookworm"), &image))
        .env("DOCKER_BUILDKIT", "0")
        .args(["--cache-from", "r.example/cache"])
        .status(6)
        .stderr_has("tax: the cache `r.example/cache` needs BuildKit: DOCKER_BUILDKIT=0 turns it off")
        .run();
}

#[test]
fn interrupting_cancels_the_build_in_the_engine() {
    let Some((registry, image)) = image("interrupt") else { return };
    // Told apart from every other sleep by its seconds.
    for (buildkit, nth) in [("1", 1), ("0", 2)] {
        let seconds = format!("{}{nth}", 100_000 + std::process::id());
        let test = build(project(&format!("{registry}/base/debian:bookworm"), &image))
            .file("tax/Dockerfile", format!("ARG BASE\nFROM ${{BASE}}\nRUN sleep {seconds}\n"))
            .env("DOCKER_BUILDKIT", buildkit);
        let child = test.spawn();
        wait_for("the step runs", || runs(&seconds));
        let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
        wait_for("nothing is left running", || !runs(&seconds));
    }
}

/// Whether a program `sleep SECONDS` runs on this machine, in a container or not.
fn runs(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes()))
}

#[track_caller]
fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !check() {
        assert!(std::time::Instant::now() < until, "{what}: not within 30 s");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
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
        .file("good/Dockerfile", format!("FROM {base}\nRUN sleep 3; echo {}\n", std::process::id()));
    let done = build(test).args(["--fail-fast", "--parallel", "2"]).status(1).run();
    assert!(done.stderr.contains("1 of 2 functions did not build, 1 more given up by --fail-fast"), "{}", done.stderr);
    assert!(!done.stderr.contains("good: built"), "{}", done.stderr);
    build(done.then()).status(1).stderr_has("good: built").stderr_has("1 of 2 functions did not build:").run();
}

#[test]
fn what_the_user_may_not_want_is_warned_of() {
    let Some((registry, image)) = image("warn") else { return };
    let base = format!("{registry}/base/debian:bookworm");
    let test = project(&base, &image).layout(|dir| {
        // Takes no room on the disk, and none in the image.
        std::fs::File::create(dir.join("tax/large.bin")).unwrap().set_len(600 << 20).unwrap();
    });
    build(test)
        .file("tax/Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN true\n")
        .args(["-b", "NPM_TOKEN=x"])
        .stderr_has("the build argument NPM_TOKEN looks like a secret")
        .stderr_has("its context has 600 MiB, the largest files are large.bin (600 MiB), ")
        .run();
    for buildkit in ["0", "1"] {
        build(project(&format!("{registry}/base/no-such-thing:1"), &image))
            .env("DOCKER_BUILDKIT", buildkit)
            .status(1)
            .stderr_has("hint: a base image can't be had: check the name after FROM")
            .run();
    }
}

#[test]
fn steps_are_shown_on_a_terminal() {
    let Some((registry, image)) = image("terminal") else { return };
    let test = build(project(&format!("{registry}/base/debian:bookworm"), &image))
        .file("tax/Dockerfile", format!("ARG BASE\nFROM ${{BASE}}\nRUN sleep 1; echo {}\n", std::process::id()))
        .env("TERM", "xterm");
    let mut session = rexpect::session::spawn_command(test.command(), Some(60_000)).unwrap();
    let shown = session.exp_eof().unwrap();
    assert!(shown.contains("2/2] RUN sleep 1"), "{shown}");
    assert!(shown.contains("steps done"), "{shown}");
    assert!(shown.contains("tax: built"), "{shown}");
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
