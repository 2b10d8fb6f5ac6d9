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

#[test]
fn plain_output_is_turned_on_and_off_by_the_environment_as_no_color_is() {
    let coloured = |value: &str, args: &[&str]| {
        let test = Test::new().env("CLICOLOR_FORCE", "1").env("FAAS_PLAIN", value);
        let done = test.args(["completion", "tcsh"]).args(args.iter().copied()).status(2).run();
        assert!(done.stderr.contains("unknown shell `tcsh`"), "{value:?}: {}", done.stderr);
        done.stderr.contains('\u{1b}')
    };
    for on in ["1", "yes", "true", "TRUE", "on", "2", "please"] {
        assert!(!coloured(on, &[]), "{on}");
        assert!(coloured(on, &["--plain=false"]), "the flag counts more than {on}");
    }
    for off in ["", "0", "false", "False", "no", "off"] {
        assert!(coloured(off, &[]), "{off:?}");
        assert!(!coloured(off, &["--plain"]), "the flag counts more than {off:?}");
    }
    Test::new().args(["version", "--plain=maybe"]).status(2).stderr_has("invalid value 'maybe'").run();
}

#[test]
fn help_has_the_commands_own_flags_first_then_the_platforms_then_those_of_every_command() {
    let help = Test::new().args(["list", "--help"]).run().stdout;
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("no {text}: {help}"));
    let order = ["\nOptions:", "--sort", "\nPlatform options:", "--gateway", "--mfa-code"];
    let order = order.iter().chain(&["\nOptions of every command:", "--yaml", "--log-format", "\nExamples:"]);
    assert!(order.map(|text| at(text)).is_sorted(), "{help}");
    let own = &help[at("\nOptions:")..at("\nPlatform options:")];
    assert!(!own.contains("--filter") && !own.contains("--token"), "{own}");
    let plain = Test::new().args(["validate", "-h"]).run().stdout;
    assert!(!plain.contains("Platform options:") && plain.contains("Options of every command:"), "{plain}");
}

#[test]
fn a_result_that_can_not_be_written_is_a_failure_of_help_and_version_too() {
    for args in [&["--version"][..], &["--help"], &["list", "--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let done = Test::new().args(args.iter().copied()).command().stdout(full).output().expect("it ends");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("error: can't write to stdout: No space left"), "{args:?}: {said}");
    }
}

#[test]
fn the_follow_flag_of_other_tools_is_understood_or_told_apart_from_the_stack_file() {
    let hint = "hint: -f names the stack file; logs follow by default: `faas logs tax`\n";
    Test::new().args(["logs", "-f", "tax"]).status(2).stdout("").stderr_has(hint).run();
    let done = Test::new().args(["logs", "-f", "stack.yml"]).status(2).run();
    assert!(!done.stderr.contains("follow by default"), "{}", done.stderr);
    let hint = "write `--tail=false`, in one word";
    Test::new().args(["logs", "tax", "--tail", "false"]).status(2).stderr_has(hint).run();
    let json = Test::new().args(["logs", "tax", "--tail", "false", "--output", "json"]).status(2).run();
    let said: serde_json::Value = serde_json::from_str(&json.stderr).expect("JSON");
    assert_eq!(said["error"]["hint"], hint);
    let server = crate::support::server::Server::new(|asked| {
        let text = if asked.line.contains("/system/logs") { "" } else { "{\"name\":\"tax\"}" };
        crate::support::server::answer("200 OK", &[("Content-Type", "application/json")], text)
    });
    for (flag, asked) in
        [("--follow", "follow=true"), ("--follow=false", "follow=false"), ("--tail=false", "follow=false")]
    {
        Test::new().args(["logs", "tax", flag, "-g", &server.url]).run();
        let lines = server.lines();
        let logs = lines.iter().rfind(|line| line.contains("/system/logs"));
        assert!(logs.is_some_and(|line| line.contains(asked)), "{flag}: {lines:?}");
    }
}
