//! Functions in containers of a real engine, without a platform: `local-run`, `template check` and plugins out of a registry.
//! Needs the test beds (`make test`).
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::{Test, bed, free_port};

fn engine(test: Test) -> Test {
    match std::env::var("DOCKER_HOST") {
        Ok(host) => test.env("DOCKER_HOST", host),
        Err(_) => test,
    }
}

/// A function's name that no other run uses, since containers are called so.
fn name(word: &str) -> String {
    format!("s-{word}-{}", std::process::id())
}

fn project(name: &str, dockerfile: &str, more: &str) -> Test {
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  {name}:\n    lang: dockerfile\n    handler: ./f\n    image: test/{name}\n{more}"
    );
    engine(Test::new().file("stack.yml", stack).file("f/Dockerfile", dockerfile))
}

#[test]
fn a_function_runs_with_its_secrets_and_variables_and_leaves_nothing() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let name = name("run");
    let dockerfile = format!(
        "FROM {registry}/base/debian:bookworm\nUSER 10001\nCMD [\"sh\", \"-c\", \"cat /var/openfaas/secrets/key; echo; echo $OPENFAAS_NAME $A $B; \
         echo oops >&2\"]\n"
    );
    let more = "    secrets: [key]\n    environment: {A: one}\n    readonly_root_filesystem: true\n    limits: {memory: 64Mi, cpu: 100m}\n";
    let port = free_port().to_string();
    let run = |test: Test| test.args(["local-run", "-p", &port, "-e", "B=two,C=three"]);
    let done = run(project(&name, &dockerfile, more)).status(4).stderr_has("files of secrets are missing").run();
    let done = run(engine(done.then()).file(".secrets/key", "s3cr3t-value")).run();
    assert!(
        done.stdout.contains(&format!("Starting local-run for: {name} on: http://0.0.0.0:{port}\n")),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains(&format!("s3cr3t-value\n{name} one two\n")), "{}", done.stdout);
    assert!(done.stderr.contains("oops\n"), "{}", done.stderr);
    let left =
        std::process::Command::new("docker").args(["ps", "-aq", "--filter", &format!("name={name}")]).output().unwrap();
    assert!(left.stdout.is_empty(), "the container is still there");
    let print = run(engine(done.then())).arg("--print").run();
    assert!(
        print.stdout.starts_with(&format!("docker run --name {name} --rm -i '-p={port}:8080' ")),
        "{}",
        print.stdout
    );
    assert!(!print.stdout.contains("s3cr3t") && print.stderr.is_empty(), "nothing is built: {}", print.stderr);
}

#[test]
fn strangers_containers_are_left_and_bad_ends_are_told() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let name = name("end");
    let dockerfile = format!("FROM {registry}/base/debian:bookworm\nCMD [\"sh\", \"-c\", \"exit 7\"]\n");
    let port = free_port().to_string();
    let done =
        project(&name, &dockerfile, "").args(["local-run", "-p", &port]).status(1).stderr_has("exit code 7").run();
    let docker = |args: &[&str]| std::process::Command::new("docker").args(args).output().unwrap();
    docker(&["create", "--name", &name, &format!("test/{name}:latest")]);
    let again = engine(done.then()).args(["local-run", "-p", &port, "--build=false"]).status(1).run();
    assert!(again.stderr.contains("which faas did not start"), "{}", again.stderr);
    let gone = docker(&["rm", "-f", &name]);
    assert!(gone.status.success(), "the stranger's container was removed");
}

/// A session that ends with the test, however it ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn functions_answer_are_started_again_and_end_with_ctrl_c() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let (name, port) = (name("watch"), free_port());
    let serve = "FROM {registry}/base/debian:bookworm\nCOPY word /word\nCMD [\"perl\", \"-MIO::Socket\", \"-e\", \
                 \"$w = qx(cat /word); $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1); while ($c = $s->accept) { \
                 sysread $c, $b, 999; print $c qq(HTTP/1.0 200 OK\\r\\n\\r\\n$w); close $c }\"]\n";
    let dockerfile = serve.replace("{registry}", &registry);
    let test =
        project(&name, &dockerfile, "").file("f/word", "one").args(["local-run", "--watch", "-p", &port.to_string()]);
    let null = std::process::Stdio::null;
    let mut child = Running(test.command().stdin(null()).stdout(null()).spawn().unwrap());
    let wait = |word: &str| {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let mut text = String::new();
            if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
                let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
                let _ = stream.read_to_string(&mut text);
            }
            if text.ends_with(word) {
                return;
            }
            assert!(Instant::now() < until, "no `{word}`, but {text:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait("one");
    std::fs::write(test.dir().join("f/word"), "two").unwrap();
    wait("two");
    std::process::Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap();
    assert!(child.0.wait().unwrap().success());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "it still listens");
}

#[test]
fn a_template_is_proven() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let made = Test::new().args(["template", "new", "mine", "--from", "bash"]).stdout_has("template/mine\n").run();
    assert!(made.read("template/mine/template.yml").starts_with("language: mine\n"));
    assert!(made.read("template/mine/README.md").starts_with("# mine\n"), "{}", made.read("template/mine/README.md"));
    made.then().args(["template", "new", "mine"]).status(2).stderr_has("is there already").run();
    let process = made.then().args(["template", "check", "mine", "--no-image", "--output", "json"]).run().json();
    assert_eq!((&process[3]["step"], &process[3]["result"]), (&"answer as process".into(), &"ok".into()));
    // One whose image answers: the bed's echo, under another name.
    let manifest = "language: echo\nfprocess: python3 index.py\n";
    let dockerfile = format!("FROM {registry}/fn/echo:latest\nCOPY function/x /x\n");
    let echo = engine(made.then())
        .file("template/echo/template.yml", manifest)
        .file("template/echo/Dockerfile", dockerfile)
        .file("template/echo/function/x", "");
    let proven = echo.args(["template", "check", "template/echo"]).run();
    assert!(proven.stdout.contains("answer as image"), "{}", proven.stdout);
    // Of an image that can't be built the log stays.
    let dockerfile = format!("FROM {registry}/fn/echo:latest\nRUN echo the last words; exit 3\n");
    let broken = engine(made.then())
        .file("template/broken/template.yml", manifest)
        .file("template/broken/Dockerfile", dockerfile)
        .file("template/broken/function/x", "");
    let broken = broken.args(["template", "check", "template/broken"]).status(1).run();
    let log = broken.dir().join("build/logs/template-check.log");
    assert!(broken.stderr.contains(&log.display().to_string()), "{}", broken.stderr);
    assert!(std::fs::read_to_string(log).unwrap().contains("the last words"));
    for (file, text, said) in [
        ("template/bad/template.yml", "language: [\n", "template.yml can't be used"),
        ("template/none/x.txt", "", "has no template.yml"),
        ("template/slip/template.yml", "language: x\nfprocess: cat\nnativ:\n  run: cat\n", "did you mean `native`?"),
    ] {
        let folder = file.rsplit_once('/').unwrap().0;
        let done = made.then().file(file, text).args(["template", "check", folder]).status(2).run();
        assert!(done.stderr.contains(said) && done.stdout.contains("FAILED"), "{}{}", done.stdout, done.stderr);
    }
    // What does not answer as it should does not hold.
    std::fs::write(made.dir().join("template/mine/function/handler.sh"), "exit 3\n").unwrap();
    let done = made.then().args(["template", "check", "mine", "--no-image"]).status(1).run();
    assert!(done.stderr.contains("answer as process: the function answers 500"), "{}", done.stderr);
}

#[test]
fn plugins_come_out_of_a_registry_and_become_commands() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let name = name("hello");
    let dockerfile = format!("FROM scratch\nCOPY prog /{name}\nCOPY other /etc/other\n");
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: dockerfile, handler: ./f, image: '{registry}/test/{name}:1'}}\n"
    );
    let test = engine(Test::new().file("stack.yml", stack).file("f/Dockerfile", dockerfile).file("f/other", "x"));
    let done = test.file("f/prog", "#!/bin/sh\necho \"hello $*\"\nexit 3\n").args(["build", "--push"]).run();
    let get = |args: &[&str]| {
        let from = format!("{registry}/test");
        done.then().args(["plugin", "get", &name, "--registry", &from, "--version", "1"]).args(args.to_vec())
    };
    get(&[]).stdout_has("Downloaded in (").stdout_has(format!("Usage:\n  faas {name}\n")).run();
    get(&[]).called("faas-cli").stdout_has(format!("Usage:\n  faas-cli {name}\n")).run();
    let folder = done.home().join(".openfaas/plugins");
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [name.as_str()], "nothing else of the image is written");
    done.then().args([&name, "a", "--flag"]).stdout("hello a --flag\n").status(3).run();
    let into = done.dir().join("here");
    get(&["--path", into.to_str().unwrap()]).stdout_has(format!("Wrote: {}/{name} (linux/", into.display())).run();
    get(&["--version", "2"]).status(4).run();
    done.then().args(["plugin", "get", "../x"]).status(2).stderr_has("can't be a plugin's name").run();
}

#[test]
fn one_function_is_run_without_a_stack_file() {
    let args = ["local-run", "--image", "i:1", "--name", "foo", "--lang", "dockerfile", "--handler", "./fn", "--print"];
    let run = || Test::new().args(args).file("fn/Dockerfile", "FROM scratch\n");
    run().stdout_has("docker run").stdout_has("--name foo").stdout_has("i:1").run();
    run().called("faas-cli").stdout_has("--name foo").run();
    // What is in a stack file is what is run.
    let stack = "provider: {name: openfaas}\nfunctions:\n  tax: {lang: dockerfile, handler: ./tax, image: tax:1}\n";
    let done = run().file("stack.yml", stack).stdout_has("tax:1").run();
    assert!(!done.stdout.contains("foo"), "{}", done.stdout);
    Test::new().args(["local-run", "--image", "i:1", "--name", "foo"]).status(2).stderr_has("no stack.yaml").run();
}
