//! Provider `lambda`: who we are and what that may do. Credentials from everywhere that AWS's programs take them from, and
//! `faas doctor`; with `FAAS_TEST_LAMBDA=1`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::lambda::{Oracle, bed, cached, here, project};
use crate::support::{Done, Test};

/// A project that asks the oracle, without keys of its own.
fn without_keys(oracle: &Oracle, name: &str) -> Test {
    project(name, "").env("AWS_ENDPOINT_URL", format!("http://{}", oracle.address))
}

/// Writes files of the home folder that the test's runs have.
fn home(test: Test, files: &[(&str, String)]) -> Done {
    let done = test.args(["validate"]).run();
    for (path, text) in files {
        let path = done.home().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    done
}

/// Who AWS says we are.
fn identity(test: Test) -> String {
    let told = test.args(["info", "--output", "json"]).run().json();
    told.to_string()
}

const CONFIG: &str = "[default]\nregion = us-east-1\n\
    [profile base]\naws_access_key_id = test\naws_secret_access_key = test\n\
    [profile deployer]\nrole_arn = arn:aws:iam::123456789012:role/deployer\nsource_profile = base\nregion = us-east-1\n\
    [profile guarded]\nrole_arn = arn:aws:iam::123456789012:role/guarded\nsource_profile = base\n\
    mfa_serial = arn:aws:iam::123456789012:mfa/me\nduration_seconds = 1800\nregion = us-east-1\n\
    [profile program]\ncredential_process = /bin/sh -c \"cat keys.json\"\nregion = us-east-1\n";

#[test]
fn profiles_roles_and_programs_give_credentials() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = home(without_keys(&oracle, "profiles"), &[(".aws/config", CONFIG.into())]);
    done.then().args(["describe", "profiles-tax"]).status(5).stderr_has("no AWS credentials were found").run();
    let plain = done.then().env("AWS_PROFILE", "base").env("AWS_REGION", "us-east-1");
    assert!(identity(plain).contains("123456789012"));
    oracle.seen();
    // The role's own keys are moto's: the oracle does not know them, and says so of every call that they sign.
    let assumed = identity(done.then().env("AWS_PROFILE", "deployer"));
    assert!(assumed.contains("assumed-role/deployer"), "{assumed}");
    assert!(oracle.seen().contains(&"AssumeRole".into()));
    let keys = json!({"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test"});
    let program = done.then().file("keys.json", keys.to_string()).env("AWS_PROFILE", "program");
    assert!(identity(program).contains("123456789012"));
    done.then().env("AWS_PROFILE", "nobody").args(["info"]).status(5).stderr_has("nobody").run();
    // What the stack file names is meant, whatever keys the environment has.
    let stack = done.read("stack.yml").replace("region: us-east-1", "region: us-east-1, profile: deployer");
    let named = done.then().file("stack.yml", stack).env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y");
    assert!(identity(named).contains("assumed-role/deployer"));
}

#[test]
fn a_profile_with_mfa_asks_for_a_code_once() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start_with("127.0.0.1", "", "test", &["--mfa", "123456"]);
    let done = home(without_keys(&oracle, "mfa"), &[(".aws/config", CONFIG.into())]);
    let guarded = || done.then().env("AWS_PROFILE", "guarded");
    guarded()
        .args(["info"])
        .status(5)
        .stderr_has("the profile `guarded` wants a code of the MFA device arn:aws:iam::123456789012:mfa/me")
        .stderr_has("--mfa-code")
        .run();
    guarded().args(["info", "--mfa-code", "12ab"]).status(2).stderr_has("an MFA code is six digits").run();
    guarded().env("FAAS_MFA_CODE", "654321").args(["info"]).status(5).stderr_has("wait for the next one").run();
    let cache = done.home().join(".aws/cli/cache");
    assert!(!cache.exists());
    guarded().args(["info", "--output", "json", "--mfa-code", "123456"]).stdout_has("assumed-role/guarded").run();
    let asked = || oracle.requests().iter().filter(|request| request["op"] == "AssumeRole").count();
    let before = asked();
    // The session is kept, where the AWS CLI keeps it and by its name, for its owner alone.
    guarded().args(["info", "--output", "json"]).stdout_has("assumed-role/guarded").run();
    assert_eq!(asked(), before);
    let files: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|file| file.unwrap()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let script = "import sys\nfrom botocore.credentials import AssumeRoleCredentialFetcher as F\nfrom botocore.utils import JSONFileCache\nf = F(None, None, 'arn:aws:iam::123456789012:role/guarded', {'SerialNumber': 'arn:aws:iam::123456789012:mfa/me', 'DurationSeconds': 1800}, cache=JSONFileCache(sys.argv[1]))\nprint(f._create_cache_key() + '.json', f.fetch_credentials()['access_key'])\n";
    let told = Command::new(cached("venv/bin/python")).args(["-c", script]).arg(&cache).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.starts_with(&*file.file_name().to_string_lossy()), "{told}");
    // One that ends soon is not used any more.
    let kept: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
    let until = kept["Credentials"]["Expiration"].as_str().unwrap();
    let text = kept.to_string().replace(until, "2020-01-01T00:00:00UTC");
    std::fs::write(file.path(), text).unwrap();
    guarded().args(["info"]).status(5).run();
}

#[test]
fn a_code_is_asked_for_on_a_terminal() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start_with("127.0.0.1", "", "test", &["--mfa", "123456"]);
    let done = home(without_keys(&oracle, "asked"), &[(".aws/config", CONFIG.into())]);
    let command = done.then().env("AWS_PROFILE", "guarded").args(["info", "--output", "json"]).command();
    let mut session = rexpect::session::spawn_command(command, Some(30_000)).unwrap();
    session.exp_string("MFA code of arn:aws:iam::123456789012:mfa/me").unwrap();
    session.send_line("123456").unwrap();
    session.exp_string("assumed-role/guarded").unwrap();
    session.exp_eof().unwrap();
}

/// Answers each request by its path, as the services of a machine do.
fn machine(answers: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(start, _)| path.starts_with(start));
            let (status, body) = found.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body.as_str()));
            let _ = write!(
                socket,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

fn keys() -> String {
    json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "test", "SecretAccessKey": "test", "Token": "token",
           "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2999-01-01T00:00:00Z"})
    .to_string()
}

#[test]
fn machines_and_containers_give_credentials() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let credentials = "/latest/meta-data/iam/security-credentials";
    let ec2 = machine(vec![
        ("/latest/api/token", "metadata-token".into()),
        ("/latest/meta-data/iam/security-credentials/role", keys()),
        ("/latest/meta-data/iam/security-credentials-extended", keys()),
        (credentials, "role".into()),
        ("/latest/meta-data/placement/region", "us-east-1".into()),
    ]);
    let on_ec2 = without_keys(&oracle, "ec2")
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{ec2}"));
    assert!(identity(on_ec2).contains("123456789012"));
    let container = machine(vec![("/keys", keys())]);
    let in_container =
        without_keys(&oracle, "ecs").env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{container}/keys"));
    assert!(identity(in_container).contains("123456789012"));
    oracle.check();
}

#[test]
fn tokens_of_single_sign_on_and_of_clusters_give_credentials() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    // A signed-in session, as `aws sso login` leaves it, and the portal that turns it into a role's keys.
    let portal = machine(vec![(
        "/federation/credentials",
        json!({"roleCredentials": {"accessKeyId": "test", "secretAccessKey": "test", "sessionToken": "t",
               "expiration": 32_503_680_000_000_u64}})
        .to_string(),
    )]);
    let config = "[profile sso]\nregion = us-east-1\nsso_account_id = 123456789012\nsso_role_name = dev\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n";
    // Named by the SHA-1 of the start URL.
    let token = json!({"accessToken": "at", "expiresAt": "2999-01-01T00:00:00Z", "region": "us-east-1",
                       "startUrl": "https://example.awsapps.com/start"});
    let digest = Command::new("python3")
        .args(["-c", "import hashlib; print(hashlib.sha1(b'https://example.awsapps.com/start').hexdigest(), end='')"])
        .output()
        .unwrap();
    let place = format!(".aws/sso/cache/{}.json", String::from_utf8_lossy(&digest.stdout));
    let files = [(".aws/config", config.to_owned()), (place.as_str(), token.to_string())];
    let done = home(without_keys(&oracle, "sso"), &files);
    let signed_in = || done.then().env("AWS_PROFILE", "sso").env("AWS_ENDPOINT_URL_SSO", format!("http://{portal}"));
    assert!(identity(signed_in()).contains("123456789012"));
    std::fs::remove_file(done.home().join(&place)).unwrap();
    signed_in().args(["info"]).status(5).stderr_has("aws sso login").run();
    // A cluster's token file.
    let web = without_keys(&oracle, "web")
        .file("token", "a-token")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "token")
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod");
    assert!(identity(web).contains("assumed-role/pod"));
}

#[test]
fn regions_and_endpoints_by_the_rules() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let none = crate::support::lambda::stack("rules", "").replace("region: us-east-1", "");
    let done = home(oracle.project("rules", "").file("stack.yml", none), &[(".aws/config", CONFIG.into())]);
    let region = |test: Test| {
        let told = identity(test);
        ["eu-west-1", "eu-west-2", "us-east-1"].into_iter().find(|name| told.contains(name)).map(str::to_owned)
    };
    // AWS_REGION before AWS_DEFAULT_REGION before the profile.
    let both = done.then().env("AWS_REGION", "eu-west-1").env("AWS_DEFAULT_REGION", "eu-west-2");
    assert_eq!(region(both).as_deref(), Some("eu-west-1"));
    assert_eq!(region(done.then().env("AWS_DEFAULT_REGION", "eu-west-2")).as_deref(), Some("eu-west-2"));
    assert_eq!(region(done.then()).as_deref(), Some("us-east-1"));
    // An address for Lambda alone: the others are at the common one.
    let other = Oracle::start("");
    let split = done.then().env("AWS_ENDPOINT_URL_LAMBDA", format!("http://{}", other.address));
    split.args(["describe", "rules-tax"]).status(4).run();
    assert!(!other.requests().is_empty());
    oracle.check();
    other.check();
}

#[test]
fn the_doctor_names_identity_region_and_the_rights_that_are_missing() {
    if !bed() {
        return;
    }
    let deny = ["--deny", "lambda:CreateFunction,iam:PassRole,scheduler:CreateSchedule"];
    let oracle = Oracle::start_with("127.0.0.1", "", "test", &deny);
    let done =
        oracle.project("doctor", "    schedule: \"0 * * * *\"\n").args(["doctor", "--output", "json"]).status(1).run();
    let all = done.json();
    let about =
        |name: &str| all.as_array().unwrap().iter().find(|f| f["about"] == name).unwrap_or_else(|| panic!("{all}"));
    assert!(about("AWS region")["found"].as_str().unwrap().contains("us-east-1"));
    assert!(about("AWS identity")["found"].as_str().unwrap().contains("123456789012"));
    let deploy = about("AWS rights to deploy");
    assert_eq!(
        (&deploy["state"], &deploy["found"]),
        (&json!("broken"), &json!("missing: iam:PassRole, lambda:CreateFunction"))
    );
    let policy: Value = serde_json::from_str(deploy["document"]["text"].as_str().unwrap()).unwrap();
    let function = "arn:aws:lambda:us-east-1:123456789012:function:doctor-tax";
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    assert_eq!(
        policy["Statement"],
        json!([
            {
                "Effect": "Allow",
                "Action": ["iam:PassRole"],
                "Resource": [role("faas-doctor-us-east-1"), role("faas-doctor-us-east-1-schedules")],
                "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]}},
            },
            {"Effect": "Allow", "Action": ["lambda:CreateFunction"], "Resource": [function, format!("{function}:*")]},
        ])
    );
    assert_eq!(about("AWS rights to call")["state"], "ok");
    let more = about("AWS rights for URLs, secrets, schedules");
    assert_eq!(more["state"], "broken");
    let policy = more["document"]["text"].as_str().unwrap();
    assert!(policy.contains("arn:aws:scheduler:us-east-1:123456789012:schedule/default/doctor-tax"), "{policy}");
    assert!(!policy.contains("\"*\""), "{policy}");
    oracle.check();
    // moto does not know that call: what only reads is tried in its place.
    let oracle = Oracle::start("");
    let done = oracle.project("probed", "").args(["doctor", "--output", "json"]).run();
    assert!(done.stdout.contains("reading is allowed"), "{}", done.stdout);
    project("nobody", "").args(["doctor"]).status(1).stdout_has("no AWS credentials were found").run();
    assert!(here().is_dir());
}
