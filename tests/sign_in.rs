//! Sign-in at a real OpenID provider, and credential helpers.
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support::oidc::{Bed, sign_in};
use crate::support::server::{Server, answer};
use crate::support::{Done, Test};

/// Runs the command, and signs in at the address that it names; what it left, and the browser's last page.
fn with_browser(test: Test) -> (Output, String) {
    let mut child = test.spawn();
    drop(child.stdin.take());
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
    let mut said = String::new();
    let url = loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).expect("stderr") > 0, "it ended, and said: {said}");
        said += &line;
        if let Some(found) = line.trim().strip_prefix("Sign in at ") {
            break found.to_owned();
        }
    };
    let url = match url.split_once(" and enter the code ") {
        Some((url, code)) => format!("{url}?user_code={code}"),
        None => url,
    };
    let page = sign_in(&url);
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).expect("stderr");
        rest
    });
    let mut output = child.wait_with_output().expect("it ends");
    output.stderr = (said + &rest.join().expect("stderr")).into_bytes();
    (output, page)
}

fn config(done: &Done) -> String {
    std::fs::read_to_string(done.home().join(".openfaas/config.yml")).expect("config.yml")
}

fn token_of(config: &str) -> &str {
    config.lines().find_map(|line| line.trim().strip_prefix("token: ")).expect("a token")
}

fn auth(bed: &Bed, more: &[&str]) -> Test {
    Test::new().args(["auth", "-g", &bed.gateway, "--authority", &bed.provider]).args(more.iter().copied())
}

#[test]
fn client_credentials_are_exchanged_kept_and_renewed() {
    // Too short for the token to be good for another command without a new one.
    let Some(bed) = Bed::start(&[("TTL", "20")]) else { return };
    let done = auth(&bed, &["--client-id", "ci", "--grant", "client_credentials"])
        .env("FAAS_CLIENT_SECRET", "c/i: secret")
        .stdout(format!("credentials saved for {}\n", bed.gateway))
        .run();
    assert!(!done.stderr.contains("secret"), "{}", done.stderr);
    let first = config(&done);
    let mode = std::fs::metadata(done.home().join(".openfaas/config.yml")).expect("it").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(first.contains("auth: oauth2"), "faas-cli reads it: {first}");
    done.then().args(["list", "-q", "-g", &bed.gateway]).stdout("seen-by-ci\n").run();
    assert_ne!(token_of(&config(&done)), token_of(&first), "it was renewed");
    // With the settings of last time.
    done.then().args(["auth", "-g", &bed.gateway, "--grant", "client_credentials"]).run();
    done.then().args(["logout", "-g", &bed.gateway]).run();
    assert!(!config(&done).contains("secret"), "nothing of it stays");
    done.then().args(["list", "-g", &bed.gateway]).status(5).run();
}

#[test]
fn a_token_that_ends_within_a_command_is_renewed() {
    let Some(bed) = Bed::start(&[("TTL", "4"), ("READY_AFTER", "9")]) else { return };
    let done = auth(&bed, &["--client-id", "ci", "--grant", "client_credentials"])
        .env("FAAS_CLIENT_SECRET", "c/i: secret")
        .run();
    let first = config(&done);
    let args = ["ready", "tax", "-g", &bed.gateway, "--attempts", "60", "--interval", "500ms"];
    done.then().args(args).stdout_has("is ready").run();
    assert_ne!(token_of(&config(&done)), token_of(&first), "what was renewed is kept");
}

#[test]
fn a_browser_on_this_machine_signs_in() {
    let Some(bed) = Bed::start(&[("TTL", "20")]) else { return };
    let test = Test::new();
    let args = ["auth", "-g", &bed.gateway, "--authority", &bed.provider, "--client-id", "cli", "--listen-port", "0"];
    let (output, page) = with_browser(Test::clone_place(&test).args(args));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(page.contains("You are signed in"), "{page}");
    assert!(stderr.contains("code_challenge_method=S256"), "{stderr}");
    let list = || Test::clone_place(&test).args(["list", "-q", "-g", &bed.gateway]).stdout("seen-by-me\n").run();
    let first = config(&list());
    // Each refresh token counts once: two commands at a time must not take it twice.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(list);
        }
    });
    assert_ne!(token_of(&config(&list())), token_of(&first));
}

#[test]
fn a_browser_anywhere_signs_in_by_a_code() {
    let Some(bed) = Bed::start(&[]) else { return };
    let (output, page) = with_browser(
        Test::new()
            .called("faas-cli")
            .args(["pro", "auth", "-g", &bed.gateway, "--authority", &bed.provider, "--client-id", "cli"])
            .args(["--grant=device_code", "--launch-browser=false", "--print-token", "--pretty"]),
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(page.contains("Sign-in Success"), "{page}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((said["iss"].as_str(), said["of"].as_str()), (Some("gateway"), Some("me")), "the gateway's token");
}

#[test]
fn a_gateway_that_exchanges_no_tokens_gets_the_providers_own() {
    let Some(bed) = Bed::start(&[("EXCHANGE", "no")]) else { return };
    let secret = "c/i: secret\n";
    let done = auth(&bed, &["--client-id", "ci", "--grant", "client_credentials", "--client-secret-file", "-"])
        .stdin(secret)
        .stderr_has("exchanges no tokens")
        .run();
    done.then().args(["list", "-q", "-g", &bed.gateway]).stdout("seen-by-ci\n").run();
    // A token that a CI system gives is taken as it is.
    let printed = done
        .then()
        .args(["auth", "-g", &bed.gateway, "--grant", "client_credentials", "--no-exchange", "--print-token"])
        .run();
    Test::new()
        .file("token.jwt", &printed.stdout)
        .args(["auth", "-g", &bed.gateway, "--token-file", "token.jwt", "--output", "json"])
        .stdout_has("\"renews\": false")
        .run()
        .then()
        .args(["list", "-q", "-g", &bed.gateway])
        .stdout("seen-by-ci\n")
        .run();
}

#[test]
fn what_a_provider_or_gateway_refuses_is_said_and_not_kept() {
    let Some(bed) = Bed::start(&[]) else { return };
    let refused = |more: &[&str], says: &str| {
        let done = auth(&bed, more).env("FAAS_CLIENT_SECRET", "wrong-one").status(5).stderr_has(says).run();
        assert!(!done.stderr.contains("wrong-one"), "{}", done.stderr);
        assert!(!done.home().join(".openfaas/config.yml").exists());
    };
    refused(&["--client-id", "ci", "--grant", "client_credentials"], "invalid_client");
    refused(&["--client-id", "cli", "--grant", "client_credentials"], "gives no token");
    let forged = Test::new().file("t", "e30.e30.e30").args(["auth", "-g", &bed.gateway, "--token-file", "t"]);
    forged.status(5).stderr_has("the gateway does not take the token").run();
    Test::new()
        .args(["auth", "-g", &bed.gateway, "--authority", &bed.gateway, "--client-id", "x"])
        .status(1)
        .stderr_has("it answers 404 Not Found")
        .stderr_has("--authority is what comes before")
        .run();
    Test::new()
        .args(["auth", "-g", &bed.gateway, "--authority", "http://id.example.com", "--client-id", "x"])
        .status(2)
        .stderr_has("is not encrypted")
        .run();
    Test::new().args(["auth", "-g", &bed.gateway]).status(2).stderr_has("name it by --authority").run();
}

#[test]
fn a_stranger_in_the_browser_ends_nothing() {
    let Some(bed) = Bed::start(&[]) else { return };
    let test = auth(&bed, &["--client-id", "cli", "--listen-port", "0", "--timeout", "2s", "--quiet"]).status(124);
    let mut child = test.spawn();
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a line, also when it is to be quiet");
    let url = url::Url::parse(line.trim().strip_prefix("Sign in at ").expect("an address")).expect("a URL");
    let back = url.query_pairs().find(|(name, _)| name == "redirect_uri").expect("where to go").1.into_owned();
    for wrong in ["?code=stolen&state=guessed", "?code=stolen", "/x"] {
        let page = std::process::Command::new("curl").args(["-s", &format!("{back}{wrong}")]).output().expect("curl");
        assert!(!String::from_utf8_lossy(&page.stdout).contains("signed in"), "{wrong}");
    }
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("stderr");
    assert_eq!(child.wait().expect("it ends").code(), Some(124), "{rest}");
    assert!(rest.contains("nobody signed in"), "{rest}");
}

/// A helper that keeps logins in a folder, as docker-credential-pass does, and writes down its arguments.
const HELPER: &str = r#"#!/usr/bin/env python3
import json, os, sys
place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kept.json")
open(place + ".args", "a").write(" ".join(sys.argv[1:]) + "\n")
kept = json.load(open(place)) if os.path.exists(place) else {}
verb, said = sys.argv[1], sys.stdin.read()
if verb == "store":
    said = json.loads(said)
    kept[said["ServerURL"]] = said
elif said not in kept:
    print("credentials not found in native keychain")
    sys.exit(1)
elif verb == "get":
    print(json.dumps(kept[said]))
else:
    del kept[said]
json.dump(kept, open(place, "w"))
"#;

fn gateway() -> Server {
    Server::new(|asked| match asked.header("authorization") {
        // admin:right
        Some("Basic YWRtaW46cmlnaHQ=" | "Bearer of.a.helper") => {
            answer("200 OK", &[("Content-Type", "application/json")], "[]")
        }
        _ => answer("401 Unauthorized", &[], "invalid credentials"),
    })
}

fn with_helper() -> Test {
    let test = Test::new().file("docker-credential-test", HELPER);
    let program = test.dir().join("docker-credential-test");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let path = format!("{}:{}", test.dir().display(), std::env::var("PATH").expect("PATH"));
    test.env("PATH", path)
}

#[test]
fn a_credential_helper_keeps_a_login() {
    let server = gateway();
    let done = with_helper()
        .env("FAAS_CREDENTIAL_HELPER", "test")
        .env("OPENFAAS_URL", &server.url)
        .args(["login", "-s", "--output", "json"])
        .stdin("right")
        .stdout_has("\"store\": \"docker-credential-test\"")
        .run();
    assert!(!done.home().join(".openfaas/config.yml").exists());
    done.then().args(["list", "-q"]).run();
    done.then().args(["logout"]).run();
    done.then().args(["logout"]).status(4).run();
    done.then().args(["list"]).status(5).run();
    let args = done.read("kept.json.args");
    assert!(args.contains("store") && args.contains("erase") && !args.contains("right"), "{args}");
}

#[test]
fn a_helper_of_config_yml_gives_a_token() {
    let server = gateway();
    let kept =
        serde_json::json!({ &server.url: {"ServerURL": server.url, "Username": "<token>", "Secret": "of.a.helper"} });
    let test = with_helper().file("kept.json", kept.to_string());
    let home = test.dir().join("../home/.openfaas");
    std::fs::create_dir_all(&home).expect("folder");
    let config = format!("credHelpers:\n  {}: test\n", server.url);
    std::fs::write(home.join("config.yml"), &config).expect("config.yml");
    std::fs::set_permissions(home.join("config.yml"), std::fs::Permissions::from_mode(0o600)).expect("mode");
    let done = test.args(["list", "-q", "-g", &server.url]).stderr("").run();
    // A write of ours leaves it there.
    done.then().args(["login", "-s", "-g", &server.url, "--store", "file"]).stdin("right").run();
    assert!(self::config(&done).starts_with(&config) || self::config(&done).contains("credHelpers"), "{config}");
}

#[test]
fn a_helper_that_is_not_there_or_breaks_is_named() {
    let server = gateway();
    let list = |test: Test| test.env("OPENFAAS_URL", &server.url).args(["list"]).status(1);
    list(Test::new().env("FAAS_CREDENTIAL_HELPER", "nowhere"))
        .stderr_has("can't run the credential helper docker-credential-nowhere")
        .run();
    let broken = Test::new().file("helper", "#!/bin/sh\necho locked: unlock me first\nexit 1\n");
    let program = broken.dir().join("helper");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    list(broken.env("FAAS_CREDENTIAL_HELPER", program.display().to_string())).stderr_has("unlock me first").run();
    assert!(server.lines().is_empty(), "nothing is sent without the login");
    Test::new()
        .args(["login", "-s", "--store", "helper", "-g", &server.url])
        .stdin("right")
        .status(2)
        .stderr_has("set FAAS_CREDENTIAL_HELPER")
        .run();
}

#[test]
fn logins_of_several_commands_at_once_are_all_kept() {
    let servers: Vec<Server> = (0..6).map(|_| gateway()).collect();
    let test = Test::new();
    std::thread::scope(|scope| {
        for server in &servers {
            let login = || Test::clone_place(&test).args(["login", "-s", "-g", &server.url]).stdin("right").run();
            scope.spawn(login);
        }
    });
    for server in &servers {
        Test::clone_place(&test).args(["list", "-q", "-g", &server.url]).run();
    }
}

#[test]
fn a_file_of_logins_that_others_can_read_is_told_of() {
    let server = gateway();
    let done = Test::new().args(["login", "-s", "-g", &server.url]).stdin("right").run();
    let file = done.home().join(".openfaas/config.yml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("mode");
    let list = || done.then().args(["list", "-q", "-g", &server.url]);
    list().stderr_has("others can read it (mode 644)").run();
    // The next write closes it.
    done.then().args(["login", "-s", "-g", &server.url]).stdin("right").run();
    list().stderr("").run();
}

#[test]
fn a_gateway_that_forbids_is_told_apart_from_one_that_is_away() {
    let server = Server::always("403 Forbidden", "text/plain", "no policy for you");
    let done = Test::new().args(["list", "-g", &server.url]).status(5).run();
    assert!(done.stderr.contains("no policy for you"), "{}", done.stderr);
}
