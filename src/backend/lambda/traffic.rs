//! Versions and their shares: the alias `live` points at one version, and for a canary at a second one by weight.
use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_lambda::types::{AliasConfiguration, AliasRoutingConfiguration};

use super::Lambda;
use super::apply::{self, get_alias};
use super::aws::Aws;
use super::fault::fault;
use super::name::{ALIAS, function_name, unescape};
use crate::backend::{Change, Deployed, Revision, Traffic, served};
use crate::error::{Fault, Result};
use crate::function::FunctionId;
use crate::history::{RECORD_KEY, Record};
use crate::progress::Progress;

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: u64,
    /// When it was published, as Lambda writes it.
    pub created: Option<String>,
    /// What it runs.
    pub image: String,
    /// The deployment that it came from.
    pub deployment: Option<Record>,
}

/// A function's published versions, newest first.
///
/// # Errors
/// When Lambda can't be asked.
pub async fn versions(aws: &Aws, name: &str) -> Result<Vec<Version>> {
    let listed = aws.lambda.list_versions_by_function().function_name(name).into_paginator().items().send();
    let all: Vec<_> = listed
        .collect::<Result<_, _>>()
        .await
        .map_err(|error| fault(format!("can't list the versions of {name}"), &error))?;
    if all.is_empty() {
        return Err(Fault::not_found(format!("there is no function {name} in {}", aws.region))
            .hint("`faas list` shows what is deployed"));
    }
    let mut versions: Vec<Version> = all
        .iter()
        .filter_map(|configuration| {
            Some(Version {
                number: configuration.version()?.parse().ok()?,
                created: configuration.last_modified().map(str::to_owned),
                deployment: configuration.description().and_then(Record::described),
                image: format!(
                    "{}@{}",
                    configuration.runtime().map_or("image", |runtime| runtime.as_str()),
                    configuration.code_sha256().unwrap_or_default()
                ),
            })
        })
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.number));
    Ok(versions)
}

/// The versions that any alias points at.
///
/// # Errors
/// When Lambda can't be asked.
pub async fn aliased(aws: &Aws, name: &str) -> Result<Vec<String>> {
    let listed = aws.lambda.list_aliases().function_name(name).into_paginator().items().send();
    let all: Vec<_> = listed
        .collect::<Result<_, _>>()
        .await
        .map_err(|error| fault(format!("can't list the aliases of {name}"), &error))?;
    let mut versions = Vec::new();
    for alias in &all {
        versions.extend(alias.function_version().map(str::to_owned));
        let weights = alias.routing_config().and_then(|routing| routing.additional_version_weights());
        versions.extend(weights.into_iter().flat_map(HashMap::keys).cloned());
    }
    Ok(versions)
}

/// The alias for shares: the version that takes the rest, and the one with a weight.
fn split(shares: &[(String, u8)]) -> Result<(String, Option<(String, f64)>)> {
    let used: Vec<&(String, u8)> = shares.iter().filter(|(_, share)| *share > 0).collect();
    let sum: u32 = used.iter().map(|(_, share)| u32::from(*share)).sum();
    if sum != 100 {
        return Err(Fault::usage(format!("the shares sum to {sum}, not to 100")));
    }
    match used.as_slice() {
        [(only, _)] => Ok((only.clone(), None)),
        [(a, share), (b, other)] if a != b => {
            let (main, canary, share) = if share >= other { (a, b, other) } else { (b, a, share) };
            Ok((main.clone(), Some((canary.clone(), f64::from(*share) / 100.0))))
        }
        _ => Err(Fault::unsupported("Lambda splits traffic between two versions at most")
            .hint("give a share to two versions, and 0 to the others")),
    }
}

#[async_trait]
impl Traffic for Lambda {
    async fn revisions(&self, id: &FunctionId) -> Result<Vec<Revision>> {
        let aws = self.aws().await?;
        let name = function_name(id);
        let versions = versions(aws, &name).await?;
        let mut shares: HashMap<String, u8> = HashMap::new();
        if let Some(alias) = get_alias(aws, &name).await? {
            let mut rest = 100;
            let weights = alias.routing_config().and_then(|routing| routing.additional_version_weights());
            for (version, weight) in weights.into_iter().flatten() {
                // Between 0 and 1 by the API's own word.
                let share = (weight * 100.0).round().clamp(0.0, 100.0) as u8;
                shares.insert(version.clone(), share);
                rest -= share.min(rest);
            }
            shares.insert(alias.function_version().unwrap_or_default().to_owned(), rest);
        }
        let first = match versions.last() {
            Some(oldest) if oldest.number == 1 => super::wait::read(aws, &name).await?,
            _ => None,
        };
        let first = first.and_then(|there| Record::described(&unescape(there.tags.get(RECORD_KEY)?)));
        let revision = |version: Version| {
            let created_with = || first.clone().filter(|_| version.number == 1);
            let deployment = version.deployment.clone().or_else(created_with);
            let name = version.number.to_string();
            let share = shares.get(&name).copied().unwrap_or(0);
            let Version { created, image, .. } = version;
            Revision { name, share, created, image, deployment, ..Revision::default() }
        };
        Ok(versions.into_iter().map(revision).collect())
    }

    async fn set(&self, id: &FunctionId, shares: &[(String, u8)]) -> Result<()> {
        let (main, canary) = split(shares)?;
        let (aws, name) = (self.aws().await?, function_name(id));
        let served = get_alias(aws, &name).await?.as_ref().and_then(mark);
        point(aws, &name, &main, canary, served).await
    }

    async fn served(&self, id: &FunctionId) -> Result<Option<Vec<String>>> {
        let alias = get_alias(self.aws().await?, &function_name(id)).await?;
        Ok(alias.and_then(|alias| kept(&alias)))
    }

    async fn back(&self, id: &FunctionId, revision: &str) -> Result<()> {
        let (aws, name) = (self.aws().await?, function_name(id));
        let list = get_alias(aws, &name).await?.as_ref().and_then(noted);
        let left = list.map(|list| description(&served::back(list, revision)));
        point(aws, &name, revision, None, left).await
    }

    async fn canary(&self, change: &Change, percent: u8, progress: &dyn Progress) -> Result<Deployed> {
        apply::apply(self, change, Some(percent), progress).await
    }
}

/// What the alias' description begins with: the versions that had all of the calls follow.
const SERVED: &str = "faas.dev/served=";

fn description(served: &[String]) -> String {
    format!("{SERVED}{}", served::write(served))
}

/// The versions that had all of the calls before, where that was noted.
fn kept(alias: &AliasConfiguration) -> Option<Vec<String>> {
    alias.description()?.strip_prefix(SERVED).map(served::read)
}

/// Those that are to be noted when calls move; `None` where somebody else wrote the description.
fn noted(alias: &AliasConfiguration) -> Option<Vec<String>> {
    let list = kept(alias);
    if list.is_none() && alias.description().is_some_and(|text| !text.is_empty()) {
        return None;
    }
    let weights = alias.routing_config().and_then(|routing| routing.additional_version_weights());
    let alone = alias.function_version().filter(|_| weights.is_none_or(HashMap::is_empty));
    Some(served::noted(list.unwrap_or_default(), alone))
}

/// What the description is to say when calls move; `None` where somebody else wrote one.
pub fn mark(alias: &AliasConfiguration) -> Option<String> {
    noted(alias).map(|list| description(&list))
}

/// Moves the alias: to one version, and by a weight between 0 and 1 also to a second one; `served` is what its description
/// is to say.
///
/// # Errors
/// When Lambda refuses it.
pub async fn point(
    aws: &Aws,
    name: &str,
    version: &str,
    other: Option<(String, f64)>,
    served: Option<String>,
) -> Result<()> {
    let weights: HashMap<String, f64> = other.into_iter().collect();
    let routing = AliasRoutingConfiguration::builder().set_additional_version_weights(Some(weights)).build();
    let request = aws.lambda.update_alias().function_name(name).name(ALIAS).function_version(version);
    let request = request.routing_config(routing).set_description(served);
    let moved = apply::steadily(aws, name, || request.clone().send()).await;
    moved.map(|_| ()).map_err(|error| {
        let fault = fault(format!("can't move the alias {ALIAS} of {name}"), &error);
        let said = super::fault::said(&error);
        match said.contains("execution role") || said.contains("dead letter") {
            true => {
                fault.hint("versions that share calls must have the same role and dead letters; leave out --canary")
            }
            false => fault,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_a_version_and_a_weight() {
        let shares = |list: &[(&str, u8)]| split(&list.iter().map(|(v, s)| ((*v).to_owned(), *s)).collect::<Vec<_>>());
        assert_eq!(shares(&[("3", 100), ("2", 0)]).unwrap(), ("3".into(), None));
        assert_eq!(shares(&[("3", 10), ("2", 90)]).unwrap(), ("2".into(), Some(("3".into(), 0.1))));
        assert!(shares(&[("3", 10)]).is_err());
        assert!(shares(&[("3", 10), ("2", 80), ("1", 10)]).is_err());
    }
}
