//! The real API server behind a relay that can cut, delay, refuse and lie: for faults that it doesn't have on demand.
//! `kubectl proxy` takes TLS and credentials off; the relay reads the first line of each request and does as it is told.
#![allow(dead_code, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bed::Place;

/// What becomes of a request.
pub enum Does {
    /// It is passed on as it is.
    Pass,
    /// It is passed on with another first line.
    Rewrite(String),
    /// The relay answers itself: head and body.
    Answer(String),
    /// It is closed without an answer.
    Close,
    /// It never gets an answer.
    Hang,
}

type Rule = Box<dyn FnMut(&str) -> Does + Send>;

struct Shared {
    upstream: u16,
    rule: Mutex<Rule>,
    asked: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
    down: AtomicBool,
}

pub struct Relay {
    port: u16,
    namespace: String,
    shared: Arc<Shared>,
    kubectl: Child,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.down(true);
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

impl Relay {
    pub fn new(place: &Place) -> Self {
        let mut command = Command::new(&place.bed.kubectl);
        command.args(["--kubeconfig", &place.bed.kubeconfig, "proxy", "--port=0"]).stdout(Stdio::piped());
        let mut kubectl = command.spawn().expect("kubectl runs");
        let mut line = String::new();
        BufReader::new(kubectl.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let upstream = line.trim().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            upstream,
            rule: Mutex::new(Box::new(|_| Does::Pass)),
            asked: Mutex::default(),
            open: Mutex::default(),
            down: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                if !shared.down.load(Ordering::SeqCst) {
                    std::thread::spawn(move || serve(stream, &shared));
                }
            }
        });
        Self { port, namespace: place.namespace.clone(), shared, kubectl }
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self) -> String {
        let (port, namespace) = (self.port, &self.namespace);
        format!(
            "{{apiVersion: v1, kind: Config, current-context: relay, clusters: [{{name: relay, cluster: {{server: \
             'http://127.0.0.1:{port}'}}}}], contexts: [{{name: relay, context: {{cluster: relay, namespace: \
             {namespace}}}}}], users: []}}"
        )
    }

    /// From now on, requests are looked at by their first line.
    pub fn rule(&self, rule: impl FnMut(&str) -> Does + Send + 'static) {
        *self.shared.rule.lock().expect("lock") = Box::new(rule);
    }

    /// First lines of requests that hold all of `parts`.
    pub fn asked(&self, parts: &[&str]) -> usize {
        let asked = self.shared.asked.lock().expect("lock");
        asked.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        cut(&self.shared);
    }

    /// Cuts every connection and takes no other, or takes them again.
    pub fn down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
        if down {
            self.cut();
        }
    }

    /// A rule's own hand on the relay.
    pub fn hand(&self) -> Hand {
        Hand(self.shared.clone())
    }
}

/// Takes the relay down from within a rule.
pub struct Hand(Arc<Shared>);

impl Hand {
    /// Down in a moment, and up again after that long; never when `None`.
    pub fn down_soon(&self, back: Option<Duration>) {
        let shared = self.0.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            shared.down.store(true, Ordering::SeqCst);
            cut(&shared);
            if let Some(back) = back {
                std::thread::sleep(back);
                shared.down.store(false, Ordering::SeqCst);
            }
        });
    }
}

fn cut(shared: &Shared) {
    for stream in shared.open.lock().expect("lock").drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let keep = |stream: &TcpStream| shared.open.lock().expect("lock").extend(stream.try_clone());
    keep(&stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if !stream.read(&mut byte).is_ok_and(|n| n == 1) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    shared.asked.lock().expect("lock").push(line.to_owned());
    let does = (shared.rule.lock().expect("lock"))(line);
    let line = match does {
        Does::Pass => line.to_owned(),
        Does::Rewrite(line) => line,
        Does::Answer(answer) => return drop(stream.write_all(answer.as_bytes())),
        Does::Close => return drop(stream.shutdown(Shutdown::Both)),
        Does::Hang => return drop(stream.read(&mut byte)),
    };
    // One request a connection, so that each first line is seen; a connection that changes its protocol stays.
    let close = if headers.to_lowercase().contains("\r\nupgrade:") { "" } else { "Connection: close\r\n" };
    let Ok(mut there) = TcpStream::connect(("127.0.0.1", shared.upstream)) else { return };
    keep(&there);
    if there.write_all(format!("{line}\r\n{close}{headers}").as_bytes()).is_err() {
        return;
    }
    let (Ok(mut from), Ok(mut to)) = (stream.try_clone(), there.try_clone()) else { return };
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let _ = std::io::copy(&mut there, &mut stream);
    let _ = stream.shutdown(Shutdown::Both);
}

/// An answer of Kubernetes: a `Status` with that code.
pub fn status(code: u16, reason: &str, message: &str) -> String {
    let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
        "reason": reason, "code": code});
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {code} No\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A watch that begins, and says at once that it is too late for it.
pub fn expired_watch() -> String {
    let event = serde_json::json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1",
        "status": "Failure", "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410}});
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{event}\n")
}
