//! The binary as a container runs it: environment in, HTTP over a socket, signals.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::process::{Watchdog, ports, raw, split};
use support::{PATIENCE, alive};

const SERVER: &str = concat!("python3 -u ", env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");

fn until_gone(pid: u32) {
    let until = Instant::now() + PATIENCE;
    while alive(pid) {
        assert!(Instant::now() < until, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn child_of(watchdog: &Watchdog) -> u32 {
    let seen: serde_json::Value = serde_json::from_str(&watchdog.get("/request").1).unwrap();
    seen["pid"].as_u64().unwrap() as u32
}

#[test]
fn the_paths_of_its_own() {
    let watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http")]);
    assert_eq!(watchdog.get("/_/health"), (200, "OK".into()));
    assert_eq!(watchdog.get("/_/ready"), (200, "OK".into()));
    assert_eq!(
        split(&watchdog.raw(b"POST /_/health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).0,
        405
    );
    assert_eq!(watchdog.get("/echo?status=201").0, 201);
    let (status, figures) = watchdog.get("/metrics");
    assert_eq!(status, 200);
    assert!(figures.contains("http_requests_total{code=\"201\",method=\"get\"} 1\n"), "{figures}");
    assert!(figures.contains("http_requests_in_flight 0\n"), "{figures}");
    let again = raw(watchdog.metrics_port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(split(&again).1, figures);
    assert!(watchdog.folder.path().join(".lock").exists(), "health checks of existing images look for it");
}

#[test]
fn a_metrics_port_that_is_taken_is_no_disaster() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut watchdog = Watchdog::ready(&[("fprocess", "cat"), ("metrics_port", &port)]);
    watchdog.until_line(&format!("no metrics on port {port}: "));
    assert_eq!(watchdog.get("/metrics").0, 200);
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut watchdog = Watchdog::start(&[("fprocess", "cat"), ("port", &port)]);
    assert_eq!(watchdog.exit_code(), Some(1));
    watchdog.until_line(&format!("can't listen on port {port}: "));
}

#[test]
fn what_can_not_be_run_is_said() {
    for (variables, says) in [
        (&[][..], "no command to run: set fprocess"),
        (&[("fprocess", "no-such-thing")][..], "no-such-thing: no such program (looked in "),
        (&[("fprocess", "cat"), ("mode", "inproc")][..], "mode: `inproc` is none of"),
    ] {
        let mut watchdog = Watchdog::start(variables);
        assert_eq!(watchdog.exit_code(), Some(1), "{says}");
        watchdog.until_line(says);
    }
}

#[test]
fn a_connection_is_kept_alive_and_heads_are_answered_without_body() {
    let watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http")]);
    let answer = watchdog.raw(
        b"HEAD /head-of?bytes=77 HTTP/1.1\r\nHost: x\r\n\r\n\
          POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
          GET /chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    let mut answers = answer.split("HTTP/1.1 200 OK\r\n").skip(1);
    let head = answers.next().unwrap();
    assert!(head.contains("content-length: 77\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(answers.next().unwrap().ends_with("\r\n\r\nabcde"), "{answer}");
    let chunked = answers.next().unwrap();
    assert!(chunked.contains("transfer-encoding: chunked\r\n") && chunked.ends_with("\r\n0\r\n\r\n"), "{chunked}");
}

#[test]
fn a_caller_that_asks_before_it_sends_is_told_to_go_on() {
    for variables in [&[("fprocess", SERVER), ("mode", "http")][..], &[("fprocess", "cat")][..]] {
        let watchdog = Watchdog::ready(variables);
        let mut stream = watchdog.connect();
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"hello").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("hello"), "{answer}");
    }
}

#[test]
fn large_heads() {
    let watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http")]);
    let large = "z".repeat(60_000);
    let request = format!("GET /request HTTP/1.1\r\nHost: x\r\nX-Large: {large}\r\nConnection: close\r\n\r\n");
    let (status, body) = split(&watchdog.raw(request.as_bytes()));
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(&large));
}

#[test]
fn a_websocket_is_a_tunnel() {
    let watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http")]);
    let mut stream = watchdog.connect();
    let ask = "HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    write!(stream, "GET /websocket {ask}").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("sec-websocket-accept: ok\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
    for word in ["one", "two"] {
        stream.write_all(word.as_bytes()).unwrap();
        let mut back = [0; 3];
        reader.read_exact(&mut back).unwrap();
        assert_eq!(&back, word.to_uppercase().as_bytes());
        assert!(watchdog.get("/metrics").1.contains("http_requests_in_flight 1\n"), "a tunnel is a call under way");
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    // A function that knows no WebSocket just answers.
    let mut stream = watchdog.connect();
    write!(stream, "GET /echo?status=404 {ask}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 404 Not Found\r\n");
}

/// More than any buffer on the way, and far more than the memory allowed.
const MUCH: usize = 200_000_000;

#[test]
fn two_hundred_megabytes_go_through_cat_without_being_held() {
    let watchdog = Watchdog::ready(&[("fprocess", "cat"), ("mode", "streaming")]);
    let stream = watchdog.connect();
    let mut sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        write!(sender, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {MUCH}\r\nConnection: close\r\n\r\n").unwrap();
        let piece: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
        for _ in 0..MUCH / piece.len() {
            sender.write_all(&piece).unwrap();
        }
    });
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let mut total = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).unwrap();
        if size == 0 {
            break;
        }
        for (n, byte) in chunk[..size].iter().enumerate() {
            assert_eq!(*byte, ((total + n) % 1_000_000 % 251) as u8);
        }
        total += size;
    }
    sending.join().unwrap();
    assert_eq!(total, MUCH);
    assert!(watchdog.peak_kilobytes() < 40_000, "{} kB", watchdog.peak_kilobytes());
}

#[test]
fn a_response_is_not_held_for_a_slow_reader() {
    let watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http")]);
    let mut stream = watchdog.connect();
    write!(stream, "GET /large?bytes={MUCH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count,
        }
    }
    assert!(total > MUCH, "{total}");
    assert!(watchdog.peak_kilobytes() < 40_000, "{} kB", watchdog.peak_kilobytes());
}

#[test]
fn sigterm_lets_a_call_end_and_takes_the_child_along() {
    let mut watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http"), ("prefix_logs", "false")]);
    let pid = child_of(&watchdog);
    let mut idle = watchdog.connect();
    let mut under_way = watchdog.connect();
    under_way.write_all(b"GET /gate HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut opener = watchdog.connect();
    assert_eq!(watchdog.until_line("at the gate"), "out at the gate", "no prefix");
    watchdog.signal(Signal::TERM);
    watchdog.until_line("stopping: 1 requests under way");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() && watchdog.child.try_wait().unwrap().is_none());
    assert!(!watchdog.folder.path().join(".lock").exists());
    // No new calls: the gate is opened at the child itself.
    let _ = opener.write_all(b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n");
    open_gate(pid);
    let mut answer = String::new();
    under_way.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("through"), "{answer}");
    assert_eq!(watchdog.exit_code(), Some(0));
    until_gone(pid);
}

/// Calls the child where it listens.
fn open_gate(pid: u32) {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let port = environment.split(|byte| *byte == 0).filter_map(|pair| pair.strip_prefix(b"PORT=")).next_back().unwrap();
    let port: u16 = std::str::from_utf8(port).unwrap().parse().unwrap();
    assert_eq!(split(&raw(port, b"GET /open HTTP/1.0\r\n\r\n")).1, "open");
}

#[test]
fn sigterm_goes_on_serving_for_the_interval_that_was_asked_for() {
    let mut watchdog = Watchdog::ready(&[("fprocess", "cat"), ("healthcheck_interval", "5s")]);
    watchdog.signal(Signal::TERM);
    watchdog.until_line("no more in 5s");
    assert_eq!(watchdog.get("/_/health").0, 503);
    assert_eq!(watchdog.get("/_/ready").0, 503);
    assert_eq!(watchdog.get("/").0, 200);
    assert_eq!(watchdog.exit_code(), Some(0));
}

#[test]
fn a_call_that_does_not_end_is_ended() {
    let mut watchdog = Watchdog::ready(&[
        ("fprocess", "sh -c 'sleep 1000 & echo child $! >&2; wait'"),
        ("write_timeout", "3s"),
        ("exec_timeout", "1h"),
    ]);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let line = watchdog.until_line("stderr: child ");
    let pid = line.rsplit(' ').next().unwrap().parse().unwrap();
    watchdog.signal(Signal::TERM);
    assert_eq!(watchdog.exit_code(), Some(0));
    until_gone(pid);
}

#[test]
fn a_watchdog_that_is_killed_takes_its_child_along() {
    let mut watchdog = Watchdog::ready(&[("fprocess", SERVER), ("mode", "http")]);
    let pid = child_of(&watchdog);
    watchdog.signal(Signal::KILL);
    assert_eq!(watchdog.exit_code(), None);
    until_gone(pid);
}

#[test]
fn the_health_of_a_container() {
    let health = |port: u16| {
        let output = Command::new(env!("CARGO_BIN_EXE_faas-watchdog"))
            .arg("--health")
            .env_clear()
            .env("port", port.to_string())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mut watchdog = Watchdog::ready(&[("fprocess", "cat"), ("healthcheck_interval", "30s")]);
    assert_eq!(health(watchdog.port), (Some(0), String::new()));
    watchdog.signal(Signal::TERM);
    watchdog.until_line("stopping");
    let (code, says) = health(watchdog.port);
    assert_eq!(code, Some(1));
    assert!(says.contains("not healthy: HTTP/1.1 503"), "{says}");
    let [nobody] = ports();
    let (code, says) = health(nobody);
    assert_eq!(code, Some(1));
    assert!(says.contains(&format!("no answer on port {nobody}")), "{says}");
}

#[test]
fn its_own_arguments() {
    let run = |argument: &str| Command::new(env!("CARGO_BIN_EXE_faas-watchdog")).arg(argument).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&run("--version").stdout),
        format!("faas-watchdog {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(String::from_utf8_lossy(&run("--help").stdout).contains("http_upstream_url"));
    let wrong = run("--wrong");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("takes no such argument: --wrong"));
}
