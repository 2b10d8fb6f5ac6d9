//! Who listens on a port of this machine, for the message that the port is taken. Source: proc(5), `/proc/net/tcp`.
use std::collections::HashSet;
use std::path::Path;

/// The program that listens on `port`, as `nginx (pid 12)`; `None` when that can't be seen (another user's process).
pub(super) fn listener(port: u16) -> Option<String> {
    let sockets: HashSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let mut pids: Vec<u32> = std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.into_iter().find(|pid| holds(*pid, &sockets)).map(|pid| format!("{} (pid {pid})", name(pid)))
}

/// Inodes of the sockets that listen on `port`, from the text of `/proc/net/tcp`.
fn listening(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, hex) = fields.get(1)?.rsplit_once(':')?;
            let same = u16::from_str_radix(hex, 16).ok()? == port && *fields.get(3)? == LISTEN;
            same.then(|| fields.get(9)?.parse().ok()).flatten()
        })
        .collect()
}

fn holds(pid: u32, sockets: &HashSet<String>) -> bool {
    let folder = format!("/proc/{pid}/fd");
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.to_str().is_some_and(|t| sockets.contains(t)))
    })
}

/// The program's name; for an interpreter its script too, since `python3` alone says little.
fn name(pid: u32) -> String {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split(|b| *b == 0).map(String::from_utf8_lossy).filter(|w| !w.is_empty());
    let base =
        |path: &str| Path::new(path).file_name().map_or_else(|| path.into(), |n| n.to_string_lossy().into_owned());
    let Some(program) = words.next() else {
        return std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    };
    let program = base(&program);
    match words.next() {
        Some(script)
            if !script.starts_with('-')
                && ["python", "node", "ruby", "perl"].iter().any(|i| program.starts_with(i)) =>
        {
            format!("{program} {}", base(&script))
        }
        _ => program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n   \
             1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0\n   \
             2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 0\n";
        assert_eq!(listening(table, 8080), [4242]);
    }

    #[test]
    fn a_port_of_this_process_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listener(socket.local_addr().unwrap().port()).unwrap();
        assert!(found.ends_with(&format!("(pid {})", std::process::id())), "{found}");
    }
}
