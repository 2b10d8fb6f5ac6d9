//! SIGTERM: calls under way may end, and nothing else holds the program up.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;
use support::process::{Watchdog, raw, split};

const SERVER: &str = concat!("python3 -u ", env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");

/// Limits that are never reached: what ends here ends because of the signal.
const PATIENT: [(&str, &str); 3] = [("read_timeout", "1h"), ("write_timeout", "1h"), ("exec_timeout", "1h")];

/// Reads until the other end closes; what it says by a reset is the same.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    all
}

/// The port that the child was told.
fn port_of(pid: u32) -> u16 {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let port = environment.split(|byte| *byte == 0).filter_map(|pair| pair.strip_prefix(b"PORT=")).next_back().unwrap();
    std::str::from_utf8(port).unwrap().parse().unwrap()
}

#[test]
fn connections_without_a_call_are_closed_at_once_and_a_call_may_end() {
    let variables = [&[("fprocess", SERVER), ("mode", "http")][..], &PATIENT].concat();
    let mut watchdog = Watchdog::ready(&variables);
    let seen: serde_json::Value = serde_json::from_str(&watchdog.get("/request").1).unwrap();
    let pid = u32::try_from(seen["pid"].as_u64().unwrap()).unwrap();

    let begun: [(&str, &[u8]); 6] = [
        ("silent", b""),
        ("half a line", b"GET / HT"),
        ("half a head", b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "),
        ("half of HTTP/2's preface", b"PRI * HT"),
        ("HTTP/2 that says no more", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("idle after a call", b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    let mut open: Vec<(&str, TcpStream)> = begun
        .into_iter()
        .map(|(name, bytes)| {
            let mut stream = watchdog.connect();
            stream.write_all(bytes).unwrap();
            (name, stream)
        })
        .collect();
    let mut head = [0; 15];
    open[5].1.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let mut under_way = watchdog.connect();
    under_way.write_all(b"GET /gate HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    watchdog.until_line("at the gate");

    watchdog.signal(Signal::TERM);
    watchdog.until_line("stopping: 1 requests under way");
    for (name, stream) in &mut open {
        let rest = String::from_utf8_lossy(&until_closed(stream)).into_owned();
        assert!(!rest.contains("HTTP/1.1 200"), "{name}: {rest}");
    }
    assert!(watchdog.child.try_wait().unwrap().is_none(), "the call at the gate is under way");

    assert_eq!(split(&raw(port_of(pid), b"GET /open HTTP/1.0\r\n\r\n")).1, "open");
    let answer = String::from_utf8_lossy(&until_closed(&mut under_way)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("through"), "{answer}");
    assert_eq!(watchdog.exit_code(), Some(0));
}

#[test]
fn nothing_but_connections_without_a_call_is_no_reason_to_stay() {
    let variables = [&[("fprocess", "cat"), ("mode", "serializing")][..], &PATIENT].concat();
    let mut watchdog = Watchdog::ready(&variables);
    let silent = watchdog.connect();
    let mut half = watchdog.connect();
    half.write_all(b"POST / HTTP/1.1\r\nContent-").unwrap();
    assert_eq!(watchdog.get("/").0, 200);
    watchdog.signal(Signal::TERM);
    assert_eq!(watchdog.exit_code(), Some(0));
    drop((silent, half));
}

#[test]
fn an_answer_that_is_being_read_is_sent_to_its_end() {
    let variables = [&[("fprocess", SERVER), ("mode", "http")][..], &PATIENT].concat();
    let mut watchdog = Watchdog::ready(&variables);
    let mut stream = watchdog.connect();
    stream.write_all(b"GET /large?bytes=50000000 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).unwrap();
    watchdog.signal(Signal::TERM);
    watchdog.until_line("stopping: ");
    let rest = until_closed(&mut stream);
    assert!(rest.len() > 50_000_000, "{}", rest.len());
    assert_eq!(watchdog.exit_code(), Some(0));
}
