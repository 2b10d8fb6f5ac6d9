//! Clients and functions that mean ill, or know no better. After each of them the next call is answered as ever.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use support::process::{Watchdog, split};
use support::{PATIENCE, alive};

const HEAD: &str = "HTTP/1.1\r\nHost: x\r\n";

fn until_gone(pid: u32) {
    let until = Instant::now() + PATIENCE;
    while alive(pid) {
        assert!(Instant::now() < until, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many calls the function got.
fn calls(watchdog: &Watchdog) -> u64 {
    let figures = watchdog.get("/metrics").1;
    let counts = figures.lines().filter(|line| line.starts_with("http_requests_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn in_flight(watchdog: &Watchdog) -> String {
    let figures = watchdog.get("/metrics").1;
    figures.lines().find_map(|line| line.strip_prefix("http_requests_in_flight ")).unwrap().to_owned()
}

#[test]
fn requests_that_two_servers_could_read_in_two_ways() {
    let watchdog = Watchdog::ready(&[("fprocess", "cat"), ("mode", "serializing")]);
    let second = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut seen = 0;
    // Read as one call at most; what comes behind is never a second one, as the connection is closed.
    for (name, request, status, expected) in [
        (
            "length and chunks",
            format!("POST / {HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
            200,
            1,
        ),
        (
            "chunks and length",
            format!("POST / {HEAD}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{second}"),
            200,
            1,
        ),
        ("two lengths", format!("POST / {HEAD}Content-Length: 0\r\nContent-Length: 37\r\n\r\n{second}"), 400, 0),
        ("a list of lengths", format!("POST / {HEAD}Content-Length: 0, 37\r\n\r\n{second}"), 400, 0),
        ("a length with a sign", format!("POST / {HEAD}Content-Length: +0\r\n\r\n{second}"), 400, 0),
        ("a length in hex", format!("POST / {HEAD}Content-Length: 0x0\r\n\r\n{second}"), 400, 0),
        ("a space before the colon", format!("POST / {HEAD}Content-Length : 37\r\n\r\n{second}"), 400, 0),
        ("a folded header", format!("POST / {HEAD}X-A: b\r\n Content-Length: 37\r\n\r\n{second}"), 400, 0),
        ("a folded coding", format!("POST / {HEAD}Transfer-Encoding:\r\n chunked\r\n\r\n{second}"), 400, 0),
        ("a CR within", format!("POST / {HEAD}X-A: b\rContent-Length: 37\r\n\r\n{second}"), 400, 0),
        ("chunks that are not last", format!("POST / {HEAD}Transfer-Encoding: chunked, gzip\r\n\r\n{second}"), 400, 0),
        ("another coding", format!("POST / {HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{second}"), 501, 0),
        (
            "two codings",
            format!("POST / {HEAD}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
            501,
            0,
        ),
        (
            "HTTP/1.0 with chunks",
            format!("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}"),
            400,
            0,
        ),
        ("a target that is no path", format!("GET foo {HEAD}\r\n{second}"), 400, 0),
        ("a proxy's method", format!("CONNECT a.b:80 {HEAD}\r\n{second}"), 400, 0),
        ("a host that is none", format!("GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n{second}"), 400, 0),
        ("two hosts", format!("GET / {HEAD}Host: y\r\n\r\n{second}"), 400, 0),
        ("no host", format!("GET / HTTP/1.1\r\n\r\n{second}"), 400, 0),
        (
            "a size in 20 digits",
            format!("POST / {HEAD}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{second}"),
            400,
            1,
        ),
        ("a size with a sign", format!("POST / {HEAD}Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{second}"), 400, 1),
        (
            "a chunk longer than its size",
            format!("POST / {HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n{second}"),
            400,
            1,
        ),
        (
            "a size that ends with LF alone",
            format!("POST / {HEAD}Transfer-Encoding: chunked\r\n\r\n0\n\n{second}"),
            400,
            1,
        ),
        (
            "an endless extension",
            format!(
                "POST / {HEAD}Transfer-Encoding: chunked\r\n\r\n1;{}\r\na\r\n0\r\n\r\n{second}",
                "e".repeat(200_000)
            ),
            400,
            1,
        ),
        (
            "many extensions",
            format!(
                "POST / {HEAD}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n{second}",
                format!("1;{}\r\na\r\n", "e".repeat(900)).repeat(100)
            ),
            400,
            1,
        ),
        (
            "an endless trailer",
            format!("POST / {HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nX: {}\r\n\r\n{second}", "t".repeat(200_000)),
            400,
            1,
        ),
    ] {
        let mut stream = watchdog.connect();
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        // What it didn't read makes the kernel send a reset behind the answer.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let must = name.contains("host") || name.starts_with("a target") || name.starts_with("a proxy");
        assert!(answer.is_empty() && !must || split(&answer).0 == status, "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), usize::from(!answer.is_empty()), "{name}: {answer}");
        seen += expected;
        assert_eq!(calls(&watchdog), seen, "{name}: {answer}");
        assert!(
            !watchdog.get("/metrics").1.contains("code=\"200\",method=\"get\""),
            "{name}: a smuggled call was made"
        );
    }
    assert_eq!(watchdog.get("/").0, 200);
}

#[test]
fn large_heads_are_passed_on_or_refused() {
    let server = concat!("python3 -u ", env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");
    let watchdog = Watchdog::ready(&[("fprocess", server), ("mode", "http")]);
    let ask = |headers: &str| watchdog.raw(format!("GET /echo {HEAD}{headers}Connection: close\r\n\r\n").as_bytes());
    assert_eq!(split(&ask(&format!("X-Large: {}\r\n", "z".repeat(64_000)))).0, 200);
    assert_eq!(split(&ask(&"X-Many: 1\r\n".repeat(90))).0, 200);
    assert_eq!(split(&ask(&"X-Many: 1\r\n".repeat(1000))).0, 431);
    let mut stream = watchdog.connect();
    let _ = write!(stream, "GET /echo {HEAD}X-Large: {}\r\n\r\n", "z".repeat(3_000_000));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(watchdog.get("/echo").0, 200);
    assert!(watchdog.peak_kilobytes() < 32 * 1024, "{} kB", watchdog.peak_kilobytes());
}

#[test]
fn ten_thousand_connections() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let most = limit.maximum.map_or(10_000, |limit| usize::try_from(limit).unwrap().saturating_sub(500)).min(10_000);
    let mut watchdog = Watchdog::ready(&[("fprocess", "cat"), ("mode", "serializing"), ("read_timeout", "1h")]);
    let begun: [&[u8]; 3] =
        [b"", b"GET / HTTP/1.1\r\nHos", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"];
    let mut open = Vec::with_capacity(most);
    for n in 0..most {
        let mut stream = watchdog.connect();
        stream.write_all(begun[n % 3]).unwrap();
        open.push(stream);
    }
    assert_eq!(watchdog.get("/").0, 200);
    let until = Instant::now() + PATIENCE;
    while in_flight(&watchdog) != (most / 3).to_string() {
        assert!(Instant::now() < until, "{} of {} under way", in_flight(&watchdog), most / 3);
    }
    // A call that waits for its body has no process yet.
    assert_eq!(watchdog.get("/").0, 200);
    assert!(watchdog.peak_kilobytes() < 300 * 1024, "{} kB", watchdog.peak_kilobytes());
    drop(open);
    let until = Instant::now() + PATIENCE;
    while in_flight(&watchdog) != "0" {
        assert!(Instant::now() < until, "calls whose callers went away are still counted");
    }
    watchdog.signal(Signal::TERM);
    assert_eq!(watchdog.exit_code(), Some(0));
}

#[test]
fn a_client_that_is_slow_on_purpose() {
    let watchdog = Watchdog::ready(&[("fprocess", "cat"), ("mode", "serializing"), ("read_timeout", "1s")]);
    for (begin, answer) in [
        ("GET / HTTP/1.1\r\nX: ", ""),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "HTTP/1.1 408 "),
        ("P", ""),
    ] {
        let mut stream = watchdog.connect();
        stream.write_all(begin.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let until = Instant::now() + PATIENCE;
        let mut got = Vec::new();
        // A byte now and then keeps no connection alive.
        loop {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => got.extend(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            let _ = stream.write_all(b"a");
            assert!(Instant::now() < until, "{begin}: still open");
        }
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(
            got.is_empty() || got.starts_with("HTTP/1.1 408 ") || got.starts_with("HTTP/1.1 400 "),
            "{begin}: {got}"
        );
        assert!(answer.is_empty() || got.starts_with(answer), "{begin}: {got}");
    }
    assert_eq!(watchdog.get("/").0, 200);
}

#[test]
fn a_client_that_closes_half_of_its_connection_is_gone() {
    let script = "sh -c 'cat >/dev/null; echo pid $$ >&2; sleep 1000'";
    for mode in ["streaming", "serializing"] {
        let mut watchdog = Watchdog::ready(&[("fprocess", script), ("mode", mode), ("prefix_logs", "false")]);
        let mut stream = watchdog.connect();
        write!(stream, "POST / {HEAD}Content-Length: 2\r\n\r\nhi").unwrap();
        let pid = watchdog.until_line("err pid ").rsplit(' ').next().unwrap().parse().unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        until_gone(pid);
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        assert_eq!(in_flight(&watchdog), "0", "{mode}");
    }
}

#[test]
fn answers_that_no_server_should_give() {
    let server = concat!("python3 -u ", env!("CARGO_MANIFEST_DIR"), "/tests/support/hostile.py");
    let watchdog = Watchdog::ready(&[("fprocess", server), ("mode", "http")]);
    let (broken, no_http) = ("the function's process broke off", "the function answered what is no HTTP");
    for (path, said) in [
        ("/space-in-name", no_http),
        ("/zero-byte", no_http),
        ("/no-colon", no_http),
        ("/two-lengths", no_http),
        ("/negative-length", no_http),
        ("/no-http", no_http),
        ("/nothing", broken),
        ("/half-a-head", broken),
        ("/head-without-end", no_http),
        ("/status-99", no_http),
        ("/status-1000", no_http),
        // Both leave the connection open, as who takes them for whole answers.
        ("/status-100", no_http),
        ("/status-101", no_http),
    ] {
        let (status, body) = watchdog.get(path);
        assert_eq!((status, body), (502, format!("{said}; see its log\n")), "{path}");
        assert_eq!(watchdog.get("/fine"), (200, "fine".into()), "after {path}");
    }
    for path in ["/hints", "/go-on"] {
        assert_eq!(watchdog.get(path), (200, "after".into()), "{path}");
    }
    for _ in 0..20 {
        let answer = watchdog.raw(format!("GET /one-byte {HEAD}Connection: close\r\n\r\n").as_bytes());
        assert!(answer.contains("x-kept: yes\r\n") && answer.ends_with("\r\n\r\nh"), "{answer}");
    }
    for path in ["/short", "/bad-chunk"] {
        let answer = watchdog.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        // Cut off, with what was passed on before or without: it must not look like a whole one.
        let (status, body) = split(&answer);
        let whole = answer.ends_with("0\r\n\r\n") || answer.contains("content-length: 2\r\n");
        assert!([0, 200].contains(&status) && body.len() < 10 && !whole, "{path}: {answer}");
        assert_eq!(watchdog.get("/fine"), (200, "fine".into()), "after {path}");
    }
    // What comes behind an answer is no answer to the next call.
    for _ in 0..5 {
        assert_eq!(watchdog.get("/split"), (200, "hi".into()));
        assert_eq!(watchdog.get("/fine"), (200, "fine".into()));
    }
}

#[test]
fn a_gigabyte_is_answered_in_little_memory() {
    let watchdog = Watchdog::ready(&[("fprocess", "head -c 1000000000 /dev/zero"), ("exec_timeout", "0")]);
    let mut stream = watchdog.connect();
    write!(stream, "GET / {HEAD}Connection: close\r\n\r\n").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0_usize;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count,
        }
    }
    assert!(total > 1_000_000_000, "{total}");
    assert!(watchdog.peak_kilobytes() < 16 * 1024, "{} kB", watchdog.peak_kilobytes());
}

#[test]
fn a_function_that_closes_stdin_and_one_that_leaves_children_behind() {
    for mode in ["streaming", "serializing"] {
        let watchdog = Watchdog::ready(&[("fprocess", "sh -c 'exec 0<&-; echo closed'"), ("mode", mode)]);
        let body = "x".repeat(3_000_000);
        let request = format!("POST / {HEAD}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let mut stream = watchdog.connect();
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("closed"), "{mode}: {answer}");

        // They hold the output open: the call has no end but its time limit, which takes them along.
        let script = "sh -c 'sleep 1000 & echo child $! >&2; echo done'";
        let variables = [("fprocess", script), ("mode", mode), ("exec_timeout", "2s"), ("prefix_logs", "false")];
        let mut watchdog = Watchdog::ready(&variables);
        let answer = watchdog.raw(format!("GET / {HEAD}Connection: close\r\n\r\n").as_bytes());
        match mode {
            "serializing" => assert_eq!(split(&answer).0, 504, "{answer}"),
            _ => assert!(answer.contains("done") && !answer.ends_with("0\r\n\r\n"), "{answer}"),
        }
        let child = watchdog.until_line("err child ").rsplit(' ').next().unwrap().parse().unwrap();
        until_gone(child);
        assert_eq!(in_flight(&watchdog), "0", "{mode}");
    }
}
