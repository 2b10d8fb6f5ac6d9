//! `faas logs` at a prompt: calls by their status, and a terminal that nobody else steers.
use crate::support::{Local, Test, free_port};

const HANDLER: &str = "import sys\n\n\ndef handle(req):\n    print('\\x1b]0;evil\\x07 \\x1b[2Jseen', file=sys.stderr)\n    \
                       if req == 'bad':\n        raise ValueError('no')\n    return req\n";

fn stack(port: u16, more: &str) -> String {
    format!(
        "name: logs\nprovider: {{name: local, gateway: \"http://127.0.0.1:{port}\"}}\nfunctions:\n  \
         tax:\n    lang: python3\n    handler: ./tax\n{more}"
    )
}

#[test]
fn calls_are_chosen_by_their_status_where_the_function_logs_calls_and_it_is_said_where_not() {
    let port = free_port();
    let up = Test::new().file("stack.yml", stack(port, "")).file("tax/handler.py", HANDLER).args(["up"]).run();
    let _stop = Local::of(&up);
    let call = |body: &str, code| up.then().args(["invoke", "tax"]).stdin(body).status(code).run();
    call("bad", 1);
    up.then()
        .args(["logs", "tax", "--tail=false", "--status", "5xx"])
        .stdout("")
        .stderr_has("no line of this log tells of a call and its status: with `log_requests: \"true\"`")
        .run();

    let more = "    environment: {log_requests: \"true\"}\n";
    up.then().file("stack.yml", stack(port, more)).args(["up"]).run();
    call("good", 0);
    call("bad", 1);
    let by = |status: &str| up.then().args(["logs", "tax", "--tail=false", "--status", status]).stderr("").run().stdout;
    let (failed, worked) = (by("5xx"), by("200"));
    assert!(failed.contains("POST / - 500 Internal Server Error") && failed.lines().count() == 1, "{failed}");
    assert!(worked.contains("POST / - 200 OK") && worked.lines().count() == 1, "{worked}");
}

#[test]
fn what_a_function_writes_does_not_steer_the_terminal_and_reaches_a_file_whole() {
    let port = free_port();
    let up = Test::new().file("stack.yml", stack(port, "")).file("tax/handler.py", HANDLER).args(["up"]).run();
    let _stop = Local::of(&up);
    up.then().args(["invoke", "tax"]).stdin("good").run();
    let whole = up.then().args(["logs", "tax", "--tail=false"]).run().stdout;
    assert!(whole.contains("\u{1b}]0;evil\u{7} \u{1b}[2Jseen"), "{whole:?}");
    let command = up.then().env("TERM", "xterm").args(["logs", "tax", "--tail=false"]).command();
    let mut session = rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal");
    let shown = session.exp_eof().expect("its end");
    assert!(shown.contains("seen") && !shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
}
