//! Repositories of templates that are no good, and pulls that did not come to their end.
use std::fs;
use std::path::PathBuf;

use crate::support::repository::Repository;
use crate::support::server::Server;
use crate::support::{Done, Test};

fn pull(address: &str) -> Test {
    Test::new().args(["template", "pull", address])
}

/// The repository's folder in the cache.
fn cached(done: &Done) -> PathBuf {
    let entries = fs::read_dir(done.faas_home().join("cache/templates")).expect("a cache");
    let mut found = entries.map(|entry| entry.expect("entry").path());
    found.find(|path| path.extension().is_some_and(|end| end == "git")).expect("a repository")
}

#[test]
fn what_a_pull_that_was_killed_left_keeps_no_other_from_pulling() {
    let repository = Repository::new().template("one").committed();
    let first = pull(&repository.address()).run();
    let cache = cached(&first);
    for left in ["shallow.lock", "config.lock", "packed-refs.lock", "HEAD.lock", "objects/pack/tmp_pack_a1B2c3"] {
        fs::create_dir_all(cache.join(left).parent().unwrap()).unwrap();
        fs::write(cache.join(left), "half").unwrap();
    }
    for folder in walkdir::WalkDir::new(cache.join("refs")).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        fs::write(folder.path().with_extension("lock"), "").unwrap();
    }
    repository.write("template/one/function/handler.txt", "later\n");
    repository.commit();
    first
        .then()
        .args(["template", "pull", &repository.address()])
        .stderr(format!("Fetching templates from {}\n", repository.address()))
        .run();
    assert_eq!(first.read("template/one/function/handler.txt"), "later\n");
    let left = walkdir::WalkDir::new(&cache).into_iter().flatten().map(|entry| entry.path().display().to_string());
    let left: Vec<String> = left.filter(|path| path.ends_with(".lock") || path.contains("tmp_pack")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn repositories_of_templates_are_a_cache_that_can_be_cleared() {
    let repository = Repository::new().template("one").committed();
    let done = pull(&repository.address()).run();
    let shown = done.then().args(["cache", "show", "--output", "json"]).run().json();
    let of = |kind: &str| shown.as_array().unwrap().iter().find(|one| one["kind"] == kind).cloned().unwrap();
    assert_eq!((of("templates")["entries"].as_u64(), of("templates")["clearable"].as_bool()), (Some(1), Some(true)));
    let cache = cached(&done);
    done.then().args(["cache", "clear", "templates"]).stdout_has("removed 1, ").run();
    assert!(!cache.exists());
    done.then().args(["template", "pull", &repository.address()]).run();
}

#[test]
fn names_that_differ_in_their_case_alone_are_refused_with_both() {
    let templates = Repository::new().template("foo").template("Foo").committed();
    let done = pull(&templates.address()).status(1).stderr_has("`Foo` and `foo` are one name").run();
    assert!(!done.dir().join("template").exists());
    let files = Repository::new().template("one").file("template/one/dockerfile", "FROM scratch\n").committed();
    let done = pull(&files.address()).status(1).stderr_has("Dockerfile").stderr_has("dockerfile").run();
    assert!(!done.dir().join("template/one").exists());
}

#[test]
fn a_server_without_an_end_is_left() {
    let endless = Server::with(|mut stream, _| {
        use std::io::{Read, Write};
        let _ = stream.read(&mut [0; 4096]);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let piece = vec![b'x'; 1 << 20];
        while stream.write_all(&piece).is_ok() {}
    });
    let done = pull(&endless.url).command().output().expect("it ends");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("answers with more than 1024 MiB"), "{said}");
}

#[test]
fn a_server_that_says_nothing_is_left() {
    let silent = Server::with(|mut stream, _| {
        use std::io::Read;
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let test = pull(&silent.url).env("GIT_HTTP_LOW_SPEED_LIMIT", "1").env("GIT_HTTP_LOW_SPEED_TIME", "1");
    test.status(1).stderr_has("can't fetch").run();
    // And without being asked for it: what git is told.
    let told = "#!/bin/sh\ncase \"$*\" in *fetch*) echo \"$GIT_HTTP_LOW_SPEED_LIMIT in $GIT_HTTP_LOW_SPEED_TIME\" > told;; esac\nexit 1\n";
    let test = pull(&silent.url).file("bin/git", told);
    fs::set_permissions(test.dir().join("bin/git"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", test.dir().join("bin").display(), std::env::var("PATH").unwrap());
    assert_eq!(test.env("PATH", path).status(1).run().read("told"), "1 in 60\n");
}
