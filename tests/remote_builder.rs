//! Images by OpenFaaS's builder: a builder of the test's own, which verifies what the real one does. It can't be had.
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::support::Test;
use crate::support::server::{Asked, Server, answer};

const SECRET: &str = "payload-s3cr3t";
/// A key pair of faas-cli's.
const PUBLIC: &str = include_str!("sealed/key.pub");
const PRIVATE: &str = include_str!("sealed/key");

type Files = BTreeMap<String, Vec<u8>>;

struct Builder {
    server: Server,
    got: Arc<Mutex<Vec<Files>>>,
}

impl Builder {
    /// Answers a build that is signed as it must be with `lines`.
    fn new(lines: &'static str) -> Self {
        let got: Arc<Mutex<Vec<Files>>> = Arc::default();
        let all = got.clone();
        let server = Server::new(move |asked| match asked.line.as_str() {
            "GET /publickey" => {
                let body = serde_json::json!({ "key_id": "x", "algorithm": "nacl/box", "public_key": PUBLIC });
                answer("200 OK", &[("Content-Type", "application/json")], &body.to_string())
            }
            "POST /build" if !is_signed(asked) => answer("401 Unauthorized", &[], "invalid signature"),
            "POST /build" => {
                all.lock().unwrap().push(unpacked(&asked.body));
                answer("202 Accepted", &[("Content-Type", "application/x-ndjson")], lines)
            }
            _ => answer("404 Not Found", &[], "no such page"),
        });
        Self { server, got }
    }

    fn got(&self) -> Vec<Files> {
        self.got.lock().unwrap().clone()
    }
}

fn is_signed(asked: &Asked) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&asked.body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    asked.header("x-build-signature") == Some(&format!("sha256={hex}"))
        && asked.header("content-type") == Some("application/octet-stream")
        && asked.header("accept") == Some("application/x-ndjson")
}

fn unpacked(body: &[u8]) -> Files {
    let mut archive = tar::Archive::new(body);
    let file = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    archive.entries().unwrap().map(file).collect()
}

const DONE: &str = concat!(
    "{\"log\":[\"v: one\",\"v: two\"],\"status\":\"in_progress\"}\n",
    "{\"log\":null,\"image\":\"reg.example/tax:1\",\"status\":\"success\"}\n"
);

fn project(builder: &str) -> Test {
    let stack = "provider: {name: openfaas}\nfunctions:\n  tax:\n    lang: dockerfile\n    handler: ./tax\n    image: reg.example/tax:1\n    \
                 build_args: {A: b}\n    build_secrets: {token: ./token.txt}\n";
    Test::new()
        .file("stack.yml", stack)
        .file("tax/Dockerfile", "FROM scratch\n")
        .file("tax/left-out.txt", "x")
        .file("tax/.dockerignore", "left-out.txt\n")
        .file("token.txt", "build-s3cr3t")
        .file("payload.txt", format!("{SECRET}\n"))
        .file("key", PRIVATE)
        .file("wrong.txt", "another")
        .args(["build", "--remote-builder", builder, "--payload-secret", "payload.txt"])
}

#[test]
fn a_build_is_signed_and_its_secrets_are_sealed() {
    let builder = Builder::new(DONE);
    let done = project(&format!("{}/ignored/path", builder.server.url)).args(["--build-arg", "C=d"]).run();
    assert!(done.stderr.contains("built and pushed by the builder"), "{}", done.stderr);
    assert_eq!(builder.server.lines(), ["GET /publickey", "POST /build"]);
    let got = builder.got().remove(0);
    let names: Vec<&String> = got.keys().collect();
    assert_eq!(
        names,
        ["com.openfaas.docker.config", "com.openfaas.secrets", "context/.dockerignore", "context/Dockerfile"]
    );
    let config: serde_json::Value = serde_json::from_slice(&got["com.openfaas.docker.config"]).unwrap();
    assert_eq!(config, serde_json::json!({"image": "reg.example/tax:1", "buildArgs": {"A": "b", "C": "d"}}));
    let sealed = String::from_utf8(got["com.openfaas.secrets"].clone()).unwrap();
    assert!(!sealed.contains("s3cr3t"), "{sealed}");
    let opened =
        done.then().file("sealed", &sealed).args(["secret", "unseal", "key", "--in", "sealed", "--key", "token"]);
    opened.stdout("build-s3cr3t").run();
    assert!(!(done.stdout + &done.stderr).contains("s3cr3t"));
}

#[test]
fn by_the_environment_and_with_a_key_of_ones_own() {
    let builder = Builder::new(DONE);
    let test = project("")
        .replace_args(["build"])
        .env("OPENFAAS_REMOTE_BUILDER", &builder.server.url)
        .env("OPENFAAS_PAYLOAD_SECRET", "payload.txt")
        .env("OPENFAAS_BUILDER_PUBLIC_KEY", format!("{{\"public_key\": \"{PUBLIC}\"}}"));
    let done = test.run();
    assert_eq!(builder.server.lines(), ["POST /build"], "nobody is asked for a key that is known: {}", done.stderr);
}

#[test]
fn several_platforms_are_published_at_once() {
    let builder = Builder::new(DONE);
    project("")
        .replace_args(["publish", "--platforms", "linux/amd64,linux/arm64", "--remote-builder", &builder.server.url])
        .args(["--payload-secret", "payload.txt", "--builder-public-key", PUBLIC])
        .run();
    let config: serde_json::Value = serde_json::from_slice(&builder.got()[0]["com.openfaas.docker.config"]).unwrap();
    assert_eq!(config["platforms"], serde_json::json!(["linux/amd64", "linux/arm64"]));
}

#[test]
fn what_goes_wrong_is_told() {
    let failed = Builder::new("{\"log\":[\"step 1\"],\"status\":\"failed\",\"error\":\"exit code: 1\"}\n");
    project(&failed.server.url).status(1).stderr_has("exit code: 1").stderr_has("step 1").run();
    let cut = Builder::new("{\"log\":[\"step 1\"],\"status\":\"in_progress\"}\n");
    project(&cut.server.url).status(1).stderr_has("ended before the build did").run();
    let html = Builder::new("<html>\n");
    project(&html.server.url).status(1).stderr_has("answers what can't be read").run();
    let good = Builder::new(DONE);
    let wrong =
        project("").replace_args(["build", "--remote-builder", &good.server.url, "--payload-secret", "wrong.txt"]);
    wrong.status(5).stderr_has("invalid signature").stderr_has("look at --payload-secret").run();
    assert!(good.got().is_empty());
    project("")
        .replace_args(["build", "--remote-builder", &good.server.url])
        .status(2)
        .stderr_has("--payload-secret")
        .run();
    project("ftp://x").status(2).stderr_has("is no address of a builder").run();
    project("http://127.0.0.1:9").status(1).stderr_has("can't reach the builder").run();
    let key = project(&good.server.url).args(["--builder-public-key", "short"]);
    key.status(2).stderr_has("invalid public key").run();
}
