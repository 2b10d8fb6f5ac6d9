//! Registries, with and without an engine: logins, certificates, retries, digests. Needs the test beds (`make test`).

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::support::registry::{Fate, Kind, PASSWORD, Proxy, Registry, USER};
use crate::support::{Done, Test, bed};

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
        ("r.example/Me/tax", "names are in lower case: `me/tax`"),
        ("tax", "names no registry to push to"),
        ("r.example/tax:-x", "`-x` is no tag"),
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
    // A store for all registries would keep docker from the logins beside it.
    let both = two.then().args(["registry-login", "--ecr", "--account-id", "123", "--region", "eu-west-1"]).run();
    assert_eq!(read(&both)["auths"].as_object().unwrap().len(), 2);
    assert!(read(&both).get("credsStore").is_none());
    let both = ecr.then().args(server).stdin("q\n").run();
    assert_eq!(read(&both)["credHelpers"], helper);
    assert!(read(&both).get("credsStore").is_none() && read(&both).get("auths").is_some());
    Test::new().args(["registry-login", "--ecr", "--account-id", "1"]).status(2).stderr_has("needs --region").run();
    Test::new().args(["registry-login"]).status(2).stderr_has("no user is given").run();
    Test::new().args(["registry-login", "-u", "me"]).status(2).stderr_has("no password is given").run();
    Test::new().args(["registry-login", "-u", "me", "-s"]).stdin("").status(2).stderr_has("is empty").run();
    let odd = Test::new().file("credentials/config.json", "[]").args(["registry-login", "-u", "me", "--password", "p"]);
    odd.status(2).stderr_has("no file of logins").run();
}

/// A base image of nothing but a file, pushed once a test by the engine. For linux/amd64.
fn base(host: &str, name: &str) -> Image {
    let image = Image::new(host, &format!("base-{name}"));
    small(&image.0).arg("build").run().then().arg("push").run();
    image
}

/// A function that needs nothing but files, to be put together over `base`.
fn plain(image: &str, base: &str) -> Test {
    Test::new()
        .file(
            "stack.yml",
            format!(
                "provider: {{name: openfaas}}\nfunctions:\n  tax: {{lang: bash, handler: ./tax, image: \"{image}\", \
                 build_args: {{BASE: \"{base}\"}}}}\n"
            ),
        )
        .file("tax/handler.sh", "tr a-z A-Z\n")
        // No engine may be needed for any of this.
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .env("FAAS_ENGINE", "none")
        .layout(|dir| invoker(dir, 0x3e, "faas-watchdog"))
        .watchdog()
}

/// What looks like a program for a processor, in place of the invoker.
fn invoker(dir: &std::path::Path, machine: u8, name: &str) {
    let mut bytes = vec![0_u8; 4096];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = machine;
    std::fs::create_dir_all(dir.join("bin")).unwrap();
    std::fs::write(dir.join("bin").join(name), bytes).unwrap();
}

trait Watchdog {
    fn watchdog(self) -> Self;
}

impl Watchdog for Test {
    fn watchdog(self) -> Self {
        let path = self.dir().join("bin/faas-watchdog").display().to_string();
        self.env("FAAS_WATCHDOG", path)
    }
}

fn built(done: &Done) -> String {
    done.json()[0]["artifact"]["digest"].as_str().expect("a digest").to_owned()
}

const JSON: [&str; 2] = ["--output", "json"];

#[test]
fn without_an_engine_the_same_files_give_the_same_image() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let base = base(&registry.host, "same");
    let image = format!("{}/test/same", registry.host);
    let one = plain(&image, &base.0).arg("build").args(JSON).run();
    // Another folder, other times, another cache, no base known.
    let two = plain(&image, &base.0).layout(|dir| {
        let handler = std::fs::File::options().append(true).open(dir.join("tax/handler.sh")).unwrap();
        handler.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
        let mode = PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(dir.join("tax/handler.sh"), mode).unwrap();
    });
    let two = two.arg("build").args(JSON).run();
    assert_eq!(built(&one), built(&two));
    assert_eq!(one.then().arg("build").args(JSON).run().json()[0]["rebuilt"], false);

    let pushed = one.then().arg("push").args(JSON).run().json();
    assert_eq!((&pushed[0]["digest"], &pushed[0]["sent"]), (&built(&one).into(), &true.into()));
    assert_eq!(two.then().arg("push").args(JSON).run().json()[0]["sent"], false, "the registry has it");
    // What changed is another image, and what changed back is the first.
    std::fs::write(one.dir().join("tax/handler.sh"), "cat\n").unwrap();
    let changed = one.then().arg("build").args(JSON).run();
    assert_ne!(built(&changed), built(&one));
    std::fs::write(one.dir().join("tax/handler.sh"), "tr a-z A-Z\n").unwrap();
    assert_eq!(built(&one.then().args(["build", "--no-cache"]).args(JSON).run()), built(&one));
    // A label is part of it, the time is not unless it is given.
    assert_ne!(built(&one.then().args(["build", "--build-label", "a=b"]).args(JSON).run()), built(&one));
    let dated = one.then().args(["build", "--no-cache"]).args(JSON).env("SOURCE_DATE_EPOCH", "86400").run();
    assert_ne!(built(&dated), built(&one));
    // In one go, by digest.
    let up = one.then().args(["up", "--skip-deploy", "--digest"]).args(JSON).run().json();
    assert_eq!(up[0]["artifact"]["reference"], format!("{image}@{}", up[0]["artifact"]["digest"].as_str().unwrap()));
}

#[test]
fn without_an_engine_a_layer_goes_where_it_is_not() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    // The base is in one registry, the image goes to another: one with a login, one with a CA of its own.
    let first = Registry::new(Kind::Plain);
    let base = base(&first.host, "where");
    for kind in [Kind::Login, Kind::Tls] {
        let registry = Registry::new(kind);
        let image = format!("{}/test/where", registry.host);
        let done = plain(&image, &base.0).arg("build").run();
        let done = match kind {
            Kind::Login => {
                push(&done).status(5).stderr_has("no login is kept for it").run();
                let login = ["registry-login", "--server", registry.host.as_str(), "-u", USER, "-s"];
                done.then().args(login).stdin("wrong").run();
                push(&done).status(5).stderr_has("was refused").run();
                done.then().args(login).stdin(PASSWORD).run();
                done
            }
            _ => {
                push(&done).status(1).stderr_has(format!("certs.d/{}/ca.crt", registry.host)).run();
                let ca = registry.ca.display().to_string();
                push(&done).env("FAAS_REGISTRY_CA", "none.crt").status(1).stderr_has("none.crt").run();
                push(&done).env("FAAS_REGISTRY_CA", &ca).args(JSON).run();
                let folder = done.home().join(".config/docker/certs.d").join(&registry.host);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::copy(&registry.ca, folder.join("ca.crt")).unwrap();
                done
            }
        };
        let pushed = push(&done).args(JSON).run().json();
        let blob = registry.blob(pushed[0]["digest"].as_str().unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 3, "the base's, the invoker, the function: {manifest}");
        assert!(layers.iter().all(|layer| registry.blob(layer["digest"].as_str().unwrap()).is_file()));
    }
}

#[test]
fn without_an_engine_images_answer() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    // The invoker's layer is packed once for all.
    let home = tempfile::tempdir().unwrap();
    for (lang, base, file, handler) in [
        ("python3", "python:3.11", "handler.py", "def handle(req):\n    return req.upper()\n"),
        ("node", "node:18", "handler.js", "module.exports = async (req) => req.toUpperCase();\n"),
        ("bash", "debian:bookworm", "handler.sh", "tr a-z A-Z\n"),
    ] {
        let image = Image::new(&registry, &format!("answers-{lang}"));
        let stack = format!(
            "provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: {lang}, handler: ./f, image: \"{}\"}}\n",
            image.0
        );
        let mut test = Test::new().file("stack.yml", stack).file(format!("f/{file}"), handler);
        test = test.env("FAAS_HOME", home.path().display().to_string());
        if lang == "node" {
            test = test.file("f/package.json", "{\"dependencies\": {}}");
        }
        let base = format!("BASE={registry}/base/{base}");
        let done = test.args(["build", "--engine", "none", "-b", &base]).run();
        push(&done).env("DOCKER_HOST", "tcp://127.0.0.1:1").run();
        let port = crate::support::free_port();
        let name = format!("faas-test-{lang}-{}", std::process::id());
        let docker = |args: &[&str]| std::process::Command::new("docker").args(args).output().expect("docker");
        let publish = format!("127.0.0.1:{port}:8080");
        let started = docker(&["run", "-d", "--name", &name, "-p", &publish, &image.0]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let answer = answer(port);
        let log = docker(&["logs", &name]);
        docker(&["rm", "-f", &name]);
        let log = String::from_utf8_lossy(&log.stderr).into_owned();
        assert!(answer.as_deref().is_some_and(|text| text.trim_end().ends_with("HELLO")), "{lang}: {answer:?}\n{log}");
    }
}

/// What a function answers to `hello`, once it answers.
fn answer(port: u16) -> Option<String> {
    use std::io::{Read, Write};
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { continue };
        let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let mut text = String::new();
        if stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut text).is_ok()
            && text.starts_with("HTTP/1.1 200")
        {
            return Some(text);
        }
    }
    None
}

#[test]
fn without_an_engine_what_can_not_be_is_said() {
    let refused = |test: Test, status: i32, text: &str| test.arg("build").status(status).stderr_has(text).run();
    let image = "127.0.0.1:1/x/tax";
    refused(small(image).env("FAAS_ENGINE", "none"), 6, "lang dockerfile needs a container engine");
    let packages = plain(image, "127.0.0.1:1/b").args(["build", "-b", "ADDITIONAL_PACKAGE=curl"]);
    packages.status(6).stderr_has("need a container engine").run();
    for (flag, value, text) in [
        ("--build-secret", "id=a,src=stack.yml", "the build secret `a` needs a container engine"),
        ("--cache-to", "r.example/c", "without an engine, the cache `r.example/c` is of no use"),
        ("--cache-from", "r.example/c", "without an engine, the cache `r.example/c` is of no use"),
    ] {
        plain(image, "127.0.0.1:1/b").args(["build", flag, value]).status(6).stderr_has(text).run();
    }
    refused(plain("r.example/Me/tax", "127.0.0.1:1/b"), 2, "names are in lower case");
    refused(plain(image, "127.0.0.1:1/B"), 2, "names are in lower case");
    // A base that nobody has, from a registry that is not there.
    refused(plain(image, "127.0.0.1:1/b"), 1, "can't get 127.0.0.1:1/b");
    let none = plain(image, "scratch").env("FAAS_WATCHDOG", "/none").layout(|dir| {
        std::fs::write(dir.join("x"), "").unwrap();
    });
    if !std::path::Path::new(env!("CARGO_BIN_EXE_faas")).with_file_name("faas-watchdog").exists() {
        refused(none, 1, "needs the program faas-watchdog");
    }
    let file = plain(image, "scratch").layout(|dir| invoker(dir, 0xb7, "faas-watchdog"));
    refused(file, 1, "for linux/amd64, which is not there");
    // An image over nothing is an image, too; a push of what was never built is not.
    plain(image, "scratch").arg("build").run();
    let dated = plain(image, "scratch").env("SOURCE_DATE_EPOCH", "today");
    refused(dated, 2, "SOURCE_DATE_EPOCH is `today`");
}

#[test]
fn a_registry_in_trouble_is_tried_again_or_told() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let base = base(&registry.host, "trouble");
    let times = |n: u32| {
        let left = std::sync::atomic::AtomicU32::new(n);
        move || left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    };
    let kept = std::cell::RefCell::new(Vec::new());
    let attempt = |name: &str, fate: Box<dyn Fn(&crate::support::registry::Line) -> Fate + Send + Sync>| {
        let proxy = Proxy::new(&registry.host, fate);
        let done = plain(&format!("{}/test/trouble-{name}", proxy.host), &base.0).arg("build").run();
        let test = push(&done);
        // The folder goes with it.
        kept.borrow_mut().push(done);
        test
    };
    // What passes: an answer of 503 twice, a connection that is cut while a blob is sent, 429.
    let two = times(2);
    attempt(
        "busy",
        Box::new(move |line| if line.contains("/manifests/") && two() { Fate::Answer(503, "") } else { Fate::Pass }),
    )
    .stderr_has("503 Service Unavailable; trying again in")
    .stderr_has("pushed")
    .run();
    let one = times(1);
    attempt(
        "cut",
        Box::new(
            move |line| {
                if line.starts_with("PUT") && line.contains("/blobs/") && one() { Fate::Cut } else { Fate::Pass }
            },
        ),
    )
    .stderr_has("trying again in")
    .stderr_has("pushed")
    .run();
    let one = times(1);
    let many = "{\"errors\": [{\"code\": \"TOOMANYREQUESTS\", \"message\": \"slow down\"}]}";
    attempt(
        "many",
        Box::new(move |line| if line.starts_with("PUT") && one() { Fate::Answer(429, many) } else { Fate::Pass }),
    )
    .stderr_has("slow down; trying again in")
    .stderr_has("pushed")
    .run();
    // What does not.
    let denied = "{\"errors\": [{\"code\": \"DENIED\", \"message\": \"not yours\"}]}";
    attempt(
        "denied",
        Box::new(move |line| if line.starts_with("PO") { Fate::Answer(403, denied) } else { Fate::Pass }),
    )
    .status(5)
    .stderr_has("denied: not yours")
    .run();
    attempt(
        "broken",
        Box::new(|line| if line.starts_with("PUT") { Fate::Answer(500, "boom\u{1b}[2J") } else { Fate::Pass }),
    )
    .status(1)
    .stderr_has("500 Internal Server Error: boom [2J")
    .stderr_has("the registry is in trouble")
    .run();
    let slow = Duration::from_secs(20);
    attempt("slow", Box::new(move |line| if line.contains("/manifests/") { Fate::Silence(slow) } else { Fate::Pass }))
        .env("FAAS_REGISTRY_TIMEOUT", "200ms")
        .status(124)
        .stderr_has("FAAS_REGISTRY_TIMEOUT")
        .run();
    // A base that is not what its digest says.
    let spoil = Proxy::new(&registry.host, |line| {
        if line.starts_with("GET") && line.contains("/blobs/") { Fate::Spoil } else { Fate::Pass }
    });
    let name = base.0.split_once('/').unwrap().1;
    let spoilt = plain(&format!("{}/x/tax", registry.host), &format!("{}/{name}", spoil.host)).arg("build");
    spoilt.status(1).stderr_has("is not what was asked for").run();
    let gone = plain(&format!("{}/x/tax", registry.host), &format!("{}/none/such:1", registry.host)).arg("build");
    gone.status(4).stderr_has("another base").run();
}

#[test]
fn several_platforms_are_published_under_one_name() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let index = |done: &Done| -> serde_json::Value {
        let blob = registry.blob(done.json()[0]["digest"].as_str().unwrap());
        serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap()
    };
    let platforms = |index: &serde_json::Value| -> Vec<String> {
        let entries = index["manifests"].as_array().expect("an index");
        entries.iter().map(|entry| entry["platform"]["architecture"].as_str().unwrap().to_owned()).collect()
    };
    let both = ["publish", "--platforms", "linux/amd64,linux/arm64"];

    // Without an engine: over no base at all, with an invoker for each.
    let image = format!("{}/test/both", registry.host);
    let lacks = plain(&image, "scratch").args(both).status(1).stderr_has("faas-watchdog for linux/arm64");
    lacks.stderr_has("faas-watchdog-arm64").run();
    let test = plain(&image, "scratch").layout(|dir| invoker(dir, 0xb7, "faas-watchdog-arm64"));
    let done = test.args(both).args(["--extra-tag", "v1", "--extra-tag", "v2"]).args(JSON).run();
    let made = index(&done);
    assert_eq!(platforms(&made), ["amd64", "arm64"]);
    for entry in made["manifests"].as_array().unwrap() {
        let read = |digest: &serde_json::Value| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(registry.blob(digest.as_str().unwrap())).unwrap()).unwrap()
        };
        let config = read(&read(&entry["digest"])["config"]["digest"]);
        assert_eq!(config["architecture"], entry["platform"]["architecture"]);
        assert_eq!(config["config"]["User"], "10001:10001");
    }
    assert_eq!(done.json()[0]["also"], serde_json::json!([format!("{image}:v1"), format!("{image}:v2")]));
    let digest = done.json()[0]["digest"].as_str().unwrap().to_owned();
    for tag in ["latest", "v1", "v2"] {
        let stack = format!(
            "provider: {{name: openfaas}}\nfunctions:\n  tax: {{skip_build: true, image: \"{image}:{tag}\"}}\n"
        );
        let up =
            Test::new().file("stack.yml", stack).args(["up", "--skip-deploy", "--skip-push", "--digest"]).args(JSON);
        assert_eq!(up.run().json()[0]["artifact"]["digest"], digest.as_str(), "{tag}");
    }
    assert_eq!(done.then().args(both).args(JSON).run().json()[0]["sent"], false);

    // With the engine, one after the other.
    let image = Image::new(&registry.host, "engine");
    let done = small(&image.0).args(both).args(JSON).run();
    assert_eq!(platforms(&index(&done)), ["amd64", "arm64"]);
    for platform in ["amd64", "arm64"] {
        drop(Image(format!("{}:latest-{platform}", image.0)));
    }
}

#[test]
fn what_is_kept_is_shown_cleared_and_pruned() {
    let done =
        plain("127.0.0.1:1/x/tax", "scratch").args(["build", "--prune"]).stderr_has("prune: removed 0 bytes").run();
    let kept = |done: &Done| -> u64 {
        let shown = done.then().args(["cache", "show"]).args(JSON).run().json();
        let images = shown.as_array().unwrap().iter().find(|kept| kept["kind"] == "images").unwrap().clone();
        images["bytes"].as_u64().unwrap()
    };
    let one = kept(&done);
    std::fs::write(done.dir().join("tax/handler.sh"), "cat\n").unwrap();
    done.then().args(["build"]).run();
    assert!(kept(&done) > one);
    done.then().args(["build", "--prune"]).stderr_has("prune: removed").run();
    done.then().args(["cache", "show"]).stdout_has("images").stdout_has("bundles").run();
    done.then().args(["cache", "clear", "bundles"]).status(6).stderr_has("functions of provider local").run();
    let young = done.then().args(["cache", "clear", "--older-than", "1h"]).args(JSON).run().json();
    assert_eq!(young["entries"], 0);
    done.then().args(["cache", "clear"]).stdout_has("removed").run();
    assert_eq!(kept(&done), 0);
    done.then()
        .args(["push"])
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .status(1)
        .stderr_has("no container engine")
        .run();
    assert_eq!(done.then().arg("build").args(JSON).run().json()[0]["rebuilt"], true);
}
