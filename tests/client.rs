//! What the commands send to a gateway, and what they make of its answers, on a server that remembers.

use std::process::Stdio;

use crate::support::Test;
use crate::support::server::{Server, answer};

const JSON: &str = "application/json";

fn gateway(json: &'static str) -> Server {
    Server::always("200 OK", JSON, json)
}

fn run(server: &Server, args: &[&str]) -> Test {
    Test::new().args(args).env("OPENFAAS_URL", &server.url)
}

#[test]
fn the_gateways_own_path_and_its_case_are_kept() {
    let server = gateway("[]");
    let base = format!("{}/Of", server.url);
    for args in [&["list", "-q"][..], &["namespace", "list", "-j"], &["secret", "list", "-j"], &["invoke", "Tax"]] {
        Test::new().args(args).args(["-g", &base]).run();
    }
    assert_eq!(
        server.lines(),
        ["GET /Of/system/functions", "GET /Of/system/namespaces", "GET /Of/system/secrets", "POST /Of/function/Tax"]
    );
}

#[test]
fn a_flag_beats_the_environment_even_with_the_default_address() {
    let (one, two) = (gateway("[]"), gateway("[]"));
    run(&one, &["list", "-q", "-g", &two.url]).run();
    assert_eq!((one.lines().len(), two.lines().len()), (0, 1));
}

#[test]
fn without_a_login_no_header_is_sent_and_a_token_beats_the_saved_one() {
    let server = gateway("[]");
    run(&server, &["list"]).run();
    let saved = format!("auths:\n- gateway: {}\n  auth: basic\n  token: YWRtaW46cHc=\n", server.url);
    let with_login = |args: &[&str]| {
        Test::new()
            .file("conf/config.yml", &saved)
            .layout(|dir| support_mode(&dir.join("conf/config.yml"), 0o600))
            .env("OPENFAAS_CONFIG", "conf")
            .env("OPENFAAS_URL", &server.url)
            .args(args)
            .run()
    };
    with_login(&["list"]);
    with_login(&["list", "-k", "abc"]);
    with_login(&["invoke", "tax"]);
    let sent: Vec<_> = server.asked().iter().map(|a| a.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [None, Some("Basic YWRtaW46cHc=".to_owned()), Some("Bearer abc".into()), None]);
}

fn support_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn login_keeps_what_the_gateway_accepts_and_logout_forgets_it() {
    let server = Server::new(|asked| match asked.header("authorization") {
        // admin:right
        Some("Basic YWRtaW46cmlnaHQ=") => answer("200 OK", &[("Content-Type", JSON)], "[]"),
        _ => answer("401 Unauthorized", &[], "invalid credentials"),
    });
    let first =
        run(&server, &["login", "-s"]).stdin("wrong\n").status(5).stderr_has("user or the password is wrong").run();
    let second = first.then().args(["login", "-s"]).stdin("right\n");
    let second =
        second.stdout(format!("credentials saved for admin {}\n", server.url)).stderr_has("not in the keyring").run();
    let listed = second.then().args(["list", "-q"]).stdout("").run();
    let gone = listed.then().args(["logout"]).stdout(format!("credentials removed for {}\n", server.url)).run();
    let again = gone.then().args(["logout"]).status(4).stderr_has("no login is kept").run();
    again.then().args(["list"]).status(5).run();
}

#[test]
fn login_needs_a_password_from_somewhere() {
    let server = gateway("[]");
    run(&server, &["login"]).status(2).stderr_has("no password is given").stderr_has("--password-stdin").run();
    run(&server, &["login", "-s"]).stdin("\n").status(2).stderr_has("the password is empty").run();
    run(&server, &["login", "-u", "a:b", "-p", "x"]).status(2).run();
    assert!(server.asked().is_empty());
}

#[test]
fn every_success_is_one() {
    for status in ["200 OK", "201 Created", "202 Accepted", "204 No Content"] {
        let server = Server::new(move |asked| match asked.line.starts_with("GET") {
            true => answer("200 OK", &[("Content-Type", JSON)], "[{\"name\":\"old\"}]"),
            false => answer(status, &[], ""),
        });
        run(&server, &["secret", "create", "new", "--from-literal", "v"]).stdout("Created secret new.\n").run();
        run(&server, &["secret", "update", "old", "--from-literal", "v"]).stdout("Updated secret old.\n").run();
        run(&server, &["secret", "remove", "old"]).stdout("Removed secret old.\n").run();
        run(&server, &["remove", "tax"]).stdout("Removed tax.\n").run();
        run(&server, &["namespace", "create", "dev"]).stdout("Created namespace dev.\n").run();
    }
}

#[test]
fn all_are_removed_and_the_worst_failure_is_the_exit_code() {
    let server = Server::new(|asked| match String::from_utf8_lossy(&asked.body) {
        body if body.contains("none") => answer("404 Not Found", &[], ""),
        body if body.contains("bad") => answer("500 Internal Server Error", &[], "disk full"),
        _ => answer("200 OK", &[], ""),
    });
    let done = run(&server, &["remove", "bad", "a", "none", "b"]).status(4).stdout("Removed a.\nRemoved b.\n").run();
    assert!(done.stderr.contains("2 of 4 functions failed"), "{}", done.stderr);
    assert!(done.stderr.contains("disk full") && done.stderr.contains("there is no function none"), "{}", done.stderr);
}

#[test]
fn secrets_go_as_bytes_and_text_is_trimmed() {
    let server = gateway("[]");
    let sent = |test: Test| {
        test.run();
        let last = server.asked().pop().expect("a request");
        serde_json::from_slice::<serde_json::Value>(&last.body).expect("JSON")
    };
    let create = |args: &[&str]| run(&server, &["secret", "create", "s"]).args(args);
    let body = sent(create(&["--from-file", "k"]).file("k", [0xff, 0x00, b'\n']));
    assert_eq!((body["rawValue"].as_str(), body.get("value")), (Some("/wAK"), None));
    let body = sent(create(&["--from-file", "k"]).file("k", " pw\n"));
    assert_eq!((body["value"].as_str(), body.get("rawValue")), (Some("pw"), None));
    assert_eq!(sent(create(&[]).stdin("pw\n"))["value"], "pw");
    assert_eq!(sent(create(&["--trim=false"]).stdin("pw\n"))["value"], "pw\n");
    assert_eq!(sent(create(&["-n", "dev", "--from-literal", "pw"]))["namespace"], "dev");
}

#[test]
fn a_secret_that_is_wrong_is_refused_before_anything_is_sent() {
    let server = gateway("[]");
    run(&server, &["secret", "create", "Bad_Name", "--from-literal", "v"]).status(2).stderr_has("`Bad_Name`").run();
    run(&server, &["secret", "create", "s", "--from-file", "none"]).status(4).stderr_has("there is no file none").run();
    run(&server, &["secret", "create", "s"]).stdin(" \n").status(2).stderr_has("value is empty").run();
    run(&server, &["secret", "create", "s", "--from-file", "big"])
        .file("big", vec![b'x'; (1 << 20) + 1])
        .status(2)
        .run();
    assert!(server.asked().is_empty(), "{:?}", server.lines());
}

#[test]
fn a_secret_that_exists_gets_the_new_value_unless_that_is_forbidden() {
    let server = gateway("[{\"name\":\"s\"}]");
    let create = ["secret", "create", "s", "--from-literal", "v"];
    for no in ["--no-replace", "--replace=false"] {
        run(&server, &create).arg(no).status(1).stderr_has("the secret s exists already").run();
    }
    assert_eq!(server.lines(), ["GET /system/secrets"; 2]);
    run(&server, &create).stdout("Updated secret s.\n").run();
    run(&server, &create).arg("--replace").stdout("Updated secret s.\n").run();
    run(&server, &["secret", "update", "t", "--from-literal", "v"]).status(4).stderr_has("there is no secret t").run();
}

#[test]
fn a_folder_of_secrets_is_applied() {
    let server = gateway("[{\"name\":\"there\"}]");
    run(&server, &["secret", "apply"])
        .file(".secrets/there", "1\n")
        .file(".secrets/new", "2\n")
        .file(".secrets/Bad_Name", "3\n")
        .status(2)
        .stdout("Created secret new.\nUpdated secret there.\n")
        .stderr_has("Bad_Name")
        .run();
    run(&server, &["secret", "apply"]).status(4).stderr_has("there is no folder .secrets").run();
}

#[test]
fn invoke_sends_method_headers_query_and_path() {
    let server = Server::always("200 OK", "application/octet-stream", "answer");
    run(&server, &["invoke", "tax", "-m", "put", "--path", "orders/7", "--query", "b=x y", "--query", "a=1&2"])
        .args(["-H", "X-One: 1", "-H", "X-One=2", "--content-type", JSON, "-n", "dev"])
        .stdin("{}")
        .stdout("answer")
        .stderr("")
        .run();
    let asked = server.asked().remove(0);
    assert_eq!(asked.line, "PUT /function/tax.dev/orders/7?a=1%262&b=x+y");
    assert_eq!((asked.header("content-type"), asked.body.as_slice()), (Some(JSON), "{}".as_bytes()));
    let ones: Vec<_> = asked.headers.iter().filter(|(n, _)| n == "x-one").map(|(_, v)| v.as_str()).collect();
    assert_eq!(ones, ["1", "2"]);
}

#[test]
fn invoke_refuses_what_makes_no_sense_before_it_calls() {
    let server = gateway("[]");
    for args in [
        &["-m", "FOO"][..],
        &["-H", "nothing"],
        &["--query", "nothing"],
        &["--sign", "X-Sig"],
        &["--timeout", "5"],
        &["--path", "/../../system/functions"],
        &["--path", "/a/%2e%2E/b"],
    ] {
        run(&server, &["invoke", "tax"]).args(args).status(2).stdout("").run();
    }
    assert!(server.asked().is_empty(), "{:?}", server.lines());
}

#[test]
fn a_failed_call_leaves_stdout_empty() {
    for (status, code) in [
        ("500 Internal Server Error", 1),
        ("404 Not Found", 4),
        ("401 Unauthorized", 5),
        ("504 Gateway Timeout", 124),
        ("307 Temporary Redirect", 1),
    ] {
        let server = Server::always(status, "text/plain", "its own words");
        run(&server, &["invoke", "tax"])
            .status(code)
            .stdout("")
            .stderr_has(format!("tax answered {status}: its own words"))
            .run();
    }
    let server =
        Server::always("404 Not Found", "text/plain", "error finding function tax.openfaas-fn: server returned");
    run(&server, &["invoke", "tax"]).status(4).stderr_has("there is no function tax").run();
}

#[test]
fn an_asynchronous_call_tells_its_id() {
    let server = Server::new(|_| answer("202 Accepted", &[("X-Call-Id", "c-1")], ""));
    run(&server, &["invoke", "tax", "-a"])
        .stdin("x")
        .stdout("")
        .stderr("Function submitted asynchronously.\nCall id: c-1\n")
        .run();
    assert_eq!(server.lines(), ["POST /async-function/tax"]);
    let done = run(&server, &["invoke", "tax", "--async", "--output", "json"]).run();
    assert_eq!(done.json()["call_id"], "c-1");
}

#[test]
fn the_signature_is_that_of_the_whole_body() {
    let server = gateway("[]");
    let signed = "sha256=406e4b43f87095aa86ca6299d25e875921fefa180f02043bb29bec5681c0c2d0";
    let test = run(&server, &["invoke", "tax", "--sign", "X-Hub-Signature", "--key", "k"]).stdin("hello");
    test.run();
    // The same from a file, which is read twice instead of being kept.
    let test = run(&server, &["invoke", "tax", "--sign", "X-Hub-Signature", "--key", "k"]).file("body", "hello");
    let body = std::fs::File::open(test.dir().join("body")).expect("body");
    assert!(test.command().stdin(body).stdout(Stdio::null()).status().expect("run").success());
    for asked in server.asked() {
        assert_eq!((asked.header("x-hub-signature"), asked.body.as_slice()), (Some(signed), "hello".as_bytes()));
    }
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_body_is_told_with_its_length_where_that_is_known() {
    let server = gateway("[]");
    let test = || run(&server, &["invoke", "tax"]).file("body", vec![b'x'; 300_000]);
    // A file, a short pipe, nothing, and more than is read at once.
    let file = test();
    let body = std::fs::File::open(file.dir().join("body")).expect("body");
    assert!(file.command().stdin(body).stdout(Stdio::null()).status().expect("run").success());
    test().stdin("short").run();
    let nothing = test().command().stdin(Stdio::null()).output().expect("run");
    assert!(nothing.stderr.is_empty(), "/dev/null was taken for a terminal: {nothing:?}");
    test().stdin(vec![b'x'; 1 << 20]).run();
    let sent: Vec<_> = server
        .asked()
        .iter()
        .map(|a| (a.header("content-length").map(str::to_owned), a.header("transfer-encoding").is_some(), a.body.len()))
        .collect();
    assert_eq!(
        sent,
        [
            (Some("300000".to_owned()), false, 300_000),
            (Some("5".into()), false, 5),
            (Some("0".into()), false, 0),
            (None, true, 1 << 20),
        ]
    );
}

#[test]
fn fault_a_body_is_sent_as_it_comes() {
    use std::io::{Read, Write};
    // Answers with what it gets, before the request has ended.
    let server = Server::with(|mut stream, _| {
        let mut seen = Vec::new();
        let mut piece = [0; 1024];
        while !seen.windows(5).any(|w| w == b"first") {
            match stream.read(&mut piece) {
                Ok(n) if n > 0 => seen.extend_from_slice(&piece[..n]),
                _ => return,
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ngot\r\n");
        while !seen.ends_with(b"0\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(n) if n > 0 => seen.extend_from_slice(&piece[..n]),
                _ => return,
            }
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    let test = run(&server, &["invoke", "tax"]);
    let mut child = test.spawn();
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(b"first").expect("write");
    let mut got = [0; 3];
    child.stdout.as_mut().expect("stdout").read_exact(&mut got).expect("the answer before the end of the body");
    assert_eq!(&got, b"got");
    drop(stdin);
    assert!(child.wait().expect("end").success());
}

#[test]
fn waiting_for_readiness_ends_with_124() {
    let server = gateway("{\"name\":\"tax\",\"replicas\":1}");
    run(&server, &["ready", "tax", "--attempts", "2", "--interval", "10ms"])
        .status(124)
        .stdout("")
        .stderr_has("[2/2] Waiting for function tax")
        .stderr_has("function tax is not ready after 2 attempts")
        .run();
}

#[test]
fn waiting_for_what_is_not_there_ends_with_4() {
    let server = Server::always("404 Not Found", "text/plain", "function not found");
    run(&server, &["ready", "tax", "--attempts", "2", "--interval", "10ms"])
        .status(4)
        .stderr_has("function tax is not ready after 2 attempts")
        .stderr_has("there is no function tax")
        .run();
}

#[test]
fn a_negative_number_of_replicas_is_told_before_anything_is_asked() {
    let server = gateway("{}");
    run(&server, &["scale", "tax", "-1"]).status(2).stderr_has("'-1'").stderr_has("a whole number, 0 or more").run();
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn a_number_of_replicas_that_the_platform_changes_is_told() {
    let server = gateway("{\"name\":\"tax\",\"replicas\":1}");
    run(&server, &["scale", "tax", "3"])
        .status(6)
        .stdout("")
        .stderr_has("3 replicas were asked for, the platform keeps 1")
        .run();
    let body: serde_json::Value = serde_json::from_slice(&server.asked()[0].body).expect("JSON");
    assert_eq!(body, serde_json::json!({"serviceName": "tax", "replicas": 3}));
}

#[test]
fn lists_are_sorted_as_asked() {
    let server = gateway(
        r#"[{"name":"b","image":"i","invocationCount":1,"createdAt":"2026-01-02T00:00:00Z"},
            {"name":"a","image":"i","invocationCount":9,"createdAt":"2026-01-03T00:00:00Z"},
            {"name":"c","image":"i","createdAt":"2026-01-01T00:00:00Z"}]"#,
    );
    for (key, order) in [("name", "a\nb\nc\n"), ("invocations", "a\nb\nc\n"), ("creation", "c\nb\na\n")] {
        run(&server, &["list", "-q", "--sort", key]).stdout(order).run();
    }
    let done = run(&server, &["list", "--output", "json"]).run();
    assert_eq!(done.json()[0]["invocationCount"], 9);
    run(&server, &["ls", "-vq"]).stdout("a\nb\nc\n").run();
}

#[test]
fn ready_is_what_answers_not_only_what_is_available() {
    let server = Server::new(|asked| match asked.line.starts_with("GET /system") {
        true => answer("200 OK", &[("Content-Type", JSON)], "{\"name\":\"tax\",\"availableReplicas\":1}"),
        false => answer("500 Internal Server Error", &[], "Can't reach service for: tax."),
    });
    run(&server, &["ready", "tax", "--attempts", "1"]).status(124).run();
    assert_eq!(server.lines(), ["GET /system/function/tax", "GET /function/tax/_/health"]);
}

#[test]
fn ctrl_c_ends_a_call_with_130() {
    let server = Server::with(|_stream, _| std::thread::sleep(std::time::Duration::from_secs(30)));
    let test = run(&server, &["invoke", "tax"]);
    // Its stdin stays open: a blocked read must not keep it from ending.
    let mut child = test.spawn();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let pid = rustix::process::Pid::from_child(&child);
    let code = loop {
        assert!(std::time::Instant::now() < end, "it goes on");
        std::thread::sleep(std::time::Duration::from_millis(300));
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupt");
        if let Some(status) = child.try_wait().expect("status") {
            break status.code();
        }
    };
    assert_eq!(code, Some(130));
}

#[test]
fn a_list_has_the_functions_that_are_asked_for_whatever_the_stack_file_has() {
    let server = gateway(r#"[{"name":"tax","image":"i"},{"name":"tax-eu","image":"i"},{"name":"post","image":"i"}]"#);
    let list = |args: &[&str]| run(&server, &["list"]).args(args.iter().copied());
    list(&["-q", "--filter", "ta*"]).stdout("tax\ntax-eu\n").run();
    list(&["-q", "--regex", "^(post|tax)$"]).stdout("post\ntax\n").run();
    list(&["-q", "--filter", "nix"]).stdout("").run();
    let table = list(&["--filter", "*eu"]).run().stdout;
    assert!(table.contains("tax-eu") && !table.contains("post"), "{table}");
    let json = list(&["--json", "--filter", "post"]).run().json();
    assert_eq!((json.as_array().map(Vec::len), &json[0]["name"]), (Some(1), &"post".into()));
    list(&["--regex", "("]).status(2).stderr_has("`(` is no regular expression").run();
    let stack = "provider: {name: openfaas}\nfunctions:\n  other: {lang: python3, handler: ./other, image: i}\n";
    list(&["-q", "--filter", "p*"]).file("stack.yml", stack).stdout("post\n").run();
    // As there, it is about the stack file.
    list(&["-q", "--filter", "p*"]).called("faas-cli").stdout("post\ntax\ntax-eu\n").run();
}

#[test]
fn no_secrets_are_a_note_and_no_table() {
    run(&gateway("[]"), &["secret", "list"]).stdout("").stderr("No secrets found.\n").run();
    run(&gateway("[]"), &["secret", "list", "--json"]).stdout("[]\n").run();
}
