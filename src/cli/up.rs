//! `faas up`: build, push and deploy what changed, in one go.
use clap::Args;

use super::build::{Alone, BuildFlags};
use super::deploy::DeployFlags;
use super::session::GatewayFlags;
use super::{Global, pipeline, stack_file};
use crate::build::watch::{Touched, Watch, touched};
use crate::context::Context;
use crate::error::{Code, Kind, Result};
use crate::runtime;
use crate::stack::Stack;

/// Build, push and deploy the functions of the stack; what did not change is left alone
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas up\n  faas up --target prod\n  faas up --target eu,us --prune\n  faas up --filter 'tax*' --skip-push\n  faas up --watch"
)]
pub struct Up {
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    build: BuildFlags,
    #[command(flatten)]
    deploy: DeployFlags,
    /// Don't push images
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    skip_push: bool,
    /// Don't deploy
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    skip_deploy: bool,
    /// Then do the same for each function whose files change, until Ctrl-C
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    watch: bool,
    /// Only write the context folders build/NAME, and stop there
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    shrinkwrap: bool,
    #[cfg(feature = "image")]
    #[command(flatten)]
    publish: super::publish::Platforms,
    #[command(flatten)]
    alone: Alone,
}

impl Up {
    /// Runs it.
    ///
    /// # Errors
    /// A stack that is wrong; every function that failed.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        if let Some(function) = self.alone.function(context) {
            return self.pipeline(context)?.run_alone(context, function).map(drop);
        }
        if self.watch {
            super::several::one(global)?;
        }
        let first = self.once(context, global);
        if !self.watch {
            return first;
        }
        if let Err(fault) = first {
            // Without a stack file there is nothing to be watched.
            if fault.code == Code::STACK_MISSING {
                return Err(fault);
            }
            context.out.fault(&fault);
        }
        match self.watching(context, global) {
            Err(fault) if fault.kind == Kind::Interrupted => Ok(()),
            ended => ended,
        }
    }

    /// All of the stack, for every target.
    fn once(&self, context: &Context, global: &Global) -> Result<()> {
        let load = || -> Result<Stack> { stack_file::load(context, global)?.ok_or_else(stack_file::missing) };
        if self.shrinkwrap {
            return super::build::contexts(context, &load()?, &self.build.options(context)?);
        }
        #[cfg(feature = "image")]
        if self.publish.asked() {
            self.publish.run(context, &load()?, &self.build)?;
            let pipeline = pipeline::Pipeline { build: false, push: false, ..self.pipeline(context)? };
            return if self.skip_deploy { Ok(()) } else { pipeline.run(context, global).map(drop) };
        }
        self.pipeline(context)?.run(context, global).map(drop)
    }

    fn pipeline(&self, context: &Context) -> Result<pipeline::Pipeline> {
        let options = self.build.options(context)?;
        // A remote builder pushes what it makes.
        #[cfg(feature = "image")]
        let pushed_there = options.remote.is_some();
        #[cfg(not(feature = "image"))]
        let pushed_there = false;
        Ok(pipeline::Pipeline {
            options,
            parallel: self.build.deployments(),
            builds: self.build.parallel(),
            gateway: self.gateway.clone(),
            deploy: self.deploy.clone(),
            build: true,
            push: !self.skip_push && !pushed_there,
            deploys: !self.skip_deploy,
            dry: false,
            templates: Some(self.build.templates.clone()),
        })
    }

    /// Does it again for what changes; what goes wrong is told, and no reason to end.
    fn watching(&self, context: &Context, global: &Global) -> Result<()> {
        let mut stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        let root = stack.origin.root.clone();
        let file = context.absolute(std::path::Path::new(&stack.origin.name));
        let mut watch = Watch::new()?;
        watch.cover(&root, &stack.functions)?;
        context.out.note("Watching; Ctrl-C ends it");
        loop {
            let paths = runtime::block_on(async { Ok(watch.next().await) })?;
            let done = match touched(&paths, &root, &file, &stack.functions) {
                None => continue,
                Some(Touched::Functions(names)) => {
                    let mut changed = stack.clone();
                    changed.functions.retain(|one| names.contains(&one.name));
                    self.pipeline(context)?.run_stack(context, changed).map(drop)
                }
                Some(Touched::Stack) => match stack_file::load(context, global) {
                    Ok(Some(new)) => {
                        watch.cover(&root, &new.functions)?;
                        stack = new;
                        self.once(context, global)
                    }
                    Ok(None) => continue,
                    Err(fault) => Err(fault),
                },
            };
            match done {
                Err(fault) if fault.kind == Kind::Interrupted => return Err(fault),
                Err(fault) => context.out.fault(&fault),
                Ok(()) => {}
            }
        }
    }
}
