//! Tags as faas-cli writes them, and what an image says of where it came from. Needs the test beds (`make test`).

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Done, Test, bed};

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Two functions, with a tag of their own and without, built over nothing and without an engine.
fn project(registry: &str) -> Test {
    let mut stack =
        "version: 1.0\nprovider: {name: openfaas, gateway: \"http://127.0.0.1:8080\"}\nfunctions:\n".to_owned();
    for (name, tag) in [("a", ":1.0"), ("b", "")] {
        stack += &format!(
            "  {name}: {{lang: bash, handler: ./f, image: \"{registry}/test/names-{name}{tag}\", build_args: {{BASE: scratch}}}}\n"
        );
    }
    Test::new().file("stack.yml", stack).file("f/handler.sh", "cat\n").file("f/sub/y", "x\n").env("FAAS_ENGINE", "none")
}

fn ours(done: &Done, tag: &str) -> Vec<String> {
    let built = done.then().args(["build", "--tag", tag, "--output", "json"]).run().json();
    let names = built.as_array().unwrap().iter().map(|one| one["artifact"]["reference"].as_str().unwrap().to_owned());
    names.collect()
}

/// What faas-cli calls the same images.
fn theirs(cli: &Path, done: &Done, tag: &str) -> Vec<String> {
    let tag = format!("--tag={tag}");
    let output =
        Command::new(cli).args(["generate", &tag, "-f", "stack.yml"]).current_dir(done.dir()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.trim().strip_prefix("image: ").map(str::to_owned)).collect()
}

#[test]
fn tags_are_faas_clis_byte_for_byte() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let cli = std::env::var_os("FAAS_TESTBED_BIN").map(|dir| PathBuf::from(dir).join("faas-cli"));
    let Some(cli) = cli.filter(|cli| cli.is_file()) else {
        eprintln!("skipped: no real faas-cli at hand");
        return;
    };
    let done = project(&registry).arg("validate").run();
    assert_eq!(ours(&done, "digest"), theirs(&cli, &done, "digest"));
    // There, the error of git became the tag.
    assert!(theirs(&cli, &done, "sha")[0].contains("fatal"));
    done.then().args(["build", "--tag", "sha"]).status(1).stderr_has("--tag needs a git repository").run();
    git(&done.dir(), &["init", "-q", "-b", "main"]);
    git(&done.dir(), &["commit", "-q", "--allow-empty", "-m", "one"]);
    let alike = |tags: &[&str]| {
        for tag in tags {
            let (ours, theirs) = (ours(&done, tag), theirs(&cli, &done, tag));
            assert_eq!((ours.len(), &ours), (2, &theirs), "{tag}");
        }
    };
    alike(&["latest", "sha", "branch", "describe", "digest"]);
    git(&done.dir(), &["tag", "v1.2"]);
    git(&done.dir(), &["commit", "-q", "--allow-empty", "-m", "two"]);
    std::fs::write(done.dir().join("f/handler.sh"), "tac\n").unwrap();
    alike(&["sha", "describe", "digest"]);
    // A tag can't have what a branch's name may; faas-cli asks the engine for one that is none.
    git(&done.dir(), &["checkout", "-q", "-b", "feature/x"]);
    let replaced: Vec<String> =
        theirs(&cli, &done, "branch").iter().map(|name| name.replace("feature/x", "feature-x")).collect();
    assert_eq!(ours(&done, "branch"), replaced);
}

#[test]
fn images_say_where_they_come_from() {
    let Some(registry) = bed("FAAS_REGISTRY") else { return };
    let image = format!("{registry}/test/origin-{}", std::process::id());
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: dockerfile, handler: ./f, image: \"{image}\"}}\n"
    );
    let test = Test::new().file("stack.yml", stack).file("f/Dockerfile", "FROM scratch\nCOPY . /\n");
    let done = test.file(".gitignore", "build\n").arg("validate").run();
    let dir = done.dir();
    git(&dir, &["init", "-q", "-b", "main"]);
    git(&dir, &["remote", "add", "origin", "https://me:hunter2@git.example/shop/tax.git"]);
    git(&dir, &["add", "-A"]);
    git(&dir, &["commit", "-q", "-m", "one"]);
    git(&dir, &["tag", "v1.2"]);
    let commit = git(&dir, &["rev-parse", "HEAD"]);
    let labels = |name: &str| -> serde_json::Value {
        let output = Command::new("docker").args(["inspect", "-f", "{{json .Config.Labels}}", name]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let key = |name: &str| format!("org.opencontainers.image.{name}");
    for builder in ["1", "0"] {
        let done = done.then().env("DOCKER_BUILDKIT", builder).args(["build", "--no-cache"]).run();
        let found = labels(&image);
        assert_eq!(found[key("revision")], commit.as_str());
        assert_eq!(found[key("source")], "https://git.example/shop/tax", "without the login");
        assert_eq!(found[key("version")], "v1.2");
        done.then().args(["build", "--no-cache", "--build-label", &format!("{}=mine", key("source"))]).run();
        assert_eq!(labels(&image)[key("source")], "mine");
    }
    // A commit alone builds nothing; a change that is not committed is told.
    git(&dir, &["commit", "-q", "--allow-empty", "-m", "two"]);
    done.then().args(["build", "--no-cache"]).run();
    assert_eq!(labels(&image)[key("revision")], git(&dir, &["rev-parse", "HEAD"]).as_str());
    assert!(labels(&image).get(key("version")).is_none());
    git(&dir, &["commit", "-q", "--allow-empty", "-m", "three"]);
    done.then().arg("build").stderr("f: unchanged\n").run();
    std::fs::write(dir.join("f/Dockerfile"), "FROM scratch\nCOPY . /x\n").unwrap();
    done.then().arg("build").run();
    assert!(labels(&image)[key("revision")].as_str().unwrap().ends_with("-dirty"));
    let _ = Command::new("docker").args(["rmi", "-f", &image]).output();
}
