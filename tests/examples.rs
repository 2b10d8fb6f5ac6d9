//! The seeds' two functions, unchanged: as processes on the embedded platform, as containers behind an OpenFaaS gateway
//! and on Knative.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;

use crate::support::{Local, Test, bed, free_port};

fn example(name: &str) -> impl FnOnce(&Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    move |to: &Path| crate::support::copy_tree(&from, to)
}

/// A webhook that takes one POST and hands over its body.
fn webhook(address: &str) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind((address, 0)).expect("webhook");
    let port = listener.local_addr().expect("address").port();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut seen = Vec::new();
            let mut chunk = [0; 4096];
            let body = loop {
                let n = stream.read(&mut chunk).unwrap_or(0);
                seen.extend_from_slice(&chunk[..n]);
                let text = String::from_utf8_lossy(&seen).into_owned();
                let length = |head: &str| {
                    head.lines()
                        .find_map(|l| l.to_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok())
                };
                match text.split_once("\r\n\r\n") {
                    Some((head, body)) if body.len() >= length(head).unwrap_or(0) => break body.to_owned(),
                    _ if n == 0 => break text,
                    _ => {}
                }
            };
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if send.send(body).is_err() {
                return;
            }
        }
    });
    (port, receive)
}

#[test]
fn get_tax_answers_on_the_embedded_platform() {
    let gateway = format!("http://127.0.0.1:{}", free_port());
    let up = Test::new().layout(example("get-tax")).args(["up", "-g", &gateway]).run();
    let _stop = Local::of(&up);
    up.then()
        .args(["invoke", "get-tax", "-g", &gateway])
        .stdin(r#"{"subtotal": 100}"#)
        .stdout("{\"tax\": 4.7}\n")
        .run();
    up.then().args(["up", "-g", &gateway]).stderr_has("get-tax: unchanged").run();
}

#[test]
fn post_message_posts_from_the_embedded_platform() {
    let (port, posted) = webhook("127.0.0.1");
    let port_here = free_port().to_string();
    let gateway = format!("http://127.0.0.1:{port_here}");
    let start = Test::new().layout(example("post-message")).args(["local", "start", "--port", &port_here]).run();
    let _stop = Local::of(&start);
    start
        .then()
        .args(["secret", "create", "webhook-url", "-g", &gateway])
        .stdin(format!("http://127.0.0.1:{port}/hook"))
        .run();
    start.then().args(["up", "-g", &gateway]).run();
    start
        .then()
        .args(["invoke", "post-message", "-g", &gateway])
        .stdin(r#"{"title": "hello", "txt": "wörld"}"#)
        .stdout_has("\"posted\": 200")
        .run();
    assert_eq!(posted.recv_timeout(std::time::Duration::from_secs(10)).expect("a post"), "hello\nwörld");
}

/// One word changed in the stack file, and the bed's login, registry and base image.
fn on_openfaas(name: &str) -> Option<(Test, String)> {
    let (Some(url), Some(password), Some(registry)) =
        (bed("OPENFAAS_URL"), bed("OPENFAAS_PASSWORD_FILE"), bed("FAAS_REGISTRY"))
    else {
        return None;
    };
    let password = std::fs::read(password).expect("password");
    let login = Test::new()
        .layout(example(name))
        .env("REGISTRY", &registry)
        .env("PYTHON_BASE", format!("{registry}/base/python:3.11"))
        .args(["login", "-g", &url, "--password-stdin"])
        .stdin(password)
        .run();
    let stack = login.read("stack.yml").replace("name: local", "name: openfaas");
    // The test's folder must outlive the login, so it is kept until the process ends.
    let test = login.then().file("stack.yml", stack);
    std::mem::forget(login);
    Some((test, url))
}

#[test]
fn get_tax_answers_behind_an_openfaas_gateway() {
    let Some((test, url)) = on_openfaas("get-tax") else { return };
    let up = test.args(["up", "-g", &url]).run();
    up.then().args(["invoke", "get-tax", "-g", &url]).stdin(r#"{"subtotal": 100}"#).stdout("{\"tax\": 4.7}\n").run();
    up.then().args(["up", "-g", &url]).stderr_has("get-tax: unchanged").run();
    up.then().args(["remove", "-g", &url]).run();
}

#[test]
fn post_message_posts_from_behind_an_openfaas_gateway() {
    let Some((test, url)) = on_openfaas("post-message") else { return };
    // The host as containers see it: faasd's bridge, or the engine's.
    let host = if bed("TESTBED_MODE").as_deref() == Some("openfaas") { "10.62.0.1" } else { "172.17.0.1" };
    let (port, posted) = webhook("0.0.0.0");
    let made = test
        .args(["secret", "create", "webhook-url", "-g", &url, "--replace"])
        .stdin(format!("http://{host}:{port}/hook"))
        .run();
    made.then().args(["up", "-g", &url]).run();
    made.then()
        .args(["invoke", "post-message", "-g", &url])
        .stdin(r#"{"title": "hello", "txt": "wörld"}"#)
        .stdout_has("\"posted\": 200")
        .run();
    assert_eq!(posted.recv_timeout(std::time::Duration::from_secs(10)).expect("a post"), "hello\nwörld");
    made.then().args(["remove", "-g", &url]).run();
    made.then().args(["secret", "remove", "webhook-url", "-g", &url]).run();
}

/// One word changed, and the bed's cluster, registry and base image.
fn on_knative(name: &str) -> Option<Test> {
    let find = |name: &str| std::env::var(name).ok();
    let (Some(kubeconfig), Some(ingress), Some(registry)) = (find("KUBECONFIG"), find("INGRESS"), find("REGISTRY"))
    else {
        assert!(find("FAAS_TEST_KNATIVE").is_none(), "FAAS_TEST_KNATIVE is set, but the bed's variables are not");
        eprintln!("skipped: no Knative cluster (tests/beds/knative/up.sh starts one and prints its variables)");
        return None;
    };
    let base = bed("FAAS_REGISTRY")?;
    let test = Test::new()
        .layout(example(name))
        .env("REGISTRY", registry)
        .env("PYTHON_BASE", format!("{base}/base/python:3.11"))
        .env("KUBECONFIG", kubeconfig)
        .env("FAAS_KNATIVE_INGRESS", ingress);
    let path = test.dir().join("stack.yml");
    let stack = std::fs::read_to_string(&path).expect("the stack file").replace("name: local", "name: knative");
    Some(test.file("stack.yml", stack))
}

#[test]
fn get_tax_answers_on_knative() {
    let Some(test) = on_knative("get-tax") else { return };
    let up = test.args(["up", "--timeout", "3m"]).run();
    up.then().args(["invoke", "get-tax"]).stdin(r#"{"subtotal": 100}"#).stdout("{\"tax\": 4.7}\n").run();
    up.then().args(["up"]).stderr_has("get-tax: unchanged").run();
    up.then().args(["remove"]).run();
}

#[test]
fn post_message_posts_from_knative() {
    let Some(test) = on_knative("post-message") else { return };
    // The host as pods of the bed see it.
    let (port, posted) = webhook("0.0.0.0");
    let made = test
        .args(["secret", "create", "webhook-url", "--replace"])
        .stdin(format!("http://10.98.255.1:{port}/hook"))
        .run();
    made.then().args(["up", "--timeout", "3m"]).run();
    made.then()
        .args(["invoke", "post-message"])
        .stdin(r#"{"title": "hello", "txt": "wörld"}"#)
        .stdout_has("\"posted\": 200")
        .run();
    assert_eq!(posted.recv_timeout(std::time::Duration::from_secs(10)).expect("a post"), "hello\nwörld");
    made.then().args(["remove"]).run();
    made.then().args(["secret", "remove", "webhook-url"]).run();
}

/// The first lines that `faas new` writes, as an image behind the gateway; `base` is the bed's.
fn a_template_answers_behind_a_gateway(lang: &str, base: &str) {
    let (Some(url), Some(password), Some(registry)) =
        (bed("OPENFAAS_URL"), bed("OPENFAAS_PASSWORD_FILE"), bed("FAAS_REGISTRY"))
    else {
        return;
    };
    let name = format!("a-tpl-{lang}-{}", std::process::id());
    let made = Test::new().args(["new", &name, "--lang", lang, "--provider", "openfaas"]).run();
    let stack = made.read("stack.yml").replace(
        &format!("image: {name}:latest"),
        &format!("image: {registry}/a/{name}:latest\n    build_args: {{BASE: {registry}/base/{base}}}"),
    );
    assert!(stack.contains("build_args"), "{stack}");
    let password = std::fs::read(password).expect("password");
    made.then().file("stack.yml", stack).args(["login", "-g", &url, "--password-stdin"]).stdin(password).run();
    let up = made.then().args(["up", "-g", &url]).run();
    up.then().args(["invoke", &name, "-g", &url]).stdin("hello, wörld").stdout_has("hello, wörld").run();
    up.then().args(["up", "-g", &url]).stderr_has(format!("{name}: unchanged")).run();
    up.then().args(["remove", "-g", &url]).run();
}

#[test]
fn node_answers_behind_an_openfaas_gateway() {
    a_template_answers_behind_a_gateway("node", "node:18");
}

#[test]
fn bash_answers_behind_an_openfaas_gateway() {
    a_template_answers_behind_a_gateway("bash", "debian:bookworm");
}

#[test]
fn a_dockerfile_of_ones_own_answers_behind_an_openfaas_gateway() {
    a_template_answers_behind_a_gateway("dockerfile", "debian:bookworm");
}
