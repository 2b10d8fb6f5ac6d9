//! A session at a prompt, for integration tests: lay out a folder, run the binary, look at everything it did.
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

#[cfg(feature = "lambda")]
pub mod lambda;
pub mod oidc;
#[cfg(feature = "local")]
pub mod platform;
#[cfg(feature = "image")]
pub mod registry;
pub mod repository;
pub mod server;

/// One run of the binary, or several in the same folder: `let dir = Test::new().file(..).args(..).run();` then
/// `dir.then().args(..).run()`.
pub struct Test {
    place: Place,
    args: Vec<OsString>,
    env: BTreeMap<String, String>,
    called: Option<String>,
    stdin: Option<Vec<u8>>,
    dir: Option<PathBuf>,
    status: i32,
    stdout: Option<Expected>,
    stderr: Option<Expected>,
}

enum Place {
    Own(TempDir),
    Shared(PathBuf),
}

enum Expected {
    Whole(String),
    Has(Vec<String>),
}

/// What a run left.
pub struct Done {
    place: Place,
    env: BTreeMap<String, String>,
    pub stdout: String,
    pub stderr: String,
    pub raw_stdout: Vec<u8>,
    pub status: i32,
}

impl Default for Test {
    fn default() -> Self {
        Self::new()
    }
}

impl Test {
    pub fn new() -> Self {
        let place = Place::Own(tempfile::Builder::new().prefix("faas-test-").tempdir().expect("temp dir"));
        fs::create_dir_all(place.path().join("work")).expect("work dir");
        Self {
            place,
            args: vec![],
            env: BTreeMap::new(),
            called: None,
            stdin: None,
            dir: None,
            status: 0,
            stdout: None,
            stderr: None,
        }
    }

    /// Another in the same place, which stays as long as `other` does.
    pub fn clone_place(other: &Self) -> Self {
        let mut test = Self::new();
        test.place = Place::Shared(other.place.path().to_owned());
        test
    }

    /// The folder that the binary is run in.
    pub fn dir(&self) -> PathBuf {
        self.place.path().join("work")
    }

    /// Writes a file below the folder.
    pub fn file(self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> Self {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self
    }

    /// Lays out more than files.
    pub fn layout(self, make: impl FnOnce(&Path)) -> Self {
        make(&self.dir());
        self
    }

    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Other arguments in the place of those so far.
    pub fn replace_args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.clear();
        self.args(args)
    }

    pub fn arg(self, arg: impl Into<OsString>) -> Self {
        self.args([arg.into()])
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Calls the binary by another name, through a link.
    pub fn called(mut self, name: &str) -> Self {
        self.called = Some(name.into());
        self
    }

    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(bytes.as_ref().to_vec());
        self
    }

    /// Runs it in another folder below the test's.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(self.dir().join(dir));
        self
    }

    /// The exit code that is expected; 0 when not called.
    pub fn status(mut self, code: i32) -> Self {
        self.status = code;
        self
    }

    /// The whole of stdout that is expected. `{dir}` stands for the folder.
    pub fn stdout(mut self, text: impl Into<String>) -> Self {
        self.stdout = Some(Expected::Whole(text.into()));
        self
    }

    /// The whole of stderr that is expected. `{dir}` stands for the folder.
    pub fn stderr(mut self, text: impl Into<String>) -> Self {
        self.stderr = Some(Expected::Whole(text.into()));
        self
    }

    pub fn stdout_has(mut self, text: impl Into<String>) -> Self {
        has(&mut self.stdout, text.into());
        self
    }

    pub fn stderr_has(mut self, text: impl Into<String>) -> Self {
        has(&mut self.stderr, text.into());
        self
    }

    /// The command as it would be run, for tests that hold the process themselves.
    pub fn command(&self) -> Command {
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_faas"));
        if let Some(name) = &self.called {
            let link = self.place.path().join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(&program, &link).expect("a link");
            }
            program = link;
        }
        let mut command = Command::new(program);
        command.args(&self.args).current_dir(self.dir.clone().unwrap_or_else(|| self.dir())).env_clear();
        let home = self.place.path().join("home");
        fs::create_dir_all(&home).expect("home");
        command.env("HOME", &home).env("FAAS_HOME", self.place.path().join("faas"));
        for name in [
            "PATH",
            "LANG",
            "TMPDIR",
            "SSL_CERT_FILE",
            "NODE_EXTRA_CA_CERTS",
            "PIP_CERT",
            "PIP_INDEX_URL",
            "npm_config_registry",
        ] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.env);
        command
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Child {
        self.command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    /// Runs it and compares everything that was expected.
    #[track_caller]
    pub fn run(self) -> Done {
        let mut child = self.spawn();
        let mut pipe = child.stdin.take().expect("stdin");
        let input = self.stdin.clone().unwrap_or_default();
        let writer = std::thread::spawn(move || {
            let _ = pipe.write_all(&input);
        });
        let output = child.wait_with_output().expect("the binary ends");
        writer.join().expect("writer");
        let dir = self.dir();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = output.status.code().unwrap_or(-1);
        let shown = format!("args: {:?}\nstatus: {status}\nstdout:\n{stdout}\nstderr:\n{stderr}", self.args);
        compare("stdout", self.stdout.as_ref(), &stdout, &dir, &shown);
        compare("stderr", self.stderr.as_ref(), &stderr, &dir, &shown);
        assert_eq!(status, self.status, "another exit code\n{shown}");
        Done { place: self.place, env: self.env, stdout, stderr, raw_stdout: output.stdout, status }
    }
}

fn has(expected: &mut Option<Expected>, text: String) {
    match expected {
        Some(Expected::Has(all)) => all.push(text),
        _ => *expected = Some(Expected::Has(vec![text])),
    }
}

#[track_caller]
fn compare(what: &str, expected: Option<&Expected>, got: &str, dir: &Path, shown: &str) {
    let fill = |text: &str| text.replace("{dir}", &dir.display().to_string());
    match expected {
        None => {}
        Some(Expected::Whole(text)) => assert_eq!(got, fill(text), "another {what}\n{shown}"),
        Some(Expected::Has(all)) => {
            for text in all {
                assert!(got.contains(&fill(text)), "{what} lacks `{}`\n{shown}", fill(text));
            }
        }
    }
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Own(dir) => dir.path(),
            Self::Shared(path) => path,
        }
    }
}

impl Done {
    /// The folder that the binary was run in.
    pub fn dir(&self) -> PathBuf {
        self.place.path().join("work")
    }

    /// The `HOME` of the runs.
    pub fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// The `FAAS_HOME` of the runs.
    pub fn faas_home(&self) -> PathBuf {
        self.place.path().join("faas")
    }

    /// Another run in the same folder, home and environment.
    pub fn then(&self) -> Test {
        let mut test = Test::new();
        test.place = Place::Shared(self.place.path().to_owned());
        test.env.clone_from(&self.env);
        test
    }

    /// A file below the folder.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.dir().join(path);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The names in a folder below the folder, sorted, folders with a slash.
    #[track_caller]
    pub fn list(&self, path: impl AsRef<Path>) -> Vec<String> {
        let path = self.dir().join(path);
        let mut names: Vec<String> = fs::read_dir(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .map(|e| {
                let e = e.expect("entry");
                let name = e.file_name().to_string_lossy().into_owned();
                if e.path().is_dir() { format!("{name}/") } else { name }
            })
            .collect();
        names.sort();
        names
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is no JSON: {e}\n{}", self.stdout))
    }
}

/// A variable that `make test` sets when the test beds run. `None` (with a word on stderr) outside of it; under
/// `make test` a missing one is a failure, so that no test is skipped by accident.
pub fn bed(name: &str) -> Option<String> {
    match std::env::var(name) {
        Ok(value) => Some(value),
        Err(_) if std::env::var_os("FAAS_TEST_BEDS").is_some() => panic!("the test beds run, but {name} is not set"),
        Err(_) => {
            eprintln!("skipped: {name} is not set; `make test` starts the services");
            None
        }
    }
}

/// A port that is free and that no other test of this program is given; below those that the kernel hands out, so that
/// no connection takes it in between.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = (std::process::id() % 10) as u16 * 1000 + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
        let port = 20_000 + offset;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Copies a folder with all that is in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copy");
        }
    }
}

/// Stops the embedded platform of a test's home when the test ends, however it ends.
pub struct Local {
    command: Command,
}

impl Local {
    pub fn of(done: &Done) -> Self {
        Self { command: done.then().args(["local", "stop"]).command() }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
