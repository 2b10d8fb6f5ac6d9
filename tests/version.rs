//! `version`, and its question for a newer one.
use crate::support::Test;
use crate::support::server::{Server, answer};

fn releases(tag: &str) -> Server {
    let to = format!("https://example.com/releases/tag/{tag}");
    Server::new(move |_| answer("302 Found", &[("Location", &to)], ""))
}

#[test]
fn a_newer_version_is_told_of_only_when_asked() {
    let server = releases("v999.0.1");
    let url = format!("{}/releases/latest", server.url);
    let version = || Test::new().env("FAAS_RELEASES_URL", &url).arg("version");
    version().stderr("").run();
    assert!(server.lines().is_empty(), "nobody asked for that");
    version().arg("--warn-update").stderr_has("older than the newest, 999.0.1").run();
    assert_eq!(server.lines(), ["HEAD /releases/latest"]);
    Test::new().called("faas-cli").env("FAAS_RELEASES_URL", &url).args(["version", "--warn-update=false"]).run();
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn the_same_or_an_older_version_is_none() {
    let server = releases("v0.0.1");
    Test::new().env("FAAS_RELEASES_URL", &server.url).args(["version", "--warn-update"]).stderr("").run();
}

#[test]
fn fault_version_needs_no_network() {
    let version = |args: &[&str]| {
        let test = Test::new().called("faas-cli").arg("version").args(args.iter().copied());
        test.env("FAAS_RELEASES_URL", "http://127.0.0.1:1/latest").env("OPENFAAS_URL", "http://127.0.0.1:1")
    };
    version(&[]).stdout_has(" version: ").stderr("").run();
    version(&["--warn-update"])
        .stdout_has(" version: ")
        .stderr_has("can't tell whether there is a newer version")
        .run();
}
