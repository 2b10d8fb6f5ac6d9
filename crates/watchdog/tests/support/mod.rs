//! What the sessions share: a log that can be read, invokers around a test server, calls in one line.
#![allow(dead_code)] // each test binary uses its part

pub mod alike;
pub mod case;
pub mod process;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faas_watchdog::{Body, Config, Invoker, LogSink, Mode, Stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

/// Long enough for any machine; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps every line.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
}

impl LogSink for Log {
    fn line(&self, stream: Stream, line: &[u8]) {
        let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
        self.lines.lock().unwrap().push(format!("{name}: {}", String::from_utf8_lossy(line)));
    }

    fn note(&self, message: &str) {
        self.lines.lock().unwrap().push(format!("note: {message}"));
    }
}

impl Log {
    pub fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub fn count(&self, part: &str) -> usize {
        self.all().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line with this in it.
    pub async fn wait_for(&self, part: &str) -> String {
        self.wait_for_count(part, 1).await.pop().unwrap()
    }

    pub async fn wait_for_count(&self, part: &str, count: usize) -> Vec<String> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found: Vec<String> = self.all().into_iter().filter(|line| line.contains(part)).collect();
            if found.len() >= count {
                return found;
            }
            assert!(tokio::time::Instant::now() < until, "never in the log: {part}\n{:#?}", self.all());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The environment of the tests' children: just enough to find an interpreter.
pub fn environment() -> Vec<(String, String)> {
    ["PATH", "HOME"].into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

fn base(mode: Mode, command: &[&str]) -> Config {
    let mut config = Config::new(mode, command.iter().map(|word| (*word).to_owned()).collect());
    config.env = environment();
    config.exec_timeout = PATIENCE;
    config.read_timeout = PATIENCE;
    config.write_timeout = PATIENCE;
    config.start_wait = PATIENCE;
    config
}

/// A command in a mode, with limits that are never reached.
pub fn config(mode: Mode, command: &[&str]) -> Config {
    base(mode, command)
}

/// The test server in http mode.
pub fn server() -> Config {
    base(Mode::Http, &["python3", "-u", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py")])
}

pub fn start(config: Config) -> (Arc<Invoker>, Arc<Log>) {
    let log = Arc::new(Log::default());
    (Invoker::start(config, log.clone()).unwrap(), log)
}

pub async fn started(config: Config) -> (Arc<Invoker>, Arc<Log>) {
    let (invoker, log) = start(config);
    if let Err(error) = invoker.wait_ready(PATIENCE).await {
        panic!("{error}\n{:#?}", log.all());
    }
    (invoker, log)
}

pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "fn.example").body(Full::new(body.into())).unwrap()
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "fn.example").body(Full::default()).unwrap()
}

pub async fn text(response: Response<Body>) -> String {
    let bytes = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.expect("a body that ends");
    String::from_utf8_lossy(&bytes.expect("a whole body").to_bytes()).into_owned()
}

/// Status and body of a call.
pub async fn call(invoker: &Invoker, request: Request<Full<Bytes>>) -> (u16, String) {
    let response = tokio::time::timeout(PATIENCE, invoker.call(request)).await.expect("an answer");
    (response.status().as_u16(), text(response).await)
}

pub async fn json(invoker: &Invoker, request: Request<Full<Bytes>>) -> serde_json::Value {
    let (status, body) = call(invoker, request).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Whether a process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

pub async fn until_gone(pid: u32) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while alive(pid) {
        assert!(tokio::time::Instant::now() < until, "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
