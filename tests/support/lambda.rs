//! The Lambda bed of tests: moto (started when it does not run), and for each test an oracle between it and moto that
//! checks every request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Done, Test};

pub const HANDLER: &str = "import json\n\n\ndef handle(req):\n    print('asked for tax')\n    return json.dumps({'tax': json.loads(req)['subtotal'] * 0.047})\n";
pub const MOTO: &str = "127.0.0.1:5555";

pub fn stack(name: &str, more: &str) -> String {
    format!(
        "provider: {{name: lambda, lambda: {{region: us-east-1}}}}\nname: {name}\nfunctions:\n  {name}-tax:\n    lang: python3\n    handler: ./tax\n{more}"
    )
}

/// A project; without a bed, in front of an address where nobody answers.
pub fn project(name: &str, more: &str) -> Test {
    Test::new()
        .file("stack.yml", stack(name, more))
        .file("tax/handler.py", HANDLER)
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

pub fn with_keys(test: Test, endpoint: &str) -> Test {
    test.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_ENDPOINT_URL", endpoint)
}

/// Whether the bed is asked for; then moto runs.
pub fn bed() -> bool {
    static MOTO_RUNS: OnceLock<()> = OnceLock::new();
    if std::env::var("FAAS_TEST_LAMBDA").as_deref() != Ok("1") {
        eprintln!("skipped: FAAS_TEST_LAMBDA is not 1");
        return false;
    }
    MOTO_RUNS.get_or_init(|| {
        if TcpStream::connect(MOTO).is_ok() {
            // What a run before has left.
            request(MOTO, "/moto-api/reset", "").unwrap();
            return;
        }
        let status = Command::new(here().join("testbed.sh")).args(["up", "5555"]).stdout(Stdio::null()).status();
        assert!(status.unwrap().success(), "testbed.sh up");
        assert!(TcpStream::connect(MOTO).is_ok(), "moto does not listen on {MOTO}");
    });
    true
}

/// A file of the bed's cache.
pub fn cached(path: &str) -> PathBuf {
    let cache = std::env::var("FAAS_TESTBED_CACHE")
        .unwrap_or_else(|_| format!("{}/.cache/faas-testbed", std::env::var("HOME").unwrap()));
    Path::new(&cache).join("lambda").join(path)
}

pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beds/lambda")
}

/// The oracle of one test. Dropped at the end of the test, it must have seen no violation.
pub struct Oracle {
    child: Child,
    pub address: String,
    log: tempfile::TempDir,
}

impl Oracle {
    pub fn start(chaos: &str) -> Self {
        Self::start_at("127.0.0.1", chaos, "test")
    }

    /// On an address that containers reach, too, for calls that are signed with `secret`.
    pub fn start_at(host: &str, chaos: &str, secret: &str) -> Self {
        Self::start_with(host, chaos, secret, &[])
    }

    /// The same, with more of its flags.
    pub fn start_with(host: &str, chaos: &str, secret: &str, more: &[&str]) -> Self {
        let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string();
        let log = tempfile::tempdir().unwrap();
        let child = Command::new(cached("venv/bin/python"))
            .arg(here().join("lambda_oracle.py"))
            .args([
                "--listen",
                &address,
                "--upstream",
                &format!("http://{MOTO}"),
                "--chaos",
                chaos,
                "--secret",
                secret,
                "--out",
            ])
            .arg(log.path().join("requests"))
            .args(more)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < until, "the oracle does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, address, log }
    }

    /// The operations since the last time that this was asked.
    pub fn seen(&self) -> Vec<String> {
        let all = self.requests();
        let mark = self.log.path().join("mark");
        let from = std::fs::read_to_string(&mark).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        std::fs::write(&mark, all.len().to_string()).unwrap();
        all[from..].iter().map(|request| request["op"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub fn requests(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log.path().join("requests")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn project(&self, name: &str, more: &str) -> Test {
        with_keys(project(name, more), &format!("http://{}", self.address))
    }

    /// Ends it, and fails on anything it found wrong.
    pub fn check(&self) {
        let all = self.requests();
        let wrong: Vec<&Value> =
            all.iter().filter(|request| request["errors"].as_array().is_none_or(|e| !e.is_empty())).collect();
        assert!(!all.is_empty() && wrong.is_empty(), "the oracle found\n{wrong:#?}");
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn unchanged(done: &Done, oracle: &Oracle) {
    oracle.seen();
    done.then().arg("up").stdout_has("unchanged").run();
    let mut seen = oracle.seen();
    seen.sort();
    assert_eq!(seen, ["GetAlias", "GetFunction"]);
}

pub fn remove(done: &Done, function: &str) {
    done.then().args(["remove", function]).run();
    done.then().args(["describe", function]).status(4).run();
}
/// The host's address in the engine's network.
pub fn bridge() -> String {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let output = Command::new("docker").args(["network", "inspect", "bridge", "-f", format]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if text.is_empty() { "172.17.0.1".into() } else { text }
}
pub fn post(address: &str, body: &str) -> std::io::Result<String> {
    request(address, "/2015-03-31/functions/function/invocations", body)
}

pub fn request(address: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

/// What a line of Python says, for which `c('lambda')` is a client of the bed as somebody else has it.
pub fn aws(region: &str, line: &str) -> String {
    let head = format!(
        "import boto3\nc = lambda name: boto3.client(name, region_name='{region}', endpoint_url='http://{MOTO}', aws_access_key_id='test', aws_secret_access_key='test')\n"
    );
    let told = Command::new(cached("venv/bin/python")).args(["-c", &format!("{head}{line}")]).output().unwrap();
    assert!(told.status.success(), "{line}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}
