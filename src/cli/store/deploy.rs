//! `faas store deploy`.
use clap::Args;

use super::StoreFlags;
use crate::build::Options;
use crate::cli::deploy::DeployFlags;
use crate::cli::pipeline::Pipeline;
use crate::cli::session::GatewayFlags;
use crate::context::Context;
use crate::error::Result;

/// Deploy a function of the store; flags win over what the store says
#[derive(Args)]
#[command(after_help = "Example:\n  faas store deploy figlet --label team=web && faas ready figlet")]
pub struct Deploy {
    /// Its name or title in the store
    #[arg(value_name = "NAME")]
    item: String,
    /// Deploy it under another name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    flags: DeployFlags,
}

impl Deploy {
    /// Deploys it.
    ///
    /// # Errors
    /// When the store can't be read or has it not for this platform; when it can't be deployed.
    pub fn run(self, flags: &StoreFlags, context: &Context) -> Result<()> {
        let store = flags.read(context)?;
        let function = store.find(&self.item, flags.platform())?.function(self.name.as_deref(), flags.platform())?;
        crate::cli::new::check_name(&function.name)?;
        let pipeline = Pipeline {
            gateway: self.gateway,
            deploy: self.flags,
            options: Options::default(),
            parallel: 1,
            builds: 1,
            build: false,
            push: false,
            deploys: true,
            dry: false,
            templates: None,
        };
        pipeline.run_alone(context, function).map(drop)
    }
}
