//! A server that answers as told, byte for byte, and remembers what it was asked: for faults that no good server has.
#![allow(dead_code, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As `GET /system/functions`.
    pub line: String,
    /// In lower case, as `authorization: Basic …`.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A running server; it ends with the test.
pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request with what `answer` makes of it, and closes the connection.
    pub fn new(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::with(move |mut stream, remember| {
            if let Some(asked) = read(&stream) {
                let bytes = answer(&asked);
                remember(asked);
                let _ = stream.write_all(&bytes);
            }
        })
    }

    /// The same answer to every request.
    pub fn always(status: &str, content_type: &str, body: &str) -> Self {
        let bytes = answer(status, &[("Content-Type", content_type)], body);
        Self::new(move |_| bytes.clone())
    }

    /// Does as it likes with every connection.
    pub fn with(serve: impl Fn(TcpStream, &dyn Fn(Asked)) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (serve, all) = (Arc::new(serve), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, all) = (serve.clone(), all.clone());
                std::thread::spawn(move || serve(stream, &|one| all.lock().expect("lock").push(one)));
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("lock").clone()
    }

    /// The first lines of what was asked.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|a| a.line).collect()
    }
}

/// A whole answer that ends its connection.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if status.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("HTTP/1.1 {status}\r\n{headers}{length}Connection: close\r\n\r\n{body}").into_bytes()
}

fn read(stream: &TcpStream) -> Option<Asked> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim().strip_suffix(" HTTP/1.1")?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { line, headers, body: Vec::new() };
    if asked.header("transfer-encoding").is_some_and(|v| v == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = u64::from_str_radix(size.trim(), 16).ok()?;
            reader.by_ref().take(size).read_to_end(&mut asked.body).ok()?;
            let mut end = String::new();
            reader.read_line(&mut end).ok()?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = asked.header("content-length").and_then(|v| v.parse().ok()) {
        reader.take(length).read_to_end(&mut asked.body).ok()?;
    }
    Some(asked)
}
