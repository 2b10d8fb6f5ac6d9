//! `faas up`: build, push and deploy what changed, in one go.
use clap::Args;

use super::build::BuildFlags;
use super::deploy::DeployFlags;
use super::session::GatewayFlags;
use super::{Global, pipeline};
use crate::context::Context;
use crate::error::Result;

/// Build, push and deploy the functions of the stack; what did not change is left alone
#[derive(Args)]
#[command(
    after_help = "Examples:\n  faas up\n  faas up --target prod\n  faas up --target eu,us --prune\n  faas up --filter 'tax*' --skip-push"
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
}

impl Up {
    /// Runs it.
    ///
    /// # Errors
    /// A stack that is wrong; every function that failed.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let options = self.build.options(context)?;
        // A remote builder pushes what it makes.
        #[cfg(feature = "image")]
        let pushed_there = options.remote.is_some();
        #[cfg(not(feature = "image"))]
        let pushed_there = false;
        let pipeline = pipeline::Pipeline {
            options,
            parallel: self.build.parallel(),
            gateway: self.gateway,
            deploy: self.deploy,
            build: true,
            push: !self.skip_push && !pushed_there,
            deploys: !self.skip_deploy,
            dry: false,
            templates: Some(self.build.templates),
        };
        pipeline.run(context, global).map(drop)
    }
}
