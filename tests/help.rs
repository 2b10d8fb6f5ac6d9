//! Help, version, completion and usage errors, as a newcomer meets them.
use crate::support::Test;

#[test]
fn version_is_one_line() {
    Test::new().arg("--version").stdout(format!("faas {}\n", env!("CARGO_PKG_VERSION"))).stderr("").run();
}

#[test]
fn short_version_is_the_number_only() {
    Test::new()
        .args(["version", "--short-version"])
        .stdout(format!("{}\n", env!("CARGO_PKG_VERSION")))
        .stderr("")
        .run();
}

#[test]
fn help_is_a_result() {
    Test::new().arg("--help").stdout_has("Usage: faas [OPTIONS] <COMMAND>").stderr("").run();
}

#[test]
fn an_unknown_command_is_a_usage_error_with_the_nearest_one() {
    Test::new().arg("verzion").status(2).stdout("").stderr_has("'version'").run();
}

#[test]
fn completion_scripts_name_the_binary() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        Test::new().args(["completion", shell]).stdout_has("faas").stderr("").run();
    }
}

#[test]
fn completion_of_an_unknown_shell_is_a_usage_error() {
    Test::new()
        .args(["completion", "tcsh"])
        .status(2)
        .stdout("")
        .stderr("error: unknown shell `tcsh`\nhint: name one of bash, zsh, fish, powershell or elvish\n")
        .run();
}

#[test]
fn looking_at_an_embedded_platform_that_does_not_run_says_how_to_start_it() {
    Test::new()
        .file("stack.yml", "provider: {name: local}\nfunctions:\n  a: {lang: python3, handler: ./a, image: a}\n")
        .args(["list"])
        .status(4)
        .stdout("")
        .stderr(
            "error: the embedded platform does not run\n\
             hint: `faas up` and `faas deploy` start it, and so does `faas local start`\n\
             more: faas explain E0501\n",
        )
        .run();
}

#[test]
fn a_way_out_names_the_program_as_it_was_called() {
    let server = crate::support::server::Server::always("404 Not Found", "text/plain", "no");
    let describe = || Test::new().args(["describe", "tax", "-g", &server.url]);
    describe().status(4).stderr_has("`faas list` shows what is deployed").run();
    describe().called("faas-cli").status(1).stderr_has("`faas-cli list` shows what is deployed").run();
}

/// The list of commands is made without their flags where nothing else is asked for; it must not show.
#[test]
fn the_short_way_to_the_list_of_commands_says_the_same_as_the_long_one() {
    for name in ["faas", "faas-cli"] {
        let by = |word: &str| Test::new().called(name).arg(word).run().stdout;
        // Of one word, `-h` gives its short form, and `help` the long one.
        assert_eq!(by("--help"), by("help"), "{name}");
        assert!(by("--help").contains("remove"), "{name}");
    }
    assert!(Test::new().arg("--version").run().stdout.starts_with("faas "));
    assert!(Test::new().arg("-V").run().stdout.starts_with("faas "));
}

#[test]
fn a_wrong_command_line_is_json_where_that_is_asked_for() {
    for (args, message, hint) in [
        (&["list", "--output", "json", "--bogus"][..], "unexpected argument '--bogus' found", "Usage: faas list"),
        (&["--output=json", "lisst"], "unrecognized subcommand 'lisst'", "'list'"),
        (&["invoke", "--output", "json"], "the following required arguments were not provided: <NAME>", "Usage"),
        (
            &["config", "--output", "json"],
            "'faas config' requires a subcommand but one was not provided [subcommands: view, help]",
            "Usage",
        ),
        (&["list", "--output", "table", "--output", "json", "-x"], "unexpected argument '-x' found", "Usage"),
    ] {
        let done = Test::new().args(args.iter().copied()).status(2).stdout("").run();
        let said: serde_json::Value =
            serde_json::from_str(&done.stderr).unwrap_or_else(|e| panic!("{e}: {}", done.stderr));
        assert_eq!(said["error"]["kind"], "usage", "{said}");
        assert_eq!(said["error"]["message"], message);
        assert!(said["error"]["hint"].as_str().unwrap().contains(hint), "{said}");
    }
    let logged = Test::new().args(["list", "--log-format", "json", "--bogus"]).status(2).run();
    let line: serde_json::Value = serde_json::from_str(&logged.stderr).expect("JSON");
    assert_eq!(line["level"], "error");
    Test::new().args(["list", "--bogus", "--", "--output", "json"]).status(2).stderr_has("error: unexpected").run();
}
