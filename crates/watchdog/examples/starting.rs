//! How long a watchdog takes from its start until it listens, and how much memory it holds then.
//! `starting PROGRAM PORT [RUNS]`, with the variables that it is to have; prints microseconds, sorted, and kB.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [program, port, ..] = &words[..] else { return Err("starting PROGRAM PORT [RUNS]".into()) };
    let runs = words.get(2).map_or(Ok(50), |runs| runs.parse::<usize>())?;
    let address = (Ipv4Addr::LOCALHOST, port.parse::<u16>()?);
    let (mut times, mut held) = (Vec::new(), String::new());
    for _ in 0..runs {
        let begun = Instant::now();
        let mut child = Command::new(program).env("port", port).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("it does not listen".into());
            }
            std::hint::spin_loop();
        }
        times.push(begun.elapsed().as_micros());
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        held = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default().to_owned();
        child.kill()?;
        child.wait()?;
    }
    times.sort_unstable();
    println!("listens after {} us at best, {} median; {}", times[0], times[runs / 2], held.replace('\t', " "));
    Ok(())
}
