//! What a deploy would change, field by field, in Lambda's own words. Only asked, never changed.
use std::collections::BTreeMap;
use std::sync::PoisonError;

use aws_sdk_lambda::types::{Architecture, FunctionConfiguration};
use serde_json::{Value, json};

use super::apply::own_role;
use super::name::{EXTRAS_KEY, URL_KEY, escape};
use super::wait::{self, There};
use super::wanted::{Code, Wanted};
use super::{Lambda, beside, concurrency, extras, role};
use crate::backend::{ARTIFACT_KEY, Change, Difference};
use crate::error::Result;

/// A function's fields by their paths; what is not set is not there.
pub(super) type Fields = BTreeMap<String, Value>;

/// What [`super::apply::apply`] would change.
///
/// # Errors
/// When Lambda can't be asked.
pub async fn preview(lambda: &Lambda, change: &Change) -> Result<Vec<Difference>> {
    let aws = lambda.aws().await?;
    let wanted = Wanted::of(change, &lambda.settings)?;
    let there = wait::read(aws, &wanted.name).await?;
    let (mut before, mut after) = sides(there.as_ref(), &wanted, change, &aws.region);
    let own = there.as_ref().and_then(|there| own_role(change, &wanted, there, &aws.region));
    let beside = beside::look(aws, &wanted, there.as_ref(), own.as_deref()).await?;
    if beside.before != beside.after || there.is_none() {
        // The tags that keep in mind what these say in full.
        for side in [&mut before, &mut after] {
            side.retain(|path, _| ![EXTRAS_KEY, URL_KEY].iter().any(|key| path.ends_with(key)));
        }
    }
    if beside.no_role {
        before.remove("Role");
    }
    before.extend(beside.before);
    after.extend(beside.after);
    Ok(differences(&before, &after))
}

/// What differs of that which was seen when the function was looked for.
///
/// # Errors
/// When the function is none for Lambda.
pub fn drift(lambda: &Lambda, change: &Change) -> Result<Vec<Difference>> {
    let Some(aws) = lambda.aws.get() else { return Ok(Vec::new()) };
    let wanted = Wanted::of(change, &lambda.settings)?;
    let all = lambda.seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(all.get(&wanted.name).map(|there| seen(there, &wanted, change, &aws.region)).unwrap_or_default())
}

/// What differs of that which one read of the function tells.
#[must_use]
pub fn seen(there: &There, wanted: &Wanted, change: &Change, region: &str) -> Vec<Difference> {
    let (before, after) = sides(Some(there), wanted, change, region);
    differences(&before, &after)
}

fn sides(there: Option<&There>, wanted: &Wanted, change: &Change, region: &str) -> (Fields, Fields) {
    let has = there.and_then(|there| there.configuration.role()).unwrap_or_default();
    let role = match &wanted.role {
        Some(role) => role.clone(),
        None if role::own(has, &change.stack, region).is_some() => has.to_owned(),
        // Its account is not known before it is made.
        None => role::name_for(&change.stack, region),
    };
    let mut after = fields(wanted, &role);
    let Some(there) = there else {
        put(&mut after, "ReservedConcurrentExecutions", json!(wanted.concurrency));
        return (Fields::new(), after);
    };
    put(&mut after, "ReservedConcurrentExecutions", json!(concurrency::wanted(wanted, there, change)));
    let url = there.tags.get(URL_KEY).map_or("(its address)", String::as_str);
    put(&mut after, &format!("Tags.{URL_KEY}"), if wanted.url.is_some() { url.into() } else { Value::Null });
    put(&mut after, &format!("Tags.{EXTRAS_KEY}"), json!(extras::tag(&extras::wanted(wanted))));
    (fields_there(there, wanted, change), after)
}

fn differences(before: &Fields, after: &Fields) -> Vec<Difference> {
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let one = |path: &String| {
        let (before, after) = (before.get(path).cloned(), after.get(path).cloned());
        (before != after).then(|| Difference { path: path.clone(), before, after })
    };
    paths.into_iter().filter_map(one).collect()
}

/// Puts a value where it says something.
pub(super) fn put(fields: &mut Fields, path: &str, value: Value) {
    let says = match &value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    if says {
        fields.insert(path.to_owned(), value);
    }
}

fn fields(wanted: &Wanted, role: &str) -> Fields {
    let mut fields = Fields::new();
    let mut set = |path: &str, value: Value| put(&mut fields, path, value);
    set("Timeout", wanted.timeout.into());
    set("MemorySize", wanted.memory.into());
    set("EphemeralStorage.Size", wanted.ephemeral_storage.into());
    set("Architectures", json!([wanted.architecture.as_str()]));
    set("Layers", json!(wanted.layers));
    set("VpcConfig.SubnetIds", sorted(&wanted.vpc.subnets));
    set("VpcConfig.SecurityGroupIds", sorted(&wanted.vpc.security_groups));
    set("TracingConfig.Mode", if wanted.tracing { "Active" } else { "PassThrough" }.into());
    set("Description", wanted.description.clone().into());
    set("DeadLetterConfig.TargetArn", json!(wanted.dead_letter));
    set("Role", role.into());
    match &wanted.code {
        Code::Zip { sha256, runtime, handler, .. } => {
            set("CodeSha256", sha256.as_str().into());
            set("Runtime", runtime.as_str().into());
            set("Handler", handler.as_str().into());
        }
        Code::Image { uri, .. } => set("ImageUri", uri.as_str().into()),
    }
    for (key, value) in &wanted.environment {
        set(&format!("Environment.Variables.{key}"), value.as_str().into());
    }
    for (key, value) in &wanted.tags {
        set(&format!("Tags.{key}"), value.as_str().into());
    }
    fields
}

fn fields_there(there: &There, wanted: &Wanted, change: &Change) -> Fields {
    let configuration: &FunctionConfiguration = &there.configuration;
    let mut fields = Fields::new();
    let mut set = |path: &str, value: Value| put(&mut fields, path, value);
    // What Lambda leaves out has its default.
    set("Timeout", configuration.timeout().unwrap_or(3).into());
    set("MemorySize", configuration.memory_size().unwrap_or(128).into());
    set("EphemeralStorage.Size", configuration.ephemeral_storage().map_or(512, |storage| storage.size()).into());
    let architecture = configuration.architectures().first().unwrap_or(&Architecture::X8664);
    set("Architectures", json!([architecture.as_str()]));
    set("Layers", json!(configuration.layers().iter().filter_map(|layer| layer.arn()).collect::<Vec<_>>()));
    let vpc = configuration.vpc_config();
    set("VpcConfig.SubnetIds", sorted(vpc.map_or(&[], |vpc| vpc.subnet_ids())));
    set("VpcConfig.SecurityGroupIds", sorted(vpc.map_or(&[], |vpc| vpc.security_group_ids())));
    let mode = configuration.tracing_config().and_then(|tracing| tracing.mode()).map(|mode| mode.as_str());
    set("TracingConfig.Mode", mode.unwrap_or("PassThrough").into());
    set("Description", json!(configuration.description()));
    set("DeadLetterConfig.TargetArn", json!(configuration.dead_letter_config().and_then(|config| config.target_arn())));
    set("Role", json!(configuration.role()));
    match (&there.image, &wanted.code) {
        (Some(image), _) if !image.is_empty() => {
            // The same image may be named by its tag.
            let by_tag = matches!(&wanted.code, Code::Image { digest: None, .. });
            let applied = there.tags.get(ARTIFACT_KEY) == Some(&escape(change.artifact.identity()));
            let same = !wanted.code_differs(configuration, Some(image)) || by_tag && applied;
            let shown = match (&wanted.code, same) {
                (Code::Image { uri, .. }, true) => uri,
                _ => image,
            };
            set("ImageUri", shown.as_str().into());
        }
        _ => {
            set("CodeSha256", json!(configuration.code_sha256()));
            set("Runtime", json!(configuration.runtime().map(|runtime| runtime.as_str())));
            set("Handler", json!(configuration.handler()));
        }
    }
    set("ReservedConcurrentExecutions", json!(there.concurrency));
    let variables = configuration.environment().and_then(|environment| environment.variables());
    for (key, value) in variables.into_iter().flatten() {
        set(&format!("Environment.Variables.{key}"), value.as_str().into());
    }
    // The marks say what was applied; what differs shows in the fields themselves.
    let told = |key: &str| wanted.tags.contains_key(key) || matches!(key, URL_KEY | EXTRAS_KEY);
    let own = |key: &str| key.starts_with("aws:") || (key.starts_with("faas.dev/") && !told(key));
    for (key, value) in there.tags.iter().filter(|(key, _)| !own(key)) {
        set(&format!("Tags.{key}"), value.as_str().into());
    }
    fields
}

fn sorted(list: &[String]) -> Value {
    let mut list = list.to_vec();
    list.sort();
    json!(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_both_sides() {
        let fields = |list: &[(&str, i32)]| list.iter().map(|(path, n)| ((*path).to_owned(), json!(n))).collect();
        let found = differences(&fields(&[("a", 1), ("b", 2), ("c", 3)]), &fields(&[("a", 1), ("b", 4), ("d", 5)]));
        let shown: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.before.clone(), d.after.clone())).collect();
        assert_eq!(
            shown,
            [("b", Some(json!(2)), Some(json!(4))), ("c", Some(json!(3)), None), ("d", None, Some(json!(5)))]
        );
    }
}
