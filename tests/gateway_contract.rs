//! The 75 questions of `tests/beds/openfaas/contract.py`, put to the embedded platform: answered as OpenFaaS's programs
//! answered them, or otherwise in a way that `docs/gateway-answers.md` gives the reason for.

use std::process::Command;

use crate::support::platform::Platform;
use serde_json::{Value, json};

/// Where we answer otherwise: the question, and what has to be changed in OpenFaaS's answer (as RFC 7386 says it) to
/// get ours.
fn differences() -> Vec<(&'static str, Value)> {
    let took = json!({"headers": {"x-duration-seconds": "V"}});
    let no_image = json!({
        "IMAGE_DEFAULT": null, "NODE_EXTRA_CA_CERTS": null, "PIP_BREAK_SYSTEM_PACKAGES": null, "PIP_CERT": null,
        "PIP_DISABLE_PIP_VERSION_CHECK": null, "REQUESTS_CA_BUNDLE": null, "SSL_CERT_FILE": null,
    });
    let described =
        |calls: f64| json!({"body": {"envVars": no_image, "limits": {"memory": "64Mi"}, "invocationCount": calls}});
    let length = |length: &str| {
        json!({
            "body": {"headers": {"Transfer-Encoding": null, "Content-Length": length}},
            "headers": {"x-duration-seconds": "V"},
        })
    };
    vec![
        ("health without a body", json!({"status": 200})),
        ("deploy, bad JSON", json!({"body": "key must be a string at line 1 column 2\n"})),
        (
            "deploy, no such image",
            json!({"body": "unable to run image 127.0.0.1:5000/fn/none:latest for ct-none: the embedded platform runs \
                functions as processes, from a bundle; `faas up` with provider `local` makes it from the function's \
                template\n"}),
        ),
        ("describe", described(1.0)),
        ("invoke", length("5")),
        ("invoke with path and query", took.clone()),
        ("invoke, namespace in the name", length("1")),
        ("invoke, status and header kept", took.clone()),
        ("invoke, status 500", took.clone()),
        ("the secret inside", took.clone()),
        ("the environment inside", took.clone()),
        ("the new secret inside", took.clone()),
        ("describe a sleeping function", described(11.0)),
        ("invoke wakes it", took.clone()),
        ("namespace create", json!({"status": 201, "headers": {"content-type": null}, "body": ""})),
        ("update, secret missing", json!({"body": "unable to find secret: ct-two\n"})),
        ("the new environment inside", took),
    ]
}

fn patch(target: &mut Value, with: &Value) {
    let Value::Object(fields) = with else {
        *target = with.clone();
        return;
    };
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(name);
        } else {
            patch(&mut target[name.as_str()], value);
        }
    }
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn questions_are_answered_as_openfaas_answered_them() {
    let bed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/beds/openfaas");
    let platform = Platform::start();
    // The same function: only its port and the place of its secrets are the platform's to say.
    let mut server = std::fs::read_to_string(format!("{bed}/echo/server.py")).unwrap();
    for (container, process) in [
        ("\"/var/openfaas/secrets/\"", "os.environ[\"FAAS_SECRETS_DIR\"] + \"/\""),
        ("(\"0.0.0.0\", 8080)", "(\"127.0.0.1\", int(os.environ[\"PORT\"]))"),
    ] {
        assert!(server.contains(container), "the bed's function has changed");
        server = server.replace(container, process);
    }
    platform.bundle("echo", &[("server.py", &server)], "");
    let asked = Command::new("python3")
        .arg(format!("{bed}/contract.py"))
        .arg(&platform.url)
        .arg(platform.local.join("token"))
        // The gateway's port also takes what OpenFaaS leaves to the provider's: a scale to 0.
        .args(["--provider", &platform.url])
        .arg("--bundle")
        .arg(platform.dir().join("echo"))
        .env_remove("FAAS_REGISTRY")
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let ours = rows(&String::from_utf8(asked.stdout).unwrap());
    let mut expected = rows(&std::fs::read_to_string(format!("{bed}/answers-openfaas.jsonl")).unwrap());
    assert_eq!(expected.len(), 75);
    assert_eq!(ours.len(), expected.len());
    let differences = differences();
    for row in &mut expected {
        if let Some((_, change)) = differences.iter().find(|(ask, _)| row["ask"] == *ask) {
            patch(row, change);
        }
    }
    for (ours, expected) in ours.iter().zip(&expected) {
        assert_eq!(ours, expected, "{}", expected["ask"]);
    }
}

#[test]
fn every_difference_is_written_down() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/gateway-answers.md")).unwrap();
    for (ask, _) in differences() {
        assert!(document.contains(&format!("`{ask}`")), "docs/gateway-answers.md says nothing about `{ask}`");
    }
}
