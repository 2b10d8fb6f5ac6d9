//! `faas build --shrinkwrap` of many functions: the first time, and when nothing changed since; beside it `cp -r` of the
//! same files and, when `FAAS_CLI` names it, the real faas-cli. `FUNCTIONS` (1000) and `RUNS` (7) may be set.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HANDLER: &str = "a handler of some two hundred bytes, which is what small functions are made of, line after line after \
                       line, until it is as long as the one that the figures of the other program were taken with\n";

fn main() {
    let number =
        |name: &str, otherwise: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (functions, runs) = (number("FUNCTIONS", 1000), number("RUNS", 7));
    // On a tmpfs where there is one, so that the disk does not decide.
    let shm = Path::new("/dev/shm");
    let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("faas-bench-").tempdir_in(base).expect("a temporary folder");
    let project = dir.path().join("project");
    lay_out(&project, functions);
    // What changed just before it is looked at is not trusted; nobody's project is that new.
    std::thread::sleep(Duration::from_millis(200));

    let ours = std::env::var("FAAS_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_faas").to_owned());
    let faas =
        |args: &[&str]| timed(Command::new(&ours).args(args).env("FAAS_HOME", dir.path().join("home")), &project);
    let shrinkwrap = ["build", "--shrinkwrap"];
    println!("{functions} functions, median of {runs} runs, in ms\n");
    println!("{:<44}{:>8}{:>8}{:>8}", "", "median", "min", "max");
    row("cp -r of the result", runs, || {
        remove(&project.join("build"));
        faas(&shrinkwrap);
        let copy = dir.path().join("copy");
        let took = timed(Command::new("cp").arg("-r").arg(project.join("build")).arg(&copy), &project);
        remove(&copy);
        took
    });
    let first = row("faas build --shrinkwrap, first time", runs, || {
        remove(&project.join("build"));
        remove(&dir.path().join("home"));
        faas(&shrinkwrap)
    });
    let unchanged = row("faas build --shrinkwrap, nothing changed", runs, || faas(&shrinkwrap));
    row("faas --version (the start of the process)", runs, || faas(&["--version"]));
    let Ok(cli) = std::env::var("FAAS_CLI") else {
        println!("\nFAAS_CLI names no faas-cli to compare with");
        return;
    };
    let cli = |args: &[&str]| timed(Command::new(&cli).args(args), &project);
    let theirs_first = row("faas-cli build --shrinkwrap, first time", runs, || {
        remove(&project.join("build"));
        cli(&shrinkwrap)
    });
    let theirs = row("faas-cli build --shrinkwrap, nothing changed", runs, || cli(&shrinkwrap));
    println!(
        "\nfirst time: {:.1} times as fast; nothing changed: {:.1} times",
        theirs_first / first,
        theirs / unchanged
    );
}

fn lay_out(project: &Path, functions: usize) {
    let write = |path: PathBuf, text: &str| {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let mut stack =
        "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:\n".to_owned();
    for n in 0..functions {
        stack += &format!("  f{n}:\n    lang: echo\n    handler: ./f{n}\n    image: 127.0.0.1:5000/b/f{n}:latest\n");
        write(project.join(format!("f{n}/handler.txt")), HANDLER);
    }
    write(project.join("stack.yml"), &stack);
    write(project.join("template/echo/template.yml"), "language: echo\nfprocess: cat\n");
    write(
        project.join("template/echo/Dockerfile"),
        "FROM scratch\nWORKDIR /home/app\nCOPY function function\nENV fprocess=cat\nEXPOSE 8080\nCMD [\"cat\"]\n",
    );
    write(project.join("template/echo/function/handler.txt"), HANDLER);
}

fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}

/// How long a command takes, in milliseconds.
fn timed(command: &mut Command, folder: &Path) -> f64 {
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let took = started.elapsed().as_secs_f64() * 1000.0;
    assert!(status.success(), "{command:?}: {status}");
    took
}

/// Prints a row of the table; gives the median.
fn row(name: &str, runs: usize, mut run: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<f64> = (0..runs.max(1)).map(|_| run()).collect();
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("{name:<44}{median:>8.1}{:>8.1}{:>8.1}", times[0], times[times.len() - 1]);
    median
}
