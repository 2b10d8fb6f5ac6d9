//! Logins in a real keyring: gnome-keyring on a D-Bus session of its own, where both are installed.

use std::process::Command;

use crate::support::Test;
use crate::support::server::{Server, answer};

/// A script in a session whose keyring is unlocked; `None` where there are no such programs.
fn session(script: &str, server: &Server) -> Option<String> {
    let there = |name: &str| {
        Command::new("sh").args(["-c", &format!("command -v {name}")]).output().is_ok_and(|o| o.status.success())
    };
    if !there("dbus-run-session") || !there("gnome-keyring-daemon") {
        eprintln!("skipped: dbus-run-session and gnome-keyring-daemon are not both installed");
        return None;
    }
    let unlock = "printf pw | gnome-keyring-daemon --unlock --components=secrets >keyring.env 2>keyring.log &\n\
                  n=0; while [ ! -s keyring.env ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done\n";
    let test = Test::new().file("run.sh", format!("{unlock}{script}"));
    // The harness knows the binary's environment; the session is wrapped around it.
    let faas = test.command();
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "run.sh"]).current_dir(test.dir()).env_clear();
    command.envs(faas.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("FAAS", faas.get_program()).env("OPENFAAS_URL", &server.url);
    let output = command.output().expect("the session runs");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn gateway() -> Server {
    Server::new(|asked| match asked.header("authorization") {
        // admin:right
        Some("Basic YWRtaW46cmlnaHQ=") => answer("200 OK", &[("Content-Type", "application/json")], "[]"),
        _ => answer("401 Unauthorized", &[], "invalid credentials"),
    })
}

#[test]
fn a_login_is_kept_found_and_forgotten_in_the_keyring() {
    let script = "echo right | $FAAS login -s; ls -A $HOME/.openfaas\n\
                  $FAAS list -q; echo listed $?\n\
                  DBUS_SESSION_BUS_ADDRESS= $FAAS list -q; echo without bus $?\n\
                  $FAAS logout; $FAAS list -q; echo forgotten $?\n";
    let server = gateway();
    let Some(said) = session(script, &server) else { return };
    let url = &server.url;
    assert_eq!(
        said,
        format!(
            "credentials saved for admin {url}\n.lock\nfaas-keyring\nlisted 0\nwithout bus 1\n\
             credentials removed for {url}\nforgotten 5\n"
        )
    );
}

#[test]
fn a_login_moves_from_one_place_to_the_other() {
    let script = "echo right | $FAAS login -s >/dev/null\n\
                  echo right | $FAAS login -s --store file >/dev/null; cat $HOME/.openfaas/faas-keyring\n\
                  grep -c token $HOME/.openfaas/config.yml; $FAAS list -q; echo listed $?\n\
                  echo right | $FAAS login -s --store keyring >/dev/null\n\
                  grep -c token $HOME/.openfaas/config.yml; $FAAS list -q; echo listed $?\n";
    let Some(said) = session(script, &gateway()) else { return };
    assert_eq!(said, "1\nlisted 0\n0\nlisted 0\n");
}
