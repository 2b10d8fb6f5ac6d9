//! The portability matrix: the same handler in every language, the same requests, the same answers, wherever it runs.
//! `FAAS_PORTABILITY_WRITE=1` writes what was found to docs/portability.md.

mod requests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::Test;
use crate::support::platform::Platform;

use requests::{REQUESTS, Target};

/// The templates, and the names of requests that their handlers can't answer, with the reason.
const LANGUAGES: &[(&str, &[&str], &str)] = &[
    (
        "bash",
        &[
            "a JSON body",
            "a query",
            "a header sent twice",
            "cookies",
            "a path",
            "methods",
            "status codes",
            "a redirect",
            "cookies set",
            "a JSON answer",
            "a text answer",
            "a streamed answer",
            "an error's message",
        ],
        "prints a body; status and header fields are the invoker's",
    ),
    ("go", &[], ""),
    ("java", &[], ""),
    ("node", &[], ""),
    ("node-express", &[], ""),
    ("perl", &[], ""),
    ("php", &[], ""),
    ("python3", &[], ""),
    ("python3-flask", &[], ""),
    ("python3-http", &[], ""),
    ("ruby", &[], ""),
    ("rust", &[], ""),
    ("typescript", &[], ""),
];

fn handlers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/portability")
}

/// A stack with one function a language.
fn stack(provider: &str) -> String {
    let mut text = format!("version: 1.0\nprovider: {{name: {provider}}}\nfunctions:\n");
    for (lang, _, _) in LANGUAGES {
        text += &format!(
            "  {lang}:\n    lang: {lang}\n    handler: ./{lang}\n    image: {lang}:latest\n    environment: {{PROBE: set}}\n"
        );
    }
    text
}

/// Compilers and package managers find what they keep in the home of whoever runs the tests.
fn with_tools(mut test: Test) -> Test {
    // Whether it is fast is no question here, how long it takes to compile is.
    test = test.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    let home = std::env::var("HOME").unwrap_or_default();
    for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo"), ("npm_config_cache", ".npm")] {
        let folder = std::env::var(name).unwrap_or_else(|_| format!("{home}/{folder}"));
        if Path::new(&folder).is_dir() {
            test = test.env(name, folder);
        }
    }
    match std::env::var("GOCACHE") {
        Ok(folder) => test.env("GOCACHE", folder),
        Err(_) => test.env("GOCACHE", format!("{home}/.cache/go-build")),
    }
}

/// What became of each request, by language: nothing when it went well, else why not.
type Column = BTreeMap<&'static str, BTreeMap<&'static str, Result<(), String>>>;

fn ask_all(target: impl Fn(&str) -> Target) -> Column {
    let mut column = Column::new();
    for (lang, lacks, _) in LANGUAGES {
        let target = target(lang);
        let asked = REQUESTS.iter().filter(|(name, _)| !lacks.contains(name));
        column.insert(lang, asked.map(|(name, ask)| (*name, ask(&target))).collect());
    }
    column
}

#[track_caller]
fn assert_green(column: &Column) {
    let mut red = String::new();
    for (lang, answers) in column {
        for (name, answer) in answers {
            if let Err(why) = answer {
                red += &format!("{lang}: {name}: {why}\n");
            }
        }
    }
    assert!(red.is_empty(), "not alike:\n{red}");
}

#[test]
fn every_language_answers_alike_as_a_process() {
    let layout = |to: &Path| {
        for (lang, _, _) in LANGUAGES {
            crate::support::copy_tree(&handlers().join(lang), &to.join(lang));
        }
    };
    let test = with_tools(Test::new().file("stack.yml", stack("local")).layout(layout));
    let platform = Platform::with(test, &[]);
    platform.faas(["up", "-g", &platform.url, "--parallel", "2"]).run();
    let address = platform.url.trim_start_matches("http://").to_owned();
    let column = ask_all(|lang| Target { address: address.clone(), prefix: format!("/function/{lang}") });
    write_matrix(&[("local, process", &column)]);
    assert_green(&column);
}

#[test]
fn what_new_makes_passes_its_own_tests() {
    let (first, others) = LANGUAGES.split_first().expect("a language");
    let made = with_tools(Test::new()).args(["new", first.0, "--lang", first.0]).run();
    for (lang, _, _) in others {
        made.then().args(["new", lang, "--lang", lang, "--append", "stack.yml"]).run();
    }
    let done = made.then().args(["test", "--parallel", "2", "--output", "json"]).run();
    let lines = done.json();
    let passed: Vec<&str> = lines
        .as_array()
        .expect("lines")
        .iter()
        .filter(|line| line["outcome"] == "passed" && line["code"] == 0)
        .filter_map(|line| line["name"].as_str())
        .collect();
    assert_eq!(passed, LANGUAGES.iter().map(|(lang, _, _)| *lang).collect::<Vec<_>>(), "{lines}");
}

#[test]
fn tests_that_fail_are_shown_and_end_with_1() {
    let done = Test::new().args(["new", "tax", "--lang", "python3"]).run();
    let handler = done.dir().join("tax/handler.py");
    std::fs::write(handler, "def handle(req):\n    return 'other'\n").expect("handler");
    let run = done.then().args(["test"]).status(1).stderr_has("the tests of 1 of 1 functions failed").run();
    assert!(run.stdout.starts_with("tax: failed (exit code 1, "), "{}", run.stdout);
    assert!(run.stdout.contains("AssertionError: 'other' != 'hello'"), "{}", run.stdout);
    let lines = done.then().args(["test", "tax", "--output", "json"]).status(1).run().json();
    assert_eq!((&lines[0]["outcome"], &lines[0]["code"]), (&"failed".into(), &1.into()));
    done.then().args(["test", "vat"]).status(4).stderr_has("no function `vat`").run();
}

/// Writes docs/portability.md when that was asked for.
fn write_matrix(columns: &[(&str, &Column)]) {
    if std::env::var_os("FAAS_PORTABILITY_WRITE").is_none() {
        return;
    }
    let mut text = String::from(
        "# Portability\n\nWritten by `FAAS_PORTABILITY_WRITE=1 cargo test --test suite portability`: the same handler in every \
         template, asked the same\nrequests wherever it ran. A cell says how many were answered alike.\n\n",
    );
    let heads: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    text += &format!("| template | {} | can't |\n|---|{}---|\n", heads.join(" | "), "---|".repeat(heads.len()));
    for (lang, lacks, why) in LANGUAGES {
        let cells = columns.iter().map(|(_, column)| match column.get(lang) {
            Some(answers) => {
                let good = answers.values().filter(|answer| answer.is_ok()).count();
                format!("{good} of {}", answers.len())
            }
            None => "not run".into(),
        });
        let lacking = if lacks.is_empty() { String::new() } else { format!("{}: {why}", lacks.join(", ")) };
        text += &format!("| {lang} | {} | {lacking} |\n", cells.collect::<Vec<_>>().join(" | "));
    }
    text += "\nThe requests:\n\n";
    for (name, _) in REQUESTS {
        text += &format!("- {name}\n");
    }
    for (column, answers) in columns {
        for (lang, answers) in answers.iter() {
            for (name, answer) in answers {
                if let Err(why) = answer {
                    text += &format!("\n{column}, {lang}, {name}: {why}\n");
                }
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/portability.md");
    std::fs::write(path, text).expect("docs/portability.md");
}
