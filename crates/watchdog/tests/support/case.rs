//! The requests that are put to of-watchdog and to ours, and answers in a form that can be compared.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// A request, byte by byte, and what it is there for.
pub struct Case {
    pub name: &'static str,
    pub request: Vec<u8>,
}

fn plain(name: &'static str, line: &str, headers: &str, body: &[u8]) -> Case {
    let mut request = format!("{line} HTTP/1.1\r\nHost: fn.example\r\nUser-Agent: case\r\n{headers}").into_bytes();
    if !body.is_empty() {
        request.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
    }
    request.extend(b"\r\n");
    request.extend(body);
    Case { name, request }
}

fn raw(name: &'static str, request: &str) -> Case {
    Case { name, request: request.as_bytes().to_vec() }
}

/// All of them; `exec_timeout` is 10 s.
pub fn cases() -> Vec<Case> {
    let binary: Vec<u8> = (0..=255).collect();
    let head = "HTTP/1.1\r\nHost: fn.example\r\nUser-Agent: case\r\n";
    vec![
        plain("get", "GET /", "", b""),
        plain("path and query", "GET /a/b.txt?x=1&y=%20z", "", b""),
        plain("escapes in the path", "GET /a%20b/%C3%A9", "", b""),
        plain("an escaped slash", "GET /a%2Fb", "", b""),
        plain("two slashes", "GET //a", "", b""),
        plain("dots in the path", "GET /a/../b", "", b""),
        plain("a query with a plus and a semicolon", "GET /?a+b;c", "", b""),
        plain("post", "POST /", "Content-Type: text/plain\r\n", b"hello"),
        plain("post without a body", "POST /", "Content-Length: 0\r\n", b""),
        plain("binary body", "POST /", "Content-Type: application/octet-stream\r\n", &binary),
        plain("UTF-8 body", "POST /", "", "grüße, 世界".as_bytes()),
        plain("UTF-8 in a header", "GET /", "X-Word: grüße\r\n", b""),
        plain("body of 100 kB", "POST /empty", "", &vec![b'x'; 100_000]),
        plain("put", "PUT /", "", b"new"),
        plain("patch", "PATCH /", "", b"part"),
        plain("delete", "DELETE /", "", b""),
        plain("options", "OPTIONS /", "", b""),
        plain("head", "HEAD /", "", b""),
        plain("a method of its own", "BREW /", "", b""),
        plain("a header twice", "GET /", "X-Twice: one\r\nX-Twice: two\r\n", b""),
        plain("cookies", "GET /", "Cookie: a=1; b=2\r\n", b""),
        plain("call id", "GET /", "X-Call-Id: 0123\r\n", b""),
        plain("compression is offered", "GET /", "Accept-Encoding: gzip\r\n", b""),
        plain("hop-by-hop headers", "GET /", "Connection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n", b""),
        plain("a header without a value", "GET /", "X-Empty:\r\n", b""),
        plain("waits for 100", "POST /", "Expect: 100-continue\r\n", b"hello"),
        plain("a status", "GET /status/418", "", b""),
        plain("no content", "GET /status/204", "", b""),
        plain("a redirect", "GET /redirect", "", b""),
        plain("two cookies are set", "GET /cookies", "", b""),
        plain("hop-by-hop headers of the function", "GET /hop", "", b""),
        plain("nothing is answered", "GET /empty", "", b""),
        plain("20 kB are answered", "GET /large", "", b""),
        plain("the answer comes in pieces", "GET /chunked", "", b""),
        plain("stderr", "GET /stderr", "", b""),
        plain("the function fails", "POST /fail", "", b"x"),
        plain("the function breaks off", "POST /hang-up", "", b"x"),
        plain("the caller's time is over", "GET /slow", "X-Timeout: 200ms\r\n", b""),
        plain("the caller would wait for longer than may be", "GET /slow", "X-Timeout: 1h\r\n", b""),
        plain("health", "GET /_/health", "", b""),
        plain("health by POST", "POST /_/health", "Content-Length: 0\r\n", b""),
        plain("readiness", "GET /_/ready", "", b""),
        raw("chunks", &format!("POST / {head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")),
        raw("chunk extensions", &format!("POST / {head}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n")),
        raw("a trailer", &format!("POST / {head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Last: 1\r\n\r\n")),
        raw("the whole address as target", "GET http://other.example/a HTTP/1.1\r\nHost: fn.example\r\n\r\n"),
        raw("HTTP/1.0", "GET / HTTP/1.0\r\nHost: fn.example\r\n\r\n"),
        raw("no user agent", "GET / HTTP/1.1\r\nHost: fn.example\r\n\r\n"),
        raw("no host", "GET / HTTP/1.1\r\n\r\n"),
        raw("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        raw(
            "length and chunks",
            &format!("POST / {head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        raw("two lengths", &format!("POST / {head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
        raw("one length twice", &format!("POST / {head}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")),
        raw("a length with a sign", &format!("POST / {head}Content-Length: +3\r\n\r\nabc")),
        raw("a length below zero", &format!("POST / {head}Content-Length: -3\r\n\r\nabc")),
        raw("another coding than chunks", &format!("POST / {head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        raw("a coding that looks like chunks", &format!("POST / {head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
        raw("a size that is none", &format!("POST / {head}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n")),
        raw("a header that goes on in the next line", &format!("GET / {head}X-Long: a\r\n b\r\n\r\n")),
        raw("a space before the colon", &format!("GET / {head}X-Space : a\r\n\r\n")),
        raw("a header without a colon", &format!("GET / {head}nonsense\r\n\r\n")),
        raw("lines that end with LF alone", "GET / HTTP/1.1\nHost: fn.example\nUser-Agent: case\n\n"),
        raw("no HTTP", "hello there\r\n\r\n"),
        raw("a version to come", "GET / HTTP/3.7\r\nHost: fn.example\r\n\r\n"),
    ]
}

/// A byte is a character: JSON has no bytes.
pub fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Puts a request and reads one answer: status, headers without those that differ from run to run, body.
pub fn ask(port: u16, request: &[u8]) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = stream.write_all(request);
    let mut reader = BufReader::new(stream);
    let head_only = request.starts_with(b"HEAD ");
    let (mut status, mut headers) = head(&mut reader);
    let mut informed = Vec::new();
    while (100..200).contains(&status) {
        informed.push(status);
        (status, headers) = head(&mut reader);
    }
    if status == 0 {
        return json!({ "status": 0 });
    }
    let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if head_only || matches!(status, 204 | 304) {
    } else if value("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            if reader.read_line(&mut size).unwrap_or(0) == 0 {
                body.extend(b" (cut off)");
                break;
            }
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).unwrap();
            if size == 0 {
                break;
            }
            body.extend(&chunk[..size]);
        }
    } else if let Some(length) = value("content-length") {
        body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
    } else {
        let _ = reader.read_to_end(&mut body);
    }
    let body = if body.len() > 8000 {
        let first = characters(&body[..40]);
        format!("{} bytes: {first}…", body.len())
    } else {
        characters(&body)
    };
    // The mirror's words, as an object that can be compared part by part.
    let body = serde_json::from_str::<Value>(&body).ok().filter(Value::is_object).unwrap_or(Value::String(body));
    let mut kept: Vec<Value> = headers
        .iter()
        .filter(|(name, _)| name != "date")
        .map(|(name, value)| match name.as_str() {
            "x-duration-seconds" => json!([name, "(seconds)"]),
            _ => json!([name, value]),
        })
        .collect();
    kept.sort_by_key(Value::to_string);
    let mut answer = json!({ "status": status, "headers": kept, "body": body });
    if !informed.is_empty() {
        answer["before"] = json!(informed);
    }
    answer
}

fn head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = Vec::new();
    let _ = reader.read_until(b'\n', &mut line);
    let first = characters(&line);
    let status = first.split(' ').nth(1).and_then(|status| status.trim().parse().ok()).unwrap_or(0);
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            break;
        }
        let text = characters(&line);
        match text.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    (status, headers)
}
