//! The store of functions, sealed secrets and what is generated for GitOps, as at a prompt.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::Test;
use crate::support::server::{Server, answer};

/// A store in OpenFaaS's format.
const STORE: &str = r#"{"version": "0.2.1", "functions": [
  {"title": "Figlet", "name": "figlet", "author": "openfaas", "description": "OpenFaaS figlet image. Generates ASCII logos from what is sent to it in the body of a request.",
   "images": {"x86_64": "ghcr.io/openfaas/figlet:latest", "arm64": "ghcr.io/openfaas/figlet:latest-arm64"},
   "repo_url": "https://github.com/openfaas/store-functions", "fprocess": "figlet",
   "environment": {"write_debug": "true"}, "labels": {"team": "store", "kind": "text"}, "annotations": {"topic": "store"}},
  {"title": "A function with a title that is longer than forty characters", "name": "long", "description": "x",
   "images": {"armhf": "ghcr.io/x/long:1"}, "repo_url": "https://example.com"}
]}"#;

fn store() -> Test {
    Test::new().file("store.json", STORE).arg("store")
}

#[test]
fn functions_by_platform() {
    store()
        .args(["list", "-u", "store.json", "-p", "X86_64"])
        .stdout("\nFUNCTION AUTHOR   DESCRIPTION\nfiglet   openfaas Figlet\n\n")
        .run();
    let server = Server::always("200 OK", "text/plain", STORE);
    store()
        .args(["ls", "--platform", "armhf", "--verbose=false"])
        .env("OPENFAAS_STORE", server.url.clone())
        .stdout("\nFUNCTION AUTHOR  DESCRIPTION\nlong     unknown A function with a title that is longe...\n\n")
        .run();
    let list = store().args(["list", "-j", "-u", "store.json", "-p", "arm64"]).run().json();
    assert_eq!((list[0]["name"].as_str(), list.as_array().map(Vec::len)), (Some("figlet"), Some(1)));
    assert!(list[0].get("readOnlyRootFilesystem").is_some() && list[0]["icon"] == "");
    store()
        .args(["list", "-u", "store.json", "-p", "s390x"])
        .stdout_has("try one of the following: arm64, armhf, x86_64")
        .run();
    store().args(["list", "-u", "none.json"]).status(4).stderr_has("there is no catalogue none.json").run();
}

#[test]
fn a_function_is_described() {
    let done = store().args(["inspect", "Figlet", "-u", "store.json", "-p", "x86_64"]).run();
    assert_eq!(
        done.stdout,
        "Title:       Figlet\nAuthor:      openfaas\nDescription: \nOpenFaaS figlet image. Generates ASCII logos from what is sent to it in the body\n\
         of a request.\n\nImage:    ghcr.io/openfaas/figlet:latest\nProcess:  figlet\nRepo URL: https://github.com/openfaas/store-functions\n\
         Environment:\n-  write_debug: true\n\nLabels:\n-  kind: text\n-  team: store\n\nAnnotations:\n-  topic: store\n\n"
    );
    let none = store().args(["describe", "long", "-u", "store.json", "-p", "x86_64"]).status(4).run();
    assert!(none.stderr.contains("function 'long' not found for platform 'x86_64'"), "{}", none.stderr);
    assert!(none.stderr.contains("it is there for armhf"), "{}", none.stderr);
}

/// What `store deploy` sends is what counts here; that a real gateway runs it is tested with the beds.
#[test]
fn bug_26_flags_win_over_the_store() {
    let server = Server::new(|asked| match asked.line.as_str() {
        "PUT /system/functions" => answer("404 Not Found", &[], ""),
        "POST /system/functions" => answer("202 Accepted", &[], ""),
        line if line.starts_with("GET /system/function/banner") => {
            answer("200 OK", &[("Content-Type", "application/json")], "{\"name\": \"banner\", \"replicas\": 1}")
        }
        line if line.starts_with("GET /system/functions") => {
            answer("200 OK", &[("Content-Type", "application/json")], "[]")
        }
        _ => answer("404 Not Found", &[], ""),
    });
    store()
        .args([
            "deploy",
            "figlet",
            "-u",
            "store.json",
            "-p",
            "arm64",
            "-g",
            &server.url,
            "--no-wait",
            "--name",
            "banner",
        ])
        .args([
            "--label",
            "team=mine",
            "--annotation",
            "topic=mine",
            "-e",
            "write_debug=false",
            "--memory-limit",
            "64Mi",
        ])
        .run();
    let sent = server.asked().into_iter().rfind(|asked| asked.line == "POST /system/functions").expect("a deploy");
    let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!((body["service"].as_str(), body["envProcess"].as_str()), (Some("banner"), Some("figlet")));
    assert_eq!(body["image"], "ghcr.io/openfaas/figlet:latest-arm64");
    assert_eq!(body["labels"], serde_json::json!({"kind": "text", "team": "mine"}));
    assert_eq!((&body["annotations"]["topic"], &body["envVars"]["write_debug"]), (&"mine".into(), &"false".into()));
    assert_eq!(body["limits"]["memory"], "64Mi");
}

#[test]
fn functions_as_resources_of_openfaas() {
    let stack = "provider: {name: openfaas}\nfunctions:\n  vat: {image: vat}\n  tax:\n    image: reg.example/tax:1\n    \
                 environment: {A: 5, B: 'true', C: plain}\n    labels: {team: web}\n    secrets: [key]\n    limits: {memory: 64Mi}\n    \
                 readonly_root_filesystem: true\n    skip_build: true\n";
    let generate = |args: &[&str]| {
        Test::new().file("stack.yml", stack).file("store.json", STORE).arg("generate").args(args.to_vec())
    };
    let done = generate(&[]).run();
    assert_eq!(
        done.stdout,
        "---\napiVersion: openfaas.com/v1\nkind: Function\nmetadata:\n  name: tax\n  namespace: openfaas-fn\nspec:\n  name: tax\n  \
         image: reg.example/tax:1\n  environment:\n    A: \"5\"\n    B: \"true\"\n    C: plain\n  labels:\n    team: web\n  limits:\n    \
         memory: 64Mi\n  secrets:\n    - key\n  readOnlyRootFilesystem: true\n---\napiVersion: openfaas.com/v1\nkind: Function\nmetadata:\n  \
         name: vat\n  namespace: openfaas-fn\nspec:\n  name: vat\n  image: vat:latest\n"
    );
    assert!(generate(&["-n", "shop", "--filter", "vat"]).run().stdout.contains("namespace: shop\n"));
    let store = generate(&["--from-store", "figlet", "-u", "store.json", "--arch", "arm64", "--name", "f"])
        .args(["--label", "team=mine", "--annotation", "a=b"])
        .run();
    for part in
        ["name: f\n", "image: ghcr.io/openfaas/figlet:latest-arm64\n", "fprocess: figlet\n", "team: mine\n", "a: b\n"]
    {
        assert!(store.stdout.contains(part), "{part} is not in\n{}", store.stdout);
    }
    generate(&["--from-store", "none", "-u", "store.json"])
        .status(4)
        .stderr_has("unable to find 'none' in store")
        .run();
    generate(&["--from-store", "figlet", "-u", "store.json", "--arch", "x"])
        .status(4)
        .stderr_has("image for x not found")
        .run();
    generate(&["--api", "x/v1"]).status(6).stderr_has("objects of x/v1 are not written here").run();
    #[cfg(feature = "knative")]
    assert!(generate(&["--api", "serving.knative.dev/v1"]).run().stdout.contains("kind: Service"));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_and_sealed_secrets() {
    let done = Test::new().args(["secret", "keygen", "-o", "keys/b"]).stdout_has("Wrote private key: keys/b\n").run();
    let dir = done.dir();
    assert_eq!(
        (mode(&dir.join("keys")), mode(&dir.join("keys/b")), mode(&dir.join("keys/b.pub"))),
        (0o700, 0o600, 0o644)
    );
    assert_eq!(done.read("keys/b").len(), 44);
    let key = done.read("keys/b");
    let again =
        |more: &'static str| done.then().args(["secret", "keygen", "-o", "keys/b"]).args(more.split_whitespace());
    again("").status(2).stdout("").stderr_has("keys/b is there already").stderr_has("--overwrite").run();
    assert_eq!(done.read("keys/b"), key);
    done.then().args(["secret", "generate", "-o", "keys/b"]).status(2).stderr_has("keys/b is there already").run();
    assert_eq!(done.read("keys/b"), key);
    again("--overwrite").run();
    assert_ne!(done.read("keys/b"), key);
    fs::write(dir.join("bytes"), [0, 255, 10]).unwrap();
    let sealed = done
        .then()
        .args(["secret", "seal", "keys/b.pub", "--from-literal", "token=a=b", "--from-file", "raw=bytes"])
        .run();
    assert!(sealed.stdout.starts_with("Sealed 2 secret(s) to com.openfaas.secrets (key ID: "), "{}", sealed.stdout);
    assert!(!done.read("com.openfaas.secrets").contains("a=b"));
    assert_eq!(mode(&dir.join("com.openfaas.secrets")), 0o600);
    done.then().args(["secret", "unseal", "keys/b", "--key", "token"]).stdout("a=b").run();
    let raw = done.then().args(["secret", "unseal", "keys/b", "--key", "raw"]).run();
    assert_eq!(raw.raw_stdout, [0, 255, 10]);
    let all = done.then().args(["secret", "unseal", "keys/b", "-j"]).run().json();
    assert_eq!(all["token"], "a=b");
    done.then().args(["secret", "unseal", "keys/b", "--key", "no"]).status(4).stderr_has("there are raw, token").run();
    done.then().args(["secret", "unseal", "keys/b.pub"]).status(1).stderr_has("decryption failed").run();
    let literal = done.then().args(["secret", "seal", "keys/b.pub", "--from-literal", "justavalue"]).status(2).run();
    assert!(!literal.stderr.contains("justavalue"), "{}", literal.stderr);
}

#[test]
fn random_secrets() {
    let first = Test::new().args(["secret", "generate"]).run();
    assert_eq!(first.stdout.len(), 44);
    assert_ne!(first.stdout, Test::new().args(["secret", "gen"]).run().stdout);
    let file = Test::new().args(["secret", "generate", "--length", "64", "-o", "a/b"]);
    let done = file.stdout("Wrote 64-byte secret to a/b\n").run();
    assert_eq!((done.read("a/b").len(), mode(&done.dir().join("a/b"))), (88, 0o600));
}

#[cfg(feature = "local")]
#[test]
fn the_stacks_secrets_are_brought() {
    use crate::support::{Local, free_port};
    let stack = format!(
        "provider: {{name: local, gateway: 'http://127.0.0.1:{}'}}\nfunctions:\n  a: {{lang: bash, handler: ./a, secrets: [one, two]}}\n  \
         b: {{lang: bash, handler: ./a, secrets: [one]}}\n",
        free_port()
    );
    let test = Test::new().file("stack.yml", stack).file("a/handler.sh", "cat\n").file(".secrets/one", "v1-s3cr3t\n");
    let done = test.args(["secret", "sync"]).status(4).stderr_has("there is no value for two").run();
    let _stop = Local::of(&done);
    assert!(done.stderr.contains(".secrets/two"), "{}", done.stderr);
    let row = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        (row(&done.stdout, "one").as_str(), row(&done.stdout, "two").as_str()),
        ("one created a, b", "two no value a")
    );
    done.then().args(["secret", "create", "two", "--from-literal", "x"]).run();
    let again = done.then().args(["secret", "sync", "--output", "json"]).run();
    assert_eq!((&again.json()[0]["result"], &again.json()[1]["result"]), (&"updated".into(), &"there".into()));
    assert!(!(again.stdout + &again.stderr + &done.stdout + &done.stderr).contains("s3cr3t"));
}
