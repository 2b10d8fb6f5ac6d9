//! Provider `lambda`: deploys, against moto through an oracle that checks every request; with `FAAS_TEST_LAMBDA=1`.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Test;
use crate::support::lambda::{MOTO, Oracle, bed, remove, stack, unchanged, with_keys};

#[test]
fn deploy_call_change_and_remove() {
    if !bed() {
        return;
    }
    // A new role that AWS does not know yet, a function in the making, changes under way, throttled calls.
    let oracle = Oracle::start("role=2,pending=2,inprogress=1,throttle=9");
    let done = oracle.project("life", "").arg("up").stdout_has("created").run();
    let seen = oracle.seen();
    assert!(seen.iter().filter(|op| *op == "CreateFunction").count() >= 3, "{seen:?}");
    for once in ["CreateRole", "CreateAlias"] {
        assert_eq!(seen.iter().filter(|op| *op == once).count(), 1, "{once}: {seen:?}");
    }
    let invoke = |test: Test| test.args(["invoke", "life-tax"]).stdin("{\"subtotal\": 100}");
    invoke(done.then()).stdout("asked for tax\n{\"tax\": 4.7}").run();

    // The code alone.
    let done = done.then().file("tax/handler.py", "def handle(req):\n    return 'second'\n").arg("up").run();
    let seen = oracle.seen();
    assert!(seen.contains(&"UpdateFunctionCode".into()), "{seen:?}");
    assert!(!seen.contains(&"UpdateFunctionConfiguration".into()), "{seen:?}");
    assert!(seen.contains(&"UpdateAlias".into()), "{seen:?}");
    invoke(done.then()).stdout("second").run();

    // The configuration alone.
    let more = "    environment: {RATE: \"7\"}\n    limits: {memory: 512Mi}\n    timeout: 90s\n    labels: {team: a b}\n    annotations: {topic: \"*\"}\n";
    let done = done.then().file("stack.yml", stack("life", more)).arg("up").run();
    let seen = oracle.seen();
    assert!(!seen.contains(&"UpdateFunctionCode".into()), "{seen:?}");
    assert!(seen.contains(&"UpdateFunctionConfiguration".into()), "{seen:?}");
    let described = done.then().args(["describe", "life-tax", "--output", "json"]).run().json();
    let described = described.as_array().map_or(described.clone(), |all| all[0].clone());
    assert_eq!(described["envVars"], serde_json::json!({"RATE": "7"}), "{described}");
    assert_eq!(described["limits"]["memory"], "512Mi");
    assert_eq!(described["labels"]["team"], "a b");
    assert_eq!(described["annotations"]["topic"], "*");
    done.then().arg("list").stdout_has("life-tax").run();

    oracle.seen();
    remove(&done, "life-tax");
    let seen = oracle.seen();
    assert!(seen.contains(&"DeleteFunction".into()) && seen.contains(&"DeleteRole".into()), "{seen:?}");
    oracle.check();
}

#[test]
fn what_does_not_change_costs_two_reads() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("still", "    annotations: {note: \"* * *\"}\n    labels: {a: b}\n").arg("up").run();
    unchanged(&done, &oracle);
    remove(&done, "still-tax");
    oracle.check();
}

#[test]
fn a_deploy_that_is_killed_goes_on_where_it_was() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("killed", "    url: public\n").args(["build"]).run();
    // After so many requests each time; the last one has fewer left to make.
    for requests in 1..12 {
        let before = oracle.requests().len();
        let test = done.then().file("tax/handler.py", format!("def handle(req):\n    return '{requests}'\n")).arg("up");
        let mut child = test.spawn();
        let until = Instant::now() + Duration::from_secs(300);
        while oracle.requests().len() < before + requests && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it makes no requests");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        done.then().arg("up").run();
        // A call starts a container, which takes its time.
        if requests % 4 == 3 {
            done.then().args(["invoke", "killed-tax"]).stdout(requests.to_string()).run();
        }
        unchanged(&done, &oracle);
    }
    let described = done.then().args(["describe", "killed-tax", "--output", "json"]).run();
    assert!(described.stdout.contains("https://"), "{}", described.stdout);
    // Old versions were pruned; moto can't delete a function after that (it loses its ARN), so it stays.
    let pruned = oracle.requests().iter().filter(|request| request["op"] == "DeleteFunction").count();
    assert!(pruned >= 3, "{pruned} versions were pruned");
    oracle.check();
}

#[test]
fn a_first_deploy_that_is_killed_anywhere_goes_on_where_it_was() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    for requests in 1..12 {
        // A stack of its own each time, so that the role is new, too.
        let done = oracle.project(&format!("anew{requests}"), "    url: public\n").arg("build").run();
        let before = oracle.requests().len();
        let mut child = done.then().arg("up").spawn();
        let until = Instant::now() + Duration::from_secs(300);
        while oracle.requests().len() < before + requests && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it makes no requests");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        done.then().arg("up").stdout_has("https://").run();
        unchanged(&done, &oracle);
        remove(&done, &format!("anew{requests}-tax"));
    }
    oracle.check();
}

#[test]
fn a_public_url_has_both_permissions() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("url", "    url: public\n").arg("up").stdout_has("https://").run();
    let seen = oracle.seen();
    assert_eq!(seen.iter().filter(|op| *op == "AddPermission").count(), 2, "{seen:?}");
    unchanged(&done, &oracle);
    done.then().file("stack.yml", stack("url", "")).arg("up").run();
    let seen = oracle.seen();
    assert!(seen.contains(&"DeleteFunctionUrlConfig".into()), "{seen:?}");
    unchanged(&done, &oracle);
    remove(&done, "url-tax");
    oracle.check();
}

#[test]
fn versions_tell_who_deployed_them_and_are_gone_back_to() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("past", "").env("USER", "jane").arg("up").run();
    let more = "    environment: {RATE: \"7\"}\n";
    let two = done.then().file("stack.yml", stack("past", more)).env("USER", "joe");
    let done = two.file("tax/handler.py", "def handle(req):\n    return 'two'\n").arg("up").run();
    let list = || done.then().args(["deployments", "list", "past-tax", "--output", "json"]).run().json();
    let told = list();
    let field = |name: &str| -> Vec<Value> { told.as_array().unwrap().iter().map(|one| one[name].clone()).collect() };
    assert_eq!(field("id"), ["2", "1"]);
    assert_eq!(field("by"), ["joe", "jane"]);
    assert_eq!(field("stack"), ["past", "past"]);
    assert_eq!(field("changed"), [serde_json::json!(["code", "environment.RATE"]), serde_json::json!(["created"])]);
    assert_eq!(field("serves"), [true, false]);
    done.then().args(["rollout", "undo", "past-tax", "--to", "1"]).run();
    assert_eq!(list()[1]["serves"], true);
    // That a version's own code answers is Lambda's work; moto runs the newest, whatever is asked for.
    let alias = done.then().args(["rollout", "status", "past-tax", "--output", "json"]).run().json();
    assert_eq!((&alias[0]["name"], &alias[0]["share"]), (&Value::from("1"), &Value::from(100)), "{alias}");
    remove(&done, "past-tax");
    oracle.check();
}

#[test]
fn a_canary_gets_a_share_and_is_promoted_or_undone_by_one_call() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("inprogress=1");
    let done = oracle.project("canary", "").arg("up").run();
    let changed = done.then().file("tax/handler.py", "def handle(req):\n    return 'two'\n");
    let changed = changed.args(["up", "--canary", "10"]).run();
    let shares = |expected: &[(&str, u64)]| {
        let told = changed.then().args(["rollout", "status", "canary-tax", "--output", "json"]).run().json();
        let told: Vec<(String, u64)> = told
            .as_array()
            .unwrap()
            .iter()
            .map(|r| (r["name"].as_str().unwrap().to_owned(), r["share"].as_u64().unwrap()))
            .filter(|(_, share)| *share > 0)
            .collect();
        let expected: Vec<(String, u64)> = expected.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
        assert_eq!(told, expected);
    };
    shares(&[("2", 10), ("1", 90)]);
    unchanged(&changed, &oracle);
    changed.then().args(["rollout", "set", "canary-tax", "2=60", "1=40"]).run();
    shares(&[("2", 60), ("1", 40)]);
    changed.then().args(["rollout", "promote", "canary-tax", "--steps", "70,100", "--every", "1s"]).run();
    shares(&[("2", 100)]);
    oracle.seen();
    changed.then().args(["rollout", "undo", "canary-tax"]).run();
    assert_eq!(oracle.seen().iter().filter(|op| *op == "UpdateAlias").count(), 1);
    shares(&[("1", 100)]);
    // Past a canary that was given up, to what had all of the calls.
    changed
        .then()
        .file("tax/handler.py", "def handle(req):\n    return 'three'\n")
        .args(["up", "--canary", "10"])
        .run();
    shares(&[("3", 10), ("1", 90)]);
    changed.then().args(["rollout", "promote", "canary-tax"]).run();
    shares(&[("3", 100)]);
    changed.then().args(["rollout", "undo", "canary-tax"]).run();
    shares(&[("1", 100)]);
    let memory = stack("canary", "    limits: {memory: 512Mi}\n    environment: {A1: b}\n");
    oracle.seen();
    let plan =
        changed.then().file("stack.yml", memory).args(["plan", "--exit-code", "--output", "json"]).status(3).run();
    assert!(plan.stdout.contains("MemorySize") && plan.stdout.contains("Environment.Variables.A1"), "{}", plan.stdout);
    assert!(!plan.stdout.contains("\"Timeout\""), "{}", plan.stdout);
    let seen = oracle.seen();
    assert!(seen.iter().all(|op| op.starts_with("Get") || op.starts_with("List")), "{seen:?}");
    remove(&changed, "canary-tax");
    oracle.check();
}

#[test]
fn schedules_queues_warm_instances_and_cors_come_and_go() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let queue = "arn:aws:sqs:us-east-1:123456789012:dead";
    let more = format!(
        "    url: public\n    schedule: \"*/5 9-17 * * 1-5\"\n    lambda:\n      timezone: Europe/Berlin\n      async: {{retries: 1, max_age: 300, on_failure: \"{queue}\"}}\n      dead_letter: \"{queue}\"\n      provisioned: 2\n      cors: {{origins: [\"https://example.com\"], methods: [GET], max_age: 60}}\n"
    );
    let done = oracle.project("extras", &more).arg("up").run();
    let seen = oracle.seen();
    for op in ["CreateSchedule", "PutFunctionEventInvokeConfig", "PutProvisionedConcurrencyConfig", "PutRolePolicy"] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    unchanged(&done, &oracle);
    done.then().arg("up").arg("--force").run();
    let seen = oracle.seen();
    assert!(!seen.contains(&"DeleteSchedule".into()), "{seen:?}");
    done.then().file("stack.yml", stack("extras", "")).arg("up").run();
    let seen = oracle.seen();
    for op in [
        "DeleteSchedule",
        "DeleteFunctionEventInvokeConfig",
        "DeleteProvisionedConcurrencyConfig",
        "DeleteRolePolicy",
        "DeleteFunctionUrlConfig",
    ] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    unchanged(&done, &oracle);
    remove(&done, "extras-tax");
    assert_eq!(oracle.seen().iter().filter(|op| *op == "DeleteRole").count(), 2);
    oracle.check();
}

#[test]
fn traces_layers_networks_tmp_secrets_and_tags_go_along_and_unchanged_ones_cost_two_reads() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let empty = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==";
    let body = format!("{{\"Content\": {{\"ZipFile\": \"{empty}\"}}}}");
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0";
    let place = format!("http://{MOTO}/2018-10-31/layers/deps/versions");
    let json = "Content-Type: application/json";
    let made = Command::new("curl").args(["-fsS", "-H", signed, "-H", json, "--data-raw", &body, &place]).output();
    let made = made.unwrap();
    let layer: Value = serde_json::from_slice(&made.stdout).unwrap();
    let layer = layer["LayerVersionArn"].as_str().unwrap();
    let more = format!(
        "    secrets: [all-key]\n    lambda:\n      tracing: true\n      layers: [\"{layer}\"]\n      ephemeral_storage: 1024\n      memory: 300\n      description: sums up\n      tags: {{cost center: \"7\"}}\n      vpc: {{subnets: [subnet-1, subnet-2], security_groups: [sg-1]}}\n"
    );
    let test = oracle.project("all", &more).args(["secret", "create", "all-key"]).stdin("s3cret").run();
    let done = test.then().arg("up").stdout_has("created").run();
    assert_eq!(oracle.seen().iter().filter(|op| *op == "AttachRolePolicy").count(), 3);
    unchanged(&done, &oracle);
    let stack = done.read("stack.yml");
    let planned = |from: &str, to: &str, field: &str| {
        let plan = done.then().file("stack.yml", stack.replace(from, to)).arg("plan");
        plan.stdout_has(field).run();
    };
    planned("ephemeral_storage: 1024", "ephemeral_storage: 512", "EphemeralStorage.Size: 1024 -> 512");
    planned("tracing: true", "tracing: false", "TracingConfig.Mode: \"Active\" -> \"PassThrough\"");
    planned("subnets: [subnet-1, subnet-2]", "subnets: [subnet-3]", "VpcConfig.SubnetIds");
    planned(&format!("layers: [\"{layer}\"]"), "layers: []", "Layers");
    let done = done.then().file("stack.yml", stack.replace("center: \"7\"", "center: \"8\"")).arg("up").run();
    let seen = oracle.seen();
    assert!(seen.contains(&"TagResource".into()) && !seen.contains(&"UpdateFunctionCode".into()), "{seen:?}");
    remove(&done, "all-tax");
    done.then().args(["secret", "remove", "all-key"]).run();
    oracle.check();
}

#[test]
fn a_removal_that_ends_in_the_middle_leaves_no_schedule_behind() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start_with(
        "127.0.0.1",
        "",
        "test",
        &["--refuse", "DeleteFunction=ServiceException:500:An error occurred"],
    );
    let done = oracle.project("left", "    schedule: \"0 9 * * *\"\n").arg("up").run();
    oracle.seen();
    done.then().args(["remove", "left-tax"]).status(1).stderr_has("can't remove left-tax").run();
    let seen = oracle.seen();
    let at = |op: &str| seen.iter().position(|one| one == op).unwrap_or_else(|| panic!("{op}: {seen:?}"));
    assert!(at("DeleteSchedule") < at("DeleteFunction"), "{seen:?}");
    // The rest is done when it is said again.
    let other = Oracle::start("");
    remove(&with_keys(done.then(), &format!("http://{}", other.address)).arg("list").run(), "left-tax");
    assert!(other.seen().iter().filter(|op| *op == "DeleteRole").count() == 2);
    other.check();
}

#[test]
fn a_minute_without_an_answer_but_too_many_requests_is_sat_out() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("storm=60");
    let done = oracle.project("storm", "").arg("up").stdout_has("created").run();
    remove(&done, "storm-tax");
    oracle.check();
}

#[test]
fn a_namespace_is_the_start_of_the_name() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("ns", "").args(["up", "-n", "shop"]).run();
    done.then().args(["invoke", "ns-tax", "-n", "shop"]).stdin("{\"subtotal\": 10}").stdout_has("0.47").run();
    done.then().args(["list", "-n", "shop"]).stdout_has("ns-tax").run();
    assert!(!done.then().arg("list").run().stdout.contains("ns-tax"));
    done.then().args(["remove", "ns-tax", "-n", "shop"]).run();
    oracle.check();
}

#[test]
fn an_archive_over_50_mb_goes_by_a_bucket_that_is_empty_again_after_it() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    // What can't be packed: 52 MB from a generator (xorshift).
    let mut state = 88_172_645_463_325_252_u64;
    let mut large = Vec::with_capacity(52 << 20);
    while large.len() < 52 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        large.extend_from_slice(&state.to_le_bytes());
    }
    let done = oracle.project("large", "").file("tax/model.bin", large).arg("up").stdout_has("created").run();
    let seen = oracle.seen();
    for op in ["CreateBucket", "PutObject", "DeleteObject"] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    unchanged(&done, &oracle);
    remove(&done, "large-tax");
    oracle.check();
}

#[test]
fn an_image_goes_to_the_accounts_registry_and_is_pinned() {
    if !bed() {
        return;
    }
    let Some(registry) = crate::support::bed("FAAS_REGISTRY") else { return };
    let oracle = Oracle::start("");
    let image = format!("{registry}/lambda-test/ecr-tax:1");
    let stack = format!(
        "provider: {{name: lambda, lambda: {{region: us-east-1, registry: \"{registry}\"}}}}\nname: ecr\nfunctions:\n  ecr-tax: {{lang: dockerfile, handler: ./tax, image: \"{image}\"}}\n"
    );
    let mut test = oracle.project("ecr", "").file("stack.yml", stack);
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        test = test.env("DOCKER_HOST", host);
    }
    let done = test.file("tax/Dockerfile", "FROM scratch\nCOPY handler.py /\n").arg("up").stdout_has("created").run();
    let seen = oracle.seen();
    for op in ["CreateRepository", "GetAuthorizationToken", "CreateFunction"] {
        assert!(seen.contains(&op.into()), "{op}: {seen:?}");
    }
    // moto tells another image than it was given.
    let pinned = format!("{registry}/lambda-test/ecr-tax@sha256:");
    let sent = |r: &Value| r["image"].as_str().is_some_and(|image| image.starts_with(&pinned));
    assert!(oracle.requests().iter().any(sent), "{:?}", oracle.requests());
    done.then().arg("push").stdout_has("ecr-tax").run();
    assert!(!oracle.seen().contains(&"CreateRepository".into()));
    remove(&done, "ecr-tax");
    oracle.check();
}
