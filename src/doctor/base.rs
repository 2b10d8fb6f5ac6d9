//! The images that the stack's images start from: whether the engine has them, or their registries give them.
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Checked, Patient};
use crate::artifact::ArtifactKind;
use crate::build::foreseen::{bases, is_in_engine};
use crate::error::{Kind, Result};
use crate::finding::{self, Finding};
use crate::progress::Silent;
use crate::registry::{self, Talk};

/// The engine is asked, and a registry twice: for a token, and for the image.
const LIMIT: Duration = Duration::from_secs(20);

/// One finding a base image.
pub async fn looks(patient: &Patient<'_>) -> Vec<Checked> {
    let (Some(stack), Ok(backend)) = (patient.stack, patient.backend) else { return Vec::new() };
    let mut all: BTreeMap<String, &str> = BTreeMap::new();
    let built = stack.functions.iter().filter(|f| backend.wants(f) == ArtifactKind::Image && !f.build.skip);
    for function in built.filter(|f| !f.lang.is_empty()) {
        // What is wrong with its files or its template is told elsewhere.
        for base in bases(function, patient.project).unwrap_or_default() {
            all.entry(base).or_insert(&function.name);
        }
    }
    let looks = all.into_iter().map(|(base, name)| async move {
        let about = format!("base image {base}");
        Checked::from(finding::look(&about, LIMIT, look(patient, &about, name, &base)).await)
    });
    futures_util::future::join_all(looks).await
}

async fn look(patient: &Patient<'_>, about: &str, name: &str, base: &str) -> Result<Finding> {
    if is_in_engine(base, patient.project).await == Some(true) {
        return Ok(Finding::ok(about, "the engine has it"));
    }
    let image = registry::parse(name, base)?;
    let talk = Talk { subject: name, progress: &Silent };
    let remote = patient.project.registries.remote(&image, talk).await?;
    let host = remote.host();
    let other = "look at `FROM` in the Dockerfile, or at the build argument that names it";
    match remote.digest(&image, talk).await {
        Ok(Some(_)) => Ok(Finding::ok(about, format!("{host} gives it"))),
        Ok(None) => Ok(Finding::broken(about, format!("{host} has no such image")).hint(other)),
        Err(fault) if fault.kind == Kind::Unauthorized && !remote.is_known() => {
            let said = fault.cause.unwrap_or(fault.message);
            Ok(Finding::broken(about, format!("{host} doesn't give it to callers without a login: {said}"))
                .hint(format!("`docker login {host}` keeps one; or {other}")))
        }
        Err(fault) => Err(fault),
    }
}
