//! The binary on Lambda: a Runtime API that hands out events and keeps what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

/// What was told to the Runtime API: the path and the body.
type Told = (String, Value);

struct Bed {
    child: Child,
    told: mpsc::Receiver<Told>,
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bed {
    /// Starts the watchdog with a function and events; after the last one the API keeps it waiting, as Lambda does.
    fn start(process: &str, mode: &str, events: Vec<Value>) -> Self {
        Self::start_with(process, mode, events, &[])
    }

    fn start_with(process: &str, mode: &str, events: Vec<Value>, env: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, told) = mpsc::channel();
        std::thread::spawn(move || serve(&listener, events, &sender));
        let child = Command::new(env!("CARGO_BIN_EXE_faas-watchdog"))
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("fprocess", process)
            .env("mode", mode)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Bed { child, told }
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(Duration::from_secs(60)).expect("the Runtime API is told something")
    }
}

fn serve(listener: &TcpListener, events: Vec<Value>, told: &mpsc::Sender<Told>) {
    let mut events = events.into_iter().enumerate();
    // One connection at a time is what one runtime makes.
    for socket in listener.incoming() {
        let mut socket = socket.unwrap();
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                break;
            }
            let path = line.split(' ').nth(1).unwrap().to_owned();
            let (mut length, mut chunked) = (0, false);
            loop {
                let mut field = String::new();
                reader.read_line(&mut field).unwrap();
                if field == "\r\n" {
                    break;
                }
                chunked |= field.eq_ignore_ascii_case("transfer-encoding: chunked\r\n");
                if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            if chunked {
                let _ = told.send((path, pieces(&mut reader)));
                write!(socket, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
                continue;
            }
            if path.ends_with("/invocation/next") {
                let Some((number, event)) = events.next() else {
                    std::thread::sleep(Duration::from_secs(600));
                    return;
                };
                let event = event.to_string();
                write!(
                    socket,
                    "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id-{number}\r\nContent-Length: {}\r\n\r\n{event}",
                    event.len()
                )
                .unwrap();
            } else {
                let _ = told.send((path, serde_json::from_slice(&body).unwrap()));
                write!(socket, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        }
    }
}

/// A chunked body as its pieces and its trailers.
fn pieces(reader: &mut impl BufRead) -> Value {
    let (mut pieces, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        let mut piece = vec![0; size + 2];
        reader.read_exact(&mut piece).unwrap();
        pieces.push(String::from_utf8(piece[..size].to_vec()).unwrap());
    }
    let mut trailers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        match line.trim() {
            "" => return json!({"pieces": pieces, "trailers": trailers}),
            trailer => trailers.push(trailer.to_owned()),
        }
    }
}

fn url(method: &str, path: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": "", "headers": {"x-a": "1"},
        "requestContext": {"http": {"method": method}}, "body": body, "isBase64Encoded": false,
    })
}

#[test]
fn calls_reach_a_server_and_its_replies_go_back() {
    let server = format!("python3 {}/tests/support/server.py", env!("CARGO_MANIFEST_DIR"));
    let bed = Bed::start(&server, "http", vec![url("POST", "/echo", "hello"), json!({"raw": 1})]);
    let (path, answer) = bed.next();
    assert_eq!(path, "/2018-06-01/runtime/invocation/id-0/response");
    assert_eq!((&answer["statusCode"], &answer["body"]), (&json!(200), &json!("hello")), "{answer}");
    assert_eq!(bed.next(), ("/2018-06-01/runtime/invocation/id-1/response".into(), json!({"raw": 1})));
}

#[test]
fn a_process_per_call_gets_the_event_and_answers() {
    let bed = Bed::start("cat", "serializing", vec![json!({"Records": [1, 2]}), url("PUT", "/x", "body")]);
    assert_eq!(bed.next(), ("/2018-06-01/runtime/invocation/id-0/response".into(), json!({"Records": [1, 2]})));
    let (_, answer) = bed.next();
    assert_eq!(answer["statusCode"], 200);
    assert_eq!(answer["body"], "Ym9keQ==");
}

#[test]
fn a_call_that_fails_is_an_error_and_the_next_one_works() {
    let bed = Bed::start("sh -c 'read x; exit 3'", "serializing", vec![json!({"a": 1}), json!({"b": 1})]);
    for number in 0..2 {
        let (path, error) = bed.next();
        assert_eq!(path, format!("/2018-06-01/runtime/invocation/id-{number}/error"));
        assert_eq!(error["errorType"], "HTTP500", "{error}");
    }
}

#[test]
fn a_function_that_does_not_start_is_told_at_once() {
    let mut bed = Bed::start("sh -c 'echo no such module >&2; exit 1'", "http", vec![json!({})]);
    let (path, error) = bed.next();
    assert_eq!(path, "/2018-06-01/runtime/init/error");
    assert!(error["errorMessage"].as_str().unwrap().contains("no such module"), "{error}");
    assert!(!bed.child.wait().unwrap().success());
}

#[test]
fn a_function_that_takes_longer_than_lambda_gives_it_is_waited_for_by_its_first_call() {
    let server = format!("sh -c 'sleep 11; exec python3 {}/tests/support/server.py'", env!("CARGO_MANIFEST_DIR"));
    let bed = Bed::start(&server, "http", vec![url("POST", "/echo", "late")]);
    let (path, answer) = bed.next();
    assert_eq!(path, "/2018-06-01/runtime/invocation/id-0/response");
    assert_eq!(answer["body"], "late", "{answer}");
}

#[test]
fn a_streamed_answer_goes_out_piece_by_piece() {
    let server = format!("python3 {}/tests/support/server.py", env!("CARGO_MANIFEST_DIR"));
    let events = vec![url("GET", "/chunked", ""), json!({"raw": 1})];
    let bed = Bed::start_with(&server, "http", events, &[("FAAS_LAMBDA_STREAMING", "true")]);
    let (path, answer) = bed.next();
    assert_eq!(path, "/2018-06-01/runtime/invocation/id-0/response");
    let pieces: Vec<&str> = answer["pieces"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    let head: Value = serde_json::from_str(pieces[0].strip_suffix("\0\0\0\0\0\0\0\0").unwrap()).unwrap();
    assert_eq!(head["statusCode"], 200, "{answer}");
    assert!(head.get("body").is_none() && pieces.len() > 2, "{answer}");
    assert_eq!(answer["trailers"], json!([]));
    // Events that are no HTTP are answered as a whole.
    assert_eq!(bed.next(), ("/2018-06-01/runtime/invocation/id-1/response".into(), json!({"raw": 1})));
}

/// What a secret store is asked, and what it answers.
fn store(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).unwrap();
            let _ = sender.send(String::from_utf8_lossy(&request[..length]).into_owned());
            write!(socket, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())
                .unwrap();
        }
    });
    (address, asked)
}

const KEYS: [(&str, &str); 3] =
    [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];

#[test]
fn secrets_are_files_before_the_function_starts() {
    let (address, asked) = store(r#"{"Parameters":[{"Name":"/faas/default/key","Value":"s3cret"}]}"#);
    let folder = std::env::temp_dir().join(format!("faas-secrets-{}", std::process::id()));
    let folder = folder.to_str().unwrap();
    let more = [
        ("FAAS_SECRETS", "key=ssm:/faas/default/key"),
        ("FAAS_SECRETS_DIR", folder),
        ("AWS_ENDPOINT_URL_SSM", &address),
    ];
    let env: Vec<(&str, &str)> = KEYS.into_iter().chain(more).collect();
    let bed = Bed::start_with("sh -c 'cat $FAAS_SECRETS_DIR/key'", "serializing", vec![json!({"a": 1})], &env);
    assert_eq!(bed.next(), ("/2018-06-01/runtime/invocation/id-0/response".into(), json!("s3cret")));
    let request = asked.recv().unwrap();
    assert!(
        request.contains("x-amz-target: AmazonSSM.GetParameters") && request.contains("AWS4-HMAC-SHA256"),
        "{request}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_secret_that_is_not_there_is_told_at_once() {
    let (address, _asked) = store(r#"{"Parameters":[],"InvalidParameters":["/faas/default/key"]}"#);
    let folder = std::env::temp_dir().join(format!("faas-no-secrets-{}", std::process::id()));
    let folder = folder.to_str().unwrap();
    let more = [
        ("FAAS_SECRETS", "key=ssm:/faas/default/key"),
        ("FAAS_SECRETS_DIR", folder),
        ("AWS_ENDPOINT_URL_SSM", &address),
    ];
    let env: Vec<(&str, &str)> = KEYS.into_iter().chain(more).collect();
    let mut bed = Bed::start_with("cat", "serializing", vec![json!({"a": 1})], &env);
    let (path, error) = bed.next();
    assert_eq!(path, "/2018-06-01/runtime/init/error");
    assert!(error["errorMessage"].as_str().unwrap().contains("there is no secret key"), "{error}");
    assert!(!bed.child.wait().unwrap().success());
    std::fs::remove_dir_all(folder).unwrap();
}
