//! All changes are shown to the platform before the first is made: one that is refused keeps all from being made.
use futures_util::StreamExt;

use crate::backend::{Backend, Change};
use crate::error::{Fault, Result};
use crate::problem::Problem;
use crate::progress::Progress;

/// How many are shown at once.
const AT_ONCE: usize = 16;
/// What every refusal says.
const UNCHANGED: &str = "nothing was changed";

/// Shows `changes` to the platform.
///
/// # Errors
/// Everything that it refuses, of all functions.
pub async fn all(changes: &[&Change], backend: &dyn Backend, progress: &dyn Progress) -> Result<()> {
    let shown = futures_util::stream::iter(changes)
        .map(|change| async { (change.function.name.as_str(), backend.rehearse(change, progress).await) });
    let shown: Vec<_> = shown.buffered(AT_ONCE).collect().await;
    let refused: Vec<_> = shown.into_iter().filter_map(|(name, result)| Some((name, result.err()?))).collect();
    match sum(refused) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// One fault of all; by itself where there is one, or the same of each.
fn sum(mut refused: Vec<(&str, Fault)>) -> Option<Fault> {
    let (_, first) = refused.first()?;
    let same = |fault: &Fault| fault.problems.is_empty() && fault.cause.is_some() && fault.cause == first.cause;
    if refused.len() == 1 || refused.iter().all(|(_, fault)| same(fault)) {
        let (_, fault) = refused.swap_remove(0);
        let hint = match &fault.hint {
            Some(hint) => format!("{hint}; {UNCHANGED}"),
            None => UNCHANGED.into(),
        };
        return Some(fault.hint(hint));
    }
    let worst = refused.iter().map(|(_, fault)| fault).max_by_key(|fault| fault.kind.exit_code())?;
    let said = format!("the platform refuses {} functions, {UNCHANGED}", refused.len());
    let sum = Fault::new(worst.kind, said).code(worst.code);
    let problems = refused.into_iter().flat_map(|(name, fault)| problems(name, fault)).collect();
    Some(sum.problems(problems))
}

/// What is wrong with one, each with what to do.
fn problems(name: &str, fault: Fault) -> Vec<Problem> {
    let Fault { cause, hint, message, mut problems, .. } = fault;
    if problems.is_empty() {
        let said = cause.map_or_else(|| message.clone(), |cause| format!("{message}: {cause}"));
        problems.push(Problem::error(format!("functions.{name}"), said));
    }
    if let (Some(last), Some(hint)) = (problems.last_mut().filter(|last| last.hint.is_none()), hint) {
        last.hint = Some(hint);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_of_several_is_told_of_each() {
        let one = |cause: &str| Fault::failed("can't deploy a").cause(cause).hint("mend it");
        let told = sum(vec![("a", one("no"))]).unwrap();
        assert_eq!(told.hint.as_deref(), Some("mend it; nothing was changed"));
        let told = sum(vec![("a", one("no")), ("b", one("no"))]).unwrap();
        assert_eq!((told.message.as_str(), told.problems.len()), ("can't deploy a", 0));
        let at = one("never").problems(vec![Problem::error("functions.b.limits", "too much")]);
        let told = sum(vec![("a", one("no")), ("b", at)]).unwrap();
        assert_eq!(told.message, "the platform refuses 2 functions, nothing was changed");
        let fields: Vec<_> = told.problems.iter().map(|p| (p.field.as_str(), p.hint.as_deref())).collect();
        assert_eq!(fields, [("functions.a", Some("mend it")), ("functions.b.limits", Some("mend it"))]);
        assert!(sum(Vec::new()).is_none());
    }
}
