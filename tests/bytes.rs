//! What a deploy sends a gateway, byte for byte: no more than faas-cli does, and no question that isn't needed.
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use faas::backend::gateway_api::marks;
use serde_json::{Value, json};

use crate::support::server::{Asked, Server, answer};
use crate::support::{Done, Test};

const JSON: &str = "application/json";
const MANY: usize = 20;

/// A gateway that keeps what it is sent, and tells it under the marks of before where `before` says so.
fn keeping(before: bool) -> Server {
    let kept: Mutex<BTreeMap<String, Value>> = Mutex::default();
    Server::new(move |asked| {
        let mut kept = kept.lock().expect("lock");
        let told = |function: &Value| {
            let mut status = json!({ "replicas": 1, "availableReplicas": 1 });
            for (ours, theirs) in [("name", "service"), ("image", "image"), ("annotations", "annotations")] {
                status[ours] = function[theirs].clone();
            }
            if before && let Ok(mut map) = serde_json::from_value(status["annotations"].clone()) {
                marks::unpack(&mut map, status["image"].as_str().unwrap_or_default());
                map.remove(marks::KEY);
                status["annotations"] = json!(map);
            }
            status
        };
        let path = asked.line.split([' ', '?']).nth(1).unwrap_or_default();
        match (asked.line.split(' ').next().unwrap_or_default(), path) {
            ("PUT", _) => {
                let function: Value = serde_json::from_slice(&asked.body).expect("JSON");
                kept.insert(function["service"].as_str().expect("a name").to_owned(), function);
                answer("202 Accepted", &[], "")
            }
            ("GET", "/system/functions") => {
                let all: Vec<Value> = kept.values().map(told).collect();
                answer("200 OK", &[("Content-Type", JSON)], &json!(all).to_string())
            }
            ("GET", path) if path.starts_with("/system/function/") => match kept.get(&path[17..]) {
                Some(function) => answer("200 OK", &[("Content-Type", JSON)], &told(function).to_string()),
                None => answer("404 Not Found", &[], ""),
            },
            _ => answer("200 OK", &[("Content-Type", "text/plain")], "OK"),
        }
    })
}

fn project(server: &Server, image: &str) -> Test {
    let functions: String = (0..MANY)
        .map(|n| format!("  f{n}:\n    lang: dockerfile\n    skip_build: true\n    image: {image}\n"))
        .collect();
    let head =
        format!("version: 1.0\nname: shop\nprovider:\n  name: openfaas\n  gateway: {}\nfunctions:\n", server.url);
    Test::new().file("stack.yml", head + &functions)
}

/// A request as it went over the wire.
fn bytes(asked: &Asked) -> usize {
    let headers: usize = asked.headers.iter().map(|(name, value)| name.len() + value.len() + ": \r\n".len()).sum();
    asked.line.len() + " HTTP/1.1\r\n\r\n".len() + headers + asked.body.len()
}

fn sent(server: &Server) -> usize {
    server.asked().iter().map(bytes).sum()
}

/// What faas-cli 0.18.12 sends to deploy the same, without a login.
fn theirs(server: &Server, image: &str) -> usize {
    let host = server.url.trim_start_matches("http://");
    let one = |n| {
        let body = format!(r#"{{"service":"f{n}","image":"{image}","labels":{{}},"annotations":{{}}}}"#);
        let head = format!(
            "PUT /system/functions HTTP/1.1\r\nHost: {host}\r\nUser-Agent: faas-cli/0.18.12\r\nContent-Length: {}\r\n\
             Authorization: Bearer \r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        head.len() + body.len()
    };
    (0..MANY).map(one).sum()
}

fn how_many(server: &Server, start: &str) -> usize {
    server.lines().iter().filter(|line| line.starts_with(start)).count()
}

#[test]
fn a_deploy_sends_no_more_bytes_than_faas_cli_does() {
    let server = keeping(false);
    project(&server, "r/f:1").args(["deploy", "--no-wait"]).run();
    assert_eq!((how_many(&server, "PUT"), server.lines().len()), (MANY, MANY + 1));
    let (ours, theirs) = (sent(&server), theirs(&server, "r/f:1"));
    assert!(ours <= theirs, "{ours} bytes, faas-cli's are {theirs}: {:#?}", server.asked()[1]);
}

#[test]
fn what_answers_at_once_is_asked_once() {
    let server = keeping(false);
    project(&server, "r/f:1").args(["deploy"]).run();
    assert_eq!(how_many(&server, "GET /function/f"), MANY);
    assert_eq!(server.lines().len(), 1 + 2 * MANY, "{:#?}", server.lines());
}

#[test]
fn a_web_page_at_the_path_of_health_is_no_answer_of_a_watchdog() {
    let server = Server::new(|asked| match asked.line.as_str() {
        line if line.starts_with("PUT") => answer("202 Accepted", &[], ""),
        line if line.starts_with("GET /function/") => answer("200 OK", &[("Content-Type", "text/html")], "<html>hi"),
        _ => answer("200 OK", &[("Content-Type", JSON)], r#"{"name":"f","image":"i","availableReplicas":0}"#),
    });
    let test = Test::new().env("OPENFAAS_URL", &server.url);
    let done = test.args(["deploy", "--name", "f", "--image", "r/f:1", "--timeout", "200ms"]).status(124).run();
    assert!(done.stderr.contains("no replica is up"), "{}", done.stderr);
}

#[test]
fn what_was_deployed_before_is_known_again_by_the_marks_of_then_and_of_now() {
    let image = format!("r.example/f:1@sha256:{}", "0".repeat(64));
    for before in [false, true] {
        let server = keeping(before);
        let made = project(&server, &image).args(["deploy", "--no-wait"]).stdout_has("created").run();
        let again = made.then().args(["deploy", "--no-wait"]).run();
        assert_eq!(again.stdout.matches("unchanged").count(), MANY, "{before}: {}", again.stdout);
        assert_eq!(how_many(&server, "PUT"), MANY, "{before}");
        // The history goes on where it was.
        let changed = |done: &Done, rate: &str| done.then().args(["deploy", "--no-wait", "-e", rate]).run();
        changed(&changed(&again, "RATE=1"), "RATE=2");
        let list = made.then().args(["deployments", "list", "f0", "--output", "json"]).run().json();
        let told = |field: &str| -> Vec<Value> {
            list.as_array().expect("a list").iter().map(|one| one[field].clone()).collect()
        };
        assert_eq!(told("number"), [3, 2, 1], "{before}");
        assert_eq!(told("changed"), [json!(["environment.RATE"]), json!(["environment.RATE"]), json!(["created"])]);
        assert_eq!(told("stack"), ["shop", "shop", "shop"]);
        assert_eq!(told("image"), [image.as_str(), &image, &image]);
    }
}

#[test]
fn nobody_is_asked_for_a_commit_where_there_is_no_repository() {
    let server = keeping(false);
    let test = project(&server, "r/f:1").file("bin/git", "#!/bin/sh\ntouch called\nexit 1\n");
    std::fs::set_permissions(test.dir().join("bin/git"), std::fs::Permissions::from_mode(0o755)).expect("mode");
    let path = format!("{}:/usr/bin:/bin", test.dir().join("bin").display());
    let done = test.env("PATH", path).args(["deploy", "--no-wait"]).run();
    assert!(!done.dir().join("called").exists());
}
