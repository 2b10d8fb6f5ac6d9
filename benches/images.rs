//! `faas build` of images: nothing changed, one changed, everything new; beside faas-cli (`FAAS_CLI` names it) and the
//! engine's own build. Needs a container engine and
//! `FAAS_REGISTRY` with the base images of the test beds. `FUNCTIONS` (20) and `RUNS` (7) may be set.
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    let number =
        |name: &str, otherwise: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (functions, runs) = (number("FUNCTIONS", 20), number("RUNS", 7));
    let Ok(registry) = std::env::var("FAAS_REGISTRY") else {
        println!("FAAS_REGISTRY names no registry with base images: nothing measured");
        return;
    };
    let dir = tempfile::Builder::new().prefix("faas-bench-").tempdir().expect("a temporary folder");
    let project = dir.path().join("project");
    lay_out(&project, functions, &registry);
    std::thread::sleep(std::time::Duration::from_millis(200));

    let ours = std::env::var("FAAS_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_faas").to_owned());
    let faas = || timed(Command::new(&ours).arg("build").env("FAAS_HOME", dir.path().join("home")), &project);
    faas();
    println!("{functions} images, nothing changed, median of {runs} runs, in ms\n");
    println!("{:<44}{:>8}{:>8}{:>8}", "", "median", "min", "max");
    let mine = row("faas build", runs, faas);
    let cli = std::env::var("FAAS_CLI").ok();
    let cli_build = |more: &[&str]| {
        let cli = cli.as_deref().unwrap_or_default();
        timed(Command::new(cli).arg("build").args(more), &project)
    };
    match &cli {
        None => println!("\nFAAS_CLI names no faas-cli to compare with\n"),
        Some(_) => {
            cli_build(&["--parallel", "1"]);
            let one = row("faas-cli build --parallel 1", runs, || cli_build(&["--parallel", "1"]));
            let four = row("faas-cli build --parallel 4", runs, || cli_build(&["--parallel", "4"]));
            println!("\n{:.0} times as fast as one at a time, {:.0} times as fast as four\n", one / mine, four / mine);
        }
    }

    println!("{functions} images, one changed\n");
    let changes = std::cell::Cell::new(0);
    let change = || {
        changes.set(changes.get() + 1);
        let text = format!("changed {} times, {}\n", changes.get(), std::process::id());
        std::fs::write(project.join("f0/handler.txt"), text).expect("a file");
    };
    let mine = row("faas build", runs, || {
        change();
        faas()
    });
    let own = row("the engine's own build of that one", runs, || {
        change();
        let handler = project.join("f0/handler.txt");
        std::fs::copy(handler, project.join("build/f0/function/handler.txt")).expect("a copy");
        let mut docker = Command::new("docker");
        timed(
            docker
                .args(["build", "-q", "-t", &format!("{registry}/bench/f0:latest"), "build/f0"])
                .env("DOCKER_BUILDKIT", "1"),
            &project,
        )
    });
    if cli.is_some() {
        let theirs = row("faas-cli build --parallel 4", runs, || {
            change();
            cli_build(&["--parallel", "4"])
        });
        println!("\n{:.0} times as fast as faas-cli, {:.0} ms more than the engine's own\n", theirs / mine, mine - own);
    }

    println!("{functions} images, cold cache: every layer after the base is new\n");
    let salts = std::cell::Cell::new(0);
    let salt = || {
        salts.set(salts.get() + 1);
        format!("SALT={}-{}", std::process::id(), salts.get())
    };
    let cold = runs.min(3);
    for parallel in ["1", "4", "20"] {
        let args = ["build", "--parallel", parallel, "-b"];
        row(&format!("faas build --parallel {parallel}"), cold, || {
            timed(Command::new(&ours).args(args).arg(salt()).env("FAAS_HOME", dir.path().join("home")), &project)
        });
        row(&format!("faas build --parallel {parallel}, classic builder"), cold, || {
            let mut faas = Command::new(&ours);
            let faas =
                faas.args(args).arg(salt()).env("FAAS_HOME", dir.path().join("home")).env("DOCKER_BUILDKIT", "0");
            timed(faas, &project)
        });
        if cli.is_some() {
            row(&format!("faas-cli build --parallel {parallel}"), cold, || {
                cli_build(&["--parallel", parallel, "-b", &salt()])
            });
        }
    }
}

fn lay_out(project: &Path, functions: usize, registry: &str) {
    let write = |path: &str, text: &str| {
        let path = project.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    let mut stack =
        "version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:\n".to_owned();
    for n in 0..functions {
        stack += &format!("  f{n}:\n    lang: echo\n    handler: ./f{n}\n    image: {registry}/bench/f{n}:latest\n");
        write(&format!("f{n}/handler.txt"), &format!("the handler of f{n}\n"));
    }
    write("stack.yml", &stack);
    write("template/echo/template.yml", "language: echo\nfprocess: cat\n");
    write(
        "template/echo/Dockerfile",
        &format!(
            "FROM {registry}/base/debian:bookworm\nARG ADDITIONAL_PACKAGE\nARG SALT\nWORKDIR /home/app\n\
             RUN seq 200000 >numbers; echo $SALT\nCOPY function function\n\
             ENV fprocess=cat\nCMD [\"cat\"]\n"
        ),
    );
    write("template/echo/function/handler.txt", "of the template\n");
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
