//! Provider `lambda`: calls, logs and secrets against moto, and archives under AWS's own emulator; with
//! `FAAS_TEST_LAMBDA=1`.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::lambda::{Oracle, bed, bridge, cached, post, project, remove, stack, unchanged, with_keys};
use crate::support::{Done, Test, copy_tree};

#[test]
fn calls_bring_back_what_the_function_says() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let echo = "def handle(event, context):\n    return {'statusCode': 500 if event.path == '/fail' else 201, 'headers': {'X-Path': event.path}, 'body': bytes(event.body)}\n";
    let done = oracle.project("calls", "").file("tax/handler.py", echo).arg("up").run();
    let bytes = [0xff, 0x00, b'a'];
    let reply = done.then().args(["invoke", "calls-tax", "--path", "/a/b"]).stdin(bytes).run();
    assert_eq!(reply.raw_stdout, bytes);
    done.then().args(["invoke", "calls-tax", "--async"]).stdin("x").run();
    done.then().args(["invoke", "nobody"]).status(4).stderr_has("there is no function nobody in us-east-1").run();

    let broken = done.then().file("tax/handler.py", "import nope\n\n\ndef handle(req):\n    return 1\n");
    let broken = broken.arg("up").run();
    broken.then().args(["invoke", "calls-tax"]).status(1).stderr_has("No module named 'nope'").run();
    broken.then().args(["scale", "calls-tax", "7"]).run();
    assert!(oracle.seen().contains(&"PutFunctionConcurrency".into()));
    remove(&done, "calls-tax");
    oracle.check();
}

#[test]
fn logs_show_what_the_function_printed() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let handler = "import sys\n\n\ndef handle(req):\n    print('seen ' + req, file=sys.stderr)\n    return ''\n";
    let done = oracle.project("logs", "").file("tax/handler.py", handler).arg("up").run();
    for number in 0..2 {
        done.then().args(["invoke", "logs-tax"]).stdin(format!("call-{number}")).run();
    }
    done.then().args(["logs", "logs-tax", "--tail=false"]).stdout_has("seen call-0").stdout_has("seen call-1").run();
    remove(&done, "logs-tax");
    oracle.check();
}

fn secrets(store: &str, settings: &str) {
    let oracle = Oracle::start("");
    // The invoker's own calls come from a container, signed with the keys that moto gives to functions.
    let inside = Oracle::start_at(&bridge(), "", "role-secret-key");
    let handler = "import os, stat\n\n\ndef handle(req):\n    path = os.environ['FAAS_SECRETS_DIR'] + '/api-key'\n    return open(path).read() + ' %o' % stat.S_IMODE(os.stat(path).st_mode)\n";
    let name = format!("secret-{store}");
    let more = format!(
        "    secrets: [api-key]\n    environment: {{AWS_ENDPOINT_URL: \"http://nobody\", AWS_ENDPOINT_URL_SSM: \"http://{0}\", AWS_ENDPOINT_URL_SECRETS_MANAGER: \"http://{0}\"}}\n",
        inside.address
    );
    let stack = stack(&name, &more).replace("region: us-east-1", &format!("region: us-east-1{settings}"));
    let project = oracle.project(&name, &more).file("stack.yml", stack).file("tax/handler.py", handler);
    let lacks =
        project.arg("up").status(1).stderr_has("the secret api-key").stderr_has("faas secret create api-key").run();
    let done = lacks.then().args(["secret", "create", "api-key"]).stdin("s3cret").run();
    done.then().args(["secret", "list"]).stdout_has("api-key").run();
    done.then().arg("up").stdout_has("created").run();
    assert!(oracle.seen().contains(&"PutRolePolicy".into()));
    unchanged(&done, &oracle);
    let invoke = |expected: &str| {
        done.then().args(["invoke", &format!("{name}-tax")]).stdin("x").stdout(expected).run();
    };
    invoke("s3cret 600");
    done.then().args(["secret", "update", "api-key"]).stdin("other").run();
    invoke("other 600");
    let described = done.then().args(["describe", &format!("{name}-tax"), "--output", "json"]).run();
    assert!(described.stdout.contains("api-key") && !described.stdout.contains("other"), "{}", described.stdout);
    done.then().args(["secret", "update", "nobody"]).stdin("x").status(4).run();
    done.then().args(["secret", "remove", "api-key"]).run();
    done.then().args(["secret", "remove", "api-key"]).status(4).run();
    done.then()
        .args(["invoke", &format!("{name}-tax")])
        .stdin("x")
        .status(1)
        .stderr_has("the function's secrets can't be read")
        .run();
    remove(&done, &format!("{name}-tax"));
    assert!(oracle.seen().contains(&"DeleteRolePolicy".into()));
    oracle.check();
    inside.check();
}

#[test]
fn secrets_from_ssm_reach_functions_as_files() {
    if bed() {
        secrets("ssm", "");
    }
}

#[test]
fn secrets_from_secrets_manager_reach_functions_as_files() {
    if bed() {
        secrets("manager", ", secrets: secretsmanager");
    }
}

const ECHO: &str = "import json, sys\n\n\ndef handle(event, context):\n    print('seen ' + event.path, file=sys.stderr)\n    return {'statusCode': 500 if event.path == '/fail' else 201, 'headers': {'Content-Type': 'text/plain'}, 'body': bytes(event.body)}\n";

#[test]
fn calls_by_version_by_url_piece_by_piece_and_with_the_log() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("ways", "    url: iam\n").file("tax/handler.py", ECHO).arg("up").run();
    let invoke = |more: &[&str]| done.then().args(["invoke", "ways-tax"]).args(more).stdin("hello").stdout("hello");
    invoke(&["--logs", "--path", "/x"]).stderr_has("seen /x").run();
    invoke(&["--stream", "--logs", "--path", "/y"]).stderr_has("seen /y").run();
    invoke(&["--logs", "--path", "/fail"]).stdout("").status(1).stderr_has("seen /fail").stderr_has("500").run();
    invoke(&["--qualifier", "1"]).run();
    let asked =
        |part: &str| oracle.requests().iter().any(|r| r["path"].as_str().is_some_and(|path| path.contains(part)));
    assert!(asked("/invocations?Qualifier=1") && asked("/response-streaming-invocations?Qualifier=live"));
    done.then().args(["invoke", "ways-tax", "--raw"]).stdin("{\"a\":1}").stdout_has("{\"a\"").run();
    done.then().args(["invoke", "ways-tax", "--raw"]).stdin("no json").status(2).run();
    // Signed, as the oracle sees; a public one must not be.
    invoke(&["--url", "--path", "/a%20b", "--query", "q=1"]).run();
    let public = done.then().file("stack.yml", stack("ways", "    url: public\n")).arg("up").run();
    public.then().args(["invoke", "ways-tax", "--url"]).stdin("hello").stdout("hello").run();
    assert_eq!(oracle.seen().iter().filter(|op| *op == "UrlCall").count(), 2);
    let closed = public.then().file("stack.yml", stack("ways", "")).arg("up").run();
    closed.then().args(["invoke", "ways-tax", "--url"]).status(4).stderr_has("has no URL").run();

    oracle.seen();
    closed.then().args(["remove", "ways-tax", "--keep-logs"]).run();
    assert!(!oracle.seen().contains(&"DeleteLogGroup".into()));
    closed.then().args(["logs", "ways-tax", "--tail=false"]).stdout_has("seen /x").run();
    oracle.check();
}

#[test]
fn the_seeds_functions_run_unchanged() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let inside = Oracle::start_at(&bridge(), "", "role-secret-key");
    let hook = TcpListener::bind((bridge(), 0)).unwrap();
    let address = hook.local_addr().unwrap();
    let posted = std::thread::spawn(move || {
        let (mut socket, _) = hook.accept().unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&seen).contains("a text") {
            let read = std::io::Read::read(&mut socket, &mut buffer).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..read]);
        }
        socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        String::from_utf8_lossy(&seen).into_owned()
    });
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let on_lambda = |example: &str, more: &str| {
        let text = std::fs::read_to_string(examples.join(example).join("stack.yml")).unwrap();
        assert!(text.contains("name: local"));
        let text = text.replace("name: local", "name: lambda\n  lambda: {region: us-east-1}");
        let test = with_keys(Test::new(), &format!("http://{}", oracle.address));
        let from = examples.join(example).join(example);
        test.layout(|dir| copy_tree(&from, &dir.join(example))).file("stack.yml", format!("{text}{more}"))
    };
    let done = on_lambda("get-tax", "").arg("up").run();
    done.then().args(["invoke", "get-tax"]).stdin("{\"subtotal\": 100}").stdout("{\"tax\": 4.7}\n").run();
    remove(&done, "get-tax");

    let more = format!("    environment: {{AWS_ENDPOINT_URL_SSM: \"http://{}\"}}\n", inside.address);
    let post = on_lambda("post-message", &more).args(["secret", "create", "webhook-url"]);
    let done = post.stdin(format!("http://{address}/hook\n")).run();
    done.then().arg("up").run();
    let message = "{\"title\": \"a title\", \"txt\": \"a text\"}";
    done.then().args(["invoke", "post-message"]).stdin(message).stdout_has("{\"posted\": 204}").run();
    assert!(posted.join().unwrap().ends_with("a title\na text"));
    remove(&done, "post-message");
    done.then().args(["secret", "remove", "webhook-url"]).run();
    oracle.check();
    inside.check();
}

// ---- the runtime interface emulator ----

/// AWS's emulator with an archive of the project `name`; killed when dropped.
struct Emulator {
    child: Child,
    address: String,
    /// Its files lie here.
    _done: Done,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Emulator {
    fn start(project: Test, variables: &[(&str, &str)]) -> Self {
        let done = project.args(["build", "--output", "json"]).run();
        let path = done.json()[0]["artifact"]["path"].as_str().unwrap().to_owned();
        let task = done.dir().join("task");
        let unzip = "import os, sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nfor i in z.infolist():\n    os.chmod(z.extract(i, sys.argv[2]), i.external_attr >> 16)\n";
        let status = Command::new("python3").args(["-c", unzip, &path]).arg(&task).status().unwrap();
        assert!(status.success());
        let port = |listener: TcpListener| listener.local_addr().unwrap().to_string();
        let (front, api) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (front, api) = (port(front), port(api));
        let child = Command::new(cached("rie"))
            .args([
                "--log-level",
                "error",
                "--runtime-interface-emulator-address",
                &front,
                "--runtime-api-address",
                &api,
            ])
            .arg(task.join("bootstrap"))
            .env("LAMBDA_TASK_ROOT", &task)
            .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "20")
            .envs(variables.iter().copied())
            .current_dir(&task)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address: front, _done: done }
    }

    /// What it answers to an event.
    fn call(&self, event: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(answer) = post(&self.address, event) {
                return answer;
            }
            assert!(Instant::now() < until, "the emulator does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

const EVENT: &str = r#"{"version":"2.0","rawPath":"/","rawQueryString":"","headers":{},"requestContext":{"http":{"method":"POST"}},"body":"{\"subtotal\": 100}","isBase64Encoded":false}"#;

#[test]
fn an_archive_runs_under_awss_own_emulator() {
    if !bed() {
        return;
    }
    let emulator = Emulator::start(project("rie", ""), &[]);
    let answer = emulator.call(EVENT);
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!((&answer["statusCode"], &answer["body"]), (&200.into(), &"asked for tax\n{\"tax\": 4.7}".into()));
    assert_eq!(emulator.call("{\"subtotal\": 200}"), "\"asked for tax\\n{\\\"tax\\\": 9.4}\"");
}

/// The emulator takes a streamed answer as Lambda does, and hands it on when it is whole; that it goes out piece by piece is
/// proved by the invoker's own tests.
#[test]
fn a_streamed_answer_is_one_for_awss_own_emulator() {
    if !bed() {
        return;
    }
    let pieces = "def handle(event, context):\n    return {'statusCode': 500 if event.path == '/fail' else 201, 'headers': {'X-Piece': 'yes'}, 'body': (piece for piece in [b'one ', b'two'])}\n";
    let emulator =
        Emulator::start(project("pieces", "").file("tax/handler.py", pieces), &[("FAAS_LAMBDA_STREAMING", "true")]);
    let answer = emulator.call(EVENT);
    let (head, body) = answer.split_once("\0\0\0\0\0\0\0\0").unwrap_or_else(|| panic!("{answer:?}"));
    let head: Value = serde_json::from_str(head).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!((&head["statusCode"], &head["headers"]["x-piece"]), (&201.into(), &"yes".into()), "{head}");
    assert_eq!(body, "one two");
}

#[test]
fn a_package_without_a_build_for_lambda_is_named_and_installed_in_a_container() {
    let Some(registry) = crate::support::bed("FAAS_REGISTRY") else { return };
    // A package with code in C, as an archive of its sources alone.
    let setup = "from setuptools import Extension, setup\nsetup(name='native-tax', version='1.0', py_modules=['native_tax'], options={'bdist_wheel': {'plat_name': 'linux_x86_64'}})\n";
    let sources = |test: Test| {
        test.file("stack.yml", stack("native", "")).layout(|dir| {
            let root = dir.join("tax/dist/native-tax-1.0");
            std::fs::create_dir_all(&root).unwrap();
            std::fs::write(root.join("setup.py"), setup).unwrap();
            std::fs::write(root.join("native_tax.py"), "RATE = 7\n").unwrap();
            std::fs::write(root.join("PKG-INFO"), "Metadata-Version: 1.0\nName: native-tax\nVersion: 1.0\n").unwrap();
            let packed = Command::new("tar")
                .args(["-czf", "native-tax-1.0.tar.gz", "native-tax-1.0"])
                .current_dir(dir.join("tax/dist"))
                .status();
            assert!(packed.unwrap().success());
            std::fs::remove_dir_all(root).unwrap();
        })
    };
    let requirements = "--no-index\n--find-links function/dist\nnative-tax\n";
    let mut test = sources(project("native", "")).file("tax/requirements.txt", requirements);
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        test = test.env("DOCKER_HOST", host);
    }
    let done = test.arg("build").status(1).stderr_has("native-tax").stderr_has("--container").run();
    let image = format!("--container={registry}/base/python:3.11");
    let built = done.then().args(["build", &image, "--output", "json"]).run().json();
    let path = built[0]["artifact"]["path"].as_str().unwrap().to_owned();
    let listed = Command::new("python3").args(["-m", "zipfile", "-l", &path]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(".deps/native_tax.py"), "{listed}");
    // Nothing of it stays with the engine.
    let left = Command::new("docker").args(["ps", "-aq", "--filter", "name=faas-build-native"]).output().unwrap();
    assert!(left.stdout.is_empty());
    let again = done.then().args(["build", &image, "--output", "json"]).run().json();
    assert_eq!(again[0]["rebuilt"], false);
    done.then()
        .args(["build", "--container=127.0.0.1:1/none:1"])
        .status(1)
        .stderr_has("can't pull 127.0.0.1:1/none:1")
        .run();
}
