//! `faas dev` as at a prompt: what is saved answers, and calls that run while it does are not dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::platform::parse;
use crate::support::{Local, Test, free_port};

/// `faas dev`, and what it says.
struct Dev {
    child: Child,
    said: Receiver<String>,
    seen: Vec<String>,
}

impl Dev {
    fn start(test: Test) -> Self {
        let mut child = test.args(["dev"]).spawn();
        let (tell, said) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("stdout")), Box::new(child.stderr.take().expect("stderr"))];
        for stream in streams {
            let tell = tell.clone();
            std::thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(tell.send(line)));
            });
        }
        Self { child, said, seen: Vec::new() }
    }

    #[track_caller]
    fn until(&mut self, wanted: &str) {
        while !self.seen.iter().any(|line| line.contains(wanted)) {
            match self.said.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("`{wanted}` was never said: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn call(port: u16, body: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the platform listens");
    write!(
        socket,
        "POST /function/tax HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut raw = Vec::new();
    socket.read_to_end(&mut raw).expect("an answer");
    let answer = parse(&raw);
    (answer.status, answer.text())
}

fn what_is_saved_answers(lang: &str, file: &str, handler: &str) {
    let port = free_port();
    let stack = format!(
        "version: 1.0\nprovider: {{name: local, gateway: \"http://127.0.0.1:{port}\"}}\nfunctions:\n  tax: {{lang: {lang}, handler: ./tax, image: tax:latest}}\n"
    );
    let up = Test::new()
        .file("stack.yml", stack)
        .file(format!("tax/{file}"), handler.replace("WORD", "word 0"))
        .args(["up"])
        .run();
    let _stop = Local::of(&up);
    let mut dev = Dev::start(up.then());
    dev.until("Watching");
    let path = up.dir().join("tax").join(file);
    let mut took = Vec::new();
    for round in 1..=4 {
        let before = format!("word {}", round - 1);
        let word = format!("word {round}");
        std::thread::scope(|scope| {
            // Longer than the new one takes to answer.
            let slow = scope.spawn(|| call(port, "slow"));
            std::thread::sleep(Duration::from_millis(300));
            let saved = Instant::now();
            std::fs::write(&path, handler.replace("WORD", &word)).expect("the handler");
            while call(port, "") != (200, word.clone()) {
                assert!(saved.elapsed() < Duration::from_secs(60), "what was saved never answered");
            }
            took.push(saved.elapsed().as_millis());
            assert_eq!(slow.join().expect("a call"), (200, before), "the call that ran ended on the one before");
        });
    }
    println!("{lang}: the first answer after a save came after {took:?} ms");
    // What can't be built is shown in place, and the one before stays.
    std::fs::write(&path, handler.replace("WORD", "'(((")).expect("the handler");
    dev.until(file);
    assert_eq!(call(port, ""), (200, "word 4".into()));
}

#[test]
fn what_is_saved_answers_and_a_slow_call_ends_on_the_one_before_in_python() {
    let handler = "import time\ndef handle(req):\n    if req == 'slow':\n        time.sleep(2.5)\n    return 'WORD'\n";
    what_is_saved_answers("python3", "handler.py", handler);
}

#[test]
fn what_is_saved_answers_and_a_slow_call_ends_on_the_one_before_in_node() {
    let handler = "module.exports = async (req) => {\n  if (req === 'slow') await new Promise((done) => setTimeout(done, 2500));\n  return 'WORD';\n};\n";
    what_is_saved_answers("node", "handler.js", handler);
}
