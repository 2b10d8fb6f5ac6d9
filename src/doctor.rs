//! `faas doctor`: looks at everything that a stack needs of this machine and of its platform, at once, and mends what is
//! safe to mend. One file a part of the house; platforms look at themselves (`Backend::examine`).
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::backend::Backend;
use crate::build::Project;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::finding::{Finding, State};
use crate::function::Function;
use crate::stack::{ProviderKind, Stack};

#[cfg(feature = "image")]
mod base;
#[cfg(feature = "image")]
mod engine;
mod local;
mod machine;
mod modes;
#[cfg(feature = "image")]
mod registry;
mod templates;

/// What is looked at.
pub struct Patient<'a> {
    /// Environment and folders.
    pub context: &'a Context,
    /// The stack file as it was read; `None` where there is none, and none is needed.
    pub stack: Option<&'a Stack>,
    /// Its functions, each with the namespace that counts.
    pub functions: &'a [Function],
    /// Why the stack file could not be read.
    pub unread: Option<&'a Finding>,
    /// The backends of this build, by name.
    pub backends: Vec<&'static str>,
    /// The project around it.
    pub project: &'a Project<'a>,
    /// The platform's kind.
    pub kind: ProviderKind,
    /// Whether somebody named it: a stack file, a flag, the environment.
    pub named: bool,
    /// The address of its gateway, where it has one.
    pub gateway: &'a str,
    /// The platform, or why it can't even be named.
    pub backend: &'a Result<Arc<dyn Backend>>,
}

/// What mends a thing: says what it did.
type Fix = Box<dyn FnOnce() -> Result<String> + Send>;

/// A finding, and what mends it.
struct Checked {
    finding: Finding,
    fix: Option<Fix>,
}

impl From<Finding> for Checked {
    fn from(finding: Finding) -> Self {
        Self { finding, fix: None }
    }
}

impl Checked {
    /// A finding that `fix` mends; `what` says how.
    fn mended_by(finding: Finding, what: String, fix: impl FnOnce() -> Result<String> + Send + 'static) -> Self {
        Self { finding: Finding { fix: Some(what), ..finding }, fix: Some(Box::new(fix)) }
    }
}

type Look<'a> = Pin<Box<dyn Future<Output = Vec<Checked>> + Send + 'a>>;

impl Patient<'_> {
    /// Whether the function named `name` in the stack needs an image; any of them when `None`.
    fn wants_images(&self) -> bool {
        let (Some(stack), Ok(backend)) = (self.stack, self.backend) else { return false };
        stack.functions.iter().any(|f| backend.wants(f) == crate::artifact::ArtifactKind::Image && !f.build.skip)
    }
}

/// Looks at everything, all at once; with `fix`, mends what is safe to mend. In an order that does not hang on which
/// look was the fastest.
pub async fn examine(patient: &Patient<'_>, fix: bool) -> Vec<Finding> {
    let looks: Vec<Look<'_>> = vec![
        Box::pin(async { machine::looks(patient).await }),
        Box::pin(async { modes::looks(patient) }),
        Box::pin(async { templates::looks(patient).await }),
        #[cfg(feature = "image")]
        Box::pin(async { engine::looks(patient).await }),
        #[cfg(feature = "image")]
        Box::pin(async { base::looks(patient).await }),
        #[cfg(feature = "image")]
        Box::pin(async { registry::looks(patient).await }),
        Box::pin(async { local::looks(patient) }),
        Box::pin(async { platform(patient).await }),
    ];
    let mut running: FuturesUnordered<_> =
        looks.into_iter().enumerate().map(|(n, look)| async move { (n, look.await) }).collect();
    let mut parts = Vec::new();
    while let Some(part) = running.next().await {
        parts.push(part);
    }
    drop(running);
    parts.sort_by_key(|(n, _)| *n);
    parts.into_iter().flat_map(|(_, checked)| checked).map(|checked| mend(checked, fix)).collect()
}

fn mend(checked: Checked, fix: bool) -> Finding {
    let Checked { mut finding, fix: cure } = checked;
    let Some(cure) = cure.filter(|_| fix) else { return finding };
    match cure() {
        Ok(did) => {
            finding.state = State::Ok;
            finding.fixed = Some(did);
        }
        Err(fault) => finding.found += &format!("\nit could not be mended: {fault}"),
    }
    finding
}

/// The platform looks at itself.
async fn platform(patient: &Patient<'_>) -> Vec<Checked> {
    let kind = patient.kind.as_str();
    match patient.backend {
        _ if !patient.named => vec![Finding::skipped("platform", "no stack file, flag or variable names one").into()],
        Err(fault) => vec![Finding::of_fault(format!("provider {kind}"), fault).into()],
        // What there is to say of one that does not run, `local` has said.
        Ok(_) if patient.kind == ProviderKind::Local && !local::runs(patient) => Vec::new(),
        Ok(backend) => {
            let stack = patient.stack.map_or("", |stack| stack.name.as_str());
            backend.examine(patient.functions, stack).await.into_iter().map(Into::into).collect()
        }
    }
}

/// The fault that says how many things are broken; `Ok` when none is.
///
/// # Errors
/// When any is.
pub fn sum_up(findings: &[Finding]) -> Result<()> {
    let broken: Vec<&str> = findings.iter().filter(|f| f.state == State::Broken).map(|f| f.about.as_str()).collect();
    match broken.len() {
        0 => Ok(()),
        1 => Err(Fault::failed(format!("{} is not as it should be", broken[0]))),
        n => Err(Fault::failed(format!("{n} things are not as they should be: {}", broken.join(", ")))),
    }
}
