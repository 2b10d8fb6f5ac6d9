//! The command line itself: values that look like flags, flags ahead of their command, and secrets, which no error tells.
use crate::support::Test;
use crate::support::server::{Server, answer};

/// A gateway that takes everything, and has nothing.
fn gateway() -> Server {
    Server::new(|asked| match asked.line.starts_with("GET /system/function/") {
        true => answer("404 Not Found", &[], ""),
        false => answer("200 OK", &[("Content-Type", "application/json")], "[]"),
    })
}

#[track_caller]
fn run_both(args: &[&str]) {
    for test in both(args) {
        test.run();
    }
}

fn both(args: &[&str]) -> [Test; 2] {
    [Test::new().args(args), Test::new().args(args).called("faas-cli")]
}

#[test]
fn the_word_after_a_flag_is_its_value_whatever_it_begins_with() {
    let server = gateway();
    let url = server.url.as_str();
    for args in [
        &["secret", "create", "k", "--from-literal", "-----BEGIN KEY-----", "-g", url][..],
        &["login", "-p", "-abc", "-g", url],
        &["login", "--password", "--SECRETPW", "-g", url],
        &["deploy", "--no-wait", "--image", "i:1", "--name", "n", "--fprocess", "-c", "--label", "-x=1", "-g", url],
        &["invoke", "n", "-H", "-X:1", "-g", url],
        &["invoke", "n", "--sign", "X-Sign", "--key", "-K", "-g", url],
    ] {
        run_both(args);
    }
    let bodies = |start: &str| {
        let asked = server.asked().into_iter().filter(|asked| asked.line.starts_with(start));
        asked.map(|asked| String::from_utf8(asked.body).unwrap()).collect::<Vec<_>>()
    };
    let sent = bodies("POST /system/secrets");
    assert!(sent.iter().all(|body| body.contains(r#""value":"-----BEGIN KEY-----""#)) && sent.len() == 2, "{sent:?}");
    let sent = bodies("PUT /system/functions");
    assert!(sent.iter().all(|body| body.contains(r#""envProcess":"-c""#) && body.contains(r#""-x":"1""#)), "{sent:?}");
    #[cfg(feature = "image")]
    for test in both(&["registry-login", "--server", "r.example", "--username", "u", "--password", "-Zx"]) {
        assert!(test.run().read("credentials/config.json").contains("dTotWng="));
    }
}

#[test]
fn no_error_of_the_command_line_tells_a_secret() {
    for args in [
        &["secret", "create", "k", "--from-litteral", "x", "-----BEGIN SECRET"][..],
        &["secret", "create", "k", "--fromliteral=SECRET"],
        &["login", "--SECRET"],
        &["login", "-p", "x", "--SECRET pw"],
    ] {
        for test in both(args).into_iter().chain([Test::new().args(args).args(["--output", "json"])]) {
            let code = test.command().output().expect("it ends");
            let said = String::from_utf8_lossy(&code.stderr);
            assert!(!code.status.success() && !said.contains("SECRET"), "{args:?}: {said}");
        }
    }
    // In our own name nothing is passed over, so that this is an error.
    for args in [&["login", "SECRET"][..], &["secret", "create", "k", "SECRET"]] {
        let done = Test::new().args(args).status(2).stderr_has("[left out]").run();
        assert!(!done.stderr.contains("SECRET"), "{}", done.stderr);
    }
    // What is no secret is named: a slip, and what is right.
    Test::new().args(["secret", "list", "--jsno"]).status(2).stderr_has("'--jsno'").stderr_has("'--json'").run();
    Test::new().args(["deploy", "--imaeg", "x"]).status(2).stderr_has("'--imaeg'").run();
}

#[test]
fn flags_may_stand_ahead_of_their_command() {
    let server = gateway();
    let url = server.url.as_str();
    for args in [
        &["-g", url, "list", "-q"][..],
        &["--gateway", url, "list", "-q"],
        &["--tls-no-verify", "-g", url, "ls"],
        &["secret", "-g", url, "list"],
        &["-g", url, "secret", "-n", "foo", "list"],
    ] {
        run_both(args);
    }
    let lines = server.lines();
    assert_eq!(lines.iter().filter(|line| *line == "GET /system/functions").count(), 6, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == "GET /system/secrets?namespace=foo").count(), 2, "{lines:?}");
    // What isn't a command's is told as ever.
    Test::new().args(["--nonsense", "list"]).status(2).run();
    Test::new().args(["--help", "list"]).stdout_has("Usage").run();
}

#[test]
fn none_at_a_time_is_refused() {
    for command in ["build", "deploy", "up", "push", "publish"] {
        for (test, code) in both(&[command, "--parallel", "0"]).into_iter().zip([2, 1]) {
            test.status(code).stderr_has("the --parallel flag must be greater than 0").run();
        }
    }
}

#[test]
fn a_stack_file_that_is_missing_is_told_once() {
    for (test, code) in both(&["up", "--watch"]).into_iter().zip([2, 1]) {
        let done = test.status(code).run();
        assert_eq!(done.stderr.matches("there is no stack.yaml").count(), 1, "{}", done.stderr);
    }
}

#[test]
fn hints_name_the_program_as_it_was_called() {
    let server = Server::always("401 Unauthorized", "text/plain", "no");
    let [ours, theirs] = both(&["list", "-g", &server.url]);
    ours.status(5).stderr_has("`faas login -g").run();
    theirs.status(1).stderr_has("`faas-cli login -g").run();
    let [ours, theirs] = both(&["login", "-g", &server.url, "-s"]);
    ours.status(2).run();
    theirs.status(1).run();
    let [ours, theirs] = both(&["secret", "seal", "none", "--from-literal", "a=b"]);
    ours.status(4).run();
    let done = theirs.status(1).run();
    assert!(!done.stderr.contains("`faas "), "{}", done.stderr);
}
