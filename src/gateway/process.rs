//! Processes of this machine by id and start time, so that a reused id is never taken for ours. Source: proc(5).
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Environment variable that marks every process of an embedded platform with the platform's folder.
pub(super) const MARK: &str = "FAAS_LOCAL_PLATFORM";

/// A process, told from every other that had or will have its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub started: u64,
    /// Which start of the machine that was.
    pub boot: String,
}

impl Identity {
    /// Of this process.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Of a process that is there now.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, started: start_time(pid)?, boot: boot_id() })
    }

    /// Whether it still runs.
    pub fn alive(&self) -> bool {
        self.boot == boot_id() && start_time(self.pid).is_ok_and(|started| started == self.started)
    }

    /// Whether somebody has stopped it (SIGSTOP, Ctrl-Z): it lives and does nothing.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
        matches!(state, Some("T" | "t")) && self.alive()
    }

    /// Sends it a signal; nothing when it has gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        // The descriptor pins the process, so between the check and the signal its id can't change hands.
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            other => other?,
        };
        if !self.alive() {
            return Ok(());
        }
        match pidfd_send_signal(&descriptor, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Waits until it has gone; false when it is still there after `patience`.
    pub fn wait_gone(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.alive() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Field 22 of `/proc/PID/stat`; a zombie counts as gone.
fn start_time(pid: u32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything, spaces and parentheses too.
    let (_, rest) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    fields.get(19).and_then(|f| f.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Memory in bytes and CPU time in ticks of a process; `None` when it has gone.
pub(super) fn usage(pid: u32) -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let pages: u64 = fields.get(21)?.parse().ok()?;
    Some((pages * rustix::param::page_size() as u64, ticks))
}

/// Ends every process that a platform of this folder left behind when it was killed; says how many there were.
pub(super) fn end_orphans(platform: &Path) -> usize {
    end_marked(MARK, platform)
}

/// How many processes a platform of this folder left behind, when none runs.
pub(super) fn orphans(platform: &Path) -> usize {
    marked(MARK, platform).len()
}

/// Every process with this path in this variable of its environment.
fn marked(variable: &str, path: &Path) -> Vec<Identity> {
    let mark = format!("{variable}={}", path.display());
    let own = std::process::id();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let identity = Identity::of(pid).ok()?;
            let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            environment.split(|b| *b == 0).any(|v| v == mark.as_bytes()).then_some(identity)
        })
        .collect()
}

/// Ends every process with this path in this variable of its environment; says how many there were.
pub(super) fn end_marked(variable: &str, path: &Path) -> usize {
    let marked = marked(variable, path);
    for orphan in &marked {
        let _ = orphan.signal(Signal::TERM);
    }
    let patience = Instant::now() + Duration::from_secs(2);
    for orphan in &marked {
        if !orphan.wait_gone(patience.saturating_duration_since(Instant::now())) {
            let _ = orphan.signal(Signal::KILL);
        }
    }
    marked.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_id() {
        let own = Identity::own().unwrap();
        assert!(own.alive());
        assert!(!Identity { started: own.started + 1, ..own.clone() }.alive());
        assert!(!Identity { boot: "another".into(), ..own }.alive());
    }

    #[test]
    fn a_marked_process_is_ended_and_another_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let sleep =
            |platform: &str| std::process::Command::new("sleep").arg("600").env(MARK, platform).spawn().unwrap();
        let mut ours = sleep(folder.path().to_str().unwrap());
        let mut other = sleep("/somewhere/else");
        let other_identity = Identity::of(other.id()).unwrap();
        // The mark stands in /proc only once the child has become `sleep`.
        while end_orphans(folder.path()) == 0 {}
        assert!(!ours.wait().unwrap().success());
        assert!(other_identity.alive());
        assert!(!other_identity.is_stopped());
        other_identity.signal(Signal::STOP).unwrap();
        while !other_identity.is_stopped() {}
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
