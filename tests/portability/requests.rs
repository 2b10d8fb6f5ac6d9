//! The requests of the portability matrix, and what must be answered.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::emulator::Emulator;
use crate::support::platform::{Answer, parse};

/// A function that can be asked.
pub struct Target {
    /// Where it is.
    pub place: Place,
    /// Whether all that it sees of a request is the body: then that is the path.
    pub plain: bool,
}

/// How a function is reached.
pub enum Place {
    /// By HTTP.
    Http {
        /// `host:port`.
        address: String,
        /// The Host header, where that is another.
        host: Option<String>,
        /// What stands before the path.
        prefix: String,
    },
    /// By events under the runtime interface emulator.
    Lambda(Emulator),
}

/// Asks; says what is wrong with the answer.
pub type Ask = fn(&Target) -> Result<(), String>;

/// The requests that a handler which sees nothing but a body can answer.
pub const PLAIN: [&str; 14] = [
    "a JSON body",
    "no body",
    "an empty body",
    "5 MB",
    "UTF-8",
    "a JSON answer",
    "a text answer",
    "an error",
    "an error's message",
    "an answer after the error",
    "a slow answer",
    "50 at the same time",
    "environment",
    "a secret",
];

/// The requests by name.
pub const REQUESTS: &[(&str, Ask)] = &[
    ("a JSON body", |t| echoed(t, "application/json", br#"{"subtotal": 100}"#)),
    ("no body", |t| same(&t.ask("GET", "/echo", &[], b"")?.body, b"")),
    ("an empty body", |t| same(&t.post("/echo", b"")?.body, b"")),
    ("bytes", |t| {
        same(&t.post("/echo", &(0..=255).cycle().take(1000).collect::<Vec<u8>>())?.body, &{
            (0..=255).cycle().take(1000).collect::<Vec<u8>>()
        })
    }),
    ("5 MB", |t| {
        let body: Vec<u8> = (0..5_000_000_u32).map(|n| b'a' + u8::try_from(n * 7 % 23).expect("a byte")).collect();
        same(&t.ask("POST", "/echo", &[("Content-Type", "text/plain")], &body)?.body, &body)
    }),
    ("5 MB of bytes in chunks", |t| {
        let body: Vec<u8> = (0..5_000_000_u32).map(|n| u8::try_from(n * 3 % 251).expect("a byte")).collect();
        same(&t.chunked("/echo", &body)?.body, &body)
    }),
    ("UTF-8", |t| same(&t.post("/echo", "grüß 日本 🦀".as_bytes())?.body, "grüß 日本 🦀".as_bytes())),
    ("a query", |t| {
        seen(t, "/inspect?a=1&b=x%20y&c=&d=%C3%BC", "query", &json!({"a": "1", "b": "x y", "c": "", "d": "ü"}))
    }),
    ("a header sent twice", |t| {
        let answer = t.ask("POST", "/inspect", &[("X-Two", "one"), ("X-Two", "two")], b"")?;
        // Some put a blank between the two.
        let two = data(&answer)?["two"].as_str().unwrap_or_default().replace(' ', "");
        if two == "one,two" { Ok(()) } else { Err(format!("two was {two}")) }
    }),
    ("cookies", |t| {
        let answer = t.ask("GET", "/inspect", &[("Cookie", "a=1; b=2")], b"")?;
        field(&answer, "cookie", &json!("a=1; b=2"))
    }),
    ("a path", |t| seen(t, "/inspect/a%20b/%C3%BC", "path", &json!("/inspect/a b/ü"))),
    ("methods", |t| {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            field(&t.ask(method, "/inspect", &[], b"")?, "method", &json!(method))?;
        }
        let head = t.ask("HEAD", "/text", &[], b"")?;
        status(&head, 200)?;
        same(&head.body, b"")
    }),
    ("status codes", |t| {
        for code in [200, 201, 400, 404, 418, 503] {
            let answer = t.ask("GET", &format!("/status?code={code}"), &[], b"")?;
            status(&answer, code)?;
            same(&answer.body, format!("status {code}").as_bytes())?;
        }
        let empty = t.ask("GET", "/status?code=204", &[], b"")?;
        status(&empty, 204)?;
        same(&empty.body, b"")
    }),
    ("an answer without a status", |t| {
        let answer = t.ask("GET", "/answer?value=c", &[], b"")?;
        status(&answer, 200)?;
        same(&answer.body, b"b")?;
        header(&answer, "x-value", "c")
    }),
    ("a header without a value", |t| {
        let answer = t.ask("GET", "/answer", &[], b"")?;
        status(&answer, 200)?;
        header(&answer, "x-value", "none")
    }),
    // Characters whose low bytes are CR and LF.
    ("a header in UTF-8", |t| {
        let answer = t.ask("GET", "/answer?value=%C4%8D%C4%8AX-Evil:%20%C3%BC", &[], b"")?;
        header(&answer, "x-evil", "none")?;
        header(&answer, "x-value", "\u{10d}\u{10a}X-Evil: ü")
    }),
    ("a header with a line end", |t| {
        for end in ["%0D%0A", "%0A", "%0D", "%00"] {
            let answer = t.ask("GET", &format!("/answer?value=a{end}X-Evil:%20b"), &[], b"")?;
            refused(&answer, "the header field X-Value holds a line end")?;
            header(&answer, "x-evil", "none")?;
        }
        Ok(())
    }),
    ("a header of no good name", |t| {
        refused(&t.ask("GET", "/answer?name=X%20A:&value=b", &[], b"")?, "can't be the name of a header field")
    }),
    ("statuses that are none", |t| {
        for code in ["0", "99", "1000", "-5"] {
            let answer = t.ask("GET", &format!("/answer?status={code}"), &[], b"")?;
            refused(&answer, &format!("the status {code} is none that an answer can have"))?;
        }
        Ok(())
    }),
    ("interim statuses", |t| {
        for code in ["100", "101", "103"] {
            let answer = t.ask("GET", &format!("/answer?status={code}"), &[], b"")?;
            refused(&answer, &format!("the status {code} is none that an answer can have"))?;
        }
        Ok(())
    }),
    ("a header of 64 KB", |t| {
        let long = "z".repeat(65_536);
        let answer = t.ask("POST", "/inspect", &[("X-Two", &long)], b"")?;
        let got = data(&answer)?["two"].as_str().map_or(0, str::len);
        if got == long.len() { Ok(()) } else { Err(format!("two had {got} bytes")) }
    }),
    ("a redirect", |t| {
        let answer = t.ask("GET", "/redirect", &[], b"")?;
        status(&answer, 302)?;
        header(&answer, "location", "/elsewhere")
    }),
    ("cookies set", |t| {
        let answer = t.ask("GET", "/cookies", &[], b"")?;
        let set: Vec<&str> =
            answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect();
        if set == ["a=1; Path=/", "b=2"] { Ok(()) } else { Err(format!("set-cookie was {set:?}")) }
    }),
    ("a JSON answer", |t| {
        let answer = t.ask("GET", "/json", &[], b"")?;
        let kind = answer.header("content-type").unwrap_or("none");
        if !kind.starts_with("application/json") {
            return Err(format!("content-type was {kind}"));
        }
        let wanted = json!({"tax": 4.7, "of": ["grüß", null, true]});
        let got: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        if got == wanted { Ok(()) } else { Err(format!("it was {got}")) }
    }),
    ("a text answer", |t| {
        let answer = t.ask("GET", "/text", &[], b"")?;
        same(&answer.body, "grüß".as_bytes())?;
        let kind = answer.header("content-type").unwrap_or("none").to_lowercase();
        if kind.starts_with("text/plain") { Ok(()) } else { Err(format!("content-type was {kind}")) }
    }),
    ("a streamed answer", streamed),
    ("an error", |t| status(&t.post("/error", b"")?, 500)),
    ("an error's message", |t| {
        let text = t.post("/error", b"")?.text();
        if text.contains("no subtotal") { Ok(()) } else { Err(format!("it was {text:?}")) }
    }),
    ("an answer after the error", |t| same(&t.post("/text", b"")?.body, "grüß".as_bytes())),
    ("a slow answer", |t| same(&t.post("/slow", b"")?.body, b"slow")),
    ("50 at the same time", parallel),
    ("environment", |t| same(&t.ask("GET", "/environment", &[], b"")?.body, b"set")),
    ("a secret", |t| same(&t.ask("GET", "/secret", &[], b"")?.body, b"s3cret")),
];

/// What the seeds' functions are asked.
pub const SEEDS: &[(&str, Ask)] = &[
    ("the tax of a subtotal", |t| {
        let answer = t.ask("POST", "/", &[("Content-Type", "application/json")], br#"{"subtotal": 100}"#)?;
        field(&answer, "tax", &json!(4.7))
    }),
    ("a message for the webhook", |t| {
        let text = format!("wörld {}", uuid());
        let message = json!({"title": "hello", "txt": text}).to_string();
        let answer = t.ask("POST", "/", &[("Content-Type", "application/json")], message.as_bytes())?;
        status(&answer, 200)?;
        let wanted = format!("hello\n{text}");
        if super::webhook::posted(&wanted) {
            Ok(())
        } else {
            Err(format!("nobody posted {wanted:?}: {}", answer.text()))
        }
    }),
];

/// Another number each time.
fn uuid() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_nanos()
}

impl Target {
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        if self.plain && path != "/echo" && path != "/" {
            return self.sent("POST", path, headers, path.as_bytes());
        }
        self.sent(method, path, headers, body)
    }

    fn sent(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        if let Place::Lambda(emulator) = &self.place {
            return emulator.call(method, path, headers, body);
        }
        let mut head = format!("Content-Length: {}\r\n", body.len());
        if method == "GET" || method == "HEAD" {
            head.clear();
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        whole(self.open(method, path, &head, body.to_vec())?, method)
    }

    fn post(&self, path: &str, body: &[u8]) -> Result<Answer, String> {
        self.ask("POST", path, &[], body)
    }

    fn chunked(&self, path: &str, body: &[u8]) -> Result<Answer, String> {
        if let Place::Lambda(emulator) = &self.place {
            return emulator.call("POST", path, &[], body);
        }
        let mut wire = Vec::new();
        for chunk in body.chunks(100_000) {
            wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
        whole(self.open("POST", path, "Transfer-Encoding: chunked\r\n", wire)?, "POST")
    }

    fn open(&self, method: &str, path: &str, fields: &str, body: Vec<u8>) -> Result<TcpStream, String> {
        let said = |error: std::io::Error| error.to_string();
        let Place::Http { address, host, prefix } = &self.place else { return Err("not by HTTP".into()) };
        let mut socket = TcpStream::connect(address).map_err(said)?;
        socket.set_read_timeout(Some(Duration::from_secs(60))).map_err(said)?;
        let host = host.as_ref().unwrap_or(address);
        let head = format!("{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
        socket.write_all(head.as_bytes()).map_err(said)?;
        let mut writer = socket.try_clone().map_err(said)?;
        // Large bodies are sent while the answer is read.
        std::thread::spawn(move || writer.write_all(&body));
        Ok(socket)
    }
}

fn whole(mut socket: TcpStream, method: &str) -> Result<Answer, String> {
    let mut raw = Vec::new();
    socket.read_to_end(&mut raw).map_err(|error| error.to_string())?;
    if !raw.windows(4).any(|part| part == b"\r\n\r\n") {
        return Err("the connection was closed without an answer".into());
    }
    if method == "HEAD" {
        // There is nothing after the head, whatever it says.
        let end = raw.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0);
        let mut answer = parse(b"HTTP/1.1 200 OK\r\n\r\n");
        answer.status = String::from_utf8_lossy(&raw).split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        answer.body = raw[end + 4..].to_vec();
        return Ok(answer);
    }
    Ok(parse(&raw))
}

fn same(got: &[u8], wanted: &[u8]) -> Result<(), String> {
    if got == wanted {
        return Ok(());
    }
    let at = got.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or_else(|| got.len().min(wanted.len()));
    let shown = String::from_utf8_lossy(&got[..got.len().min(80)]).into_owned();
    Err(format!("{} bytes instead of {}, other from {at}: {shown:?}", got.len(), wanted.len()))
}

fn status(answer: &Answer, wanted: u16) -> Result<(), String> {
    if answer.status == wanted {
        Ok(())
    } else {
        Err(format!("{} instead of {wanted}: {}", answer.status, answer.text()))
    }
}

fn header(answer: &Answer, name: &str, wanted: &str) -> Result<(), String> {
    let got = answer.header(name).unwrap_or("none");
    if got == wanted { Ok(()) } else { Err(format!("{name} was {got}")) }
}

/// The shim says what the handler did wrong.
fn refused(answer: &Answer, wanted: &str) -> Result<(), String> {
    status(answer, 500)?;
    let text = answer.text();
    if text.contains(wanted) { Ok(()) } else { Err(format!("it was {text:?}")) }
}

fn field(answer: &Answer, name: &str, wanted: &Value) -> Result<(), String> {
    let got = data(answer)?;
    if &got[name] == wanted { Ok(()) } else { Err(format!("{name} was {}", got[name])) }
}

fn data(answer: &Answer) -> Result<Value, String> {
    status(answer, 200)?;
    serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))
}

fn seen(target: &Target, path: &str, name: &str, wanted: &Value) -> Result<(), String> {
    field(&target.ask("GET", path, &[], b"")?, name, wanted)
}

fn echoed(target: &Target, kind: &str, body: &[u8]) -> Result<(), String> {
    let answer = target.ask("POST", "/echo", &[("Content-Type", kind)], body)?;
    if !target.plain {
        header(&answer, "content-type", kind)?;
    }
    same(&answer.body, body)
}

/// The first word must be there well before the last is written.
fn streamed(target: &Target) -> Result<(), String> {
    if let Place::Lambda(_) = target.place {
        // The emulator's answers are whole.
        return same(&target.ask("GET", "/stream", &[], b"")?.body, b"one\ntwo\nthree\n");
    }
    // Without it OpenFaaS's gateway hands answers on whole.
    let mut socket = target.open("GET", "/stream", "Accept: text/event-stream\r\n", Vec::new())?;
    let (mut raw, mut chunk, mut first) = (Vec::new(), [0; 4096], None);
    loop {
        let n = socket.read(&mut chunk).map_err(|error| error.to_string())?;
        if n == 0 {
            break;
        }
        raw.extend_from_slice(&chunk[..n]);
        if first.is_none() && raw.windows(4).any(|part| part == b"one\n") {
            first = Some((Instant::now(), raw.windows(6).any(|part| part == b"three\n")));
        }
    }
    same(&parse(&raw).body, b"one\ntwo\nthree\n")?;
    match first {
        Some((at, false)) if at.elapsed() > Duration::from_millis(250) => Ok(()),
        _ => Err("it came all at once".into()),
    }
}

/// One after the other these would take 25 s. Under the emulator there are fewer instances than on Lambda.
fn parallel(target: &Target) -> Result<(), String> {
    let started = Instant::now();
    let longest = if matches!(target.place, Place::Lambda(_)) { 90 } else { 10 };
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..50).map(|_| scope.spawn(|| target.post("/slow", b""))).collect();
        calls.into_iter().try_for_each(|call| same(&call.join().expect("a call")?.body, b"slow"))
    })?;
    let took = started.elapsed();
    if took < Duration::from_secs(longest) { Ok(()) } else { Err(format!("50 calls of 0.5 s took {took:?}")) }
}
