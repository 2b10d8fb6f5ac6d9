//! Gateways as they are met: rights to write and none to read, `null` for nothing, proxies that answer for a function that
//! is not up yet.
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Test;
use crate::support::server::{Asked, Server, answer};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn run(server: &Server, args: &[&str]) -> Test {
    Test::new().args(args).args(["-g", &server.url])
}

/// Lets nobody read.
fn write_only(status: &'static str, written: &'static str) -> Server {
    Server::new(move |asked| match asked.line.starts_with("GET /system") {
        true => answer(status, &[], "no"),
        false => answer(written, &[], ""),
    })
}

#[test]
fn who_may_write_secrets_and_not_list_them_can_write_them() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let server = write_only(status, "200 OK");
        let create = ["secret", "create", "k", "--from-literal", "v"];
        run(&server, &create).stdout("Created secret k.\n").run();
        run(&server, &create).called("faas-cli").stdout("Creating secret: k.\nCreated: 200 OK\n").run();
        run(&server, &["secret", "update", "k", "--from-literal", "v"]).stdout("Updated secret k.\n").run();
        // To keep from overwriting one, it must be known whether there is one.
        run(&server, &create).arg("--no-replace").status(5).stderr_has("can't list the secrets").run();
        let writes: Vec<_> = server.lines().into_iter().filter(|line| !line.starts_with("GET")).collect();
        assert_eq!(writes, ["POST /system/secrets", "POST /system/secrets", "PUT /system/secrets"]);
    }
    // What is refused is a failure.
    let server = write_only("403 Forbidden", "403 Forbidden");
    run(&server, &["secret", "create", "k", "--from-literal", "v"]).status(5).stderr_has("can't create").run();
}

#[test]
fn null_is_nothing() {
    let row = r#"{"name":"tax","image":null,"namespace":null,"labels":null,"annotations":{"a":null},"envVars":null,
        "secrets":[null,"s"],"constraints":null,"replicas":null,"invocationCount":null,"readOnlyRootFilesystem":null}"#;
    let server = Server::new(move |asked| match asked.line.split('?').next().unwrap_or_default() {
        "GET /system/function/tax" => answer("200 OK", JSON, row),
        "GET /system/functions" => answer("200 OK", JSON, &format!("[{row},null]")),
        _ => answer("200 OK", JSON, "null"),
    });
    run(&server, &["list", "-q"]).stdout("tax\n").run();
    run(&server, &["describe", "tax"]).stdout_has("tax").stdout_has("Not Ready").run();
    run(&server, &["secret", "list"]).stdout("").run();
    run(&server, &["namespace", "list"]).run();
    let none = Server::always("200 OK", "application/json", "null");
    run(&none, &["list", "-q"]).stdout("").run();
    run(&none, &["list"]).called("faas-cli").run();
}

#[test]
fn replicas_that_are_up_and_not_told_are_none() {
    let row = r#"{"name":"tax","image":"i","replicas":1}"#;
    let server = Server::new(move |asked| match asked.line.starts_with("GET /system/functions") {
        true => answer("200 OK", JSON, &format!("[{row}]")),
        false => answer("200 OK", JSON, row),
    });
    run(&server, &["describe", "tax"]).stdout_has("Not Ready").run();
    let done = run(&server, &["describe", "tax"]).called("faas-cli").run();
    assert!(done.stdout.contains("Not Ready") && done.stdout.contains("Available Replicas: 0"), "{}", done.stdout);
}

/// A gateway on which `tax` runs, and whose way to it answers the first `times` calls with this.
fn behind_a_proxy(status: &'static str, page: &'static str, times: usize) -> Server {
    let calls = AtomicUsize::new(0);
    let up = r#"{"name":"tax","image":"i","replicas":1,"availableReplicas":1}"#;
    Server::new(move |asked: &Asked| match asked.line.split(' ').nth(1).unwrap_or_default() {
        path if path.starts_with("/function/") => match calls.fetch_add(1, Ordering::SeqCst) < times {
            true => answer(status, &[("Content-Type", "text/html")], page),
            false => answer("200 OK", &[], ""),
        },
        path if path.starts_with("/system/function/") => answer("200 OK", JSON, up),
        path if path.starts_with("/system/functions") => answer("202 Accepted", &[], ""),
        _ => answer("200 OK", JSON, "[]"),
    })
}

#[test]
fn a_proxys_page_is_no_answer_of_the_function() {
    let deploy = ["deploy", "--name", "tax", "--image", "i:1"];
    for (status, page) in [
        ("502 Bad Gateway", "<html><h1>502 Bad Gateway</h1>nginx</html>"),
        ("503 Service Unavailable", "starting"),
        ("504 Gateway Timeout", "upstream"),
    ] {
        let server = behind_a_proxy(status, page, 3);
        let done = run(&server, &deploy).args(["--timeout", "20s"]).run();
        assert!(!done.stderr.contains("does not answer"), "{}", done.stderr);
        let calls = server.lines().iter().filter(|line| line.contains("/function/tax/_/health")).count();
        assert_eq!(calls, 4, "{status}");
        let server = behind_a_proxy(status, page, usize::MAX);
        let given_up = run(&server, &deploy).args(["--timeout", "200ms"]);
        given_up.stderr_has(format!("is deployed, but answers {status} after 200ms")).run();
        run(&server, &["ready", "tax", "--attempts", "1"]).status(124).run();
    }
    // A function's own failure is an answer.
    let server = behind_a_proxy("500 Internal Server Error", "my bug", usize::MAX);
    run(&server, &deploy).args(["--timeout", "20s"]).run();
}

#[test]
fn who_asks_to_be_left_alone_for_long_is_and_shorter_waits_are_told() {
    let busy = |after: &str| answer("429 Too Many Requests", &[("Retry-After", after)], "slow down");
    let long = busy("3600");
    let server = Server::new(move |_| long.clone());
    run(&server, &["list"]).status(1).stderr_has("429 Too Many Requests").stderr_has("left alone for 1h").run();
    assert_eq!(server.lines().len(), 1);
    let (asked, short) = (AtomicUsize::new(0), busy("1"));
    let server = Server::new(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => short.clone(),
        _ => answer("200 OK", JSON, "[]"),
    });
    run(&server, &["list"]).stderr_has("the gateway is busy; it is asked again in 1s\n").run();
}

/// A gateway that sends calls on to another.
fn sends_on(to: &Server, status: &'static str) -> Server {
    let to = to.url.clone();
    Server::new(move |asked| {
        let path = asked.line.split(' ').nth(1).unwrap_or_default();
        answer(status, &[("Location", &format!("{to}{path}"))], "")
    })
}

#[test]
fn a_redirect_that_keeps_the_body_gets_it_and_no_login_goes_along() {
    for status in ["307 Temporary Redirect", "308 Permanent Redirect"] {
        let other = Server::new(|asked| answer("200 OK", &[], &String::from_utf8_lossy(&asked.body)));
        let server = sends_on(&other, status);
        let invoke = ["invoke", "tax", "-H", "Authorization: Bearer x", "-H", "Cookie: a=b", "-H", "X-Mine: 1"];
        run(&server, &invoke).stdin("hello").stdout("hello").run();
        let asked = other.asked().pop().expect("a call");
        assert_eq!((asked.header("authorization"), asked.header("cookie")), (None, None));
        assert_eq!((asked.line.as_str(), asked.header("x-mine")), ("POST /function/tax", Some("1")));
        // Too large to be kept.
        let big = run(&server, &["invoke", "tax"]).stdin(vec![b'x'; 3 << 20]).status(1);
        big.stderr_has(format!("redirects to {}/function/tax", other.url)).stderr_has("can't be sent again").run();
    }
    let itself = Server::new(|asked| match asked.line.contains("again") {
        true => answer("200 OK", &[], asked.header("authorization").unwrap_or("none")),
        false => answer("307 Temporary Redirect", &[("Location", "/function/again")], ""),
    });
    let kept = run(&itself, &["invoke", "tax", "-H", "Authorization: Bearer x"]).stdin("hello");
    kept.stdout("Bearer x").run();
}

#[test]
fn who_may_deploy_and_not_look_can_deploy() {
    for more in [&["--no-wait"][..], &["--timeout", "20s"], &["--secret", "key", "--timeout", "20s"]] {
        let server = write_only("403 Forbidden", "200 OK");
        let deploy = ["deploy", "--name", "tax", "--image", "i:1"];
        run(&server, &deploy).args(more).stdout_has("tax").run();
        run(&server, &deploy).args(more).called("faas-cli").stdout_has("Deployed. 200 OK.").run();
        let puts = server.lines().iter().filter(|line| *line == "PUT /system/functions").count();
        assert_eq!(puts, 2, "{:?}", server.lines());
    }
    // A login that is none is told before anything is sent.
    let server = write_only("401 Unauthorized", "401 Unauthorized");
    run(&server, &["deploy", "--name", "tax", "--image", "i:1"]).status(5).stderr_has("wants a login").run();
    assert!(server.lines().iter().all(|line| line.starts_with("GET")), "{:?}", server.lines());
}

/// A registry that answers every question about an image so.
#[cfg(feature = "image")]
fn registry(status: &'static str) -> Server {
    Server::new(move |asked| match asked.line.ends_with(" /v2/") {
        true => answer("200 OK", &[], "{}"),
        false if status.starts_with("404") => {
            answer(status, JSON, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
        }
        false => answer(status, &[], ""),
    })
}

#[cfg(feature = "image")]
#[test]
fn a_function_is_not_given_up_for_an_image_that_is_not_there() {
    let gateway = |there: bool| {
        Server::new(move |asked| match asked.line.split(' ').next() {
            Some("GET") if there => answer("200 OK", JSON, r#"{"name":"tax","image":"i:1","replicas":1}"#),
            Some("GET") => answer("404 Not Found", &[], ""),
            _ => answer("202 Accepted", &[], ""),
        })
    };
    let deploy = |there: bool, registry: &str, more: &[&str]| {
        let server = gateway(there);
        let image = format!("{}/tax:none", registry.trim_start_matches("http://"));
        let test = run(&server, &["deploy", "--no-wait", "--name", "tax", "--image", &image]).args(more);
        let done = test.command().output().expect("it ends");
        let changed = server.lines().iter().any(|line| !line.starts_with("GET"));
        (done.status.code(), changed, String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let missing = registry("404 Not Found");
    let (code, changed, said) = deploy(true, &missing.url, &[]);
    assert!(code == Some(1) && !changed, "{said}");
    assert!(said.contains("is not in its registry; the function is left as it is"), "{said}");
    // One that is new has nothing to lose, and one that is to be replaced is given up anyway.
    assert_eq!(deploy(false, &missing.url, &[]).0, Some(0));
    assert_eq!(deploy(true, &missing.url, &["--replace"]).0, Some(0));
    // What isn't known here may be known there.
    for status in ["401 Unauthorized", "403 Forbidden", "500 Internal Server Error"] {
        let (code, changed, said) = deploy(true, &registry(status).url, &[]);
        assert!(code == Some(0) && changed, "{status}: {said}");
    }
    let (code, changed, said) = deploy(true, "127.0.0.1:1", &[]);
    assert!(code == Some(0) && changed, "{said}");
}

#[test]
fn a_gateway_that_refuses_everybody_is_not_ready() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let server = Server::always(status, "text/plain", "no");
        run(&server, &["ready", "--attempts", "1"]).status(124).stderr_has(status).run();
        run(&server, &["ready", "--attempts", "1"]).called("faas-cli").status(1).run();
    }
    // One that wants a login from who does something is.
    let server = Server::new(|asked| match asked.line.as_str() {
        "GET /healthz" => answer("200 OK", &[], ""),
        _ => answer("401 Unauthorized", &[], ""),
    });
    run(&server, &["ready", "--attempts", "1"]).stdout("The platform is ready\n").run();
}

#[test]
fn a_namespace_that_is_updated_and_refused_for_the_event_is_updated() {
    let server = |label: &'static str| {
        Server::new(move |asked| match asked.line.split(' ').next() {
            Some("GET") => answer("200 OK", JSON, &format!(r#"{{"name":"dev","labels":{{"team":"{label}"}}}}"#)),
            _ => answer("500 Internal Server Error", &[], "failed publishing event: namespace/update"),
        })
    };
    let update = ["namespace", "update", "dev", "--label", "team=a"];
    run(&server("a"), &update).run();
    run(&server("b"), &update).status(1).stderr_has("can't update the namespace dev").run();
}
