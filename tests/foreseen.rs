//! `faas plan` of images with a tag, on a real gateway: it says what `faas up` then does. Needs the test beds.
use crate::support::{Done, Test, bed};

/// The plan's, or the deployment's, only row: action and reason.
fn row(done: &Done) -> (String, String) {
    let rows = done.json();
    let text = |key: &str| rows[0][key].as_str().unwrap_or_default().to_owned();
    (text("action"), text("reason"))
}

#[test]
fn a_plan_of_an_image_by_tag_says_what_up_then_does() {
    let (Some(registry), Some(gateway), Some(password)) =
        (bed("FAAS_REGISTRY"), bed("OPENFAAS_URL"), bed("OPENFAAS_PASSWORD_FILE"))
    else {
        return;
    };
    let name = format!("t-foreseen-{}", std::process::id());
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  {name}:\n    lang: python3\n    handler: ./echo\n    \
         image: {registry}/test/{name}:1\n    build_args: {{BASE: {registry}/base/python:3.11}}\n"
    );
    let password = std::fs::read_to_string(&password).expect("the password");
    let test = Test::new().file("stack.yml", stack).file("echo/handler.py", "def handle(req):\n    return req\n");
    let test = match std::env::var("DOCKER_HOST") {
        Ok(host) => test.env("DOCKER_HOST", host),
        Err(_) => test,
    };
    let first = test.args(["login", "--password-stdin", "-g", &gateway]).stdin(password).run();
    let faas = |args: &[&str]| first.then().args(args.iter().copied()).args(["-g", &gateway, "--output", "json"]);
    let (plan, up) = (|| row(&faas(&["plan"]).run()), || row(&faas(&["up"]).run()));

    assert_eq!((plan().0, up().0), ("created".into(), "created".into()));
    assert_eq!((plan(), up()), (plan(), plan()));
    assert_eq!(plan().0, "unchanged");

    std::fs::write(first.dir().join("echo/handler.py"), "def handle(req):\n    return 'new ' + req\n")
        .expect("handler");
    let changed = faas(&["plan"]).run();
    assert_eq!(row(&changed), ("updated".into(), "the code changed".into()));
    assert_eq!(changed.json()[0]["changes"][0]["after"], "to be built", "{}", changed.stdout);
    assert_eq!(up(), ("updated".into(), "the code changed".into()));
    assert_eq!((plan().0, up().0), ("unchanged".into(), "unchanged".into()));
    first.then().args(["remove", &name, "-g", &gateway]).run();
}
