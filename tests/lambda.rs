//! Provider `lambda`, what needs no AWS at all.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::Test;
use crate::support::lambda::{project, stack, with_keys};

#[test]
fn without_credentials_nothing_is_sent() {
    project("nokeys", "").args(["describe", "nokeys-tax"]).status(5).stderr_has("no AWS credentials were found").run();
}

#[test]
fn half_a_pair_of_keys_a_profile_that_is_not_there_and_an_address_that_is_none_are_named() {
    let half = project("half", "").env("AWS_ACCESS_KEY_ID", "test").args(["describe", "half-tax"]).status(5);
    half.stderr_has("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not").run();
    let half = project("half", "").env("AWS_SECRET_ACCESS_KEY", "test").args(["describe", "half-tax"]).status(5);
    half.stderr_has("AWS_SECRET_ACCESS_KEY is set, AWS_ACCESS_KEY_ID is not").run();
    let profile = project("profile", "").env("AWS_PROFILE", "mine").args(["describe", "profile-tax"]).status(5);
    profile.stderr_has("there is no profile `mine`, nor any other").run();
    for address in ["localhost:4566", "not an address"] {
        let test = with_keys(project("address", ""), address).args(["describe", "address-tax"]).status(2);
        test.stderr_has(format!("`{address}` is no address: ")).stderr_has("AWS_ENDPOINT_URL").run();
    }
}

#[test]
fn addresses_that_are_empty_count_as_not_set() {
    let mine = "http://127.0.0.1:9";
    let test =
        with_keys(project("blank", ""), mine).env("AWS_ENDPOINT_URL_LAMBDA", "").env("AWS_ENDPOINT_URL_STS", " ");
    test.args(["describe", "blank-tax"]).status(1).stderr_has("Connection refused").run();
    let test =
        with_keys(project("blank", ""), "").file("stack.yml", stack("blank", "").replace("us-east-1", "xx-no-9"));
    test.args(["describe", "blank-tax"]).status(1).stderr_has("is the region right").run();
}

#[test]
fn keys_with_a_line_break_are_told_by_their_place() {
    for (variable, value, found) in [
        ("AWS_ACCESS_KEY_ID", "AK\n", "a line break"),
        ("AWS_SECRET_ACCESS_KEY", "secret\r", "a line break"),
        ("AWS_SESSION_TOKEN", "to ken", "a blank"),
    ] {
        let test = with_keys(project("broken", ""), "http://127.0.0.1:9").env(variable, value);
        test.args(["describe", "broken-tax"]).status(5).stderr_has(format!("{variable} has {found} in it")).run();
    }
    let config = "[default]\ncredential_process = printf '{\"Version\":1,\"AccessKeyId\":\"A\\\\nK\",\"SecretAccessKey\":\"s\"}'\n";
    let test = project("broken", "").file("config", config).env("AWS_CONFIG_FILE", "config");
    let test = test.args(["describe", "broken-tax"]).status(5);
    test.stderr_has("the AWS access key ID has a line break in it").stderr_has("the program that gives it").run();
}

#[test]
fn without_a_region_it_is_said_where_to_set_one() {
    let stack = stack("noregion", "").replace("region: us-east-1", "");
    with_keys(project("noregion", ""), "http://127.0.0.1:9")
        .file("stack.yml", stack)
        .args(["describe", "noregion-tax"])
        .status(2)
        .stderr_has("no AWS region is known")
        .stderr_has("provider.lambda.region")
        .run();
}

#[test]
fn everything_that_lambda_would_refuse_is_told_before_anything_is_sent() {
    let more = "    timeout: 20m\n    limits: {memory: 20Gi}\n    environment: {AWS_REGION: x, LARGE: \"$BIG\"}\n    lambda: {ephemeral_storage: 1, role: admin}\n"
        .replace("$BIG", &"x".repeat(5000));
    with_keys(project("bad", &more), "http://127.0.0.1:9")
        .arg("up")
        .status(2)
        .stderr_has("6 problems for provider `lambda`, nothing was changed")
        .stderr_has("20m is not allowed")
        .stderr_has("20Gi is over Lambda's 10240 MB")
        .stderr_has("`AWS_REGION` is reserved by Lambda")
        .stderr_has("bytes; Lambda takes 4096")
        .stderr_has("1 MB is not allowed")
        .stderr_has("`admin` is no role's ARN")
        .stderr_has("stack.yml:")
        .run();
}

#[test]
fn validate_says_what_lambda_would_refuse_without_asking_it() {
    let more =
        "    timeout: 20m\n    lambda: {tags: {\"aws:x\": \"1\"}, vpc: {subnets: [subnet-1], security_groups: []}}\n";
    let done = project("valid", more).arg("validate").status(2);
    done.stderr_has("20m is not allowed")
        .stderr_has("tags that start with `aws:` are AWS's own\n --> stack.yml:8:30")
        .stderr_has("a network has subnets and security groups")
        .stderr_has("stack.yml is not valid: 3 errors")
        .run();
    project("valid", "    lambda: {memory: \"512\"}\n").arg("validate").status(2).stderr_has("a whole number").run();
    let stack = stack("valid", "").replace("region: us", "regoin: us");
    project("valid", "").file("stack.yml", stack).arg("validate").status(2).stderr_has("regoin").run();
    // A target may lead to another platform than the file as it stands.
    let overlay = "targets:\n  cloud:\n    provider: {name: lambda, lambda: {region: us-east-1}}\n";
    let local = format!(
        "provider: {{name: local}}\n{overlay}functions:\n  tax: {{lang: python3, handler: ./tax, image: t, timeout: 20m}}\n"
    );
    project("valid", "").file("stack.yml", local).arg("validate").status(2).stderr_has("20m is not allowed").run();
    project("valid", "").arg("validate").stdout("stack.yml: 1 function, valid\n").run();
}

#[test]
fn what_only_aws_would_notice_is_noticed_before() {
    let more = "    schedule: \"0 9 * * *\"\n    lambda: {timezone: Mars/North, log_retention: 13, layers: [mine]}\n";
    let stack =
        stack("notices", more).replace("us-east-1}", "us-east-1, role: \"arn:aws:iam::123456789012:role/a b\"}");
    with_keys(project("notices", ""), "http://127.0.0.1:9")
        .file("stack.yml", stack)
        .arg("up")
        .status(2)
        .stderr_has("`Mars/North` is no time zone")
        .stderr_has("CloudWatch keeps no logs for 13 days")
        .stderr_has("`mine` is no layer's ARN with a version")
        .stderr_has("`arn:aws:iam::123456789012:role/a b` is no role's ARN")
        .run();
    with_keys(project("notices", "    lambda: {container: 7}\n"), "http://127.0.0.1:9")
        .arg("up")
        .status(2)
        .stderr_has("it takes true, false or an image's name, not 7")
        .run();
}

#[test]
fn a_runtime_of_another_language_is_told_where_it_stands() {
    for runtime in ["python2.7", "nodejs22.x", "cobol", "provided.al2023"] {
        let more = format!("    lambda: {{runtime: {runtime}}}\n");
        let test = with_keys(project("runtime", &more), "http://127.0.0.1:9").arg("up").status(2);
        let test = test.stderr_has(format!("the runtime `{runtime}` is none for `lang: python3`"));
        test.stderr_has("stack.yml:7:").stderr_has("its template is made for python3.").run();
    }
    let fine = with_keys(project("runtime", "    lambda: {runtime: python3.12}\n"), "http://127.0.0.1:9").arg("build");
    fine.stderr_has("runtime-tax: built").run();
}

#[test]
fn credentials_that_can_not_be_had_are_told_by_profile_file_and_program() {
    let config = "[profile web]\nrole_arn = arn:aws:iam::123456789012:role/pod\nweb_identity_token_file = no/token\n\
        [profile over]\nrole_arn = arn:aws:iam::123456789012:role/over\nsource_profile = web\n\
        [profile signed]\nlogin_session = arn:aws:iam::123456789012:user/me\n\
        [profile junk]\ncredential_process = echo junk --key hidden\n";
    let with = |profile: &str| {
        let test = project("source", "").file("config", config).env("AWS_CONFIG_FILE", "config");
        test.env("AWS_PROFILE", profile).args(["describe", "source-tax"]).status(5)
    };
    for profile in ["web", "over"] {
        with(profile).stderr_has("the profile `web` has `web_identity_token_file = no/token`").run();
    }
    let signed = with("signed").stderr_has("the profile `signed` is signed in by `aws login`");
    signed.stderr_has("aws configure export-credentials --profile signed").run();
    let junk = with("junk").stderr_has("`echo`, the credential_process of the profile `junk`, gave none").run();
    assert!(!junk.stderr.contains("hidden"), "{}", junk.stderr);
    let test = project("source", "")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "no/token")
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod");
    test.args(["describe", "source-tax"]).status(5).stderr_has("AWS_WEB_IDENTITY_TOKEN_FILE names `no/token`").run();
}

#[test]
fn an_address_where_nobody_answers_is_told() {
    with_keys(project("nobody", ""), "http://127.0.0.1:9")
        .args(["describe", "nobody-tax"])
        .status(1)
        .stderr_has("can't look up")
        .stderr_has("Connection refused")
        .run();
}

#[test]
fn a_java_function_is_compiled_for_lambda_by_any_compiler_that_is_new_enough() {
    let done = Test::new().args(["new", "tax", "--lang", "java", "--provider", "lambda"]).run();
    done.then().arg("build").stderr_has("tax: built").run();
}

#[test]
fn the_same_project_gives_the_same_archive_wherever_it_lies() {
    let build = || {
        let done = project("zip", "").args(["build", "--output", "json"]).run();
        let artifact = done.json()[0]["artifact"].clone();
        let path = PathBuf::from(artifact["path"].as_str().unwrap());
        let bytes = std::fs::read(path).unwrap();
        (artifact["sha256"].as_str().unwrap().to_owned(), artifact["runtime"].as_str().unwrap().to_owned(), bytes)
    };
    let (one, other) = (build(), build());
    assert_eq!(one.1, "python3.13");
    assert!(one == other, "{} {}", one.0, other.0);
}

#[test]
fn an_archive_that_is_there_is_taken_and_a_changed_handler_makes_another() {
    let done = project("again", "").args(["build", "--output", "json"]).run();
    let first = done.json()[0].clone();
    assert_eq!(first["rebuilt"], true);
    let second = done.then().args(["build", "--output", "json"]).run().json()[0].clone();
    assert_eq!((&second["rebuilt"], &second["artifact"]), (&Value::Bool(false), &first["artifact"]));
    let third = done.then().file("tax/handler.py", "def handle(req):\n    return 1\n");
    let third = third.args(["build", "--output", "json"]).run().json()[0].clone();
    assert_ne!(third["artifact"]["sha256"], first["artifact"]["sha256"]);
}

#[test]
fn a_stack_as_a_template_of_sam() {
    let more = "    schedule: \"0 9 * * 1-5\"\n    url: public\n    secrets: [key]\n    timeout: 20s\n";
    let done = project("sam", more).arg("generate").run();
    for part in [
        "Transform: AWS::Serverless-2016-10-31",
        "CodeUri: build/sam-tax.zip",
        "ScheduleExpression: cron(0 9 ? * MON,TUE,WED,THU,FRI *)",
        "Timeout: 20",
        "parameter/faas/default/key",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    let archive = std::fs::read(done.dir().join("build/sam-tax.zip")).unwrap();
    assert!(archive.starts_with(b"PK"));
}
