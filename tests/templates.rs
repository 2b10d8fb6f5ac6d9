//! Templates from git repositories and catalogues, as at a prompt: what is pulled, what is pinned, what is refused.
use std::fs;

use crate::support::Test;
use crate::support::repository::Repository;
use crate::support::server::{Server, answer};

fn pull() -> Test {
    Test::new().args(["template", "pull"])
}

fn json(path: &std::path::Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A catalogue of one template.
fn catalogue(name: &str, repository: &str) -> String {
    let entry = serde_json::json!({
        "template": name, "platform": "x86_64", "language": "Test", "source": "me", "description": "A test",
        "repo": repository, "official": "true", "recommended": true,
    });
    serde_json::json!([entry]).to_string()
}

#[test]
fn all_templates_of_a_repository() {
    let repository = Repository::new().template("one").template("two");
    fs::write(repository.dir().join("template/one/run.sh"), "#!/bin/sh\n").unwrap();
    let path = repository.dir().join("template/one/run.sh");
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let sha = repository.commit();
    let daemon = repository.serve();
    let done = pull().arg(&daemon.url).stdout("Wrote 2 template(s) : [one two]\n").run();
    assert_eq!(done.list("."), ["template.lock", "template/"]);
    assert_eq!(done.list("template"), ["one/", "two/"]);
    assert_eq!(done.list("template/one"), ["Dockerfile", "function/", "meta.json", "run.sh", "template.yml"]);
    let mode = fs::metadata(done.dir().join("template/one/run.sh")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o111, 0o111);
    let meta = json(&done.dir().join("template/one/meta.json"));
    assert_eq!((meta["repository"].as_str(), meta["sha"].as_str()), (Some(daemon.url.as_str()), Some(sha.as_str())));
    assert!(meta["written_at"].as_str().is_some() && meta.get("ref_name").is_none(), "{meta}");
    let lock = done.read("template.lock");
    assert!(lock.contains(&sha) && lock.contains("\"two\":"), "{lock}");
    done.then().args(["new", "f", "--lang", "two"]).run();
    assert_eq!(done.read("f/handler.txt"), "two\n");
}

#[test]
fn a_branch_a_tag_and_a_commit() {
    let repository = Repository::new().template("go").committed();
    repository.git(["tag", "-a", "1.0", "-m", "x"]);
    let first = repository.git(["rev-parse", "HEAD"]);
    repository.write("template/go/function/handler.txt", "second\n");
    let second = repository.commit();
    repository.git(["branch", "next"]);
    repository.write("template/go/function/handler.txt", "third\n");
    repository.commit();
    let daemon = repository.serve();
    for (address, reference, text) in [
        (daemon.url.clone(), "1.0".to_owned(), "go\n"),
        (daemon.url.clone(), "next".into(), "second\n"),
        (daemon.url.clone(), format!("sha-{first}"), "go\n"),
        (daemon.url.clone(), format!("sha-{}", &second[..8]), "second\n"),
        (repository.address(), "1.0".into(), "go\n"),
        (repository.address(), format!("sha-{}", &first[..7]), "go\n"),
    ] {
        let done = pull().arg(format!("{address}#{reference}")).run();
        assert_eq!(done.stdout, format!("Wrote 1 template(s) : [go@{reference}]\n"));
        assert_eq!(done.read(format!("template/go@{reference}/function/handler.txt")), text, "{reference}");
        assert_eq!(json(&done.dir().join(format!("template/go@{reference}/meta.json")))["ref_name"], reference);
    }
    let done = pull().arg(format!("{}#none", daemon.url)).status(4).run();
    assert!(done.stderr.contains("has neither a branch nor a tag `none`"), "{}", done.stderr);
    assert!(done.list(".").is_empty());
    pull().arg(format!("{}#a..b", daemon.url)).status(2).stderr_has("can't be a branch's or a tag's name").run();
    pull().arg("ext::sh -c id").status(2).stderr_has("must be a valid git repo uri").run();
}

#[test]
fn what_is_gone_upstream_goes_and_what_is_the_same_stays() {
    let repository = Repository::new().template("go").file("template/go/old.txt", "x").committed();
    let first = pull().arg(repository.address()).run();
    assert!(first.list("template/go").contains(&"old.txt".to_owned()));
    fs::write(first.dir().join("template/go/mine.txt"), "x").unwrap();
    fs::remove_file(repository.dir().join("template/go/old.txt")).unwrap();
    repository.commit();
    let again = || first.then().args(["template", "pull", &repository.address(), "--output", "json"]).run().json();
    assert_eq!(again()[0]["action"], "written");
    assert_eq!(first.list("template/go"), ["Dockerfile", "function/", "meta.json", "template.yml"]);
    let meta = first.read("template/go/meta.json");
    assert_eq!(again()[0]["action"], "unchanged");
    assert_eq!(first.read("template/go/meta.json"), meta, "nothing is built again for it");
}

#[test]
fn templates_that_are_there_may_be_kept() {
    let repository = Repository::new().template("one").template("two").committed();
    let done = pull()
        .args(["--overwrite=false", &repository.address()])
        .file("template/one/template.yml", "language: mine\n")
        .status(1)
        .stderr_has("unable to overwrite the following: [one]")
        .run();
    assert_eq!(done.read("template/one/template.yml"), "language: mine\n");
    assert_eq!(done.stdout, "Wrote 1 template(s) : [two]\n");
}

#[test]
fn the_stack_names_templates_and_builds_pull_what_is_missing() {
    let repository = Repository::new().template("one").template("two").committed();
    let stack = format!(
        "provider: {{name: openfaas}}\nconfiguration:\n  templates:\n    - name: one\n      source: {0}\n    - name: python3\n      \
         source: {0}\nfunctions:\n  f: {{lang: one, handler: ./f, image: f}}\n  g: {{lang: one, handler: ./f, image: g}}\n",
        repository.address()
    );
    let test = || Test::new().file("stack.yml", &stack).file("f/handler.txt", "mine\n");
    let done = test().args(["build", "--shrinkwrap"]).stderr_has("Pulling template: one from ").run();
    assert_eq!(done.read("build/g/function/handler.txt"), "mine\n");
    assert_eq!(done.read("build/g/Dockerfile"), "FROM scratch\n");
    assert_eq!(done.list("template"), ["one/"]);
    // What the stack names is not there, though a template inside the binary has its name.
    let done = test().args(["template", "pull", "stack"]).status(4).run();
    assert!(done.stderr.contains("there is no template `python3` in "), "{}", done.stderr);
    test()
        .args(["build", "--shrinkwrap", "--disable-stack-pull"])
        .env("OPENFAAS_TEMPLATE_STORE_URL", "none.json")
        .status(2)
        .run();
}

#[test]
fn the_lock_pins_and_frozen_holds_to_it() {
    let repository = Repository::new().template("one").committed();
    let stack = format!(
        "provider: {{name: openfaas}}\nconfiguration:\n  templates: [{{name: one, source: {}}}]\nfunctions:\n  f: {{lang: one, \
         handler: ./f, image: f}}\n",
        repository.address()
    );
    let test = || Test::new().file("stack.yml", &stack).file("f/x", "");
    let done = test().args(["build", "--shrinkwrap", "--frozen"]).status(2).run();
    assert!(done.stderr.contains("the template `one` is not in template.lock"), "{}", done.stderr);
    let done = done.then().args(["build", "--shrinkwrap"]).run();
    let lock = done.read("template.lock");
    // The repository moves on; who has the lock does not.
    repository.write("template/one/new.txt", "x");
    repository.commit();
    let other = test().file("template.lock", &lock).args(["build", "--shrinkwrap", "--frozen"]).run();
    assert!(!other.list("template/one").contains(&"new.txt".to_owned()));
    assert_eq!(other.read("template.lock"), lock);
    fs::write(other.dir().join("template/one/Dockerfile"), "FROM evil\n").unwrap();
    let frozen = || other.then().args(["build", "--no-cache", "--shrinkwrap", "--frozen"]);
    frozen().status(1).stderr_has("template/one is not what template.lock says").run();
    other.then().args(["template", "pull", "--frozen"]).stdout("Wrote 1 template(s) : [one]\n").run();
    frozen().run();
    // A pull without it moves on, and says so in the lock.
    other.then().args(["template", "pull", "stack"]).run();
    assert!(other.list("template/one").contains(&"new.txt".to_owned()));
    assert_ne!(other.read("template.lock"), lock);
    other
        .then()
        .args(["template", "pull", "stack"])
        .file("template.lock", "version: [\n")
        .status(2)
        .stderr_has("template.lock")
        .run();
}

#[test]
fn without_the_network_the_commit_of_last_time_does() {
    let repository = Repository::new().template("one").committed();
    let daemon = repository.serve();
    let url = daemon.url.clone();
    let first = pull().arg(&url).run();
    drop(daemon);
    fs::remove_dir_all(first.dir().join("template")).unwrap();
    // Who pulls wants what is there now; what the lock names is in the cache.
    let again = first.then().args(["template", "pull", &url]).status(1).stderr_has("can't fetch git://").run();
    assert!(again.stderr.contains("`--frozen`") && !first.dir().join("template").exists(), "{}", again.stderr);
    first.then().args(["template", "pull", "--frozen"]).stdout("Wrote 1 template(s) : [one]\n").run();
    assert_eq!(first.list("template"), ["one/"]);
    // Who builds wants to build.
    for kept in ["template", "template.lock"] {
        let kept = first.dir().join(kept);
        let _ = fs::remove_dir_all(&kept).or_else(|_| fs::remove_file(&kept));
    }
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: one, handler: ./f, image: f:1}}\nconfiguration:\n  \
         templates: [{{name: one, source: \"{url}\"}}]\n"
    );
    let build = first.then().file("stack.yml", stack).file("f/handler.txt", "f\n").args(["build", "--shrinkwrap"]);
    build.stderr_has("the commit of last time is used").run();
    pull().arg(&url).status(1).stderr_has("can't fetch git://").run();
}

#[test]
fn catalogues_by_file_and_by_url() {
    let repository = Repository::new().template("one").template("two").committed();
    let text = catalogue("one", &repository.address());
    let server = Server::always("200 OK", "text/plain", &text);
    let test = || Test::new().file("store.json", &text).args(["template", "store"]);
    for store in ["store.json", &format!("{}/templates.json", server.url)] {
        let listed = "\nNAME RECOMMENDED SOURCE DESCRIPTION\none  [x]         me     A test\n\n";
        test().args(["list", "--url", store]).stdout(listed).run();
        test().args(["ls", "-v"]).env("OPENFAAS_TEMPLATE_STORE_URL", store).stdout_has("Test     x86_64\n").run();
        test().args(["list", "-u", store, "--platform", "arm64"]).stdout("").run();
        let all = test().args(["list", "-j", "-u", store]).run().json();
        assert_eq!(all, serde_json::from_str::<serde_json::Value>(&text).unwrap());
        test().args(["describe", "me/one", "-u", store]).stdout_has("\nName:        one\nDescription: A test\n").run();
        test().args(["describe", "none", "-u", store]).status(4).stderr_has("`none` does not exist in the store").run();
        let done = test().args(["pull", "one", "-u", store]).stdout("Wrote 2 template(s) : [one two]\n").run();
        assert_eq!(done.list("template"), ["one/", "two/"]);
    }
    let done = test().args(["pull", "python3"]).stdout("Wrote 1 template(s) : [python3]\n").run();
    assert!(done.list("template/python3").contains(&"index.py".to_owned()));
    let done = Test::new()
        .file("store.json", &text)
        .env("OPENFAAS_TEMPLATE_STORE_URL", "store.json")
        .args(["new", "f", "--lang", "one"])
        .run();
    assert_eq!((done.list("template"), done.read("f/handler.txt")), (vec!["one/".to_owned()], "one\n".to_owned()));
}

#[test]
fn bug_13_new_with_a_reference() {
    let repository = Repository::new().template("one").committed();
    repository.git(["tag", "v1"]);
    repository.write("template/one/function/handler.txt", "later\n");
    repository.commit();
    let test = Test::new()
        .file("store.json", catalogue("one", &repository.address()))
        .env("OPENFAAS_TEMPLATE_STORE_URL", "store.json");
    let done = test.args(["new", "f", "--lang", "one@v1"]).run();
    assert_eq!(done.list("template"), ["one@v1/"]);
    assert_eq!(done.read("f/handler.txt"), "one\n");
    assert!(done.read("stack.yml").contains("lang: one@v1"), "{}", done.read("stack.yml"));
}

#[test]
fn a_catalogue_is_kept_for_when_its_server_is_away() {
    let text = catalogue("one", "https://example.invalid/x");
    let up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_up = up.clone();
    let server = Server::new(move |asked| match is_up.load(std::sync::atomic::Ordering::Relaxed) {
        true if asked.header("if-none-match") == Some("\"1\"") => answer("304 Not Modified", &[], ""),
        true => answer("200 OK", &[("ETag", "\"1\"")], &text),
        false => answer("503 Service Unavailable", &[], "<html>"),
    });
    let list = Test::new().env("OPENFAAS_TEMPLATE_STORE_URL", format!("{}/t.json", server.url));
    let first = list.args(["template", "store", "list"]).stderr("").run();
    let second = first.then().args(["template", "store", "list"]).stderr("").run();
    assert_eq!(first.stdout, second.stdout);
    up.store(false, std::sync::atomic::Ordering::Relaxed);
    let third = first.then().args(["template", "store", "list"]).stderr_has("the copy of last time").run();
    assert_eq!(first.stdout, third.stdout);
}

#[test]
fn catalogues_that_are_none() {
    let html = Server::always("200 OK", "text/html", "\n<!DOCTYPE html><html></html>");
    let endless = Server::new(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n[".to_vec();
        bytes.resize(1 << 20, b' ');
        bytes
    });
    let other = Server::always("200 OK", "application/json", "{\"functions\": []}");
    for (server, said) in [
        (&html, "is a web page, no catalogue in JSON"),
        (&endless, "is too big for a catalogue: more than 16 MiB"),
        (&other, "is no catalogue of templates"),
    ] {
        let done = Test::new().args(["template", "store", "list", "-u", &server.url]);
        let output = done.command().output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{stderr}");
    }
}

#[test]
fn repositories_that_would_write_elsewhere() {
    let deep = "../".repeat(3) + "x";
    for (mode, name, content, said) in [
        ("100644", "..", "x", "is a name that may write elsewhere"),
        ("100644", "../x", "x", "is a name that may write elsewhere"),
        ("100644", ".git", "x", "is a name that may write elsewhere"),
        ("100644", ".GIT", "x", "is a name that may write elsewhere"),
        ("100644", "a\\b", "x", "is a name that may write elsewhere"),
        ("120000", "link", "/etc/passwd", "is a link to \"/etc/passwd\", out of the template"),
        ("120000", "link", &deep, "out of the template"),
    ] {
        let repository = Repository::new().with_name(mode, name, content);
        let done = pull().arg(repository.address()).status(1).run();
        assert!(done.stderr.contains(said), "{name}: {}", done.stderr);
        assert!(done.list(".").iter().all(|name| name == "template/"), "{:?}", done.list("."));
        if done.dir().join("template").is_dir() {
            assert!(done.list("template").is_empty(), "{:?}", done.list("template"));
        }
    }
    let link = Repository::new().with_name("120000", "link", "function/handler.txt");
    pull().arg(link.address()).run();
}

#[test]
fn repositories_without_templates() {
    let repository = Repository::new().file("README.md", "x").committed();
    pull().arg(repository.address()).status(4).stderr_has("can't find templates in ").run();
    pull().arg(Repository::new().address()).status(4).stderr_has("has no commits").run();
}

#[test]
fn a_password_in_an_address_is_written_nowhere() {
    let server = Server::new(|_| answer("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"x\"")], ""));
    let url = server.url.replace("http://", "http://me:s3cr3t-word@") + "/t.git";
    let done = pull().arg(&url).status(1).run();
    assert!(!done.stderr.contains("s3cr3t-word") && !done.stdout.contains("s3cr3t-word"), "{}", done.stderr);
    // It was shown to the server that asked for it, and only then.
    let shown: Vec<Option<String>> =
        server.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(shown.first(), Some(&None), "{shown:?}");
    assert!(shown.iter().flatten().any(|value| value.starts_with("Basic ")), "{shown:?}");
    for entry in walkdir::WalkDir::new(done.faas_home()).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let text = fs::read(entry.path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("s3cr3t-word"), "{}", entry.path().display());
    }
}
