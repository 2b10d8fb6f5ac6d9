//! How much memory a function's process and its children hold, and the end of those that hold too much.
//!
//! Looked at, not fenced in: a limit of the kernel on addresses (RLIMIT_AS, RLIMIT_DATA) ends runtimes that reserve far
//! more than they use, and a control group needs rights that a process of a user doesn't have.

use std::time::Duration;

use crate::Config;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Reads `128Mi`, `64M`, `1G`, `134217728`: bytes, as Kubernetes (and, in lower case, an engine) writes them; `None` when
/// it is no size, or none at all.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let factor = match &text[end..] {
        "" | "b" | "B" => 1.0,
        "k" | "K" => 1e3,
        "M" | "m" => 1e6,
        "G" | "g" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = text[..end].parse::<f64>().ok()? * factor;
    (1.0..1e18).contains(&bytes).then_some(bytes as u64)
}

/// Ends when a process and its descendants hold more than [`Config::memory_limit`], with what to say about it; never
/// when there is no limit, or no way to look.
pub(crate) async fn exceeded(config: &Config, process: u32) -> String {
    let Some(limit) = config.memory_limit else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK).await;
        let held = resident(process);
        if held > limit {
            return format!("killed: it held {} MiB, and its memory limit is {} MiB", held >> 20, limit >> 20);
        }
    }
}

/// Bytes that a process and all its descendants hold. What they share is counted for each: a limit should hold rather
/// than be a little higher.
fn resident(process: u32) -> u64 {
    let mut all = vec![process];
    let mut next = 0;
    let mut pages = 0;
    while let Some(process) = all.get(next).copied() {
        next += 1;
        let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
        pages += statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for thread in threads.filter_map(Result::ok) {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("128Mi", 134_217_728),
            ("64M", 64_000_000),
            ("64m", 64_000_000),
            ("1.5Gi", 1_610_612_736),
            ("1000", 1000),
            ("2Ki", 2048),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "Mi", "-1", "1Xi", "lots", "0", "0.1", "1e99", "1.2.3M"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_child_counts_with_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (with, alone) = (resident(std::process::id()), resident(child.id()));
        assert!(alone > 0 && with > alone, "{with} {alone}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
