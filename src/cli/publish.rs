//! `faas publish`: build for several platforms and push, in one go.
use clap::Args;

use super::build::{Alone, BuildFlags};
use super::{Global, each, stack_file};
use crate::artifact::{Artifact, ArtifactKind};
use crate::build::publish::{Published, publish_all};
use crate::build::{Built, Options, Project, build_all, shrinkwrap};
use crate::context::Context;
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::output::{progress, table};
use crate::platform;
use crate::runtime;
use crate::stack::Configuration;
use crate::template::Catalogue;

/// Build the functions' images, for several platforms if you like, and push them
#[derive(Args)]
#[command(after_help = "Examples:\n  faas publish --platforms linux/amd64,linux/arm64\n  \
                        faas publish --engine none --tag sha --extra-tag latest")]
pub struct Publish {
    #[command(flatten)]
    build: BuildFlags,
    /// The platforms; without it those of the stack, else linux/amd64
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    platforms: Vec<String>,
    /// Another tag for the same image
    #[arg(long = "extra-tag", value_name = "TAG")]
    extra_tags: Vec<String>,
    /// Only write the context folders build/NAME
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    shrinkwrap: bool,
    /// Refused: it would run a privileged container on the engine
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide = true)]
    reset_qemu: bool,
    #[command(flatten)]
    alone: Alone,
}

/// `up --publish`: the images of several platforms, built and pushed in one step.
#[derive(Args, Clone, Default)]
pub struct Platforms {
    /// Build for --platforms and push in one step, instead of building here and pushing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    publish: bool,
    /// With --publish: the platforms; without it those of the stack, else linux/amd64
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "publish")]
    platforms: Vec<String>,
}

impl Platforms {
    /// Whether it was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.publish
    }

    /// Builds and pushes the functions of a stack.
    ///
    /// # Errors
    /// When at least one function failed.
    pub fn run(&self, context: &Context, stack: &crate::stack::Stack, flags: &BuildFlags) -> Result<()> {
        let mut functions: Vec<Function> = stack.functions.iter().filter(|f| !f.build.skip).cloned().collect();
        set_platforms(&mut functions, &self.platforms)?;
        let catalogue = Catalogue::new(&stack.origin.root);
        let project = Project::new(context, &stack.origin.root, &stack.configuration.copy, &catalogue);
        let progress = progress::for_output(&context.out);
        let options = flags.options(context)?;
        let work = publish_all(&functions, &project, &options, &[], flags.parallel(), progress.as_ref());
        runtime::block_on_parallel(async { work.await.together() }).map(drop)
    }
}

impl Publish {
    /// Runs it.
    ///
    /// # Errors
    /// When at least one function failed.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        if self.reset_qemu {
            return Err(Fault::unsupported(
                "--reset-qemu runs a privileged container that changes the kernel's settings",
            )
            .hint("run it yourself: docker run --rm --privileged multiarch/qemu-user-static --reset -p yes"));
        }
        let options = self.build.options(context)?;
        let (root, configuration, mut functions) = match self.alone.function(context) {
            Some(function) => (context.cwd.clone(), Configuration::default(), vec![function]),
            None => {
                let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
                (stack.origin.root, stack.configuration, stack.functions)
            }
        };
        functions.retain(|function| !function.build.skip);
        set_platforms(&mut functions, &self.platforms)?;
        self.build.templates.complete(&functions, &configuration, &root, context)?;
        let catalogue = Catalogue::new(&root);
        let project = Project::new(context, &root, &configuration.copy, &catalogue);
        let progress = progress::for_output(&context.out);
        if self.shrinkwrap {
            let done = shrinkwrap(&functions, &project, &options, progress.as_ref())?;
            return context.out.result(&done, || {
                done.iter().map(|one| format!("{0} shrink-wrapped to build/{0}\n", one.name)).collect()
            });
        }
        let parallel = self.build.parallel();
        if options.remote.is_some() {
            return self.remote(&functions, &project, &options, context);
        }
        let work = publish_all(&functions, &project, &options, &self.extra_tags, parallel, progress.as_ref());
        let several = runtime::block_on_parallel(async { Ok(work.await) })?;
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        let entry = |_: &str, one: &Published| serde_json::to_value(one).unwrap_or_default();
        let done = each::or_told(several, &names, entry, context)?;
        context.out.result(&done, || {
            let row = |one: &Published| {
                vec![one.name.clone(), one.image.clone(), one.digest.clone(), one.platforms.join(",")]
            };
            table::columns(&["NAME", "IMAGE", "DIGEST", "PLATFORMS"], &done.iter().map(row).collect::<Vec<_>>())
        })
    }

    /// By the builder, which pushes what it makes, for all platforms at once.
    fn remote(
        &self,
        functions: &[Function],
        project: &Project<'_>,
        options: &Options,
        context: &Context,
    ) -> Result<()> {
        if !self.extra_tags.is_empty() {
            context.out.warn("--extra-tag is left out: a remote builder gives an image one name");
        }
        let progress = progress::for_output(&context.out);
        let kind = |_: &Function| ArtifactKind::Image;
        let work = build_all(functions, kind, project, options, self.build.parallel(), progress.as_ref());
        let several = runtime::block_on_parallel(async { Ok(work.await) })?;
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        let row = |function: &Function, built: &Built| match &built.artifact {
            Artifact::Image { reference, .. } => {
                vec![function.name.clone(), reference.clone(), function.build.platforms.join(",")]
            }
            _ => vec![function.name.clone(), String::new(), String::new()],
        };
        let object = |row: &Vec<String>| serde_json::json!({ "name": row[0], "image": row[1], "platforms": row[2] });
        let entry = |_: &str, (function, built): &(&Function, Built)| object(&row(function, built));
        let built = each::or_told(several, &names, entry, context)?;
        let rows: Vec<Vec<String>> = built.iter().map(|(function, built)| row(function, built)).collect();
        let objects: Vec<serde_json::Value> = rows.iter().map(object).collect();
        context.out.result(&objects, || table::columns(&["NAME", "IMAGE", "PLATFORMS"], &rows))
    }
}

/// The platforms that a flag names, else each function's own, else the usual one.
fn set_platforms(functions: &mut [Function], given: &[String]) -> Result<()> {
    let named = given.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    let named = platform::all(named).map_err(|wrong| {
        Fault::usage(format!("`--platforms {wrong}`: there is no such platform")).hint(platform::HINT)
    })?;
    for function in functions {
        if !named.is_empty() {
            function.build.platforms.clone_from(&named);
        } else if function.build.platforms.is_empty() {
            function.build.platforms = vec!["linux/amd64".to_owned()];
        }
    }
    Ok(())
}
