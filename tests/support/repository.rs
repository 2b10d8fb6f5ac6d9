//! Git repositories for tests, made by `git` itself, and a server for them: `git daemon`.
#![allow(dead_code, missing_docs)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A repository with a work tree; gone with the test.
pub struct Repository {
    place: TempDir,
}

/// A server of all repositories of a folder, over git's own protocol.
pub struct Daemon {
    child: Child,
    pub url: String,
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Repository {
    pub fn new() -> Self {
        let place = tempfile::Builder::new().prefix("faas-repo-").tempdir().expect("temp dir");
        fs::create_dir(place.path().join("repo")).expect("folder");
        let repository = Self { place };
        repository.git(["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    pub fn dir(&self) -> PathBuf {
        self.place.path().join("repo")
    }

    /// The folder's path as an address.
    pub fn address(&self) -> String {
        self.dir().canonicalize().expect("path").display().to_string()
    }

    pub fn git<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        self.git_with(args, b"")
    }

    pub fn git_with<'a>(&self, args: impl IntoIterator<Item = &'a str>, stdin: &[u8]) -> String {
        let mut git = Command::new("git");
        for name in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{name}_NAME"), "t").env(format!("GIT_{name}_EMAIL"), "t@example.com");
        }
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").args(args).current_dir(self.dir());
        let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git starts");
        child.stdin.take().expect("stdin").write_all(stdin).expect("stdin");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git failed: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("file");
    }

    /// A template that prints what it is given.
    pub fn template(self, name: &str) -> Self {
        self.file(&format!("template/{name}/template.yml"), &format!("language: {name}\nfprocess: cat\n"))
            .file(&format!("template/{name}/Dockerfile"), "FROM scratch\n")
            .file(&format!("template/{name}/function/handler.txt"), &format!("{name}\n"))
    }

    /// Commits all there is; the hash.
    pub fn commit(&self) -> String {
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "-m", "x"]);
        self.git(["rev-parse", "HEAD"])
    }

    pub fn committed(self) -> Self {
        self.commit();
        self
    }

    /// Makes the default branch a commit whose template `bad` has a file of this name, whatever git thinks of it.
    pub fn with_name(self, mode: &str, name: &str, content: &str) -> Self {
        let blob = self.git_with(["hash-object", "-w", "--stdin"], content.as_bytes());
        let bad = self.tree(&[(mode, name, &blob)]);
        let templates = self.tree(&[("40000", "bad", &bad)]);
        let root = self.tree(&[("40000", "template", &templates)]);
        let commit = self.git(["commit-tree", "-m", "x", &root]);
        self.git(["update-ref", "refs/heads/main", &commit]);
        self
    }

    fn tree(&self, entries: &[(&str, &str, &str)]) -> String {
        let mut bytes = Vec::new();
        for (mode, name, hash) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            for pair in hash.as_bytes().chunks(2) {
                bytes.push(u8::from_str_radix(std::str::from_utf8(pair).expect("hash"), 16).expect("hash"));
            }
        }
        self.git_with(["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &bytes)
    }

    /// Serves it by `git daemon`; its URL ends in `/repo`.
    pub fn serve(&self) -> Daemon {
        Daemon::of(self.place.path())
    }
}

impl Daemon {
    fn of(folder: &Path) -> Self {
        let port = super::free_port();
        let child = Command::new("git")
            .args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", &format!("--port={port}")])
            .arg(format!("--base-path={}", folder.display()))
            .arg(folder)
            .stderr(Stdio::null())
            .spawn()
            .expect("git daemon starts");
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { child, url: format!("git://127.0.0.1:{port}/repo") }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // `git daemon` is a program that `git` starts: it is asked to end, and ends its own.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
