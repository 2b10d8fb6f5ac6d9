//! `faas dev`: the functions of the stack, deployed again as their files change, with their logs.
use std::path::PathBuf;

use clap::Args;
use futures_util::StreamExt;
use tokio::task::JoinSet;

use super::build::parallel;
use super::session::{GatewayFlags, Session};
use super::{Global, stack_file};
use crate::backend::{How, LogQuery};
use crate::build::watch::{Touched, Watch, touched};
use crate::build::{Options, Project};
use crate::context::Context;
use crate::error::{Kind, Result};
use crate::function::Function;
use crate::history;
use crate::output::{self, progress};
use crate::plan::{Outcome, check, run};
use crate::stack::Stack;
use crate::template::Catalogue;

/// Keep the functions of the stack deployed while you write them, and show their logs
#[derive(Args)]
#[command(
    after_help = "A function whose files change is built and deployed again; calls that are under way end on the \
                        one before. What can't be built is shown, and the one before stays.\n\n\
                        Examples:\n  faas dev\n  faas dev --filter 'tax*'"
)]
pub struct Dev {
    #[command(flatten)]
    gateway: GatewayFlags,
    /// How many functions at a time
    #[arg(long, default_value_t = parallel(), value_name = "N", hide_default_value = true, value_parser = super::values::parallel)]
    parallel: usize,
    /// Don't show the functions' logs
    #[arg(long)]
    no_logs: bool,
}

impl Dev {
    /// Runs until it is interrupted.
    ///
    /// # Errors
    /// A stack that is wrong at the start; files that can't be watched.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        super::template::missing::TemplateFlags::default().complete(
            &stack.functions,
            &stack.configuration,
            &stack.origin.root,
            context,
        )?;
        let mut session =
            Session::for_deploy(context, &self.gateway, Some(stack), std::time::Duration::from_secs(60), true)?;
        let ended = crate::runtime::block_on_parallel(async {
            let mut watch = Watch::new()?;
            let mut functions = self.checked(context, &session)?;
            let (root, file) = places(context, &session);
            watch.cover(&root, &functions)?;
            let outcomes = self.deploy(context, &session, &functions).await?;
            for (name, url) in outcomes.iter().filter_map(|one| Some((&one.name, one.url.as_ref()?))) {
                context.out.note(format!("{name}: {url}"));
            }
            let mut logs = self.logs(context, &session, &functions);
            context.out.note("Watching; Ctrl-C ends it, and the functions stay deployed");
            loop {
                let paths = watch.next().await;
                match touched(&paths, &root, &file, &functions) {
                    None => {}
                    Some(Touched::Functions(names)) => {
                        let changed: Vec<Function> =
                            functions.iter().filter(|function| names.contains(&function.name)).cloned().collect();
                        self.again(context, &session, &changed).await;
                    }
                    Some(Touched::Stack) => match self.reload(context, global) {
                        Ok((new_session, new_functions)) => {
                            (session, functions) = (new_session, new_functions);
                            watch.cover(&root, &functions)?;
                            self.again(context, &session, &functions).await;
                            logs = self.logs(context, &session, &functions);
                        }
                        Err(fault) => context.out.fault(&fault),
                    },
                }
                // Those that ended are of no use.
                while logs.try_join_next().is_some() {}
            }
        });
        match ended {
            Err(fault) if matches!(fault.kind, Kind::Interrupted | Kind::Terminated) => Ok(()),
            other => other,
        }
    }

    fn reload(&self, context: &Context, global: &Global) -> Result<(Session, Vec<Function>)> {
        let stack: Stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        let session = Session::with(context, &self.gateway, Some(stack), std::time::Duration::from_secs(60))?;
        let functions = self.checked(context, &session)?;
        Ok((session, functions))
    }

    /// The functions, when nothing is wrong with them on this platform.
    fn checked(&self, context: &Context, session: &Session) -> Result<Vec<Function>> {
        let functions = session.functions();
        let stack = session.stack.as_ref();
        for warning in
            check::check(&functions, session.backend.as_ref(), None, |field| stack.and_then(|s| s.place(field)))?
        {
            context.out.problem(&warning);
        }
        Ok(functions)
    }

    /// Deploys what changed; what goes wrong is told and no reason to end.
    async fn again(&self, context: &Context, session: &Session, functions: &[Function]) {
        if let Err(fault) = self.deploy(context, session, functions).await {
            context.out.fault(&fault);
        }
    }

    async fn deploy(&self, context: &Context, session: &Session, functions: &[Function]) -> Result<Vec<Outcome>> {
        let stack = session.stack.as_ref();
        let (root, _) = places(context, session);
        let copy = stack.map(|stack| stack.configuration.copy.clone()).unwrap_or_default();
        // Read anew: a template of the project may be what changed.
        let catalogue = Catalogue::new(&root);
        let project = Project::new(context, &root, &copy, &catalogue);
        let progress = progress::for_output(&context.out);
        let steps = run::Steps {
            project: &project,
            options: &Options::default(),
            build_images: true,
            push: true,
            deploy: true,
            how: How::Upsert,
            force: false,
            canary: None,
            dry: false,
            unborn: false,
            by_digest: false,
            revision_tag: None,
            several: true,
            parallel: self.parallel,
            builds: self.parallel,
            stack: stack.map_or("", |stack| stack.name.as_str()),
            named: stack.is_some_and(|stack| stack.named),
            namespace: None,
            prune: false,
            names: &[],
            confirm: None,
            record: Some(&|| history::author(&context.env, &root)),
        };
        Ok(run::run(functions, session.backend.as_ref(), &steps, progress.as_ref()).await?.outcomes)
    }

    /// Prints the functions' logs from now on, until what is returned is dropped.
    fn logs(&self, context: &Context, session: &Session, functions: &[Function]) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let capabilities = session.backend.capabilities();
        if self.no_logs || capabilities.require("logs", capabilities.logs).is_err() {
            return tasks;
        }
        for function in functions {
            let (backend, id, out) = (session.backend.clone(), function.id(), context.out.clone());
            tasks.spawn(async move {
                let mut since = jiff::Timestamp::now();
                loop {
                    let query = LogQuery {
                        id: id.clone(),
                        instance: None,
                        container: None,
                        since: Some(since),
                        tail: None,
                        follow: true,
                        previous: false,
                    };
                    if let Ok(mut entries) = backend.logs(query).await {
                        while let Some(Ok(entry)) = entries.next().await {
                            since = entry.timestamp + std::time::Duration::from_nanos(1);
                            let _ = out.raw(format!("{} | {}\n", id.name, output::printable(&entry.text)).as_bytes());
                        }
                    }
                    // It is not deployed yet, or was removed.
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            });
        }
        tasks
    }
}

/// The project's folder and the stack file.
fn places(context: &Context, session: &Session) -> (PathBuf, PathBuf) {
    match &session.stack {
        Some(stack) => (stack.origin.root.clone(), context.absolute(std::path::Path::new(&stack.origin.name))),
        None => (context.cwd.clone(), context.cwd.join("stack.yml")),
    }
}
