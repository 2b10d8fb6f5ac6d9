//! The shims of the templates as the invoker uses them: started with a port, called over HTTP, ended by SIGTERM.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use faas::template::Catalogue;

use crate::support::free_port;

/// A shim with a handler, running.
pub struct Shim {
    child: Option<Child>,
    port: u16,
    _dir: tempfile::TempDir,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

fn laid_out(lang: &str, file: &str, handler: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Catalogue::new(Path::new("/nowhere")).get(lang).unwrap().copy_to(dir.path()).unwrap();
    // The starter is no part of a function that has another handler.
    for starter in ["handler.py", "handler.js", "handler.rb"] {
        let _ = std::fs::remove_file(dir.path().join("function").join(starter));
    }
    std::fs::write(dir.path().join("function").join(file), handler).unwrap();
    dir
}

fn spawn(lang: &str, dir: &Path, port: u16) -> Child {
    spawn_with(lang, dir, port, &[])
}

fn spawn_with(lang: &str, dir: &Path, port: u16, variables: &[(&str, &str)]) -> Child {
    let (program, shim) = match lang {
        "python3" => ("python3", "index.py"),
        "ruby" => ("ruby", "index.rb"),
        _ => ("node", "index.js"),
    };
    Command::new(program)
        .arg(shim)
        .current_dir(dir)
        .env("PORT", port.to_string())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program} is needed for these tests: {e}"))
}

impl Shim {
    pub fn start(lang: &str, file: &str, handler: &str) -> Self {
        Self::start_with(lang, file, handler, &[])
    }

    /// Started with more variables in its environment.
    pub fn start_with(lang: &str, file: &str, handler: &str, variables: &[(&str, &str)]) -> Self {
        let dir = laid_out(lang, file, handler);
        let port = free_port();
        let child = spawn_with(lang, dir.path(), port, variables);
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the {lang} shim does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child: Some(child), port, _dir: dir }
    }

    pub fn python(handler: &str) -> Self {
        Self::start("python3", "handler.py", handler)
    }

    pub fn node(handler: &str) -> Self {
        Self::start("node", "handler.js", handler)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    pub fn post(&self, body: &str) -> Answer {
        self.send(&format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    pub fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read(&mut BufReader::new(stream))
    }

    fn signal(&self) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Ends it as a platform does; its exit code, stdout and stderr.
    fn end(self) -> (Option<i32>, String, String) {
        self.signal();
        self.wait()
    }

    fn wait(mut self) -> (Option<i32>, String, String) {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Answer {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "the connection was closed: {head}");
    }
    let lower = head.to_lowercase();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let length = lower.split("content-length: ").nth(1).map(|rest| rest.lines().next().unwrap().parse().unwrap());
    let mut body = Vec::new();
    if let Some(length) = length {
        body.resize(length, 0);
        stream.read_exact(&mut body).unwrap();
    } else if lower.contains("transfer-encoding: chunked") {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).unwrap();
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Answer { status, head, body: String::from_utf8(body).unwrap() }
}

#[test]
fn python_returns() {
    let shim = Shim::python("def handle(req):\n    return req.upper()\n");
    let answer = shim.post("grüß");
    assert_eq!((answer.status, answer.body.as_str()), (200, "GRÜSS"));
    assert!(answer.head.contains("Content-Type: text/plain; charset=utf-8"), "{}", answer.head);
}

#[test]
fn python_prints_and_returns() {
    let shim = Shim::python("import json\ndef handle(req):\n    print(json.dumps({'tax': 4.7}))\n");
    assert_eq!(shim.post("{}").body, "{\"tax\": 4.7}\n");
    let shim = Shim::python("def handle(req):\n    print('one')\n    return 'two'\n");
    assert_eq!(shim.post("").body, "one\ntwo");
}

#[test]
fn python_answers_json_bytes_and_streams() {
    let shim = Shim::python("def handle(req):\n    return {'a': [1, None]}\n");
    let answer = shim.post("");
    assert_eq!(answer.body, "{\"a\": [1, null]}");
    assert!(answer.head.contains("application/json"), "{}", answer.head);
    let shim = Shim::python("def handle(req):\n    return ((str(n) for n in range(3)), 202, {'X-A': 'b'})\n");
    let answer = shim.post("");
    assert_eq!((answer.status, answer.body.as_str()), (202, "012"));
    assert!(answer.head.contains("X-A: b"), "{}", answer.head);
}

#[test]
fn python_keeps_what_concurrent_requests_print_apart() {
    let shim = Shim::python(
        "import threading, time\nbarrier = threading.Barrier(8)\ndef handle(req):\n    print('begin', req)\n    \
         barrier.wait(10)\n    print('end', req)\n",
    );
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|n| {
                (
                    n,
                    scope.spawn({
                        let shim = &shim;
                        move || shim.post(&n.to_string()).body
                    }),
                )
            })
            .collect();
        for (n, call) in calls {
            assert_eq!(call.join().unwrap(), format!("begin {n}\nend {n}\n"));
        }
    });
}

#[test]
fn python_that_raises_answers_500_and_logs_the_traceback() {
    let shim = Shim::python("def handle(req):\n    print('so far')\n    raise ValueError('no subtotal')\n");
    let answer = shim.post("");
    assert_eq!((answer.status, answer.body.as_str()), (500, "ValueError: no subtotal\n"));
    assert_eq!(shim.post("").status, 500, "it goes on after the first");
    let (code, _, log) = shim.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("handler.py\", line 3, in handle"), "{log}");
}

#[test]
fn python_that_exits_answers_500_and_logs_where() {
    let shim = Shim::python("import sys\ndef handle(req):\n    sys.exit(4)\n");
    let answer = shim.post("x");
    assert_eq!((answer.status, answer.body.as_str()), (500, "RuntimeError: exit(4)\n"));
    assert_eq!(shim.post("x").status, 500, "the function goes on");
}

#[test]
fn python_sees_the_request() {
    let shim = Shim::python(
        "def handle(event, context):\n    print('to the log')\n    return {'statusCode': 201, 'headers': {'X-Was': event.method},\n            \
         'body': [event.path, event.query, event.headers['content-TYPE'], event.body.decode()]}\n",
    );
    let answer =
        shim.send("PUT /a%20b?x=1&y= HTTP/1.1\r\nHost: x\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(answer.status, 201);
    assert_eq!(answer.body, r#"["/a b", {"x": "1", "y": ""}, "text/x", "hi"]"#);
    assert!(answer.head.contains("X-Was: PUT"), "{}", answer.head);
    let (_, log, _) = shim.end();
    assert_eq!(log, "to the log\n");
}

#[test]
fn python_speaks_http() {
    let shim = Shim::python("def handle(req):\n    return req\n");
    let mut stream = shim.connect();
    // Two requests at once on one connection, the second in chunks with a trailer.
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nonePOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1;x=y\r\no\r\n0\r\nT: t\r\n\r\n",
        )
        .unwrap();
    let mut reader = BufReader::new(stream);
    assert_eq!(read(&mut reader).body, "one");
    assert_eq!(read(&mut reader).body, "two");
    for (request, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ] {
        assert_eq!(shim.send(request).status, status, "{request}");
    }
    let old = shim.send("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(old.body, "hi");
    assert!(old.head.contains("Connection: close"), "{}", old.head);
}

#[test]
fn python_finishes_what_it_does_when_it_is_ended() {
    let shim = Shim::python("import time\ndef handle(req):\n    time.sleep(0.5)\n    return 'done'\n");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| shim.post("").body);
        std::thread::sleep(Duration::from_millis(200));
        shim.signal();
        assert_eq!(call.join().unwrap(), "done");
    });
    let (code, _, log) = shim.wait();
    assert_eq!((code, log.as_str()), (Some(0), ""));
}

#[test]
fn python_that_cannot_be_imported_ends_at_once() {
    let dir = laid_out("python3", "handler.py", "import nothing_of_that_name\n");
    let output = spawn("python3", dir.path(), free_port()).wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(log.contains("No module named 'nothing_of_that_name'"), "{log}");
}

#[test]
fn python_may_bring_its_own_server() {
    let shim = Shim::python(
        "import os\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\nclass Own(BaseHTTPRequestHandler):\n    \
         def do_POST(self):\n        self.send_response(200)\n        self.send_header('Content-Length', '3')\n        \
         self.end_headers()\n        self.wfile.write(b'own')\ndef main():\n    \
         HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Own).serve_forever()\n",
    );
    assert_eq!(shim.post("").body, "own");
}

#[test]
fn python_imports_modules_beside_the_handler_and_dependencies() {
    let dir = laid_out("python3", "handler.py", "import util, dep\ndef handle(req):\n    return util.A + dep.B\n");
    std::fs::write(dir.path().join("function/util.py"), "A = 'a'\n").unwrap();
    std::fs::create_dir(dir.path().join(".deps")).unwrap();
    std::fs::write(dir.path().join(".deps/dep.py"), "B = 'b'\n").unwrap();
    let port = free_port();
    let shim = Shim { child: Some(spawn("python3", dir.path(), port)), port, _dir: dir };
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(shim.post("").body, "ab");
}

#[test]
fn node_returns_text_and_json() {
    let shim = Shim::node("module.exports = async (req) => req.toUpperCase();\n");
    assert_eq!(shim.post("grüß").body, "GRÜSS");
    let shim = Shim::node("exports.handle = (req) => ({ a: [1, null], statusCode: 3 });\n");
    let answer = shim.post("");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"a\":[1,null],\"statusCode\":3}"));
}

#[test]
fn node_sees_the_request() {
    let shim = Shim::node(
        "module.exports = async (event, context) => context.status(201).headers({ 'X-Was': event.method })\n  \
         .succeed([event.path, event.query, event.body]);\n",
    );
    let answer = shim.send(
        "PUT /a?x=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"b\": 2}",
    );
    assert_eq!((answer.status, answer.body.as_str()), (201, r#"["/a",{"x":"1"},{"b":2}]"#));
    assert!(answer.head.contains("X-Was: PUT"), "{}", answer.head);
    let shim =
        Shim::node("module.exports = (event, context, callback) => setTimeout(() => callback(null, 'later'), 10);\n");
    assert_eq!(shim.post("").body, "later");
    let shim = Shim::node("module.exports = async (event, context) => ({ statusCode: 404, body: 'none' });\n");
    let answer = shim.post("");
    assert_eq!((answer.status, answer.body.as_str()), (404, "none"));
}

#[test]
fn node_that_throws_answers_500_and_goes_on() {
    let shim = Shim::node("module.exports = async (req) => { throw new RangeError('no subtotal'); };\n");
    let answer = shim.post("");
    assert_eq!((answer.status, answer.body.as_str()), (500, "RangeError: no subtotal\n"));
    assert_eq!(shim.post("").status, 500);
    let (code, _, log) = shim.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("handler.js:1"), "{log}");
}

#[test]
fn node_that_cannot_be_loaded_ends_at_once() {
    let dir = laid_out("node", "handler.js", "require('nothing-of-that-name');\n");
    let output = spawn("node", dir.path(), free_port()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing-of-that-name"));
}

fn bash(handler: &str, input: &str) -> (Option<i32>, String) {
    let dir = laid_out("bash", "handler.sh", handler);
    let mut child = Command::new("bash")
        .arg("index.sh")
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn bash_handles_by_a_function_or_a_script() {
    assert_eq!(bash("handle() { tr a-z A-Z; }\n", "hi"), (Some(0), "HI".into()));
    assert_eq!(bash("read -r line\necho \"got $line\"\n", "hi\n"), (Some(0), "got hi\n".into()));
    assert_eq!(bash("handle() { cat; return 3; }\n", "x"), (Some(3), "x".into()));
    assert_eq!(bash("handle() { [[ -f $FUNCTION_DIR/handler.sh ]] && echo here; }\n", ""), (Some(0), "here\n".into()));
}
