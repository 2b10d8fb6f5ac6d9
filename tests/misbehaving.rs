//! Handlers that do what they should not, on the embedded platform: each is told where it is wrong, none takes the
//! platform or another call with it.

use std::io::Read;

use crate::support::platform::{Answer, Platform, is_alive, parse};
use crate::support::{Done, Test};

/// The languages in which each is tried, and their handler's file.
const PYTHON: (&str, &str) = ("python3", "handler.py");
const NODE: (&str, &str) = ("node", "handler.js");

fn project((lang, file): (&str, &str), handler: &str, more: &str) -> Test {
    let stack = format!(
        "version: 1.0\nprovider: {{name: local}}\nfunctions:\n  bad:\n    lang: {lang}\n    handler: ./bad\n    image: bad:latest\n{more}"
    );
    Test::new().file("stack.yml", stack).file(format!("bad/{file}"), handler)
}

/// A platform with the handler as function `bad`.
fn up(lang: (&str, &str), handler: &str, more: &str) -> Platform {
    let platform = Platform::with(project(lang, handler, more), &[]);
    platform.faas(["up", "-g", &platform.url]).run();
    platform
}

fn call(platform: &Platform, body: &str) -> Answer {
    platform.post("/function/bad", body)
}

fn text(platform: &Platform, body: &str) -> (u16, String) {
    let answer = call(platform, body);
    (answer.status, answer.text())
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

#[test]
fn a_syntax_error_is_shown_at_build_with_file_and_line() {
    for (lang, file, handler, place) in [
        ("python3", "handler.py", "def handle(req):\n    x = 1\n    return (\n", "handler.py\", line 3"),
        ("node", "handler.js", "'use strict';\n\nmodule.exports = (req) => { return };};\n", "function/handler.js:3"),
        ("ruby", "handler.rb", "def handle(req)\n  x = 1\n  x = )\nend\n", "function/handler.rb:3:"),
        ("php", "handler.php", "<?php\nfunction handle($req)\n{ return ; ) }\n", "function/handler.php on line 3"),
        (
            "perl",
            "Handler.pm",
            "package Handler;\nuse strict;\nsub handle { return $x; }\n1;\n",
            "function/Handler.pm line 3",
        ),
        ("lua", "handler.lua", "local M = {}\n\nfunction M.handle(req return req end\n", "function/handler.lua:3:"),
        ("bash", "handler.sh", "handle() {\n  echo a\n  if ; then\n}\n", "function/handler.sh: line 3:"),
    ] {
        let done = project((lang, file), handler, "").args(["build"]).status(1).run();
        assert!(done.stderr.contains(place), "{lang}: `{place}` is not in\n{}", done.stderr);
        assert!(!done.stderr.contains("bad: built"), "{lang}: {}", done.stderr);
    }
}

#[test]
fn a_missing_package_is_named_with_what_to_do() {
    for (lang, file, handler, what, todo) in [
        ("python3", "handler.py", "import nobody_has_it.deep\n", "nobody_has_it", "requirements.txt"),
        ("node", "handler.js", "require('nobody-has-it');\n", "nobody-has-it", "npm install nobody-has-it"),
        ("ruby", "handler.rb", "require 'nobody_has_it'\n", "nobody_has_it", "Gemfile"),
        ("lua", "handler.lua", "require('nobody_has_it')\n", "nobody_has_it", "rocks.txt"),
    ] {
        let platform = Platform::with(project((lang, file), handler, ""), &[]);
        let done = platform.faas(["up", "-g", &platform.url, "--timeout", "60s"]).status(1).run();
        let said = done.stderr.lines().find(|line| line.contains("is not installed")).unwrap_or_default();
        assert!(said.contains(&format!("`{what}`")) && said.contains(todo), "{lang}: {}", done.stderr);
    }
    // Perl's own check runs what the handler uses.
    let handler = "package Handler;\nuse Nobody::HasIt;\nsub handle { 1 }\n1;\n";
    project(("perl", "Handler.pm"), handler, "").args(["build"]).status(1).stderr_has("Nobody/HasIt.pm").run();
}

#[test]
fn one_that_exits_fails_its_call_and_is_started_again() {
    for (lang, handler) in [
        (PYTHON, "import os\ndef handle(req):\n    if req == 'exit':\n        os._exit(3)\n    return 'here'\n"),
        (NODE, "module.exports = async (req) => { if (req === 'exit') process.exit(3); return 'here'; };\n"),
    ] {
        let platform = up(lang, handler, "");
        assert_eq!(call(&platform, "exit").status, 502);
        platform.until("it answers again", || text(&platform, "") == ok("here"));
    }
}

#[test]
fn one_that_hangs_is_ended_when_its_time_is_over() {
    for (lang, handler) in [
        (PYTHON, "import time\ndef handle(req):\n    if req == 'hang':\n        time.sleep(600)\n    return 'here'\n"),
        (NODE, "module.exports = (req) => { while (req === 'hang'); return 'here'; };\n"),
    ] {
        let platform = up(lang, handler, "    timeout: 1s\n");
        let answer = call(&platform, "hang");
        assert!([502, 504].contains(&answer.status), "{}: {}", answer.status, answer.text());
        platform.until("it answers again", || text(&platform, "") == ok("here"));
    }
}

#[test]
fn what_it_prints_goes_to_the_log_and_not_into_the_answer() {
    for (lang, handler) in [
        (
            PYTHON,
            "import os\ndef handle(event, context):\n    print('to the log')\n    os.write(1, b'HTTP/1.1 500 no\\r\\n\\r\\n')\n    return {'body': 'here'}\n",
        ),
        (
            NODE,
            "module.exports = async (event, context) => { console.log('to the log'); process.stdout.write('HTTP/1.1 500 no\\r\\n\\r\\n'); return 'here'; };\n",
        ),
    ] {
        let platform = up(lang, handler, "");
        assert_eq!(text(&platform, ""), ok("here"));
        let logs =
            |platform: &Platform| -> Done { platform.faas(["logs", "bad", "--tail=false", "-g", &platform.url]).run() };
        platform.until("its log", || logs(&platform).stdout.contains("to the log"));
    }
}

#[test]
fn children_that_it_leaves_behind_keep_no_call_and_end_with_it() {
    for (lang, handler) in [
        (PYTHON, "import subprocess\ndef handle(req):\n    return str(subprocess.Popen(['sleep', '600']).pid)\n"),
        (
            NODE,
            "const { spawn } = require('child_process');\nmodule.exports = async (req) => String(spawn('sleep', ['600'], { stdio: 'inherit' }).pid);\n",
        ),
    ] {
        let platform = up(lang, handler, "");
        let (status, pid) = text(&platform, "");
        assert_eq!(status, 200, "{pid}");
        let pid: u64 = pid.parse().expect("a process");
        assert!(is_alive(pid));
        platform.faas(["remove", "bad", "-g", &platform.url]).run();
        platform.until("its child has ended", || !is_alive(pid));
    }
}

#[test]
fn one_that_closes_its_streams_goes_on() {
    for (lang, handler) in [
        (
            PYTHON,
            "import os\ndef handle(req):\n    if req == 'close':\n        os.close(0)\n        os.close(1)\n    return 'here'\n",
        ),
        (
            NODE,
            "const fs = require('fs');\nmodule.exports = async (req) => { if (req === 'close') { process.stdin.destroy(); fs.closeSync(1); } return 'here'; };\n",
        ),
    ] {
        let platform = up(lang, handler, "");
        for body in ["", "close", "", "then"] {
            assert_eq!(text(&platform, body), ok("here"), "{lang:?} {body}");
        }
    }
}

#[test]
fn an_answer_of_a_gigabyte_arrives_whole() {
    for (lang, handler) in [
        (PYTHON, "def handle(event, context):\n    return {'body': bytes(1 << 30)}\n"),
        (NODE, "module.exports = async (event, context) => Buffer.alloc(2 ** 30);\n"),
    ] {
        let platform = up(lang, handler, "");
        let mut socket = platform.send("POST", "/function/bad", &[], b"");
        let (mut head, mut buffer, mut read) = (Vec::new(), vec![0; 1 << 20], 0_u64);
        loop {
            let n = socket.read(&mut buffer).expect("an answer");
            if n == 0 {
                break;
            }
            if head.len() < 4096 {
                head.extend_from_slice(&buffer[..n.min(4096)]);
            }
            read += n as u64;
        }
        let end = head.windows(4).position(|part| part == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(parse(&head[..end]).status, 200);
        let length = parse(&head[..end]).header("content-length").map(str::to_owned);
        assert_eq!((length.as_deref(), read - end as u64), (Some("1073741824"), 1 << 30));
    }
}

#[test]
fn header_fields_that_are_none_fail_the_call_and_nothing_else() {
    for (lang, handler) in [
        (
            PYTHON,
            "import json\ndef handle(event, context):\n    return {'headers': json.loads(event.body), 'body': 'here'}\n",
        ),
        (
            NODE,
            "module.exports = async (event, context) => ({ statusCode: 200, headers: JSON.parse(event.rawBody), body: 'here' });\n",
        ),
    ] {
        let platform = up(lang, handler, "");
        for fields in [r#"{"X-A": "b\r\nSet-Cookie: c=d"}"#, r#"{"X-A: b\r\nX-C": "d"}"#, r#"{"no name": "x"}"#] {
            let answer = call(&platform, fields);
            assert_eq!(answer.status, 500, "{lang:?} {fields}: {}", answer.text());
            assert!(answer.header("set-cookie").is_none() && answer.header("x-c").is_none());
        }
        assert_eq!(text(&platform, r#"{"X-A": "b"}"#), ok("here"));
    }
}

#[test]
fn one_that_holds_too_much_memory_is_ended_and_started_again() {
    let handler = "import time\n\ndef handle(req):\n    if req == 'eat':\n        kept = b'x' * 300_000_000\n        time.sleep(60)\n    return 'fine'\n";
    let platform = up(PYTHON, handler, "    limits: {memory: 128Mi}\n");
    assert_eq!(text(&platform, ""), ok("fine"));
    assert_eq!(call(&platform, "eat").status, 502);
    assert_eq!(text(&platform, ""), ok("fine"));
    let logs = platform.faas(["logs", "bad", "-g", &platform.url, "--tail=false"]).run();
    assert!(logs.stdout.contains("and its memory limit is 128 MiB"), "{}", logs.stdout);
}
