//! How long the shortest commands take, beside (with FAAS_CLI set) the real faas-cli's, in one run, the cost of
//! starting any process taken off: `cargo bench --bench start`. Memory needs GNU time.
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    let faas = std::env::var("FAAS_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_faas").to_owned());
    let mut programs = vec![
        ("a process".to_owned(), vec!["/bin/true".to_owned()]),
        ("faas --version".into(), vec![faas.clone(), "--version".into()]),
        ("faas --help".into(), vec![faas, "--help".into()]),
    ];
    if let Ok(peer) = std::env::var("FAAS_CLI") {
        let version = vec![peer.clone(), "version".into(), "--short-version".into()];
        programs.push(("faas-cli version --short-version".into(), version));
        programs.push(("faas-cli --help".into(), vec![peer, "--help".into()]));
    }
    // `cargo test --benches` only wants to see that it runs.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { 400 } else { 1 };
    let mut times = vec![Vec::with_capacity(rounds); programs.len()];
    for round in 0..=rounds {
        // Turn by turn, so that what else the machine does falls on all of them alike.
        for (at, (_, command)) in programs.iter().enumerate() {
            let time = run(command);
            if round > 0 {
                times[at].push(time);
            }
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    println!("{rounds} runs each, median");
    println!("{:<34} {:>10} {:>16} {:>10}", "", "wall ms", "less a process", "peak MiB");
    for (at, (name, command)) in programs.iter().enumerate() {
        let memory = peak(command).map_or("-".into(), |kib| format!("{:.1}", kib / 1024.0));
        println!("{name:<34} {:>10.2} {:>16.2} {memory:>10}", medians[at], medians[at] - medians[0]);
    }
}

fn run(command: &[String]) -> Duration {
    let start = Instant::now();
    let status = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|e| panic!("{}: {e}", command[0]));
    let time = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    time
}

/// Peak resident memory in KiB.
fn peak(command: &[String]) -> Option<f64> {
    let output = Command::new("/usr/bin/time").args(["-f", "%M"]).args(command).stdin(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stderr).lines().last()?.trim().parse().ok()
}
