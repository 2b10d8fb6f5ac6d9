//! One command for several targets: `--target eu,us`, all at once, each by itself, and the sum of what failed.
use super::{Global, stack_file};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::stack::Stack;

/// The targets that `--target` names, each once.
#[must_use]
pub fn names(global: &Global) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in global.target.iter().flat_map(|names| names.split(',')).map(str::trim) {
        if !name.is_empty() && !names.iter().any(|have| have == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The stack of each target, all of them read before anything is done for one.
///
/// # Errors
/// What is wrong with any of them; no stack file.
pub fn stacks<'t>(context: &Context, global: &Global, targets: &'t [String]) -> Result<Vec<(&'t String, Stack)>> {
    targets
        .iter()
        .map(|target| {
            let global = Global { target: Some(target.clone()), ..global.clone() };
            Ok((target, stack_file::load(context, &global)?.ok_or_else(stack_file::missing)?))
        })
        .collect()
}

/// Works on all that are ready at once, a thread each; what became of them, in their order.
pub fn at_once<'t, S: Send, T: Send>(
    ready: Vec<(&'t String, Result<S>)>,
    work: impl Fn(&str, S) -> Result<T> + Sync,
) -> Vec<(&'t String, Result<T>)> {
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = ready
            .into_iter()
            .map(|(target, ready)| (target, scope.spawn(move || ready.and_then(|ready| work(target, ready)))))
            .collect();
        let ended = |(target, thread): (&'t String, std::thread::ScopedJoinHandle<'_, Result<T>>)| {
            let result =
                thread.join().unwrap_or_else(|_| Err(Fault::failed(format!("the work on {target} broke off"))));
            (target, result)
        };
        running.into_iter().map(ended).collect()
    })
}

/// Tells each fault, and sums them up: which targets failed, with the worst exit code.
///
/// # Errors
/// When any of them failed.
pub fn sum_up(context: &Context, faults: Vec<(String, Fault)>, of: usize) -> Result<()> {
    let Some(kind) = faults.iter().map(|(_, fault)| fault.kind).max_by_key(|kind| kind.exit_code()) else {
        return Ok(());
    };
    let mut problems = Vec::new();
    let mut names = Vec::new();
    for (target, fault) in faults {
        if context.out.is_table() {
            context.out.fault(&Fault { message: format!("{target}: {}", fault.message), ..fault });
        } else {
            problems.extend(fault.problems);
        }
        names.push(target);
    }
    let said = format!("{} of {of} targets failed: {}", names.len(), names.join(", "));
    Err(Fault::new(kind, said).problems(problems))
}
