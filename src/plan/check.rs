//! What is wrong with functions and with what they need, said before anything is built or changed.
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::run::Steps;
use crate::artifact::ArtifactKind;
use crate::backend::Backend;
use crate::build;
use crate::error::{Code, Fault, Kind, Result};
use crate::function::Function;
use crate::problem::{Problem, Severity, class};

/// Everything that is wrong with the functions on this platform, said before anything is changed; with `steps`, what
/// would keep them from being built, too.
///
/// # Errors
/// When one of the problems is an error; warnings are returned.
pub fn check(
    functions: &[Function],
    backend: &dyn Backend,
    steps: Option<&Steps<'_>>,
    place: impl Fn(&str) -> Option<crate::problem::Place>,
) -> Result<Vec<Problem>> {
    let capabilities = backend.capabilities();
    if steps.is_some_and(|steps| !steps.options.attestations.is_empty()) {
        capabilities.require("SBOM and no provenance beside images", capabilities.attestations)?;
    }
    let refused = functions.iter().flat_map(|function| backend.check(function));
    let mut problems: Vec<Problem> = refused.map(|problem| problem.code(Code::PROVIDER_REFUSES)).collect();
    if let Some(steps) = steps {
        let built: Vec<&Function> = functions.iter().filter(|f| is_built(f, backend.wants(f), steps)).collect();
        let unbuildable = build::check(&built, |f| backend.wants(f), steps.project, steps.options);
        problems.extend(unbuildable.into_iter().map(|wrong| {
            let mut problem = wrong.problem;
            // An image can be planned with, as it can be deployed, without the template that it was built from.
            let is_image = || built.iter().any(|f| f.name == wrong.function && backend.wants(f) == ArtifactKind::Image);
            if steps.dry && wrong.kind == Kind::NotFound && is_image() {
                problem.severity = Severity::Warning;
            }
            problem
        }));
    }
    for problem in &mut problems {
        if problem.place.is_none() {
            problem.place = place(&problem.field);
        }
    }
    if problems.iter().any(Problem::is_error) {
        let provider = capabilities.provider;
        let errors = problems.iter().filter(|p| p.is_error()).count();
        let said = if errors == 1 { "one problem".into() } else { format!("{errors} problems") };
        let said = format!("{said} for provider `{provider}`, nothing was changed");
        return Err(Fault::usage(said).code(class(&problems)).problems(problems));
    }
    Ok(problems)
}

/// Secrets that functions name and the platform lacks, told before anything is built.
pub(super) async fn secrets_are_there(functions: &[Function], backend: &dyn Backend, steps: &Steps<'_>) -> Result<()> {
    let Some(secrets) = backend.secrets().filter(|_| backend.lists_every_secret()) else { return Ok(()) };
    let mut lists: HashMap<Option<&str>, Option<HashSet<String>>> = HashMap::new();
    let mut problems = Vec::new();
    let mut first = None;
    for function in functions.iter().filter(|function| !function.secrets.is_empty()) {
        let namespace = function.namespace.as_deref();
        if let Entry::Vacant(entry) = lists.entry(namespace) {
            // A namespace that isn't there has words of its own when it is deployed to.
            let list = if steps.unborn { Some(Vec::new()) } else { secrets.list(namespace).await.ok() };
            entry.insert(list.map(|list| list.into_iter().map(|secret| secret.name).collect()));
        }
        let Some(there) = &lists[&namespace] else { continue };
        for name in function.secrets.iter().filter(|name| !there.contains(*name)) {
            first.get_or_insert(name);
            let message = format!("the secret {name} of `{}` is not on the platform", function.name);
            problems.push(Problem::error(format!("functions.{}.secrets", function.name), message));
        }
    }
    let Some(first) = first else { return Ok(()) };
    let lacking = if problems.len() == 1 { "a secret is".into() } else { format!("{} secrets are", problems.len()) };
    Err(Fault::failed(format!("{lacking} missing, nothing was changed"))
        .code(Code::SECRET_MISSING)
        .hint(format!("`faas secret create {first}` makes it"))
        .problems(problems))
}

/// Whether the function is built on the way.
pub(super) fn is_built(function: &Function, kind: ArtifactKind, steps: &Steps<'_>) -> bool {
    kind != ArtifactKind::Image || builds_image(function, steps)
}

fn builds_image(function: &Function, steps: &Steps<'_>) -> bool {
    steps.build_images && !function.build.skip
}
