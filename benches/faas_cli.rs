//! The commands of faas-cli, side by side with it (FAAS_CLI): the same folder, the same gateway, turn by turn. Deploying 100
//! functions to a gateway that takes 50 ms for each answer, cloning the templates of a stack of 20 functions, and every
//! short command. `RUNS` (5) may be set; processor time holds on a busy machine, wall time does not.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes that came to the gateways and went from them, headers included.
static WIRE: AtomicU64 = AtomicU64::new(0);

fn main() {
    let number = |name: &str, other: usize| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(other);
    // `cargo test --benches` only wants to see that it runs.
    let runs = if std::env::args().any(|arg| arg == "--bench") { number("RUNS", 5) } else { 1 };
    let dir = tempfile::Builder::new().prefix("faas-bench-").tempdir().expect("a folder");
    let link = dir.path().join("faas-cli");
    let faas = std::env::var("FAAS_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_faas").to_owned());
    std::os::unix::fs::symlink(&faas, &link).expect("a link");
    let bench = Bench { dir: dir.path().to_owned(), ours: link, theirs: std::env::var("FAAS_CLI").ok(), runs };
    println!("{runs} runs each, turn by turn; medians of wall ms, means of CPU ms and of bytes on the wire\n");
    println!("{:<44}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}", "", "ours", "theirs", "CPU", "CPU", "wall", "bytes");
    bench.deploys();
    bench.templates();
    bench.commands();
}

struct Bench {
    dir: PathBuf,
    ours: PathBuf,
    theirs: Option<String>,
    runs: usize,
}

/// Wall and processor time in ms, and bytes.
struct Took {
    wall: f64,
    cpu: f64,
    bytes: f64,
}

impl Bench {
    fn deploys(&self) {
        let gateway = gateway(Duration::from_millis(50));
        let functions: String = (0..100)
            .map(|n| format!("  f{n}:\n    lang: dockerfile\n    skip_build: true\n    image: r/f{n}:1\n"))
            .collect();
        let stack = format!("version: 1.0\nprovider:\n  name: openfaas\n  gateway: {gateway}\nfunctions:\n{functions}");
        self.file("stack.yml", &stack);
        self.row("deploy of 100, 50 ms an answer", &["deploy"], None, &|| {});
        self.row("the same, not waiting until they answer", &["deploy"], Some(&["deploy", "--no-wait"]), &|| {});
    }

    fn templates(&self) {
        let repo = self.dir.join("repos/templates");
        let names: Vec<String> = (0..10).map(|n| format!("lang{n}")).collect();
        for name in &names {
            let template = repo.join("template").join(name);
            std::fs::create_dir_all(template.join("function")).expect("a folder");
            write(&template.join("template.yml"), &format!("language: {name}\nfprocess: cat\n"));
            for n in 0..20 {
                write(&template.join(format!("function/part{n}.txt")), &format!("{name} {n}\n").repeat(50));
            }
        }
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(args).current_dir(&repo);
            assert!(git.stdout(Stdio::null()).status().expect("git").success(), "git {args:?}");
        };
        git(&["init", "--quiet"]);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "-m", "one"]);
        let (daemon, url) = daemon(&self.dir.join("repos"));
        let stack = |functions: &dyn Fn(usize) -> String, templates: &str| {
            let functions: String = (0..20)
                .map(|n| {
                    let lang = functions(n);
                    self.file(&format!("f{n}/part0.txt"), "own\n");
                    format!("  f{n}:\n    lang: {lang}\n    handler: ./f{n}\n    image: r/f{n}:1\n")
                })
                .collect();
            let head = "version: 1.0\nprovider:\n  name: openfaas\nconfiguration:\n  templates:\n";
            self.file("stack.yml", &format!("{head}{templates}functions:\n{functions}"));
        };
        let entry = |name: &str| format!("    - name: {name}\n      source: {url}\n");
        let cold = || {
            for gone in ["template", "build", "template.lock", "../home-ours/cache", "../home-theirs"] {
                let _ = std::fs::remove_dir_all(self.dir.join("project").join(gone));
            }
        };
        let again = || {
            for gone in ["template", "build"] {
                let _ = std::fs::remove_dir_all(self.dir.join("project").join(gone));
            }
        };
        let all: String = names.iter().map(|name| entry(name)).collect();
        stack(&|_| "lang0".into(), &entry("lang0"));
        self.row("contexts of 20, one language to clone", &["build", "--shrinkwrap"], None, &cold);
        stack(&|n| format!("lang{}", n % 10), &all);
        self.row("contexts of 20, ten languages to clone", &["build", "--shrinkwrap"], None, &cold);
        self.row("the same, with what was fetched before", &["build", "--shrinkwrap"], None, &again);
        self.row("template pull stack, ten entries", &["template", "pull", "stack"], None, &cold);
        drop(daemon);
    }

    fn commands(&self) {
        let gateway = gateway(Duration::ZERO);
        let stack = format!(
            "version: 1.0\nprovider:\n  name: openfaas\n  gateway: {gateway}\nfunctions:\n  f:\n    lang: dockerfile\n    \
             handler: ./f0\n    image: r/f:1\n"
        );
        let _ = std::fs::remove_dir_all(self.dir.join("project/template"));
        self.file("stack.yml", &stack);
        self.file("template/dockerfile/template.yml", "language: dockerfile\n");
        self.file("template/dockerfile/function/Dockerfile", "FROM scratch\n");
        self.file("token.txt", "e30.e30.e30\n");
        self.file("f0/Dockerfile", "FROM scratch\n");
        let store = format!("{gateway}/functions.json");
        let templates = format!("{gateway}/templates.json");
        let commands: &[&[&str]] = &[
            &["version", "--short-version"],
            &["version", "--warn-update=false"],
            &["list"],
            &["describe", "f"],
            &["deploy"],
            &["diff"],
            &["invoke", "f"],
            &["logs", "f", "--tail=false"],
            &["ready"],
            &["ready", "f"],
            &["remove"],
            &["namespace", "list"],
            &["namespace", "create", "dev"],
            &["secret", "list"],
            &["secret", "create", "s", "--from-literal", "v"],
            &["secret", "remove", "s"],
            &["secret", "generate"],
            &["secret", "keygen"],
            &["secret", "seal", "key.pub", "--from-literal", "a=b"],
            &["secret", "unseal", "key"],
            &["login", "-p", "pw"],
            &["logout"],
            &["generate"],
            &["build", "--shrinkwrap"],
            &["store", "list", "-u", &store],
            &["store", "describe", "figlet", "-u", &store],
            &["store", "deploy", "figlet", "-u", &store],
            &["template", "store", "list", "-u", &templates],
            &["registry-login", "-u", "me", "--password", "pw"],
            &["print-token", "token.txt"],
            &["completion", "--shell", "bash"],
            &["--help"],
        ];
        for command in commands {
            let mut args = command.to_vec();
            let asks =
                !["generate", "build", "--help", "completion", "print-token", "registry-login"].contains(&args[0]);
            let key = ["generate", "keygen", "seal", "unseal"];
            if asks && !args.get(1).is_some_and(|verb| key.contains(verb)) && args[0] != "template" {
                args.extend(["-g", &gateway]);
                args.retain(|arg| *arg != "-g" || command[0] != "store" || command[1] == "deploy");
                if command[0] == "store" && command[1] != "deploy" {
                    args.pop();
                }
            }
            let waits_not = ["deploy", "store"].contains(&command[0]) && command.last() != Some(&"list");
            let ours: Vec<&str> =
                args.iter().copied().chain((waits_not && args.contains(&"deploy")).then_some("--no-wait")).collect();
            let shown = command.iter().filter(|arg| !arg.starts_with("http")).copied().collect::<Vec<_>>().join(" ");
            // A login to forget, in both homes.
            let before = || {
                if command[0] == "logout" {
                    for home in ["home-ours", "home-theirs"] {
                        let folder = self.dir.join(home).join(".openfaas");
                        std::fs::create_dir_all(&folder).expect("a folder");
                        let text = format!("auths:\n  - gateway: {gateway}\n    auth: basic\n    token: YTpi\n");
                        std::fs::write(folder.join("config.yml"), text).expect("a file");
                    }
                }
            };
            self.row(&shown, &args, Some(&ours), &before);
        }
    }

    /// A row: ours and theirs in turns, `before` ahead of each.
    fn row(&self, name: &str, theirs: &[&str], ours: Option<&[&str]>, before: &dyn Fn()) {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=self.runs {
            let programs = [
                Some((self.ours.display().to_string(), ours.unwrap_or(theirs), "home-ours")),
                self.theirs.clone().map(|path| (path, theirs, "home-theirs")),
            ];
            for (at, program) in programs.into_iter().enumerate() {
                let Some((path, args, home)) = program else { continue };
                before();
                let took = self.run(&path, args, home);
                // The first round fills the machine's caches.
                if round > 0 || self.runs == 1 {
                    times[at].push(took);
                }
            }
        }
        let median = |times: &[Took]| {
            let mut walls: Vec<f64> = times.iter().map(|took| took.wall).collect();
            walls.sort_by(f64::total_cmp);
            walls[walls.len() / 2]
        };
        #[allow(clippy::cast_precision_loss, reason = "few runs")]
        let mean = |times: &[Took], of: fn(&Took) -> f64| times.iter().map(of).sum::<f64>() / times.len() as f64;
        let [our, their] = &times;
        let (wall, cpu, bytes) = (median(our), mean(our, |t| t.cpu), mean(our, |t| t.bytes));
        if their.is_empty() {
            return println!("{name:<44}{wall:>9.1}{:>9}{cpu:>9.1}", "-");
        }
        let (their_wall, their_cpu, their_bytes) = (median(their), mean(their, |t| t.cpu), mean(their, |t| t.bytes));
        let share = if their_bytes > 0.0 { format!("{:.2}", bytes / their_bytes) } else { "-".into() };
        println!(
            "{name:<44}{wall:>9.1}{their_wall:>9.1}{cpu:>9.1}{their_cpu:>9.1}{:>7.1}x{share:>8}",
            their_wall / wall
        );
    }

    fn run(&self, program: &str, args: &[&str], home: &str) -> Took {
        let home = self.dir.join(home);
        std::fs::create_dir_all(&home).expect("a folder");
        let (cpu, bytes, start) = (children_ms(), WIRE.load(Ordering::Relaxed), Instant::now());
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir.join("project")).env_clear();
        command.env("HOME", &home).env("FAAS_HOME", &home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{program}: {e}"));
        let took = Took {
            wall: start.elapsed().as_secs_f64() * 1e3,
            cpu: children_ms() - cpu,
            #[allow(clippy::cast_precision_loss, reason = "few bytes")]
            bytes: (WIRE.load(Ordering::Relaxed) - bytes) as f64,
        };
        let said = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // `diff` says by its exit code that there are differences.
        assert!(output.status.success() || args[0] == "diff", "{program} {args:?}: {}", said());
        took
    }

    fn file(&self, path: &str, text: &str) {
        write(&self.dir.join("project").join(path), text);
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Processor time of all children that have ended, in ms.
fn children_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let rest = stat.rsplit(')').next().unwrap_or_default();
    // 16 and 17 of proc(5), in ticks of 10 ms.
    rest.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// A server of git repositories, ended when dropped.
fn daemon(folder: &Path) -> (impl Drop + use<>, String) {
    struct Daemon(std::process::Child);
    impl Drop for Daemon {
        fn drop(&mut self) {
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let child = Command::new("git")
        .args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", &format!("--port={port}")])
        .arg(format!("--base-path={}", folder.display()))
        .arg(folder)
        .stderr(Stdio::null())
        .spawn()
        .expect("git daemon");
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (Daemon(child), format!("git://127.0.0.1:{port}/templates"))
}

/// A gateway that keeps connections open, and takes so long for each answer.
fn gateway(delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let own: Arc<str> = url.clone().into();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let own = own.clone();
            std::thread::spawn(move || serve(&stream, delay, &own));
        }
    });
    url
}

fn serve(stream: &TcpStream, delay: Duration, own: &str) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (0, 0);
        let mut first = String::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(read) if read > 0 => head += read,
                _ => return,
            }
            if first.is_empty() {
                first.clone_from(&line);
            }
            let lower = line.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        std::thread::sleep(delay);
        let (status, kind, text) = answer(&first, own);
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        WIRE.fetch_add((head + length + answer.len()) as u64, Ordering::Relaxed);
        if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(line: &str, own: &str) -> (&'static str, &'static str, String) {
    const JSON: &str = "application/json";
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/functions.json") => (
            "200 OK",
            JSON,
            r#"{"version":"0.2.1","functions":[{"title":"Figlet","name":"figlet","author":"openfaas","description":"x","images":{"x86_64":"r/f:1"},"repo_url":"x"}]}"#.into(),
        ),
        ("GET", "/templates.json") => (
            "200 OK",
            JSON,
            format!(r#"[{{"template":"py","platform":"x86_64","language":"Python","source":"acme","description":"x","repo":"{own}/r","official":"true"}}]"#),
        ),
        ("GET", "/system/logs") => ("200 OK", "application/x-ndjson", "{\"name\":\"f\",\"timestamp\":\"2026-01-02T03:04:05Z\",\"text\":\"x\"}\n".into()),
        ("GET", "/system/secrets") => ("200 OK", JSON, r#"[{"name":"other"}]"#.into()),
        ("GET", "/system/info") => ("200 OK", JSON, r#"{"provider":{"provider":"p","version":{"sha":"a","release":"1"},"orchestration":"o"},"version":{"sha":"a","release":"1"},"arch":"x86_64"}"#.into()),
        ("GET", path) if path.starts_with("/system/function/") => (
            "200 OK",
            JSON,
            format!(r#"{{"name":"{}","image":"r/f:1","replicas":1,"availableReplicas":1}}"#, path.rsplit('/').next().unwrap_or_default()),
        ),
        ("GET", path) if path.starts_with("/system/") => ("200 OK", JSON, "[]".into()),
        (_, path) if path.starts_with("/system/") => ("202 Accepted", "text/plain", String::new()),
        _ => ("200 OK", "text/plain", "ok".into()),
    }
}
