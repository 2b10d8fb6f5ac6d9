//! An embedded platform of a test's own, on a free port, with Python functions on it, asked by raw HTTP.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

use super::{Done, Test};

/// The daemon, stopped at the end.
pub struct Platform {
    done: Done,
    pub url: String,
    pub authorization: String,
    /// Its folder.
    pub local: PathBuf,
}

/// What it answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON: {e}\n{}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Platform {
    pub fn start() -> Self {
        Self::with(Test::new(), &[])
    }

    /// Started with more flags, from a test that may have an environment.
    pub fn with(test: Test, flags: &[&str]) -> Self {
        let start = ["local", "start", "--port", "0", "--output", "json"];
        let done = test.args(start.iter().chain(flags).copied()).run();
        let url = done.json()["url"].as_str().expect("url").to_owned();
        let local = done.faas_home().join("data/local");
        let token = std::fs::read_to_string(local.join("token")).expect("token");
        let encoded = base64::prelude::BASE64_STANDARD.encode(format!("admin:{token}"));
        Self { done, url, authorization: format!("Basic {encoded}"), local }
    }

    /// A command in the platform's home.
    pub fn faas<const N: usize>(&self, args: [&str; N]) -> Test {
        self.done.then().args(args)
    }

    pub fn dir(&self) -> PathBuf {
        self.done.dir()
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("url")
    }

    /// Opens a connection and sends a request; the answer can be read from it.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut socket = TcpStream::connect(self.address()).expect("the platform listens");
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.address());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut writer = socket.try_clone().expect("socket");
        let body = body.to_vec();
        socket.write_all(head.as_bytes()).expect("head");
        // Large bodies are sent while the answer is read.
        std::thread::spawn(move || writer.write_all(&body));
        socket
    }

    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut raw = Vec::new();
        self.send(method, path, headers, body).read_to_end(&mut raw).expect("answer");
        parse(&raw)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, &[], body.as_bytes())
    }

    /// A call with user and token.
    #[track_caller]
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        self.request(method, path, &[("Authorization", &self.authorization)], body.as_bytes())
    }

    /// A folder with files, and how it is run.
    pub fn bundle(&self, name: &str, files: &[(&str, &str)], command: &str) -> Value {
        let dir = self.dir().join(name);
        std::fs::create_dir_all(&dir).expect("bundle");
        for (path, text) in files {
            std::fs::write(dir.join(path), text).expect("file");
        }
        json!({"dir": dir, "digest": name, "run": {"command": command}})
    }

    /// `function.py` under a label.
    pub fn python(&self, label: &str) -> Value {
        self.bundle(label, &[("main.py", include_str!("function.py"))], &format!("python3 main.py {label}"))
    }

    /// What deploys a bundle.
    pub fn deployment(name: &str, bundle: &Value) -> Value {
        json!({"service": name, "image": format!("bundle:{}", bundle["digest"].as_str().unwrap()), "bundle": bundle})
    }

    #[track_caller]
    pub fn deploy(&self, name: &str, bundle: &Value) -> Answer {
        self.admin("POST", "/system/functions", &Self::deployment(name, bundle).to_string())
    }

    #[track_caller]
    pub fn update(&self, name: &str, bundle: &Value) -> Answer {
        self.admin("PUT", "/system/functions", &Self::deployment(name, bundle).to_string())
    }

    /// Ends the daemon as a power cut would, and starts another in its place.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        let again = self.faas(["local", "start", "--port", "0", "--output", "json"]).run();
        self.url = again.json()["url"].as_str().expect("url").to_owned();
    }

    /// Ends the daemon as a power cut would.
    pub fn kill(&self) {
        let state: Value =
            serde_json::from_slice(&std::fs::read(self.local.join("running.json")).expect("state")).expect("JSON");
        let pid = state["pid"].as_u64().expect("pid");
        kill(pid);
    }

    /// Waits until it is so.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        until(what, &mut is_so);
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.faas(["local", "stop", "--timeout", "20s"]).command().output();
    }
}

/// Ends a process at once.
pub fn kill(pid: u64) {
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
    assert!(killed.success());
    until("the process is gone", &mut || !is_alive(pid));
}

/// Whether a process runs; a zombie does not.
pub fn is_alive(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

#[track_caller]
fn until(what: &str, is_so: &mut dyn FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads an answer of HTTP/1.1.
pub fn parse(raw: &[u8]) -> Answer {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
        panic!("no head in the answer: {}", String::from_utf8_lossy(raw));
    });
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).expect("status");
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(": ")).map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned())).collect();
    let mut body = raw[end + 4..].to_vec();
    if headers.iter().any(|(k, v)| k == "transfer-encoding" && v == "chunked") {
        body = dechunk(&body);
    }
    Answer { status, headers, body }
}

fn dechunk(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&raw[..end]).ok().and_then(|t| usize::from_str_radix(t, 16).ok()).expect("size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&raw[end + 2..end + 2 + size]);
        raw = &raw[end + 4 + size..];
    }
    panic!("the answer was cut");
}
