//! `faas plan`: what `faas up` would change, without building, running or changing anything.
use clap::Args;

use super::build::Content;
use super::deploy::DeployFlags;
use super::session::GatewayFlags;
use super::{Global, pipeline};
use crate::context::Context;
use crate::error::{Fault, Kind, Result};
use crate::plan::Action;

/// Show what `faas up` would change; where the platform can say, field by field
#[derive(Args)]
#[command(visible_alias = "diff")]
#[command(
    after_help = "Examples:\n  faas plan\n  faas plan --prune --target prod\n  faas plan --exit-code --output json"
)]
pub struct Plan {
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    flags: DeployFlags,
    #[command(flatten)]
    content: Content,
    /// How many at a time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = super::values::parallel)]
    parallel: usize,
    /// End with code 3 when anything would be changed
    #[arg(long)]
    exit_code: bool,
}

impl Plan {
    /// Shows it.
    ///
    /// # Errors
    /// A stack that is wrong; what the platform would refuse; [`Kind::Differs`] when that was asked for.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let pipeline = pipeline::Pipeline {
            gateway: self.gateway,
            deploy: self.flags,
            options: self.content.options(context)?,
            parallel: self.parallel,
            builds: super::build::parallel(),
            build: true,
            push: true,
            deploys: true,
            dry: true,
            templates: None,
        };
        let outcomes = pipeline.run(context, global)?;
        let differ = outcomes.iter().filter(|o| o.action != Some(Action::Unchanged)).count();
        if self.exit_code && differ > 0 {
            let (functions, verb) = if differ == 1 { ("function", "differs") } else { ("functions", "differ") };
            return Err(Fault::new(Kind::Differs, format!("{differ} {functions} {verb} from the stack file")));
        }
        Ok(())
    }
}
