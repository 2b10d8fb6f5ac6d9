//! Faults of faas-cli and of its platforms that were seen while both were measured, one test each: with ours they do not
//! happen, or are told. Those that need a platform stand in tests/openfaas.rs, named `fault_…` too; that of `version` in
//! tests/version.rs.
use std::sync::Mutex;

use super::bugs::better;
use crate::support::Test;
use crate::support::server::{Server, answer};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn faas_cli(server: &Server, args: &[&str]) -> Test {
    Test::new().called("faas-cli").args(args).env("OPENFAAS_URL", &server.url)
}

fn stack(more: &str) -> String {
    format!(
        "provider:\n  name: openfaas\nfunctions:\n  tax:\n    lang: dockerfile\n    handler: ./tax\n    image: r/tax:1\n{more}"
    )
}

#[test]
fn fault_a_header_with_a_url_is_split_at_its_first_colon() {
    better("invoke", "a URL as a header's value");
    let server = Server::always("202 Accepted", "text/plain", "");
    faas_cli(&server, &["invoke", "tax", "-a", "-H", "X-Callback-Url: http://h:1/x?a=b"]).run();
    assert_eq!(server.asked()[0].header("x-callback-url"), Some("http://h:1/x?a=b"));
}

#[test]
fn fault_deployed_means_that_calls_are_answered() {
    // The replica counts as available at once, and listens only at the third call.
    let calls = Mutex::new(0);
    let server = Server::new(move |asked| match asked.line.as_str() {
        line if line.contains("/function/tax/") || line.contains("/function/tax.") => {
            let mut calls = calls.lock().expect("lock");
            *calls += 1;
            if *calls < 3 {
                answer("500 Internal Server Error", &[], "Can't reach service for: tax.")
            } else {
                answer("200 OK", &[], "OK")
            }
        }
        "GET /system/function/tax" | "GET /system/function/tax?usage=1" => {
            answer("200 OK", JSON, r#"{"name":"tax","image":"r/tax:1","replicas":1,"availableReplicas":1}"#)
        }
        line if line.starts_with("GET") => answer("200 OK", JSON, "[]"),
        _ => answer("200 OK", &[], ""),
    });
    faas_cli(&server, &["deploy"]).file("stack.yml", stack("")).file("tax/Dockerfile", "").run();
    let asked = server.lines().iter().filter(|line| line.contains("/function/tax") && !line.contains("system")).count();
    assert!(asked >= 3, "it said `Deployed` before it answered: {:?}", server.lines());
}

#[test]
fn fault_ready_says_what_it_did_and_no_wrong_time() {
    let server = Server::always("200 OK", "application/json", r#"{"name":"tax","replicas":1}"#);
    let done = faas_cli(&server, &["ready", "tax", "--attempts", "2", "--interval", "20ms"]).status(1).run();
    // faas-cli says attempts times interval, whatever the time was.
    assert!(done.stderr.contains("after 2 attempts") && !done.stderr.contains("40ms"), "{}", done.stderr);
}

#[test]
fn fault_the_log_of_an_unknown_function_is_an_error() {
    // The provider's way: an empty log.
    let server = Server::new(|asked| match asked.line.contains("/system/logs") {
        true => answer("200 OK", &[("Content-Type", "application/x-ndjson")], ""),
        false => answer("404 Not Found", &[], "function not found"),
    });
    let done = faas_cli(&server, &["logs", "nope", "--tail=false"]).status(1).stdout("").run();
    assert!(done.stderr.contains("there is no function nope"), "{}", done.stderr);
}

#[test]
fn fault_a_secret_is_not_overwritten_without_a_word() {
    let there = || {
        Server::new(|asked| match asked.line.starts_with("GET") {
            true => answer("200 OK", JSON, r#"[{"name":"s"}]"#),
            // As providers have it that overwrite.
            false => answer("201 Created", &[], ""),
        })
    };
    let server = there();
    let create = ["secret", "create", "s", "--from-literal", "v"];
    let refuse = Test::new().args(create).args(["--no-replace", "-g", &server.url]);
    refuse.status(1).stderr_has("exists already").run();
    assert!(server.lines().iter().all(|line| line.starts_with("GET")), "{:?}", server.lines());
    Test::new().args(create).args(["-g", &server.url]).stdout("Updated secret s.\n").run();
}

#[test]
fn fault_replicas_that_are_missing_are_none() {
    let server = Server::always("200 OK", "application/json", r#"[{"name":"tax","image":"i"}]"#);
    let done = Test::new().args(["list", "--output", "json", "-g", &server.url]).run();
    assert_eq!(done.json()[0]["replicas"], 0, "{}", done.stdout);
}

#[test]
fn fault_any_success_is_one() {
    for status in ["200 OK", "201 Created", "202 Accepted"] {
        let server = Server::new(move |asked| match asked.line.as_str() {
            line if line.starts_with("GET /system/function/") => answer("404 Not Found", &[], ""),
            line if line.starts_with("GET") => answer("200 OK", JSON, "[]"),
            _ => answer(status, &[], ""),
        });
        let deploy =
            faas_cli(&server, &["deploy", "--no-wait"]).file("stack.yml", stack("")).file("tax/Dockerfile", "");
        deploy.stdout_has(format!("Deployed. {status}.")).run();
    }
}

#[test]
fn fault_a_refusal_is_read_with_and_without_a_line_end() {
    for body in ["function tax is bad", "function tax is bad\n", "function tax is bad\r\n\n"] {
        let server = Server::always("400 Bad Request", "text/plain", body);
        let done = Test::new().args(["describe", "tax", "-g", &server.url]).status(1).run();
        let said: Vec<&str> = done.stderr.lines().filter(|line| line.contains("function tax is bad")).collect();
        assert_eq!(said.len(), 1, "{}", done.stderr);
        assert!(!done.stderr.contains("\n\n") && !done.stderr.contains('\r'), "{:?}", done.stderr);
    }
}

#[test]
fn fault_a_function_that_does_not_end_is_waited_for_and_told_of() {
    let refusals = Mutex::new(1);
    let server = Server::new(move |asked| match asked.line.as_str() {
        line if line.starts_with("PUT") || line.starts_with("DELETE") => {
            let mut left = refusals.lock().expect("lock");
            if *left == 0 {
                return answer("202 Accepted", &[], "");
            }
            *left -= 1;
            answer("500 Internal Server Error", &[], "cannot delete running task tax: failed precondition")
        }
        "GET /system/function/tax" | "GET /system/function/tax?usage=1" => {
            answer("200 OK", JSON, r#"{"name":"tax","image":"r/tax:0","replicas":1,"availableReplicas":1}"#)
        }
        line if line.starts_with("GET /system") => answer("200 OK", JSON, "[]"),
        _ => answer("200 OK", &[], "OK"),
    });
    faas_cli(&server, &["deploy"])
        .file("stack.yml", stack(""))
        .file("tax/Dockerfile", "")
        .stderr_has("doesn't end on SIGTERM")
        .stdout_has("Deployed. 202 Accepted.")
        .run();
}

#[test]
fn fault_an_update_that_names_a_missing_secret_changes_nothing() {
    let server = Server::new(|asked| match asked.line.starts_with("GET /system/secrets") {
        true => answer("200 OK", JSON, r#"[{"name":"other"}]"#),
        false => answer("200 OK", JSON, "[]"),
    });
    let done =
        faas_cli(&server, &["deploy"]).file("stack.yml", stack("    secrets: [key]\n")).file("tax/Dockerfile", "");
    done.status(1).stderr_has("the secret key of `tax` is not on the platform").run();
    assert!(!server.lines().iter().any(|line| line.starts_with('P')), "{:?}", server.lines());
}

#[test]
fn fault_the_newest_lines_of_a_log_are_shown() {
    // The provider gives the window's first lines for `tail`, and all without it.
    let server = Server::new(|asked| {
        let line =
            |n: u32| format!("{{\"name\":\"tax\",\"timestamp\":\"2026-01-02T03:04:0{n}Z\",\"text\":\"line {n}\"}}\n");
        let all: Vec<String> = (1..=5).map(line).collect();
        let most = asked.line.split("tail=").nth(1).and_then(|n| n.split('&').next()?.parse().ok()).unwrap_or(5);
        match asked.line.contains("/system/logs") {
            true => answer("200 OK", &[("Content-Type", "application/x-ndjson")], &all[..most.min(5)].concat()),
            false => answer("200 OK", JSON, r#"{"name":"tax","image":"i","replicas":1}"#),
        }
    });
    let done = faas_cli(&server, &["logs", "tax", "--tail=false", "--lines", "2"]).run();
    assert!(done.stdout.contains("line 4") && done.stdout.contains("line 5"), "{}", done.stdout);
    assert!(!done.stdout.contains("line 3"), "{}", done.stdout);
}
