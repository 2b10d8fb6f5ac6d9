//! What `up` and `deploy` share: from a stack and flags to the result that is printed.
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use super::compat;
use super::deploy::DeployFlags;
use super::session::{GatewayFlags, Place, Session};
use super::template::missing::TemplateFlags;
use super::{Global, several, stack_file};
use crate::backend::Deployed;
use crate::build::{Options, Project};
use crate::context::Context;
use crate::error::{Fault, Kind, Result};
use crate::function::Function;
use crate::history::{self, Record};
use crate::output::{progress, table};
use crate::plan::{self, Action, Outcome, check, run};
use crate::progress::{Labelled, Progress};
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
        let targets = several::names(global);
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

    /// All targets at once, each by itself: one that fails keeps no other from being tried.
    fn targets(self, context: &Context, global: &Global, targets: &[String]) -> Result<Vec<Outcome>> {
        // What is wrong with one stack is told before anything is done for another.
        let stacks = several::stacks(context, global, targets)?;
        // One after the other: they may pull the same templates, and start the same platform.
        let ready: Vec<(&String, Result<Session>)> =
            stacks.into_iter().map(|(target, stack)| (target, self.session(context, stack))).collect();
        several::apart(context, &self.gateway, &ready)?;
        several::accepted(&self.deploy, &ready)?;
        let progress = progress::for_output(&context.out);
        let work = |target: &str, session: Session| {
            let functions = session.functions();
            let labelled = Labelled::new(progress.as_ref(), target);
            self.clone().functions(context, &session, functions, Some(&labelled))
        };
        let results = several::at_once(ready, work);
        let (mut all, mut told, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for (target, result) in results {
            let verdict = match result {
                Ok((outcomes, what)) => {
                    if context.out.is_table() {
                        context.out.raw(format!("{target}:\n{}", (what.text)(&outcomes)).as_bytes())?;
                    }
                    told.push(serde_json::json!({ "target": target, "functions": &outcomes }));
                    let counted = plan::counted(&outcomes, &what.words);
                    context.out.note(format_args!(
                        "{target}: {}",
                        if counted.is_empty() { "nothing to do" } else { &counted }
                    ));
                    let verdict = what.verdict(context, &outcomes);
                    all.extend(outcomes);
                    verdict
                }
                Err(fault) => {
                    told.push(serde_json::json!({ "target": target, "error": &fault }));
                    Err(fault)
                }
            };
            faults.extend(verdict.err().map(|fault| (target.clone(), fault)));
        }
        if !context.out.is_table() {
            context.out.result(&told, String::new)?;
        }
        several::sum_up(context, faults, targets.len()).map(|()| all)
    }

    /// The platform of a stack, ready to be deployed to.
    fn session(&self, context: &Context, stack: Stack) -> Result<Session> {
        if let Some(templates) = &self.templates {
            let pulled = templates.complete(&stack.functions, &stack.configuration, &stack.origin.root, context);
            pulled.map_err(|fault| super::build::unknown(fault, &stack, &self.options, context))?;
        }
        let wait = self.deploy.wait(stack.provider.kind);
        if self.deploys && self.dry {
            return Session::for_plan(context, &self.gateway, Some(stack), wait);
        }
        Session::for_deploy(context, &self.gateway, Some(stack), wait, self.deploys)
    }

    fn of_stack(self, context: &Context, stack: Stack) -> Result<(Vec<Outcome>, What)> {
        let session = self.session(context, stack)?;
        let functions = session.functions();
        self.functions(context, &session, functions, None)
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
        let (outcomes, what) = self.functions(context, &session, vec![Function { namespace, ..function }], None)?;
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
        labelled: Option<&Labelled<'_>>,
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
        if self.deploy.prune()
            && let Some(unnamed) = stack.filter(|stack| !stack.named)
        {
            return Err(unprunable(unnamed));
        }
        if functions.is_empty() {
            let name = stack.map_or("the stack", |stack| stack.origin.name.as_str());
            context.out.note(format_args!("there are no functions in {name}: nothing to do"));
        }
        let root: PathBuf = stack.map_or_else(|| context.cwd.clone(), |stack| stack.origin.root.clone());
        let copy = stack.map(|stack| stack.configuration.copy.clone()).unwrap_or_default();
        let catalogue = Catalogue::new(&root);
        let project = Project::new(context, &root, &copy, &catalogue);
        let own;
        let progress: &dyn Progress = match labelled {
            Some(labelled) => labelled,
            None => {
                own = progress::for_output(&context.out);
                own.as_ref()
            }
        };
        let confirm = |stale: &[Deployed]| may_prune(context, stack.and_then(|stack| stack.target.as_deref()), stale);
        let namespace = session.namespace();
        let options = Options { push: self.push, ..self.options };
        let force = self.deploy.force() || compat::ways::deploys_unchanged(context.out.dialect);
        let author = OnceLock::new();
        // Where it is known that there will be something to record, git is asked while the platform is.
        let ahead = force && self.deploys && !self.dry && history::asks_git(&context.env, &root);
        let asked = ahead.then(|| {
            let (env, root) = (context.env.clone(), root.clone());
            std::thread::spawn(move || history::author(&env, &root))
        });
        let asked = Mutex::new(asked);
        let record = || {
            let author = author.get_or_init(|| {
                let asked = asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                let told = asked.and_then(|thread| thread.join().ok());
                told.unwrap_or_else(|| history::author(&context.env, &root))
            });
            let author = author.clone();
            let (name, target) = stack.map_or((None, None), |stack| (Some(stack.name.clone()), stack.target.clone()));
            Record { stack: name.filter(|name| !name.is_empty()), target, ..author }
        };
        let steps = run::Steps {
            project: &project,
            options: &options,
            build_images: self.build,
            push: self.push,
            deploy: self.deploys,
            dry: self.dry,
            unborn: session.unborn,
            how: self.deploy.how(),
            force,
            by_digest: self.deploy.by_digest(),
            canary: self.deploy.canary(),
            revision_tag: self.deploy.revision_tag(),
            several: functions.len() > 1,
            parallel: self.parallel,
            builds: self.builds,
            stack: stack.map_or("", |stack| stack.name.as_str()),
            named: stack.is_some_and(|stack| stack.named),
            namespace: namespace.as_deref(),
            prune: self.deploy.prune() && stack.is_some(),
            names: stack.map_or(&[], |stack| stack.names.as_slice()),
            record: Some(&record),
            confirm: Some(&confirm),
        };
        for warning in check::check(&functions, session.backend.as_ref(), Some(&steps), place)? {
            context.out.problem(&warning);
        }
        let work = run::run(&functions, session.backend.as_ref(), &steps, progress);
        // What a platform refused is shown where it stands in the stack file, as `check` shows what it finds.
        let placed = |fault: &mut Fault| {
            for problem in fault.problems.iter_mut().filter(|problem| problem.place.is_none()) {
                problem.place = place(&problem.field);
            }
        };
        // One that is not built only waits for its platform: threads would cost it more than they bring.
        let ran = match functions.len() < 2 && !steps.build_images {
            true => crate::runtime::block_on(work),
            false => crate::runtime::block_on_parallel(work),
        };
        let run::Ran { mut outcomes, left } = ran.map_err(|mut fault| {
            placed(&mut fault);
            if steps.deploy && !steps.dry && fault.kind == Kind::Interrupted {
                fault = fault.hint(if session.backend.gives_up() { GIVEN_UP } else { GOES_ON });
            }
            fault
        })?;
        outcomes.iter_mut().filter_map(|outcome| outcome.error.as_mut()).for_each(placed);
        for gone in left.into_iter().filter(|_| steps.named) {
            let how = if steps.prune { "it was left" } else { "--prune removes it" };
            context.out.note(format_args!("{} is deployed and no longer in the stack: {how}", gone.name));
        }
        Ok((outcomes, if self.dry { PLANNED } else { DONE }))
    }
}

/// Whether what the stack names no longer may be removed: on a terminal somebody is asked.
fn may_prune(context: &Context, target: Option<&str>, stale: &[Deployed]) -> Result<bool> {
    if !context.out.may_ask() {
        return Ok(true);
    }
    let one_place = stale.iter().all(|one| one.namespace == stale[0].namespace);
    let name = |one: &Deployed| if one_place { one.name.clone() } else { one.id().to_string() };
    let names: Vec<String> = stale.iter().map(name).collect();
    let of = target.map(|target| format!(" of target {target}")).unwrap_or_default();
    super::ask::may(format!("Remove {}{of}, which the stack names no longer?", names.join(", ")))
}

/// What becomes of deployments that are under way when somebody ends the command.
const GIVEN_UP: &str = "what did not answer yet was given up, and runs as it did before; what was deployed stays";
const GOES_ON: &str = "what the platform was told already goes on there; the same command again does the rest";

/// A folder's name is no mark to remove things by: another project's folder may be called the same.
fn unprunable(stack: &Stack) -> Fault {
    let file = &stack.origin.name;
    Fault::usage(format!("--prune needs a stack with a name, and {file} has no `name:`")).hint(format!(
        "write `name: {}`, or another name that no other project has, at the top of {file}, and `faas up` once before",
        stack.name
    ))
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
        self.verdict(context, outcomes)
    }

    /// The fault when any failed.
    fn verdict(self, context: &Context, outcomes: &[Outcome]) -> Result<()> {
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
