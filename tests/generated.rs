//! What is made from the code is what the code makes now; and the schema is held against stacks by a validator of others.
use std::path::Path;
use std::process::Command;

use crate::support::Test;

#[test]
fn pages_and_schema_are_fresh() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for (file, args) in [
        ("commands.md", vec!["man", "--markdown"]),
        ("stack-keys.md", vec!["explain", "--keys"]),
        ("errors.md", vec!["explain", "--errors"]),
        ("stack.schema.json", vec!["explain", "--schema"]),
    ] {
        let made = Test::new().args(args).run().stdout;
        let there = std::fs::read_to_string(docs.join(file)).expect("the file");
        // assert_eq would print both.
        assert!(made == there, "docs/{file} is stale: run `make generated`");
    }
}

#[test]
fn codes_of_errors_have_pages_and_stand_in_json_and_in_what_people_read() {
    let page = Test::new().args(["explain", "E0101"]).run().stdout;
    assert!(page.starts_with("# FAAS-E0101: there is no stack file\n") && page.contains("- `faas new NAME"), "{page}");
    Test::new().args(["explain", "faas-e101", "--output", "json"]).stdout_has("\"code\": \"FAAS-E0101\"").run();
    Test::new().args(["explain", "E0999"]).status(4).stderr_has("no error has the code E0999").run();
    let json = |args: &[&str]| {
        let done = Test::new().args(args.iter().copied()).args(["--output", "json"]).status(2).run();
        serde_json::from_str::<serde_json::Value>(&done.stderr).expect("JSON")["error"]["code"].clone()
    };
    assert_eq!(json(&["up"]), "FAAS-E0101");
    assert_eq!(json(&["rollout", "set", "a.b.c", "x=1"]), "FAAS-E0002");
    Test::new().args(["up"]).status(2).stderr_has("\nmore: faas explain E0101\n").run();
    // Whose words are faas-cli's knows no `faas`.
    let theirs = Test::new().called("faas-cli").args(["up"]).status(1).run();
    assert!(!theirs.stderr.contains("faas explain"), "{}", theirs.stderr);
}

/// What the validator says of a stack: nothing, or what is wrong.
fn validated(text: &str) -> Option<String> {
    const CHECK: &str = "import json, sys\nfrom jsonschema import Draft202012Validator, Draft7Validator, validators\n\
        schema = json.load(open(sys.argv[1])); stack = json.loads(sys.stdin.read())\n\
        cls = validators.validator_for(schema); cls.check_schema(schema)\n\
        errors = sorted(cls(schema).iter_errors(stack), key=str)\n\
        print('\\n'.join('/'.join(map(str, e.absolute_path)) + ': ' + e.message for e in errors))\n";
    let value: serde_json::Value = serde_saphyr::from_str(text).expect("YAML");
    let mut python = Command::new("python3");
    python
        .args(["-W", "ignore", "-c", CHECK])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stack.schema.json"));
    let mut child = python
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("python3");
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), value.to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("No module named 'jsonschema'") {
        eprintln!("skipped: python3 has no jsonschema");
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn a_validator_of_others_takes_good_stacks_and_refuses_bad_ones_by_the_schema() {
    let head = "provider: {name: local}\nfunctions:\n  tax:\n    lang: python3\n    handler: ./tax\n";
    let good = [
        String::new(),
        "    timeout: 30s\n    scale: {min: 0, max: 5, target: 50, idle: 5m}\n    secrets: [key]\n    url: public\n"
            .into(),
        "    environment: {A: b, N: 1}\n    labels: {team: a}\n    schedule: \"*/5 * * * *\"\n    concurrency: 10\n"
            .into(),
        "    limits: {memory: 128Mi, cpu: 100m}\n    requests: {memory: 64Mi}\n    lambda: {runtime: python3.13}\n"
            .into(),
        "targets:\n  prod: {provider: {name: lambda}, environment: {A: null}, functions: {tax: {timeout: 5s}}}\n"
            .into(),
    ];
    for more in good {
        match validated(&format!("{head}{more}")) {
            None => return,
            Some(said) => assert_eq!(said, "", "{head}{more}"),
        }
    }
    for (more, at) in [
        ("    timout: 30s\n", "timout"),
        ("    scale: {mni: 1}\n", "mni"),
        ("    url: publik\n", "publik"),
        ("    secrets: 7\n", "secrets"),
        ("    concurrency: -1\n", "concurrency"),
        ("targets: [prod]\n", "targets"),
    ] {
        let said = validated(&format!("{head}{more}")).expect("the validator");
        assert!(said.contains(at), "{more}: {said:?}");
    }
    let said = validated("provider: {name: locale}\nfunctions: {}\n").expect("the validator");
    assert!(said.contains("locale"), "{said}");
}

/// SchemaStore's own rules of what it takes: https://github.com/SchemaStore/schemastore/blob/master/CONTRIBUTING.md
#[test]
fn the_schema_is_as_schemastore_wants_it() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stack.schema.json")).expect("it");
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    // Draft 7 is the newest that all of its editors read.
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert!(
        schema["$id"].as_str().is_some_and(|id| id.starts_with("https://") && id.ends_with(".json")),
        "{}",
        schema["$id"]
    );
    assert!(schema["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert_eq!(schema["type"], "object");
    assert!(text.ends_with("}\n") && !text.contains('\t') && !text.contains('\r'));
    fn look(value: &serde_json::Value, at: &str) {
        if let Some(map) = value.as_object() {
            if let Some(properties) = map.get("properties").and_then(serde_json::Value::as_object) {
                for (name, property) in properties {
                    let about = property.get("description").and_then(serde_json::Value::as_str);
                    assert!(about.is_some_and(|text| !text.is_empty()), "{at}/{name} has no description");
                }
            }
            map.iter().for_each(|(key, below)| look(below, &format!("{at}/{key}")));
        }
    }
    look(&schema, "");
}
