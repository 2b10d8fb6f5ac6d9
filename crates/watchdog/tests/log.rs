//! What the binary writes: of-watchdog's lines, or objects with the call's id.

mod support;

use serde_json::Value;
use support::process::Watchdog;

const SCRIPT: &str = r#"sh -c 'echo wor""king >&2; cat'"#;

fn call(watchdog: &Watchdog, id: &str) {
    let answer = watchdog.raw(
        format!(
            "POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Call-Id: {id}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        )
        .as_bytes(),
    );
    assert!(answer.contains("hello"), "{answer}");
}

/// The object in a line of stderr.
fn object(line: &str) -> Value {
    serde_json::from_str(line.strip_prefix("err ").unwrap_or(line)).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn objects_with_the_calls_id() {
    let variables = [("fprocess", SCRIPT), ("mode", "serializing"), ("log_format", "json"), ("log_requests", "true")];
    let mut watchdog = Watchdog::ready(&variables);
    call(&watchdog, "id-1");
    let line = object(&watchdog.until_line("working"));
    assert_eq!(
        (&line["source"], &line["stream"], &line["msg"]),
        (&"function".into(), &"stderr".into(), &"working".into())
    );
    assert_eq!(line["call_id"], "id-1");
    let line = object(&watchdog.until_line("\"target\""));
    assert_eq!(
        (&line["source"], &line["method"], &line["target"]),
        (&"watchdog".into(), &"POST".into(), &"/a?b=c".into())
    );
    assert_eq!((&line["status"], &line["bytes"], &line["call_id"]), (&200.into(), &5.into(), &"id-1".into()));
    assert!(line["seconds"].as_f64().unwrap() > 0.0, "{line}");
    assert!(line["msg"].as_str().unwrap().starts_with("POST /a?b=c - 200 OK - ContentLength: 5B ("), "{line}");
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    // The words at its start and end are objects, too.
    assert_eq!(object(&watchdog.until_line("\"ready\""))["source"], "watchdog");
}

#[test]
fn objects_of_the_function_stay_as_they_are_without_prefix() {
    let script = r#"sh -c 'printf "{\"le%s\": \"warn\"}\n" vel >&2'"#;
    let mut watchdog =
        Watchdog::ready(&[("fprocess", script), ("log_format", "json"), ("prefix_logs", "false"), ("log_callid", "1")]);
    assert_eq!(watchdog.get("/").0, 200);
    assert_eq!(watchdog.until_line("level"), r#"err {"level": "warn"}"#);
    assert_eq!(object(&watchdog.until_line("\"target\""))["status"], 200);
}

#[test]
fn of_watchdogs_lines() {
    let mut watchdog = Watchdog::ready(&[("fprocess", SCRIPT), ("mode", "streaming"), ("log_call_id", "true")]);
    call(&watchdog, "id-2");
    let line = watchdog.until_line("ContentLength");
    let (time, rest) = line.strip_prefix("err ").unwrap().split_at("2026/11/30 05:00:00 ".len());
    assert!(time.as_bytes()[4] == b'/' && time.as_bytes()[13] == b':' && time.ends_with(' '), "{line}");
    assert!(rest.starts_with("POST /a?b=c - 200 OK - ContentLength: 5B (0.") && rest.ends_with("s) [id-2]"), "{line}");
    let line = watchdog.until_line("working");
    assert!(line.ends_with(" stderr: working"), "{line}");
}

#[test]
fn a_line_that_is_too_long_comes_in_pieces() {
    let variables = [("fprocess", r#"sh -c 'echo abc""defgh >&2'"#), ("log_buffer_size", "5"), ("prefix_logs", "0")];
    let mut watchdog = Watchdog::ready(&variables);
    assert_eq!(watchdog.get("/").0, 200);
    assert_eq!(watchdog.until_line("abcd"), "err abcde");
    assert_eq!(watchdog.until_line("err fgh"), "err fgh");
}
