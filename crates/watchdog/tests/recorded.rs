//! The same requests through of-watchdog and through ours. What of-watchdog answered is kept in `recorded/`; where ours
//! differs, `recorded/differences.jsonl` has both and the reason, which docs/invoker.md explains; what differs everywhere is
//! a rule of support/alike.rs, explained there, too.
//!
//! With of-watchdog at hand (in the folder OPENFAAS_BIN, or the test beds' cache) it is asked again in the same run.
//! `FAAS_RECORD=1` writes its answers down, `FAAS_RECORD=ours` our differences, to be looked through and given reasons.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::alike::{RULES, alike};
use support::case::{ask, cases, characters};
use support::process::{Watchdog, ports};
use support::{PATIENCE, environment};

const MODES: [&str; 4] = ["http", "streaming", "serializing", "static"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name)
}

fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keep(name: &str, lines: &[Value]) {
    let text = lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    });
    std::fs::write(file(name), text).unwrap();
}

/// What a watchdog is told, the same for both but for the port.
fn variables(mode: &str, upstream: u16, folder: &Path) -> Vec<(String, String)> {
    let support = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");
    let process = match mode {
        "http" => format!("python3 -u {support}/mirror.py"),
        _ => format!("sh {support}/mirror.sh"),
    };
    [
        ("mode", mode.to_owned()),
        ("fprocess", process),
        ("http_upstream_url", format!("http://127.0.0.1:{upstream}")),
        ("PORT", upstream.to_string()),
        ("static_path", folder.join("public").display().to_string()),
        ("exec_timeout", "10s".into()),
        ("content_type", "text/plain".into()),
        ("healthcheck_interval", "1ms".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// What static mode serves.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("public");
    std::fs::create_dir_all(root.join("a")).unwrap();
    for (name, text) in [("index.html", "<p>home</p>\n"), ("a/b.txt", "text\n"), ("large", &"y".repeat(20_000))] {
        let path = root.join(name);
        std::fs::write(&path, text).unwrap();
        let modified = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    }
    folder
}

fn until_answers(port: u16) {
    let until = Instant::now() + PATIENCE;
    loop {
        // In http mode of-watchdog answers 500 until its function listens.
        if TcpStream::connect(("127.0.0.1", port)).is_ok()
            && matches!(ask(port, b"GET /empty HTTP/1.1\r\nHost: x\r\n\r\n")["status"].as_u64(), Some(200 | 404))
        {
            return;
        }
        assert!(Instant::now() < until, "nothing answers on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn answers(mode: &str, port: u16, upstream: u16) -> Vec<Value> {
    cases()
        .into_iter()
        .map(|case| {
            let request = match case.request.len() {
                ..2000 => characters(&case.request),
                length => format!("{}… ({length} bytes)", characters(&case.request[..100])),
            };
            // of-watchdog tells the port of its function in an error.
            let answer = ask(port, &case.request).to_string().replace(&format!(":{upstream}"), ":UPSTREAM");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            json!({ "mode": mode, "case": case.name, "request": request, "answer": answer })
        })
        .collect()
}

/// of-watchdog, where it is at hand.
fn real() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let folder = var("OPENFAAS_BIN")
        .or_else(|| var("FAAS_TESTBED_CACHE").map(|cache| cache.join("bin")))
        .or_else(|| var("HOME").map(|home| home.join(".cache/faas-testbed/bin")))?;
    Some(folder.join("of-watchdog")).filter(|path| path.is_file())
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

const INSIDE: &str = "FAAS_WATCHDOG_TEST_INSIDE";

#[test]
fn of_watchdog_answers_as_recorded() {
    let Some(program) = real() else {
        println!("of-watchdog is not at hand: only what it answered once is compared");
        return;
    };
    // It insists on port 8081, so it gets a network of its own where that is allowed, and this test goes along.
    let apart = ["-rn", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""];
    if std::env::var_os(INSIDE).is_none()
        && Command::new("unshare")
            .args(["-rn", "ip", "link"])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|it| it.success())
    {
        let status = Command::new("unshare")
            .args(apart)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "of_watchdog_answers_as_recorded", "--nocapture"])
            .env(INSIDE, "1")
            .status()
            .unwrap();
        assert!(status.success(), "what is different is said above");
        return;
    }
    let mut all = Vec::new();
    for mode in MODES {
        use std::os::unix::process::CommandExt;
        let [port, upstream] = ports();
        let folder = folder();
        let child = Command::new(&program)
            .env_clear()
            .envs(environment())
            .env("TMPDIR", folder.path())
            .envs(variables(mode, upstream, folder.path()))
            .env("port", port.to_string())
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _child = Killed(child);
        until_answers(port);
        all.extend(answers(mode, port, upstream));
    }
    if std::env::var("FAAS_RECORD").is_ok_and(|what| what == "1") {
        keep("of-watchdog.jsonl", &all);
        return;
    }
    let recorded = lines("of-watchdog.jsonl");
    assert_eq!(recorded.len(), all.len());
    // Whether a process that reads nothing has ended before all of a large body was written to it is chance.
    let by_chance = |line: &Value| line["answer"]["body"].as_str().is_some_and(|body| body.contains("broken pipe"));
    let mut different = String::new();
    for (was, is) in recorded.iter().zip(&all).filter(|(was, is)| was != is && !by_chance(was) && !by_chance(is)) {
        let _ = writeln!(different, "recorded: {was}\n     now: {is}");
    }
    assert!(different.is_empty(), "of-watchdog answers differently:\n{different}");
}

#[test]
fn ours_answers_as_of_watchdog_did_or_differs_for_a_reason() {
    let recorded = lines("of-watchdog.jsonl");
    assert!(recorded.len() >= 160, "{} recorded cases", recorded.len());
    let key = |line: &Value| format!("{}: {}", line["mode"].as_str().unwrap(), line["case"].as_str().unwrap());
    let explained: BTreeMap<String, Value> =
        lines("differences.jsonl").into_iter().map(|line| (key(&line), line)).collect();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/invoker.md")).unwrap();
    let mut ours = Vec::new();
    for mode in MODES {
        let [upstream] = ports();
        let folder = folder();
        let variables = variables(mode, upstream, folder.path());
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let watchdog = Watchdog::ready(&variables);
        ours.extend(answers(mode, watchdog.port, upstream));
    }
    let mut wrong = String::new();
    for rule in RULES {
        if !page.contains(&format!("**{rule}**")) {
            let _ = writeln!(wrong, "`{rule}` is not explained in docs/invoker.md");
        }
    }
    let mut differences = Vec::new();
    assert_eq!(recorded.len(), ours.len());
    for (theirs, ours) in recorded.iter().zip(&ours) {
        assert_eq!(key(theirs), key(ours));
        let explanation = explained.get(&key(ours));
        let (they, we) = alike(theirs["request"].as_str().unwrap(), &theirs["answer"], &ours["answer"]);
        if they == we {
            if explanation.is_some() {
                let _ = writeln!(wrong, "{}: no longer different, but explained", key(ours));
            }
            continue;
        }
        let why = explanation.map_or(Value::Null, |explanation| explanation["why"].clone());
        let (mode, case) = (&ours["mode"], &ours["case"]);
        differences.push(json!({ "mode": mode, "case": case, "why": why, "of-watchdog": they, "ours": we }));
        match explanation {
            Some(explanation) if explanation["ours"] == we && explanation["of-watchdog"] == they => {
                let why = why.as_str().unwrap_or_default();
                if why.is_empty() || !page.contains(&format!("**{why}**")) {
                    let _ = writeln!(wrong, "{}: `{why}` is not explained in docs/invoker.md", key(ours));
                }
            }
            explanation => {
                let expected = explanation.map_or(&they, |explanation| &explanation["ours"]);
                let _ = writeln!(wrong, "{}\n  expected: {expected}\n      ours: {we}", key(ours));
            }
        }
    }
    if std::env::var("FAAS_RECORD").is_ok_and(|what| what == "ours") {
        keep("differences.jsonl", &differences);
        return;
    }
    assert!(wrong.is_empty(), "{wrong}");
}
