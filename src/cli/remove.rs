//! `faas remove`: takes functions off the platform.
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use serde_json::json;

use super::session::{GatewayFlags, Session};
use super::{Global, ask, compat, several};
use crate::context::Context;
use crate::error::{Code, Fault, Kind, Result};
use crate::function::FunctionId;
use crate::output::Dialect;
use crate::plan::{self, Outcome};

/// How many are removed at once.
const AT_ONCE: usize = 8;

/// Remove functions: those named, or all of the stack file
///
/// On a terminal, all of a stack is only removed once somebody said so; --yes says it beforehand. Of a stack, what is not
/// there is told and is no failure, unless none of it is there; a function that is named has to be there.
#[derive(Args)]
#[command(visible_aliases = ["rm", "delete"])]
#[command(
    after_help = "Examples:\n  faas remove tax\n  faas remove tax post-message\n  faas remove -f stack.yml --filter 'tax*'\n  faas remove --target eu,us"
)]
pub struct Remove {
    /// The functions; without any, those of the stack file
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Leave their logs where they are, on platforms that keep them elsewhere
    #[arg(long)]
    keep_logs: bool,
    /// Lambda: remove also functions that something else deployed; their logs and roles stay
    #[arg(long, conflicts_with = "keep_logs")]
    adopt: bool,
    #[command(flatten)]
    gateway: GatewayFlags,
}

impl Remove {
    /// Removes them; all are tried.
    ///
    /// # Errors
    /// What failed, function by function; the code is the worst.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let targets = several::names(global);
        if targets.len() > 1 {
            return self.targets(context, global, &targets);
        }
        let open = if self.names.is_empty() { Session::open } else { Session::beside };
        let session = open(context, global, &self.gateway)?;
        let (ids, outcomes) = self.removed(context, &session, None)?;
        let removed = names(&outcomes);
        let gone: Vec<&FunctionId> =
            ids.iter().filter(|id| outcomes.iter().any(|o| o.name == id.name && o.error.is_none())).collect();
        context.out.answer(
            &json!({ "removed": removed }),
            || removed.iter().map(|name| format!("Removed {name}.\n")).collect(),
            |_| compat::functions::removed(&gone),
        )?;
        plan::sum_up("can't remove", &outcomes)
    }

    /// Of all targets at once.
    fn targets(&self, context: &Context, global: &Global, targets: &[String]) -> Result<()> {
        let stacks = several::stacks(context, global, targets)?;
        let open = |stack| Session::with(context, &self.gateway, Some(stack), Duration::ZERO);
        let ready = stacks.into_iter().map(|(target, stack)| (target, open(stack))).collect();
        let (mut told, mut faults) = (Vec::new(), Vec::new());
        for (target, result) in several::at_once(ready, |target, session| self.removed(context, &session, Some(target)))
        {
            let verdict = match result {
                Ok((_, outcomes)) => {
                    let removed = names(&outcomes);
                    if context.out.is_table() {
                        let lines: String = removed.iter().map(|name| format!("Removed {target}/{name}.\n")).collect();
                        context.out.raw(lines.as_bytes())?;
                    }
                    told.push(json!({ "target": target, "removed": removed }));
                    plan::sum_up("can't remove", &outcomes)
                }
                Err(fault) => {
                    told.push(json!({ "target": target, "error": &fault }));
                    Err(fault)
                }
            };
            faults.extend(verdict.err().map(|fault| (target.clone(), fault)));
        }
        if !context.out.is_table() {
            context.out.result(&told, String::new)?;
        }
        several::sum_up(context, faults, targets.len())
    }

    /// Which were to be removed, and what became of each.
    fn removed(
        &self,
        context: &Context,
        session: &Session,
        target: Option<&str>,
    ) -> Result<(Vec<FunctionId>, Vec<Outcome>)> {
        let mut ids: Vec<FunctionId> = if self.names.is_empty() {
            session.functions().iter().map(crate::function::Function::id).collect()
        } else {
            self.names.iter().map(|name| session.named(name)).collect::<Result<_>>()?
        };
        if ids.is_empty() {
            return Err(Fault::usage("no function is named").hint("name one, or give a stack file with -f"));
        }
        if self.names.is_empty() {
            let others = crate::runtime::block_on(of_others(session, &ids))?;
            for (id, owner) in &others {
                let name = &id.name;
                context.out.warn(format_args!(
                    "{name} bears the mark of stack {owner} and was left: `faas remove {name}` removes it all the same"
                ));
            }
            ids.retain(|id| !others.iter().any(|(other, _)| other == id));
            let asks = context.out.may_ask() && context.out.dialect == Dialect::Faas && !ids.is_empty();
            if asks && !ask::may(question(&ids, target))? {
                context.out.note("Nothing was removed.");
                return Ok((ids, Vec::new()));
            }
        }
        let one = async |id: &FunctionId| {
            let removed = match self.keep_logs {
                true => session.backend.remove_but_log(id).await,
                false => session.backend.remove(id).await,
            };
            let foreign = matches!(&removed, Err(fault) if fault.code == Code::FOREIGN);
            let removed = if foreign && self.adopt { session.backend.remove_foreign(id).await } else { removed };
            match removed {
                Ok(()) => Outcome { error: None, ..Outcome::failed(&id.name, Fault::failed("")) },
                Err(fault) => Outcome::failed(&id.name, fault),
            }
        };
        let all = async { Ok(futures_util::stream::iter(&ids).map(one).buffered(AT_ONCE).collect().await) };
        let mut outcomes: Vec<Outcome> = crate::runtime::block_on(all)?;
        let missing = |outcome: &Outcome| outcome.error.as_ref().is_some_and(|fault| fault.kind == Kind::NotFound);
        let any_there = outcomes.iter().any(|outcome| outcome.error.is_none());
        if self.names.is_empty() && any_there && context.out.dialect == Dialect::Faas {
            for outcome in outcomes.extract_if(.., |outcome| missing(outcome)) {
                let name = target.map_or_else(|| outcome.name.clone(), |target| format!("{target}/{}", outcome.name));
                context.out.note(format_args!("{name} was not there."));
            }
        }
        Ok((ids, outcomes))
    }
}

/// How many functions a question names.
const NAMED: usize = 10;

fn question(ids: &[FunctionId], target: Option<&str>) -> String {
    let names: Vec<String> = ids.iter().take(NAMED).map(ToString::to_string).collect();
    let more = ids.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let of = target.map(|target| format!(" of target {target}")).unwrap_or_default();
    format!("Remove {}{more}{of}?", names.join(", "))
}

/// Those of the stack's functions that bear the mark of another stack, where this one has a name of its own and not
/// that of its folder; and of which.
async fn of_others(session: &Session, ids: &[FunctionId]) -> Result<Vec<(FunctionId, String)>> {
    let Some(stack) = session.stack.as_ref().filter(|stack| stack.named) else { return Ok(Vec::new()) };
    let there = plan::there::observe(ids.iter().cloned(), session.backend.as_ref(), true).await?;
    let owner = |id: &FunctionId| plan::other_owner(there.get(id), Some(&stack.name)).map(str::to_owned);
    Ok(ids.iter().filter_map(|id| Some((id.clone(), owner(id)?))).collect())
}

fn names(outcomes: &[Outcome]) -> Vec<&str> {
    outcomes.iter().filter(|o| o.error.is_none()).map(|o| o.name.as_str()).collect()
}
