//! From a function and its template to an artifact: a context folder, a native bundle or a container image.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::artifact::{Artifact, ArtifactKind};
use crate::context::{Context, Env};
use crate::error::Result;
use crate::function::Function;
use crate::progress::Progress;
use crate::template::{Catalogue, File};

#[cfg(feature = "image")]
mod architecture;
#[cfg(feature = "image")]
mod archive;
#[cfg(feature = "image")]
mod builder;
#[cfg(feature = "image")]
mod buildkit;
pub mod bundle;
pub mod cache;
mod check;
#[cfg(feature = "image")]
mod classic;
#[cfg(feature = "image")]
pub mod container;
#[cfg(feature = "image")]
mod daemon;
pub mod dockerfile;
#[cfg(all(feature = "image", feature = "lambda"))]
mod elsewhere;
#[cfg(feature = "image")]
pub mod engine;
pub mod folder;
#[cfg(feature = "lambda")]
mod foreign;
pub mod foreseen;
mod ignore;
#[cfg(feature = "image")]
pub mod image;
mod index;
#[cfg(feature = "image")]
mod inputs;
#[cfg(feature = "image")]
mod log;
#[cfg(feature = "image")]
mod mask;
mod memo;
#[cfg(feature = "image")]
pub mod oci;
#[cfg(feature = "image")]
mod origin;
#[cfg(feature = "image")]
pub mod prune;
#[cfg(feature = "image")]
pub mod publish;
#[cfg(feature = "image")]
pub mod push;
#[cfg(feature = "image")]
pub mod remote;
pub mod requires;
mod several;
mod size;
mod step;
pub mod tag;
pub mod test;
pub mod tree;
pub mod watch;
mod watchdog;
#[cfg(feature = "lambda")]
mod zip;

#[cfg(feature = "image")]
pub use buildkit::{Agent, DEFAULT_AGENT, Secret};
pub use check::{Wrong, check};
pub use folder::{Shrinkwrapped, shrinkwrap};
pub use memo::Memo;
#[cfg(feature = "image")]
pub use push::{Pushed, push, push_all};
pub use several::Several;
pub use tag::TagMode;

use index::Index;

/// A project, and where its builds are kept.
pub struct Project<'a> {
    /// The stack file's folder, absolute.
    pub root: &'a Path,
    /// Where context folders go: `build` in the project.
    pub build_dir: PathBuf,
    /// Where native bundles are kept, by name and fingerprint.
    pub bundles: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
    /// `configuration.copy`: what goes into each handler folder too; relative to the project.
    pub copy: &'a [PathBuf],
    /// The templates.
    pub catalogue: &'a Catalogue,
    /// The environment: proxies, `PATH`, `DOCKER_HOST`.
    pub env: &'a Env,
    /// The user's home, for the engine's configuration.
    pub home: PathBuf,
    /// The static `faas-watchdog` that images of our templates need; `None` when there is none.
    pub watchdog: Option<PathBuf>,
    /// The invokers that were found for contexts, by the processor.
    invokers: std::sync::Mutex<std::collections::HashMap<String, File>>,
    index: Index,
    lock: OnceLock<folder::Lock>,
    #[cfg(feature = "image")]
    engine: tokio::sync::OnceCell<engine::Engine>,
    #[cfg(feature = "image")]
    builder: tokio::sync::OnceCell<buildkit::BuildKit>,
    /// The registries, for what is done without the engine.
    #[cfg(feature = "image")]
    pub registries: crate::registry::Registries,
    /// What base images are there for, as far as somebody says so.
    #[cfg(feature = "image")]
    bases: tokio::sync::Mutex<std::collections::HashMap<String, Told>>,
    #[cfg(feature = "image")]
    origin: OnceLock<BTreeMap<String, String>>,
    /// Done once the first of several builds with the same Dockerfile and arguments is.
    #[cfg(feature = "image")]
    shared: tokio::sync::Mutex<std::collections::HashMap<String, std::sync::Arc<tokio::sync::OnceCell<()>>>>,
}

/// The platforms of a base image, asked once.
#[cfg(feature = "image")]
type Told = std::sync::Arc<tokio::sync::OnceCell<Option<Vec<String>>>>;

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Build even when nothing changed, and without the engine's cache.
    pub no_cache: bool,
    /// Look for newer base images.
    pub pull: bool,
    /// What `--tag` adds to images' names.
    pub tag: TagMode,
    /// Build arguments; they win over the function's own.
    pub args: BTreeMap<String, String>,
    /// Every `ADDITIONAL_PACKAGE` given.
    pub packages: Vec<String>,
    /// Names of `build_options` in the template, besides the function's own.
    pub options: Vec<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// What goes into each handler folder too; relative to the project.
    pub copy_extra: Vec<PathBuf>,
    /// Say why each image is built.
    pub explain: bool,
    /// Give up the others when one failed.
    pub fail_fast: bool,
    /// Push while building, where the builder keeps no images.
    pub push: bool,
    /// Caches that BuildKit takes layers from: `type=registry,ref=NAME`, or the NAME alone.
    pub cache_from: Vec<String>,
    /// Caches that BuildKit puts layers into.
    pub cache_to: Vec<String>,
    /// Put images together without a container engine.
    pub engineless: bool,
    /// Install an archive's dependencies in a container: of this image, or when it is empty of the template's.
    pub container: Option<String>,
    /// The builder that makes images in the place of an engine here, and pushes them.
    #[cfg(feature = "image")]
    pub remote: Option<remote::Remote>,
    /// Build secrets by id; they win over the function's own.
    #[cfg(feature = "image")]
    pub secrets: BTreeMap<String, Secret>,
    /// Agents of ssh by id.
    #[cfg(feature = "image")]
    pub ssh: BTreeMap<String, Agent>,
    /// What is attested of images, and how, in BuildKit's words: `sbom`, `provenance`.
    pub attestations: BTreeMap<String, String>,
}

/// What a build gave.
#[derive(Debug, Clone)]
pub struct Built {
    /// What was built, now or before.
    pub artifact: Artifact,
    /// Whether anything was done.
    pub rebuilt: bool,
    /// Why, or why not; as `unchanged`.
    pub reason: String,
}

impl<'a> Project<'a> {
    /// The project at `root` with the folders and the environment of `context`.
    #[must_use]
    pub fn new(context: &'a Context, root: &'a Path, copy: &'a [PathBuf], catalogue: &'a Catalogue) -> Self {
        Self {
            root,
            build_dir: root.join("build"),
            bundles: context.dirs.bundles(),
            cache: context.dirs.cache.clone(),
            copy,
            catalogue,
            env: &context.env,
            home: context.dirs.home.clone(),
            watchdog: watchdog::find(&context.env, &context.dirs.cache),
            invokers: std::sync::Mutex::default(),
            index: Index::open(&context.dirs.cache, root),
            lock: OnceLock::new(),
            #[cfg(feature = "image")]
            engine: tokio::sync::OnceCell::new(),
            #[cfg(feature = "image")]
            builder: tokio::sync::OnceCell::new(),
            #[cfg(feature = "image")]
            registries: crate::registry::Registries::of(context, root),
            #[cfg(feature = "image")]
            bases: tokio::sync::Mutex::default(),
            #[cfg(feature = "image")]
            origin: OnceLock::new(),
            #[cfg(feature = "image")]
            shared: tokio::sync::Mutex::default(),
        }
    }
}

impl Project<'_> {
    /// Whether the invoker needs a C library wherever it runs.
    #[must_use]
    pub fn watchdog_is_dynamic(&self) -> bool {
        self.watchdog.as_deref().is_some_and(watchdog::is_dynamic)
    }

    /// Uses a login that the platform gave, rather than docker's.
    pub fn log_in(&self, login: crate::backend::RegistryLogin) {
        #[cfg(feature = "image")]
        self.registries.logins.give(login);
        #[cfg(not(feature = "image"))]
        drop(login);
    }
}

/// What starts the invoker in an archive: Lambda's custom runtimes start a file of this name.
pub const LAMBDA_ENTRY: &str = "bootstrap";

/// Builds a function as an artifact of the given kind, unless nothing changed since it was built last. A function with
/// `skip_build` gives the name of its image, whatever the kind.
///
/// The digest of an image is its registry's when it was pushed before, else the engine's id; [`push()`] gives the
/// registry's.
///
/// # Errors
/// When the function's files or its template can't be used, a program is missing, or a step of the build fails.
pub async fn build(
    function: &Function,
    kind: ArtifactKind,
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Built> {
    if function.build.skip {
        let reference = tag::reference(function, options.tag, project.root)?;
        let artifact = Artifact::Image { reference, digest: None };
        return Ok(Built { artifact, rebuilt: false, reason: "made elsewhere (skip_build)".into() });
    }
    #[cfg(feature = "image")]
    if let (ArtifactKind::Image, Some(remote)) = (kind, &options.remote) {
        return remote::build(function, project, options, remote, progress).await;
    }
    match kind {
        #[cfg(feature = "image")]
        ArtifactKind::Image if options.engineless => oci::build(function, project, options, progress).await,
        #[cfg(feature = "image")]
        ArtifactKind::Image => image::build(function, project, options, progress).await,
        ArtifactKind::Bundle => bundle::build(function, project, options, progress).await,
        #[cfg(feature = "lambda")]
        ArtifactKind::Archive => zip::build(function, project, options, progress).await,
        #[cfg(not(all(feature = "image", feature = "lambda")))]
        kind => Err(crate::error::Fault::unsupported(format!(
            "{}: this build of faas makes no {}",
            function.name,
            said(kind)
        ))),
    }
}

/// Whether the function goes to Lambda as an image: its `lambda.package` says so, or it is nothing else.
#[must_use]
pub fn is_image_on_lambda(function: &Function) -> bool {
    let package = function.extra.get("lambda").and_then(|lambda| lambda.get("package")?.as_str());
    package == Some("image") || function.lang.is_empty() || function.build.skip || tree::is_dockerfile(function)
}

#[cfg(not(all(feature = "image", feature = "lambda")))]
fn said(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::Image => "container images",
        ArtifactKind::Archive => "zip archives",
        ArtifactKind::Bundle => "native bundles",
    }
}

/// Builds functions, so many at a time, each as the kind that `kind` says. All are tried; how each went is told through
/// `progress`.
pub async fn build_all<'f>(
    functions: &'f [Function],
    kind: impl Fn(&Function) -> ArtifactKind,
    project: &Project<'_>,
    options: &Options,
    parallel: usize,
    progress: &dyn Progress,
) -> Several<(&'f Function, Built)> {
    use futures_util::StreamExt;
    let one = async |(nth, function): (usize, &'f Function)| {
        let result = build(function, kind(function), project, options, progress).await;
        match &result {
            Ok(built) => progress.done(&function.name, &built.reason),
            Err(fault) if functions.len() > 1 => progress.failed(&function.name, &fault.without(&function.name)),
            Err(_) => {}
        }
        (nth, result.map(|built| (function, built)))
    };
    let work = futures_util::stream::iter(functions.iter().enumerate().map(one)).buffer_unordered(parallel.max(1));
    let mut each: Vec<Option<Result<(&Function, Built)>>> = Vec::new();
    each.resize_with(functions.len(), || None);
    {
        let mut work = std::pin::pin!(work);
        while let Some((nth, result)) = work.next().await {
            let failed = result.is_err();
            each[nth] = Some(result);
            // Those under way are dropped, which ends them in the engine too.
            if options.fail_fast && failed {
                break;
            }
        }
    }
    Several::new(each, "build")
}
