//! `faas build`: functions to what their platform runs, or with `--shrinkwrap` to their context folders.
use std::borrow::Cow;
use std::cell::RefCell;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::template::missing::TemplateFlags;
use super::{Global, compat, each, stack_file};
use crate::artifact::{Artifact, ArtifactKind};
use crate::build::{self, Memo, Options, Project, Shrinkwrapped, TagMode};
use crate::context::Context;
use crate::error::{Code, Fault, Kind, Result};
use crate::function::Function;
use crate::output::progress;
use crate::problem::class;
use crate::runtime;
use crate::stack::{Configuration, ProviderKind, Stack};
use crate::template::Catalogue;

#[cfg(feature = "image")]
mod buildkit;
mod content;
mod pushed;
#[cfg(feature = "image")]
use buildkit::BuildKitFlags;
pub use content::Content;
use pushed::pushed;

/// Build the functions of the stack; those that did not change are left alone
#[derive(Args)]
#[command(after_help = "Examples:\n  faas build\n  faas build --filter 'tax*' --tag sha --parallel 4\n  \
                        faas build --shrinkwrap && docker build build/tax")]
pub struct Build {
    #[command(flatten)]
    flags: BuildFlags,
    /// Only write the context folders build/NAME
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    shrinkwrap: bool,
    /// Push the images too; a builder of its own (BUILDKIT_HOST) does so while it builds
    #[cfg(feature = "image")]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    push: bool,
    /// Then remove what no build needs any more: the engine's images of faas that have no name, and layers of no image
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    prune: bool,
    #[command(flatten)]
    alone: Alone,
}

/// `--tag`, of every command that names images.
#[derive(Args, Clone, Default)]
pub struct TagFlag {
    /// What the image's tag says besides: latest, sha, branch, describe (from git) or digest (of the handler)
    #[arg(long, default_value = "latest", value_name = "MODE", value_parser = clap::value_parser!(TagMode))]
    pub tag: TagMode,
}

/// Flags of every command that builds.
#[derive(Args, Clone, Default)]
pub struct BuildFlags {
    #[command(flatten)]
    content: Content,
    /// Build even when nothing changed, without the engine's cache
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    no_cache: bool,
    /// Look for newer base images
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pull: bool,
    /// How many at a time
    #[arg(long, value_name = "N", value_parser = super::values::parallel)]
    parallel: Option<usize>,
    /// Say why each image is built: which file or argument changed
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    explain: bool,
    /// Give up the others when one failed
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    fail_fast: bool,
    #[cfg(feature = "image")]
    #[command(flatten)]
    buildkit: BuildKitFlags,
    #[command(flatten)]
    pub(super) templates: TemplateFlags,
    #[cfg(feature = "image")]
    #[command(flatten)]
    remote: super::remote_builder::RemoteFlags,
}

/// One function without a stack file.
#[derive(Args)]
pub(super) struct Alone {
    /// Without a stack file: the function's name
    #[arg(long, requires_all = ["lang", "handler"], value_name = "NAME")]
    name: Option<String>,
    /// Without a stack file: the function's template
    #[arg(long, value_name = "LANG")]
    lang: Option<String>,
    /// Without a stack file: the handler's folder
    #[arg(long, value_name = "DIR")]
    handler: Option<PathBuf>,
    /// Without a stack file: the image to build
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
}

/// How many functions are deployed at a time unless told: mostly they wait for the platform.
pub const DEPLOYMENTS: usize = 128;

/// How many builds or pushes run at a time unless told.
#[must_use]
pub fn parallel() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8))
}

impl BuildFlags {
    /// How to build.
    ///
    /// # Errors
    /// When a `KEY=VALUE` has no `=`.
    pub fn options(&self, context: &Context) -> Result<Options> {
        let options = Options {
            no_cache: self.no_cache,
            pull: self.pull,
            explain: self.explain,
            fail_fast: self.fail_fast,
            #[cfg(feature = "image")]
            remote: self.remote(context)?,
            ..self.content.options(context)?
        };
        #[cfg(feature = "image")]
        let options = self.buildkit.lay_over(options, context)?;
        Ok(options)
    }

    /// The builder that makes the images; `None` for an engine here.
    #[cfg(feature = "image")]
    fn remote(&self, context: &Context) -> Result<Option<build::remote::Remote>> {
        let remote = self.remote.remote(context)?;
        if remote.is_some() && self.pull {
            return Err(Fault::usage("--pull is not supported with --remote-builder"));
        }
        Ok(remote)
    }

    /// How many at a time.
    #[must_use]
    pub fn parallel(&self) -> usize {
        self.parallel.map_or_else(parallel, |given| given.max(1))
    }

    /// How many functions are deployed at a time: as many as are built when that was said, else as `faas deploy` does.
    #[must_use]
    pub fn deployments(&self) -> usize {
        self.parallel.map_or(DEPLOYMENTS, |given| given.max(1))
    }
}

/// The fault, and what shows of it in the stack file, each thing at its place there.
fn placed(mut fault: Fault, stack: &Stack, provider: ProviderKind, options: &Options, context: &Context) -> Fault {
    let root = &stack.origin.root;
    let catalogue = Catalogue::new(root);
    let project = Project::new(context, root, &stack.configuration.copy, &catalogue);
    let built: Vec<&Function> = stack.functions.iter().filter(|function| !function.build.skip).collect();
    let found = build::check(&built, |function| kind(provider, function), &project, options);
    if !found.iter().any(|wrong| wrong.problem.is_error()) {
        return fault;
    }
    for wrong in found {
        let place = stack.place(&wrong.problem.field);
        fault.problems.push(wrong.problem.at(place));
    }
    let code = class(&fault.problems);
    Fault { kind: Kind::Usage, ..fault.code(code) }
}

/// The same of a template that is nowhere; what can't be fetched is no fault of the file.
pub(super) fn unknown(fault: Fault, stack: &Stack, options: &Options, context: &Context) -> Fault {
    match fault.code {
        Code::TEMPLATE_MISSING => placed(fault, stack, stack.provider.kind, options, context),
        _ => fault,
    }
}

/// What a function is built as for a platform.
pub(super) fn kind(provider: ProviderKind, function: &Function) -> ArtifactKind {
    match provider {
        ProviderKind::Local => ArtifactKind::Bundle,
        ProviderKind::Lambda if !crate::build::is_image_on_lambda(function) => ArtifactKind::Archive,
        _ => ArtifactKind::Image,
    }
}

fn print(done: &[Shrinkwrapped], context: &Context) -> Result<()> {
    context.out.result(&done, || {
        let mut text = String::with_capacity(done.len() * 40);
        for one in done {
            let name = &one.name;
            text += &match one.rebuilt {
                true => format!("{name} shrink-wrapped to build/{name}\n"),
                false => format!("{name}: unchanged in build/{name}\n"),
            };
        }
        text
    })
}

/// A line of the result.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    artifact: &'a Artifact,
    rebuilt: bool,
    reason: &'a str,
}

impl<'a> Line<'a> {
    fn of(name: &'a str, built: &'a build::Built) -> Self {
        Self { name, artifact: &built.artifact, rebuilt: built.rebuilt, reason: &built.reason }
    }
}

/// The context folders of a stack's functions, and nothing more.
///
/// # Errors
/// What can't be put together.
pub(super) fn contexts(context: &Context, stack: &Stack, options: &Options) -> Result<()> {
    let root = &stack.origin.root;
    let functions: Vec<Function> = stack.functions.iter().filter(|function| !function.build.skip).cloned().collect();
    let catalogue = Catalogue::new(root);
    let project = Project::new(context, root, &stack.configuration.copy, &catalogue);
    let done = build::shrinkwrap(&functions, &project, options, progress::for_output(&context.out).as_ref())?;
    print(&done, context)
}

impl Build {
    /// Runs it.
    pub fn run(self, context: &Context, global: &Global) -> Result<()> {
        let options = Options { push: self.pushes(), ..self.flags.options(context)? };
        if let Some(function) = self.alone.function(context) {
            self.flags.templates.complete(
                std::slice::from_ref(&function),
                &Configuration::default(),
                &context.cwd,
                context,
            )?;
            return self.build(&[function], &context.cwd, &[], ProviderKind::OpenFaas, &options, context);
        }
        if self.shrinkwrap {
            return self.shrinkwrap(&options, context, global);
        }
        let stack = stack_file::load(context, global)?.ok_or_else(stack_file::missing)?;
        let Stack { origin, configuration, functions, provider, .. } = &stack;
        if functions.is_empty() {
            context.out.note(format_args!("there are no functions in {}: nothing to do", origin.name));
        }
        let pulled = self.flags.templates.complete(functions, configuration, &origin.root, context);
        pulled.map_err(|fault| unknown(fault, &stack, &options, context))?;
        self.build(functions, &origin.root, &configuration.copy, provider.kind, &options, context)
            .map_err(|fault| placed(fault, &stack, provider.kind, &options, context))
    }

    /// The context folders; at a glance when nothing changed since the last time.
    fn shrinkwrap(&self, options: &Options, context: &Context, global: &Global) -> Result<()> {
        let document = stack_file::read(context, global)?.ok_or_else(stack_file::missing)?;
        let root = document.origin.root.clone();
        let memo = Memo::open(context, &root, &document.bytes, &format!("{options:?} {global:?}"));
        let kept = if options.no_cache { None } else { memo.read() };
        if let Some(same) = kept.as_ref().and_then(|text| memo.same(text)) {
            let done: Vec<Shrinkwrapped> =
                same.iter().map(|one| Shrinkwrapped::same(one.name, one.content, &root)).collect();
            return print(&done, context);
        }
        let files = RefCell::new(Vec::new());
        let stack = stack_file::load_noting(context, global, &document, &files)?;
        let pulled = self.flags.templates.complete(&stack.functions, &stack.configuration, &root, context);
        pulled.map_err(|fault| unknown(fault, &stack, options, context))?;
        let catalogue = Catalogue::new(&root);
        let project = Project::new(context, &root, &stack.configuration.copy, &catalogue);
        let progress = progress::for_output(&context.out);
        // Copied only when there is one to leave out: thousands of functions are not small.
        let functions = &stack.functions;
        let built_here: Cow<'_, [Function]> = match functions.iter().any(|function| function.build.skip) {
            true => functions.iter().filter(|function| !function.build.skip).cloned().collect(),
            false => functions.into(),
        };
        let done = build::shrinkwrap(&built_here, &project, options, progress.as_ref())
            .map_err(|fault| placed(fault, &stack, ProviderKind::OpenFaas, options, context))?;
        // Warnings are told each time, so such a stack is read each time. What was made just now is kept in mind by the
        // next build, which has less to do.
        if stack.warnings.is_empty() && !done.iter().any(|one| one.rebuilt) {
            memo.keep(&done, &project, &files.into_inner());
        }
        print(&done, context)
    }

    fn build(
        &self,
        functions: &[Function],
        root: &std::path::Path,
        copy: &[PathBuf],
        provider: ProviderKind,
        options: &Options,
        context: &Context,
    ) -> Result<()> {
        let catalogue = Catalogue::new(root);
        let project = Project::new(context, root, copy, &catalogue);
        let progress = progress::for_output(&context.out);
        if self.shrinkwrap {
            let done = build::shrinkwrap(functions, &project, options, progress.as_ref())?;
            return print(&done, context);
        }
        let parallel = self.flags.parallel();
        let progress = progress.as_ref();
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        let entry = |name: &str, (_, built): &(&Function, build::Built)| {
            serde_json::to_value(Line::of(name, built)).unwrap_or_default()
        };
        let built = runtime::block_on(async {
            let work = build::build_all(functions, |f| kind(provider, f), &project, options, parallel, progress);
            let built = each::or_told(work.await, &names, entry, context)?;
            if !options.push {
                return Ok(built);
            }
            each::or_told(pushed(built, &project, options, parallel, progress).await, &names, entry, context)
        })?;
        let lines: Vec<Line<'_>> = built.iter().map(|(function, built)| Line::of(&function.name, built)).collect();
        if self.prune {
            #[cfg(feature = "image")]
            runtime::block_on(build::prune::prune(&project, options, progress))?;
        }
        // For people, the progress on stderr has said it all.
        context.out.answer(&lines, String::new, |_| compat::functions::built(&built))
    }
}

impl Build {
    #[cfg(feature = "image")]
    fn pushes(&self) -> bool {
        self.push
    }

    #[cfg(not(feature = "image"))]
    fn pushes(&self) -> bool {
        false
    }
}

impl Alone {
    pub(super) fn function(&self, context: &Context) -> Option<Function> {
        let mut function = Function { name: self.name.clone()?, lang: self.lang.clone()?, ..Function::default() };
        function.build.handler = context.absolute(self.handler.as_ref()?);
        function.build.image.clone_from(&self.image);
        Some(function)
    }
}
