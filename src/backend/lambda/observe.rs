//! What is on Lambda, in our words. Only functions that carry our marks are listed, unless all are asked for: an account
//! has many others.
use aws_sdk_lambda::types::{AliasConfiguration, FunctionConfiguration, LastUpdateStatus, State};
use futures_util::{StreamExt, TryStreamExt};

use super::Lambda;
use super::apply::get_alias;
use super::aws::Aws;
use super::fault::{code, fault};
use super::name::{self, EXTRAS_KEY, NAME_KEY, NAMESPACE_KEY, function_name};
use super::secrets::names_in;
use super::wait::{self, There};
use super::wanted::{SECRETS, hex_of_base64, own_environment};
use crate::backend::{ARTIFACT_KEY, Deployed, STACK_KEY, Scope};
use crate::error::Result;
use crate::function::{FunctionId, Resources};
use crate::history::RECORD_KEY;

/// How many functions are asked at a time.
const AT_ONCE: usize = 16;

/// What is deployed: all of the scope's namespace, or the named functions; missing ones are left out.
///
/// # Errors
/// When Lambda can't be asked.
pub async fn observe(lambda: &Lambda, scope: &Scope) -> Result<Vec<Deployed>> {
    let aws = lambda.aws().await?;
    if scope.names.is_empty() {
        return list(aws, scope.namespace.as_deref(), scope.others).await;
    }
    let names = scope.names.clone().into_iter().map(|name| {
        let id = FunctionId { name, namespace: scope.namespace.clone() };
        async move { one(lambda, aws, &id).await }
    });
    let found: Vec<Option<Deployed>> = futures_util::stream::iter(names).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// One function, by two reads; what they tell is kept, so that nothing more is asked where nothing changed.
async fn one(lambda: &Lambda, aws: &Aws, id: &FunctionId) -> Result<Option<Deployed>> {
    let full = function_name(id);
    let Some(there) = wait::read(aws, &full).await? else { return Ok(None) };
    // Only then: it counts against a rate that a deploy of many new functions needs.
    let alias = get_alias(aws, &full).await?;
    let named = Deployed { name: id.name.clone(), namespace: id.namespace.clone(), ..deployed(&there, alias.as_ref()) };
    lambda.saw(&full, there);
    Ok(Some(named))
}

async fn list(aws: &Aws, namespace: Option<&str>, others: bool) -> Result<Vec<Deployed>> {
    let all: Vec<FunctionConfiguration> = aws
        .lambda
        .list_functions()
        .into_paginator()
        .items()
        .send()
        .collect::<Result<_, _>>()
        .await
        .map_err(|error| fault("can't list the functions", &error))?;
    let prefix = namespace.map(|namespace| format!("{namespace}-")).unwrap_or_default();
    let candidates = all.into_iter().filter(|f| f.function_name().is_some_and(|name| name.starts_with(&prefix)));
    let asked = candidates.map(|configuration| async move {
        let arn = configuration.function_arn().unwrap_or_default();
        let tags = match aws.lambda.list_tags().resource(arn).send().await {
            Ok(output) => output.tags().cloned().unwrap_or_default(),
            // Removed since it was listed.
            Err(error) if code(&error) == "ResourceNotFoundException" => return Ok(None),
            Err(error) => return Err(fault("can't read the tags of a function", &error)),
        };
        let ours = tags.contains_key(STACK_KEY) && tags.get(NAMESPACE_KEY).map(String::as_str) == namespace;
        Ok((ours || others && !tags.contains_key(STACK_KEY))
            .then(|| deployed(&There { configuration, image: None, tags, concurrency: None }, None)))
    });
    let found: Vec<Option<Deployed>> = futures_util::stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    let mut found: Vec<Deployed> = found.into_iter().flatten().collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A function in our words.
#[must_use]
pub fn deployed(there: &There, alias: Option<&AliasConfiguration>) -> Deployed {
    let configuration = &there.configuration;
    let mut told = name::told(&there.tags);
    let name = there.tags.get(NAME_KEY).cloned();
    told.annotations.remove(NAME_KEY);
    told.annotations.remove(EXTRAS_KEY);
    told.annotations.remove(RECORD_KEY);
    let namespace = told.annotations.remove(NAMESPACE_KEY);
    let sha256 = configuration.code_sha256().and_then(hex_of_base64);
    // What was applied is only what runs as long as nobody put other code there.
    let applied = told.annotations.get(ARTIFACT_KEY);
    if there.image.as_deref().is_none_or(str::is_empty) && applied.is_some() && applied != sha256.as_ref() {
        told.annotations.remove(ARTIFACT_KEY);
    }
    if let Some(version) = alias.and_then(AliasConfiguration::function_version) {
        told.annotations.insert("faas.dev/version".into(), version.to_owned());
    }
    let image = match (&there.image, configuration.runtime()) {
        (Some(image), _) if !image.is_empty() => image.clone(),
        (_, Some(runtime)) => {
            format!("{}@{}", runtime.as_str(), sha256.as_deref().and_then(|sha| sha.get(..12)).unwrap_or_default())
        }
        _ => String::new(),
    };
    let variables = configuration.environment().and_then(|environment| environment.variables());
    let paused = there.concurrency == Some(0);
    Deployed {
        name: name.unwrap_or_else(|| configuration.function_name().unwrap_or_default().to_owned()),
        namespace,
        image,
        environment: variables.map(own_environment).unwrap_or_default(),
        secrets: variables.and_then(|v| v.get(SECRETS)).map(|list| names_in(list)).unwrap_or_default(),
        labels: told.labels,
        annotations: told.annotations,
        limits: Resources { memory: configuration.memory_size().map(|mb| format!("{mb}Mi")), cpu: None },
        read_only: true,
        // How many at most, where that is limited; else as many as there are calls.
        replicas: there.concurrency.map_or(1, |limit| u64::try_from(limit).unwrap_or(0)),
        available: Some(u64::from(!paused && is_ready(configuration))),
        created: configuration.last_modified().map(rfc3339),
        url: told.url,
        ..Deployed::default()
    }
}

/// Whether it takes calls.
#[must_use]
pub fn is_ready(configuration: &FunctionConfiguration) -> bool {
    let made = matches!(configuration.state(), None | Some(State::Active | State::Inactive));
    made && !matches!(configuration.last_update_status(), Some(LastUpdateStatus::InProgress))
}

/// Lambda writes `+0000` where RFC 3339 has `+00:00`.
fn rfc3339(time: &str) -> String {
    time.strip_suffix("+0000").map_or_else(|| time.to_owned(), |time| format!("{time}Z"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_lambda::types::Runtime;

    use super::*;
    use crate::backend::SPEC_KEY;

    fn there(sha256: &str, artifact: &str) -> There {
        let configuration = FunctionConfiguration::builder()
            .function_name("shop-tax")
            .runtime(Runtime::from("python3.13"))
            .code_sha256(sha256)
            .last_modified("2026-01-02T03:04:05.000+0000")
            .build();
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let tags = HashMap::from([
            tag(STACK_KEY, "shop"),
            tag(NAME_KEY, "tax"),
            tag(NAMESPACE_KEY, "shop"),
            tag(SPEC_KEY, "s"),
            tag(ARTIFACT_KEY, artifact),
        ]);
        There { configuration, image: None, tags, concurrency: None }
    }

    #[test]
    fn a_function_in_our_words() {
        let deployed = deployed(&there("AP8=", "00ff"), None);
        assert_eq!((deployed.name.as_str(), deployed.namespace.as_deref()), ("tax", Some("shop")));
        assert_eq!(deployed.image, "python3.13@");
        assert_eq!(deployed.annotations[ARTIFACT_KEY], "00ff");
        assert_eq!(deployed.created.as_deref(), Some("2026-01-02T03:04:05.000Z"));
        assert_eq!(deployed.available, Some(1));
    }

    #[test]
    fn other_code_than_was_applied_is_no_mark() {
        assert!(!deployed(&there("AP8=", "beef"), None).annotations.contains_key(ARTIFACT_KEY));
    }
}
