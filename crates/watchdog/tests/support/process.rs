//! The binary as a process of its own, and HTTP to it byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{PATIENCE, environment};

/// A port nobody listens on. Two of a kind differ because each is held while the others are chosen.
pub fn ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("[::]:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// The binary, running; killed when dropped.
pub struct Watchdog {
    pub child: Child,
    pub port: u16,
    pub metrics_port: u16,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    pub folder: tempfile::TempDir,
}

impl Watchdog {
    pub fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_faas-watchdog")), variables)
    }

    /// Started by another program, with the binary as its last argument.
    pub fn ready_within(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(env!("CARGO_BIN_EXE_faas-watchdog"));
        let mut watchdog = Self::start_by(command, variables);
        watchdog.until(|line| line.ends_with(" ready"), "ready");
        watchdog
    }

    fn start_by(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let [port, metrics_port] = ports();
        let folder = tempfile::tempdir().unwrap();
        let mut child = command
            .env_clear()
            .envs(environment())
            .env("TMPDIR", folder.path())
            .env("port", port.to_string())
            .env("metrics_port", metrics_port.to_string())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let outputs: [(&str, Box<dyn Read + Send>); 2] =
            [("out", Box::new(child.stdout.take().unwrap())), ("err", Box::new(child.stderr.take().unwrap()))];
        for (name, output) in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(format!("{name} {line}"));
                }
            });
        }
        Watchdog { child, port, metrics_port, lines, seen: Vec::new(), folder }
    }

    pub fn ready(variables: &[(&str, &str)]) -> Self {
        let mut watchdog = Self::start(variables);
        watchdog.until(|line| line.ends_with(" ready") || line.ends_with("\"ready\"}"), "ready");
        watchdog
    }

    pub fn until_line(&mut self, part: &str) -> String {
        self.until(|line| line.contains(part), part)
    }

    fn until(&mut self, wanted: impl Fn(&str) -> bool, part: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| wanted(line)) {
            return line.clone();
        }
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("never printed: {part}\n{:#?}", self.seen),
            }
            let line = self.seen.last().unwrap();
            if wanted(line) {
                return line.clone();
            }
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes, reads until the server closes.
    pub fn raw(&self, request: &[u8]) -> String {
        raw(self.port, request)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        split(&self.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()))
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "does not end\n{:#?}", self.lines.try_iter().collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn peak_kilobytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn raw(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status and body.
pub fn split(answer: &str) -> (u16, String) {
    let status = answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}
