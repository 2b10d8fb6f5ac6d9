//! The real faas-cli, where the test cache has it, as a client of the embedded platform.

use std::path::Path;
use std::process::Command;

use crate::support::platform::Platform;

#[test]
fn faas_cli_lists_describes_calls_and_removes_functions_and_keeps_secrets() {
    let Some(folder) = crate::support::bed("FAAS_TESTBED_BIN") else { return };
    let program = Path::new(&folder).join("faas-cli");
    if !program.is_file() {
        return eprintln!("skipped: {} is not there", program.display());
    }
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    let token = std::fs::read_to_string(platform.local.join("token")).unwrap();
    let faas_cli = |args: &[&str], input: &str| -> String {
        use std::io::Write;
        let mut child = Command::new(&program)
            .args(args)
            .env_clear()
            .env("HOME", platform.dir())
            .env("OPENFAAS_URL", &platform.url)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "faas-cli {args:?}: {said}");
        said
    };
    let says = |args: &[&str], input: &str, wanted: &str| {
        let said = faas_cli(args, input);
        assert!(said.contains(wanted), "faas-cli {args:?} does not say `{wanted}`: {said}");
    };
    says(&["login", "--username", "admin", "--password-stdin"], &token, "credentials saved");
    says(&["list"], "", "echo");
    says(&["describe", "echo"], "", "Available Replicas: 1");
    assert_eq!(faas_cli(&["invoke", "echo"], "hello"), "echo POST / hello");
    says(&["invoke", "--async", "echo"], "hello", "submitted asynchronously");
    platform.get("/function/echo/log/a-line");
    platform.until("the line is in the log", || faas_cli(&["logs", "echo", "--tail=false"], "").contains("a-line"));
    says(&["secret", "create", "key", "--from-literal", "one"], "", "Created");
    says(&["secret", "update", "key", "--from-literal", "two"], "", "Updated");
    assert_eq!(std::fs::read_to_string(platform.local.join("secrets/openfaas-fn/key")).unwrap(), "two");
    says(&["secret", "list"], "", "key");
    says(&["secret", "remove", "key"], "", "Removed");
    says(&["remove", "echo"], "", "Removing old function");
    assert_eq!(platform.get("/function/echo").status, 404);
}
