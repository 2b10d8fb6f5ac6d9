//! The invoker of the release: fetched when there is none for a processor, and only taken when it is what was released.

use std::path::Path;

use sha2::Digest;

use crate::support::Test;
use crate::support::server::{Server, answer};

/// What looks like a program for a processor.
fn program(machine: u8, size: usize) -> Vec<u8> {
    let mut bytes = vec![0_u8; size];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = machine;
    bytes
}

const ARM64: u8 = 0xb7;

fn sum(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that has this at the address that the setting makes of version and architecture.
fn serving(bytes: Vec<u8>) -> Server {
    let path = format!("GET /v{}/faas-watchdog-arm64", env!("CARGO_PKG_VERSION"));
    Server::new(move |asked| {
        if asked.line != path {
            return answer("404 Not Found", &[], "no such file");
        }
        let mut whole =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len()).into_bytes();
        whole.extend(&bytes);
        whole
    })
}

/// A function for arm64, put together without an engine, on a machine that has only its own invoker.
fn project(url: &str, sums: &str) -> Test {
    let stack = "provider: {name: openfaas}\nfunctions:\n  tax: {lang: bash, handler: ./tax, image: \"127.0.0.1:1/x/tax\", \
                 platforms: linux/arm64, build_args: {BASE: scratch}}\n";
    let test = Test::new()
        .file("stack.yml", stack)
        .file("tax/handler.sh", "tr a-z A-Z\n")
        .file("bin/faas-watchdog", program(0x3e, 4096))
        .file("sums", sums)
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .env("FAAS_ENGINE", "none")
        .env("FAAS_WATCHDOG_URL", format!("{url}/v{{version}}/faas-watchdog-{{arch}}"));
    let (watchdog, sums) = (test.dir().join("bin/faas-watchdog"), test.dir().join("sums"));
    test.env("FAAS_WATCHDOG", watchdog.display().to_string())
        .env("FAAS_WATCHDOG_SUMS", sums.display().to_string())
        .arg("build")
}

fn kept(below: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.ends_with("faas-watchdog-arm64") => found.push(path),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn it_is_fetched_once_and_kept() {
    let bytes = program(ARM64, 100_000);
    let server = serving(bytes.clone());
    let sums = format!("# words\n{}  faas-watchdog-amd64\n{}  faas-watchdog-arm64\n", "0".repeat(64), sum(&bytes));
    let done = project(&server.url, &sums).run();
    assert_eq!(server.lines().len(), 1, "{}", done.stderr);
    let found = kept(&done.faas_home());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(std::fs::read(&found[0]).unwrap(), bytes);

    // Out of the cache, as long as that is still what was released.
    let done = done.then().file("tax/handler.sh", "cat\n").arg("build").run();
    assert_eq!(server.lines().len(), 1);
    std::fs::write(&found[0], program(ARM64, 50)).unwrap();
    done.then().file("tax/handler.sh", "tac\n").arg("build").run();
    assert_eq!(server.lines().len(), 2);
    assert_eq!(std::fs::read(&found[0]).unwrap(), bytes);
}

#[test]
fn another_than_was_released_is_not_taken() {
    let server = serving(program(ARM64, 5000));
    let expected = sum(b"what was released");
    let test = project(&server.url, &format!("{expected}  faas-watchdog-arm64\n"));
    let done = test
        .status(1)
        .stderr_has(format!(
            "{}/v{}/faas-watchdog-arm64 is not the faas-watchdog that was released",
            server.url,
            env!("CARGO_PKG_VERSION")
        ))
        .stderr_has(format!("its SHA-256 is {}, and {expected} is expected", sum(&program(ARM64, 5000))))
        .stderr_has("put faas-watchdog-arm64 beside the faas program, or name one in FAAS_WATCHDOG")
        .run();
    assert!(kept(&done.faas_home()).is_empty());
}

#[test]
fn one_that_can_not_be_fetched_or_was_never_released_is_said() {
    let nothing = Server::always("404 Not Found", "text/plain", "no");
    let sums = format!("{}  faas-watchdog-arm64\n", sum(b"x"));
    let missing = project(&nothing.url, &sums).status(4);
    missing.stderr_has("can't fetch").stderr_has("404").stderr_has("put faas-watchdog-arm64 beside").run();
    project("http://127.0.0.1:9", &sums)
        .status(1)
        .stderr_has("can't fetch")
        .stderr_has("put faas-watchdog-arm64")
        .run();
    let none = project(&nothing.url, &format!("{}  faas-watchdog-riscv64\n", sum(b"x"))).status(1);
    none.stderr_has("needs the program faas-watchdog for linux/arm64, which is not there").run();
    assert_eq!(nothing.lines().len(), 1, "what was never released is not asked for");
    project(&nothing.url, "")
        .env("FAAS_WATCHDOG_SUMS", "/none")
        .status(1)
        .stderr_has("FAAS_WATCHDOG_SUMS, /none")
        .run();
}
