//! The portability matrix: the same handler in every language and shape, the same requests, the same answers, wherever it
//! runs. `FAAS_PORTABILITY_WRITE=1` writes what was found to docs/portability.md; `FAAS_PORTABILITY_ROWS=a,b` asks some
//! rows alone.

mod columns;
mod emulator;
mod matrix;
mod requests;
mod webhook;

use crate::support::platform::Platform;
use crate::support::{Done, Test};

use columns::{Knative, Lambda, OpenFaas, name, plain, project, secrets, with_tools};
use matrix::{ROWS, Row, ask_all, assert_green, excluded, keep, rows};
use requests::{Place, Target};

#[test]
fn every_handler_answers_alike_as_a_process() {
    let column = "local, process";
    let only = std::env::var_os("FAAS_PORTABILITY_ROWS").is_some();
    let rows: Vec<&Row> = if only { rows() } else { ROWS.iter().collect() };
    let platform = Platform::with(project("{name: local}", &rows, ""), &[]);
    secrets(&platform.faas(["validate"]).run(), "127.0.0.1", &["-g", &platform.url]);
    platform.faas(["up", "-g", &platform.url, "--parallel", "2"]).run();
    let address = platform.url.trim_start_matches("http://").to_owned();
    let cells = ask_all(&rows, column, |row| {
        let place = Place::Http { address: address.clone(), host: None, prefix: format!("/function/{}", name(row)) };
        Ok(Target { place, plain: plain(row) })
    });
    keep(column, &cells);
    assert_green(&cells);
}

#[test]
fn every_handler_answers_alike_as_a_container_behind_openfaas() {
    let rows = rows();
    let Some(platform) = OpenFaas::up(&rows) else { return };
    let cells = ask_all(&rows, "OpenFaaS, container", |row| platform.target(row));
    keep("OpenFaaS, container", &cells);
    assert_green(&cells);
}

#[test]
fn every_handler_answers_alike_on_knative() {
    let rows = rows();
    let Some(platform) = Knative::up(&rows) else { return };
    let cells = ask_all(&rows, "Knative", |row| platform.target(row));
    keep("Knative", &cells);
    assert_green(&cells);
}

#[test]
fn every_handler_answers_alike_as_an_archive_on_lambda() {
    let rows = rows();
    for (column, wrapped) in [("Lambda, zip as bootstrap", false), ("Lambda, zip by exec wrapper", true)] {
        let Some(lambda) = Lambda::built(&rows, column) else { return };
        // Custom runtimes start the bootstrap and nothing else.
        let can = |row: &&&'static Row| excluded(row, column).is_none() && (!wrapped || lambda.managed(row));
        let rows: Vec<&Row> = rows.iter().filter(can).copied().collect();
        let cells = ask_all(&rows, column, |row| lambda.archive(row, wrapped));
        keep(column, &cells);
        assert_green(&cells);
    }
}

#[test]
fn every_handler_answers_alike_as_an_image_on_lambda() {
    let rows = rows();
    let column = "Lambda, image";
    let Some(lambda) = Lambda::built(&rows, column) else { return };
    let cells = ask_all(&rows, column, |row| lambda.image(row));
    keep(column, &cells);
    assert_green(&cells);
}

#[test]
fn what_new_makes_passes_its_own_tests() {
    let listed = Test::new().args(["template", "list", "--output", "json"]).run().json();
    let mut names: Vec<String> = Vec::new();
    let mut made: Option<Done> = None;
    for template in listed.as_array().expect("templates") {
        let lang = template["name"].as_str().expect("a name");
        if lang == "dockerfile" || template["unproven"].is_string() {
            continue;
        }
        let shapes: Vec<&str> =
            template["shapes"].as_array().into_iter().flatten().filter_map(|s| s.as_str()).collect();
        for shape in if shapes.is_empty() { vec![""] } else { shapes } {
            let name = format!("{lang}{}{shape}", if shape.is_empty() { "" } else { "-" });
            let test = made.as_ref().map_or_else(|| with_tools(Test::new()), Done::then);
            let mut test = test.args(["new", &name, "--lang", lang]);
            if !shape.is_empty() {
                test = test.args(["--shape", shape]);
            }
            let done = if made.is_some() { test.args(["--append", "stack.yml"]).run() } else { test.run() };
            made.get_or_insert(done);
            names.push(name);
        }
    }
    let made = made.expect("a template");
    let done = made.then().args(["test", "--parallel", "2", "--output", "json"]).run();
    let lines = done.json();
    let passed: Vec<&str> = lines
        .as_array()
        .expect("lines")
        .iter()
        .filter(|line| line["outcome"] == "passed" && line["code"] == 0)
        .filter_map(|line| line["name"].as_str())
        .collect();
    assert_eq!(passed, names, "{lines}");
}

#[test]
fn tests_that_fail_are_shown_and_end_with_1() {
    let done = Test::new().args(["new", "tax", "--lang", "python3"]).run();
    let handler = done.dir().join("tax/handler.py");
    std::fs::write(handler, "def handle(req):\n    return 'other'\n").expect("handler");
    let run = done.then().args(["test"]).status(1).stderr_has("the tests of 1 of 1 functions failed").run();
    assert!(run.stdout.starts_with("tax: failed (exit code 1, "), "{}", run.stdout);
    assert!(run.stdout.contains("AssertionError: 'other' != 'hello'"), "{}", run.stdout);
    // Once, and with the paths of the user's own files.
    assert!(!run.stderr.contains("AssertionError"), "{}", run.stderr);
    assert!(run.stdout.contains("File \"tax/test_handler.py\", line"), "{}", run.stdout);
    assert!(!run.stdout.contains("bundles/"), "{}", run.stdout);
    let lines = done.then().args(["test", "tax", "--output", "json"]).status(1).run().json();
    assert_eq!((&lines[0]["outcome"], &lines[0]["code"]), (&"failed".into(), &1.into()));
    done.then().args(["test", "vat"]).status(4).stderr_has("no function `vat`").run();
}

#[test]
fn functions_without_tests_are_told_and_end_with_1() {
    let all = [
        ("python3", "test_handler.py"),
        ("node", "handler.test.js"),
        ("ruby", "test/handler_test.rb"),
        ("bash", "test.sh"),
        ("php", "tests/handler.php"),
        ("lua", "test.lua"),
        ("perl", "t/handler.t"),
        ("go", "handler_test.go"),
    ];
    let mut made: Option<Done> = None;
    for (lang, test) in all {
        let new = made.as_ref().map_or_else(|| with_tools(Test::new()), Done::then).args(["new", lang, "--lang", lang]);
        let done = if made.is_some() { new.args(["--append", "stack.yml"]).run() } else { new.run() };
        std::fs::remove_file(done.dir().join(lang).join(test)).expect("a test");
        made.get_or_insert(done);
    }
    let made = made.expect("functions");
    let done = made.then().args(["test", "--output", "json"]).status(1).run();
    for ((lang, _), line) in all.iter().zip(done.json().as_array().expect("lines")) {
        assert_eq!((&line["outcome"], &line["output"]), (&"none".into(), &"no tests found".into()), "{lang}: {line}");
    }
    let names: Vec<&str> = all.iter().map(|(lang, _)| *lang).collect();
    assert!(done.stderr.contains(&format!("no tests were found for {}", names.join(", "))), "{}", done.stderr);
    made.then()
        .args(["test", "bash"])
        .status(1)
        .stdout("bash: not tested: no tests found\n")
        .stderr_has("`faas new NAME --lang LANG` makes a function with a test to begin with")
        .run();
}
