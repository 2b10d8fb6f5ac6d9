//! The way to the cluster: kubeconfigs, pods, proxies, rights, and everything that can be wrong with them.
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::bed::*;
use crate::support::{Done, Test};

#[tokio::test]
async fn who_may_not_is_told_which_rule_is_missing() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "rights").await;
    place.kubectl_output(&["create", "serviceaccount", "guest"]);
    let token = place.kubectl_output(&["create", "token", "guest"]);
    let text = place.kubectl_output(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["users"][0]["user"] = json!({ "token": token.trim() });
    let session = |name: &str, config: &Value| {
        place.prompt().file(name, config.to_string()).env("KUBECONFIG", name).args(["list"])
    };
    session("guest.json", &config)
        .status(5)
        .stderr_has(r#"apiGroups: ["serving.knative.dev"], resources: ["services"], verbs: ["list"]"#)
        .run();
    let account = format!("system:serviceaccount:{}:guest", place.namespace);
    let said = place.prompt().args(["list", "--as", &account]).status(5).run().stderr;
    assert!(said.contains(&format!("User \"{account}\" cannot list")) && said.contains("faas doctor"), "{said}");
    place.prompt().args(["list", "--as", "somebody", "--as-group", "system:masters"]).run();
    config["users"][0]["user"] = json!({ "token": "wrong" });
    session("wrong.json", &config).status(5).stderr_has("log in again").run();
    config["users"][0]["user"] = json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "sh", "args": ["-c", "echo no login >&2; exit 3"] } });
    session("plugin.json", &config).status(5).stderr_has("no login").run();
}

/// In a pod there is no kubeconfig: the service account's token, certificate and namespace are files.
#[tokio::test]
async fn the_doctor_knows_the_smallest_role_and_it_is_enough() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "role").await;
    let found = |done: &Done| done.json().as_array().cloned().expect("findings");
    let one = |all: &[Value], about: &str| {
        let found = all.iter().find(|finding| finding["about"] == json!(about));
        found.unwrap_or_else(|| panic!("nothing about {about} in {all:?}")).clone()
    };
    let doctor = |more: &[&str]| place.prompt().args([&["doctor", "--output", "json"], more].concat());
    let all = found(&doctor(&[]).run());
    for about in ["cluster", "login", "Knative Serving", "Knative Eventing", "ingress", "rights"] {
        assert_eq!(one(&all, about)["state"], json!("ok"), "{all:?}");
    }
    assert!(one(&all, "cluster")["found"].as_str().is_some_and(|found| found.contains(&place.namespace)));
    let nowhere = found(&doctor(&[]).env("FAAS_KNATIVE_INGRESS", "127.0.0.1:1").status(1).run());
    assert_eq!(one(&nowhere, "ingress")["state"], json!("broken"));

    // Somebody who may do nothing gets the Role, and with it everything works.
    place.kubectl_output(&["create", "serviceaccount", "guest"]);
    let account = format!("system:serviceaccount:{}:guest", place.namespace);
    let all = found(&doctor(&["--as", &account]).status(1).run());
    let rights = one(&all, "rights");
    assert_eq!((&rights["state"], &one(&all, "cluster")["state"]), (&json!("broken"), &json!("ok")));
    assert!(rights["found"].as_str().is_some_and(|found| found.contains("create services")), "{rights}");
    let role = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(role.path(), rights["document"]["text"].as_str().expect("a Role")).expect("written");
    place.kubectl_output(&["apply", "-f", &role.path().to_string_lossy()]);
    let bound = format!("--serviceaccount={}:guest", place.namespace);
    place.kubectl_output(&["create", "rolebinding", "guest", "--role=faas", &bound]);
    let all = found(&doctor(&["--as", &account]).run());
    assert_eq!(one(&all, "rights")["state"], json!("ok"), "{all:?}");

    let stack = place.stack("echo", "1") + "    secrets: [key]\n    topic: order.paid\n";
    let prompt = |args: &[&str]| {
        let guest = place.prompt().file("stack.yml", &stack).args(args.iter().map(ToString::to_string));
        guest.args(["--as", &account])
    };
    prompt(&["secret", "create", "key", "--from-literal", "x"]).run();
    prompt(&["deploy", "--timeout", "5m"]).stdout_has("created").run();
    prompt(&["deploy", "--canary", "50", "--env", "A=1"]).stdout_has("updated").run();
    prompt(&["rollout", "promote", "echo"]).stdout_has("echo-00002  100%").run();
    prompt(&["revisions", "prune", "echo", "--keep", "0"]).stdout_has("echo-00001").run();
    for args in [&["list"][..], &["describe", "echo"], &["logs", "echo", "--tail=false"], &["plan"], &["ready", "echo"]]
    {
        prompt(args).run();
    }
    prompt(&["invoke", "echo"]).stdout_has("echo-00002").run();
    prompt(&["scale", "echo", "2"]).run();
    prompt(&["remove", "echo"]).run();
    prompt(&["secret", "remove", "key"]).run();
}

#[tokio::test]
async fn in_a_pod_and_behind_a_proxy_the_cluster_is_found() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "inside").await;
    place.apply(&echo("1"), &Heard::default()).await.expect("deployed");
    place.kubectl_output(&["create", "serviceaccount", "guest"]);
    let account = format!("--serviceaccount={}:guest", place.namespace);
    place.kubectl_output(&["create", "rolebinding", "guest", "--clusterrole=edit", &account]);
    let token = place.kubectl_output(&["create", "token", "guest"]);
    let text = place.kubectl_output(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let cluster = config["clusters"][0]["cluster"].clone();
    let server: url::Url = cluster["server"].as_str().and_then(|s| s.parse().ok()).expect("a URL");
    let authority = cluster["certificate-authority-data"].as_str().expect("a certificate");

    let session = Test::new()
        .file("token", token.trim())
        .file("namespace", &place.namespace)
        .file("ca", authority)
        .file("stack.yml", "provider: {name: knative}\nfunctions: {}\n")
        .args(["list", "-q"]);
    // A file system of its own, so that nothing of this machine's is touched.
    let script = r#"mount -t tmpfs tmpfs /var/run && d=/var/run/secrets/kubernetes.io/serviceaccount && mkdir -p $d &&
        cp token namespace $d/ && base64 -d ca > $d/ca.crt && exec "$@""#;
    let inner = session.command();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(session.dir())
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", session.dir())
        .env("KUBERNETES_SERVICE_HOST", server.host_str().expect("a host"))
        .env("KUBERNETES_SERVICE_PORT", server.port().unwrap_or(443).to_string())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "echo\n", "{said}");

    // The kubeconfig's proxy is asked for the way.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (asked, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = asked.clone();
            std::thread::spawn(move || proxy(stream, &asked));
        }
    });
    config["clusters"][0]["cluster"]["proxy-url"] = json!(format!("http://127.0.0.1:{port}"));
    place
        .prompt()
        .file("proxied.json", config.to_string())
        .env("KUBECONFIG", "proxied.json")
        .args(["list", "-q"])
        .stdout("echo\n")
        .run();
    let line = heard.recv_timeout(Duration::from_secs(5)).expect("the proxy is asked");
    assert!(line.starts_with("CONNECT ") && line.contains(server.host_str().expect("a host")), "{line}");
}

/// One tunnel through a proxy: `CONNECT host:port`, then bytes both ways.
fn proxy(mut stream: std::net::TcpStream, asked: &std::sync::mpsc::Sender<String>) {
    use std::io::{Read, Write};
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let Some(Ok(mut there)) = line.split(' ').nth(1).map(std::net::TcpStream::connect) else { return };
    let _ = asked.send(line);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let (Ok(mut from), Ok(mut to)) = (stream.try_clone(), there.try_clone()) else { return };
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let _ = std::io::copy(&mut there, &mut stream);
}

#[test]
fn what_the_webhook_would_refuse_is_said_before_for_all_functions_at_once() {
    let deploy = |functions: &str| {
        let stack = format!("provider: {{name: knative}}\nfunctions:\n{functions}");
        Test::new().file("stack.yml", stack).args(["deploy"]).status(2).run().stderr
    };
    let long = deploy(&format!("  {}:\n    skip_build: true\n    image: a\n", "n".repeat(64)));
    for words in ["it has 64 characters, and 63 is the most", "stack.yml:3:3"] {
        assert!(long.contains(words), "{words}: {long}");
    }
    let both = deploy(
        "  7tax:\n    skip_build: true\n    image: a\n  slow:\n    skip_build: true\n    image: a\n    timeout: 11m\n    \
         environment: {PORT: \"1\"}\n",
    );
    for words in [
        "`7tax` is no name for a Knative Service",
        "stack.yml:3:",
        "longer than the 600 s that Knative takes",
        "stack.yml:9:",
        "Knative sets PORT itself",
        "stack.yml:10:",
    ] {
        assert!(both.contains(words), "{words}: {both}");
    }
}

#[test]
fn without_a_cluster_it_says_where_it_looked() {
    let stack = "provider: {name: knative, knative: {context: staging}}\nfunctions: {}\n";
    Test::new()
        .file("stack.yml", stack)
        .args(["list"])
        .status(1)
        .stderr_has("there is no kubeconfig")
        .stderr_has(".kube/config")
        .run();
    let kubeconfig = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "a", "context": {"cluster": "c"}}], "users": []}"#;
    Test::new()
        .file("stack.yml", stack)
        .file("config.json", kubeconfig)
        .env("KUBECONFIG", "config.json")
        .args(["list"])
        .status(1)
        .stderr_has("the context staging")
        .stderr_has("it has these: a")
        .run();
    Test::new()
        .file("stack.yml", "provider: {name: knative}\nfunctions: {}\n")
        .file("config.json", kubeconfig)
        .env("KUBECONFIG", "config.json")
        .args(["list"])
        .status(1)
        .stderr_has("can't list the functions")
        .stderr_has("onnection refused")
        .run();

    // Without a stack file, too: what means nothing but a cluster says that one is meant.
    let list = || Test::new().file("config.json", kubeconfig).env("KUBECONFIG", "config.json").arg("list").status(1);
    list().env("FAAS_KNATIVE_CONTEXT", "staging").stderr_has("the context staging").run();
    for name in ["FAAS_KNATIVE_NAMESPACE", "FAAS_KNATIVE_INGRESS"] {
        list().env(name, "here").stderr_has("https://127.0.0.1:1").run();
    }
    list().args(["--as", "joe"]).stderr_has("https://127.0.0.1:1").run();
    let gateway = list().env("FAAS_KNATIVE_NAMESPACE", "here").args(["--gateway", "http://127.0.0.1:1"]);
    assert!(!gateway.run().stderr.contains("https://"));
}
