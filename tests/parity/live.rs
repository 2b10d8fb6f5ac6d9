//! The real faas-cli and ours one after the other on the real gateway, engine and registry of the test beds: what each
//! says, and what is there afterwards.
use std::path::Path;
use std::process::Command;

use super::run;
use crate::support::bed;

const NAME: &str = "t-parity-live";

/// What one said: the command line, its exit code, its stdout.
type Said = Vec<(String, i32, String)>;

struct Live {
    url: String,
    password: String,
    image: String,
    base: String,
}

impl Live {
    fn stack(&self) -> String {
        format!(
            "version: 1.0\nprovider:\n  name: openfaas\n  gateway: {}\nfunctions:\n  {NAME}:\n    lang: dockerfile\n    \
             handler: ./fn\n    image: {}\n    environment:\n      GREETING: hello\n    labels:\n      team: shop\n",
            self.url, self.image
        )
    }

    /// Runs the lines with a program, in a home and a folder of its own; `=text` after a line is its stdin.
    fn session(&self, program: &Path, lines: &[(&str, &str)]) -> Said {
        let place = tempfile::Builder::new().prefix("parity-live-").tempdir().expect("a folder");
        let (dir, home) = (place.path().join("w"), place.path().join("home"));
        for (path, text) in [
            ("stack.yml", self.stack()),
            ("fn/Dockerfile", format!("FROM {}\nENV WHO=live\n", self.base)),
            ("template/dockerfile/template.yml", "language: dockerfile\n".into()),
            ("template/dockerfile/function/Dockerfile", "FROM scratch\n".into()),
        ] {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        std::fs::create_dir_all(&home).expect("a folder");
        let program = match program.file_name().is_some_and(|name| name == "faas-cli") {
            true => program.to_owned(),
            false => {
                let link = place.path().join("faas-cli");
                std::os::unix::fs::symlink(program, &link).expect("a link");
                link
            }
        };
        let mut said = Said::new();
        for (line, stdin) in lines {
            let once = || {
                let mut command = Command::new(&program);
                command.args(line.split(' ')).current_dir(&dir).env_clear();
                command.env("HOME", &home).env("FAAS_HOME", place.path().join("faas"));
                command.env("PATH", std::env::var_os("PATH").expect("PATH")).env("OPENFAAS_URL", &self.url);
                for name in ["DOCKER_HOST", "DOCKER_BUILDKIT"] {
                    if let Some(value) = std::env::var_os(name) {
                        command.env(name, value);
                    }
                }
                run::output(&mut command, &stdin.replace("{password}", &self.password))
            };
            let mut output = once();
            // The gateway calls a function ready a moment before it answers, and faas-cli believes it.
            for _ in 0..60 {
                if output.status.success() || !line.starts_with("invoke") {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(250));
                output = once();
            }
            let text = console::strip_ansi_codes(&String::from_utf8_lossy(&output.stdout)).into_owned();
            let mut shown = (*line).to_owned();
            if !output.status.success() {
                shown += &format!(" [{}]", String::from_utf8_lossy(&output.stderr));
            }
            said.push((shown, output.status.code().unwrap_or(-1), text));
        }
        said
    }
}

#[test]
fn both_say_and_do_the_same_on_the_real_gateway() {
    let (Some(url), Some(file)) = (bed("OPENFAAS_URL"), bed("OPENFAAS_PASSWORD_FILE")) else { return };
    let (Some(registry), Some(base)) = (bed("FAAS_REGISTRY"), bed("FAAS_ECHO_IMAGE")) else { return };
    let Some(real) = run::real() else { return eprintln!("skipped: no real faas-cli; FAAS_CLI names one") };
    let password = std::fs::read_to_string(file).expect("the password").trim().to_owned();
    let live = Live { url, password, image: format!("{registry}/parity/live:1"), base };
    let ours = Path::new(env!("CARGO_BIN_EXE_faas"));
    let login = ("login -s", "{password}");
    // What a run that was killed left behind.
    live.session(ours, &[login, ("remove", ""), ("secret remove t-parity-key", "")]);

    // Compared by what comes of it: what engines and registries print is theirs.
    let makes = [("build", ""), ("push", "")];
    let lines = [
        ("deploy", ""),
        ("ready t-parity-live", ""),
        ("describe t-parity-live", ""),
        ("diff", ""),
        ("invoke t-parity-live", "body"),
        ("invoke t-parity-live --query a=b -m PUT -H X-A:b", "body"),
        ("invoke t-parity-live -a", "body"),
        ("namespace list", ""),
        ("secret create t-parity-key --from-literal v", ""),
        ("secret list", ""),
        ("secret update t-parity-key", "w"),
        ("secret remove t-parity-key", ""),
        ("remove t-parity-live", ""),
        ("describe t-parity-live", ""),
        ("logout", ""),
    ];
    let mut sides = Vec::new();
    for program in [real.as_path(), ours] {
        let all: Vec<(&str, &str)> = [login].into_iter().chain(makes).chain(lines).collect();
        sides.push(live.session(program, &all));
    }
    let (theirs, ours) = (&sides[0], &sides[1]);
    for ((line, exit, text), (our_line, our_exit, our_text)) in theirs.iter().zip(ours) {
        assert_eq!((exit, line.split(" [").next()), (our_exit, our_line.split(" [").next()), "{line}\n{our_line}");
        if ["build", "push"].contains(&line.as_str()) || *exit != 0 {
            continue;
        }
        assert_eq!(without_time(text), without_time(our_text), "{line}");
    }
    assert!(theirs.iter().any(|(line, _, text)| line.starts_with("invoke") && !text.is_empty()), "{theirs:?}");
}

/// Without what is another each time (counts, header lines that an echo says back), and the marks of what ours deployed.
fn without_time(text: &str) -> String {
    const OTHER: &[&str] = &[
        "x-call-id",
        "x-start-time",
        "user-agent",
        "invocations:",
        "x-forwarded",
        "date:",
        "usage",
        "ram:",
        "cpu:",
        "annotations:",
        "faas.dev",
    ];
    if let Ok(mut echoed) = serde_json::from_str::<serde_json::Value>(text)
        && let Some(headers) = echoed.get_mut("headers").and_then(serde_json::Value::as_object_mut)
    {
        headers.retain(|name, _| ["content-type", "x-a"].contains(&name.to_lowercase().as_str()));
        return echoed.to_string();
    }
    let stays = |line: &&str| OTHER.iter().all(|word| !line.to_lowercase().contains(word));
    text.lines().filter(stays).collect::<Vec<_>>().join("\n")
}
