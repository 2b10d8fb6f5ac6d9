//! Which gateway is meant, where flags, the environment and the stack file say different things.
use crate::support::Test;
use crate::support::server::Server;

fn stack(provider: &str, gateway: &str) -> String {
    format!(
        "provider: {{name: {provider}, gateway: \"{gateway}\"}}\nfunctions:\n  tax: {{lang: python3, handler: ./tax, image: r.example/tax}}\n"
    )
}

fn gateway() -> Server {
    Server::always("200 OK", "application/json", "[]")
}

#[test]
fn the_environments_is_told_where_the_stack_names_another() {
    let (ours, theirs) = (gateway(), gateway());
    let list = |url: &str| {
        Test::new().file("stack.yml", stack("openfaas", &theirs.url)).args(["list"]).env("OPENFAAS_URL", url)
    };
    let with_login = ours.url.replace("://", "://me:pw@");
    let said = format!("gateway: {}, by OPENFAAS_URL; stack.yml says {}\n", ours.url, theirs.url);
    list(&with_login).stderr(said).run();
    assert_eq!((ours.asked().len(), theirs.asked().len()), (1, 0));
    // Who names it by a flag knows, and so does who names the same.
    list(&ours.url).args(["-g", &ours.url]).stderr("").run();
    list(&format!("{}/", theirs.url)).stderr("").run();
    list(&ours.url).arg("--quiet").stderr("").run();
    list(&ours.url).called("faas-cli").stderr("").run();
    let file = format!("OPENFAAS_URL={}\n", ours.url);
    // A file of variables is for the stack file alone.
    list("").file(".env", file).stderr("").run();
}

#[cfg(feature = "local")]
#[test]
fn the_embedded_platform_elsewhere_is_told_as_what_it_is() {
    let list = |args: &[&str]| Test::new().file("stack.yml", stack("local", "")).args(args.iter().copied());
    list(&["list", "-g", "http://127.0.0.1:1"])
        .status(1)
        .stderr_has("the embedded platform does not answer at http://127.0.0.1:1: Connection refused")
        .stderr_has("`faas local start`")
        .stderr_has("write `name: openfaas`")
        .run();
    list(&["up", "-g", "https://gateway.example.com"]).status(2).stderr_has("write `name: openfaas`").run();
    let server = gateway();
    for (flag, instead) in [("--url", "`faas describe tax`"), ("--logs", "`faas logs tax`"), ("--stream", "lambda")] {
        let done = list(&["invoke", "tax", flag, "-g", &server.url]).status(6).stderr_has(instead).run();
        assert!(!done.stderr.contains("rollout"), "{}", done.stderr);
    }
}
