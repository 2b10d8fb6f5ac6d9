//! Functions on the wire: what a deployment must be, and what is told of one.
use std::sync::Arc;
use std::time::Duration;

use super::answer::Refused;
use super::balance::Function;
use super::secrets::Secrets;
use crate::wire::{FunctionDeployment, FunctionStatus, FunctionUsage};

/// Most replicas of a function without the label `com.openfaas.scale.max`: OpenFaaS's default.
const MAX_REPLICAS: u32 = 20;
/// The names that OpenFaaS takes, in its own words.
const NAME: &str = "^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$";
/// A name becomes the name of a folder with something added.
const NAME_LENGTH: usize = 200;

/// How many replicas a function may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub min: u32,
    pub max: u32,
}

impl Limits {
    /// By the labels `com.openfaas.scale.min` and `.max`.
    pub fn of(deployment: &FunctionDeployment) -> Result<Self, Refused> {
        let label = |name: &str, default: u32| match deployment.labels.as_ref().and_then(|l| l.get(name)) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| Refused::bad(format_args!("label {name} is `{text}`: it must be a number")))
            }
        };
        let min = label("com.openfaas.scale.min", 1)?;
        let max = label("com.openfaas.scale.max", MAX_REPLICAS.max(min))?;
        if max == 0 || min > max {
            return Err(Refused::bad(format_args!(
                "com.openfaas.scale.max is {max}: it must be at least {}",
                min.max(1)
            )));
        }
        Ok(Self { min, max })
    }
}

/// Whether OpenFaaS would take the name: words of letters and digits, each parted from the next by one of `.`, `_`, `-`.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH
        && name.split(['.', '_', '-']).all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Refuses a deployment that can't be, before anything is changed.
pub(super) fn check(deployment: &FunctionDeployment, namespace: &str, secrets: &Secrets) -> Result<Limits, Refused> {
    let name = &deployment.service;
    if let Some(secret) = secrets.missing(namespace, deployment.secrets.as_deref().unwrap_or_default()) {
        return Err(Refused::bad(format_args!("unable to find secret: {secret}")));
    }
    if !is_name(name) {
        return Err(Refused::bad(format_args!(
            "unable to create container: {name}, error: create container failed validation: container.ID: identifier \
             \"{name}\" must match {NAME}: invalid argument"
        )));
    }
    match &deployment.bundle {
        None => Err(Refused::bad(format_args!(
            "unable to run image {} for {name}: the embedded platform runs functions as processes, from a bundle; \
             `faas up` with provider `local` makes it from the function's template",
            deployment.image
        ))),
        Some(bundle) if !bundle.dir.is_absolute() => Err(Refused::bad(format_args!(
            "the bundle's folder {} must be an absolute path on this machine",
            bundle.dir.display()
        ))),
        Some(_) => Limits::of(deployment),
    }
}

/// A row of the list, and the answer to describe.
pub(super) fn status(function: &Function) -> FunctionStatus {
    let record = function.record();
    let d = &record.deployment;
    let some = |count: usize| (count > 0).then_some(count as u64);
    let calls = function.counters.total();
    FunctionStatus {
        name: function.key.name.clone(),
        image: d.image.clone(),
        namespace: Some(function.key.namespace.clone()),
        env_process: d.env_process.clone().filter(|p| !p.is_empty()),
        env_vars: d.env_vars.clone().filter(|v| !v.is_empty()),
        constraints: d.constraints.clone().filter(|c| !c.is_empty()),
        secrets: d.secrets.clone().filter(|s| !s.is_empty()),
        labels: Some(d.labels.clone().unwrap_or_default()),
        annotations: Some(d.annotations.clone().unwrap_or_default()),
        limits: d.limits.clone(),
        requests: d.requests.clone(),
        read_only_root_filesystem: d.read_only_root_filesystem,
        invocation_count: (calls > 0).then_some(calls as f64),
        replicas: some(record.replicas as usize),
        // Told even when it is none: left out, it would read as if nothing were known.
        available_replicas: (record.replicas > 0).then(|| function.available() as u64),
        starting_replicas: some(function.starting()),
        created_at: Some(record.created.to_string()),
        usage: None,
    }
}

/// What a function's replicas use: memory now, processor time over a moment.
pub(super) async fn usage(function: &Arc<Function>) -> FunctionUsage {
    const MOMENT: Duration = Duration::from_millis(100);
    let sum = || {
        let used = function.replicas().iter().filter_map(|r| r.usage()).collect::<Vec<_>>();
        used.into_iter().fold((0, 0), |(memory, ticks), (m, t)| (memory + m, ticks + t))
    };
    let (_, before) = sum();
    tokio::time::sleep(MOMENT).await;
    let (memory, after) = sum();
    let seconds = after.saturating_sub(before) as f64 / rustix::param::clock_ticks_per_second() as f64;
    FunctionUsage { cpu: 1000.0 * seconds / MOMENT.as_secs_f64(), total_memory_bytes: memory as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_openfaas() {
        for good in ["tax", "a", "A1", "a.b", "a-b_c", "0"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a/b", "Bad_Name!", "..", "ä", "a b"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&"a".repeat(NAME_LENGTH + 1)));
    }

    #[test]
    fn labels_say_how_many_replicas() {
        let of = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(k, v)| (format!("com.openfaas.scale.{k}"), (*v).to_owned())).collect();
            Limits::of(&FunctionDeployment { labels: Some(labels), ..Default::default() })
        };
        assert_eq!(of(&[]).unwrap(), Limits { min: 1, max: 20 });
        assert_eq!(of(&[("min", "0"), ("max", "3")]).unwrap(), Limits { min: 0, max: 3 });
        assert_eq!(of(&[("min", "30")]).unwrap(), Limits { min: 30, max: 30 });
        for bad in [&[("min", "x")][..], &[("max", "0")], &[("min", "3"), ("max", "2")], &[("min", "-1")]] {
            assert_eq!(of(bad).unwrap_err().status, 400, "{bad:?}");
        }
    }
}
