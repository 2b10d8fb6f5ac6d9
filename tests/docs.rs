//! The documentation, typed in as it stands: blocks marked `<!-- tested -->` are run in a folder, block after block, and
//! what they print is compared; those marked `<!-- run -->` are only run; `<!-- file NAME -->` writes one. `...` stands for anything.
use std::path::Path;
use std::process::Command;

use crate::support::{Done, Local, Test, bed};

/// A step of a page.
#[derive(Debug)]
enum Step {
    File(String, String),
    Run { line: usize, command: String, expected: Vec<String> },
}

/// Marks a block whose commands are run, whatever they print.
const RUN: &str = "<!-- run -->";

fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut lines) = (Vec::new(), page.lines().enumerate());
    while let Some((_, line)) = lines.next() {
        let file = line.strip_prefix("<!-- file ").and_then(|rest| rest.strip_suffix(" -->"));
        if file.is_none() && line != "<!-- tested -->" && line != RUN {
            continue;
        }
        let (_, fence) = lines.next().expect("a block follows the mark");
        assert!(fence.starts_with("```"), "no block after `{line}`");
        let block: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        if let Some(name) = file {
            steps.push(Step::File(name.into(), block.iter().map(|(_, line)| format!("{line}\n")).collect()));
            continue;
        }
        let shown: Vec<String> = if line == RUN { vec!["...".into()] } else { Vec::new() };
        for (number, line) in block {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step::Run { line: number + 1, command: command.into(), expected: shown.clone() });
                }
                (None, Some(Step::Run { expected, .. })) => expected.push(line.into()),
                _ => panic!("line {}: what is printed stands before any command", number + 1),
            }
        }
    }
    steps
}

/// Whether the lines are as expected: `...` alone is any lines, within a line any text.
fn alike(expected: &[String], said: &[&str]) -> bool {
    match (expected.split_first(), said.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "..." => (0..=said.len()).any(|skipped| alike(rest, &said[skipped..])),
        (Some((first, rest)), Some((line, more))) => {
            let parts: Vec<&str> = first.split("...").map(str::trim_end).collect();
            let fits = match parts.as_slice() {
                [whole] => *whole == line.trim_end(),
                [start, .., end] => line.starts_with(start) && line.ends_with(end),
                [] => false,
            };
            fits && alike(rest, more)
        }
        _ => false,
    }
}

/// Types the text of a page in: its files go to `dir`, its lines to a shell that `shell` sets up. `said` changes what is
/// printed to what the page would have.
pub fn type_in(page: &str, text: &str, dir: &Path, shell: impl Fn(&mut Command), said: impl Fn(&str) -> String) {
    let steps = steps(text);
    assert!(!steps.is_empty(), "{page} has nothing that is tested");
    let bin = Path::new(env!("CARGO_BIN_EXE_faas")).parent().expect("a folder").to_owned();
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let path = std::env::join_paths([bin].into_iter().chain(path)).expect("PATH");
    for step in steps {
        match step {
            Step::File(name, text) => {
                let file = dir.join(name);
                std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
                std::fs::write(file, text).expect("written");
            }
            Step::Run { line, command, expected } => {
                let mut bash = Command::new("bash");
                bash.args(["-c", &command]).current_dir(dir).env_clear();
                shell(&mut bash);
                let output = bash.env("PATH", &path).output().expect("bash");
                let said = said(&String::from_utf8_lossy(&output.stdout));
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{page}:{line}: `{command}` failed\n{said}{told}");
                let lines: Vec<&str> = said.lines().collect();
                assert!(
                    alike(&expected, &lines),
                    "{page}:{line}: `{command}` prints something else\nexpected:\n{}\nsaid:\n{said}",
                    expected.join("\n")
                );
            }
        }
    }
}

/// A page.
pub fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).expect("the page")
}

/// Types a page in that works with the embedded platform.
fn typed(name: &str) {
    typed_beside(name, &[]);
}

/// The same, with files that the page takes for granted.
fn typed_beside(name: &str, files: &[(&str, &str)]) {
    // The platform's port is chosen here, where others may have the usual one.
    let mut test = Test::new().args(["local", "start", "--port", "0", "--output", "json"]);
    for (path, text) in files {
        test = test.file(path, text);
    }
    let start = test.run();
    let _stop = Local::of(&start);
    let url = start.json()["url"].as_str().expect("url").to_owned();
    typed_in(name, &page(name), &start, &url);
}

/// Types a page in, in the place of `start`, whose platform is at `url`.
fn typed_in(name: &str, text: &str, start: &Done, url: &str) {
    let shell = |bash: &mut Command| {
        bash.env("HOME", start.home()).env("FAAS_HOME", start.faas_home()).envs(
            ["PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE"].into_iter().filter_map(|n| Some((n, std::env::var_os(n)?))),
        );
    };
    type_in(name, text, &start.dir(), shell, |said| said.replace(url, "http://127.0.0.1:8080"));
}

#[test]
fn the_readme_works_as_it_stands() {
    typed("../README.md");
}

#[test]
fn the_tour_works_as_it_stands() {
    typed("tour.md");
}

#[test]
fn what_pages_show_of_single_commands_works_as_it_stands() {
    for name in ["images.md", "local-run.md", "template-store.md"] {
        let start = Test::new().args(["version"]).run();
        typed_in(name, &page(name), &start, "http://127.0.0.1:8080");
    }
}

/// What is shown as typed at a prompt is tried by a test, on every page.
#[test]
fn no_console_block_of_a_page_is_left_out() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for entry in std::fs::read_dir(docs).expect("docs") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // The tour of Knative, whole, is typed in by `knative/tour.rs`.
        let text = match path.ends_with("knative.md") {
            true => text.split_once("\n## A tour\n").expect("a tour").0.to_owned(),
            false => text,
        };
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let tried = number > 0 && lines[number - 1] == "<!-- tested -->";
            assert!(line.trim() != "```console" || tried, "{}:{}: nothing tries this", path.display(), number + 1);
        }
    }
}

#[test]
fn deployments_are_listed_and_gone_back_to_as_their_page_has_it() {
    typed("history.md");
}

#[test]
fn secrets_go_in_and_are_sealed_as_their_page_has_it() {
    let stack = "name: shop\nprovider: {name: local}\nfunctions:\n  \
                 tax: {lang: bash, handler: ./tax, secrets: [api-key, db-pass]}\n  \
                 vat: {lang: bash, handler: ./vat, secrets: [api-key]}\n";
    let handler = "handle() { cat; }\n";
    typed_beside(
        "secrets.md",
        &[
            ("stack.yml", stack),
            ("tax/handler.sh", handler),
            ("vat/handler.sh", handler),
            ("password.txt", "one"),
            (".secrets/api-key", "two"),
        ],
    );
}

/// Every stack file that a page shows is one.
#[test]
fn stack_files_of_the_pages_are_valid() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut seen = 0;
    for entry in std::fs::read_dir(docs).expect("docs") {
        let path = entry.expect("an entry").path();
        let text = if path.extension().is_some_and(|e| e == "md") { std::fs::read_to_string(&path) } else { continue };
        let text = text.expect("text");
        for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```")).map(|(block, _)| block)
        {
            let name = |word: &str| block.lines().any(|line| line.starts_with(word));
            // A part of one, or a file of others.
            if !name("provider:") || !name("functions:") || name("service:") {
                continue;
            }
            seen += 1;
            let test = Test::new().file("stack.yml", block).args(["config", "view"]);
            let output = test.command().output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("warning"), "{}:\n{block}\n{said}", path.display());
        }
    }
    assert!(seen >= 5, "{seen} stack files are shown");
}

#[test]
fn the_tour_of_openfaas_works_as_it_stands_on_a_real_gateway() {
    let (Some(url), Some(password), Some(registry)) =
        (bed("OPENFAAS_URL"), bed("OPENFAAS_PASSWORD_FILE"), bed("FAAS_REGISTRY"))
    else {
        return;
    };
    // What is another one here: the gateway, the registry, and the image below the function's own.
    let text = page("openfaas.md")
        .replace("gateway: http://127.0.0.1:8080", &format!("gateway: {url}"))
        .replace("registry.example.com/shop/", &format!("{registry}/docs/"))
        .replace(
            "    handler: ./greet\n",
            &format!("    handler: ./greet\n    build_args: {{BASE: {registry}/base/python:3.11}}\n"),
        );
    let password = std::fs::read_to_string(&password).expect("the password");
    let start = Test::new().file("password.txt", password).args(["version"]).run();
    let clean = || {
        for args in [["remove", "greet"], ["secret", "remove"]] {
            let mut test = start.then().args(args);
            if args[0] == "secret" {
                test = test.arg("greet-word");
            }
            let mut left = test.args(["--gateway", &url]).command();
            let _ = left.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
        }
    };
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| typed_in("openfaas.md", &text, &start, &url)));
    clean();
    if let Err(failed) = done {
        std::panic::resume_unwind(failed);
    }
}

/// Every chapter is a page, and no link between them leads nowhere.
#[test]
fn the_book_is_whole() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).expect("SUMMARY.md");
    let links = |text: &str| -> Vec<String> {
        let parts = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        parts
            .map(|(link, _)| link.split('#').next().unwrap_or_default().to_owned())
            .filter(|link| !link.is_empty())
            .collect()
    };
    let chapters = links(&summary);
    for chapter in &chapters {
        let text = std::fs::read_to_string(docs.join(chapter)).unwrap_or_else(|e| panic!("{chapter}: {e}"));
        for link in links(&text).iter().filter(|link| link.ends_with(".md") && !link.contains("://")) {
            assert!(docs.join(link).exists(), "docs/{chapter} leads to {link}, which is not there");
        }
    }
}

#[test]
fn what_is_expected_of_a_page_is_really_compared() {
    let expected = |lines: &[&str]| lines.iter().map(|&l| l.to_owned()).collect::<Vec<_>>();
    assert!(alike(&expected(&["a", "...", "z"]), &["a", "b", "c", "z"]));
    assert!(alike(&expected(&["a ... c"]), &["a  b c"]));
    assert!(!alike(&expected(&["a"]), &["a", "b"]));
    assert!(!alike(&expected(&["a", "...", "z"]), &["a", "b"]));
    assert!(!alike(&expected(&[]), &["a"]));
}
