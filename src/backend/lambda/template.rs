//! The same functions as a template of AWS SAM, for those who deploy by CloudFormation.
//!
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html>
use serde_json::{Map, Value, json};

use super::name::ALIAS;
use super::schedule;
use super::settings::Settings;
use super::wanted::{Code, Wanted};
use crate::backend::Change;
use crate::error::Result;
use crate::function::UrlAccess;

/// The template's resource for `change`: its name, and the resource. `code` is where the archive lies, for the template's
/// reader.
///
/// # Errors
/// When the function is none for Lambda.
pub fn resource(change: &Change, settings: &Settings, code: &str) -> Result<(String, Value)> {
    let wanted = Wanted::of(change, settings)?;
    let mut properties = Map::new();
    let mut set = |name: &str, value: Value| {
        if !empty(&value) {
            properties.insert(name.to_owned(), value);
        }
    };
    set("FunctionName", wanted.name.as_str().into());
    set("Description", wanted.description.as_str().into());
    match &wanted.code {
        Code::Zip { runtime, handler, .. } => {
            set("CodeUri", code.into());
            set("Runtime", runtime.as_str().into());
            set("Handler", handler.as_str().into());
        }
        Code::Image { uri, .. } => {
            set("PackageType", "Image".into());
            set("ImageUri", uri.as_str().into());
        }
    }
    set("Architectures", json!([wanted.architecture.as_str()]));
    set("MemorySize", wanted.memory.into());
    set("Timeout", wanted.timeout.into());
    set("EphemeralStorage", json!({"Size": wanted.ephemeral_storage}));
    if !wanted.environment.is_empty() {
        set("Environment", json!({"Variables": wanted.environment}));
    }
    set("Layers", json!(wanted.layers));
    if !wanted.vpc.subnets.is_empty() {
        set("VpcConfig", json!({"SubnetIds": wanted.vpc.subnets, "SecurityGroupIds": wanted.vpc.security_groups}));
    }
    set("Tracing", if wanted.tracing { "Active".into() } else { Value::Null });
    set("Tags", json!(wanted.tags));
    set("ReservedConcurrentExecutions", json!(wanted.concurrency));
    set("AutoPublishAlias", ALIAS.into());
    if let Some(instances) = wanted.provisioned {
        set("ProvisionedConcurrencyConfig", json!({"ProvisionedConcurrentExecutions": instances}));
    }
    if let Some(arn) = &wanted.dead_letter {
        let kind = if arn.split(':').nth(2) == Some("sns") { "SNS" } else { "SQS" };
        set("DeadLetterQueue", json!({"Type": kind, "TargetArn": arn}));
    }
    if let Some(queue) = &wanted.queue {
        let to = |arn: &Option<String>| arn.as_ref().map(|arn| json!({"Type": kind(arn), "Destination": arn}));
        let destinations = present([("OnSuccess", to(&queue.on_success)), ("OnFailure", to(&queue.on_failure))]);
        let config = present([
            ("MaximumRetryAttempts", queue.retries.map(Value::from)),
            ("MaximumEventAgeInSeconds", queue.max_age.map(Value::from)),
            ("DestinationConfig", (!destinations.is_empty()).then_some(destinations.into())),
        ]);
        set("EventInvokeConfig", config.into());
    }
    if let Some(url) = &wanted.url {
        let auth = if url.access == UrlAccess::Public { "NONE" } else { "AWS_IAM" };
        let mode = if url.streaming { "RESPONSE_STREAM" } else { "BUFFERED" };
        let config = present([
            ("AuthType", Some(auth.into())),
            ("InvokeMode", Some(mode.into())),
            ("Cors", url.cors.as_ref().map(|cors| cors.by(CORS, str::to_owned))),
        ]);
        set("FunctionUrlConfig", config.into());
    }
    if let Some(schedule) = &wanted.schedule {
        let properties = json!({
            "ScheduleExpression": schedule.expression,
            "ScheduleExpressionTimezone": schedule.timezone,
            "Input": schedule::input(&wanted.name),
        });
        set("Events", json!({"Clock": {"Type": "ScheduleV2", "Properties": properties}}));
    }
    match &wanted.role {
        Some(role) => set("Role", role.as_str().into()),
        None => {
            let statements = wanted.statements("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}");
            if !statements.is_empty() {
                let statements: Vec<Value> = statements.into_iter().map(substituted).collect();
                set("Policies", json!([{"Version": "2012-10-17", "Statement": statements}]));
            }
        }
    }
    Ok((logical(&wanted.name), json!({"Type": "AWS::Serverless::Function", "Properties": properties})))
}

/// The whole template.
#[must_use]
pub fn template(resources: Vec<(String, Value)>) -> Value {
    let resources: Map<String, Value> = resources.into_iter().collect();
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": resources,
    })
}

/// Whether there is nothing in it.
pub(super) fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

pub(super) fn present<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What CloudFormation calls the fields of `lambda.cors`.
const CORS: [&str; 6] = ["AllowOrigins", "AllowMethods", "AllowHeaders", "ExposeHeaders", "MaxAge", "AllowCredentials"];

fn kind(arn: &str) -> &'static str {
    match arn.split(':').nth(2) {
        Some("sqs") => "SQS",
        Some("sns") => "SNS",
        Some("events") => "EventBridge",
        Some("s3") => "S3Bucket",
        _ => "Lambda",
    }
}

/// A statement whose resources CloudFormation fills in.
fn substituted(mut statement: Value) -> Value {
    let one = |arn: &Value| match arn.as_str() {
        Some(text) if text.contains("${") => json!({"Fn::Sub": text}),
        _ => arn.clone(),
    };
    statement["Resource"] = match &statement["Resource"] {
        Value::Array(list) => list.iter().map(one).collect(),
        arn => one(arn),
    };
    statement
}

/// CloudFormation's names have letters and digits only.
fn logical(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let capital = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    parts.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::function::Function;

    #[test]
    fn a_function_with_everything_as_a_resource() {
        let mut function = Function {
            name: "get-tax".into(),
            lang: "python3".into(),
            secrets: vec!["key".into()],
            schedule: Some("*/5 * * * *".into()),
            url: Some(UrlAccess::Public),
            ..Function::default()
        };
        function.extra.insert(
            "lambda".into(),
            json!({
                "cors": {"origins": ["*"]}, "provisioned": 2, "dead_letter": "arn:aws:sqs:eu-west-1:1:q",
                "async": {"retries": 1, "on_failure": "arn:aws:sns:eu-west-1:1:t"},
            }),
        );
        let change = fixture::change(function);
        let (name, resource) = resource(&change, &Settings::default(), "build/get-tax.zip").unwrap();
        assert_eq!(name, "GetTax");
        let properties = &resource["Properties"];
        assert_eq!(properties["CodeUri"], "build/get-tax.zip");
        assert_eq!(properties["Events"]["Clock"]["Properties"]["ScheduleExpression"], "cron(0/5 * * * ? *)");
        assert_eq!(
            properties["Policies"][0]["Statement"][0]["Resource"],
            json!([{"Fn::Sub": "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/faas/default/key"}])
        );
        assert_eq!(properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Type"], "SNS");
        assert_eq!(properties["DeadLetterQueue"]["Type"], "SQS");
        assert_eq!(
            properties["FunctionUrlConfig"],
            json!({"AuthType": "NONE", "InvokeMode": "BUFFERED", "Cors": {"AllowOrigins": ["*"]}})
        );
        assert!(properties.get("VpcConfig").is_none());
    }
}
