//! The templates of the stack's languages, and the programs that they need on this machine.
use std::collections::BTreeMap;

use super::{Checked, Patient};
use crate::artifact::ArtifactKind;
use crate::build::requires;
use crate::error::Result;
use crate::finding::{self, Finding};
use crate::function::Function;
use crate::template::manifest::Native;

/// One finding a language of the stack.
pub async fn looks(patient: &Patient<'_>) -> Vec<Checked> {
    let Some(stack) = patient.stack else { return Vec::new() };
    let mut languages: BTreeMap<&str, &Function> = BTreeMap::new();
    for function in stack.functions.iter().filter(|f| !f.lang.is_empty() && !f.build.skip) {
        languages.entry(&function.lang).or_insert(function);
    }
    let looks = languages.into_iter().map(|(lang, function)| async move {
        let about = format!("template {lang}");
        Checked::from(finding::look(&about, finding::LIMIT, look(patient, lang, function, &about)).await)
    });
    futures_util::future::join_all(looks).await
}

async fn look(patient: &Patient<'_>, lang: &str, function: &Function, about: &str) -> Result<Finding> {
    let template = patient.project.catalogue.get(lang)?;
    let wants = patient.backend.as_ref().map_or(ArtifactKind::Image, |backend| backend.wants(function));
    let manifest = &template.manifest;
    let native = match wants {
        ArtifactKind::Image => None,
        ArtifactKind::Bundle => manifest.native.clone(),
        // The programs that build an archive are found as those that run a bundle are.
        ArtifactKind::Archive => manifest.lambda.as_ref().map(|lambda| Native {
            requires: lambda.requires.clone(),
            get: manifest.native.as_ref().and_then(|native| native.get.clone()),
            ..Native::default()
        }),
    };
    let Some(native) = native else {
        return Ok(match wants {
            ArtifactKind::Image => Finding::ok(about, "is there; the engine brings the rest"),
            _ => Finding::broken(about, format!("provider `{}` can't run it without an image", patient.kind.as_str()))
                .hint("choose another `lang`, or a provider that runs images"),
        });
    };
    let programs = requires::find(&native, &function.name, patient.project.env)?;
    for program in &programs {
        program.check_version(&native, &function.name).await?;
    }
    let needs = match native.requires.as_slice() {
        [] => "needs no programs".to_owned(),
        all => format!("has what it needs: {}", all.join(", ")),
    };
    Ok(Finding::ok(about, needs))
}
