//! Credential plugins that a kubeconfig names: kube runs them and waits; what hangs is ended here, with all that it started.
use std::time::Duration;

use kube::config::{ExecConfig, ExecInteractiveMode};

use crate::error::{Fault, Result};
use crate::listener::Listener;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How long one may take that opens a browser, or asks, and has somebody there who answers.
const ATTENDED_LIMIT: Duration = Duration::from_secs(120);
/// After so long the user is told what is waited for.
const SILENCE: Duration = Duration::from_secs(3);
/// What kube sets in a plugin's environment, and nowhere else.
#[cfg(unix)]
const MARK: &str = "KUBERNETES_EXEC_INFO=";

/// Makes a client on a thread of its own, where `plugin` may be run for its credentials; `attended` when somebody is there
/// who can answer questions.
///
/// # Errors
/// The plugin gave no answer in time.
pub async fn run<T: Send + 'static>(
    plugin: Option<&ExecConfig>,
    listener: &Listener,
    attended: bool,
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let name = plugin.and_then(|exec| exec.command.as_deref()).unwrap_or("?");
    let asks = plugin.is_some_and(|exec| exec.interactive_mode != Some(ExecInteractiveMode::Never));
    let limit = if asks && attended { ATTENDED_LIMIT } else { LIMIT };
    let told = humantime::format_duration(limit);
    let mut made = tokio::task::spawn_blocking(make);
    let mut waited = tokio::time::timeout(SILENCE, &mut made).await;
    if waited.is_err() {
        listener.tell(&format!("waiting for the kubeconfig's credential plugin `{name}`, {told} at most"));
        waited = tokio::time::timeout(limit.saturating_sub(SILENCE), &mut made).await;
    }
    match waited {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(panicked)) => Err(Fault::failed("can't make a client for the cluster").cause(panicked)),
        Err(_) => {
            end();
            Err(Fault::timed_out(format!("the credential plugin `{name}` gave no answer within {told}, and was ended"))
                .hint("run it by hand: it may want to ask something"))
        }
    }
}

/// A process: its id, its parent's.
#[cfg(unix)]
type Process = (i32, i32);

/// Ends the plugins that this process runs, and what they started.
#[cfg(unix)]
fn end() {
    use rustix::process::{Pid, Signal, getpid, kill_process};
    let all = processes();
    let own = getpid().as_raw_nonzero().get();
    let mut doomed: Vec<i32> =
        all.iter().filter(|(id, parent)| *parent == own && is_plugin(*id)).map(|(id, _)| *id).collect();
    let mut at = 0;
    while let Some(parent) = doomed.get(at).copied() {
        at += 1;
        doomed.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
    }
    for id in doomed.into_iter().filter_map(Pid::from_raw) {
        // One that has ended by itself meanwhile is as good.
        let _ = kill_process(id, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn end() {}

#[cfg(target_os = "linux")]
fn processes() -> Vec<Process> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parent = |id: i32| {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The program's name comes before, in brackets, and may hold anything.
        text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    ids.filter_map(|id| Some((id, parent(id)?))).collect()
}

#[cfg(target_os = "linux")]
fn is_plugin(id: i32) -> bool {
    let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(MARK.as_bytes()))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn processes() -> Vec<Process> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let numbers = |line: &str| {
        let mut words = line.split_whitespace().map(str::parse);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    };
    text.lines().filter_map(numbers).collect()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn is_plugin(id: i32) -> bool {
    let output = std::process::Command::new("ps").args(["-E", "-ww", "-o", "command=", "-p", &id.to_string()]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(MARK))
}
