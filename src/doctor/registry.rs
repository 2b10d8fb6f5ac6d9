//! The registries that the stack's images go to: whether they answer, and whether they know the login that is kept.
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Checked, Patient};
use crate::artifact::ArtifactKind;
use crate::build::tag;
use crate::error::{Kind, Result};
use crate::finding::{self, Finding};
use crate::progress::Silent;
use crate::registry::{self, Talk};
use crate::stack::ProviderKind;

/// A registry is asked twice: for a token, and for the image.
const LIMIT: Duration = Duration::from_secs(15);

/// One finding a registry.
pub async fn looks(patient: &Patient<'_>) -> Vec<Checked> {
    let (Some(stack), Ok(backend)) = (patient.stack, patient.backend) else { return Vec::new() };
    if patient.kind == ProviderKind::Local {
        return Vec::new();
    }
    let mut registries: BTreeMap<String, (&str, String)> = BTreeMap::new();
    for function in stack.functions.iter().filter(|f| backend.wants(f) == ArtifactKind::Image) {
        let Ok(reference) = tag::reference(function, tag::TagMode::default(), patient.project.root) else { continue };
        let Ok(image) = registry::parse(&function.name, &reference) else { continue };
        registries.entry(image.resolve_registry().to_owned()).or_insert((&function.name, reference));
    }
    let looks = registries.into_iter().map(|(host, (name, reference))| async move {
        let about = format!("registry {host}");
        let found = finding::look(&about, LIMIT, look(patient, &about, name, &reference)).await;
        Checked::from(found)
    });
    futures_util::future::join_all(looks).await
}

async fn look(patient: &Patient<'_>, about: &str, name: &str, reference: &str) -> Result<Finding> {
    let image = registry::parse(name, reference)?;
    let talk = Talk { subject: name, progress: &Silent };
    let remote = patient.project.registries.remote(&image, talk).await?;
    let login = if remote.is_known() { "with the login that is kept" } else { "without a login" };
    let host = remote.host();
    match remote.digest(&image, talk).await {
        Ok(Some(_)) => Ok(Finding::ok(about, format!("answers {login}, and has {reference}"))),
        Ok(None) => Ok(Finding::ok(about, format!("answers {login}; {reference} is not there yet"))),
        Err(fault) if fault.kind == Kind::Unauthorized && !remote.is_known() => Ok(Finding::warning(
            about,
            format!("it does not show {reference} to callers without a login: {}", fault.cause.unwrap_or_default()),
        )
        .hint(format!("`docker login {host}` or `faas registry-login --server {host}` keeps one"))),
        Err(fault) => Err(fault),
    }
}
