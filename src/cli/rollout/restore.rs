//! Going back where the platform keeps one version: what an earlier deployment ran is deployed again, as the stack file
//! configures it now.
use super::Target;
use crate::artifact::Artifact;
use crate::backend::{Change, How, Scope};
use crate::build::{self, Project};
use crate::cli::Global;
use crate::cli::deployments::find;
use crate::cli::session::{Session, must_run};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::{Function, FunctionId};
use crate::history::{self, Deployment, Record};
use crate::output::{deployments, progress};
use crate::plan::spec_hash;
use crate::template::Catalogue;

/// Deploys it.
///
/// # Errors
/// A function that the stack file doesn't have; no such deployment, or one of which nothing is left.
pub fn restore(context: &Context, global: &Global, target: &Target, to: Option<&str>) -> Result<()> {
    let (session, id) = target.session(context, global)?;
    must_run(context, &target.gateway, session.stack.as_ref())?;
    let function = session.functions().into_iter().find(|one| one.name == id.name).ok_or_else(|| {
        Fault::usage(format!("{id} is not in the stack file"))
            .cause(
                "this platform keeps one version: going back deploys the earlier one as the stack file configures it",
            )
            .hint("run it where the stack file is, or name that with -f")
    })?;
    let stack = session.stack.as_ref();
    let root = stack.map_or_else(|| context.cwd.clone(), |stack| stack.origin.root.clone());
    let all = crate::runtime::block_on(session.backend.deployments(&id))?;
    let chosen = chosen(&id, &all, to)?;
    let artifact = artifact(context, &session, &function, &root, &chosen.record, &chosen.id)?;
    let spec = spec_hash(&function);
    if chosen.record.spec.as_ref().is_some_and(|then| !history::same_spec(then, &spec)) {
        context.out.warn(format!(
            "deployment {} had another configuration; what runs now is configured by {}; for that of then: {}",
            chosen.id,
            stack.map_or("the flags", |stack| stack.origin.name.as_str()),
            as_then(&chosen.record)
        ));
    }
    let image = match &artifact {
        Artifact::Image { reference, .. } => Some(reference.clone()),
        _ => None,
    };
    let new = Record {
        image,
        artifact: Some(artifact.identity().to_owned()),
        spec: Some(spec.clone()),
        stack: stack.map(|stack| stack.name.clone()),
        target: stack.and_then(|stack| stack.target.clone()),
        changed: vec![format!("back to {}", chosen.id)],
        ..history::author(&context.env, &root)
    };
    let progress = progress::for_output(&context.out);
    let after = crate::runtime::block_on(async {
        let scope = Scope { namespace: id.namespace.clone(), names: vec![id.name.clone()], ..Scope::default() };
        let there = session.backend.observe(&scope).await?;
        let past = there.first().map(|there| history::past(&there.annotations)).unwrap_or_default();
        let change = Change {
            artifact,
            spec,
            stack: stack.map(|stack| stack.name.clone()).unwrap_or_default(),
            how: How::Upsert,
            force: false,
            history: history::with(past, new, true),
            function,
        };
        session.backend.apply(&change, progress.as_ref()).await?;
        progress.done(&id.name, &format!("runs what deployment {} did", chosen.id));
        session.backend.deployments(&id).await
    })?;
    context.out.result(&after, || deployments::table(&after))
}

/// The one that was named, else the newest that ran something else than what runs now.
fn chosen<'a>(id: &FunctionId, all: &'a [Deployment], to: Option<&str>) -> Result<&'a Deployment> {
    let runs = |one: &Deployment| (one.record.artifact.clone(), one.record.image.clone());
    let now = all.first().map(runs);
    let Some(given) = to else {
        return all.iter().skip(1).find(|one| Some(runs(one)) != now).ok_or_else(|| {
            Fault::not_found(format!("no deployment of {id} is remembered that ran something else than now"))
                .hint(format!("`faas deployments list {}` shows what there is", id.name))
        });
    };
    let found = find(id, all, given)?;
    if Some(runs(found)) == now {
        return Err(Fault::usage(format!("deployment {} of {id} ran what runs now", found.id))
            .hint(format!("for its configuration: {}", as_then(&found.record))));
    }
    Ok(found)
}

/// How to have a deployment's configuration again.
fn as_then(record: &Record) -> String {
    match &record.commit {
        Some(commit) => format!("`git checkout {commit} && faas up`"),
        None => "set it in the stack file, then `faas up` (it was deployed from no git commit)".into(),
    }
}

/// What it ran, where that is still there.
fn artifact(
    context: &Context,
    session: &Session,
    function: &Function,
    root: &std::path::Path,
    record: &Record,
    number: &str,
) -> Result<Artifact> {
    let again = match &record.commit {
        Some(commit) => format!("`git checkout {commit} && faas up`"),
        None => "build and deploy it from its source: `faas up`".into(),
    };
    let identity = record.artifact.clone().unwrap_or_default();
    if let Some(image) = &record.image {
        let digest = identity.starts_with("sha256:").then_some(identity);
        let reference = match &digest {
            Some(digest) if !image.contains('@') => format!("{}@{digest}", build::tag::split(image).0),
            _ => image.clone(),
        };
        return Ok(Artifact::Image { reference, digest });
    }
    let copy = session.stack.as_ref().map(|stack| stack.configuration.copy.clone()).unwrap_or_default();
    let catalogue = Catalogue::new(root);
    let project = Project::new(context, root, &copy, &catalogue);
    build::bundle::kept(function, &project, &identity)?.ok_or_else(|| {
        Fault::not_found(format!("what deployment {number} of {} ran is not kept any more", function.name))
            .cause("the last three builds of a function stay on this machine")
            .hint(again)
    })
}
