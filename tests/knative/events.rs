//! What calls functions besides people, and what is imported.
use serde_json::{Value, json};

use super::bed::*;
use crate::support::Test;

#[tokio::test]
async fn events_schedules_topics_domains_and_what_is_imported() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "events").await;
    let prompt = |more: &str, args: &[&str]| {
        place.prompt().file("stack.yml", place.stack("echo", "1") + more).args(args.iter().map(ToString::to_string))
    };
    let schedule = "    schedule: '*/5 * * * *'\n    topic: [order.placed, order.paid]\n";

    prompt(schedule, &["deploy", "--timeout", "5m"]).stdout_has("created").run();
    let get = |what: &str| place.kubectl_output(&["get", what, "-o", "json"]);
    let ping: Value = serde_json::from_str(&get("pingsources")).expect("JSON");
    assert_eq!(ping["items"][0]["metadata"]["name"], json!("echo-schedule"));
    assert_eq!(ping["items"][0]["spec"]["sink"]["ref"]["name"], json!("echo"));
    assert_eq!(ping["items"][0]["metadata"]["ownerReferences"][0]["kind"], json!("Service"));
    let trigger: Value = serde_json::from_str(&get("triggers/echo-order-paid")).expect("JSON");
    assert_eq!(trigger["spec"]["delivery"], json!({"retry": 0}), "an answer with text is no reason to call again");
    let names = |what: &str| {
        let list: Value = serde_json::from_str(&get(what)).expect("JSON");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|i| i["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("triggers"), ["echo-order-paid", "echo-order-placed"]);
    prompt(schedule, &["deploy"]).stdout_has("unchanged").run();
    // What the stack doesn't have any more goes, and no revision is made for that.
    let domain = format!("echo.{}.shop.test", place.namespace);
    let less = format!("    topic: order.paid\n    domain: {domain}\n");
    prompt(&less, &["deploy"]).stdout_has("updated").run();
    assert_eq!((names("pingsources").len(), names("triggers")), (0, vec!["echo-order-paid".to_owned()]));
    assert_eq!(names("domainmappings"), [domain.as_str()]);
    assert_eq!(place.revisions("echo").await.len(), 1);
    // A domain leads to one function.
    let stack = place.stack("other", "1") + &format!("    domain: {domain}\n");
    let other = place.prompt().file("stack.yml", stack).args(["deploy", "--timeout", "5m"]).status(1);
    other.stderr_has("is not of this function").run();
    let both = format!("    domain: {domain}\n    url: none\n");
    prompt(&both, &["deploy"]).status(2).stderr_has("lets everybody call").run();
    let written = prompt(&(schedule.to_owned() + "    domain: a.example.com\n"), &["generate"]).run().stdout;
    for kind in ["kind: Service", "kind: PingSource", "kind: Trigger", "kind: DomainMapping"] {
        assert!(written.contains(kind), "{kind}: {written}");
    }
    prompt("", &["deploy"]).run();
    assert_eq!((names("triggers").len(), names("domainmappings").len()), (0, 0));

    // A call that is an event.
    let event = |more: &[&str]| {
        let args = [&["invoke", "echo", "--event", "shop.order", "--event-attribute", "tenant=a b"], more].concat();
        let answer = prompt("", &args).stdin(r#"{"order": 7}"#).run().stdout;
        serde_json::from_str::<Value>(&answer).expect("JSON")
    };
    let answer = event(&[]);
    assert_eq!(answer["headers"]["Ce-Type"], json!(["shop.order"]));
    assert_eq!(answer["headers"]["Ce-Tenant"], json!(["a%20b"]));
    assert_eq!(answer["headers"]["Content-Type"], json!(["application/json"]));
    assert_eq!(answer["body"], json!(r#"{"order": 7}"#));
    let answer = event(&["--event-mode", "structured"]);
    assert_eq!(answer["headers"]["Content-Type"], json!(["application/cloudevents+json"]));
    let sent: Value = serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
    assert_eq!((&sent["type"], &sent["data"]["order"]), (&json!("shop.order"), &json!(7)));

    // What is there comes back as a stack file that means the same.
    let config = &place.bed.kubeconfig;
    let import =
        Test::new().args(["import", "--kubeconfig", config, "-n", &place.namespace, "--service", "echo"]).run();
    assert!(import.stdout.contains("VERSION: \"1\"") || import.stdout.contains("VERSION: '1'"), "{}", import.stdout);
    prompt("", &["validate"]).file("stack.yml", &import.stdout).run();
    prompt("", &["plan"]).file("stack.yml", &import.stdout).stdout_has("echo").run();
    Test::new().args(["import", "--kubeconfig", config, "--service", "nothing"]).status(4).run();
}

#[tokio::test]
async fn an_asynchronous_call_is_an_event_for_the_broker() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "async").await;
    let prompt = |args: &[&str]| {
        place.prompt().file("stack.yml", place.stack("echo", "1")).args(args.iter().map(ToString::to_string))
    };
    prompt(&["deploy", "--timeout", "5m"]).run();
    let call = |more: &[&str]| prompt(&[&["invoke", "echo", "--async"], more].concat()).stdin("later");
    call(&[]).status(6).stderr_has("no broker is there").stderr_has("kn broker create default").run();

    // A broker that isn't ready; the types are those of Eventing, its controllers are not here.
    place.create(&json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "default"}}));
    call(&[]).status(1).stderr_has("the broker default takes no events").stderr_has("no address yet").run();
    let status = |what: &str, status: &Value| {
        let patch = json!({ "status": status }).to_string();
        place.kubectl_output(&["patch", what, "--subresource=status", "--type=merge", "-p", &patch]);
    };
    let broker = crate::support::server::Server::always("202 Accepted", "text/plain", "");
    status("broker/default", &json!({"address": {"url": format!("{}/shop/default", broker.url)}}));
    for (args, words) in [
        (&["--path", "/orders"][..], "a path or a query"),
        (&["--method", "PUT"], "another method"),
        (&["-H", "X-Callback-Url: http://x.example.com"], "a callback"),
        (&["--event", "a", "--event-mode", "structured", "--content-type", "text/plain"], "leave out --event-mode"),
    ] {
        call(args).status(6).stderr_has(words).run();
    }

    // The Trigger is made with the first call, and nothing is sent before it is ready.
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    let first = call(&[]);
    let mut waiting = first.spawn();
    drop(waiting.stdin.take());
    let name = "trigger/echo-async";
    let there = || place.kubectl().args(["get", name]).output().is_ok_and(|output| output.status.success());
    for _ in 0..200 {
        if there() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(broker.asked().len(), 0, "nobody would get it");
    status(name, &ready);
    let done = waiting.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("submitted asynchronously"), "{said}");
    call(&["--event", "shop.order", "--event-id", "7"]).stderr_has("Call id: 7").run();
    let asked = broker.asked();
    let header = |at: usize, name: &str| asked[at].header(name).unwrap_or_default().to_owned();
    assert_eq!(asked[0].line, "POST /shop/default");
    assert_eq!((header(0, "ce-type"), header(0, "ce-faasfunction")), ("faas.invoke".into(), "echo".into()));
    assert!(said.contains(&header(0, "ce-id")), "{said}");
    assert_eq!((header(1, "ce-type"), asked[1].body.as_slice()), ("shop.order".into(), &b"later"[..]));
    let trigger: Value = serde_json::from_str(&place.kubectl_output(&["get", name, "-o", "json"])).expect("JSON");
    assert_eq!(trigger["spec"]["filter"]["attributes"], json!({"faasfunction": "echo"}));
    assert_eq!(trigger["spec"]["subscriber"]["ref"]["name"], json!("echo"));
    assert_eq!(trigger["metadata"]["ownerReferences"][0]["name"], json!("echo"));

    // A broker that has a name in the cluster only is reached through the API server.
    let image = place.bed.image.clone();
    place.kubectl_output(&["run", "broker-ingress", "--image", &image, "--port=8080", "--expose"]);
    place.kubectl_output(&["wait", "--for=condition=Ready", "pod/broker-ingress", "--timeout=180s"]);
    let address = |status: u16| {
        let (namespace, query) = (&place.namespace, format!("status={status}"));
        json!({"address": {"url": format!("http://broker-ingress.{namespace}.svc.cluster.local:8080/shop/default?{query}")}})
    };
    status("broker/default", &address(202));
    call(&[]).stderr_has("submitted asynchronously").run();
    status("broker/default", &address(503));
    call(&[]).status(1).stderr_has("it answered 503").run();
    let log = place.kubectl_output(&["logs", "broker-ingress"]);
    assert!(log.contains("POST /shop/default 202") && log.contains("POST /shop/default 503"), "{log}");

    // It goes with the function.
    prompt(&["remove", "echo"]).run();
    place.kubectl_output(&["wait", "--for=delete", name, "--timeout=180s"]);
}

#[test]
fn what_func_wrote_is_a_stack_file() {
    let func = "specVersion: 0.36.0\nname: orders\nruntime: go\nregistry: r.example.com/shop\nrun:\n  envs:\n  - name: A\n    \
                value: '{{ env:HOME }}'\n";
    let done = Test::new().file("func.yaml", func).args(["import", "func.yaml"]);
    let done = done.stdout_has("image: r.example.com/shop/orders:latest").stderr_has("func build").run();
    assert!(done.stdout.contains("A: ${HOME}") || done.stdout.contains("A: \"${HOME}\""), "{}", done.stdout);
    let stack = done.stdout.clone();
    done.then().file("stack.yml", stack).args(["validate"]).run();
    Test::new()
        .file("x.yaml", "kind: Pod\n")
        .args(["import", "x.yaml"])
        .status(2)
        .stderr_has("no Knative Service")
        .run();
    Test::new().args(["import", "nowhere.yaml"]).status(4).run();
}
