//! HTTP's less common sides through the embedded gateway: WebSockets, and heads that two servers read in two ways.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::support::platform::{Platform, parse};

/// Agrees to a WebSocket below /ws, then sends back in capitals what it gets; answers what it was asked elsewhere.
const SERVER: &str = r#"
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/ws":
            self.send_response(101)
            for name, value in (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "ok")):
                self.send_header(name, value)
            self.end_headers()
            while data := self.connection.recv(1024):
                self.connection.sendall(data.upper())
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    do_POST = do_GET

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn served() -> (Platform, String) {
    let platform = Platform::start();
    let bundle = platform.bundle("own", &[("main.py", SERVER)], "python3 -u main.py");
    assert_eq!(platform.deploy("own", &bundle).status, 200);
    let address = platform.url.trim_start_matches("http://").to_owned();
    (platform, address)
}

#[test]
fn a_websocket_is_a_tunnel_until_either_side_ends_it() {
    let (platform, address) = served();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    write!(
        stream,
        "GET /function/own/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "closed after {head}");
    }
    let lower = head.to_lowercase();
    assert!(lower.starts_with("http/1.1 101 ") && lower.contains("upgrade: websocket\r\n"), "{head}");
    assert!(!lower.contains("content-type"), "{head}");
    for word in ["one", "two", "three"] {
        stream.write_all(word.as_bytes()).unwrap();
        let mut back = vec![0; word.len()];
        reader.read_exact(&mut back).unwrap();
        assert_eq!(String::from_utf8(back).unwrap(), word.to_uppercase());
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(platform.get("/function/own/after").text(), "/after");
}

#[test]
fn heads_that_two_servers_could_read_in_two_ways_are_refused() {
    let (platform, address) = served();
    let second = format!("GET /function/own/smuggled HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let head = format!("POST /function/own/ HTTP/1.1\r\nHost: {address}\r\n");
    for (request, status) in [
        (format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{head}Host: 127.0.0.1\r\n\r\n"), 400),
        (format!("{head}Host: evil.example\r\n\r\n"), 400),
        ("GET /function/own/ HTTP/1.1\r\n\r\n".into(), 400),
        ("GET http://localhost/function/own/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".into(), 403),
        ("GET http://evil.example/function/own/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(), 403),
        ("GET /function/own/ HTTP/1.1\r\nHost: a b/c\r\n\r\n".into(), 400),
        (format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n"), 400),
        (format!("GET foo HTTP/1.1\r\nHost: {address}\r\n\r\n"), 400),
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(format!("{request}{second}").as_bytes()).unwrap();
        let mut raw = Vec::new();
        // What it didn't read makes the kernel send a reset behind the answer.
        let _ = stream.read_to_end(&mut raw);
        let answer = parse(&raw);
        assert_eq!(answer.status, status, "{request}: {}", answer.text());
        assert!(!String::from_utf8_lossy(&raw).contains("/smuggled"), "{request}: a second call was made");
    }
    assert_eq!(platform.get("/function/own/fine").text(), "/fine");
}
