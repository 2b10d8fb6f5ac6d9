//! Provider `lambda`: the stack as a template of SAM and for Terraform, and the way back: `faas import`.

use std::process::Command;

use crate::support::Test;
use crate::support::lambda::{MOTO, Oracle, bed, cached, here, project, remove};

const EVERYTHING: &str = "    schedule: \"0 9 * * 1-5\"\n    url: public\n    secrets: [key]\n    timeout: 20s\n    environment: {FORMAT: \"%{x} a\"}\n    labels: {team: a}\n    scale: {max: 5}\n    lambda:\n      tracing: true\n      log_retention: 7\n      provisioned: 2\n      layers: [\"arn:aws:lambda:us-east-1:123456789012:layer:l:1\"]\n      vpc: {subnets: [subnet-0123abcd], security_groups: [sg-0123abcd]}\n      async: {retries: 1, max_age: 300, on_failure: \"arn:aws:sqs:us-east-1:123456789012:dead\"}\n      dead_letter: \"arn:aws:sqs:us-east-1:123456789012:dead\"\n      cors: {origins: [\"*\"], max_age: 60}\n";

#[test]
fn terraform_gets_resources_that_its_provider_knows() {
    let generate = || project("tf", EVERYTHING).args(["generate", "--api", "terraform"]).run();
    let (done, again) = (generate(), generate());
    assert_eq!(done.stdout, again.stdout);
    let all = done.json();
    let function = &all["resource"]["aws_lambda_function"]["tf-tax"];
    assert_eq!(function["filename"], "${path.module}/build/tf-tax.zip");
    assert_eq!(function["environment"]["variables"]["FORMAT"], "%%{x} a");
    assert_eq!(all["provider"]["aws"]["region"], "us-east-1");
    assert!(done.dir().join("build/tf-tax.zip").is_file());
    if bed() {
        std::fs::write(done.dir().join("functions.tf.json"), &done.stdout).unwrap();
        let mut check = Command::new("python3");
        check.arg(here().join("terraform.py")).arg("check").arg(cached("terraform.json"));
        let told = check.arg(done.dir().join("functions.tf.json")).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
    }
}

#[test]
fn cloudformations_own_linter_takes_the_template_of_sam() {
    if !bed() {
        return;
    }
    let done = project("lint", EVERYTHING).arg("generate").run();
    std::fs::write(done.dir().join("template.yaml"), &done.stdout).unwrap();
    let mut lint = Command::new(cached("venv/bin/cfn-lint"));
    let told = lint.arg("template.yaml").current_dir(done.dir()).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    // What it finds of the runtime is older than the runtime.
    assert!(!text.lines().any(|line| line.starts_with('E')), "{text}\n{}", done.stdout);
}

const TEMPLATE: &str = "Transform: AWS::Serverless-2016-10-31\nResources:\n  Topic: {Type: AWS::SNS::Topic}\n  HelloWorld:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: hello_world/\n      Handler: app.lambda_handler\n      Runtime: python3.12\n      Timeout: 5\n      Environment: {Variables: {TOPIC: !Ref Topic, PLAIN: x}}\n      Events:\n        Get: {Type: Api, Properties: {Path: /hello, Method: get}}\n        Clock: {Type: Schedule, Properties: {Schedule: rate(1 hour)}}\n";

#[test]
fn a_template_of_sam_becomes_a_stack_that_is_valid() {
    let done = Test::new()
        .file("template.yaml", TEMPLATE)
        .file("hello_world/app.py", "def lambda_handler(event, context):\n    return {}\n")
        .args(["import", "template.yaml"])
        .stderr_has("`Topic` (AWS::SNS::Topic) is no function")
        .stderr_has("hello-world: `Environment.Variables.TOPIC` is known to a deployed stack only")
        .stderr_has("the API `Get` (GET /hello): `url: public` gives the function an address")
        .run();
    for part in [
        "name: lambda",
        "hello-world:",
        "lang: python3",
        "handler: hello_world/",
        "FAAS_HANDLER: app.lambda_handler",
        "schedule: 0 * * * *",
        "timeout: 5s",
        "memory: 128Mi",
        "runtime: python3.12",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    let stack = done.stdout.clone();
    done.then().file("stack.yml", stack).arg("validate").run();
    done.then()
        .file("none.yaml", "Resources: {T: {Type: AWS::SNS::Topic}}")
        .args(["import", "none.yaml"])
        .status(4)
        .run();
    done.then().args(["import", "nobody.yaml"]).status(4).stderr_has("there is no file").run();
}

#[test]
fn what_is_open_or_out_of_range_is_warned_of_and_files_are_named() {
    let template = TEMPLATE
        .replace("PLAIN: x", "API_TOKEN: hunter2, DB: \"postgres://me:pw@db/x\", PLAIN: x")
        .replace("Timeout: 5", "Timeout: 5\n      MemorySize: 999999");
    let done = Test::new().file("template.yaml", template).args(["import", "template.yaml"]);
    let done =
        done.stderr_has("hello-world: `API_TOKEN` looks like a secret").stderr_has("hello-world: `DB` looks like");
    let done = done.stderr_has("hello-world: `MemorySize: 999999` came along, and Lambda takes 128 to 10240").run();
    assert!(!done.stderr.contains("hunter2") && !done.stderr.contains("`PLAIN` looks"), "{}", done.stderr);
    for bad in ["service: x\nprovider: 7\nfunctions: 3\n", "schema_version: 1\nname: [\n", "a: [1\n", "kind: Pod\n"] {
        let failed = done.then().file("bad2.yaml", bad).args(["import", "bad2.yaml"]).command().output().unwrap();
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(!failed.status.success() && said.contains("bad2.yaml"), "{bad}: {said}");
    }
}

#[test]
fn a_function_on_lambda_becomes_a_stack() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    // One of another tool's making.
    let script = format!(
        "import boto3, io, json, zipfile\nk = dict(endpoint_url='http://{MOTO}', region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')\n\
         r = boto3.client('iam', **k).create_role(RoleName='legacy', AssumeRolePolicyDocument=json.dumps({{'Version': '2012-10-17', 'Statement': []}}))['Role']['Arn']\n\
         b = io.BytesIO(); z = zipfile.ZipFile(b, 'w'); z.writestr('app.py', 'def main(e, c): return e'); z.close()\n\
         l = boto3.client('lambda', **k)\n\
         l.create_function(FunctionName='legacy-orders', Runtime='python3.12', Handler='app.main', Role=r, Code={{'ZipFile': b.getvalue()}}, Timeout=9, MemorySize=512, Environment={{'Variables': {{'TABLE': 'orders'}}}}, Tags={{'team': 'shop'}}, Description='of before')\n\
         l.create_function_url_config(FunctionName='legacy-orders', AuthType='AWS_IAM')\n\
         l.put_function_concurrency(FunctionName='legacy-orders', ReservedConcurrentExecutions=3)\n\
         l.add_permission(FunctionName='legacy-orders', StatementId='s', Action='lambda:InvokeFunction', Principal='s3.amazonaws.com')\n"
    );
    let made = Command::new(cached("venv/bin/python")).args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let done = oracle
        .project("importer", "")
        .env("AWS_REGION", "us-east-1")
        .args(["import", "--lambda", "legacy-orders"])
        .stderr_has("its code is not fetched: put it into ./legacy-orders")
        .stderr_has("s3.amazonaws.com")
        .run();
    for part in [
        "region: us-east-1",
        "legacy-orders:",
        "FAAS_HANDLER: app.main",
        "TABLE: orders",
        "timeout: 9s",
        "memory: 512Mi",
        "url: iam",
        "max: 3",
        "team: shop",
        "description: of before",
        "role: arn:aws:iam::123456789012:role/legacy",
    ] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    assert!(oracle.seen().iter().all(|op| op.starts_with("Get") || op.starts_with("List")));
    // One of ours comes back as it was.
    let ours =
        oracle.project("mine", "    timeout: 20s\n    environment: {RATE: \"7\"}\n    annotations: {topic: \"*\"}\n");
    let ours = ours.arg("up").run();
    let back = ours.then().env("AWS_REGION", "us-east-1").args(["import", "--lambda", "mine-tax"]).run();
    for part in ["RATE: \"7\"", "timeout: 20s", "topic: "] {
        assert!(back.stdout.contains(part), "{part}: {}", back.stdout);
    }
    assert!(
        !back.stdout.contains("AWS_LAMBDA_EXEC_WRAPPER") && !back.stdout.contains("FAAS_HANDLER"),
        "{}",
        back.stdout
    );
    ours.then().env("AWS_REGION", "us-east-1").args(["import", "--lambda", "nobody"]).status(4).run();
    remove(&ours, "mine-tax");
    oracle.check();
}
