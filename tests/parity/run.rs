//! Runs a case with one of the two programs, and keeps everything it did.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::case::{Case, Rule};
use crate::support::server::{Asked, Server, answer};

/// Which of the two.
pub enum Program {
    Real(PathBuf),
    Ours,
}

/// What one did.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Run {
    pub runs: Vec<Said>,
    pub requests: Vec<Request>,
    /// Files below the folder (and `~/…`, below the home folder) that were made or changed.
    pub files: BTreeMap<String, String>,
    /// Files that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Request {
    pub line: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub body: serde_json::Value,
}

/// The same with the lines of stdout in order: faas-cli goes through labels and the like in another order each time.
pub fn in_order(run: &Run) -> Run {
    let mut run = run.clone();
    for said in &mut run.runs {
        let mut lines: Vec<&str> = said.stdout.lines().collect();
        lines.sort_unstable();
        said.stdout = lines.join("\n");
    }
    run
}

/// The real faas-cli: by FAAS_CLI, else in the test cache.
pub fn real() -> Option<PathBuf> {
    let named = std::env::var_os("FAAS_CLI").map(PathBuf::from);
    let bed = std::env::var_os("FAAS_TESTBED_BIN").map(|bin| PathBuf::from(bin).join("faas-cli"));
    let cache = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/faas-testbed/bin/faas-cli"));
    named.into_iter().chain(bed).chain(cache).find(|path| path.is_file())
}

pub fn read_recordings(path: &Path) -> BTreeMap<String, Run> {
    let Ok(text) = fs::read_to_string(path) else { return BTreeMap::new() };
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn write_recordings(path: &Path, runs: &BTreeMap<String, Run>) {
    let text = serde_json::to_string_pretty(runs).expect("JSON") + "\n";
    fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Runs a command with that on its stdin.
pub fn output(command: &mut Command, stdin: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let _ = child.stdin.take().expect("stdin").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// Runs it in a folder of its own, with a gateway of its own.
pub fn run(case: &Case, program: &Program) -> Run {
    let place = tempfile::Builder::new().prefix("parity-").tempdir().expect("a folder");
    let (dir, home) = (place.path().join("project"), place.path().join("home"));
    for (root, files) in [(&dir, &case.files), (&home, &case.home)] {
        fs::create_dir_all(root).expect("a folder");
        files.iter().for_each(|(path, text)| lay_out(root, path, text));
    }
    if case.git {
        make_repository(&dir);
    }
    let repos = place.path().join("repos");
    for (name, files) in &case.repos {
        let repo = repos.join(name);
        files.iter().for_each(|(path, text)| lay_out(&repo, path, text));
        make_repository(&repo);
    }
    let server = gateway(&case.gateway, &repos);
    let filled = |text: &str| {
        let text = text.replace("{gateway}", &server.url).replace("{dir}", &dir.display().to_string());
        text.replace("{repos}", &repos.display().to_string())
    };
    // Files may name the gateway, as a login does.
    for (root, files) in [(&home, &case.home), (&dir, &case.files)] {
        files.iter().filter(|(_, text)| text.contains('{')).for_each(|(path, text)| lay_out(root, path, &filled(text)));
    }
    let program = match program {
        Program::Real(path) => path.clone(),
        Program::Ours => {
            let link = place.path().join("faas-cli");
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_faas"), &link).expect("a link");
            link
        }
    };
    let mut before = tree(&dir, "");
    before.extend(tree(&home, "~/"));
    let mut done = Run::default();
    let clean = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).replace(&repos.display().to_string(), "{repos}");
        tidy(&text, &server.url, &dir, &home)
    };
    for line in &case.run {
        let line = filled(line);
        let args = shell_words::split(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let mut command = Command::new(&program);
        command
            .args(&args)
            .current_dir(&dir)
            .env_clear()
            .env("HOME", &home)
            .env("FAAS_HOME", place.path().join("faas"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("OPENFAAS_URL_OF_TEST", &server.url);
        for (name, value) in &case.env {
            command.env(name, filled(value));
        }
        let output = output(&mut command, &case.stdin);
        done.runs.push(Said {
            exit: output.status.code().unwrap_or(-1),
            stdout: clean(&output.stdout),
            stderr: clean(&output.stderr),
        });
    }
    done.requests = server.asked().iter().map(request).collect();
    let mut after = tree(&dir, "");
    after.extend(tree(&home, "~/"));
    before.retain(|path, text| match after.get(path) {
        Some(now) => now == text,
        None => {
            done.removed.push(path.clone());
            false
        }
    });
    after.retain(|path, _| !before.contains_key(path));
    done.files = after.into_iter().map(|(path, text)| (path, clean(text.as_bytes()))).collect();
    done
}

fn lay_out(root: &Path, path: &str, text: &str) {
    let (path, program) = path.strip_prefix('!').map_or((path, false), |path| (path, true));
    let target = root.join(path);
    if path.ends_with('/') {
        return fs::create_dir_all(target).expect("a folder");
    }
    fs::create_dir_all(target.parent().expect("parent")).expect("a folder");
    fs::write(&target, text).unwrap_or_else(|e| panic!("{}: {e}", target.display()));
    let mode = if program {
        0o755
    } else if path.ends_with("config.yml") {
        0o600
    } else {
        0o644
    };
    fs::set_permissions(&target, fs::Permissions::from_mode(mode)).expect("mode");
}

/// One commit, whose id is always the same.
fn make_repository(dir: &Path) {
    let git = |args: &[&str]| {
        let status = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
            .args(args)
            .current_dir(dir)
            .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
            .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("git");
        assert!(status.success(), "git {args:?}");
    };
    git(&["init"]);
    // What is pulled from has its files in the commit, and a tag; the folder of a case has neither.
    let pulled_from = dir.parent().is_some_and(|parent| parent.ends_with("repos"));
    if pulled_from {
        git(&["add", "--all"]);
    }
    git(&["commit", "--allow-empty", "-m", "one"]);
    if pulled_from {
        git(&["tag", "v1"]);
    }
}

/// Every file, with its text; a link as `-> where`, an empty folder as ``.
fn tree(root: &Path, prefix: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let entries =
        walkdir::WalkDir::new(root).min_depth(1).into_iter().filter_entry(|entry| entry.file_name() != ".git");
    for entry in entries.flatten() {
        let path = entry.path().strip_prefix(root).expect("below").display().to_string();
        if entry.file_type().is_dir() {
            if fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none()) {
                all.insert(format!("{prefix}{path}/"), String::new());
            }
        } else if entry.file_type().is_symlink() {
            let to = fs::read_link(entry.path()).expect("a link");
            all.insert(format!("{prefix}{path}"), format!("-> {}", to.display()));
        } else {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            all.insert(format!("{prefix}{path}"), String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    all
}

/// What is another at every run, by one name: addresses, folders, times, colours.
fn tidy(text: &str, url: &str, dir: &Path, home: &Path) -> String {
    let text = text
        .replace(url, "{gateway}")
        .replace(&dir.display().to_string(), "{dir}")
        .replace(&home.display().to_string(), "{home}");
    let text = console::strip_ansi_codes(&text).into_owned();
    let key = regex::Regex::new(r"(?i)(key id: +)[^\s)]{8}").expect("regex");
    let text = key.replace_all(&text, "${1}{key}").into_owned();
    let seconds = regex::Regex::new(r"\b\d+\.\d+(m|µ)?s\b").expect("regex");
    let stamp = regex::Regex::new(r"(?m)^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ").expect("regex");
    let text = seconds.replace_all(&text, "0.00s");
    stamp.replace_all(&text, "{time} ").into_owned()
}

fn request(asked: &Asked) -> Request {
    let line = match asked.line.split_once('?') {
        Some((path, query)) => {
            let mut pairs: Vec<&str> = query.split('&').collect();
            pairs.sort_unstable();
            format!("{path}?{}", pairs.join("&"))
        }
        None => asked.line.clone(),
    };
    let kept = ["authorization", "content-type", "x-build-signature", "x-callback-url"];
    let headers = asked.headers.iter().filter(|(name, _)| {
        kept.contains(&name.as_str()) || (name.starts_with("x-") && asked.line.contains("function/"))
    });
    let text = String::from_utf8_lossy(&asked.body);
    let body = match serde_json::from_slice(&asked.body) {
        _ if asked.body.is_empty() => serde_json::Value::Null,
        Ok(value) => value,
        Err(_) => serde_json::Value::String(text.into_owned()),
    };
    Request { line, headers: headers.cloned().collect(), body }
}

/// A gateway that answers by the rules, and to all else as one on which all is well.
fn gateway(rules: &[Rule], repos: &Path) -> Server {
    let rules = rules.to_vec();
    let repos = repos.display().to_string();
    let used = Mutex::new(vec![false; rules.len()]);
    Server::new(move |asked| {
        let path = asked.line.split('?').next().unwrap_or_default();
        let fits = |rule: &Rule| rule.on == asked.line || rule.on == path;
        let mut used = used.lock().expect("lock");
        let all: Vec<usize> = (0..rules.len()).filter(|at| fits(&rules[*at])).collect();
        let next = all.iter().find(|at| !used[**at]).or(all.last());
        let Some(at) = next else { return well(&asked.line, path) };
        used[*at] = true;
        let rule = &rules[*at];
        let body = rule.json.as_ref().map_or_else(|| rule.body.clone(), ToString::to_string);
        let body = body.replace("{repos}", &repos);
        let kind = if rule.json.is_some() { "application/json" } else { "text/plain" };
        let mut headers: Vec<(&str, &str)> = rule.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        if !rule.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type", kind));
        }
        let status = http::StatusCode::from_u16(rule.status).expect("a status");
        answer(&format!("{} {}", rule.status, status.canonical_reason().unwrap_or("-")), &headers, &body)
    })
}

fn well(line: &str, path: &str) -> Vec<u8> {
    let json = [("Content-Type", "application/json")];
    let name = path.rsplit('/').next().unwrap_or_default();
    match line.split_once(' ').unwrap_or_default() {
        ("GET", _) if path.contains("/system/function/") => {
            let mut status = serde_json::json!({
                "name": name, "image": "img", "replicas": 1, "availableReplicas": 1, "labels": {}, "annotations": {},
                "createdAt": "2026-01-01T00:00:00Z"
            });
            if let Some((_, namespace)) = line.split_once("namespace=") {
                status["namespace"] = namespace.split('&').next().into();
            }
            answer("200 OK", &json, &status.to_string())
        }
        ("GET", "/healthz") => answer("200 OK", &[], "OK"),
        ("GET", rest) if rest.contains("/_/health") => answer("200 OK", &[], "OK"),
        ("GET", "/system/info") => answer("200 OK", &json, "{}"),
        ("GET", rest) if rest.starts_with("/system/") => answer("200 OK", &json, "[]"),
        (_, rest) if rest.starts_with("/system/") => answer("202 Accepted", &[], ""),
        _ => answer("200 OK", &[("Content-Type", "text/plain")], "ok"),
    }
}
