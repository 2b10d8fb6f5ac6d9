//! `faas validate`: everything wrong with the stack file, in one go, its targets included.
use clap::Args;
use serde::Serialize;

use super::build::kind;
use super::session::GatewayFlags;
use super::{Global, backends, several, stack_file};
use crate::artifact::ArtifactKind;
use crate::build::{self, Options, Project};
use crate::context::Context;
use crate::error::{Code, Fault, Kind, Result};
use crate::function::Function;
use crate::output::Format;
use crate::problem::{self, Problem, Severity};
use crate::stack::{ProviderKind, Stack};
use crate::template::Catalogue;

/// Check the stack file and all its targets
///
/// Every problem is shown with its line; the exit code is 2 when one of them is an error. With `--strict`, unknown keys
/// are errors.
#[derive(Args)]
#[command(after_help = "Example:\n  faas validate -f stack.yml --strict")]
pub struct Validate {}

#[derive(Serialize)]
struct Verdict {
    file: String,
    valid: bool,
    functions: Vec<String>,
    targets: Vec<String>,
    problems: Vec<Problem>,
}

impl Validate {
    /// Prints every problem, then the verdict.
    ///
    /// # Errors
    /// There is no stack file, or it is not valid.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let document = stack_file::read(context, global)?.ok_or_else(stack_file::missing)?;
        let target = several::one(global)?;
        let mut verdict = Verdict {
            file: document.origin.name.clone(),
            valid: true,
            functions: Vec::new(),
            targets: Vec::new(),
            problems: Vec::new(),
        };
        let mut fault = None;
        match stack_file::parse(context, global, &document, target.as_deref()) {
            Ok(stack) => {
                verdict.functions = stack.functions.iter().map(|f| f.name.clone()).collect();
                verdict.targets.clone_from(&stack.targets);
                verdict.problems.clone_from(&stack.warnings);
                verdict.problems.extend(refused(&stack, context));
                if document.is_file {
                    verdict.problems.extend(unbuildable(&stack, context));
                }
            }
            Err(found) => fault = Some(found),
        }
        // What is wrong with an overlay shows only where it is laid.
        if target.as_deref().is_none_or(str::is_empty) {
            for target in &verdict.targets {
                let found = match stack_file::parse(context, global, &document, Some(target)) {
                    Ok(stack) => stack.warnings.iter().cloned().chain(refused(&stack, context)).collect(),
                    Err(found) => found.problems,
                };
                let known = |p: &Problem| verdict.problems.iter().any(|k| k.place == p.place && k.message == p.message);
                let new: Vec<Problem> = found.into_iter().filter(|p| !known(p)).collect();
                verdict.problems.extend(new);
            }
        }
        if let Some(found) = &mut fault {
            verdict.problems.append(&mut found.problems);
        }
        let errors = verdict.problems.iter().filter(|p| p.is_error()).count();
        if fault.is_none() && errors > 0 {
            let plural = if errors == 1 { "" } else { "s" };
            let said = format!("{} is not valid: {errors} error{plural}", verdict.file);
            fault = Some(Fault::usage(said).code(problem::class(&verdict.problems)));
        }
        verdict.valid = fault.is_none();
        if context.out.format == Format::Json {
            context.out.result(&verdict, String::new)?;
        } else {
            for problem in &verdict.problems {
                context.out.problem(problem);
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None if context.out.format == Format::Json => Ok(()),
            None => context.out.raw(summary(&verdict).as_bytes()),
        }
    }
}

fn summary(verdict: &Verdict) -> String {
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut parts = vec![plural(verdict.functions.len(), "function")];
    if !verdict.targets.is_empty() {
        parts.push(plural(verdict.targets.len(), "target"));
    }
    parts.push("valid".into());
    if !verdict.problems.is_empty() {
        parts.push(plural(verdict.problems.len(), "warning"));
    }
    format!("{}: {}\n", verdict.file, parts.join(", "))
}

/// What the platform would refuse, or take otherwise than it is meant. It isn't asked.
fn refused(stack: &Stack, context: &Context) -> Vec<Problem> {
    let problems: Vec<Problem> =
        match backends::open(context, &GatewayFlags::default(), Some(stack), std::time::Duration::ZERO) {
            Ok(backend) => stack.functions.iter().flat_map(|function| backend.check(function)).collect(),
            // What is wrong with a gateway's address is told of the file already; what this build lacks is no fault of it.
            Err(fault) if stack.provider.kind == ProviderKind::Lambda && fault.kind == Kind::Usage => {
                let said = [Some(fault.message), fault.cause].into_iter().flatten().collect::<Vec<_>>().join(": ");
                vec![Problem { hint: fault.hint, ..Problem::error("provider.lambda", said) }]
            }
            Err(_) => Vec::new(),
        };
    placed(stack, problems.into_iter().map(|problem| problem.code(Code::PROVIDER_REFUSES)).collect())
}

fn placed(stack: &Stack, problems: Vec<Problem>) -> Vec<Problem> {
    let fields: Vec<String> = problems.iter().map(|problem| problem.field.clone()).collect();
    let places = stack.places(&fields.iter().map(String::as_str).collect::<Vec<_>>());
    problems.into_iter().zip(places).map(|(problem, place)| problem.at(place)).collect()
}

/// What would keep the functions from being built. What the stack file itself says where to fetch isn't missed.
fn unbuildable(stack: &Stack, context: &Context) -> Vec<Problem> {
    let catalogue = Catalogue::new(&stack.origin.root);
    let project = Project::new(context, &stack.origin.root, &stack.configuration.copy, &catalogue);
    let functions: Vec<&Function> = stack.functions.iter().collect();
    let wanted = |function: &Function| kind(stack.provider.kind, function);
    let found = build::check(&functions, wanted, &project, &Options::default());
    let mut problems: Vec<Problem> = Vec::with_capacity(found.len());
    for wrong in found {
        let mut problem = wrong.problem;
        if wrong.kind == Kind::NotFound && problem.field.ends_with(".lang") {
            let function = stack.function(&wrong.function);
            let lang = function.map(|f| f.lang.split('@').next().unwrap_or_default()).unwrap_or_default();
            if stack.configuration.templates.iter().any(|template| template.name == lang) {
                continue;
            }
            // An image can be deployed without the template that it was built from.
            if function.is_some_and(|f| wanted(f) == ArtifactKind::Image) {
                problem.severity = Severity::Warning;
            }
        }
        problems.push(problem);
    }
    placed(stack, problems)
}
