//! What somebody new runs into at a prompt: functions that are not there, questions before all is gone, one fault that two
//! commands meet, logs for programs.
use crate::support::{Done, Local, Test, free_port};

const ECHO: &str = "def handle(req):\n    return req\n";

/// A stack of these functions on the embedded platform, brought up.
fn up(names: &[&str]) -> (Done, Local) {
    let done = Test::new().file("stack.yml", stack(names)).file("echo/handler.py", ECHO).args(["up"]).run();
    let stop = Local::of(&done);
    (done, stop)
}

fn stack(names: &[&str]) -> String {
    let lines: String = names.iter().map(|n| format!("  {n}: {{lang: python3, handler: ./echo}}\n")).collect();
    format!("provider: {{name: local, gateway: \"http://127.0.0.1:{}\"}}\nfunctions:\n{lines}", free_port())
}

fn left(done: &Done, names: &[&str]) {
    let list = done.then().args(["list", "--quiet"]).run();
    assert_eq!(list.stdout.lines().collect::<Vec<_>>(), names);
}

#[test]
fn all_of_a_stack_is_removed_once_somebody_said_so_and_without_a_terminal_at_once() {
    let (done, _stop) = up(&["tax", "vat"]);
    let session = |args: &[&str]| {
        let test = done.then().env("TERM", "xterm").args(args.iter().copied());
        let mut command = test.command();
        command.env_remove("CI");
        rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal")
    };
    let mut asked = session(&["remove"]);
    asked.exp_string("Remove tax, vat?").expect("the question");
    asked.send("n").expect("typed");
    asked.flush().expect("typed");
    let said = asked.exp_eof().expect("its end");
    assert!(said.contains("Nothing was removed."), "{said}");
    left(&done, &["tax", "vat"]);
    // Whoever names one has said so.
    let said = session(&["remove", "vat"]).exp_eof().expect("its end");
    assert!(said.contains("Removed vat.") && !said.contains('?'), "{said}");
    let said = session(&["remove", "--yes"]).exp_eof().expect("its end");
    assert!(said.contains("Removed tax.") && !said.contains('?'), "{said}");
    left(&done, &[]);
    done.then().args(["up"]).run();
    done.then().args(["remove"]).stdout("Removed tax.\nRemoved vat.\n").run();
}

#[test]
fn what_of_a_stack_is_not_there_keeps_nothing_from_being_removed() {
    let (done, _stop) = up(&["tax", "vat", "toll"]);
    done.then().args(["remove", "vat"]).run();
    let all = || done.then().args(["remove"]);
    all().stdout("Removed tax.\nRemoved toll.\n").stderr_has("vat was not there.\n").run();
    left(&done, &[]);
    // None at all is more likely the wrong place.
    all().status(4).stdout("").stderr_has("3 of 3 functions failed").run();
    done.then().args(["remove", "vat"]).status(4).stderr_has("can't remove vat").run();
}

#[test]
fn a_function_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let (done, _stop) = up(&["tax"]);
    let call = |name: &str| done.then().args(["invoke", name]).stdin("x").status(4);
    call("taxx").stderr_has("hint: did you mean `tax`? `faas list` shows what is deployed\n").run();
    call("nope").stderr_has("hint: `faas list` shows what is deployed\n").run();
    done.then().args(["remove", "tax"]).run();
    call("tax").stderr_has("it is in the stack file, and `faas up` deploys it").run();
}

#[test]
fn a_call_is_told_by_vv_without_what_lets_it_in() {
    let (done, _stop) = up(&["tax"]);
    let call = done.then().args(["invoke", "tax", "-vv", "-H", "X-Api-Key: geheim", "-H", "X-Order: 7"]);
    let call = call.stdin("x").stdout("x").stderr_has("POST http://127.0.0.1:").stderr_has("/function/tax (").run();
    let line = call.stderr.lines().find(|line| line.contains("POST ")).expect("the call");
    assert!(line.contains("x-order: 7") && line.contains("x-api-key: [left out]"), "{line}");
    assert!(line.contains(": 200 OK after "), "{line}");
    assert!(!call.stderr.contains("geheim"), "{}", call.stderr);
}

/// What `command` says of a stack: its exit code, and the code of the error.
fn verdict(command: &str, stack: &str) -> (i32, String) {
    let test = Test::new()
        .file("stack.yml", stack)
        .file("here/handler.py", ECHO)
        .file("img/Dockerfile", "FROM scratch\n")
        .args([command, "--output", "json"]);
    let output = test.command().output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap_or_default();
    let error: serde_json::Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{command}: {e}: {said}"));
    let done = test.args(["local", "stop"]);
    let mut stop = done.command();
    let _ = stop.output();
    (output.status.code().unwrap_or(-1), error["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn one_fault_of_a_stack_file_has_one_code_and_one_exit_status_whichever_command_meets_it() {
    let of = |function: &str| {
        let address = format!("http://127.0.0.1:{}", free_port());
        format!("provider: {{name: local, gateway: \"{address}\"}}\nfunctions:\n  tax: {function}\n")
    };
    for (function, code) in [
        ("{lang: python3, handler: ./here, timeuot: 3s, timeout: [1]}", "FAAS-E0102"),
        ("{lang: python3, handler: ./gone}", "FAAS-E0102"),
        ("{lang: pyton3, handler: ./here}", "FAAS-E0201"),
        ("{lang: dockerfile, handler: ./img}", "FAAS-E0104"),
        ("{image: x}", "FAAS-E0104"),
    ] {
        let refused_by_platform = function == "{image: x}";
        for command in ["validate", "plan", "up", "build"] {
            // What a platform has not, no build needs.
            if command == "build" && refused_by_platform {
                continue;
            }
            let (status, told) = verdict(command, &of(function));
            assert_eq!((status, told.as_str()), (2, code), "{command} of {function}");
        }
    }
}

#[test]
fn the_code_and_the_way_out_are_fields_of_a_line_of_the_log() {
    let done = Test::new()
        .file("stack.yml", "provider: {name: local}\nfunctions:\n  tax: {lang: pyton3, handler: ./tax}\n")
        .file("tax/handler.py", ECHO)
        .args(["plan", "--log-format", "json"])
        .status(2)
        .run();
    let lines: Vec<serde_json::Value> =
        done.stderr.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let problem = lines.iter().find(|line| line["message"].as_str().unwrap_or_default().contains("pyton3"));
    let problem = problem.unwrap_or_else(|| panic!("{}", done.stderr));
    assert_eq!((&problem["code"], &problem["hint"]), (&"FAAS-E0201".into(), &"did you mean `python3`?".into()));
    let last = lines.last().expect("the error");
    assert_eq!((&last["level"], &last["code"]), (&"error".into(), &"FAAS-E0201".into()), "{last}");
    let missing = Test::new().args(["up", "--log-format", "json"]).status(2).run();
    let line: serde_json::Value = serde_json::from_str(missing.stderr.trim()).expect("JSON");
    assert_eq!(line["code"], "FAAS-E0101");
    let message = line["message"].as_str().expect("text");
    assert!(!message.contains("hint") && line["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{line}");
}
