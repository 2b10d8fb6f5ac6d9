//! What `up` and `deploy` share: from a stack and flags to the result that is printed.
use std::fmt::Write;
use std::path::PathBuf;

use super::compat;
use super::deploy::DeployFlags;
use super::session::{GatewayFlags, Place, Session};
use super::template::missing::TemplateFlags;
use super::{Global, stack_file};
use crate::build::{Options, Project};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::output::{progress, table};
use crate::plan::{self, Action, Outcome, run};
use crate::stack::Stack;
use crate::template::Catalogue;

/// How far to go, and how.
#[derive(Clone)]
pub struct Pipeline {
    /// Which platform.
    pub gateway: GatewayFlags,
    /// What the flags lay over the stack.
    pub deploy: DeployFlags,
    /// How to build.
    pub options: Options,
    /// How many functions at once.
    pub parallel: usize,
    /// How many of them are built at once: builds take this machine, deployments mostly wait.
    pub builds: usize,
    /// Build images.
    pub build: bool,
    /// Push images.
    pub push: bool,
    /// Deploy.
    pub deploys: bool,
    /// Change nothing, and say what would be changed.
    pub dry: bool,
    /// Pull templates that are missing first.
    pub templates: Option<TemplateFlags>,
}

impl Pipeline {
    /// Takes the functions of the stack that the flags name as far as the flags say, for one target after another when
    /// `--target` names several; what became, or would become, of each.
    ///
    /// # Errors
    /// Everything wrong with the functions on this platform; every function that failed.
    pub fn run(self, context: &Context, global: &Global) -> Result<Vec<Outcome>> {
        if self.deploy.prune() && (global.filter.is_some() || global.regex.is_some()) {
            return Err(Fault::usage("--prune looks at the whole stack, and --filter and --regex at a part of it")
                .hint("leave one of them out"));
        }
        let targets: Vec<String> = global
            .target
            .iter()
            .flat_map(|names| names.split(','))
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        if targets.len() < 2 {
            return self.run_stack(context, stack_file::load(context, global)?.ok_or_else(stack_file::missing)?);
        }
        self.targets(context, global, &targets)
    }

    /// The same for a stack that is read already.
    ///
    /// # Errors
    /// The same.
    pub fn run_stack(self, context: &Context, stack: Stack) -> Result<Vec<Outcome>> {
        let how = self.deploy.how();
        let (outcomes, what) = self.of_stack(context, stack)?;
        let theirs = |_| compat::functions::deployed(&outcomes, how, false);
        context.out.answer(&outcomes, || (what.text)(&outcomes), theirs)?;
        what.sum_up(context, &outcomes)?;
        Ok(outcomes)
    }

    /// Each target by itself: one that fails keeps no other from being tried.
    fn targets(self, context: &Context, global: &Global, targets: &[String]) -> Result<Vec<Outcome>> {
        // What is wrong with one stack is told before anything is done for another.
        let mut stacks = Vec::new();
        for target in targets {
            let global = Global { target: Some(target.clone()), ..global.clone() };
            stacks.push((target, stack_file::load(context, &global)?.ok_or_else(stack_file::missing)?));
        }
        let (mut all, mut told, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (target, stack) in stacks {
            context.out.note(format_args!("target {target}:"));
            let result = self.clone().of_stack(context, stack).and_then(|(outcomes, what)| {
                if context.out.is_table() {
                    context.out.raw(format!("{target}:\n{}", (what.text)(&outcomes)).as_bytes())?;
                }
                told.push(serde_json::json!({ "target": target, "functions": &outcomes }));
                let verdict = what.sum_up(context, &outcomes);
                all.extend(outcomes);
                verdict
            });
            if let Err(fault) = result {
                if told.iter().all(|one| one["target"] != **target) {
                    told.push(serde_json::json!({ "target": target, "error": &fault }));
                }
                if context.out.is_table() {
                    context.out.fault(&fault);
                }
                faults.push((target, fault));
            }
        }
        if !context.out.is_table() {
            context.out.result(&told, String::new)?;
        }
        let kind = faults.iter().map(|(_, fault)| fault.kind).max_by_key(|kind| kind.exit_code());
        match kind {
            None => Ok(all),
            Some(kind) => {
                let names: Vec<&str> = faults.iter().map(|(target, _)| target.as_str()).collect();
                let mut fault = Fault::new(
                    kind,
                    format!("{} of {} targets failed: {}", names.len(), targets.len(), names.join(", ")),
                );
                fault.problems = faults.into_iter().flat_map(|(_, fault)| fault.problems).collect();
                Err(fault)
            }
        }
    }

    fn of_stack(self, context: &Context, stack: Stack) -> Result<(Vec<Outcome>, What)> {
        if let Some(templates) = &self.templates {
            templates.complete(&stack.functions, &stack.configuration, &stack.origin.root, context)?;
        }
        let starts = self.deploys && !self.dry;
        let wait = self.deploy.wait(stack.provider.kind);
        let session = Session::for_deploy(context, &self.gateway, Some(stack), wait, starts)?;
        let functions = session.functions();
        self.functions(context, &session, functions)
    }

    /// The same for one function that no stack file names.
    ///
    /// # Errors
    /// The same.
    pub fn run_alone(self, context: &Context, function: Function) -> Result<Vec<Outcome>> {
        let starts = self.deploys && !self.dry;
        let wait = self.deploy.wait(Place::find(context, &self.gateway, None).kind);
        let session = Session::for_deploy(context, &self.gateway, None, wait, starts)?;
        let namespace = session.id(&function.name).namespace;
        let how = self.deploy.how();
        let (outcomes, what) = self.functions(context, &session, vec![Function { namespace, ..function }])?;
        let theirs = |_| compat::functions::deployed(&outcomes, how, true);
        context.out.answer(&outcomes, || (what.text)(&outcomes), theirs)?;
        what.sum_up(context, &outcomes)?;
        Ok(outcomes)
    }

    fn functions(
        self,
        context: &Context,
        session: &Session,
        mut functions: Vec<Function>,
    ) -> Result<(Vec<Outcome>, What)> {
        for function in &mut functions {
            self.deploy.apply(function);
        }
        if compat::ways::tells_process_of_template(context.out.dialect) && self.deploy.reads_templates() {
            let root = session.stack.as_ref().map_or(&context.cwd, |stack| &stack.origin.root);
            functions.iter_mut().for_each(|function| compat::process_of_template(function, root));
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
        let namespace = session.namespace();
        let options = Options { push: self.push, ..self.options };
        let steps = run::Steps {
            project: &project,
            options: &options,
            build_images: self.build,
            push: self.push,
            deploy: self.deploys,
            dry: self.dry,
            how: self.deploy.how(),
            force: self.deploy.force() || compat::ways::deploys_unchanged(context.out.dialect),
            by_digest: self.deploy.by_digest(),
            canary: self.deploy.canary(),
            revision_tag: self.deploy.revision_tag(),
            several: functions.len() > 1,
            parallel: self.parallel,
            builds: self.builds,
            stack: stack.map_or("", |stack| stack.name.as_str()),
            namespace: namespace.as_deref(),
            prune: self.deploy.prune() && stack.is_some(),
            names: stack.map_or(&[], |stack| stack.names.as_slice()),
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
        // In one runtime: connections that a backend keeps end with the one that they were made in.
        let asked = async {
            let outcomes = work.await?;
            let stale = if self.dry && !steps.prune && stack.is_some() {
                // Only told: what can't be listed here keeps nobody from a plan.
                run::stale(&functions, session.backend.as_ref(), &steps).await.unwrap_or_default()
            } else {
                Vec::new()
            };
            Ok::<_, Fault>((outcomes, stale))
        };
        let (mut outcomes, stale) = crate::runtime::block_on_parallel(asked).map_err(|mut fault| {
            placed(&mut fault);
            fault
        })?;
        outcomes.iter_mut().filter_map(|outcome| outcome.error.as_mut()).for_each(placed);
        for gone in stale {
            context.out.note(format_args!("{} is deployed and no longer in the stack: --prune removes it", gone.name));
        }
        Ok((outcomes, if self.dry { PLANNED } else { DONE }))
    }
}

/// How outcomes are told.
#[derive(Clone, Copy)]
struct What {
    text: fn(&[Outcome]) -> String,
    failed: &'static str,
    words: [(Action, &'static str); 4],
}

const DONE: What = What {
    text: shown,
    failed: "can't bring up",
    words: [
        (Action::Created, "created"),
        (Action::Updated, "updated"),
        (Action::Unchanged, "unchanged"),
        (Action::Pruned, "pruned"),
    ],
};

const PLANNED: What = What {
    text: planned,
    failed: "can't plan",
    words: [
        (Action::Created, "to create"),
        (Action::Updated, "to update"),
        (Action::Unchanged, "to leave"),
        (Action::Pruned, "to prune"),
    ],
};

impl What {
    /// How many of each, on stderr; then the fault when any failed.
    fn sum_up(self, context: &Context, outcomes: &[Outcome]) -> Result<()> {
        let counted = plan::counted(outcomes, &self.words);
        if outcomes.len() > 1 && !counted.is_empty() {
            context.out.note(counted);
        }
        // Programs read one place, people have read each failure when it came.
        if context.out.is_table() {
            plan::sum_up_told(self.failed, outcomes)
        } else {
            plan::sum_up(self.failed, outcomes)
        }
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
            Action::Pruned => ('-', "prune"),
        };
        let _ = writeln!(text, "{sign} {word} {} ({})", outcome.name, outcome.reason.as_deref().unwrap_or_default());
        for change in &outcome.changes {
            // As JSON, so that nothing in a value reaches the terminal as it is.
            let value = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
            let path = change.path.escape_debug();
            let hidden = |v: &Option<serde_json::Value>| v.as_ref().is_some_and(|v| v == plan::hide::HIDDEN);
            let _ = match (value(&change.before), value(&change.after)) {
                (Some(_), Some(_)) if hidden(&change.after) => writeln!(text, "    ~ {path}: changed"),
                (Some(before), Some(after)) => writeln!(text, "    ~ {path}: {before} -> {after}"),
                (None, Some(after)) => writeln!(text, "    + {path}: {after}"),
                (before, None) => writeln!(text, "    - {path}: {}", before.unwrap_or_default()),
            };
        }
    }
    text
}
