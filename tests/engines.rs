//! Where images are built: contexts, ssh, Podman, a buildkitd of its own; and engines that are not there, or not for long.
//! Needs the test beds (`make test`).

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Done, Test, bed};

fn image(registry: &str, name: &str) -> String {
    format!("{registry}/test/{name}-{}", std::process::id())
}

/// A function with a Dockerfile of its own that starts from the test beds' Debian.
fn project(registry: &str, name: &str, dockerfile: &str) -> Test {
    let image = image(registry, name);
    Test::new()
        .file(
            "stack.yml",
            format!(
                "provider: {{name: openfaas}}\nfunctions:\n  tax: {{lang: dockerfile, handler: ./tax, image: {image}}}\n"
            ),
        )
        .file("tax/Dockerfile", dockerfile.replace("BASE", &format!("{registry}/base/debian:bookworm")))
        .file("tax/a.txt", "a")
}

fn engine_host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into())
}

#[track_caller]
fn until(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !check() {
        assert!(Instant::now() < end, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ends a program when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
fn dockers_context_names_the_engine() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let test = project(&registry, "context", "FROM BASE\nCOPY . /app\n");
    let id = format!("contexts/meta/{}", sha256("there"));
    let config = test.dir().join("docker").display().to_string();
    let meta = format!("{{\"Name\":\"there\",\"Endpoints\":{{\"docker\":{{\"Host\":\"{}\"}}}}}}", engine_host());
    let done = test
        .file(format!("docker/{id}/meta.json"), meta)
        .env("DOCKER_CONFIG", &config)
        .env("DOCKER_CONTEXT", "there")
        .arg("build")
        .run();
    // The current one of the configuration counts where no variable names another.
    done.then()
        .file("docker/config.json", "{\"currentContext\": \"there\"}")
        .env("DOCKER_CONTEXT", "")
        .arg("build")
        .stderr("tax: unchanged\n")
        .run();
    done.then()
        .env("DOCKER_CONTEXT", "nowhere")
        .arg("build")
        .status(1)
        .stderr_has("docker's context `nowhere` is not there")
        .run();
}

fn sha256(text: &str) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn an_engine_is_reached_by_ssh() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    // Runs what it is told here, as the other side would there.
    let ssh = format!(
        "#!/bin/sh\necho \"$@\" >>\"$0.log\"\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\n\
         DOCKER_HOST={} exec \"$@\"\n",
        engine_host()
    );
    let test = project(&registry, "ssh", "FROM BASE\nRUN --mount=type=cache,target=/c true\nCOPY . /app\n");
    let test = test.file("bin/ssh", ssh);
    let program = test.dir().join("bin/ssh");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", test.dir().join("bin").display(), std::env::var("PATH").unwrap());
    let done = test.env("PATH", path).env("DOCKER_HOST", "ssh://me@there:2222").arg("build").run();
    assert!(done.stderr.contains("tax: built"), "{}", done.stderr);
    let called = done.read("bin/ssh.log");
    assert!(
        called.starts_with("-o ConnectTimeout=30 -T -l me -p 2222 -- there docker system dial-stdio\n"),
        "{called}"
    );
    // What ssh says is the reason that is told.
    std::fs::write(&program, "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n").unwrap();
    done.then()
        .arg("build")
        .status(1)
        .stderr_has("no container engine answers at ssh://me@there:2222: Permission")
        .run();
}

#[test]
fn engines_that_do_not_answer_are_named_with_what_to_do() {
    let test = || project("r.example", "none", "FROM BASE\n");
    let port = crate::support::free_port();
    for (host, said) in [
        ("unix:///nowhere/docker.sock".to_owned(), "No such file or directory"),
        (format!("tcp://127.0.0.1:{port}"), "Connection refused"),
        ("tcp://".to_owned(), "is no address of a container engine"),
        ("npipe:////./pipe/docker_engine".to_owned(), "is no address of a container engine"),
    ] {
        let status = if said.starts_with("is no") { 2 } else { 1 };
        test().env("DOCKER_HOST", &host).arg("build").status(status).stderr_has(said).stderr_has("hint: ").run();
    }
    for (answer, said) in [
        (
            "HTTP/1.1 200 OK\r\nApi-Version: 1.39\r\nServer: Docker/18.09.9 (linux)\r\nContent-Length: 2\r\n\r\nOK",
            "is too old: Docker/18.09.9 (linux) has version 1.39 of the API, faas needs 1.41",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", "told no version of its API"),
        ("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "no version of its API"),
    ] {
        let port = answering(answer);
        test().env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}")).arg("build").status(1).stderr_has(said).run();
    }
}

/// Gives everybody the same answer.
fn answering(answer: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    port
}

/// Podman's service on a socket of the folder, where Podman is installed.
fn podman(dir: &Path, socket: &Path, registry: &str) -> Option<Running> {
    if Command::new("podman").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: Podman is not installed");
        return None;
    }
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let settings = dir.join("registries.conf");
    let text = format!(
        "unqualified-search-registries = [\"docker.io\"]\n[[registry]]\nlocation = \"{registry}\"\ninsecure = true\n"
    );
    std::fs::write(&settings, text).unwrap();
    let log = std::fs::File::create(dir.join("podman.log")).unwrap();
    let child = Command::new("podman")
        .arg("--root")
        .arg(dir.join("root"))
        .arg("--runroot")
        .arg(dir.join("run"))
        // crun, which may be there too, refuses machines with both versions of cgroups.
        .args(["--runtime", "runc"])
        .args(["--cgroup-manager", "cgroupfs", "--events-backend", "file", "system", "service", "--time=0"])
        .arg(format!("unix://{}", socket.display()))
        .env("CONTAINERS_REGISTRIES_CONF", settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let running = Running(child);
    until("podman listens", || std::os::unix::net::UnixStream::connect(socket).is_ok());
    Some(running)
}

#[test]
fn podman_is_an_engine_too() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let dir = Scratch(tempfile::Builder::new().prefix("faas-podman-").tempdir().unwrap().keep());
    // Where it is found by itself, with no socket of Docker's to be seen.
    let runtime = dir.0.join("runtime");
    let socket = runtime.join("podman/podman.sock");
    let Some(mut running) = podman(&dir.0, &socket, &registry) else { return };
    let dockerfile = "FROM BASE\nRUN --mount=type=cache,target=/c echo ran\nCOPY . /app\n";
    let test = project(&registry, "podman", dockerfile).env("XDG_RUNTIME_DIR", runtime.display().to_string());
    let command = test.command();
    let mut hidden = Command::new("unshare");
    hidden.args(["-m", "sh", "-c", "mount -t tmpfs none /run && exec \"$@\"", "sh"]).arg(command.get_program());
    hidden.arg("build").current_dir(test.dir()).env_clear();
    hidden.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = hidden.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("STEP 2/") && said.contains("tax: built"), "{said}");

    let host = format!("unix://{}", socket.display());
    let on_podman = |test: Test| test.env("DOCKER_HOST", &host).arg("build");
    let done = on_podman(test).stderr("tax: unchanged\n").run();
    on_podman(done.then())
        .args(["--build-secret", "id=x,src=tax/a.txt"])
        .arg("--no-cache")
        .status(6)
        .stderr_has("the build secret `x` needs BuildKit: Podman's API takes no secrets")
        .run();
    let pushed = done.then().env("DOCKER_HOST", &host).args(["push", "--output", "json"]).run();
    assert!(pushed.json()[0]["digest"].as_str().unwrap().starts_with("sha256:"));

    // Killed while it builds, and started again.
    let slow =
        on_podman(done.then()).file("tax/Dockerfile", format!("FROM {registry}/base/debian:bookworm\nRUN sleep 8\n"));
    let child = slow.spawn();
    until("the step runs", || {
        std::fs::read_to_string(done.dir().join("build/logs/tax.log")).is_ok_and(|log| log.contains("RUN sleep 8"))
    });
    // Not asked to end: it would finish the build first.
    running.0.kill().unwrap();
    drop(running);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("went away"), "{said}");
    let _running = podman(&dir.0, &socket, &registry);
    on_podman(done.then())
        .file("tax/Dockerfile", dockerfile.replace("BASE", &format!("{registry}/base/debian:bookworm")))
        .run();
}

/// A folder with a store of images, which has mounts and files of other users in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let ours =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(&self.0));
        for at in ours.collect::<Vec<_>>().into_iter().rev() {
            let _ = Command::new("umount").args(["-l", at]).stderr(Stdio::null()).status();
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn daemon(test: Test) -> Option<Test> {
    Some(test.env("BUILDKIT_HOST", bed("FAAS_BUILDKIT")?))
}

fn json(done: &Done, args: &[&str]) -> serde_json::Value {
    done.then().arg("build").args(args).args(["--output", "json"]).run().json()[0].clone()
}

#[test]
fn a_buildkitd_builds_and_pushes() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    // Here-documents are known by the frontend of a current one.
    let dockerfile = "FROM BASE\nRUN <<E\ntest -e /etc/debian_version\nE\nRUN --mount=type=secret,id=s,required=true \
                      test \"$(cat /run/secrets/s)\" = of-a-file\nCOPY . /app\n";
    let Some(test) = daemon(project(&registry, "daemon", dockerfile)) else { return };
    let cache = image(&registry, "daemon-cache");
    let test = test.file("secret.txt", "of-a-file");
    let stack = std::fs::read_to_string(test.dir().join("stack.yml")).unwrap();
    let stack = stack.replace("image:", "build_secrets: {s: ./secret.txt}, image:");
    let done = test.file("stack.yml", &stack).arg("build").stderr_has("--push sends it").run();
    done.then().arg("push").status(4).stderr_has("`faas build --push`").run();

    let first = json(&done, &["--push", "--cache-to", &format!("type=registry,ref={cache},mode=max")]);
    let digest = first["artifact"]["digest"].as_str().unwrap().to_owned();
    assert_eq!(
        (first["rebuilt"].as_bool(), manifest(&registry, "daemon", &digest)["schemaVersion"].as_u64()),
        (Some(true), Some(2))
    );
    assert_eq!(json(&done, &["--push"])["rebuilt"], false);
    // The engine runs what the builder pushed.
    let reference = format!("{}@{digest}", image(&registry, "daemon"));
    let ran = Command::new("docker").args(["run", "--rm", &reference, "cat", "/app/a.txt"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "a", "{}", String::from_utf8_lossy(&ran.stderr));
    let _ = Command::new("docker").args(["rmi", "-f", &reference]).output();

    std::fs::write(done.dir().join("tax/a.txt"), "b").unwrap();
    let changed = json(&done, &["--push", "--cache-from", &cache]);
    assert_ne!(changed["artifact"]["digest"].as_str().unwrap(), digest);
    done.then()
        .file("tax/Dockerfile", format!("FROM {registry}/base/debian:bookworm\n\nRUN echo here; exit 9\n"))
        .arg("build")
        .status(1)
        .stderr_has("build/tax/Dockerfile:3: RUN echo here; exit 9\nhere\n")
        .run();
    done.then()
        .file("tax/Dockerfile", format!("FROM {registry}/base/no-such-thing:1\n"))
        .arg("build")
        .status(1)
        .stderr_has("base/no-such-thing:1: not found")
        .run();
}

#[test]
fn a_buildkitd_builds_for_several_platforms_over_tls() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let (Some(host), Some(certificates)) = (bed("FAAS_BUILDKIT_TLS"), bed("FAAS_BUILDKIT_TLS_DIR")) else { return };
    let test = project(&registry, "platforms", "FROM scratch\nCOPY a.txt /a.txt\n");
    let stack = std::fs::read_to_string(test.dir().join("stack.yml")).unwrap();
    let stack = stack.replace("image:", "platforms: \"linux/amd64,linux/arm64\", image:");
    let test = test.file("stack.yml", stack).env("BUILDKIT_HOST", &host);
    let done = test
        .arg("build")
        .status(1)
        .stderr_has(format!("no buildkitd answers at {host}"))
        .stderr_has("set BUILDKIT_TLS_DIR")
        .run();
    let done = done.then().env("BUILDKIT_TLS_DIR", certificates).args(["build", "--push", "--output", "json"]).run();
    let digest = done.json()[0]["artifact"]["digest"].as_str().unwrap().to_owned();
    let index = manifest(&registry, "platforms", &digest);
    let platforms: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|one| one["platform"]["architecture"].clone()).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    // An engine has images of one platform.
    done.then()
        .env("BUILDKIT_HOST", "")
        .env("DOCKER_HOST", engine_host())
        .arg("build")
        .status(6)
        .stderr_has("an image for several platforms")
        .run();
}

fn manifest(registry: &str, name: &str, digest: &str) -> serde_json::Value {
    let repository = image(registry, name).split_once('/').unwrap().1.to_owned();
    let output = Command::new("curl")
        .args(["-fsS", "-H", "Accept: application/vnd.oci.image.index.v1+json"])
        .args(["-H", "Accept: application/vnd.oci.image.manifest.v1+json"])
        .args(["-H", "Accept: application/vnd.docker.distribution.manifest.v2+json"])
        .args(["-H", "Accept: application/vnd.docker.distribution.manifest.list.v2+json"])
        .arg(format!("http://{registry}/v2/{repository}/manifests/{digest}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_builder_that_is_not_there_is_named() {
    let test = || project("r.example", "nobuilder", "FROM BASE\n");
    let port = crate::support::free_port();
    let host = format!("tcp://127.0.0.1:{port}");
    test()
        .env("BUILDKIT_HOST", &host)
        .arg("build")
        .status(1)
        .stderr_has(format!("no buildkitd answers at {host}"))
        .stderr_has("unset BUILDKIT_HOST")
        .run();
    test()
        .env("BUILDKIT_HOST", "docker-container://x")
        .arg("build")
        .status(2)
        .stderr_has("BUILDKIT_HOST: `docker-")
        .run();
}
