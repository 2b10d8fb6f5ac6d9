//! What only BuildKit does: ssh agents in a step, and what is attested of an image. Needs the test beds (`make test`).

use std::process::{Child, Command, Stdio};

use crate::support::{Done, Test, bed};

fn image(registry: &str, name: &str) -> String {
    format!("{registry}/test/{name}-{}", std::process::id())
}

/// A function with a Dockerfile of its own, in which BASE stands for an image of the test beds.
fn project(registry: &str, name: &str, base: &str, dockerfile: &str) -> Test {
    let image = image(registry, name);
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  tax: {{lang: dockerfile, handler: ./tax, image: {image}}}\n"
    );
    Test::new()
        .file("stack.yml", stack)
        .file("tax/Dockerfile", dockerfile.replace("BASE", &format!("{registry}/base/{base}")))
}

/// Where builds are done: in the engine's BuildKit, and by a daemon of its own.
fn builders() -> Vec<(&'static str, String)> {
    let engine = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let daemon = bed("FAAS_BUILDKIT").map(|host| ("BUILDKIT_HOST", host));
    [("DOCKER_HOST", engine)].into_iter().chain(daemon).collect()
}

/// An agent of ssh with one key, which is in a file too.
struct Agent {
    child: Child,
    dir: tempfile::TempDir,
}

impl Agent {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "of-a-test", "-f"]).arg(&key);
        assert!(make.status().unwrap().success());
        let socket = dir.path().join("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(std::time::Instant::now() < end, "ssh-agent does not listen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let agent = Self { child, dir };
        assert!(agent.add(&["-q", key.to_str().unwrap()]).0);
        agent
    }

    fn socket(&self) -> String {
        self.dir.path().join("agent").display().to_string()
    }

    fn key(&self) -> String {
        self.dir.path().join("key").display().to_string()
    }

    fn add(&self, args: &[&str]) -> (bool, String) {
        let output = Command::new("ssh-add").args(args).env("SSH_AUTH_SOCK", self.socket()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lists the agent's keys, signs with the one, and tries to throw it out.
const PROBE: &str = r#"
import os, socket, struct
agent = socket.socket(socket.AF_UNIX)
agent.connect(os.environ["SSH_AUTH_SOCK"])
stream = agent.makefile("rwb")
def ask(kind, body=b""):
    stream.write(struct.pack(">IB", len(body) + 1, kind) + body)
    stream.flush()
    return stream.read(struct.unpack(">I", stream.read(4))[0])
def text(bytes):
    return struct.pack(">I", len(bytes)) + bytes
keys = ask(11)
assert keys[0] == 12 and struct.unpack(">I", keys[1:5])[0] == 1, keys
assert keys.endswith(text(b"of-a-test")), keys
key = keys[9:9 + struct.unpack(">I", keys[5:9])[0]]
assert ask(13, text(key) + text(b"x" * 3000) + struct.pack(">I", 0))[0] == 14
assert ask(19) == b"\5"
assert ask(11) == keys
"#;

#[test]
fn a_step_signs_with_an_ssh_agent() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let agent = Agent::new();
    for (variable, host) in builders() {
        let dockerfile = "FROM BASE\nCOPY probe.py /\nRUN --mount=type=ssh,required=true python3 /probe.py\n\
                          RUN --mount=type=ssh,id=other python3 /probe.py\n";
        let build = |test: Test| test.env(variable, &host).args(["build", "--no-cache"]);
        let test = project(&registry, "agent", "python:3.11", dockerfile).file("tax/probe.py", PROBE);
        // The agent that runs, and one of ours with the key in a file.
        let done = build(test)
            .env("SSH_AUTH_SOCK", agent.socket())
            .args(["--ssh", "default", "--ssh", &format!("other={}", agent.key())])
            .stderr_has("tax: built")
            .run();
        assert!(agent.add(&["-L"]).1.trim_end().ends_with("of-a-test"), "the key is still there");
        build(done.then()).status(1).stderr_has("hint: give it: `--ssh default`").run();
        let missing = format!("default={}", done.dir().join("nowhere").display());
        build(done.then()).args(["--ssh", &missing]).status(2).stderr_has("nowhere: No such file").run();
        build(done.then())
            .env("SSH_AUTH_SOCK", "")
            .args(["--ssh", "default"])
            .status(2)
            .stderr_has("no agent runs")
            .run();
        let none = done.dir().join("tax/probe.py").display().to_string();
        build(done.then())
            .args(["--ssh", &format!("default={none}")])
            .status(2)
            .stderr_has(format!("tax: the ssh key {none} can't be used"))
            .run();
    }
    let gone = {
        let dead = Agent::new();
        let socket = dead.dir.path().with_extension("gone");
        std::fs::rename(dead.socket(), &socket).unwrap();
        socket
    };
    let test = project(&registry, "agent", "debian:bookworm", "FROM BASE\n");
    let done = test.args(["build", "--ssh", &format!("default={}", gone.display())]);
    done.status(2).stderr_has("tax: no ssh agent answers at").run();
    std::fs::remove_file(gone).unwrap();
    project(&registry, "agent", "debian:bookworm", "FROM BASE\n")
        .env("DOCKER_BUILDKIT", "0")
        .env("SSH_AUTH_SOCK", agent.socket())
        .args(["build", "--ssh", "default"])
        .status(6)
        .stderr_has("tax: the ssh agent `default` needs BuildKit: DOCKER_BUILDKIT=0 turns it off")
        .run();
}

/// A manifest or a blob of the registry.
fn get(registry: &str, path: &str) -> serde_json::Value {
    let output = Command::new("curl")
        .args(["-fsS", "-H", "Accept: application/vnd.oci.image.index.v1+json"])
        .args(["-H", "Accept: application/vnd.oci.image.manifest.v1+json"])
        .args(["-H", "Accept: application/vnd.docker.distribution.manifest.v2+json"])
        .arg(format!("http://{registry}/v2/test/{path}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// An image that lists what is in another, as BuildKit wants it of scanners; the one that it takes by itself is on a
/// registry that tests don't ask.
fn scanner(registry: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let statement = r#"{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"SPDXID":"SPDXRef-DOCUMENT"}}"#;
    let script = format!(
        "#!/bin/sh\nset -e\ntest -e $BUILDKIT_SCAN_SOURCE/etc/debian_version\n\
         echo '{statement}' >$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json\n"
    );
    std::fs::write(dir.path().join("scan"), script).unwrap();
    let dockerfile = format!("FROM {registry}/base/debian:bookworm\nCOPY scan /\nENTRYPOINT [\"sh\", \"/scan\"]\n");
    std::fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    let name = image(registry, "scanner");
    docker(&["build", "-q", "-t", &name, dir.path().to_str().unwrap()]);
    docker(&["push", "-q", &name]);
    docker(&["rmi", "-f", &name]);
    name
}

fn docker(args: &[&str]) {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn digest(done: &Done) -> String {
    done.json()[0]["artifact"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_attested_stands_beside_the_image() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let Some(host) = bed("FAAS_BUILDKIT") else { return };
    let generator = format!("--sbom=generator={}", scanner(&registry));
    let test = project(&registry, "attested", "debian:bookworm", "FROM BASE\nARG WORD\nRUN echo $WORD >/word\n");
    let push = |test: Test| test.env("BUILDKIT_HOST", &host).args(["build", "--push", "--output", "json"]);
    let name = |digest: &str| format!("attested-{}/manifests/{digest}", std::process::id());

    let done = push(test).run();
    let plain = get(&registry, &name(&digest(&done)));
    assert!(plain["layers"].is_array(), "without a flag it is one image: {plain}");

    let attested = push(done.then()).args([&generator, "--provenance=mode=max", "-b", "WORD=hi", "--explain"]);
    let attested = attested.stderr_has("the attestation provenance is new; the attestation sbom is new").run();
    let index = get(&registry, &name(&digest(&attested)));
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 2, "{index}");
    assert_eq!(manifests[1]["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    let statements = get(&registry, &name(manifests[1]["digest"].as_str().unwrap()));
    let mut kinds = Vec::new();
    for layer in statements["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let statement = get(&registry, &format!("attested-{}/blobs/{digest}", std::process::id()));
        let kind = statement["predicateType"].as_str().unwrap().to_owned();
        // The whole provenance has the arguments.
        assert_eq!(statement.to_string().contains("build-arg:WORD"), kind.contains("provenance"), "{statement}");
        kinds.push(kind);
    }
    kinds.sort();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(
        kinds[0].starts_with("https://slsa.dev/provenance/") && kinds[1] == "https://spdx.dev/Document",
        "{kinds:?}"
    );
    // The same again is there; the same without is another image.
    let again = push(done.then()).args([&generator, "--provenance=mode=max", "-b", "WORD=hi"]).run();
    assert_eq!((&again.json()[0]["rebuilt"], digest(&again)), (&false.into(), digest(&attested)));
    assert_eq!(push(done.then()).args(["-b", "WORD=hi"]).run().json()[0]["rebuilt"], true);
}

#[test]
fn what_can_not_be_attested_is_refused() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let Some(host) = bed("FAAS_BUILDKIT") else { return };
    let done = project(&registry, "refused", "debian:bookworm", "FROM BASE\n")
        .args(["build", "--sbom"])
        .status(6)
        .stderr_has("tax: no sbom can be put beside the image: the engine at ")
        .stderr_has("hint: leave --sbom and --provenance out, or set BUILDKIT_HOST")
        .run();
    done.then().args(["build", "--provenance=false", "--sbom=false"]).run();
    done.then()
        .env("BUILDKIT_HOST", host)
        .args(["build", "--provenance"])
        .status(2)
        .stderr_has("hint: build with --push")
        .run();
    done.then().args(["build", "--provenance=all"]).status(2).stderr_has("`--provenance=all` is not known").run();
    let stack = "provider: {name: openfaas}\nfunctions:\n  f: {lang: bash, handler: ./f, image: r.example/f}\n";
    let test = || Test::new().file("stack.yml", stack).file("f/handler.sh", "cat\n");
    test()
        .args(["build", "--engine", "none", "--sbom"])
        .status(6)
        .stderr_has("f: without an engine, no sbom is put beside the image")
        .run();
    let lambda = "provider: {name: lambda}\nfunctions:\n  f:\n    lang: bash\n    handler: ./f\n    \
                  image: 1.dkr.ecr.eu-west-1.amazonaws.com/f\n    lambda: {package: image}\n";
    test()
        .file("stack.yml", lambda)
        .args(["up", "--sbom"])
        .status(6)
        .stderr_has("Lambda refuses images with an SBOM")
        .run();
}

#[test]
fn an_image_is_the_one_that_buildctl_makes() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let (Some(host), Some(buildctl)) = (bed("FAAS_BUILDKIT"), bed("BUILDCTL")) else { return };
    let dockerfile = "FROM BASE\nARG WORD\nRUN echo $WORD >/word\nENV A=1\nCOPY . /app\n";
    let done = project(&registry, "alike", "debian:bookworm", dockerfile)
        .file("tax/.dockerignore", "*.md\n")
        .file("tax/a.txt", format!("{}\n", std::process::id()))
        .file("tax/b.md", "")
        .env("BUILDKIT_HOST", &host)
        .args(["build", "--push", "-b", "WORD=hi", "--output", "json"])
        .run();
    let name = format!("alike-{}", std::process::id());
    let manifest = get(&registry, &format!("{name}/manifests/{}", digest(&done)));
    let config = get(&registry, &format!("{name}/blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
    let context = done.dir().join("build/tax");
    let mut command = Command::new(buildctl);
    command.args(["--addr", &host, "build", "--frontend", "dockerfile.v0", "--opt", "build-arg:WORD=hi"]);
    for folder in ["context", "dockerfile"] {
        command.args(["--local", &format!("{folder}={}", context.display())]);
    }
    for (label, value) in config["config"]["Labels"].as_object().unwrap() {
        command.args(["--opt", &format!("label:{label}={}", value.as_str().unwrap())]);
    }
    let told = done.dir().join("told.json");
    command.args(["--output", &format!("type=image,name={registry}/test/{name}-too,push=true"), "--metadata-file"]);
    let output = command.arg(&told).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(told).unwrap()).unwrap();
    assert_eq!(told["containerimage.digest"], digest(&done).as_str());
}
