//! A function that is on Lambda, in CloudFormation's words.
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::types::FunctionConfiguration;
use serde_json::{Map, Value, json};

use super::super::Lambda;
use super::super::aws::Aws;
use super::super::fault::{code, fault};
use super::super::name::ALIAS;
use super::super::wait::{self, There};
use super::entry;
use crate::error::{Fault, Result};
use crate::imported::Imported;

/// The function `name` as an entry of a stack file; only reads.
///
/// # Errors
/// When there is none, or Lambda can't be asked.
pub async fn function(lambda: &Lambda, name: &str) -> Result<Imported> {
    let aws = lambda.aws().await?;
    let there = wait::read(aws, name).await?;
    let there = there.ok_or_else(|| Fault::not_found(format!("there is no function {name} in {}", aws.region)))?;
    let mut notes = Vec::new();
    let mut all = words(&there, &there.configuration);
    // On the alias that we make, or without one, as others do it.
    let ours = there.tags.contains_key(crate::backend::STACK_KEY);
    let qualifier = ours.then(|| ALIAS.to_owned());
    let url = aws.lambda.get_function_url_config().function_name(name).set_qualifier(qualifier.clone()).send().await;
    if let Some(url) = found(name, "its URL", url, &mut notes)? {
        let mut config = json!({"AuthType": url.auth_type().as_str()});
        if let Some(mode) = url.invoke_mode() {
            config["InvokeMode"] = mode.as_str().into();
        }
        if let Some(cors) = url.cors() {
            config["Cors"] = json!({
                "AllowOrigins": cors.allow_origins(), "AllowMethods": cors.allow_methods(),
                "AllowHeaders": cors.allow_headers(), "ExposeHeaders": cors.expose_headers(),
                "MaxAge": cors.max_age(), "AllowCredentials": cors.allow_credentials().filter(|yes| *yes),
            });
        }
        all.insert("FunctionUrlConfig".into(), config);
    }
    let queue = aws.lambda.get_function_event_invoke_config().function_name(name).set_qualifier(qualifier).send().await;
    if let Some(queue) = found(name, "its asynchronous calls", queue, &mut notes)? {
        let to = queue.destination_config();
        all.insert(
            "EventInvokeConfig".into(),
            json!({
                "MaximumRetryAttempts": queue.maximum_retry_attempts(),
                "MaximumEventAgeInSeconds": queue.maximum_event_age_in_seconds(),
                "DestinationConfig": {
                    "OnSuccess": {"Destination": to.and_then(|to| to.on_success()).and_then(|to| to.destination())},
                    "OnFailure": {"Destination": to.and_then(|to| to.on_failure()).and_then(|to| to.destination())},
                },
            }),
        );
    }
    let sources = aws.lambda.list_event_source_mappings().function_name(name).send().await;
    for source in
        found(name, "what it reads from", sources, &mut notes)?.iter().flat_map(|all| all.event_source_mappings())
    {
        let arn = source.event_source_arn().unwrap_or("another source");
        notes.push(format!("it reads from {arn}: that mapping stays as it is, and points at this function"));
    }
    if let Some(policy) = policy(aws, name, &mut notes).await? {
        notes.push(format!("these may call it: {policy}"));
    }
    if !ours && there.configuration.package_type().is_none_or(|kind| kind.as_str() == "Zip") {
        notes.push(format!("its code is not fetched: put it into ./{name}"));
    }
    let short = there.tags.get(super::super::name::NAME_KEY).cloned().unwrap_or_else(|| name.to_owned());
    let mut imported = entry(short, None, all, notes);
    if let Some(namespace) = there.tags.get(super::super::name::NAMESPACE_KEY) {
        imported.entry.insert("namespace".into(), namespace.as_str().into());
    }
    Ok(imported)
}

fn words(there: &There, c: &FunctionConfiguration) -> Map<String, Value> {
    let variables = c.environment().and_then(|e| e.variables());
    let vpc = c.vpc_config();
    let all = json!({
        "Runtime": c.runtime().map(|r| r.as_str()),
        "Handler": c.handler(),
        "ImageUri": there.image.as_deref().filter(|image| !image.is_empty()),
        "Description": c.description(),
        "Timeout": c.timeout(),
        "MemorySize": c.memory_size(),
        "Role": c.role(),
        "KmsKeyArn": c.kms_key_arn(),
        "Architectures": c.architectures().iter().map(|a| a.as_str()).collect::<Vec<_>>(),
        "EphemeralStorage": {"Size": c.ephemeral_storage().map_or(512, |s| s.size())},
        "Environment": {"Variables": variables},
        "Layers": c.layers().iter().filter_map(|layer| layer.arn()).collect::<Vec<_>>(),
        "VpcConfig": {
            "SubnetIds": vpc.map(|v| v.subnet_ids()).unwrap_or_default(),
            "SecurityGroupIds": vpc.map(|v| v.security_group_ids()).unwrap_or_default(),
        },
        "TracingConfig": {"Mode": c.tracing_config().and_then(|t| t.mode()).map(|mode| mode.as_str())},
        "DeadLetterConfig": {"TargetArn": c.dead_letter_config().and_then(|d| d.target_arn()).filter(|arn| !arn.is_empty())},
        "FileSystemConfigs": c.file_system_configs().iter().filter_map(|f| f.arn().into()).collect::<Vec<_>>(),
        "ReservedConcurrentExecutions": there.concurrency,
        "SnapStart": {"ApplyOn": c.snap_start().and_then(|s| s.apply_on()).map(|on| on.as_str())},
        "LoggingConfig": {"LogFormat": c.logging_config().and_then(|l| l.log_format()).map(|format| format.as_str())},
        "Tags": there.tags,
    });
    match without_nulls(all) {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v)));
            kept.filter(|(_, v)| !super::super::template::empty(v)).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// What was asked for; `None` when there is no such thing, or it may not be seen, which is noted.
fn found<T, E>(name: &str, what: &str, asked: Result<T, SdkError<E>>, notes: &mut Vec<String>) -> Result<Option<T>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match asked {
        Ok(output) => Ok(Some(output)),
        Err(error) if code(&error) == "ResourceNotFoundException" => Ok(None),
        Err(error) if code(&error).starts_with("AccessDenied") => {
            notes.push(format!("{what} could not be read: {}", super::super::fault::said(&error)));
            Ok(None)
        }
        Err(error) => Err(fault(format!("can't read {what} of {name}"), &error)),
    }
}

/// Who may call the function besides its own account.
async fn policy(aws: &Aws, name: &str, notes: &mut Vec<String>) -> Result<Option<String>> {
    let asked = aws.lambda.get_policy().function_name(name).send().await;
    let Some(output) = found(name, "who may call it", asked, notes)? else { return Ok(None) };
    let document: Value = output.policy().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let callers: Vec<String> = document["Statement"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|statement| !statement["Sid"].as_str().is_some_and(|sid| sid.starts_with("faas-url")))
        .map(|statement| {
            let principal = &statement["Principal"];
            let who = principal.get("Service").or(principal.get("AWS")).unwrap_or(principal);
            super::plain(who)
        })
        .collect();
    Ok((!callers.is_empty()).then(|| callers.join(", ")))
}
