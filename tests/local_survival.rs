//! The embedded platform's queue, and what survives when it is killed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::support::platform::{Answer, Platform, is_alive, parse};

/// Takes callbacks.
struct Callbacks {
    url: String,
    got: Arc<Mutex<Vec<Answer>>>,
}

impl Callbacks {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Answer>>> = Arc::default();
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut raw = Vec::new();
                let mut chunk = [0; 4096];
                loop {
                    let read = socket.read(&mut chunk).unwrap();
                    raw.extend_from_slice(&chunk[..read]);
                    let Some(head) = raw.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
                    // A request's head reads like an answer's, apart from its first line.
                    let path = String::from_utf8_lossy(&raw).split(' ').nth(1).unwrap().to_owned();
                    let whole =
                        [b"HTTP/1.1 200 OK", &raw[raw.windows(2).position(|w| w == b"\r\n").unwrap()..]].concat();
                    let mut answer = parse(&whole);
                    let length: usize = answer.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
                    if raw.len() >= head + 4 + length {
                        answer.headers.push(("path".into(), path));
                        kept.lock().unwrap().push(answer);
                        break;
                    }
                }
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { url, got }
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

fn call_async(platform: &Platform, path: &str, callback: &str, body: &[u8]) -> Answer {
    platform.request("POST", &format!("/async-function/{path}"), &[("X-Callback-Url", callback)], body)
}

#[test]
fn a_queued_call_is_accepted_and_its_answer_posted() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    let callbacks = Callbacks::listen();
    // Larger than what the database holds by itself.
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let accepted = call_async(&platform, "echo/raw", &format!("{}/large", callbacks.url), &large);
    assert_eq!((accepted.status, accepted.text().as_str()), (202, ""));
    let id = accepted.header("x-call-id").unwrap().to_owned();
    platform.until("the callback", || callbacks.count() == 1);
    {
        let got = callbacks.got.lock().unwrap();
        assert!(got[0].body == large, "{} bytes came back", got[0].body.len());
        for (header, value) in
            [("path", "/large"), ("x-call-id", &id), ("x-function-name", "echo"), ("x-function-status", "200")]
        {
            assert_eq!(got[0].header(header), Some(value), "{header}");
        }
        assert!(got[0].header("x-duration-seconds").is_some());
    }
    call_async(&platform, "none", &callbacks.url, b"x");
    platform.until("the second callback", || callbacks.count() == 2);
    assert_eq!(callbacks.got.lock().unwrap()[1].header("x-function-status"), Some("404"));
    assert_eq!(platform.get("/async-function/echo").status, 405);
    platform.until("the queue is empty", || platform.admin("GET", "/system/queue", "").json()["length"] == 0);
    assert_eq!(std::fs::read_dir(platform.local.join("queue")).unwrap().count(), 0);
}

#[test]
fn a_body_that_the_queue_does_not_take_is_refused_and_leaves_nothing() {
    let platform = Platform::with(crate::support::Test::new(), &["--queue-body", "100000"]);
    platform.deploy("echo", &platform.python("echo"));
    let refused = platform.request("POST", "/async-function/echo", &[], &vec![b'x'; 100_001]);
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("100000 bytes"), "{}", refused.text());
    // More than sockets hold: a client that only reads once all is sent must get the answer, not a broken pipe.
    for body in [20_000_000, 20_000_001] {
        let refused = platform.request("POST", "/async-function/echo", &[], &vec![b'x'; body]);
        assert_eq!(refused.status, 413);
    }
    assert_eq!(std::fs::read_dir(platform.local.join("queue")).unwrap().count(), 0);
}

#[test]
fn a_call_that_nobody_takes_is_put_aside_and_its_callback_told() {
    let platform = Platform::with(crate::support::Test::new(), &["--queue-attempts", "2"]);
    platform.deploy("echo", &platform.python("echo"));
    let callbacks = Callbacks::listen();
    call_async(&platform, "echo/crash", &callbacks.url, b"");
    platform.until("the callback", || callbacks.count() == 1);
    assert_eq!(callbacks.got.lock().unwrap()[0].header("x-function-status"), Some("502"));
    platform.until("it is put aside", || platform.admin("GET", "/system/queue", "").json()["length"] == 0);
    let dead = &platform.admin("GET", "/system/queue", "").json()["dead"];
    assert_eq!((dead[0]["function"].as_str(), dead[0]["attempts"].as_u64()), (Some("echo"), Some(2)));
}

#[test]
fn killed_at_any_moment_functions_come_back_and_no_accepted_call_is_lost() {
    let mut platform = Platform::start();
    platform.admin("POST", "/system/namespace/", r#"{"name":"shop","labels":{"openfaas":"1"}}"#);
    platform.admin("POST", "/system/secrets", r#"{"name":"key","value":"kept"}"#);
    let bundle = platform.python("echo");
    let mut deployment = Platform::deployment("echo", &bundle);
    deployment["secrets"] = serde_json::json!(["key"]);
    deployment["labels"] = serde_json::json!({"com.openfaas.scale.min": "2"});
    assert_eq!(platform.admin("POST", "/system/functions", &deployment.to_string()).status, 200);
    let created = platform.admin("GET", "/system/function/echo", "").json()["createdAt"].clone();
    let old: u64 = platform.get("/function/echo/pid").text().parse().unwrap();
    platform.get("/function/echo/log/before");
    let calls = 20;
    for number in 0..calls {
        assert_eq!(platform.post(&format!("/async-function/echo/mark/{number}"), "").status, 202);
    }
    platform.kill_and_restart();
    assert!(!is_alive(old), "a process of the killed platform goes on");
    let described = platform.admin("GET", "/system/function/echo", "").json();
    assert_eq!((&described["replicas"], &described["createdAt"]), (&2.into(), &created));
    assert_eq!(platform.get("/function/echo/secret/key").text(), "kept");
    assert!(platform.admin("GET", "/system/namespaces", "").text().contains("shop"));
    assert!(platform.admin("GET", "/system/logs?name=echo", "").text().contains("\"before\""));
    // Once more, while the calls are being made again.
    platform.kill_and_restart();
    let dir = platform.dir().join("echo");
    std::fs::write(dir.join("go"), "").unwrap();
    platform.until("all calls are made", || {
        let marks = std::fs::read_to_string(dir.join("marks")).unwrap_or_default();
        (0..calls).all(|number| marks.lines().any(|line| line == number.to_string()))
    });
    platform.until("the queue is empty", || platform.admin("GET", "/system/queue", "").json()["length"] == 0);
}

#[test]
fn a_stop_answers_what_is_in_flight_and_the_functions_end_with_it() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    let pid: u64 = platform.get("/function/echo/pid").text().parse().unwrap();
    let dir = platform.dir().join("echo");
    let mut call = platform.send("GET", "/function/echo/mark/slow", &[], b"");
    platform.until("the call is in flight", || {
        platform
            .get("/metrics")
            .text()
            .contains("gateway_function_invocation_inflight{function_name=\"echo.openfaas-fn\"} 1")
    });
    let stopping = platform.faas(["local", "stop"]).spawn();
    platform.until("it takes no more calls", || {
        std::net::TcpStream::connect(platform.url.strip_prefix("http://").unwrap()).is_err()
    });
    std::fs::write(dir.join("go"), "").unwrap();
    let mut answer = Vec::new();
    call.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer).status, 200);
    let stopped = stopping.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stopped.stdout), "Stopped the embedded platform\n");
    assert!(!is_alive(pid));
}
