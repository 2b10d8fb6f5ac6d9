//! Images when something goes wrong, as CI sees it: what is told, how often, and what is not. What asks an engine needs the
//! test beds (`make test`).

use crate::support::server::{Server, answer};
use crate::support::{Done, Test, bed};

/// Functions with a Dockerfile of their own each.
fn project(image: &str, functions: &[(&str, &str)]) -> Test {
    let mut stack = "provider: {name: openfaas}\nfunctions:\n".to_owned();
    let mut test = Test::new();
    for (name, dockerfile) in functions {
        stack += &format!("  {name}: {{lang: dockerfile, handler: ./{name}, image: \"{image}-{name}\"}}\n");
        test = test.file(format!("{name}/Dockerfile"), dockerfile);
    }
    let test = test.file("stack.yml", stack);
    match std::env::var("DOCKER_HOST") {
        Ok(host) => test.env("DOCKER_HOST", host),
        Err(_) => test,
    }
}

/// A function over no base at all, put together without an engine.
fn plain(image: &str) -> Test {
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  tax: {{lang: bash, handler: ./tax, image: \"{image}\", \
         build_args: {{BASE: scratch}}}}\n"
    );
    let mut program = vec![0_u8; 4096];
    program[..6].copy_from_slice(b"\x7fELF\x02\x01");
    program[18] = 0x3e;
    let test = Test::new()
        .file("stack.yml", stack)
        .file("tax/handler.sh", "cat\n")
        .file("faas-watchdog", program)
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .env("FAAS_ENGINE", "none");
    let path = test.dir().join("faas-watchdog").display().to_string();
    test.env("FAAS_WATCHDOG", path)
}

fn host(server: &Server) -> &str {
    server.url.strip_prefix("http://").unwrap()
}

/// An image that is pushed to a server without an engine.
fn pushed(server: &Server) -> Test {
    plain(&format!("{}/me/tax", host(server))).arg("build").run().then_keeping().arg("push")
}

trait Keeping {
    fn then_keeping(self) -> Test;
}

impl Keeping for Done {
    /// Another run in the same folder, which stays until the tests end.
    fn then_keeping(self) -> Test {
        let test = self.then();
        std::mem::forget(self);
        test
    }
}

#[test]
fn programs_hear_of_each_function_although_one_failed() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let image = format!("{registry}/test/each-{}", std::process::id());
    let good = format!("FROM {registry}/base/debian:bookworm\nCOPY . /app\n");
    let bad = format!("FROM {registry}/base/debian:bookworm\nRUN exit 7\n");
    let done = json(project(&image, &[("bad", &bad), ("good", &good)]), &["build"], 1);
    let told = |done: &Done| -> [serde_json::Value; 2] { [done.json()[0].clone(), done.json()[1].clone()] };
    for command in ["build", "publish"] {
        let [bad, good] = told(&json(done.then(), &[command], 1));
        assert_eq!((&bad["name"], &good["name"]), (&"bad".into(), &"good".into()));
        let error = bad["error"].as_str().unwrap();
        assert!(error.starts_with("the image can't be built:") && error.contains("exit code: 7"), "{bad}");
        assert!(bad["code"].as_str().unwrap().starts_with("FAAS-E"), "{bad}");
        assert!(bad["hint"].as_str().unwrap().contains("build/logs/bad.log"), "{bad}");
        assert!(good.get("error").is_none(), "{good}");
    }
    let [bad, good] = told(&json(done.then(), &["push"], 4));
    assert!(bad["error"].as_str().unwrap().contains("can't push"), "{bad}");
    assert!(bad["hint"].as_str().unwrap().contains("build it first"), "{bad}");
    assert!(good["digest"].as_str().unwrap().starts_with("sha256:"), "{good}");
    // Given up at once: the other one is told, too.
    let slow = format!("FROM {registry}/base/debian:bookworm\nRUN sleep 60; echo {}\n", std::process::id());
    let bad = format!("FROM {registry}/base/debian:bookworm\nRUN exit 8\n");
    let test = project(&image, &[("bad", &bad), ("slow", &slow)]);
    let done = json(test, &["build", "--fail-fast", "--parallel", "2"], 1);
    assert_eq!(done.json()[1]["error"], "given up by --fail-fast, since another failed");
}

fn json(test: Test, args: &[&str], status: i32) -> Done {
    test.args(args.iter().copied()).args(["--output", "json"]).status(status).run()
}

#[test]
fn a_failed_build_is_told_once_and_steps_as_docker_tells_them() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let image = format!("{registry}/test/told-{}", std::process::id());
    let base = format!("{registry}/base/debian:bookworm");
    let good = format!("FROM {base}\nRUN echo {}\nCOPY . /app\n", std::process::id());
    let bad = format!("FROM {base}\nRUN echo about to fail; exit 3\n");
    for (buildkit, cached) in [("1", "tax: #"), ("0", "tax: Step ")] {
        let done = project(&image, &[("bad", &bad), ("tax", &good)])
            .env("DOCKER_BUILDKIT", buildkit)
            .args(["build", "--parallel", "1"])
            .status(1)
            .stderr_has("error: 1 of 2 functions did not build: bad: the image can't be built: ")
            .run();
        let times = done.stderr.matches("build/bad/Dockerfile:2: RUN echo about to fail").count();
        // In the function's own failure, and as the first words of the last line.
        assert_eq!(times, 2, "{}", done.stderr);
        assert_eq!(done.stderr.lines().filter(|line| *line == "about to fail").count(), 1, "{}", done.stderr);
        let ends = |end: &str| done.stderr.lines().any(|line| line.starts_with(cached) && line.ends_with(end));
        assert!(ends("s") && done.stderr.contains(" DONE "), "{}", done.stderr);
        let again = done.then().file("tax/new.txt", "x").env("DOCKER_BUILDKIT", buildkit);
        let again = again.args(["build", "--filter", "tax"]).run();
        let ends = |end: &str| again.stderr.lines().any(|line| line.starts_with(cached) && line.ends_with(end));
        assert!(ends(" CACHED"), "{}", again.stderr);
    }
}

#[test]
fn what_a_step_prints_of_a_secret_is_nowhere() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let image = format!("{registry}/test/masked-{}", std::process::id());
    let dockerfile = format!(
        "FROM {registry}/base/debian:bookworm\n\
         RUN --mount=type=secret,id=s echo it is $(cat /run/secrets/s); cat /run/secrets/pem; exit 3\n"
    )
    .replace("id=s ", "id=s --mount=type=secret,id=pem ");
    for builder in [None, bed("FAAS_BUILDKIT")] {
        let mut test = project(&image, &[("tax", &dockerfile)])
            .file("pem.txt", "first line of it\nsecond line of it\n")
            .env("TOKEN", "hunter2-and-more");
        if let Some(host) = builder {
            test = test.env("BUILDKIT_HOST", host);
        }
        let done = test
            .args(["build", "--no-cache", "--build-secret", "id=s,env=TOKEN", "--build-secret", "id=pem,src=pem.txt"])
            .status(1)
            .stderr_has("tax | it is ***\n")
            .run();
        let log = done.read("build/logs/tax.log");
        assert!(log.contains("it is ***"), "{log}");
        for text in [&done.stderr, &log] {
            assert!(!text.contains("hunter2") && !text.contains("line of it"), "{text}");
        }
    }
}

#[test]
fn a_frontend_that_can_not_be_had_is_not_taken_for_a_base() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let image = format!("{registry}/test/frontend-{}", std::process::id());
    let dockerfile = format!("# syntax={registry}/no/frontend:1\nFROM {registry}/base/debian:bookworm\n");
    for builder in [None, bed("FAAS_BUILDKIT")] {
        let mut test = project(&image, &[("tax", &dockerfile)]);
        if let Some(host) = builder {
            test = test.env("BUILDKIT_HOST", host);
        }
        test.arg("build")
            .status(1)
            .stderr_has(format!("hint: the frontend `{registry}/no/frontend:1` of its line `# syntax=` can't be had"))
            .run();
    }
}

#[test]
fn a_builder_that_wants_certificates_is_told_in_words() {
    let test = || project("r.example/me/x", &[("tax", "FROM scratch\n")]).env("BUILDKIT_HOST", "tcp://127.0.0.1:1");
    let nowhere = test().env("BUILDKIT_TLS_DIR", "/nope").arg("build").status(2);
    nowhere.stderr_has("BUILDKIT_TLS_DIR: there is no folder /nope").run();
    let empty = test().layout(|dir| std::fs::create_dir(dir.join("tls")).unwrap()).env("BUILDKIT_TLS_DIR", "tls");
    empty.arg("build").status(2).stderr_has("tls has none of ca.pem, cert.pem and key.pem").run();
    let Some(host) = bed("FAAS_BUILDKIT_TLS") else { return };
    let done = test().env("BUILDKIT_HOST", host).arg("build").status(1).stderr_has("set BUILDKIT_TLS_DIR").run();
    assert!(!done.stderr.contains("code: '") && !done.stderr.contains("Custom {"), "{}", done.stderr);
}

#[test]
fn an_engine_that_tried_again_by_itself_is_not_asked_again() {
    let trying = |layer: &str, n: u32| format!("{{\"status\":\"Retrying in {n} seconds\",\"id\":\"{layer}\"}}\n");
    let mut events = String::new();
    for longest in [5, 10, 15] {
        for second in (1..=longest).rev() {
            events += &(trying("a", second) + &trying("b", second));
        }
    }
    let failed = "received unexpected HTTP status: 500 Internal Server Error";
    events += &format!("{{\"errorDetail\":{{\"message\":\"{failed}\"}},\"error\":\"{failed}\"}}\n");
    let engine = Server::new(move |asked| match asked.line.as_str() {
        line if line.ends_with("/_ping") => {
            let said = [("Api-Version", "1.41"), ("Server", "Docker/20.10.24 (linux)"), ("Ostype", "linux")];
            answer("200 OK", &said, "OK")
        }
        line if line.starts_with("POST") && line.contains("/push") => {
            answer("200 OK", &[("Content-Type", "application/json")], &events)
        }
        _ => answer("404 Not Found", &[("Content-Type", "application/json")], "{\"message\": \"no such image\"}"),
    });
    let done = project("r.example/me/x", &[("tax", "FROM scratch\n")])
        .env("DOCKER_HOST", format!("tcp://{}", host(&engine)))
        .arg("push")
        .status(1)
        .stderr_has("error: tax: can't push r.example/me/x-tax:latest: received unexpected HTTP status: 500")
        .stderr_has("hint: the registry can't be reached or is in trouble")
        .run();
    assert_eq!(done.stderr.matches("the engine tries again in").count(), 3, "{}", done.stderr);
    assert_eq!(done.stderr.matches("etrying in").count(), 0, "{}", done.stderr);
    let pushes = engine.lines().into_iter().filter(|line| line.contains("/push")).count();
    assert_eq!(pushes, 1, "the engine has tried often enough");
}

#[test]
fn a_page_in_place_of_a_registry_is_told() {
    let page = Server::always("200 OK", "text/html", "<!doctype html><p>welcome</p>");
    pushed(&page)
        .status(1)
        .stderr_has("200 OK, where no registry answers so")
        .stderr_has("hint: what answers there is no registry: check the host in `image:`")
        .run();
    let base = format!("{}/base:1", host(&page));
    let over = plain("r.example/me/x").args(["build", "-b", &format!("BASE={base}")]).status(1);
    over.stderr_has("hint: what answers there may be no registry").run();
}

/// A registry that has nothing and answers uploads so.
fn refusing(status: &'static str, body: &'static str) -> Server {
    Server::new(move |asked| match asked.line.split(' ').next() {
        Some("POST") => answer(status, &[("Content-Type", "application/json")], body),
        Some("HEAD") => answer("404 Not Found", &[], ""),
        _ => answer(
            "404 Not Found",
            &[("Content-Type", "application/json")],
            "{\"errors\": [{\"code\": \"NAME_UNKNOWN\", \"message\": \"no\"}]}",
        ),
    })
}

#[test]
fn a_refusal_has_its_status_beside_the_words() {
    let broken =
        refusing("500 Internal Server Error", "{\"errors\": [{\"code\": \"UNKNOWN\", \"message\": \"disk\"}]}");
    let told = pushed(&broken).status(1).stderr_has("500 Internal Server Error: unknown: disk; trying again in");
    told.stderr_has("hint: the registry is in trouble").run();
    let many =
        refusing("429 Too Many Requests", "{\"errors\": [{\"code\": \"TOOMANYREQUESTS\", \"message\": \"slow\"}]}");
    pushed(&many).status(1).stderr_has("429 Too Many Requests: toomanyrequests: slow; trying again in").run();
    let large = refusing("413 Payload Too Large", "too much");
    pushed(&large)
        .status(1)
        .stderr_has("413 Payload Too Large: too much")
        .stderr_has("hint: it is too large for the registry or for a proxy before it")
        .run();
}

#[test]
fn a_base_that_can_not_be_reached_is_not_the_image() {
    let done = plain("r.example/me/x").args(["build", "-b", "BASE=127.0.0.1:1/base:1"]).status(1).run();
    assert!(done.stderr.contains("`build_args: {BASE: …}` (or `-b BASE=…`)"), "{}", done.stderr);
    assert!(!done.stderr.contains("`image:`"), "{}", done.stderr);
}

#[test]
fn none_at_a_time_is_refused() {
    for command in ["build", "push", "publish", "up", "deploy", "plan", "test"] {
        plain("r.example/me/x").args([command, "--parallel", "0"]).status(2).stderr_has("--parallel").run();
    }
}
