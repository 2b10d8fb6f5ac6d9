//! From a function and its template to an artifact: a context folder, a native bundle or a container image.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::artifact::{Artifact, ArtifactKind};
use crate::context::{Context, Env};
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::template::Catalogue;

pub mod bundle;
pub mod folder;
mod index;
mod requires;
mod step;
pub mod tree;

pub use folder::{Shrinkwrapped, shrinkwrap};

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
    index: Index,
    lock: OnceLock<std::fs::File>,
}

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Build even when nothing changed, and without the engine's cache.
    pub no_cache: bool,
    /// Look for newer base images.
    pub pull: bool,
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
            watchdog: find_watchdog(&context.env, &context.dirs.cache),
            index: Index::open(&context.dirs.cache, root),
            lock: OnceLock::new(),
        }
    }
}

/// The static watchdog: named by `FAAS_WATCHDOG`, beside this program, or in the cache.
fn find_watchdog(env: &Env, cache: &Path) -> Option<PathBuf> {
    let named = env.get("FAAS_WATCHDOG").map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.canonicalize().ok()?.with_file_name(WATCHDOG)));
    named.into_iter().chain(beside).chain([cache.join(WATCHDOG)]).find(|path| path.is_file())
}

/// The watchdog's name as a file.
pub(crate) const WATCHDOG: &str = "faas-watchdog";

/// Builds a function as an artifact of the given kind, unless nothing changed since it was built last.
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
    match kind {
        ArtifactKind::Bundle => bundle::build(function, project, options, progress).await,
        kind => Err(Fault::unsupported(format!("{}: can't build {}", function.name, said(kind)))),
    }
}

fn said(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::Image => "a container image",
        ArtifactKind::Archive => "a zip archive",
        ArtifactKind::Bundle => "a native bundle",
    }
}
