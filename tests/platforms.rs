//! Images for other processors and for several at once: their names, the invoker in each, the base under each. What asks an
//! engine or a registry needs the test beds (`make test`).

use std::process::Command;

use crate::support::{Test, bed};

const AMD64: u8 = 0x3e;
const ARM64: u8 = 0xb7;

/// What looks like a program for a processor.
fn program(machine: u8) -> Vec<u8> {
    let mut bytes = vec![0_u8; 4096];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = machine;
    bytes
}

/// A function with an invoker for each of the processors; without an engine unless the test names one.
fn project(lang: &str, image: &str, processors: &[u8]) -> Test {
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  tax: {{lang: {lang}, handler: ./tax, image: \"{image}\"}}\n"
    );
    let mut test = Test::new()
        .file("stack.yml", stack)
        .file("tax/handler.sh", "cat\n")
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .env("FAAS_WATCHDOG_SUMS", "/dev/null");
    for (machine, name) in [(AMD64, "faas-watchdog"), (ARM64, "faas-watchdog-arm64")] {
        if processors.contains(&machine) {
            test = test.file(format!("bin/{name}"), program(machine));
        }
    }
    let path = test.dir().join("bin/faas-watchdog").display().to_string();
    test.env("FAAS_WATCHDOG", path)
}

const BOTH: [&str; 3] = ["publish", "--platforms", "linux/amd64,linux/arm64"];

#[test]
fn platforms_that_are_none_are_refused_before_anything_is_asked() {
    let test = || project("bash", "r.example/me/tax", &[AMD64]);
    for wrong in ["linux/foo", "amd64", "linux/amd64,linux/arm65"] {
        let shown = wrong.split(',').next_back().unwrap();
        test()
            .args(["publish", "--platforms", wrong])
            .status(2)
            .stderr_has(format!("`--platforms {shown}`: there is no such platform"))
            .stderr_has("hint: write it as `linux/amd64`")
            .run();
    }
    let stack = "provider: {name: openfaas}\nfunctions:\n  tax: {lang: bash, handler: ./tax, image: r.example/x, platforms: [linux/foo]}\n";
    test().file("stack.yml", stack).arg("build").status(2).stderr_has("`linux/foo` is no platform").run();
}

#[test]
fn a_platform_that_is_named_twice_is_one() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let image = format!("{registry}/test/twice-{}", std::process::id());
    let done = project("bash", &image, &[AMD64])
        .args(["publish", "--engine", "none", "-b", "BASE=scratch", "--output", "json"])
        .args(["--platforms", "linux/amd64,LINUX/amd64,linux/x86_64"])
        .run();
    assert_eq!(done.json()[0]["platforms"], serde_json::json!(["linux/amd64"]));
    let manifest = manifest(&registry, &image, done.json()[0]["digest"].as_str().unwrap());
    assert!(manifest["layers"].is_array(), "one image and no index: {manifest}");
}

#[test]
fn a_context_has_the_invoker_of_each_platform() {
    let test = || project("bash", "r.example/me/tax", &[AMD64, ARM64]);
    let read =
        |done: &crate::support::Done, path: &str| std::fs::read(done.dir().join("build/tax").join(path)).unwrap();
    let done = test().args(BOTH).arg("--shrinkwrap").run();
    for (name, machine) in [("amd64", AMD64), ("arm64", ARM64)] {
        assert_eq!(read(&done, &format!("faas-watchdog-for/{name}/faas-watchdog")), program(machine));
    }
    let dockerfile = done.read("build/tax/Dockerfile");
    let line = "ARG TARGETARCH\nCOPY faas-watchdog-for/${TARGETARCH}/faas-watchdog /usr/bin/faas-watchdog\n";
    assert!(dockerfile.contains(line), "{dockerfile}");
    assert!(!done.list("build/tax").contains(&"faas-watchdog".to_owned()));
    // For one platform it stands where it always does, and the Dockerfile is the template's.
    let done = done.then().args(["publish", "--platforms", "linux/arm64", "--shrinkwrap"]).run();
    assert_eq!(read(&done, "faas-watchdog"), program(ARM64));
    assert!(!done.read("build/tax/Dockerfile").contains("TARGETARCH"));
    assert!(!done.list("build/tax").contains(&"faas-watchdog-for/".to_owned()));
    assert_eq!(read(&test().args(["build", "--shrinkwrap"]).run(), "faas-watchdog"), program(AMD64));
}

#[test]
fn an_invoker_that_is_missing_is_told_before_anything_is_built() {
    let test = || project("bash", "r.example/me/tax", &[AMD64]);
    for platforms in ["linux/amd64,linux/arm64", "linux/arm64"] {
        test()
            .args(["publish", "--platforms", platforms])
            .status(1)
            .stderr_has("tax: its image needs the program faas-watchdog for arm64, which is not there")
            .stderr_has("put faas-watchdog-arm64 beside the faas program")
            .run();
    }
    test().args(["publish", "--platforms", "linux/s390x"]).status(1).stderr_has("faas-watchdog for s390x").run();
    // One that lies in the folder under its own name only can't be told from the other.
    let own = project("dockerfile", "r.example/me/tax", &[AMD64, ARM64])
        .file("tax/Dockerfile", "FROM scratch\nCOPY . /app\nCMD [\"/app/faas-watchdog\"]\n");
    let own = own.args(BOTH).arg("--shrinkwrap").status(6);
    own.stderr_has("its Dockerfile does not copy faas-watchdog by its name").run();
}

/// Docker with BuildKit and without, and a builder of its own.
fn builders() -> Vec<[(&'static str, String); 2]> {
    let engine = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let daemon = bed("FAAS_BUILDKIT").unwrap_or_default();
    vec![
        [("DOCKER_HOST", engine.clone()), ("DOCKER_BUILDKIT", "1".into())],
        [("DOCKER_HOST", engine), ("DOCKER_BUILDKIT", "0".into())],
        [("BUILDKIT_HOST", daemon), ("DOCKER_BUILDKIT", "1".into())],
    ]
}

#[test]
fn an_image_has_the_invoker_of_its_platform() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    for (nth, builder) in builders().into_iter().enumerate() {
        let image = format!("{registry}/test/invoker-{}-{nth}", std::process::id());
        let mut test = project("dockerfile", &image, &[AMD64, ARM64])
            .file("tax/Dockerfile", "FROM scratch\nCOPY faas-watchdog /usr/bin/faas-watchdog\n");
        for (name, value) in &builder {
            test = test.env(name, value);
        }
        let done = test.args(BOTH).args(["--output", "json"]).run();
        let index = manifest(&registry, &image, done.json()[0]["digest"].as_str().unwrap());
        let entries = index["manifests"].as_array().unwrap();
        assert_eq!(entries.len(), 2, "{builder:?}: {index}");
        for (entry, machine) in entries.iter().zip([AMD64, ARM64]) {
            let made = manifest(&registry, &image, entry["digest"].as_str().unwrap());
            let layer = made["layers"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap().to_owned();
            let script = format!(
                "curl -fsS {} | tar -xzO usr/bin/faas-watchdog",
                address(&registry, &image, &format!("blobs/{layer}"))
            );
            let program = Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
            assert_eq!(program.get(18), Some(&machine), "{builder:?}: {}", entry["platform"]);
        }
        forget(&image);
    }
}

#[test]
fn a_base_for_another_platform_is_refused() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    for builder in builders() {
        let image = format!("{registry}/test/lacking-{}", std::process::id());
        let base = format!("{registry}/base/debian:bookworm");
        let mut test =
            project("dockerfile", &image, &[AMD64]).file("tax/Dockerfile", format!("FROM {base}\nCOPY . /x\n"));
        for (name, value) in &builder {
            test = test.env(name, value);
        }
        let done = test
            .args(BOTH)
            .status(1)
            .stderr_has(format!("tax: the base image {base} is not there for linux/arm64: it is there for linux/amd64"))
            .stderr_has("hint: leave that platform out, or name another base")
            .run();
        // A stage that says its own platform compiles for others.
        let dockerfile =
            format!("FROM --platform=linux/amd64 {base} AS build\nFROM scratch\nCOPY --from=build /etc/hostname /\n");
        let crossed = done.then().file("tax/Dockerfile", dockerfile);
        if builder[1].1 == "1" {
            crossed.args(BOTH).run();
        }
        forget(&image);
    }
}

fn address(registry: &str, image: &str, rest: &str) -> String {
    format!("http://{registry}/v2/{}/{rest}", image.split_once('/').unwrap().1)
}

fn manifest(registry: &str, image: &str, digest: &str) -> serde_json::Value {
    let mut curl = Command::new("curl");
    curl.args(["-fsS", &address(registry, image, &format!("manifests/{digest}"))]);
    for kind in [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ] {
        curl.args(["-H", &format!("Accept: {kind}")]);
    }
    let output = curl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the engine keeps of it.
fn forget(image: &str) {
    for tag in ["latest", "latest-amd64", "latest-arm64"] {
        let _ = Command::new("docker").args(["rmi", "-f", &format!("{image}:{tag}")]).output();
    }
}
