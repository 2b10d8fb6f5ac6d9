//! `faas up` at a prompt: what changed is deployed, what did not is left alone, failures are told together.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::support::{Done, Local, Test, free_port};

const ECHO: &str = "def handle(req):\n    return req\n";

fn stack(names: &[&str]) -> String {
    let mut text = format!("provider:\n  name: local\n  gateway: http://127.0.0.1:{}\nfunctions:\n", free_port());
    for name in names {
        text += &format!("  {name}:\n    lang: python3\n    handler: ./{name}\n    image: {name}:latest\n");
    }
    text
}

fn actions(done: &Done) -> Vec<(String, String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let rows = done.json();
    let rows = rows.as_array().expect("a list");
    rows.iter().map(|row| (text(&row["name"]), text(&row["action"]), text(&row["reason"]))).collect()
}

fn row(name: &str, action: &str, reason: &str) -> (String, String, String) {
    (name.into(), action.into(), reason.into())
}

#[test]
fn without_a_stack_file_it_says_how_to_get_one() {
    Test::new()
        .args(["up"])
        .status(2)
        .stdout("")
        .stderr(
            "error: there is no stack.yaml or stack.yml in this folder\n\
             hint: make one with `faas new NAME --lang python3`, or name one with `-f FILE`\n\
             more: faas explain E0101\n",
        )
        .run();
}

#[test]
fn only_what_changed_is_deployed_and_the_reason_is_told() {
    let first = Test::new()
        .file("stack.yml", stack(&["one", "two"]))
        .file("one/handler.py", ECHO)
        .file("two/handler.py", ECHO)
        .args(["up", "--output", "json"])
        .run();
    let _stop = Local::of(&first);
    let not_yet = "not deployed yet";
    assert_eq!(actions(&first), [row("one", "created", not_yet), row("two", "created", not_yet)]);

    let up = || first.then().args(["up", "--output", "json"]);
    let nothing = "nothing changed";
    assert_eq!(actions(&up().run()), [row("one", "unchanged", nothing), row("two", "unchanged", nothing)]);

    let changed = up().file("two/handler.py", "def handle(req):\n    return 'new ' + req\n").run();
    assert_eq!(actions(&changed), [row("one", "unchanged", nothing), row("two", "updated", "the code changed")]);
    first.then().args(["invoke", "two"]).stdin("x").stdout("new x").run();

    let configured = up().args(["--env", "LEVEL=debug", "--filter", "one"]).run();
    assert_eq!(actions(&configured), [row("one", "updated", "its configuration changed")]);

    let forced = up().args(["--force", "--filter", "two"]).run();
    assert_eq!(actions(&forced), [row("two", "updated", "forced")]);
}

#[test]
fn what_somebody_removed_comes_back() {
    let first = Test::new().file("stack.yml", stack(&["one"])).file("one/handler.py", ECHO).args(["up"]).run();
    let _stop = Local::of(&first);
    first.then().args(["remove", "one"]).run();
    first.then().args(["up"]).stdout_has("one       created").run();
}

#[test]
fn one_that_fails_does_not_keep_the_others_back() {
    let up = Test::new()
        .file("stack.yml", stack(&["bad", "good"]))
        .file("bad/handler.py", "def handle(req:\n")
        .file("good/handler.py", ECHO)
        .args(["up"])
        .status(1)
        .stdout_has("good      created")
        .stdout_has("bad       failed")
        .stderr_has("bad: failed: ")
        .stderr_has("handler.py")
        .stderr_has("error: can't bring up 1 of 2: bad\n")
        .run();
    let _stop = Local::of(&up);
    up.then().args(["invoke", "good"]).stdin("x").stdout("x").run();
}

#[test]
fn everything_wrong_is_said_before_anything_is_changed() {
    let done = Test::new()
        .file("stack.yml", "provider: {name: local}\nfunctions:\n  Tax:\n    lang: python3\n    handlr: ./a\n  b: {}\n")
        .args(["up"])
        .status(2)
        .stdout("")
        .stderr_has("stack.yml:3:3")
        .stderr_has("handlr")
        .run();
    assert_eq!(done.list("."), ["stack.yml"]);
}

#[test]
fn what_can_not_be_built_is_told_with_its_line_and_nothing_is_deployed() {
    let lines = "  good: {lang: python3, handler: ./good}\n  gone: {lang: python3, handler: ./gone}\n  img: {lang: dockerfile, handler: ./img}\n";
    let up = Test::new()
        .file("stack.yml", stack(&[]) + lines)
        .file("good/handler.py", ECHO)
        .file("img/Dockerfile", "FROM scratch\n")
        .args(["up", "-o", "json"])
        .status(2)
        .stdout("")
        .stderr_has("error: the handler `gone` of `gone` isn't there\n --> stack.yml:6:")
        .stderr_has(
            "error: `lang: dockerfile` needs a container engine; provider local runs processes\n --> stack.yml:7:",
        )
        .stderr_has("has no build option `json`")
        .stderr_has("`--output json` says how results are printed")
        .stderr_has("nothing was changed")
        .run();
    let _stop = Local::of(&up);
    up.then().args(["list", "-q"]).stdout("").run();
    Test::new().file("stack.yml", stack(&[])).args(["plan"]).stderr_has("there are no functions in stack.yml").run();
}

/// What `up` ends with when it is sent a signal while it waits for a function that is slow to start.
fn ended_by(signal: rustix::process::Signal) -> Option<i32> {
    let test = Test::new()
        .file("stack.yml", stack(&["slow"]))
        .file("slow/handler.py", "import time\ntime.sleep(60)\n\n\ndef handle(req):\n    return req\n")
        .args(["local", "start"])
        .run();
    let _stop = Local::of(&test);
    let mut child = test.then().args(["up"]).spawn();
    let mut stderr = child.stderr.take().expect("stderr");
    let mut seen = String::new();
    let until = Instant::now() + Duration::from_secs(60);
    while !seen.contains("deploying") && Instant::now() < until {
        let mut chunk = [0; 256];
        let n = stderr.read(&mut chunk).expect("stderr");
        assert_ne!(n, 0, "it ended before it was interrupted: {seen}");
        seen += &String::from_utf8_lossy(&chunk[..n]);
    }
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("pid");
    rustix::process::kill_process(pid, signal).expect("a signal");
    child.wait().expect("end").code()
}

#[test]
fn ctrl_c_while_a_function_starts_ends_with_130() {
    assert_eq!(ended_by(rustix::process::Signal::INT), Some(130));
}

#[test]
fn sigterm_while_a_function_starts_ends_with_143() {
    assert_eq!(ended_by(rustix::process::Signal::TERM), Some(143));
}

#[test]
fn a_terminal_that_goes_away_ends_up_with_129() {
    // Under nohup children are born to ignore it, and should.
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask").trim();
    if u64::from_str_radix(ignored, 16).expect("hex") & 1 == 1 {
        return eprintln!("skipped: this runs under nohup");
    }
    assert_eq!(ended_by(rustix::process::Signal::HUP), Some(129));
}

#[test]
fn a_function_that_ends_again_and_again_is_not_taken_for_ready() {
    // It listens before it ends, as one does that fails in a timer or a connection of its own.
    let falls =
        "import os, threading\nthreading.Timer(1.5, os._exit, [3]).start()\n\n\ndef handle(req):\n    return req\n";
    let up = Test::new().file("stack.yml", stack(&["falls"])).file("falls/handler.py", falls).args(["up"]).run();
    let _stop = Local::of(&up);
    let until = Instant::now() + Duration::from_secs(60);
    let ready = || {
        let listed = up.then().args(["describe", "falls", "--output", "json"]).run().json();
        listed["availableReplicas"].clone()
    };
    // Three ends in a row; from then on it does not count, whether it listens or not.
    loop {
        let log = up.then().args(["logs", "falls", "--tail=false"]).run().stdout;
        if log.matches("process ended").count() >= 3 {
            break;
        }
        assert!(Instant::now() < until, "{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ready(), serde_json::json!(0));
    let again = up.then().args(["plan", "--output", "json"]).run();
    assert_eq!(actions(&again), [row("falls", "updated", "none of its replicas answers, or stays up")]);
}

#[test]
fn an_empty_handler_and_windows_line_ends_are_told_with_the_way_out() {
    let empty = Test::new()
        .file("stack.yml", stack(&["empty"]))
        .layout(|dir| std::fs::create_dir(dir.join("empty")).expect("a folder"));
    let empty = empty.args(["validate"]).status(2).stderr_has("the handler `empty` of `empty` is empty").run();
    empty.then().args(["build"]).status(2).stdout("").stderr_has("empty is empty").run();

    let shell = |name: &str| format!("  {name}:\n    lang: bash\n    handler: ./{name}\n    image: {name}:latest\n");
    let text = stack(&[]).replace("functions: {}", "functions:") + &shell("shell") + &shell("none");
    let up = Test::new()
        .file("stack.yml", text)
        .file("shell/handler.sh", "# one\necho hi\r\n")
        // The template's own handler is an example, and runs in nobody's place.
        .file("none/main.sh", "echo hi\n")
        .args(["up"])
        .status(2)
        .stderr_has("none: failed: ")
        .stderr_has("shell: failed: handler.sh:2 ends as lines do on Windows")
        .stderr_has("sed -i 's/\\r$//' handler.sh")
        .run();
    let _stop = Local::of(&up);
    up.then().args(["list", "-q"]).stdout("").run();
}

/// A call of the function `tax`.
fn call(address: &str) -> (u16, String) {
    use std::io::Write;
    let mut socket = std::net::TcpStream::connect(address).expect("the platform listens");
    write!(socket, "POST /function/tax HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .expect("request");
    let mut raw = Vec::new();
    socket.read_to_end(&mut raw).expect("answer");
    let answer = crate::support::platform::parse(&raw);
    (answer.status, answer.text())
}

#[test]
fn dev_deploys_what_is_saved_and_drops_no_call() {
    use std::io::{BufRead, BufReader};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    let stack = stack(&["tax"]);
    let address = stack.split("http://").nth(1).and_then(|rest| rest.lines().next()).expect("address").to_owned();
    let one = "import sys\ndef handle(req):\n    print('asked', file=sys.stderr)\n    return 'one'\n";
    let up = Test::new().file("stack.yml", stack).file("tax/handler.py", one).args(["up"]).run();
    let _stop = Local::of(&up);
    let handler = up.dir().join("tax/handler.py");
    let mut dev = up.then().args(["dev"]).spawn();
    let (tell, told) = mpsc::channel();
    for stream in [
        Box::new(dev.stdout.take().expect("stdout")) as Box<dyn Read + Send>,
        Box::new(dev.stderr.take().expect("stderr")),
    ] {
        let tell = tell.clone();
        std::thread::spawn(move || {
            BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
        });
    }
    let mut seen = Vec::new();
    let mut until = |wanted: &str| {
        while !seen.iter().any(|line: &String| line.contains(wanted)) {
            match told.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => seen.push(line),
                Err(_) => panic!("`{wanted}` was never said: {seen:#?}"),
            }
        }
    };
    until("Watching");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut answers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                answers.push(call(&address));
            }
            answers
        });
        until("tax | asked");
        let saved = Instant::now();
        std::fs::write(&handler, one.replace("'one'", "'two'")).expect("handler");
        while call(&address).1 != "two" {
            assert!(saved.elapsed() < Duration::from_secs(30), "what was saved never answered");
        }
        println!("the first answer after a save came after {:?}", saved.elapsed());
        until("tax: updated (the code changed)");
        std::fs::write(&handler, "def handle(req):\n    return (\n").expect("handler");
        until("line 2");
        assert_eq!(call(&address), (200, "two".into()), "the one before stays");
        std::fs::write(&handler, one.replace("'one'", "'three'")).expect("handler");
        while call(&address).1 != "three" {
            assert!(saved.elapsed() < Duration::from_secs(60), "what was mended never answered");
        }
        done.store(true, Ordering::Relaxed);
        let answers = calls.join().expect("calls");
        let lost: Vec<_> = answers.iter().filter(|(status, _)| *status != 200).collect();
        assert!(lost.is_empty(), "{} of {} calls were lost: {lost:?}", lost.len(), answers.len());
    });
    let pid = dev.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert!(dev.wait().expect("it ends").success(), "Ctrl-C is how it is ended");
}
