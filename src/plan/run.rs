//! From stack to platform: build, push, decide, apply; function by function, several at once, all of them tried.
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use futures_util::StreamExt;
use tokio::sync::Semaphore;

use super::artifact::{TO_BUILD, TO_SEE, artifact, is_in_registry, is_single};
use super::check::secrets_are_there;
use super::{Action, Decision, Outcome, changed, decide, hide, other_owner, prune, rehearsal, said, spec_hash, there};
use crate::artifact::Artifact;
use crate::backend::{Backend, Change, Deployed, Difference, How, STACK_KEY};
use crate::build::{self, Project};
use crate::error::{Code, Fault, Kind, Result};
use crate::function::Function;
use crate::history::{self, Record};
use crate::progress::Progress;

/// Asks whether what the stack names no longer may be removed.
pub type Confirm<'a> = dyn Fn(&[Deployed]) -> Result<bool> + Sync + 'a;

/// How far to go, and how.
pub struct Steps<'a> {
    /// The project that functions are built in.
    pub project: &'a Project<'a>,
    /// How to build.
    pub options: &'a build::Options,
    /// Build images; without it, images are taken as the stack names them. Bundles and archives are always built: they
    /// stay here. When it is dry, nothing is: what would become of it is foreseen.
    pub build_images: bool,
    /// Push images.
    pub push: bool,
    /// Deploy.
    pub deploy: bool,
    /// Change nothing, and say what would be changed.
    pub dry: bool,
    /// The platform is not there yet, and so has nothing; only with `dry`.
    pub unborn: bool,
    /// How to get from what is there to what should be.
    pub how: How,
    /// Deploy even what did not change.
    pub force: bool,
    /// Name images by their digest.
    pub by_digest: bool,
    /// Give new revisions only so many percent of the traffic.
    pub canary: Option<u8>,
    /// Give new revisions an address of their own by this name.
    pub revision_tag: Option<&'a str>,
    /// Whether there are several functions, so that each failure is told by itself.
    pub several: bool,
    /// How many functions at once.
    pub parallel: usize,
    /// How many of them are built and pushed at once.
    pub builds: usize,
    /// The owning stack's name.
    pub stack: &'a str,
    /// Whether the stack file gives that name, and not its folder, which is another on each machine.
    pub named: bool,
    /// The namespace of functions that name none.
    pub namespace: Option<&'a str>,
    /// Remove what the stack deployed and names no longer, once all else went well.
    pub prune: bool,
    /// All names of the stack, those that were not selected too.
    pub names: &'a [String],
    /// Asks whether these may be removed; without it, they may.
    pub confirm: Option<&'a Confirm<'a>>,
    /// Who deploys what, for the record that the platform keeps; called when there is something to record.
    pub record: Option<&'a (dyn Fn() -> Record + Sync)>,
}

/// What became, or would become, of each function.
pub struct Ran {
    /// Of each that was named, and of each that was pruned.
    pub outcomes: Vec<Outcome>,
    /// What the stack deployed and names no longer, where nothing was to be pruned and that was asked all the same.
    pub left: Vec<Deployed>,
}

/// Takes every function as far as `steps` say. Failures are in the outcomes; the others go on.
///
/// # Errors
/// When the platform can't be asked what it has; whoever is asked about pruning ends it.
pub async fn run(
    functions: &[Function],
    backend: &dyn Backend,
    steps: &Steps<'_>,
    progress: &dyn Progress,
) -> Result<Ran> {
    if steps.deploy {
        secrets_are_there(functions, backend, steps).await?;
    }
    let observed = async {
        match steps.deploy && !steps.unborn {
            true => there::observe(functions.iter().map(Function::id), backend, false).await,
            false => Ok(HashMap::new()),
        }
    };
    // What a plan says of the rest costs no wait of its own.
    let rest = async {
        match steps.deploy && steps.dry && !steps.unborn && !steps.stack.is_empty() {
            true => Some(stale(functions, backend, steps).await),
            false => None,
        }
    };
    let (observed, rest) = tokio::join!(observed, rest);
    let observed = match observed {
        // Who may deploy may be somebody who may not look; the login itself is good.
        Err(fault) if fault.kind == Kind::Unauthorized && !steps.dry && backend.last_status() == Some(403) => {
            HashMap::new()
        }
        observed => observed?,
    };
    let builders = Semaphore::new(steps.builds.max(1));
    let there = |function: &Function| observed.get(&function.id());
    let prepared = |function| prepare(function, backend, steps, there(function), &builders, progress);
    let done = |function, ready| one(function, ready, backend, steps, there(function), progress);
    let mut outcomes = if steps.deploy && !steps.dry && backend.rehearses() {
        let ready = each(functions.iter().map(prepared), steps, Result::is_err).await;
        let todo = ready.iter().flatten().filter_map(Ready::change).collect::<Vec<_>>();
        rehearsal::all(&todo, backend, progress).await?;
        each(functions.iter().zip(ready).map(|(function, ready)| done(function, ready)), steps, is_failed).await
    } else {
        let whole = |function| async move { done(function, prepared(function).await).await };
        each(functions.iter().map(whole), steps, is_failed).await
    };
    let mut left = Vec::new();
    match rest {
        Some(stale) if steps.prune => outcomes.extend(prune::planned(&stale?)),
        // Only told: what can't be listed here keeps nobody from a plan.
        Some(stale) => left = stale.unwrap_or_default(),
        // What replaces them may be what failed.
        None if steps.dry
            || !steps.deploy
            || !steps.prune
            || outcomes.iter().any(|outcome| outcome.error.is_some()) => {}
        None => {
            let stale = stale(functions, backend, steps).await?;
            let may = stale.is_empty() || steps.confirm.map_or(Ok(true), |confirm| confirm(&stale))?;
            match may {
                true => outcomes.extend(prune::prune(backend, &stale, progress).await),
                false => left = stale,
            }
        }
    }
    Ok(Ran { outcomes, left })
}

/// What the stack deployed and names no longer, in the namespaces that it uses.
///
/// # Errors
/// When the platform can't be asked.
pub async fn stale(functions: &[Function], backend: &dyn Backend, steps: &Steps<'_>) -> Result<Vec<Deployed>> {
    let mut namespaces: HashSet<Option<String>> = functions.iter().map(|f| f.namespace.clone()).collect();
    namespaces.insert(steps.namespace.map(str::to_owned));
    let selected = |name: &str| functions.iter().find(|f| f.name == name).map(|f| f.namespace.clone());
    let names = steps.names.iter().flat_map(|name| match selected(name) {
        Some(namespace) => vec![(name.clone(), namespace)],
        None => namespaces.iter().map(|namespace| (name.clone(), namespace.clone())).collect(),
    });
    prune::stale(backend, &namespaces, &names.collect(), steps.stack).await
}

/// Does one thing for each function, several at once; until one fails, where that is to end it.
async fn each<F: Future>(
    work: impl Iterator<Item = F>,
    steps: &Steps<'_>,
    failed: impl Fn(&F::Output) -> bool,
) -> Vec<F::Output> {
    let mut work = std::pin::pin!(futures_util::stream::iter(work).buffered(steps.parallel.max(1)));
    let mut all = Vec::new();
    while let Some(one) = work.next().await {
        let ends = steps.options.fail_fast && failed(&one);
        all.push(one);
        if ends {
            break;
        }
    }
    all
}

fn is_failed(outcome: &Outcome) -> bool {
    outcome.error.is_some()
}

async fn one(
    function: &Function,
    ready: Result<Ready>,
    backend: &dyn Backend,
    steps: &Steps<'_>,
    observed: Option<&Deployed>,
    progress: &dyn Progress,
) -> Outcome {
    let done = async { finish(function, ready?, backend, steps, observed, progress).await };
    match done.await {
        Ok(outcome) => outcome,
        Err(fault) => {
            // One alone is told by the fault that ends the command.
            if steps.several {
                progress.failed(&function.name, &fault.without(&function.name));
            }
            Outcome::failed(&function.name, fault)
        }
    }
}

/// A function that is built as far as it is to be, and what is to become of it.
struct Ready {
    artifact: Artifact,
    built: String,
    /// Only where it is deployed.
    todo: Option<(Decision, Change)>,
}

impl Ready {
    /// What is to be changed on the platform.
    fn change(&self) -> Option<&Change> {
        self.todo.as_ref().filter(|(decision, _)| decision.action != Action::Unchanged).map(|(_, change)| change)
    }
}

async fn prepare(
    function: &Function,
    backend: &dyn Backend,
    steps: &Steps<'_>,
    observed: Option<&Deployed>,
    builders: &Semaphore,
    progress: &dyn Progress,
) -> Result<Ready> {
    let name = &function.name;
    let (artifact, built) = {
        // Other targets of this command may build the same function, in the same folder.
        let lock = only_one(steps.project.root, name);
        let _only = lock.lock().await;
        let _builder = builders.acquire().await;
        artifact(function, backend, steps, progress).await?
    };
    if !steps.deploy {
        return Ok(Ready { artifact, built, todo: None });
    }
    if let Some(why) = observed.and_then(|there| backend.foreign(there)).filter(|_| steps.how != How::Adopt) {
        return Err(Fault::failed(format!("{name} is there already, and not one of faas"))
            .code(Code::FOREIGN)
            .cause(why)
            .hint("`--adopt` takes it over; or give yours another name"));
    }
    let stack = steps.named.then_some(steps.stack);
    let mut decision = decide(function, &artifact, observed, stack);
    let owner = other_owner(observed, stack);
    if decision.action == Action::Unchanged && (steps.force || matches!(steps.how, How::Replace | How::Adopt)) {
        decision = Decision { action: Action::Updated, reason: "forced".into() };
    }
    if decision.action == Action::Updated {
        match built.as_str() {
            TO_BUILD => decision.reason = said("the code changed", owner),
            TO_SEE if decision.reason == said("the code changed", owner) => {
                decision.reason = said("nothing here knows its code: it is built and compared", owner);
            }
            _ => {}
        }
    }
    if let Some(owner) = owner {
        progress.warn(name, &format!("it bears the mark of stack {owner}: stack {} takes it over", steps.stack));
    }
    let mut change = Change {
        function: function.clone(),
        artifact: artifact.clone(),
        spec: spec_hash(function),
        // A folder's name is another on each machine, and no reason to take a function over.
        stack: observed
            .and_then(|there| there.annotations.get(STACK_KEY))
            .filter(|owner| !steps.named && !owner.is_empty())
            .map_or(steps.stack, |owner| owner)
            .into(),
        how: steps.how,
        force: steps.force,
        history: Vec::new(),
    };
    if decision.action == Action::Unchanged {
        let drift = backend.drift(&change)?;
        if !drift.is_empty() {
            let paths: Vec<&str> = drift.iter().map(|one| one.path.as_str()).collect();
            let reason = format!("changed on the platform: {}", paths.join(", "));
            decision = Decision { action: Action::Updated, reason };
        }
    }
    tracing::info!("{name}: {:?}: {}", decision.action, decision.reason);
    change.history = history_of(function, &artifact, steps, observed, &decision);
    Ok(Ready { artifact, built, todo: Some((decision, change)) })
}

async fn finish(
    function: &Function,
    ready: Ready,
    backend: &dyn Backend,
    steps: &Steps<'_>,
    observed: Option<&Deployed>,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let Ready { artifact, built, todo } = ready;
    let name = &function.name;
    let outcome = |decision: Option<Decision>, url: Option<String>| Outcome {
        name: name.clone(),
        action: decision.as_ref().map(|d| d.action),
        reason: decision.map(|d| d.reason),
        changes: Vec::new(),
        url,
        status: None,
        artifact: Some(artifact.clone()),
        error: None,
    };
    let Some((mut decision, change)) = todo else {
        progress.done(name, &built);
        return Ok(outcome(None, None));
    };
    if steps.dry {
        let preview = if steps.unborn { None } else { backend.preview(&change).await? };
        let mut changes = preview.unwrap_or_default();
        if [TO_BUILD, TO_SEE].contains(&built.as_str()) {
            let of_code = |one: &&mut Difference| ["artifact", "CodeSha256"].contains(&one.path.as_str());
            changes.iter_mut().filter(of_code).for_each(|one| one.after = Some(built.as_str().into()));
        }
        hide::secrets(&mut changes);
        if decision.action == Action::Unchanged && !changes.is_empty() {
            let reason = "changed on the platform where `faas up` does not look; `faas up --force` mends it".into();
            decision = Decision { action: Action::Updated, reason };
        }
        return Ok(Outcome { changes, ..outcome(Some(decision), observed.and_then(|d| d.url.clone())) });
    }
    if decision.action == Action::Unchanged {
        if let Some(there) = observed {
            backend.settle(function, there, progress).await?;
        }
        progress.done(name, "unchanged");
        return Ok(outcome(Some(decision), observed.and_then(|d| d.url.clone())));
    }
    is_single(function, &artifact, backend, steps).await?;
    if observed.is_some() && steps.how != How::Replace {
        is_in_registry(function, &artifact, backend, steps).await?;
    }
    let deployed = match (steps.revision_tag, steps.canary, backend.traffic()) {
        // Nothing but the address, unless more was asked for.
        (Some(tag), percent, Some(traffic)) => traffic.tagged(&change, tag, percent.unwrap_or(0), progress).await?,
        (None, Some(percent), Some(traffic)) => traffic.canary(&change, percent, progress).await?,
        _ => backend.apply(&change, progress).await?,
    };
    let said = match decision.action {
        Action::Created => "deployed".to_owned(),
        _ => format!("updated ({})", decision.reason),
    };
    progress.done(name, &said);
    Ok(Outcome { status: deployed.taken, ..outcome(Some(decision), deployed.url) })
}

/// The lock of all builds of a function in this process.
fn only_one(root: &Path, name: &str) -> Arc<tokio::sync::Mutex<()>> {
    type Locks = Mutex<HashMap<(PathBuf, String), Arc<tokio::sync::Mutex<()>>>>;
    static LOCKS: LazyLock<Locks> = LazyLock::new(Mutex::default);
    let mut locks = LOCKS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    locks.entry((root.to_owned(), name.to_owned())).or_default().clone()
}

/// What the platform is to keep of this deployment and of those before it.
fn history_of(
    function: &Function,
    artifact: &Artifact,
    steps: &Steps<'_>,
    observed: Option<&Deployed>,
    decision: &Decision,
) -> Vec<Record> {
    if steps.dry || decision.action == Action::Unchanged {
        return Vec::new();
    }
    let past = observed.map(|there| history::past(&there.annotations)).unwrap_or_default();
    let Some(record) = steps.record else { return past };
    let by_tag = matches!(artifact, Artifact::Image { reference, digest: None } if !reference.contains('@'));
    let new = Record {
        image: match artifact {
            Artifact::Image { reference, .. } => Some(reference.clone()),
            _ => None,
        },
        artifact: Some(artifact.identity().to_owned()),
        spec: Some(spec_hash(function)),
        changed: changed::names(function, artifact, observed, decision),
        ..record()
    };
    history::with(past, new, steps.force || by_tag || steps.how == How::Replace)
}
