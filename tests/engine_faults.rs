//! Engines that go away, print without end, or are behind a real sshd. Needs the test beds (`make test`); what takes long or
//! starts an engine of its own is for `make test-full`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Test, bed, free_port};

fn full() -> bool {
    let full = std::env::var_os("FAAS_TEST_FULL").is_some();
    if !full {
        eprintln!("skipped: for `make test-full`");
    }
    full
}

/// A function with a Dockerfile of its own over the test beds' Debian.
fn project(registry: &str, name: &str, dockerfile: &str) -> Test {
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  tax: {{lang: dockerfile, handler: ./tax, image: \"{registry}/test/{name}-{}\"}}\n",
        std::process::id()
    );
    let dockerfile = format!("FROM {registry}/base/debian:bookworm\n{dockerfile}\n");
    Test::new().file("stack.yml", stack).file("tax/Dockerfile", dockerfile)
}

#[track_caller]
fn until(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !check() {
        assert!(Instant::now() < end, "{what}: not within two minutes");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A dockerd of a test's own, in a network of its own: one without would take the bridge of the other away.
struct Dockerd {
    dir: PathBuf,
    child: Option<Child>,
}

impl Dockerd {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("faas-dockerd-").tempdir().unwrap().keep();
        let mut engine = Self { dir, child: None };
        engine.start();
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}", self.dir.join("docker.sock").display())
    }

    fn start(&mut self) {
        let host = self.host();
        // What was killed leaves its containerd behind, which the next one may have to wait for.
        for _ in 0..3 {
            let _ = std::fs::remove_file(self.dir.join("pid"));
            let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
            let mut command = Command::new("unshare");
            command.args(["-n", "dockerd", "--iptables=false", "--ip6tables=false", "--host", &host]);
            for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
                command.arg(flag).arg(self.dir.join(name));
            }
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
            let end = Instant::now() + Duration::from_secs(60);
            while child.try_wait().unwrap().is_none() && Instant::now() < end {
                if docker(&host, &["info"]) {
                    self.child = Some(child);
                    return;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            let _ = child.kill();
            let _ = child.wait();
            self.end_the_rest();
        }
        panic!("dockerd does not start: {}", std::fs::read_to_string(self.dir.join("log")).unwrap());
    }

    /// As a machine that loses its power.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            let _ = child.wait();
        }
        self.end_the_rest();
    }

    /// Its containerd and whatever it started: all that have its folder in their command line.
    fn end_the_rest(&self) {
        let ours = self.dir.display().to_string();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&ours) {
                let _ = Command::new("kill").arg("-9").arg(entry.file_name()).stderr(Stdio::null()).status();
            }
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.kill();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let ours =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(&self.dir));
        for at in ours.collect::<Vec<_>>().into_iter().rev() {
            let _ = Command::new("umount").args(["-l", at]).stderr(Stdio::null()).status();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn docker(host: &str, args: &[&str]) -> bool {
    let done =
        Command::new("docker").args(["-H", host]).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

#[test]
fn a_dockerd_that_is_killed_half_way_is_told_and_works_when_it_is_back() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    if !full() {
        return;
    }
    let mut engine = Dockerd::new();
    let host = engine.host();
    // It can't reach the registry from its network.
    let base = format!("{registry}/base/debian:bookworm");
    let mut from = Command::new("docker").args(["save", &base]).stdout(Stdio::piped()).spawn().unwrap();
    let load = Command::new("docker").args(["-H", &host, "load"]).stdin(from.stdout.take().unwrap()).output().unwrap();
    assert!(load.status.success() && from.wait().unwrap().success());
    for buildkit in ["1", "0"] {
        // Told apart from every other sleep by its seconds.
        let seconds = format!("{}{buildkit}", 200_000 + std::process::id());
        let test = project(&registry, "killed", &format!("RUN sleep {seconds}"));
        let test = test.env("DOCKER_HOST", &host).env("DOCKER_BUILDKIT", buildkit).arg("build");
        let log = test.dir().join("build/logs/tax.log");
        let child = test.spawn();
        until("the step runs", || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("RUN sleep")));
        std::thread::sleep(Duration::from_secs(1));
        engine.kill();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("the builder at {host} went away")), "{said}");
        assert!(said.contains("hint: when it runs again, build again"), "{said}");
        assert!(!said.contains("tonic"), "the library's own words help nobody: {said}");
        test.arg("--no-cache").status(1).stderr_has(format!("no container engine answers at {host}")).run();
        engine.start();
        let test = project(&registry, "killed", "RUN true").env("DOCKER_HOST", &host);
        test.env("DOCKER_BUILDKIT", buildkit).arg("build").stderr_has("tax: built").run();
    }
}

#[test]
fn a_build_that_prints_without_end_takes_no_memory_and_its_log_is_whole() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    if !full() {
        return;
    }
    // 200 MB in lines of 100 characters, and a line without an end.
    let run = format!(
        "RUN yes $(head -c 99 /dev/zero | tr '\\0' x) | head -c 200000000; head -c 1000000 /dev/zero | tr '\\0' y; echo {}",
        std::process::id()
    );
    let test = project(&registry, "prints", &run).env("DOCKER_BUILDKIT", "0").arg("build");
    let mut command = test.command();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most = 0_u64;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(peak.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(child.wait().unwrap().success());
    assert!(most > 0 && most < 100 << 10, "{most} kB of memory");
    let log = std::fs::metadata(test.dir().join("build/logs/tax.log")).unwrap().len();
    assert!(log > 201_000_000, "the log has {log} bytes only");
}

/// Ends a program when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_engine_behind_a_real_sshd_builds() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let Some(sshd) = ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: openssh-server is not installed");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    for key in ["host", "me"] {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).status();
        assert!(made.unwrap().success());
    }
    let port = free_port();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\n",
        at("host"),
        at("me.pub")
    );
    std::fs::write(at("config"), config).unwrap();
    // It wants this folder, whoever starts it.
    std::fs::create_dir_all("/run/sshd").unwrap();
    let running = Command::new(sshd).args(["-D", "-e", "-f", &at("config")]).stderr(Stdio::null()).spawn().unwrap();
    let _running = Running(running);
    until("sshd listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let known = format!("[127.0.0.1]:{port} {}", std::fs::read_to_string(at("host.pub")).unwrap());
    std::fs::write(at("known"), known).unwrap();
    let client = |key: &str| {
        let text = format!("Host *\n IdentityFile {key}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n", at("known"));
        std::fs::write(at("client"), text).unwrap();
    };
    // The real ssh; only where its settings are is ours.
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    let wrapper = dir.path().join("bin/ssh");
    std::fs::write(&wrapper, format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", at("client"))).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", at("bin"), std::env::var("PATH").unwrap());
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let build =
        |test: Test| test.env("PATH", &path).env("DOCKER_HOST", format!("ssh://{user}@127.0.0.1:{port}")).arg("build");
    client(&at("me"));
    let done = build(project(&registry, "sshd", "RUN --mount=type=cache,target=/c true\nCOPY Dockerfile /"));
    let done = done.stderr_has("tax: built").run();
    build(done.then()).stderr("tax: unchanged\n").run();
    client(&at("host"));
    build(done.then()).status(1).stderr_has("Permission denied (publickey").run();
}

#[test]
fn steps_that_functions_share_are_done_once_by_the_classic_builder_too() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let id = std::process::id();
    let mut stack = "provider: {name: openfaas}\nfunctions:\n".to_owned();
    let mut test = Test::new();
    for name in ["one", "two", "three"] {
        stack +=
            &format!("  {name}: {{lang: own, handler: ./{name}, image: \"{registry}/test/shared-{name}-{id}\"}}\n");
        test = test.file(format!("{name}/a.txt"), name);
    }
    let dockerfile = format!(
        "FROM {registry}/base/debian:bookworm\nRUN echo {id}; cat /proc/sys/kernel/random/uuid >/once\nCOPY function /f\n"
    );
    let done = test
        .file("stack.yml", stack)
        .file("template/own/template.yml", "language: own\nfprocess: cat\n")
        .file("template/own/Dockerfile", dockerfile)
        .env("DOCKER_BUILDKIT", "0")
        .args(["build", "--parallel", "3"])
        .run();
    let logs = ["one", "two", "three"].map(|name| done.read(format!("build/logs/{name}.log")));
    let ran = logs.iter().filter(|log| log.contains(&format!("\n{id}\n"))).count();
    assert_eq!(ran, 1, "{}", done.stderr);
    for name in ["one", "two", "three"] {
        docker(&engine_host(), &["rmi", "-f", &format!("{registry}/test/shared-{name}-{id}")]);
    }
}

fn engine_host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into())
}

#[test]
fn two_builds_at_once_take_turns() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let first = project(&registry, "turns", &format!("RUN sleep 5; echo {}", std::process::id())).arg("build");
    let log = first.dir().join("build/logs/tax.log");
    let child = first.spawn();
    until("the step runs", || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("RUN sleep 5")));
    let mut second = first.command();
    let second = second.output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("tax: waiting for another build in this project"), "{said}");
    assert!(said.ends_with("tax: unchanged\n"), "what the first made is taken: {said}");
    assert!(child.wait_with_output().unwrap().status.success());
}
