//! Provider `lambda`: what goes wrong on AWS's side, and what is said of it; with `FAAS_TEST_LAMBDA=1`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;
use sha2::Digest;

use crate::support::lambda::{Oracle, bed, project, with_keys};
use crate::support::registry::{Kind, Registry};

/// An endpoint where one call is refused as AWS would.
fn refusing(refusal: &str) -> Oracle {
    Oracle::start_with("127.0.0.1", "", "test", &["--refuse", refusal])
}

#[test]
fn a_missing_right_is_told_with_the_policy_to_add() {
    if !bed() {
        return;
    }
    let oracle = refusing(
        "CreateFunction=AccessDeniedException:403:User: arn:aws:iam::123456789012:user/me is not authorized to perform: lambda:CreateFunction on resource: arn:aws:lambda:us-east-1:123456789012:function:right-tax because no identity-based policy allows it",
    );
    oracle
        .project("right", "")
        .arg("up")
        .status(5)
        .stderr_has("not authorized to perform: lambda:CreateFunction")
        .stderr_has(
            "{\"Effect\":\"Allow\",\"Action\":\"lambda:CreateFunction\",\"Resource\":\"arn:aws:lambda:us-east-1:123456789012:function:right-tax\"}",
        )
        .run();
    oracle.check();
}

#[test]
fn expired_and_unknown_credentials_are_told_apart() {
    if !bed() {
        return;
    }
    let expired =
        refusing("GetFunction=ExpiredTokenException:403:The security token included in the request is expired");
    let test = expired.project("expired", "").args(["describe", "expired-tax"]);
    test.status(5).stderr_has("the credentials have expired").run();
    let unknown =
        refusing("GetFunction=UnrecognizedClientException:403:The security token included in the request is invalid.");
    let test = unknown.project("unknown", "").args(["describe", "unknown-tax"]);
    test.status(5).stderr_has("AWS does not know these credentials").run();
}

#[test]
fn a_role_that_lambda_can_not_assume_is_told_at_once_when_it_is_not_new() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let role = "arn:aws:iam::123456789012:role/nobody";
    oracle
        .project("role", &format!("    lambda: {{role: \"{role}\"}}\n"))
        .arg("up")
        .status(1)
        .stderr_has("cannot be assumed by Lambda")
        .stderr_has("the role must trust lambda.amazonaws.com; leave `role` out and one is made")
        .run();
    oracle.check();
}

#[test]
fn what_somebody_else_changes_in_between_is_read_again() {
    if !bed() {
        return;
    }
    let oracle = refusing(
        "UpdateFunctionCode=PreconditionFailedException:412:The RevisionId provided does not match the latest RevisionId",
    );
    let done = oracle.project("revision", "").arg("up").run();
    oracle.seen();
    let changed = done.then().file("tax/handler.py", "def handle(req):\n    return 'two'\n").arg("up");
    let changed = changed.status(1).stderr_has("was changed by somebody else meanwhile");
    changed.stderr_has("somebody else is deploying it: wait until that is done, and run this again").run();
    let seen = oracle.seen();
    let count = |what: &str| seen.iter().filter(|op| *op == what).count();
    assert_eq!(count("UpdateFunctionCode"), 4);
    assert!(count("GetFunction") >= 4, "it is read each time: {seen:?}");
    oracle.check();
}

#[test]
fn an_image_that_lambda_does_not_take_is_told_with_the_way_out() {
    if !bed() {
        return;
    }
    let oracle = refusing(
        "CreateFunction=InvalidParameterValueException:400:The image manifest, config or layer media type for the source image x is not supported.",
    );
    let test = oracle.project("media", "").arg("up").status(1);
    test.stderr_has("media type").stderr_has("single images only").run();
}

/// Answers everything with the same.
fn answering(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 8192]);
            let _ = write!(
                socket,
                "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

#[test]
fn another_program_behind_the_address_is_shown() {
    let xml = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code></Error>";
    let address = answering("404 Not Found", xml);
    with_keys(project("xml", ""), &format!("http://{address}"))
        .args(["describe", "xml-tax"])
        .status(1)
        .stderr_has("no error as AWS writes it")
        .stderr_has("<Code>NoSuchBucket</Code>")
        .run();
    let address = answering("200 OK", "<html>login</html>");
    with_keys(project("html", ""), &format!("http://{address}")).args(["describe", "html-tax"]).status(1).run();
}

#[test]
fn names_and_archives_over_the_limit_are_told_before_anything_is_sent() {
    // A stack takes names of 63 characters; the namespace comes on top.
    let (long, namespace) = ("n".repeat(50), "s".repeat(20));
    let test = with_keys(project(&long, ""), "http://127.0.0.1:9").args(["up", "-n", &namespace]).status(2);
    test.stderr_has("is over 64 characters").stderr_has("nothing was changed").run();
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let test = oracle.project("huge", "").layout(|dir| {
        // Holes: 260 MB that take no place.
        let file = std::fs::File::create(dir.join("tax/model.bin")).unwrap();
        file.set_len(260 << 20).unwrap();
        std::fs::write(dir.join("tax/small.bin"), [0; 9]).unwrap();
    });
    test.arg("up").status(1).stderr_has("function/model.bin").stderr_has("package: image").run();
    assert!(oracle.seen().iter().all(|op| op.starts_with("Get")));
}

#[test]
fn a_region_that_is_none_is_told_apart_from_one_that_does_not_answer() {
    let keys = |region: &str| {
        let stack = crate::support::lambda::stack("region", "").replace("us-east-1", region);
        let test = project("region", "").file("stack.yml", stack).args(["describe", "region-tax"]);
        test.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test")
    };
    keys("Frankfurt").status(2).stderr_has("`Frankfurt` can't be an AWS region").stderr_has("eu-central-1").run();
    keys("xx-nowhere-9").status(1).stderr_has("is the region right, and can its address be reached?").run();
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-fsS"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn digest(bytes: &str) -> String {
    let hash = sha2::Sha256::digest(bytes.as_bytes());
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Puts an image without layers into a registry: the digest of its manifest, and how long that is.
fn image(registry: &str, name: &str, architecture: &str) -> (String, usize) {
    let config =
        json!({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}}).to_string();
    let place = format!("http://{registry}/v2/{name}/blobs/uploads/");
    let headers = curl(&["-X", "POST", "-D", "-", "-o", "/dev/null", &place]);
    let place = headers.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().trim();
    let bytes = "Content-Type: application/octet-stream";
    curl(&["-X", "PUT", "-H", bytes, "--data-raw", &config, &format!("{place}&digest={}", digest(&config))]);
    let described = json!({"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": digest(&config)});
    let manifest = json!({"schemaVersion": 2, "mediaType": DOCKER, "config": described, "layers": []}).to_string();
    put_manifest(registry, name, DOCKER, &manifest);
    (digest(&manifest), manifest.len())
}

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn put_manifest(registry: &str, name: &str, kind: &str, manifest: &str) {
    let header = format!("Content-Type: {kind}");
    let place = format!("http://{registry}/v2/{name}/manifests/1");
    curl(&["-X", "PUT", "-H", &header, "--data-raw", manifest, &place]);
}

#[test]
fn an_image_for_another_processor_or_for_several_is_told_before_anything_is_made() {
    if !bed() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let host = &registry.host;
    let oracle = Oracle::start("");
    let up = |name: &str| {
        let stack = format!(
            "provider: {{name: lambda, lambda: {{region: us-east-1, registry: \"{host}\"}}}}\nname: cpu\nfunctions:\n  cpu-tax: {{image: \"{host}/{name}:1\", skip_build: true}}\n"
        );
        oracle.project("cpu", "").file("stack.yml", stack).arg("up")
    };
    let (digest, size) = image(host, "cpu/arm", "arm64");
    up("cpu/arm").status(2).stderr_has("is for linux/arm64, and the function is to run on linux/amd64").run();
    let platform = json!({"os": "linux", "architecture": "arm64"});
    let one = json!({"mediaType": DOCKER, "size": size, "digest": digest, "platform": platform});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [one]}).to_string();
    put_manifest(host, "cpu/arm", INDEX, &index);
    up("cpu/arm").status(2).stderr_has("is an index of several images").stderr_has("--provenance=false").run();
    assert!(!oracle.seen().contains(&"CreateFunction".into()));
    image(host, "cpu/amd", "amd64");
    let done = up("cpu/amd").stdout_has("created").run();
    crate::support::lambda::remove(&done, "cpu-tax");
    oracle.check();
}

#[test]
fn what_answers_a_call_must_be_lambda() {
    for body in ["<ListBucketResult/>", "<html>sign in to the network</html>"] {
        let address = format!("http://{}", answering("200 OK", body));
        let call = |more: &[&str]| {
            let test =
                with_keys(project("other", ""), &address).args(["invoke", "other-tax"]).args(more.iter().copied());
            test.stdin("1").status(1)
        };
        for more in [&[][..], &["--async"], &["--raw"]] {
            call(more).stdout("").stderr_has("what answered is not Lambda").stderr_has(body).run();
        }
        call(&["--stream"]).stdout("").run();
    }
    let address = answering("200 OK\r\nx-amzn-RequestId: 1", "{}");
    let queued = with_keys(project("other", ""), &format!("http://{address}")).args(["invoke", "other-tax", "--async"]);
    queued.stdin("1").status(1).stderr_has("was not taken into Lambda's queue").stderr_has("HTTP 200").run();
}

#[test]
fn a_role_that_another_run_removes_meanwhile_is_removed() {
    if !bed() {
        return;
    }
    for call in ["ListAttachedRolePolicies", "ListRolePolicies", "DeleteRole"] {
        let oracle = refusing(&format!("{call}=NoSuchEntity:404:Role not found"));
        let done = oracle.project("racing", "").arg("up").run();
        done.then().arg("remove").stdout("Removed racing-tax.\n").run();
        oracle.check();
    }
}

#[test]
fn several_functions_of_a_stack_are_removed_at_once() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let more: String = (0..8).map(|n| format!("  herd-{n}: {{lang: python3, handler: ./tax}}\n")).collect();
    let done = oracle.project("herd", &more).arg("up").run();
    let gone = done.then().arg("remove").run();
    assert_eq!(gone.stdout.lines().count(), 9);
    oracle.check();
}

#[test]
fn credentials_that_have_expired_are_no_right_to_read() {
    if !bed() {
        return;
    }
    let oracle =
        refusing("GetFunction=ExpiredTokenException:403:The security token included in the request is expired");
    let done = oracle.project("expired", "").arg("doctor").status(1).stdout_has("the credentials have expired").run();
    assert!(!done.stdout.contains("reading is allowed"), "{}", done.stdout);
}
