//! Completions as shells ask for them, and by the shells themselves where they are installed.
use std::process::Command;

use crate::support::{Local, Test, free_port};

const STACK: &str = "provider: {name: local}\nfunctions:\n  tax: {lang: python3, handler: ./tax}\n  talk: {lang: node, handler: ./talk}\ntargets:\n  eu: {}\n  us: {}\n";

/// What the binary answers to fish, which asks in the simplest way: a candidate a line.
fn candidates(words: &[&str]) -> Vec<String> {
    let done = Test::new()
        .file("stack.yml", STACK)
        .env("COMPLETE", "fish")
        .args(["--", "faas"].iter().chain(words).copied())
        .run();
    done.stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn names_of_functions_targets_templates_and_keys_are_completed() {
    assert_eq!(candidates(&["invoke", "t"]), ["tax", "talk"]);
    assert_eq!(candidates(&["logs", "tal"]), ["talk"]);
    assert_eq!(candidates(&["rollout", "status", "ta"]), ["tax", "talk"]);
    assert_eq!(candidates(&["up", "--target", "e"]), ["eu"]);
    assert_eq!(candidates(&["up", "--target", "eu,"]), ["eu,eu", "eu,us"]);
    assert!(candidates(&["new", "x", "--lang", "py"]).contains(&"python3".to_owned()));
    assert_eq!(candidates(&["explain", "provider.g"]), ["provider.gateway"]);
    for (words, expected) in [
        (&["explain", "scale.mi"][..], "scale.min"),
        (&["explain", "targets.NAME.p"], "targets.NAME.prefix"),
        (&["explain", "E010"], "E0102"),
        (&["scale", "ta"], "tax"),
        (&["completion", "z"], "zsh"),
        (&["completion", "--shell", "f"], "fish"),
        (&["generate", "--api", "serving"], "serving.knative.dev/v1"),
        (&["template", "store", "pull", "pyth"], "python3-http"),
        (&["template", "pull", "st"], "stack"),
        (&["new", "x", "--lang", "python3", "--shape", "l"], "lambda"),
        (&["new", "x", "--shape", "ev"], "event"),
    ] {
        let found = candidates(words);
        assert!(found.contains(&expected.to_owned()), "{words:?}: {found:?}");
    }
    assert!(candidates(&["do"]).contains(&"doctor".to_owned()));
}

#[test]
fn what_can_not_be_looked_up_completes_to_nothing() {
    let broken = Test::new().file("stack.yml", "functions: [").env("COMPLETE", "fish");
    broken.args(["--", "faas", "invoke", ""]).stderr("").run();
}

#[test]
fn what_the_platform_has_is_completed_secrets_and_deployments() {
    let port = free_port();
    let stack = format!(
        "provider: {{name: local, gateway: \"http://127.0.0.1:{port}\"}}\nfunctions:\n  tax: {{lang: python3, handler: ./tax}}\n"
    );
    let up = Test::new().file("stack.yml", stack).file("tax/handler.py", "def handle(req):\n    return req\n");
    let up = up.args(["up"]).run();
    let _stop = Local::of(&up);
    for name in ["api-key", "api-word", "other"] {
        up.then().args(["secret", "create", name]).stdin("x").run();
    }
    up.then().args(["up", "--env", "A=1"]).run();
    let asked = |words: &[&str]| -> Vec<String> {
        let words = ["--", "faas"].iter().chain(words).copied();
        let done = up.then().env("COMPLETE", "fish").args(words).run();
        let words = done.stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        // Flags may stand there as well.
        words.filter(|word| !word.starts_with('-')).collect()
    };
    assert_eq!(asked(&["secret", "remove", "api"]), ["api-key", "api-word"]);
    up.then().args(["namespace", "create", "eu"]).run();
    assert_eq!(asked(&["namespace", "remove", "e"]), ["eu"]);
    assert_eq!(asked(&["rollout", "undo", "tax", "--to", ""]), ["2", "1"]);
    assert_eq!(asked(&["deployments", "show", "tax", ""]), ["2", "1"]);
}

/// Runs `script` with the binary in PATH, in a folder with a stack; `None` where the shell is not installed.
fn by(shell: &str, script: &str) -> Option<String> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?).any(|folder| folder.join(shell).is_file());
    if !found {
        eprintln!("skipped: {shell} is not installed");
        return None;
    }
    let dir = tempfile::tempdir().expect("folder");
    std::fs::write(dir.path().join("stack.yml"), STACK).expect("stack");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_faas")).parent().expect("folder").to_owned();
    let path =
        std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH")?))).expect("PATH");
    let output = Command::new(shell)
        .args(if shell == "zsh" { vec!["-f", "-c"] } else { vec!["-c"] })
        .arg(script)
        .current_dir(dir.path())
        .env("PATH", path)
        .env("HOME", dir.path())
        .output()
        .expect("the shell starts");
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn bash_completes_by_the_script_that_is_checked_in() {
    let script = concat!(
        "source \"",
        env!("CARGO_MANIFEST_DIR"),
        "/completions/faas.bash\"\n",
        "COMP_WORDS=(faas invoke t); COMP_CWORD=2; COMP_TYPE=9\n",
        "_clap_complete_faas faas t invoke\n",
        "printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    );
    let Some(said) = by("bash", script) else { return };
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["tax", "talk"]);
}

#[test]
fn fish_completes_by_the_script_that_is_checked_in() {
    let script =
        concat!("source \"", env!("CARGO_MANIFEST_DIR"), "/completions/faas.fish\"\ncomplete -C 'faas invoke ta'\n");
    let Some(said) = by("fish", script) else { return };
    let names: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, ["tax", "talk"]);
}

#[test]
fn zsh_takes_the_script_that_is_checked_in() {
    let script = concat!(
        "autoload -Uz compinit && compinit -u -D\nsource \"",
        env!("CARGO_MANIFEST_DIR"),
        "/completions/faas.zsh\"\nprint -r -- $_comps[faas]\n"
    );
    let Some(said) = by("zsh", script) else { return };
    assert_eq!(said.trim(), "_clap_dynamic_completer_faas");
}

/// Elvish completes at a prompt only, so it gets a terminal of its own and lines as they are typed.
#[test]
fn elvish_completes_by_the_script_that_is_checked_in() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/completions/faas.elvish");
    let typed = format!(
        "import os, pty, select, sys, time\n\
         pid, terminal = pty.fork()\n\
         if pid == 0: os.execvp('elvish', ['elvish', '-norc'])\n\
         lines = ['eval (slurp < \"{script}\")',\n\
         'print (\\$edit:completion:arg-completer[faas] faas invoke ta | to-string (all)) > said.txt', 'exit']\n\
         end = time.time() + 60\n\
         while time.time() < end:\n    \
             if not select.select([terminal], [], [], 1)[0]:\n        \
                 if not lines: break\n        \
                 os.write(terminal, lines.pop(0).encode() + b'\\r')\n        \
                 continue\n    \
             try: os.read(terminal, 65536)\n    \
             except OSError: break\n"
    );
    if by("elvish", "nop").is_none() {
        return;
    }
    let Some(said) =
        by("bash", &format!("export TERM=xterm; python3 -c \"{}\"; cat said.txt", typed.replace('"', "\\\"")))
    else {
        return;
    };
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["tax", "talk"]);
}
