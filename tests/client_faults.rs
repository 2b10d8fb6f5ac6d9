//! A gateway that is not there, not trusted, not a gateway, or breaks in the middle: one clear error each.

use std::io::Write;
use std::sync::Arc;
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
fn an_html_page_is_shortened_to_its_words() {
    let page =
        "<!DOCTYPE html><html><head><style>b{}</style></head><body><h1>Oh no</h1><p>the proxy fell</p></body></html>";
    let server = Server::always("500 Internal Server Error", "text/html", page);
    run(&server.url, &["list"])
        .status(1)
        .stderr("error: can't list the functions: Oh no the proxy fell (500 Internal Server Error)\n")
        .run();
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

/// A TLS server whose certificate nobody has signed.
fn self_signed() -> Server {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    faas::wire::client::install_tls();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls");
    let certificate = CertificateDer::from_pem_file(format!("{folder}/cert.pem")).expect("certificate");
    let key = PrivateKeyDer::from_pem_file(format!("{folder}/key.pem")).expect("key");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("server configuration");
    let config = Arc::new(config);
    Server::with(move |mut tcp, _| {
        let mut tls = rustls::ServerConnection::new(config.clone()).expect("connection");
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        let mut head = [0; 4096];
        if matches!(std::io::Read::read(&mut stream, &mut head), Ok(n) if n > 0) {
            let _ =
                stream.write_all(&answer("200 OK", &[("Content-Type", JSON)], "[{\"name\":\"tax\",\"image\":\"i\"}]"));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    })
}

#[test]
fn a_certificate_that_nobody_signed_is_named() {
    let url = self_signed().url.replace("http://", "https://");
    run(&url, &["list"])
        .status(1)
        .stderr_has(format!("no trusted connection to {url}"))
        .stderr_has("--tls-no-verify")
        .run();
    run(&url, &["list", "-q", "--tls-no-verify"]).stdout("tax\n").run();
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls/cert.pem");
    run(&url, &["list", "-q"]).env("SSL_CERT_FILE", certificate).stdout("tax\n").run();
    run(&url, &["list", "-q", "--tls-ca", certificate]).stdout("tax\n").run();
    run(&url, &["list", "-q"]).env("FAAS_TLS_CA", certificate).stdout("tax\n").run();
}

#[test]
fn a_file_that_holds_no_certificate_is_told() {
    let url = "https://127.0.0.1:1";
    run(url, &["list", "--tls-ca", "none.pem"]).status(2).stderr_has("none.pem").stderr_has("FAAS_TLS_CA").run();
    run(url, &["list", "--tls-ca", "empty.pem"])
        .file("empty.pem", "no certificate\n")
        .status(2)
        .stderr_has("empty.pem holds no certificate in PEM form")
        .run();
}

#[test]
fn tls_where_none_is_spoken_is_told() {
    let closing = plain("400 Bad Request", "what?");
    let answering = Server::with(|mut stream, _| {
        let _ = stream.write_all(&answer("400 Bad Request", &[], "what?"));
        std::thread::sleep(Duration::from_secs(1));
    });
    for server in [closing, answering] {
        let url = server.url.replace("http://", "https://");
        run(&url, &["list"])
            .status(1)
            .stderr_has(format!("no trusted connection to {url}"))
            .stderr_has("http:// rather than https://")
            .run();
    }
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
    let server = Server::always("200 OK", JSON, r#"[{"name": "a\u001b[31mb\nc"}]"#);
    let done = run(&server.url, &["secret", "list"]).run();
    assert_eq!(done.stdout, "NAME\nab c\n");
}
