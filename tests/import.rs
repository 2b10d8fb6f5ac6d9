//! `faas import` of files of other tools, as they stand in projects; what comes of them is a stack that is valid.
use crate::support::Test;

/// As the framework's own examples are written (serverless/examples), with what teams add to them.
const SERVERLESS: &str = r#"# Shop
service: shop
frameworkVersion: "3"
useDotenv: true

custom:
  stage: ${opt:stage, self:provider.stage}
  tables:
    dev: shop-dev
    prod: shop-prod
  cors: &cors
    allowedOrigins: ["https://shop.example.com"]
    maxAge: 600

provider:
  name: aws
  runtime: python3.12
  region: ${opt:region, 'eu-west-1'}
  memorySize: 512
  timeout: 10
  logRetentionInDays: 14
  tracing:
    lambda: true
  environment:
    STAGE: ${self:custom.stage}
    TABLE: ${self:custom.tables.${self:custom.stage}}
    RATE: ${env:RATE, 7}
    API_KEY: ${ssm:/shop/api-key}
  iam:
    role:
      statements:
        - Effect: Allow
          Action: dynamodb:GetItem
          Resource: !GetAtt Orders.Arn

plugins:
  - serverless-python-requirements

package:
  patterns: ["!tests/**"]

functions:
  getTax:
    handler: src/tax.handle
    description: what is owed
    url:
      cors: *cors
    events:
      - httpApi: "GET /tax/{id}"
      - http:
          path: tax
          method: post
  nightly_report:
    handler: src/report.main
    timeout: 60
    memorySize: 1024
    reservedConcurrency: 1
    environment:
      RATE: 8
    events:
      - schedule:
          rate: cron(0 3 * * ? *)
          timezone: Europe/Paris
      - sqs:
          arn: !GetAtt Jobs.Arn
    destinations:
      onFailure: arn:aws:sqs:eu-west-1:123456789012:dead
    maximumRetryAttempts: 1

resources:
  Resources:
    Orders:
      Type: AWS::DynamoDB::Table
    Jobs:
      Type: AWS::SQS::Queue
"#;

fn project() -> Test {
    Test::new()
        .file("serverless.yml", SERVERLESS)
        .file("src/tax.py", "def handle(event, context):\n    return {'statusCode': 200, 'body': 'tax'}\n")
        .file("src/report.py", "def main(event, context):\n    return {}\n")
}

#[test]
fn a_serverless_yml_becomes_a_stack_that_is_valid_and_what_it_has_more_is_listed() {
    // Anchors and CloudFormation's tags do not stand in one file here: no reader of ours knows both.
    let plain = SERVERLESS
        .replace("&cors", "")
        .replace("cors: *cors", "cors: {allowedOrigins: [\"https://shop.example.com\"], maxAge: 600}");
    let done = project()
        .file("serverless.yml", plain)
        .args(["import", "serverless.yml"])
        .stderr_has("`environment.API_KEY` is left out: nothing here knows ${ssm:/shop/api-key}")
        .stderr_has("`Orders` (AWS::DynamoDB::Table) is no function")
        .stderr_has("`provider.iam`")
        .stderr_has("serverless-python-requirements")
        .stderr_has("get-tax: the API `httpApi 1` (GET /tax/{id})")
        .stderr_has("get-tax: the API `http 2` (POST /tax)")
        .stderr_has("nightly-report: the event `sqs 2` of type sqs has to be set up at its source")
        .stderr_has("its log is kept 14 days")
        .run();
    let stack: serde_json::Value = serde_saphyr::from_str(&done.stdout).expect("YAML");
    let expected = serde_json::json!({
        "version": "1.0",
        "name": "shop",
        "provider": {"name": "lambda", "lambda": {"region": "eu-west-1"}},
        "functions": {
            "get-tax": {
                "lang": "python3", "handler": ".",
                "environment": {"FAAS_HANDLER": "src/tax.handle", "STAGE": "dev", "TABLE": "shop-dev", "RATE": "${RATE:-7}"},
                "timeout": "10s", "limits": {"memory": "512Mi"}, "url": "public",
                "lambda": {
                    "runtime": "python3.12", "description": "what is owed", "tracing": true,
                    "cors": {"origins": ["https://shop.example.com"], "max_age": 600},
                },
            },
            "nightly-report": {
                "lang": "python3", "handler": ".",
                "environment": {"FAAS_HANDLER": "src/report.main", "STAGE": "dev", "TABLE": "shop-dev", "RATE": "8"},
                "timeout": "60s", "limits": {"memory": "1024Mi"}, "scale": {"max": 1}, "schedule": "0 3 * * *",
                "lambda": {
                    "runtime": "python3.12", "timezone": "Europe/Paris", "tracing": true,
                    "async": {"retries": 1, "on_failure": "arn:aws:sqs:eu-west-1:123456789012:dead"},
                },
            },
        },
    });
    assert_eq!(stack, expected, "{}", done.stdout);
    let stack = done.stdout.clone();
    done.then().file("stack.yml", stack).args(["validate"]).run();
    // In a folder, it is found by its name.
    done.then().args(["import", "."]).stdout_has("get-tax:").run();
}

#[test]
fn anchors_are_read_and_another_cloud_is_refused() {
    let text =
        SERVERLESS.replace("!GetAtt Orders.Arn", "\"*\"").replace("!GetAtt Jobs.Arn", "arn:aws:sqs:eu-west-1:1:jobs");
    let done = project().file("serverless.yml", text).args(["import", "serverless.yml"]).run();
    assert!(done.stdout.contains("- https://shop.example.com"), "{}", done.stdout);
    done.then()
        .file("google.yml", "service: a\nprovider: {name: google}\nfunctions: {a: {handler: a}}\n")
        .args(["import", "google.yml"])
        .status(6)
        .stderr_has("the serverless.yml is for provider `google`")
        .run();
}

#[test]
fn a_func_yaml_of_fn_is_told_from_one_of_func() {
    // As `fn init --runtime python hello` writes it, with memory, config and a trigger.
    let fn_file = "schema_version: 20180708\nname: hello\nversion: 0.0.1\nruntime: python\nbuild_image: fnproject/python:3.11-dev\n\
                   run_image: fnproject/python:3.11\nentrypoint: /python/bin/fdk /function/func.py handler\nmemory: 256\ntimeout: 20\n\
                   config:\n  GREETING: hi\ntriggers:\n- name: hello\n  type: http\n  source: /hello\n";
    let done = Test::new()
        .file("func.yaml", fn_file)
        .args(["import", "func.yaml"])
        .stderr_has("`def handler(ctx, data)` becomes `def handle(req)`")
        .stderr_has("the trigger /hello (http): the function is called at /function/hello")
        .stderr_has("`run_image` has no word in a stack file: fnproject/python:3.11")
        .run();
    for part in ["name: openfaas", "hello:", "lang: python3", "memory: 256Mi", "timeout: 20s", "GREETING: hi"] {
        assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
    }
    let stack = done.stdout.clone();
    done.then().file("stack.yml", stack).args(["validate"]).run();
    let func = "specVersion: 0.36.0\nname: greet\nruntime: node\nregistry: reg.example.com/me\n";
    done.then().file("func.yaml", func).args(["import", "func.yaml"]).stdout_has("name: knative").run();
}

/// What the pages on moving show of both sides is the same: `import` of the one says what the other says.
#[cfg(all(feature = "local", feature = "lambda", feature = "knative"))]
#[test]
fn both_sides_of_the_pages_on_moving_say_the_same() {
    // The handler moves to another folder, or is written anew: what it is called by differs.
    let told = |test: Test| -> Vec<(String, String)> {
        let all = test.args(["config", "view", "--output", "json"]).run().json();
        let rows = all.as_array().expect("rows").iter().filter_map(|row| {
            let path: Vec<&str> = row["path"].as_array()?.iter().filter_map(|part| part.as_str()).collect();
            let same =
                matches!(path.as_slice(), ["functions", _, "timeout" | "limits" | "url" | "schedule" | "image", ..])
                    || path.ends_with(&["environment", "RATE"]);
            let value = row["value"].as_str().map_or_else(|| row["value"].to_string(), str::to_owned);
            same.then(|| (path.join("."), value))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    };
    for (page, name) in
        [("from-sam", "template.yaml"), ("from-serverless", "serverless.yml"), ("from-knative", "func.yaml")]
    {
        let text = crate::docs::page(&format!("{page}.md"));
        let blocks: Vec<&str> = text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block))
            .collect();
        let start = Test::new().file(name, blocks[0]).file("tax/handler.py", "def handler(e, c):\n    return e\n");
        let done = start.args(["import", name]).run();
        let imported = told(done.then().file("stack.yml", &done.stdout));
        let shown = told(done.then().file("stack.yml", blocks[1]));
        assert!(!shown.is_empty(), "{page}");
        assert_eq!(imported, shown, "{page}");
    }
}
