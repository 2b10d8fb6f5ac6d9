//! The embedded platform at a prompt: the daemon's life, functions, calls, secrets, logs, who is let in.

use std::io::{BufRead, BufReader, Read};

use crate::support::Test;
use crate::support::platform::{Platform, is_alive};

#[test]
fn it_starts_once_says_where_it_is_and_stops() {
    let platform = Platform::start();
    platform.faas(["local", "start"]).stdout(format!("The embedded platform runs already on {}\n", platform.url)).run();
    platform.faas(["local", "status"]).stdout_has(&platform.url).stdout_has("Functions:  0\n").run();
    assert_eq!(platform.get("/healthz").status, 200);
    platform.faas(["local", "stop"]).stdout("Stopped the embedded platform\n").run();
    platform.faas(["local", "stop"]).stdout("The embedded platform does not run\n").run();
    platform.faas(["local", "status"]).status(4).stderr_has("`faas local start` starts it").run();
    platform.faas(["local", "logs"]).stdout_has("stopped\n").run();
}

#[test]
fn a_taken_port_is_told_with_who_has_it_and_how_to_choose_another() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    Test::new()
        .args(["local", "start", "--port", &port.to_string()])
        .status(1)
        .stderr_has(format!("port {port} is taken by "))
        .stderr_has(format!("(pid {})", std::process::id()))
        .stderr_has("`faas local start --port N`")
        .stderr_has("`provider.gateway`")
        .run();
}

#[test]
fn the_stack_file_says_where_it_listens() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stack = format!("provider:\n  name: local\n  gateway: http://{free}\nfunctions: {{}}\n");
    let started = Test::new()
        .file("stack.yml", stack)
        .args(["local", "start"])
        .stdout(format!("Started the embedded platform on http://{free}\n"))
        .run();
    let other = started.then().args(["local", "start", "--port", "1"]);
    other.status(1).stderr_has(format!("runs already, on http://{free}")).run();
    started.then().args(["local", "stop"]).run();
}

#[test]
fn without_it_no_other_gateway_is_taken_for_it() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stack = format!("provider:\n  name: local\n  gateway: http://{other}\nfunctions: {{}}\n");
    for command in ["list", "info"] {
        let test = Test::new().file("stack.yml", &stack).args([command]).status(4);
        test.stderr_has("the embedded platform does not run").stderr_has("`faas local start`").run();
    }
}

#[test]
fn localhost_is_the_platform_that_listens_there_and_another_address_is_not() {
    let platform = Platform::start();
    let port = platform.url.rsplit(':').next().expect("a port").to_owned();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{port}");
        platform.faas(["list", "-q", "-g", &url]).stdout("").stderr("").run();
        platform.faas(["list", "-q", "-g", &format!("{url}/")]).stderr("").run();
        platform.faas(["list", "-q"]).env("OPENFAAS_URL", &url).stderr("").run();
    }
    // The token goes to nothing else: another port, and another that listens at the other loopback address.
    let other = crate::support::server::Server::always("200 OK", "application/json", "[]");
    let elsewhere = other.url.replace("127.0.0.1", "localhost");
    platform.faas(["list", "-q", "-g", &elsewhere]).run();
    assert!(other.asked().iter().all(|asked| asked.header("authorization").is_none()), "{:?}", other.lines());
    let there = format!("http://[::1]:{port}");
    platform.faas(["list", "-q", "-g", &there]).status(1).stderr_has("cannot connect").run();
}

#[test]
fn a_function_is_deployed_called_described_scaled_and_removed() {
    let platform = Platform::start();
    assert_eq!(platform.deploy("echo", &platform.python("echo")).status, 200);
    let answer = platform.post("/function/echo/a/b?c=d", "hello");
    assert_eq!((answer.status, answer.text().as_str()), (200, "echo POST /a/b?c=d hello"));
    for header in ["x-call-id", "x-start-time", "x-served-by", "x-duration-seconds"] {
        assert!(answer.header(header).is_some(), "{header}");
    }
    let described = platform.admin("GET", "/system/function/echo", "").json();
    assert_eq!((&described["name"], &described["availableReplicas"]), (&"echo".into(), &1.into()));
    let scaled = platform.admin("POST", "/system/scale-function/echo", r#"{"serviceName":"echo","replicas":3}"#);
    assert_eq!(scaled.status, 200);
    platform
        .until("three replicas", || platform.admin("GET", "/system/functions", "").json()[0]["availableReplicas"] == 3);
    platform.admin("POST", "/system/scale-function/echo", r#"{"serviceName":"echo","replicas":0}"#);
    assert!(platform.admin("GET", "/system/function/echo", "").json().get("replicas").is_none());
    assert_eq!(platform.post("/function/echo", "woken").text(), "echo POST / woken");
    let metrics = platform.get("/metrics").text();
    assert!(metrics.contains(r#"gateway_function_invocation_total{code="200",function_name="echo.openfaas-fn"} 2"#));
    assert_eq!(platform.admin("DELETE", "/system/functions", r#"{"functionName":"echo"}"#).status, 200);
    assert_eq!(platform.post("/function/echo", "").status, 404);
}

#[test]
fn a_function_that_does_not_come_up_is_refused_with_its_last_words_and_the_old_one_stays() {
    let platform = Platform::start();
    let words = "import sys; sys.exit('no module named tax')";
    let refused = platform.deploy("tax", &platform.bundle("broken", &[("main.py", words)], "python3 main.py"));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("no module named tax"), "{}", refused.text());
    assert_eq!(platform.admin("GET", "/system/function/tax", "").status, 404);
    assert_eq!(platform.deploy("tax", &platform.python("good")).status, 200);
    let refused = platform.update("tax", &platform.bundle("broken2", &[("main.py", words)], "python3 main.py"));
    assert_eq!(refused.status, 400);
    assert_eq!(platform.post("/function/tax", "x").text(), "good POST / x");
    let missing = platform.update("tax", &platform.bundle("missing", &[], "no-such-program"));
    assert!(missing.text().contains("no-such-program: no such program"), "{}", missing.text());
}

#[test]
fn only_the_token_lets_in_and_only_under_its_own_name() {
    let platform = Platform::start();
    assert_eq!(platform.get("/system/functions").status, 401);
    let host = platform.request("GET", "/system/functions", &[("Host", "evil.example")], b"");
    assert_eq!(host.status, 403);
    assert!(host.text().contains("--allow-host evil.example"), "{}", host.text());
    let page = [("Origin", "http://evil.example"), ("Authorization", &platform.authorization)];
    assert_eq!(platform.request("GET", "/system/functions", &page, b"").status, 403);
    assert_eq!(platform.request("GET", "/function/none", &[("Host", "evil.example")], b"").status, 403);
    let token = std::path::Path::new(&platform.local).join("token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(token).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_function_sees_its_own_environment_and_nothing_of_the_platforms() {
    let platform = Platform::with(Test::new().env("DAEMONS_OWN", "secret").env("LANG", "C.UTF-8"), &[]);
    let mut deployment = Platform::deployment("echo", &platform.python("echo"));
    deployment["envVars"] = serde_json::json!({"A": "1", "LANG": "de"});
    deployment["envProcess"] = "python3 main.py echo".into();
    assert_eq!(platform.admin("POST", "/system/functions", &deployment.to_string()).status, 200);
    let environment = platform.get("/function/echo/env").text();
    for line in
        ["A=1", "LANG=de", "OPENFAAS_NAME=echo", "OPENFAAS_NAMESPACE=openfaas-fn", "fprocess=python3 main.py echo"]
    {
        assert!(environment.lines().any(|l| l == line), "{line} is not in\n{environment}");
    }
    assert!(!environment.contains("DAEMONS_OWN"), "{environment}");
    assert!(environment.contains("FAAS_SECRETS_DIR="), "{environment}");
}

#[test]
fn bodies_pass_through_whole_both_ways() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let answer = platform.request("POST", "/function/echo/raw", &[], &large);
    assert!(answer.body == large, "{} bytes came back", answer.body.len());
    assert_eq!(answer.header("content-length"), Some("5000000"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let kept = platform.request("POST", "/function/echo/status/418", &[("X-Call-Id", "mine")], b"");
    assert_eq!((kept.status, kept.header("x-call-id"), kept.header("x-label")), (418, Some("mine"), Some("echo")));
}

#[test]
fn a_new_value_of_a_secret_is_seen_by_the_running_function() {
    let platform = Platform::start();
    let mut deployment = Platform::deployment("echo", &platform.python("echo"));
    deployment["secrets"] = serde_json::json!(["api-key"]);
    let refused = platform.admin("POST", "/system/functions", &deployment.to_string());
    assert_eq!((refused.status, refused.text().as_str()), (400, "unable to find secret: api-key\n"));
    platform.admin("POST", "/system/secrets", r#"{"name":"api-key","value":"one"}"#);
    assert_eq!(platform.admin("POST", "/system/functions", &deployment.to_string()).status, 200);
    assert_eq!(platform.get("/function/echo/secret/api-key").text(), "one");
    let pid = platform.get("/function/echo/pid").text();
    platform.admin("PUT", "/system/secrets", r#"{"name":"api-key","rawValue":"dHdv"}"#);
    assert_eq!(platform.get("/function/echo/secret/api-key").text(), "two");
    assert_eq!(platform.get("/function/echo/pid").text(), pid, "the function was not restarted");
    let file = platform.local.join("secrets/openfaas-fn/api-key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_log_is_told_from_its_end_and_followed_until_the_platform_stops() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    for line in ["one", "two", "three"] {
        platform.get(&format!("/function/echo/log/{line}"));
    }
    let told = |query: &str| -> Vec<String> {
        let answer = platform.admin("GET", &format!("/system/logs?name=echo&{query}"), "");
        answer
            .text()
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["text"].to_string())
            .collect()
    };
    platform.until("the lines are kept", || told("tail=1") == ["\"three\""]);
    assert_eq!(told("tail=2"), ["\"two\"", "\"three\""]);
    let headers = [("Authorization", platform.authorization.as_str())];
    let socket = platform.send("GET", "/system/logs?name=echo&follow=true&tail=1", &headers, b"");
    let mut lines = BufReader::new(socket);
    let mut next = |wanted: &str| {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "ended before {wanted}");
        }
    };
    next("three");
    platform.get("/function/echo/log/four");
    next("four");
    platform.faas(["local", "stop"]).run();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the answer was cut: {rest}");
}

#[test]
fn no_call_is_lost_while_a_function_is_updated() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("v0"));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = std::collections::BTreeSet::new();
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let answer = platform.get("/function/echo/pause");
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        seen.insert(answer.text());
                    }
                    seen
                })
            })
            .collect();
        for version in ["v1", "v2", "v3"] {
            assert_eq!(platform.update("echo", &platform.python(version)).status, 200);
            // From here on nobody gets the old one.
            assert_eq!(platform.get("/function/echo/pause").text(), version);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for caller in callers {
            assert!(!caller.join().unwrap().is_empty());
        }
    });
}

#[test]
fn a_function_that_crashes_is_started_again() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    let before: u64 = platform.get("/function/echo/pid").text().parse().unwrap();
    let crashed = platform.get("/function/echo/crash");
    assert_eq!(crashed.status, 502, "{}", crashed.text());
    platform.until("the function answers again", || platform.get("/function/echo").status == 200);
    assert_ne!(platform.get("/function/echo/pid").text(), before.to_string());
    assert!(!is_alive(before));
}

#[test]
fn an_idle_function_sleeps_until_its_next_call_when_it_asks_for_that() {
    let platform = Platform::start();
    let mut deployment = Platform::deployment("echo", &platform.python("echo"));
    deployment["labels"] =
        serde_json::json!({"com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "100ms"});
    assert_eq!(platform.admin("POST", "/system/functions", &deployment.to_string()).status, 200);
    platform.deploy("other", &platform.python("other"));
    platform.until("it sleeps", || platform.admin("GET", "/system/function/echo", "").json().get("replicas").is_none());
    assert_eq!(platform.admin("GET", "/system/function/other", "").json()["availableReplicas"], 1);
    assert_eq!(platform.post("/function/echo", "woken").text(), "echo POST / woken");
}

#[test]
fn namespaces_part_functions_and_secrets() {
    let platform = Platform::start();
    let namespace = r#"{"name":"shop","labels":{"openfaas":"1"}}"#;
    assert_eq!(platform.admin("POST", "/system/namespace/", namespace).status, 201);
    let mut deployment = Platform::deployment("tax", &platform.python("shop"));
    deployment["namespace"] = "shop".into();
    assert_eq!(platform.admin("POST", "/system/functions", &deployment.to_string()).status, 200);
    platform.deploy("tax", &platform.python("default"));
    assert_eq!(platform.get("/function/tax.shop").text(), "shop GET / ");
    assert_eq!(platform.get("/function/tax").text(), "default GET / ");
    assert_eq!(platform.get("/function/tax.openfaas-fn").text(), "default GET / ");
    assert_eq!(platform.admin("DELETE", "/system/namespace/shop", namespace).status, 500);
    let remove = r#"{"functionName":"tax","namespace":"shop"}"#;
    assert_eq!(platform.admin("DELETE", "/system/functions", remove).status, 200);
    assert_eq!(platform.admin("DELETE", "/system/namespace/shop", namespace).status, 202);
    assert_eq!(platform.get("/function/tax").text(), "default GET / ");
}

#[test]
fn a_function_that_hangs_is_replaced_and_what_it_started_goes_with_it() {
    let platform = Platform::start();
    let mut deployment = Platform::deployment("echo", &platform.python("echo"));
    deployment["envVars"] = serde_json::json!({"exec_timeout": "1s", "max_inflight": "1"});
    assert_eq!(platform.admin("POST", "/system/functions", &deployment.to_string()).status, 200);
    let before: u64 = platform.get("/function/echo/pid").text().parse().unwrap();
    let daemonised: u64 = platform.get("/function/echo/daemonise").text().parse().unwrap();
    assert_eq!(platform.get("/function/echo/hang").status, 504);
    platform.until("another process answers", || {
        platform.get("/function/echo/pid").text().parse::<u64>().is_ok_and(|pid| pid != before)
    });
    assert!(!is_alive(before));
    assert!(is_alive(daemonised), "it left the group, and goes with the function");
    platform.admin("DELETE", "/system/functions", r#"{"functionName":"echo"}"#);
    platform.until("it is gone", || !is_alive(daemonised));
}

#[test]
fn a_forced_deploy_starts_new_processes() {
    let platform = Platform::start();
    let mut bundle = platform.python("echo");
    platform.deploy("echo", &bundle);
    let pid = || platform.get("/function/echo/pid").text();
    let before = pid();
    assert_eq!(platform.update("echo", &bundle).status, 200);
    assert_eq!(pid(), before, "nothing changed");
    bundle["orders"] = serde_json::json!({"restart": true});
    assert_eq!(platform.update("echo", &bundle).status, 200);
    assert_ne!(pid(), before);
    let forced = pid();
    bundle.as_object_mut().unwrap().remove("orders");
    assert_eq!(platform.update("echo", &bundle).status, 200);
    assert_eq!(pid(), forced, "the order is not kept");
}

#[test]
fn the_process_of_the_stack_file_beats_the_templates() {
    let platform = Platform::start();
    let mut deployment = Platform::deployment("echo", &platform.python("template"));
    deployment["envProcess"] = "python3 main.py 'stack file'".into();
    assert_eq!(platform.admin("POST", "/system/functions", &deployment.to_string()).status, 200);
    assert_eq!(platform.post("/function/echo", "x").text(), "stack file POST / x");
}

#[test]
fn up_and_force_and_timeout_count_on_the_embedded_platform() {
    let platform = Platform::start();
    let handler = "import os\ndef handle(req):\n    return str(os.getpid())\n";
    platform.faas(["new", "tax", "--lang", "python3"]).run();
    std::fs::write(platform.dir().join("tax/handler.py"), handler).unwrap();
    platform.faas(["up"]).run();
    let pid = || platform.post("/function/tax", "").text();
    let before = pid();
    platform.faas(["deploy"]).run();
    assert_eq!(pid(), before);
    platform.faas(["deploy", "--force"]).run();
    assert_ne!(pid(), before);
    let slow = format!("import time\ntime.sleep(600)\n{handler}");
    std::fs::write(platform.dir().join("tax/handler.py"), slow).unwrap();
    let began = std::time::Instant::now();
    platform.faas(["up", "--timeout", "3s"]).status(124).stderr_has("not ready").run();
    assert!(began.elapsed() < std::time::Duration::from_secs(40), "{:?}", began.elapsed());
}

#[test]
fn a_broken_state_file_is_written_again() {
    let platform = Platform::start();
    let state = platform.local.join("running.json");
    let told = std::fs::read(&state).unwrap();
    std::fs::write(&state, "{").unwrap();
    platform.until("it is whole again", || std::fs::read(&state).is_ok_and(|now| now == told));
    platform.faas(["local", "status"]).stdout_has(&platform.url).run();
    platform.faas(["local", "stop"]).run();
    std::fs::write(platform.local.join("state.redb"), "no database").unwrap();
    let start = platform.faas(["local", "start", "--port", "0"]).status(1);
    start.stderr_has("can't open the database").stderr_has("move it away").run();
}

#[test]
fn a_stopped_daemon_is_told_at_once() {
    let platform = Platform::start();
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(platform.local.join("running.json")).unwrap()).unwrap();
    let pid = state["pid"].to_string();
    assert!(std::process::Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    for command in [&["local", "status"][..], &["list", "--gateway", &platform.url]] {
        let mut test = platform.faas([]);
        test = test.args(command.iter().copied()).status(1);
        test.stderr_has(format!("(pid {pid}) is stopped")).stderr_has("kill -CONT").run();
    }
    platform.faas(["local", "stop"]).stdout("Stopped the embedded platform\n").run();
}

#[test]
fn an_image_is_refused_with_the_way_out() {
    let platform = Platform::start();
    let refused = platform.admin("POST", "/system/functions", r#"{"service":"tax","image":"shop/tax:1"}"#);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("`faas up` with provider `local`"), "{}", refused.text());
}
