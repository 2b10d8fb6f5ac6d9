//! A gateway that is not there, not trusted, not a gateway, or breaks in the middle: one clear error each.

use std::io::Write;
use std::time::Duration;

use crate::support::Test;
use crate::support::server::{Server, answer};

const JSON: &str = "application/json";

fn run(gateway: &str, args: &[&str]) -> Test {
    Test::new().args(args).args(["-g", gateway])
}

fn plain(status: &str, body: &str) -> Server {
    Server::always(status, "text/plain", body)
}

#[test]
fn a_missing_login_is_told_with_the_command_that_makes_one() {
    let server = plain("401 Unauthorized", "invalid credentials\n");
    run(&server.url, &["list"])
        .status(5)
        .stdout("")
        .stderr_has(format!("the gateway at {} wants a login: invalid credentials (401 Unauthorized)", server.url))
        .stderr_has(format!("run `faas login -g {}`", server.url))
        .run();
    run(&server.url, &["list", "--token", "abc"]).status(5).stderr_has("refused the login").run();
}

#[test]
fn an_error_is_the_same_in_json() {
    let server = plain("401 Unauthorized", "invalid credentials\n");
    let done = run(&server.url, &["list", "--output", "json"]).status(5).stdout("").run();
    let error: serde_json::Value = serde_json::from_str(&done.stderr).expect("JSON on stderr");
    assert_eq!(error["error"]["kind"], "unauthorized");
    assert_eq!(error["error"]["cause"], "invalid credentials (401 Unauthorized)");
}

#[test]
fn an_unknown_function_has_its_own_exit_code() {
    let server = plain("404 Not Found", "");
    for args in [&["describe", "tax"], &["logs", "tax"], &["remove", "tax"]] {
        run(&server.url, args).status(4).stdout_has("").stderr_has("there is no function tax").run();
    }
}

#[test]
fn a_busy_gateway_is_asked_again_as_it_wants() {
    let busy = answer("429 Too Many Requests", &[("Retry-After", "0")], "slow down");
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::new(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 | 1 => busy.clone(),
        _ => answer("200 OK", &[("Content-Type", JSON)], "[]"),
    });
    run(&server.url, &["list", "-q"]).stdout("").run();
    assert_eq!(server.lines().len(), 3);

    let busy = answer("429 Too Many Requests", &[("Retry-After", "0")], "slow down");
    let server = Server::new(move |_| busy.clone());
    run(&server.url, &["list"]).status(1).stderr_has("slow down (429 Too Many Requests)").stderr_has("try again").run();
    assert_eq!(server.lines().len(), 4);
}

#[test]
fn a_functions_own_429_is_its_answer() {
    let server = plain("429 Too Many Requests", "limit reached");
    run(&server.url, &["invoke", "tax"]).status(1).stderr_has("tax answered 429").stderr_has("limit reached").run();
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn an_html_page_is_shortened_to_its_words_and_told_once() {
    let page =
        "<!DOCTYPE html><html><head><style>b{}</style></head><body><h1>Oh no</h1><p>the proxy fell</p></body></html>";
    let server = Server::always("500 Internal Server Error", "text/html", page);
    run(&server.url, &["list"])
        .status(1)
        .stderr_has("error: can't list the functions: a web page: Oh no the proxy fell (500 Internal Server Error)\n")
        .stderr_has("hint: is a gateway behind")
        .run();
    let page = format!("\n<HTML><title>502 Bad Gateway</title>{}</HTML>", "<p>lorem ipsum</p>".repeat(5000));
    let server = plain("502 Bad Gateway", &page);
    for args in [&["list"][..], &["deploy", "--name", "tax", "--image", "r.example/x:1"], &["remove", "tax"]] {
        let done = run(&server.url, args).status(1).stderr_has("a web page: 502 Bad Gateway (502 Bad Gateway)").run();
        assert!(!done.stderr.contains("lorem"), "{}", done.stderr);
    }
    let done = run(&server.url, &["remove", "tax"]).status(1).run();
    assert_eq!(done.stderr.matches("can't remove").count(), 1, "{}", done.stderr);
    run(&server.url, &["invoke", "tax"])
        .status(1)
        .stderr_has("tax answered 502 Bad Gateway: a web page: 502 Bad")
        .run();
}

#[test]
fn a_long_failure_of_a_function_does_not_flood_the_terminal() {
    let server = plain("500 Internal Server Error", &"error text ".repeat(6000));
    let done = run(&server.url, &["invoke", "tax"]).status(1).stderr_has("error text error text").run();
    assert!(done.stderr.len() < 4500 && done.stderr.contains('…'), "{} bytes", done.stderr.len());
    // Programs and faas-cli's users get what there is.
    let done = run(&server.url, &["invoke", "tax", "--output", "json"]).status(1).run();
    assert!(done.stderr.len() > 60_000, "{} bytes", done.stderr.len());
}

#[test]
fn something_that_is_no_gateway_is_told_by_its_content_type() {
    let server = Server::always("200 OK", "text/html", "<html><body>Welcome to nginx!</body></html>");
    run(&server.url, &["list"])
        .status(1)
        .stderr_has("it answers with a web page: Welcome to nginx!")
        .stderr_has("-g names another")
        .run();
    let server = Server::always("200 OK", JSON, "[{\"name\": 5}]");
    run(&server.url, &["list"]).status(1).stderr_has("at `[0].name`").run();
}

#[test]
fn an_answer_cut_in_the_middle_is_an_error() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[{\"name\":".to_vec();
    let server = Server::new(move |_| cut.clone());
    run(&server.url, &["list"]).status(1).stdout("").stderr_has("was cut").run();
    // What came of a function's answer has been passed on by then; the exit code tells.
    run(&server.url, &["invoke", "tax"]).status(1).stdout("[{\"name\":").stderr_has("the answer of tax was cut").run();
}

#[test]
fn a_connection_closed_without_an_answer_is_an_error() {
    let server = Server::new(|_| Vec::new());
    run(&server.url, &["list"]).status(1).stderr_has("ended the connection before it answered").run();
    let server = Server::new(|_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    run(&server.url, &["list"]).status(1).stderr_has("error: can't list the functions").run();
}

#[test]
fn a_gateway_that_says_nothing_is_given_up() {
    let server = Server::with(|_stream, _| std::thread::sleep(Duration::from_secs(30)));
    run(&server.url, &["invoke", "tax", "--timeout", "300ms"]).status(124).stderr_has("no answer from").run();
    run(&server.url, &["login", "--password-stdin", "--timeout", "300ms"]).stdin("pw").status(124).run();
}

#[test]
fn an_answer_that_never_ends_is_given_up() {
    let server = Server::with(|mut stream, _| {
        // An answer before the question would be another fault.
        let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        std::thread::sleep(Duration::from_secs(30));
    });
    run(&server.url, &["invoke", "tax", "--timeout", "300ms"])
        .status(124)
        .stdout("half")
        .stderr_has("did not end its answer in time")
        .run();
}

#[test]
fn nobody_there_is_told_with_the_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    drop(listener);
    for args in [&["list", "-q"][..], &["invoke", "tax"], &["secret", "list"], &["info"]] {
        run(&url, args)
            .status(1)
            .stdout("")
            .stderr_has(format!("cannot connect to OpenFaaS on URL: {url}: Connection refused"))
            .stderr_has("OPENFAAS_URL")
            .run();
    }
    run("http://no.such.host.invalid", &["list"]).status(1).stderr_has("cannot connect to OpenFaaS").run();
    run("ftp://h", &["list"]).status(2).stderr_has("`ftp` is neither http nor https").run();
}

#[test]
fn a_redirect_is_not_followed_with_a_login() {
    let other = Server::always("200 OK", JSON, "[]");
    let to = format!("{}/system/functions", other.url);
    let server = Server::new(move |_| answer("302 Found", &[("Location", &to)], ""));
    run(&server.url, &["list", "--token", "secret"]).status(1).stderr_has(format!("redirects to {}", other.url)).run();
    assert!(other.asked().is_empty(), "{:?}", other.lines());
}

#[test]
fn a_functions_redirect_is_followed_without_what_was_meant_for_it() {
    let other = Server::always("200 OK", "text/plain", "moved here");
    // Another name is another host: the header must not go there.
    let to = format!("{}/new", other.url.replace("127.0.0.1", "localhost"));
    let server = Server::new(move |_| answer("303 See Other", &[("Location", &to)], ""));
    run(&server.url, &["invoke", "tax", "-H", "Authorization: Bearer mine"]).stdin("body").stdout("moved here").run();
    let asked = other.asked();
    assert_eq!(asked[0].line, "GET /new");
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_log_line_that_is_none_ends_the_log() {
    let server = Server::new(|asked| {
        if asked.line.starts_with("GET /system/logs") {
            let line = "{\"name\":\"tax\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"text\":\"one\"}";
            answer("200 OK", &[("Content-Type", "text/plain")], &format!("{line}\n<html>\n"))
        } else {
            answer("200 OK", &[("Content-Type", JSON)], "{\"name\":\"tax\"}")
        }
    });
    run(&server.url, &["logs", "tax"])
        .status(1)
        .stdout("2026-01-02T03:04:05Z one\n")
        .stderr_has("a log line that can't be read")
        .run();
}

#[test]
fn a_damaged_login_file_is_named_and_not_shown() {
    let server = Server::always("200 OK", JSON, "[]");
    let test = run(&server.url, &["list"])
        .file("conf/config.yml", "auths:\n - [token: sEcReT\n")
        .env("OPENFAAS_CONFIG", "conf");
    let done = test.status(1).stderr_has("conf/config.yml can't be read").stderr_has("faas login").run();
    assert!(!done.stderr.contains("sEcReT"), "{}", done.stderr);
    assert!(server.asked().is_empty());
}

/// A gateway that keeps what is deployed and says that so many replicas of it run.
fn keeping(replicas: u64) -> Server {
    let kept: std::sync::Mutex<Option<serde_json::Value>> = std::sync::Mutex::default();
    Server::new(move |asked| {
        let mut kept = kept.lock().expect("lock");
        let path = asked.line.split(' ').nth(1).unwrap_or_default();
        match (asked.line.split(' ').next(), &*kept) {
            (Some("POST"), _) if path == "/system/functions" => {
                *kept = serde_json::from_slice(&asked.body).ok();
                answer("202 Accepted", &[], "")
            }
            (Some("GET"), Some(function)) if path.starts_with("/system/function/") => {
                let mut status = serde_json::json!({ "replicas": replicas, "availableReplicas": replicas });
                for (ours, theirs) in [("name", "service"), ("image", "image"), ("annotations", "annotations")] {
                    status[ours] = function[theirs].clone();
                }
                answer("200 OK", &[("Content-Type", JSON)], &status.to_string())
            }
            (_, Some(_)) if path.starts_with("/function/") => match replicas {
                0 => answer("503 Service Unavailable", &[], ""),
                _ => answer("200 OK", &[], ""),
            },
            (_, _) if path.starts_with("/system/logs") => answer("200 OK", &[], ""),
            (_, _) if path == "/system/secrets" => answer("200 OK", &[("Content-Type", JSON)], "[]"),
            _ => answer("404 Not Found", &[], ""),
        }
    })
}

#[test]
fn what_is_unchanged_but_dead_is_no_success() {
    let image = format!("r.example/tax:1@sha256:{}", "0".repeat(64));
    for (replicas, code, said) in [(0, 124, "no replica is up"), (1, 0, "tax: unchanged")] {
        let server = keeping(replicas);
        let deploy = |flags: &[&str]| run(&server.url, &["deploy", "--name", "tax", "--image", &image]).args(flags);
        deploy(&["--no-wait"]).stdout_has("created").run();
        deploy(&["--no-wait"]).stdout_has("unchanged").run();
        deploy(&["--timeout", "300ms"]).status(code).stderr_has(said).run();
    }
}

/// What faasd says while, or after, an earlier deployment of `tax` was cut off.
const SNAPSHOT: &str = "unable to create container: tax, error: snapshot \"tax-snapshot\": already exists";

/// A gateway on which an earlier deployment of `tax` is under way when it is asked for the first `busy` times.
fn at_an_earlier_one(busy: usize) -> Server {
    let (asked, then) = (std::sync::atomic::AtomicUsize::new(0), "GET /system/functions");
    Server::new(move |request| {
        let before = asked.load(std::sync::atomic::Ordering::Relaxed);
        match request.line.split(' ').next() {
            Some("PUT") if before >= busy => answer("202 Accepted", &[], ""),
            Some("POST") => {
                asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                answer("400 Bad Request", &[("Content-Type", "text/plain")], SNAPSHOT)
            }
            _ if request.line.starts_with(then) => answer("200 OK", &[("Content-Type", JSON)], "[]"),
            _ => answer("404 Not Found", &[], ""),
        }
    })
}

#[test]
fn an_earlier_deployment_that_is_under_way_is_waited_for() {
    let deploy =
        |server: &Server| run(&server.url, &["deploy", "--name", "tax", "--image", "r.example/x:1", "--no-wait"]);
    deploy(&at_an_earlier_one(1)).stderr_has("still at an earlier deployment of it; waiting").run();
    let done = deploy(&at_an_earlier_one(99))
        .status(1)
        .stderr_has("an earlier deployment of it did not come to its end")
        .run();
    assert!(done.stderr.contains("`ctr -n openfaas-fn snapshots rm tax-snapshot`"), "{}", done.stderr);
    assert!(!done.stderr.contains("already exists"), "{}", done.stderr);
}

#[test]
fn a_deployment_that_outlasts_the_gateway_may_go_on() {
    let slow = |request: &crate::support::server::Asked| match request.line.starts_with("PUT") {
        true => answer("504 Gateway Timeout", &[], "context deadline exceeded"),
        false => answer("404 Not Found", &[], ""),
    };
    run(&Server::new(slow).url, &["deploy", "--name", "tax", "--image", "r.example/x:1"])
        .status(124)
        .stderr_has("the platform may go on with it")
        .stderr_has("--timeout 10m")
        .run();
}

#[test]
fn a_missing_secret_is_told_before_anything_is_built() {
    let server = keeping(1);
    let stack = "provider: {name: openfaas}\nfunctions:\n  tax: {lang: python3, handler: ./tax, image: r.example/tax, \
                 secrets: [api-key]}\n";
    run(&server.url, &["up"])
        .file("stack.yml", stack)
        .file("tax/handler.py", "")
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .status(1)
        .stderr_has("error: the secret api-key of `tax` is not on the platform\n --> stack.yml:3:")
        .stderr_has("nothing was changed")
        .stderr_has("`faas secret create api-key` makes it")
        .run();
}

#[test]
fn names_that_no_function_can_have_are_not_sent() {
    let server = plain("200 OK", "");
    for args in [&["invoke", ""][..], &["remove", "../functions"], &["describe", "a/b"], &["scale", "a b", "1"]] {
        run(&server.url, args).status(2).stderr_has("can't be a function's name").run();
    }
    for (name, image) in [("Bad Name", "r/x"), ("../../x", "r/x"), ("tax", "r/x:$(id)")] {
        run(&server.url, &["deploy", "--name", name, "--image", image]).status(2).stderr_has("can't be a").run();
    }
    assert!(server.asked().is_empty(), "{:?}", server.lines());
}

#[test]
fn a_login_in_the_address_beats_the_saved_one() {
    let server = Server::always("200 OK", JSON, "[]");
    let login = format!("auths:\n  - gateway: {}\n    auth: basic\n    token: c2F2ZWQ6c2F2ZWQ=\n", server.url);
    let inline = server.url.replace("://", "://me:pw@");
    Test::new().file("login/config.yml", login).env("OPENFAAS_CONFIG", "login").args(["list", "-g", &inline]).run();
    assert_eq!(server.asked()[0].header("authorization"), Some("Basic bWU6cHc="));
}

#[test]
fn what_a_gateway_says_steers_no_terminal() {
    let server =
        Server::always("500 Internal Server Error", "text/html", "<html>a\u{1b}[2J\u{1b}]0;t\u{7}b\u{8}</html>");
    let done = run(&server.url, &["list"]).status(1).stderr_has("500 Internal Server Error").run();
    assert!(!done.stderr.contains(['\u{1b}', '\u{8}', '\u{7}']), "{:?}", done.stderr);
    let server = Server::always("200 OK", JSON, r#"[{"name": "a\u001b[31mb\nc", "image": "\u001b]0;t\u0007i"}]"#);
    let done = run(&server.url, &["secret", "list"]).run();
    assert_eq!(done.stdout, "NAME\nab c\n");
    run(&server.url, &["list", "-q"]).stdout("ab c\n").run();
    for args in [&["list"][..], &["list", "--verbose"]] {
        let done = run(&server.url, args).stdout_has("ab c ").run();
        assert!(!done.stdout.contains(['\u{1b}', '\u{7}']), "{:?}", done.stdout);
        assert_eq!(run(&server.url, args).called("faas-cli").run().stdout.matches('\u{1b}').count(), 0);
    }
    let one = r#"{"name": "a", "image": "i", "labels": {"b\u001b[2J": "\r\u0008"}}"#;
    let described = Server::new(move |asked| {
        let body = if asked.line.starts_with("GET /system/functions") { "[]" } else { one };
        answer("200 OK", &[("Content-Type", JSON)], body)
    });
    let done = run(&described.url, &["describe", "a"]).stdout_has("Labels:\n b:").run();
    assert!(!done.stdout.contains(['\u{1b}', '\u{8}', '\r']), "{:?}", done.stdout);
}

#[test]
fn json_that_is_no_gateways_is_no_function() {
    for body in ["[]", "{}"] {
        let server = Server::always("200 OK", JSON, body);
        run(&server.url, &["describe", "tax"]).status(1).stderr_has("it names no function").run();
    }
    run(&Server::always("200 OK", JSON, "[]").url, &["info"]).status(1).stderr_has("is no JSON object").run();
    let deep = "[".repeat(100_000);
    let done = run(&Server::always("200 OK", JSON, &deep).url, &["info"]).status(1).stderr_has("at `[0][0]").run();
    assert!(done.stderr.len() < 400, "{}", done.stderr);
    let odd = Server::new(|_| b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n[]".to_vec());
    run(&odd.url, &["list"]).status(1).stderr_has("speaks no proper HTTP: invalid content-length parsed").run();
}
