//! One command for several targets: `--target eu,us`, all at once, each by itself, and the sum of what failed.
use std::collections::HashMap;

use super::deploy::DeployFlags;
use super::session::{GatewayFlags, Place, Session};
use super::{Global, stack_file};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::{Function, FunctionId};
use crate::plan::check;
use crate::stack::{ProviderKind, Stack};

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

/// The one target that `--target` names, for commands that take one.
///
/// # Errors
/// It names several.
pub fn one(global: &Global) -> Result<Option<String>> {
    let mut names = names(global);
    if names.len() > 1 {
        return Err(Fault::usage(format!("this takes one target at a time, not {}", names.join(", ")))
            .hint("name one; `up`, `deploy`, `plan` and `remove` take several"));
    }
    Ok(names.pop())
}

/// Refuses targets that lead to one function at one address, each with settings of its own for it.
///
/// # Errors
/// The first such function, and its targets.
pub fn apart(context: &Context, flags: &GatewayFlags, ready: &[(&String, Result<Session>)]) -> Result<()> {
    let mut seen: HashMap<(String, FunctionId), (&str, String, Function)> = HashMap::new();
    for (target, session) in ready {
        let Ok(Session { stack: Some(stack), .. }) = session else { continue };
        let address = address(context, flags, stack);
        for function in session.iter().flat_map(Session::functions) {
            let id = FunctionId { namespace: function.namespace.clone().filter(|n| n != USUAL), ..function.id() };
            let Some((other, name, as_other)) = seen.get(&(address.clone(), id.clone())) else {
                seen.insert((address.clone(), id), (target, stack.name.clone(), function));
                continue;
            };
            if *name != stack.name || *as_other != function {
                return Err(Fault::usage(format!(
                    "the targets {other} and {target} lead to the same function {id}, with different settings: nothing \
                     was changed"
                ))
                .hint("give one of them another `namespace:` or address, or name one target at a time"));
            }
        }
    }
    Ok(())
}

/// The namespace that gateways have for functions that name none.
pub const USUAL: &str = "openfaas-fn";

/// Where a stack leads, as far as it can be told without asking there.
fn address(context: &Context, flags: &GatewayFlags, stack: &Stack) -> String {
    let place = Place::find(context, flags, Some(stack));
    let of = |settings: &serde_json::Value, keys: [&str; 3]| {
        keys.map(|key| settings.get(key).map(ToString::to_string).unwrap_or_default()).join(" ")
    };
    match place.kind {
        ProviderKind::Knative => of(&stack.provider.knative, ["kubeconfig", "context", "namespace"]),
        ProviderKind::Lambda => of(&stack.provider.lambda, ["endpoint", "region", "profile"]),
        _ => place.gateway,
    }
}

/// Whether each platform takes its functions, before anything is done for one of them.
///
/// # Errors
/// What the first platform that doesn't says.
pub fn accepted(flags: &DeployFlags, ready: &[(&String, Result<Session>)]) -> Result<()> {
    for (target, session) in ready {
        let Ok(session) = session else { continue };
        let mut functions = session.functions();
        functions.iter_mut().for_each(|function| flags.apply(function));
        let place = |field: &str| session.stack.as_ref().and_then(|stack| stack.place(field));
        check::check(&functions, session.backend.as_ref(), None, place)
            .map_err(|fault| Fault { message: format!("{target}: {}", fault.message), ..fault })?;
    }
    Ok(())
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
