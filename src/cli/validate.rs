//! `faas validate`: everything wrong with the stack file, in one go, its targets included.
use std::collections::HashSet;

use clap::Args;
use serde::Serialize;

use super::{Global, stack_file};
use crate::context::Context;
use crate::error::{Fault, Kind, Result};
use crate::output::Format;
use crate::problem::Problem;
use crate::stack::{self, Stack};
use crate::template::Catalogue;

/// Missing folders told at most.
const MOST: usize = 20;

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
        let mut verdict = Verdict {
            file: document.origin.name.clone(),
            valid: true,
            functions: Vec::new(),
            targets: Vec::new(),
            problems: Vec::new(),
        };
        let mut fault = None;
        match stack_file::parse(context, global, &document, global.target.as_deref()) {
            Ok(stack) => {
                verdict.functions = stack.functions.iter().map(|f| f.name.clone()).collect();
                verdict.targets.clone_from(&stack.targets);
                verdict.problems.clone_from(&stack.warnings);
                if document.is_file {
                    verdict.problems.extend(unknown_languages(&stack));
                    verdict.problems.extend(missing_handlers(&stack));
                }
            }
            Err(found) => fault = Some(found),
        }
        // What is wrong with an overlay shows only where it is laid.
        if global.target.as_deref().is_none_or(str::is_empty) {
            for target in &verdict.targets {
                let found = match stack_file::parse(context, global, &document, Some(target)) {
                    Ok(stack) => stack.warnings,
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
            fault = Some(Fault::usage(format!("{} is not valid: {errors} error{plural}", verdict.file)));
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

/// Languages of functions to be built that have no template, or one that can't be read. What the stack file itself says
/// where to fetch isn't missed.
fn unknown_languages(stack: &Stack) -> Vec<Problem> {
    let catalogue = Catalogue::new(&stack.origin.root);
    let fetched: HashSet<&str> = stack.configuration.templates.iter().map(|t| t.name.as_str()).collect();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for function in stack.functions.iter().filter(|f| !f.build.skip && !f.lang.is_empty()) {
        let lang = function.lang.as_str();
        let name = lang.split('@').next().unwrap_or(lang);
        if fetched.contains(name) || !seen.insert(lang) || found.len() >= MOST {
            continue;
        }
        let Err(fault) =
            catalogue.get(lang).or_else(|fault| if name == lang { Err(fault) } else { catalogue.get(name) })
        else {
            continue;
        };
        let field = format!("functions.{}.lang", function.name);
        // It may be fetched later on: what is deployed only needs no template.
        let mut problem = if fault.kind == Kind::NotFound {
            Problem::warning(&field, &fault.message)
        } else {
            Problem::error(&field, fault.to_string())
        };
        let names: Vec<String> = catalogue.list().into_iter().map(|t| t.name).collect();
        let near = stack::nearest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        problem.hint = near.filter(|_| fault.kind == Kind::NotFound).or(fault.hint);
        found.push(problem.at(stack.place(&field)));
    }
    found
}

/// Functions to be built whose handler's folder isn't there.
fn missing_handlers(stack: &Stack) -> Vec<Problem> {
    let lacks = stack.functions.iter().filter(|f| {
        let handler = &f.build.handler;
        !f.build.skip && !handler.as_os_str().is_empty() && !handler.is_dir()
    });
    let lacks: Vec<_> = lacks.take(MOST).collect();
    let fields: Vec<String> = lacks.iter().map(|f| format!("functions.{}.handler", f.name)).collect();
    let places = stack.places(&fields.iter().map(String::as_str).collect::<Vec<_>>());
    let tell = |((function, field), place): ((&&crate::function::Function, &String), _)| {
        let handler = &function.build.handler;
        let shown = handler.strip_prefix(&stack.origin.root).unwrap_or(handler);
        let what = if handler.exists() { "is no folder" } else { "isn't there" };
        Problem::error(field.as_str(), format!("the handler `{}` of `{}` {what}", shown.display(), function.name))
            .hint("paths are relative to the stack file's folder")
            .at(place)
    };
    lacks.iter().zip(&fields).zip(places).map(tell).collect()
}
