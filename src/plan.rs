//! What is there against what should be: what to create, update or leave, and why.
use std::fmt::Write;

use serde::Serialize;

use crate::artifact::Artifact;
use crate::backend::{ARTIFACT_KEY, Deployed, Difference, SPEC_KEY, STACK_KEY};
use crate::error::{Fault, Kind, Result};
use crate::function::Function;
use crate::history;

mod artifact;
mod changed;
pub mod check;
mod drift;
pub mod hide;
pub mod prune;
mod rehearsal;
pub mod run;
pub mod there;

/// What is to be done for one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is not there yet.
    Created,
    /// It is there and differs.
    Updated,
    /// It is there as it should be.
    Unchanged,
    /// The stack deployed it, and names it no longer.
    Pruned,
}

/// What is to be done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What is to be done.
    pub action: Action,
    /// Why, for people: `not deployed yet`, `the code changed`, `changed on the platform: image`…
    pub reason: String,
}

/// What became of one function.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The function's name.
    pub name: String,
    /// What was done; `None` when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Why that was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would change on the platform, field by field, where it was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Difference>,
    /// Where it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The HTTP status that the platform took it with.
    #[serde(skip)]
    pub status: Option<u16>,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl Outcome {
    /// A function that failed.
    #[must_use]
    pub fn failed(name: &str, error: Fault) -> Self {
        Self {
            name: name.into(),
            action: None,
            reason: None,
            changes: Vec::new(),
            url: None,
            status: None,
            artifact: None,
            error: Some(error),
        }
    }
}

/// So many of each, in words: `1 created, 2 unchanged`; nothing of none.
#[must_use]
pub fn counted(outcomes: &[Outcome], words: &[(Action, &str)]) -> String {
    let mut told: Vec<String> = words
        .iter()
        .map(|(action, word)| (outcomes.iter().filter(|o| o.action == Some(*action)).count(), word))
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    let failed = outcomes.iter().filter(|o| o.error.is_some()).count();
    told.extend((failed > 0).then(|| format!("{failed} failed")));
    told.join(", ")
}

/// The hash of everything about a function that a platform is told, apart from the artifact. Where it is built from
/// does not count, and neither do the annotations that `faas` itself sets.
#[must_use]
pub fn spec_hash(function: &Function) -> String {
    let mut neutral = function.clone();
    neutral.build = crate::function::Build::default();
    neutral.annotations.retain(|key, _| ![SPEC_KEY, ARTIFACT_KEY, STACK_KEY].contains(&key.as_str()));
    let text = serde_json::to_vec(&neutral).unwrap_or_default();
    blake3::hash(&text).to_hex()[..32].to_owned()
}

/// What is to be done for `function`, given what the platform has, and the name that its stack gives itself.
#[must_use]
pub fn decide(function: &Function, artifact: &Artifact, observed: Option<&Deployed>, stack: Option<&str>) -> Decision {
    let decision = by_marks(function, artifact, observed);
    let owner = other_owner(observed, stack);
    match (owner, decision.action) {
        (None, _) => decision,
        (_, Action::Unchanged) => Decision { action: Action::Updated, reason: said("", owner) },
        _ => Decision { reason: said(&decision.reason, owner), ..decision },
    }
}

/// The stack whose mark a function bears, where that is another than the one of the name `stack`.
#[must_use]
pub fn other_owner<'a>(observed: Option<&'a Deployed>, stack: Option<&str>) -> Option<&'a str> {
    let owner = observed?.annotations.get(STACK_KEY)?.as_str();
    (!owner.is_empty() && owner != stack?).then_some(owner)
}

/// A reason, with the stack that the function is taken from.
fn said(reason: &str, owner: Option<&str>) -> String {
    match owner {
        None => reason.into(),
        Some(owner) if reason.is_empty() => format!("it bears the mark of stack {owner}"),
        Some(owner) => format!("{reason}, and it bears the mark of stack {owner}"),
    }
}

fn by_marks(function: &Function, artifact: &Artifact, observed: Option<&Deployed>) -> Decision {
    let decision = |action, reason: &str| Decision { action, reason: reason.into() };
    let Some(observed) = observed else {
        return decision(Action::Created, "not deployed yet");
    };
    let mark = |key: &str| observed.annotations.get(key).map(String::as_str);
    let Some(spec) = mark(SPEC_KEY) else {
        return decision(Action::Updated, "deployed by something else");
    };
    if spec.is_empty() {
        // A platform that knows that what was asked for last never came about says so by an empty mark.
        return decision(Action::Updated, "the last deployment did not come to its end");
    }
    if !history::same_spec(spec, &spec_hash(function)) {
        return decision(Action::Updated, "its configuration changed");
    }
    if let Artifact::Image { digest: None, .. } = artifact {
        return decision(
            Action::Updated,
            "no digest says whether the image behind the tag changed: `--digest` pins it",
        );
    }
    if mark(ARTIFACT_KEY) != Some(artifact.identity()) {
        return decision(Action::Updated, "the code changed");
    }
    // Marks are set before the function answers: one that never came up is not as it should be.
    if observed.replicas > 0 && observed.available == Some(0) {
        return decision(Action::Updated, "none of its replicas answers, or stays up");
    }
    let drifted = drift::fields(function, artifact, observed);
    if drifted.is_empty() {
        decision(Action::Unchanged, "nothing changed")
    } else {
        decision(Action::Updated, &format!("changed on the platform: {}", drifted.join(", ")))
    }
}

/// The error that sums up a run over many functions: every failure named, the worst exit code; `Ok` without failures.
///
/// # Errors
/// When any of them failed.
pub fn sum_up(what: &str, outcomes: &[Outcome]) -> Result<()> {
    sum_up_of(what, "functions", outcomes)
}

/// The same of other things than functions, by what many of them are called.
///
/// # Errors
/// When any of them failed.
pub fn sum_up_of(what: &str, things: &str, outcomes: &[Outcome]) -> Result<()> {
    let failures: Vec<(&str, &Fault)> =
        outcomes.iter().filter_map(|o| o.error.as_ref().map(|e| (o.name.as_str(), e))).collect();
    match failures.as_slice() {
        [] => Ok(()),
        [(name, fault)] => {
            let mut fault = (*fault).clone();
            let message = fault.message.strip_prefix(&format!("{name}: ")).unwrap_or(&fault.message);
            let told = fault.message.starts_with(&format!("{what} {name}"));
            fault.message = if told { message.to_owned() } else { format!("{what} {name}: {message}") };
            Err(fault)
        }
        many => {
            let kind = many.iter().map(|(_, f)| f.kind).max_by_key(|k| k.exit_code()).unwrap_or(Kind::Failed);
            let mut text = format!("{what}: {} of {} {things} failed", many.len(), outcomes.len());
            for (name, fault) in many {
                let _ = write!(text, "\n  {name}: {}", fault.without(name));
                if let Some(hint) = &fault.hint {
                    let _ = write!(text, " ({hint})");
                }
            }
            let problems = many.iter().flat_map(|(_, f)| f.problems.clone()).collect();
            Err(Fault::new(kind, text).problems(problems))
        }
    }
}

/// The same where each failure was told already: which functions failed and what to do, in few words.
///
/// # Errors
/// When any of them failed.
pub fn sum_up_told(what: &str, outcomes: &[Outcome]) -> Result<()> {
    let failures: Vec<(&str, &Fault)> =
        outcomes.iter().filter_map(|o| o.error.as_ref().map(|e| (o.name.as_str(), e))).collect();
    if outcomes.len() < 2 || failures.is_empty() {
        return sum_up(what, outcomes);
    }
    let kind = failures.iter().map(|(_, f)| f.kind).max_by_key(|k| k.exit_code()).unwrap_or(Kind::Failed);
    let names: Vec<&str> = failures.iter().map(|(name, _)| *name).collect();
    let mut fault = Fault::new(kind, format!("{what} {} of {}: {}", names.len(), outcomes.len(), names.join(", ")));
    let mut hints: Vec<String> = Vec::new();
    for (name, hint) in failures.iter().filter_map(|(name, f)| Some((name, f.hint.as_ref()?))) {
        let told = if names.len() > 1 { format!("{name}: {hint}") } else { hint.clone() };
        hints.push(told);
    }
    fault.hint = (!hints.is_empty()).then(|| hints.join("\n      "));
    Err(fault.problems(failures.iter().flat_map(|(_, f)| f.problems.clone()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tax() -> Function {
        Function { name: "tax".into(), lang: "python3".into(), ..Function::default() }
    }

    fn image(digest: &str) -> Artifact {
        Artifact::Image { reference: "r/tax:1".into(), digest: Some(digest.into()) }
    }

    fn deployed(function: &Function, artifact: &Artifact) -> Deployed {
        let mut deployed = Deployed { name: function.name.clone(), image: "r/tax:1".into(), ..Deployed::default() };
        deployed.annotations.insert(SPEC_KEY.into(), spec_hash(function));
        deployed.annotations.insert(ARTIFACT_KEY.into(), artifact.identity().into());
        deployed
    }

    #[test]
    fn what_is_not_there_is_created() {
        assert_eq!(decide(&tax(), &image("a"), None, None).action, Action::Created);
    }

    #[test]
    fn what_is_as_it_should_be_is_left() {
        let there = deployed(&tax(), &image("a"));
        assert_eq!(decide(&tax(), &image("a"), Some(&there), None).action, Action::Unchanged);
    }

    #[test]
    fn where_it_is_built_does_not_count() {
        let there = deployed(&tax(), &image("a"));
        let mut moved = tax();
        moved.build.handler = "/elsewhere".into();
        assert_eq!(decide(&moved, &image("a"), Some(&there), None).action, Action::Unchanged);
    }

    #[test]
    fn code_configuration_and_drift_are_told_apart() {
        let there = deployed(&tax(), &image("a"));
        assert_eq!(decide(&tax(), &image("b"), Some(&there), None).reason, "the code changed");

        let mut changed = tax();
        changed.environment.insert("A".into(), "1".into());
        assert_eq!(decide(&changed, &image("a"), Some(&there), None).reason, "its configuration changed");

        let mut touched = there.clone();
        touched.image = "r/other:1".into();
        assert_eq!(decide(&tax(), &image("a"), Some(&touched), None).reason, "changed on the platform: image");

        let mut foreign = there;
        foreign.annotations.clear();
        assert_eq!(decide(&tax(), &image("a"), Some(&foreign), None).reason, "deployed by something else");
    }

    #[test]
    fn what_does_not_answer_is_deployed_again_and_what_sleeps_is_not() {
        let there = deployed(&tax(), &image("a"));
        let dead = Deployed { replicas: 1, available: Some(0), ..there.clone() };
        assert_eq!(decide(&tax(), &image("a"), Some(&dead), None).reason, "none of its replicas answers, or stays up");
        let asleep = Deployed { replicas: 0, available: Some(0), ..there };
        assert_eq!(decide(&tax(), &image("a"), Some(&asleep), None).action, Action::Unchanged);
    }

    #[test]
    fn another_name_of_the_stack_is_a_difference_and_another_folder_is_not() {
        let mut there = deployed(&tax(), &image("a"));
        there.annotations.insert(STACK_KEY.into(), "shop".into());
        let decided = |stack| decide(&tax(), &image("a"), Some(&there), stack);
        assert_eq!(decided(Some("till")).reason, "it bears the mark of stack shop");
        assert_eq!(decided(Some("shop")).action, Action::Unchanged);
        assert_eq!(decided(None).action, Action::Unchanged);
        // Whatever else differs, whose it was is told.
        let other = decide(&tax(), &image("b"), Some(&there), Some("till"));
        assert_eq!(other.reason, "the code changed, and it bears the mark of stack shop");
    }

    #[test]
    fn a_deployment_that_was_cut_off_is_taken_up_again() {
        let mut there = deployed(&tax(), &image("a"));
        there.annotations.insert(SPEC_KEY.into(), String::new());
        assert_eq!(
            decide(&tax(), &image("a"), Some(&there), None).reason,
            "the last deployment did not come to its end"
        );
    }

    #[test]
    fn a_tag_without_digest_is_always_deployed() {
        let artifact = Artifact::Image { reference: "r/tax:1".into(), digest: None };
        let there = deployed(&tax(), &artifact);
        assert_eq!(decide(&tax(), &artifact, Some(&there), None).action, Action::Updated);
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let fine = Outcome { error: None, ..Outcome::failed("c", Fault::failed("")) };
        let outcomes = [
            Outcome::failed("a", Fault::failed("a: no").cause("a long traceback").hint("look")),
            Outcome::failed("b", Fault::timed_out("slow")),
            fine,
        ];
        let fault = sum_up_told("can't bring up", &outcomes).unwrap_err();
        assert_eq!(fault.to_string(), "can't bring up 2 of 3: a, b");
        assert_eq!((fault.kind, fault.hint.as_deref()), (Kind::TimedOut, Some("a: look")));
        let alone = sum_up_told("can't bring up", &outcomes[..1]).unwrap_err();
        assert_eq!(alone.to_string(), "can't bring up a: no: a long traceback");
    }

    #[test]
    fn the_worst_exit_code_wins() {
        let outcomes =
            [Outcome::failed("a", Fault::failed("no")), Outcome::failed("b", Fault::timed_out("slow").hint("wait"))];
        let fault = sum_up("deploy", &outcomes).unwrap_err();
        assert_eq!(fault.kind, Kind::TimedOut);
        assert_eq!(fault.message, "deploy: 2 of 2 functions failed\n  a: no\n  b: slow (wait)");
    }
}
