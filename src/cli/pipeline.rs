//! What `up` and `deploy` share: from a stack and flags to the result that is printed.
use std::fmt::Write;
use std::path::PathBuf;

use super::deploy::DeployFlags;
use super::session::{GatewayFlags, Session};
use crate::build::{Options, Project};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::output::{progress, table};
use crate::plan::{self, Action, Outcome, run};
use crate::stack::Stack;
use crate::template::Catalogue;

/// How far to go, and how.
pub struct Pipeline {
    /// Which platform.
    pub gateway: GatewayFlags,
    /// What the flags lay over the stack.
    pub deploy: DeployFlags,
    /// How to build.
    pub options: Options,
    /// How many functions at once.
    pub parallel: usize,
    /// Build images.
    pub build: bool,
    /// Push images.
    pub push: bool,
    /// Deploy.
    pub deploys: bool,
    /// Change nothing, and say what would be changed.
    pub dry: bool,
}

impl Pipeline {
    /// Takes the functions of a stack as far as the flags say; what became, or would become, of each.
    ///
    /// # Errors
    /// Everything wrong with the functions on this platform; every function that failed.
    pub fn run(self, context: &Context, stack: Stack) -> Result<Vec<Outcome>> {
        let starts = self.deploys && !self.dry;
        let session = Session::for_deploy(context, &self.gateway, Some(stack), self.deploy.wait(), starts)?;
        let functions = session.functions();
        self.functions(context, &session, functions)
    }

    /// The same for one function that no stack file names.
    ///
    /// # Errors
    /// The same.
    pub fn run_alone(self, context: &Context, function: Function) -> Result<Vec<Outcome>> {
        let starts = self.deploys && !self.dry;
        let session = Session::for_deploy(context, &self.gateway, None, self.deploy.wait(), starts)?;
        let namespace = session.id(&function.name).namespace;
        self.functions(context, &session, vec![Function { namespace, ..function }])
    }

    fn functions(self, context: &Context, session: &Session, mut functions: Vec<Function>) -> Result<Vec<Outcome>> {
        for function in &mut functions {
            self.deploy.apply(function);
        }
        if self.deploy.canary().is_some() || self.deploy.revision_tag().is_some() {
            let capabilities = session.backend.capabilities();
            capabilities.require("canary and rollback", capabilities.traffic)?;
        }
        let stack = session.stack.as_ref();
        let place = |field: &str| stack.and_then(|stack| stack.place(field));
        if functions.is_empty() {
            let name = stack.map_or("the stack", |stack| stack.origin.name.as_str());
            context.out.note(format_args!("there are no functions in {name}: nothing to do"));
        }
        let root: PathBuf = stack.map_or_else(|| context.cwd.clone(), |stack| stack.origin.root.clone());
        let copy = stack.map(|stack| stack.configuration.copy.clone()).unwrap_or_default();
        let catalogue = Catalogue::new(&root);
        let project = Project::new(context, &root, &copy, &catalogue);
        let progress = progress::for_output(&context.out);
        let options = Options { push: self.push, ..self.options };
        let steps = run::Steps {
            project: &project,
            options: &options,
            build_images: self.build,
            push: self.push,
            deploy: self.deploys,
            dry: self.dry,
            how: self.deploy.how(),
            force: self.deploy.force(),
            by_digest: self.deploy.by_digest(),
            canary: self.deploy.canary(),
            revision_tag: self.deploy.revision_tag(),
            several: functions.len() > 1,
            parallel: self.parallel,
            stack: stack.map_or("", |stack| stack.name.as_str()),
        };
        for warning in run::check(&functions, session.backend.as_ref(), Some(&steps), place)? {
            context.out.problem(&warning);
        }
        let work = run::run(&functions, session.backend.as_ref(), &steps, progress.as_ref());
        // What a platform refused is shown where it stands in the stack file, as `check` shows what it finds.
        let placed = |fault: &mut Fault| {
            for problem in fault.problems.iter_mut().filter(|problem| problem.place.is_none()) {
                problem.place = place(&problem.field);
            }
        };
        let mut outcomes = crate::runtime::block_on_parallel(work).map_err(|mut fault| {
            placed(&mut fault);
            fault
        })?;
        outcomes.iter_mut().filter_map(|outcome| outcome.error.as_mut()).for_each(placed);
        let (text, what): (fn(&[Outcome]) -> String, _) =
            if self.dry { (planned, "can't plan") } else { (shown, "can't bring up") };
        context.out.result(&outcomes, || text(&outcomes))?;
        // Programs read one place, people have read each failure when it came.
        if context.out.is_table() {
            plan::sum_up_told(what, &outcomes)?
        } else {
            plan::sum_up(what, &outcomes)?
        }
        Ok(outcomes)
    }
}

/// `NAME  ACTION  URL`; nothing where nothing was deployed, since progress has said it all.
fn shown(outcomes: &[Outcome]) -> String {
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .filter_map(|o| {
            let action = match &o.error {
                Some(_) => "failed".to_owned(),
                None => serde_json::to_value(o.action?).ok()?.as_str()?.to_owned(),
            };
            Some(vec![o.name.clone(), action, o.url.clone().unwrap_or_default()])
        })
        .collect();
    if outcomes.iter().all(|o| o.action.is_none()) {
        String::new()
    } else {
        table::columns(&["FUNCTION", "ACTION", "URL"], &rows)
    }
}

/// What would become of each function, and of which of its fields.
fn planned(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let Some(action) = outcome.action else { continue };
        let (sign, word) = match action {
            Action::Created => ('+', "create"),
            Action::Updated => ('~', "update"),
            Action::Unchanged => ('=', "leave"),
        };
        let _ = writeln!(text, "{sign} {word} {} ({})", outcome.name, outcome.reason.as_deref().unwrap_or_default());
        for change in &outcome.changes {
            // As JSON, so that nothing in a value reaches the terminal as it is.
            let value = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
            let path = change.path.escape_debug();
            let _ = match (value(&change.before), value(&change.after)) {
                (Some(before), Some(after)) => writeln!(text, "    ~ {path}: {before} -> {after}"),
                (None, Some(after)) => writeln!(text, "    + {path}: {after}"),
                (before, None) => writeln!(text, "    - {path}: {}", before.unwrap_or_default()),
            };
        }
    }
    text
}
