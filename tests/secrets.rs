//! Secrets on the command line: others can read arguments, which is said, and there is another way for each.
use crate::support::Test;
use crate::support::server::{Server, answer};

/// A gateway without secrets that takes any.
fn gateway() -> Server {
    Server::new(|asked| match asked.line.starts_with("GET") {
        true => answer("200 OK", &[("Content-Type", "application/json")], "[]"),
        false => answer("202 Accepted", &[], ""),
    })
}

fn run(server: &Server, args: &[&str]) -> Test {
    Test::new().args(args.iter().copied()).args(["-g", &server.url])
}

#[test]
fn one_in_the_arguments_is_warned_of_once_and_none_is_in_a_file() {
    let server = gateway();
    let create = ["secret", "create", "key", "--from-literal", "hush"];
    let warning = "warning: --from-literal can be seen by other users of this machine; --from-file and stdin can't\n";
    run(&server, &create).stderr(warning).run();
    run(&server, &create).called("faas-cli").stderr("").run();
    run(&server, &["secret", "create", "key", "--from-file", "key"]).file("key", "hush").stderr("").run();
    run(&server, &["secret", "create", "key"]).stdin("hush").stderr("").run();
}

#[test]
fn a_body_is_signed_with_a_key_from_a_file() {
    let server = gateway();
    let signed =
        |args: &[&str]| run(&server, &["invoke", "tax", "--sign", "X-Sign"]).args(args.iter().copied()).stdin("hello");
    signed(&["--key", "k"]).stderr_has("--key can be seen by other users of this machine; --key-file can't").run();
    signed(&["--key-file", "key"]).file("key", "k\n").stderr("").run();
    signed(&["--key", "k"]).called("faas-cli").stderr("").run();
    let signatures: Vec<_> = server.asked().iter().map(|asked| asked.header("x-sign").map(str::to_owned)).collect();
    let expected = "sha256=406e4b43f87095aa86ca6299d25e875921fefa180f02043bb29bec5681c0c2d0";
    assert_eq!(signatures, vec![Some(expected.to_owned()); 3]);
    signed(&[]).status(2).stderr_has("--key-file").run();
    signed(&["--key", "k", "--key-file", "key"]).status(2).stderr_has("cannot be used with").run();
}

#[test]
fn a_token_may_come_from_the_environment() {
    let server = gateway();
    run(&server, &["list", "--token", "abc"]).stderr_has("--token can be seen by other users").run();
    run(&server, &["list"]).env("FAAS_TOKEN", "abc").stderr("").run();
    assert!(server.asked().iter().all(|asked| asked.header("authorization") == Some("Bearer abc")));
}

#[test]
fn a_disk_that_is_full_is_told_with_what_to_do() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let list = run(&gateway(), &["list"]).command().stdout(full).output().expect("it ends");
    let said = String::from_utf8_lossy(&list.stderr);
    assert_eq!(list.status.code(), Some(1));
    assert!(said.contains("can't write to stdout: No space left") && said.contains("the disk is full"), "{said}");
}

#[test]
fn the_terminal_shows_what_is_typed_again_after_ctrl_c_at_a_hidden_prompt() {
    let server = gateway();
    for args in ["secret create key", "login"] {
        let test = Test::new().env("TERM", "xterm");
        let mut command = std::process::Command::new("sh");
        // The shell is at the same terminal, and outlives the Ctrl-C.
        let line =
            format!("stty echo; trap : INT; \"$FAAS\" {args} -g {}; echo \"ended with $?\"; stty -a", server.url);
        command.args(["-c", &line]).env("FAAS", env!("CARGO_BIN_EXE_faas"));
        for (name, value) in test.command().get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let mut session = rexpect::session::spawn_command(command, Some(20_000)).unwrap();
        session.exp_regex("Value of the secret|Password for admin").unwrap();
        session.send_control('c').unwrap();
        session.exp_string("ended with 130").unwrap();
        let modes = session.exp_eof().unwrap();
        assert!(modes.contains(" echo ") && !modes.contains("-echo "), "{args}: {modes}");
    }
}

#[test]
fn what_is_no_secret_in_the_folder_is_passed_over() {
    let server = gateway();
    let apply = || run(&server, &["secret", "apply"]).file(".secrets/.gitignore", "*\n").file(".secrets/key", "v");
    apply().stdout("Created secret key.\n").stderr(".secrets/.gitignore is hidden, and no secret\n").run();
    // A name that can't be a secret's is a slip, which faas-cli passes over with a word.
    let slip = || apply().file(".secrets/Bad_Name", "v");
    slip().status(2).stdout("Created secret key.\n").stderr_has("`Bad_Name` is no name for a secret").run();
    let theirs = slip().called("faas-cli").stdout("Creating secret: key.\nCreated: 202 Accepted\n");
    theirs.stderr_has("`Bad_Name` is no name for a secret").run();
    let several = slip().file(".secrets/Worse_Name", "v").status(2);
    several.stderr_has("can't write the secret: 2 of 3 secrets failed").run();
}

#[test]
fn a_key_that_is_there_is_not_lost_to_a_new_one() {
    let first = Test::new().called("faas-cli").args(["secret", "keygen"]).run();
    let key = first.read("key");
    let again = || first.then().called("faas-cli").args(["secret", "keygen"]);
    again().stderr_has("the key that was in key is in key.old now").run();
    assert_eq!(first.read("key.old"), key);
    assert_ne!(first.read("key"), key);
    again().stderr_has("key.old.1").run();
    again().arg("--overwrite").stderr("").run();
    first.then().args(["secret", "keygen"]).status(2).stderr_has("key is there already").run();
    assert_eq!(first.list(""), ["key", "key.old", "key.old.1", "key.pub"]);
}
