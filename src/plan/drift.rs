//! What somebody changed on the platform behind our back.
use std::collections::{BTreeMap, BTreeSet};

use crate::artifact::Artifact;
use crate::backend::Deployed;
use crate::function::Function;

/// The fields that differ although the marks say that this spec and artifact were applied last. Platforms add labels
/// and environment of their own, so only what the function asks for is compared.
pub fn fields(function: &Function, artifact: &Artifact, observed: &Deployed) -> Vec<&'static str> {
    let mut drifted = Vec::new();
    if let Artifact::Image { reference, digest } = artifact {
        let by_digest = digest.as_deref().is_some_and(|digest| observed.image.ends_with(digest));
        if !by_digest && observed.image != *reference {
            drifted.push("image");
        }
    }
    let mut differs = |name, asked: &BTreeMap<String, String>, there: &BTreeMap<String, String>| {
        if asked.iter().any(|(key, value)| there.get(key) != Some(value)) {
            drifted.push(name);
        }
    };
    differs("labels", &function.labels, &observed.labels);
    differs("annotations", &function.annotations, &observed.annotations);
    // Some platforms tell no environment at all; that is no drift.
    if !observed.environment.is_empty() {
        differs("environment", &function.environment, &observed.environment);
    }
    let asked: BTreeSet<&String> = function.secrets.iter().collect();
    if asked != observed.secrets.iter().collect() {
        drifted.push("secrets");
    }
    if function.process.is_some() && observed.process.is_some() && function.process != observed.process {
        drifted.push("process");
    }
    drifted
}
