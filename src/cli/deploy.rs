//! `faas deploy`: functions onto their platform, images as the stack names them.
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::build::{DEPLOYMENTS, TagFlag};
use super::session::GatewayFlags;
use super::{Global, pipeline, values};
use crate::backend::How;
use crate::build::Options;
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::{Function, Resources};
use crate::stack::ProviderKind;

/// Deploy the functions of the stack; those that are there as they should be are left alone
#[derive(Args)]
#[command(after_help = "Examples:\n  faas deploy\n  faas deploy --filter tax --env LEVEL=debug\n  \
                        faas deploy --image registry.example.com/tax:1.2 --name tax")]
pub struct Deploy {
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    flags: DeployFlags,
    #[command(flatten)]
    tag: TagFlag,
    /// How many at a time: mostly they wait for the platform
    #[arg(long, default_value_t = DEPLOYMENTS, value_name = "N", value_parser = values::parallel)]
    parallel: usize,
    /// Change nothing, and say what would be changed, as `faas plan` does
    #[arg(long)]
    dry_run: bool,
    /// Without a stack file: the function's name
    #[arg(long, requires = "image", value_name = "NAME")]
    name: Option<String>,
    /// Without a stack file: the image to run
    #[arg(long, requires = "name", value_name = "IMAGE")]
    image: Option<String>,
    /// Without a stack file: accepted, the image has its handler already
    #[arg(long, value_name = "DIR", hide = true)]
    handler: Option<PathBuf>,
    /// Without a stack file: the function's template
    #[arg(long, value_name = "LANG", hide = true)]
    lang: Option<String>,
}

/// Flags of every command that deploys; they win over the stack.
#[derive(Args, Clone, Default)]
pub struct DeployFlags {
    /// An environment variable
    #[arg(short, long = "env", value_name = "KEY=VALUE", value_parser = values::pair)]
    env: Vec<(String, String)>,
    /// A label
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = values::pair)]
    label: Vec<(String, String)>,
    /// An annotation
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    annotation: Vec<(String, String)>,
    /// A secret, besides those of the stack
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
    /// A placement constraint, where the stack has none
    #[arg(long, value_name = "CONSTRAINT")]
    constraint: Vec<String>,
    /// The process that the invoker starts
    #[arg(long, value_name = "COMMAND")]
    fprocess: Option<String>,
    /// Lambda: the role that the functions run as (its ARN), in the place of one that is made
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Make the root file system read-only
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    readonly: bool,
    /// The least memory, as 64Mi
    #[arg(long, value_name = "QUANTITY")]
    memory_request: Option<String>,
    /// The most memory, as 128Mi
    #[arg(long, value_name = "QUANTITY")]
    memory_limit: Option<String>,
    /// The least CPU, as 50m
    #[arg(long, value_name = "QUANTITY")]
    cpu_request: Option<String>,
    /// The most CPU, as 100m
    #[arg(long, value_name = "QUANTITY")]
    cpu_limit: Option<String>,
    /// Remove the function first, then create it
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    replace: bool,
    /// Update functions that are there; with =false they are an error
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    update: bool,
    /// Tell the platform the process that the template names; faas-cli's, under whose name alone it counts
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true, hide = true)]
    read_template: bool,
    /// Knative and Lambda: take over functions, on Knative also fields of functions, that something else deployed or
    /// changed; elsewhere they are updated without it
    #[arg(long, conflicts_with_all = ["replace", "update"])]
    adopt: bool,
    /// Remove what this stack deployed before and names no longer; what others deployed is left alone
    #[arg(long)]
    prune: bool,
    /// Deploy even what did not change
    #[arg(long)]
    force: bool,
    /// Give the new revision only so many percent of the traffic; `faas rollout promote` gives it all
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    canary: Option<u8>,
    /// Name images by their digest instead of their tag, so that what runs is what was pushed
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    digest: bool,
    /// Give the new revision an address of its own by this name, and no traffic unless --canary says so
    #[arg(long, value_name = "NAME", value_parser = values::dns_label)]
    revision_tag: Option<String>,
    /// Don't wait until the functions answer
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until a function answers [default: 1m, on Knative 5m]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    timeout: Option<Duration>,
}

impl DeployFlags {
    /// How to get from what is there to what should be.
    #[must_use]
    pub fn how(&self) -> How {
        match (self.replace, self.update) {
            _ if self.adopt => How::Adopt,
            (true, _) => How::Replace,
            (false, true) => How::Upsert,
            (false, false) => How::Create,
        }
    }

    /// Whether the process that a template names is told.
    #[must_use]
    pub fn reads_templates(&self) -> bool {
        self.read_template
    }

    /// Whether to deploy what did not change.
    #[must_use]
    pub fn force(&self) -> bool {
        self.force
    }

    /// Whether what the stack names no longer is removed.
    #[must_use]
    pub fn prune(&self) -> bool {
        self.prune
    }

    /// Whether images are named by their digest.
    #[must_use]
    pub fn by_digest(&self) -> bool {
        self.digest
    }

    /// How much of the traffic new revisions get, in percent; `None` is all.
    #[must_use]
    pub fn canary(&self) -> Option<u8> {
        self.canary
    }

    /// The name by which new revisions are called on their own.
    #[must_use]
    pub fn revision_tag(&self) -> Option<&str> {
        self.revision_tag.as_deref()
    }

    /// How long to wait for each function; zero doesn't wait.
    #[must_use]
    pub fn wait(&self, kind: ProviderKind) -> Duration {
        // A node of a cluster may have to pull the image first; what can't work is told long before that.
        let usual = if kind == ProviderKind::Knative { Duration::from_secs(300) } else { Duration::from_secs(60) };
        if self.no_wait { Duration::ZERO } else { self.timeout.unwrap_or(usual) }
    }

    /// Lays the flags over a function of the stack.
    pub fn apply(&self, function: &mut Function) {
        function.environment.extend(self.env.iter().cloned());
        function.labels.extend(self.label.iter().cloned());
        function.annotations.extend(self.annotation.iter().cloned());
        for secret in &self.secret {
            if !function.secrets.contains(secret) {
                function.secrets.push(secret.clone());
            }
        }
        if function.constraints.is_empty() {
            function.constraints.clone_from(&self.constraint);
        }
        if self.fprocess.is_some() {
            function.process.clone_from(&self.fprocess);
        }
        function.read_only |= self.readonly;
        if let Some(role) = &self.role {
            let lambda = function.extra.entry("lambda".to_owned()).or_insert_with(|| serde_json::json!({}));
            if let Some(lambda) = lambda.as_object_mut() {
                lambda.insert("role".into(), role.as_str().into());
            }
        }
        set(&mut function.requests, self.memory_request.as_ref(), self.cpu_request.as_ref());
        set(&mut function.limits, self.memory_limit.as_ref(), self.cpu_limit.as_ref());
    }
}

fn set(resources: &mut Resources, memory: Option<&String>, cpu: Option<&String>) {
    if memory.is_some() {
        resources.memory = memory.cloned();
    }
    if cpu.is_some() {
        resources.cpu = cpu.cloned();
    }
}

impl Deploy {
    /// Runs it.
    ///
    /// # Errors
    /// A stack that is wrong; every function that failed.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let options = Options { tag: self.tag.tag, ..Options::default() };
        let mut pipeline = pipeline::Pipeline {
            gateway: self.gateway,
            deploy: self.flags,
            options,
            parallel: self.parallel,
            builds: super::build::parallel(),
            build: false,
            push: false,
            deploys: true,
            dry: self.dry_run,
            templates: None,
        };
        match (self.name, self.image) {
            // What the flags name is what is meant, whatever lies in this folder.
            (Some(name), Some(image)) => {
                if pipeline.deploy.prune {
                    return Err(Fault::usage("--prune is for stack files: a function that is named by flags has none"));
                }
                super::new::check_name(&name)?;
                if let Err(why) = crate::stack::check_image(&image) {
                    return Err(Fault::usage(format!("`{image}` can't be an image's name: {why}")));
                }
                let mut function = Function { name, ..Function::default() };
                function.build.image = Some(image);
                function.build.skip = true;
                pipeline.options.tag = self.tag.tag;
                pipeline.run_alone(context, function).map(drop)
            }
            _ => pipeline.run(context, global).map(drop),
        }
    }
}
