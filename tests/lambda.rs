//! Provider `lambda` as at a prompt, against moto, with an oracle in between that checks every request: run when
//! `FAAS_TEST_LAMBDA=1`. What needs no AWS at all is tested always.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::{Done, Test, copy_tree};
use serde_json::Value;

const HANDLER: &str = "import json\n\n\ndef handle(req):\n    print('asked for tax')\n    return json.dumps({'tax': json.loads(req)['subtotal'] * 0.047})\n";
const MOTO: &str = "127.0.0.1:5555";

fn stack(name: &str, more: &str) -> String {
    format!(
        "provider: {{name: lambda, lambda: {{region: us-east-1}}}}\nname: {name}\nfunctions:\n  {name}-tax:\n    lang: python3\n    handler: ./tax\n{more}"
    )
}

/// A project; without a bed, in front of an address where nobody answers.
fn project(name: &str, more: &str) -> Test {
    Test::new()
        .file("stack.yml", stack(name, more))
        .file("tax/handler.py", HANDLER)
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

fn with_keys(test: Test, endpoint: &str) -> Test {
    test.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_ENDPOINT_URL", endpoint)
}

// ---- without AWS ----

#[test]
fn without_credentials_nothing_is_sent() {
    project("nokeys", "").args(["describe", "nokeys-tax"]).status(5).stderr_has("no AWS credentials were found").run();
}

#[test]
fn without_a_region_it_is_said_where_to_set_one() {
    let stack = stack("noregion", "").replace("region: us-east-1", "");
    with_keys(project("noregion", ""), "http://127.0.0.1:9")
        .file("stack.yml", stack)
        .args(["describe", "noregion-tax"])
        .status(2)
        .stderr_has("no AWS region is known")
        .stderr_has("provider.lambda.region")
        .run();
}

#[test]
fn everything_that_lambda_would_refuse_is_told_before_anything_is_sent() {
    let more = "    timeout: 20m\n    limits: {memory: 20Gi}\n    environment: {AWS_REGION: x, LARGE: \"$BIG\"}\n    lambda: {ephemeral_storage: 1, role: admin}\n"
        .replace("$BIG", &"x".repeat(5000));
    with_keys(project("bad", &more), "http://127.0.0.1:9")
        .arg("up")
        .status(2)
        .stderr_has("6 problems for provider `lambda`, nothing was changed")
        .stderr_has("20m is not allowed")
        .stderr_has("20Gi is over Lambda's 10240 MB")
        .stderr_has("`AWS_REGION` is reserved by Lambda")
        .stderr_has("bytes; Lambda takes 4096")
        .stderr_has("1 MB is not allowed")
        .stderr_has("`admin` is no role's ARN")
        .stderr_has("stack.yml:")
        .run();
}

#[test]
fn an_address_where_nobody_answers_fails_soon() {
    let started = Instant::now();
    with_keys(project("nobody", ""), "http://127.0.0.1:9")
        .args(["describe", "nobody-tax"])
        .status(1)
        .stderr_has("can't look up")
        .stderr_has("Connection refused")
        .run();
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
}

#[test]
fn the_same_project_gives_the_same_archive_wherever_it_lies() {
    let build = || {
        let done = project("zip", "").args(["build", "--output", "json"]).run();
        let artifact = done.json()[0]["artifact"].clone();
        let path = PathBuf::from(artifact["path"].as_str().unwrap());
        let bytes = std::fs::read(path).unwrap();
        (artifact["sha256"].as_str().unwrap().to_owned(), artifact["runtime"].as_str().unwrap().to_owned(), bytes)
    };
    let (one, other) = (build(), build());
    assert_eq!(one.1, "python3.13");
    assert!(one == other, "{} {}", one.0, other.0);
}

#[test]
fn an_archive_that_is_there_is_taken_and_a_changed_handler_makes_another() {
    let done = project("again", "").args(["build", "--output", "json"]).run();
    let first = done.json()[0].clone();
    assert_eq!(first["rebuilt"], true);
    let second = done.then().args(["build", "--output", "json"]).run().json()[0].clone();
    assert_eq!((&second["rebuilt"], &second["artifact"]), (&Value::Bool(false), &first["artifact"]));
    let third = done.then().file("tax/handler.py", "def handle(req):\n    return 1\n");
    let third = third.args(["build", "--output", "json"]).run().json()[0].clone();
    assert_ne!(third["artifact"]["sha256"], first["artifact"]["sha256"]);
}

#[test]
fn a_stack_as_a_template_of_sam() {
    let more = "    schedule: \"0 9 * * 1-5\"\n    url: public\n    secrets: [key]\n    timeout: 20s\n";
    let done = project("sam", more).arg("generate").run();
    for part in [
        "Transform: AWS::Serverless-2016-10-31",
        "CodeUri: build/sam-tax.zip",
        "ScheduleExpression: cron(0 9 ? * MON,TUE,WED,THU,FRI *)",
        "Timeout: 20",
        "parameter/faas/default/key",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    let archive = std::fs::read(done.dir().join("build/sam-tax.zip")).unwrap();
    assert!(archive.starts_with(b"PK"));
}

// ---- against the bed ----

/// Whether the bed is asked for; then moto runs.
fn bed() -> bool {
    static MOTO_RUNS: OnceLock<()> = OnceLock::new();
    if std::env::var("FAAS_TEST_LAMBDA").as_deref() != Ok("1") {
        eprintln!("skipped: FAAS_TEST_LAMBDA is not 1");
        return false;
    }
    MOTO_RUNS.get_or_init(|| {
        if TcpStream::connect(MOTO).is_ok() {
            // What a run before has left.
            request(MOTO, "/moto-api/reset", "").unwrap();
            return;
        }
        for arguments in [vec!["build"], vec!["moto", "5555"]] {
            let status = Command::new(here().join("testbed.sh")).args(&arguments).stdout(Stdio::null()).status();
            assert!(status.unwrap().success(), "testbed.sh {arguments:?}");
        }
        assert!(TcpStream::connect(MOTO).is_ok(), "moto does not listen on {MOTO}");
    });
    true
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beds/lambda")
}

/// The oracle of one test. Dropped at the end of the test, it must have seen no violation.
struct Oracle {
    child: Child,
    address: String,
    log: tempfile::TempDir,
}

impl Oracle {
    fn start(chaos: &str) -> Self {
        Self::start_at("127.0.0.1", chaos, "test")
    }

    /// On an address that containers reach, too, for calls that are signed with `secret`.
    fn start_at(host: &str, chaos: &str, secret: &str) -> Self {
        let cache = std::env::var("FAAS_TESTBED_CACHE")
            .unwrap_or_else(|_| format!("{}/.cache/faas-testbed", std::env::var("HOME").unwrap()));
        let address = TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().to_string();
        let log = tempfile::tempdir().unwrap();
        let child = Command::new(format!("{cache}/lambda/venv/bin/python"))
            .arg(here().join("lambda_oracle.py"))
            .args([
                "--listen",
                &address,
                "--upstream",
                &format!("http://{MOTO}"),
                "--chaos",
                chaos,
                "--secret",
                secret,
                "--out",
            ])
            .arg(log.path().join("requests"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < until, "the oracle does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, address, log }
    }

    /// The operations since the last time that this was asked.
    fn seen(&self) -> Vec<String> {
        let all = self.requests();
        let mark = self.log.path().join("mark");
        let from = std::fs::read_to_string(&mark).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        std::fs::write(&mark, all.len().to_string()).unwrap();
        all[from..].iter().map(|request| request["op"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn requests(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log.path().join("requests")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn project(&self, name: &str, more: &str) -> Test {
        with_keys(project(name, more), &format!("http://{}", self.address))
    }

    /// Ends it, and fails on anything it found wrong.
    fn check(&self) {
        let all = self.requests();
        let wrong: Vec<&Value> =
            all.iter().filter(|request| request["errors"].as_array().is_none_or(|e| !e.is_empty())).collect();
        assert!(!all.is_empty() && wrong.is_empty(), "the oracle found\n{wrong:#?}");
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unchanged(done: &Done, oracle: &Oracle) {
    oracle.seen();
    done.then().arg("up").stdout_has("unchanged").run();
    let mut seen = oracle.seen();
    seen.sort();
    assert_eq!(seen, ["GetAlias", "GetFunction"]);
}

fn remove(done: &Done, function: &str) {
    done.then().args(["remove", function]).run();
    done.then().args(["describe", function]).status(4).run();
}

#[test]
fn deploy_call_change_and_remove() {
    if !bed() {
        return;
    }
    // A new role that AWS does not know yet, a function in the making, changes under way, throttled calls.
    let oracle = Oracle::start("role=2,pending=2,inprogress=1,throttle=9");
    let done = oracle.project("life", "").arg("up").stdout_has("created").run();
    let seen = oracle.seen();
    assert!(seen.iter().filter(|op| *op == "CreateFunction").count() >= 3, "{seen:?}");
    for once in ["CreateRole", "CreateAlias"] {
        assert_eq!(seen.iter().filter(|op| *op == once).count(), 1, "{once}: {seen:?}");
    }
    let invoke = |test: Test| test.args(["invoke", "life-tax"]).stdin("{\"subtotal\": 100}");
    invoke(done.then()).stdout("asked for tax\n{\"tax\": 4.7}").run();

    // The code alone.
    let done = done.then().file("tax/handler.py", "def handle(req):\n    return 'second'\n").arg("up").run();
    let seen = oracle.seen();
    assert!(seen.contains(&"UpdateFunctionCode".into()), "{seen:?}");
    assert!(!seen.contains(&"UpdateFunctionConfiguration".into()), "{seen:?}");
    assert!(seen.contains(&"UpdateAlias".into()), "{seen:?}");
    invoke(done.then()).stdout("second").run();

    // The configuration alone.
    let more = "    environment: {RATE: \"7\"}\n    limits: {memory: 512Mi}\n    timeout: 90s\n    labels: {team: a b}\n    annotations: {topic: \"*\"}\n";
    let done = done.then().file("stack.yml", stack("life", more)).arg("up").run();
    let seen = oracle.seen();
    assert!(!seen.contains(&"UpdateFunctionCode".into()), "{seen:?}");
    assert!(seen.contains(&"UpdateFunctionConfiguration".into()), "{seen:?}");
    let described = done.then().args(["describe", "life-tax", "--output", "json"]).run().json();
    let described = described.as_array().map_or(described.clone(), |all| all[0].clone());
    assert_eq!(described["envVars"], serde_json::json!({"RATE": "7"}), "{described}");
    assert_eq!(described["limits"]["memory"], "512Mi");
    assert_eq!(described["labels"]["team"], "a b");
    assert_eq!(described["annotations"]["topic"], "*");
    done.then().arg("list").stdout_has("life-tax").run();

    oracle.seen();
    remove(&done, "life-tax");
    let seen = oracle.seen();
    assert!(seen.contains(&"DeleteFunction".into()) && seen.contains(&"DeleteRole".into()), "{seen:?}");
    oracle.check();
}

#[test]
fn what_does_not_change_costs_two_reads() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("still", "    annotations: {note: \"* * *\"}\n    labels: {a: b}\n").arg("up").run();
    unchanged(&done, &oracle);
    remove(&done, "still-tax");
    oracle.check();
}

#[test]
fn a_deploy_that_is_killed_goes_on_where_it_was() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("killed", "    url: public\n").args(["build"]).run();
    // After so many requests each time; the last one has fewer left to make.
    for requests in 1..12 {
        let before = oracle.requests().len();
        let test = done.then().file("tax/handler.py", format!("def handle(req):\n    return '{requests}'\n")).arg("up");
        let mut child = test.spawn();
        let until = Instant::now() + Duration::from_secs(60);
        while oracle.requests().len() < before + requests && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it makes no requests");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        done.then().arg("up").run();
        done.then().args(["invoke", "killed-tax"]).stdout(requests.to_string()).run();
        unchanged(&done, &oracle);
    }
    let described = done.then().args(["describe", "killed-tax", "--output", "json"]).run();
    assert!(described.stdout.contains("https://"), "{}", described.stdout);
    // Old versions were pruned; moto can't delete a function after that (it loses its ARN), so it stays.
    let pruned = oracle.requests().iter().filter(|request| request["op"] == "DeleteFunction").count();
    assert!(pruned >= 3, "{pruned} versions were pruned");
    oracle.check();
}

#[test]
fn a_public_url_has_both_permissions() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("url", "    url: public\n").arg("up").stdout_has("https://").run();
    let seen = oracle.seen();
    assert_eq!(seen.iter().filter(|op| *op == "AddPermission").count(), 2, "{seen:?}");
    unchanged(&done, &oracle);
    done.then().file("stack.yml", stack("url", "")).arg("up").run();
    let seen = oracle.seen();
    assert!(seen.contains(&"DeleteFunctionUrlConfig".into()), "{seen:?}");
    unchanged(&done, &oracle);
    remove(&done, "url-tax");
    oracle.check();
}

#[test]
fn calls_bring_back_what_the_function_says() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let echo = "def handle(event, context):\n    return {'statusCode': 201, 'headers': {'X-Path': event.path}, 'body': bytes(event.body)}\n";
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
    let done = project.args(["secret", "create", "api-key"]).stdin("s3cret").run();
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

/// The host's address in the engine's network.
fn bridge() -> String {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let output = Command::new("docker").args(["network", "inspect", "bridge", "-f", format]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if text.is_empty() { "172.17.0.1".into() } else { text }
}

#[test]
fn a_canary_gets_a_share_and_is_promoted_or_undone_by_one_call() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("inprogress=1");
    let done = oracle.project("canary", "").arg("up").run();
    let changed = done.then().file("tax/handler.py", "def handle(req):\n    return 'two'\n");
    let changed = changed.args(["up", "--canary", "10"]).run();
    let shares = |expected: &[(&str, u64)]| {
        let told = changed.then().args(["rollout", "status", "canary-tax", "--output", "json"]).run().json();
        let told: Vec<(String, u64)> = told
            .as_array()
            .unwrap()
            .iter()
            .map(|r| (r["name"].as_str().unwrap().to_owned(), r["share"].as_u64().unwrap()))
            .filter(|(_, share)| *share > 0)
            .collect();
        let expected: Vec<(String, u64)> = expected.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
        assert_eq!(told, expected);
    };
    shares(&[("2", 10), ("1", 90)]);
    unchanged(&changed, &oracle);
    changed.then().args(["rollout", "set", "canary-tax", "2=60", "1=40"]).run();
    shares(&[("2", 60), ("1", 40)]);
    changed.then().args(["rollout", "promote", "canary-tax", "--steps", "70,100", "--every", "1s"]).run();
    shares(&[("2", 100)]);
    oracle.seen();
    changed.then().args(["rollout", "undo", "canary-tax"]).run();
    assert_eq!(oracle.seen().iter().filter(|op| *op == "UpdateAlias").count(), 1);
    shares(&[("1", 100)]);
    let memory = stack("canary", "    limits: {memory: 512Mi}\n    environment: {A1: b}\n");
    oracle.seen();
    let plan =
        changed.then().file("stack.yml", memory).args(["plan", "--exit-code", "--output", "json"]).status(3).run();
    assert!(plan.stdout.contains("MemorySize") && plan.stdout.contains("Environment.Variables.A1"), "{}", plan.stdout);
    assert!(!plan.stdout.contains("\"Timeout\""), "{}", plan.stdout);
    assert!(oracle.seen().iter().all(|op| op.starts_with("Get")));
    remove(&changed, "canary-tax");
    oracle.check();
}

#[test]
fn schedules_queues_warm_instances_and_cors_come_and_go() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let queue = "arn:aws:sqs:us-east-1:123456789012:dead";
    let more = format!(
        "    url: public\n    schedule: \"*/5 9-17 * * 1-5\"\n    lambda:\n      timezone: Europe/Berlin\n      async: {{retries: 1, max_age: 300, on_failure: \"{queue}\"}}\n      dead_letter: \"{queue}\"\n      provisioned: 2\n      cors: {{origins: [\"https://example.com\"], methods: [GET], max_age: 60}}\n"
    );
    let done = oracle.project("extras", &more).arg("up").run();
    let seen = oracle.seen();
    for op in ["CreateSchedule", "PutFunctionEventInvokeConfig", "PutProvisionedConcurrencyConfig", "PutRolePolicy"] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    unchanged(&done, &oracle);
    done.then().arg("up").arg("--force").run();
    let seen = oracle.seen();
    assert!(!seen.contains(&"DeleteSchedule".into()), "{seen:?}");
    done.then().file("stack.yml", stack("extras", "")).arg("up").run();
    let seen = oracle.seen();
    for op in [
        "DeleteSchedule",
        "DeleteFunctionEventInvokeConfig",
        "DeleteProvisionedConcurrencyConfig",
        "DeleteRolePolicy",
        "DeleteFunctionUrlConfig",
    ] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    unchanged(&done, &oracle);
    remove(&done, "extras-tax");
    assert_eq!(oracle.seen().iter().filter(|op| *op == "DeleteRole").count(), 2);
    oracle.check();
}

#[test]
fn a_minute_without_an_answer_but_too_many_requests_is_sat_out() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("storm=20");
    let done = oracle.project("storm", "").arg("up").stdout_has("created").run();
    remove(&done, "storm-tax");
    oracle.check();
}

#[test]
fn a_namespace_is_the_start_of_the_name() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("ns", "").args(["up", "-n", "shop"]).run();
    done.then().args(["invoke", "ns-tax", "-n", "shop"]).stdin("{\"subtotal\": 10}").stdout_has("0.47").run();
    done.then().args(["list", "-n", "shop"]).stdout_has("ns-tax").run();
    assert!(!done.then().arg("list").run().stdout.contains("ns-tax"));
    done.then().args(["remove", "ns-tax", "-n", "shop"]).run();
    oracle.check();
}

const ECHO: &str = "import json, sys\n\n\ndef handle(event, context):\n    print('seen ' + event.path, file=sys.stderr)\n    return {'statusCode': 201, 'headers': {'Content-Type': 'text/plain'}, 'body': bytes(event.body)}\n";

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
fn an_archive_over_50_mb_goes_by_a_bucket_that_is_empty_again_after_it() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    // What can't be packed: 52 MB from a generator (xorshift).
    let mut state = 88_172_645_463_325_252_u64;
    let mut large = Vec::with_capacity(52 << 20);
    while large.len() < 52 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        large.extend_from_slice(&state.to_le_bytes());
    }
    let done = oracle.project("large", "").file("tax/model.bin", large).arg("up").stdout_has("created").run();
    let seen = oracle.seen();
    for op in ["CreateBucket", "PutObject", "DeleteObject"] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    unchanged(&done, &oracle);
    remove(&done, "large-tax");
    oracle.check();
}

#[test]
fn an_image_goes_to_the_accounts_registry_and_is_pinned() {
    if !bed() {
        return;
    }
    let Some(registry) = crate::support::bed("FAAS_REGISTRY") else { return };
    let oracle = Oracle::start("");
    let image = format!("{registry}/lambda-test/ecr-tax:1");
    let stack = format!(
        "provider: {{name: lambda, lambda: {{region: us-east-1, registry: \"{registry}\"}}}}\nname: ecr\nfunctions:\n  ecr-tax: {{lang: dockerfile, handler: ./tax, image: \"{image}\"}}\n"
    );
    let mut test = oracle.project("ecr", "").file("stack.yml", stack);
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        test = test.env("DOCKER_HOST", host);
    }
    let done = test.file("tax/Dockerfile", "FROM scratch\nCOPY handler.py /\n").arg("up").stdout_has("created").run();
    let seen = oracle.seen();
    for op in ["CreateRepository", "GetAuthorizationToken", "CreateFunction"] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    // moto tells another image than it was given.
    let pinned = format!("{registry}/lambda-test/ecr-tax@sha256:");
    let sent = |r: &Value| r["image"].as_str().is_some_and(|image| image.starts_with(&pinned));
    assert!(oracle.requests().iter().any(sent), "{:?}", oracle.requests());
    done.then().arg("push").stdout_has("ecr-tax").run();
    assert!(!oracle.seen().contains(&"CreateRepository".into()));
    remove(&done, "ecr-tax");
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

#[test]
fn an_archive_runs_under_awss_own_emulator() {
    if !bed() {
        return;
    }
    let done = project("rie", "").args(["build", "--output", "json"]).run();
    let path = done.json()[0]["artifact"]["path"].as_str().unwrap().to_owned();
    let task = done.dir().join("task");
    let unzip = "import os, sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nfor i in z.infolist():\n    os.chmod(z.extract(i, sys.argv[2]), i.external_attr >> 16)\n";
    let status = Command::new("python3").args(["-c", unzip, &path]).arg(&task).status().unwrap();
    assert!(status.success());
    let port = |listener: TcpListener| listener.local_addr().unwrap().to_string();
    let (front, api) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (front, api) = (port(front), port(api));
    let cache = std::env::var("FAAS_TESTBED_CACHE")
        .unwrap_or_else(|_| format!("{}/.cache/faas-testbed", std::env::var("HOME").unwrap()));
    let mut emulator = Command::new(format!("{cache}/lambda/rie"))
        .args(["--log-level", "error", "--runtime-interface-emulator-address", &front, "--runtime-api-address", &api])
        .arg(task.join("bootstrap"))
        .env("LAMBDA_TASK_ROOT", &task)
        .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "20")
        .current_dir(&task)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let event = r#"{"version":"2.0","rawPath":"/","rawQueryString":"","headers":{},"requestContext":{"http":{"method":"POST"}},"body":"{\"subtotal\": 100}","isBase64Encoded":false}"#;
    let until = Instant::now() + Duration::from_secs(60);
    let answer = loop {
        if let Ok(answer) = post(&front, event) {
            break answer;
        }
        assert!(Instant::now() < until, "the emulator does not answer");
        std::thread::sleep(Duration::from_millis(50));
    };
    let raw = post(&front, "{\"subtotal\": 200}");
    emulator.kill().unwrap();
    emulator.wait().unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!((&answer["statusCode"], &answer["body"]), (&200.into(), &"asked for tax\n{\"tax\": 4.7}".into()));
    assert_eq!(raw.unwrap(), "\"asked for tax\\n{\\\"tax\\\": 9.4}\"");
}

fn post(address: &str, body: &str) -> std::io::Result<String> {
    request(address, "/2015-03-31/functions/function/invocations", body)
}

fn request(address: &str, path: &str, body: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}
