//! `faas push`: images to their registries.
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::build::{TagFlag, parallel};
use super::session::{GatewayFlags, Session};
use super::{Global, each, stack_file};
use crate::artifact::ArtifactKind;
use crate::build::{self, Project};
use crate::context::Context;
use crate::error::Result;
use crate::function::Function;
use crate::output::{progress, table};
use crate::runtime;
use crate::template::Catalogue;

/// Push the functions' images to their registries
#[derive(Args)]
#[command(after_help = "Example:\n  faas push --filter tax")]
pub struct Push {
    #[command(flatten)]
    tag: TagFlag,
    /// How many at a time
    #[arg(long, default_value_t = parallel(), value_name = "N", hide_default_value = true, value_parser = super::values::parallel)]
    parallel: usize,
}

#[derive(Serialize)]
struct Pushed {
    name: String,
    image: String,
    digest: String,
    /// Whether anything was sent; the registry may have had it.
    sent: bool,
}

impl Push {
    /// Runs it.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        let catalogue = Catalogue::new(&stack.origin.root);
        let project = Project::new(context, &stack.origin.root, &stack.configuration.copy, &catalogue);
        let mut images = Vec::new();
        let session = Session::with(context, &GatewayFlags::default(), Some(stack.clone()), Duration::ZERO)?;
        // An archive is no image; a function that runs here as a process may well be pushed as one.
        let wanted = |f: &&Function| !f.build.skip && session.backend.wants(f) != ArtifactKind::Archive;
        for function in stack.functions.iter().filter(wanted) {
            let image = build::tag::reference(function, self.tag.tag, &stack.origin.root)?;
            images.push((function.name.clone(), image));
        }
        let progress = progress::for_output(&context.out);
        let several = runtime::block_on(async {
            for (_, image) in &images {
                if let Some(login) = session.backend.registry(image).await? {
                    project.log_in(login);
                }
            }
            Ok(build::push_all(&images, &project, self.parallel, progress.as_ref()).await)
        })?;
        let names: Vec<&str> = images.iter().map(|(name, _)| name.as_str()).collect();
        let of = |name: &str, done: &build::Pushed| {
            let image = images.iter().find(|(one, _)| one == name).map(|(_, image)| image.clone()).unwrap_or_default();
            Pushed { name: name.to_owned(), image, digest: done.digest.clone(), sent: done.sent }
        };
        let entry = |name: &str, done: &build::Pushed| serde_json::to_value(of(name, done)).unwrap_or_default();
        let done = each::or_told(several, &names, entry, context)?;
        let pushed: Vec<Pushed> = names.iter().zip(&done).map(|(name, done)| of(name, done)).collect();
        context.out.result(&pushed, || {
            let row = |p: &Pushed| vec![p.name.clone(), p.image.clone(), p.digest.clone()];
            table::columns(&["NAME", "IMAGE", "DIGEST"], &pushed.iter().map(row).collect::<Vec<_>>())
        })
    }
}
