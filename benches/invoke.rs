//! `faas invoke` of 1 KB and of 200 MB, beside curl and (with FAAS_CLI set) the real faas-cli, in one run:
//! `cargo bench --bench invoke`. Wall time and peak memory of whole processes; the server counts and drops the body.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SMALL: usize = 1 << 10;
const LARGE: usize = 200 << 20;

struct Peer {
    name: &'static str,
    program: String,
    args: Vec<String>,
}

fn main() {
    let url = sink();
    let dir = tempfile::tempdir().expect("temp dir");
    let (small, large) = (dir.path().join("1k.bin"), dir.path().join("200m.bin"));
    write(&small, SMALL);
    write(&large, LARGE);
    let mut peers = vec![Peer {
        name: "faas",
        program: std::env::var("FAAS_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_faas").to_owned()),
        args: ["invoke", "-g", &url, "f"].map(Into::into).into(),
    }];
    if let Ok(program) = std::env::var("FAAS_CLI") {
        peers.push(Peer { name: "faas-cli", program, args: ["invoke", "-g", &url, "f"].map(Into::into).into() });
    }
    let to = format!("{url}/function/f");
    peers.push(Peer {
        name: "curl -T -",
        program: "curl".into(),
        args: ["-s", "-X", "POST", "-T", "-", &to].map(Into::into).into(),
    });
    // `cargo test --benches` only wants to see that it runs.
    let timed = std::env::args().any(|arg| arg == "--bench");
    measure(&peers, &small, "1 KB", if timed { 100 } else { 1 }, dir.path());
    measure(&peers, &large, "200 MB", if timed { 7 } else { 1 }, dir.path());
}

/// Turn by turn, so that what else the machine does falls on all of them alike.
fn measure(peers: &[Peer], body: &Path, size: &str, rounds: usize, home: &Path) {
    let mut times = vec![Vec::new(); peers.len()];
    let mut memory = vec![0; peers.len()];
    for round in 0..=rounds {
        for (at, peer) in peers.iter().enumerate() {
            let (time, peak) = run(peer, body, home);
            // The first round fills caches.
            if round > 0 {
                times[at].push(time);
                memory[at] = peak.max(memory[at]);
            }
        }
    }
    println!("{size}, {rounds} runs each");
    println!("{:<12} {:>12} {:>12} {:>10} {:>10}", "", "median ms", "min ms", "ratio", "peak MiB");
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    for (at, peer) in peers.iter().enumerate() {
        let min = times[at][0].as_secs_f64() * 1e3;
        let (ratio, mib) = (medians[0] / medians[at], memory[at] as f64 / 1024.0);
        println!("{:<12} {:>12.2} {min:>12.2} {ratio:>10.2} {mib:>10.1}", peer.name, medians[at]);
    }
    println!("ratio: faas over this one\n");
}

/// Wall time, and the peak of resident memory in KiB where the process lived long enough to be looked at.
fn run(peer: &Peer, body: &Path, home: &Path) -> (Duration, u64) {
    let start = Instant::now();
    let mut child = Command::new(&peer.program)
        .args(&peer.args)
        .env_remove("OPENFAAS_URL")
        .env("HOME", home)
        .env("FAAS_HOME", home)
        .current_dir(home)
        .stdin(File::open(body).expect("body"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", peer.program));
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()) else {
                return peak;
            };
            peak = peak.max(kib);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let ended = child.wait().expect("end");
    let time = start.elapsed();
    assert!(ended.success(), "{} failed: {ended}", peer.name);
    (time, watcher.join().expect("watcher"))
}

fn write(path: &Path, length: usize) {
    let mut file = File::create(path).expect("file");
    let mut state = 1_u64;
    let mut piece = Vec::with_capacity(1 << 20);
    let mut left = length;
    while left > 0 {
        piece.clear();
        while piece.len() < left.min(1 << 20) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            piece.extend_from_slice(&state.to_be_bytes());
        }
        piece.truncate(left.min(1 << 20));
        file.write_all(&piece).expect("write");
        left -= piece.len();
    }
}

/// A server that reads bodies, chunked or not, and answers `ok`.
fn sink() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = drain(stream);
            });
        }
    });
    url
}

fn drain(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, stream.try_clone()?);
    let (mut length, mut chunked, mut expects) = (0, false, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= line == "transfer-encoding: chunked";
        expects |= line == "expect: 100-continue";
    }
    if expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let skip = |reader: &mut BufReader<TcpStream>, n: u64| std::io::copy(&mut reader.take(n), &mut std::io::sink());
    if chunked {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
            skip(&mut reader, size + 2)?;
            if size == 0 {
                break;
            }
        }
    } else {
        skip(&mut reader, length)?;
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}
