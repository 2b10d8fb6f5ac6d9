//! Native bundles: a folder by name and fingerprint with the function and its dependencies, never changed once made.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::folder::Temporary;
use super::foreseen::Foreseen;
use super::index::{Record, now};
use super::tree::{self, Tree};
use super::{Built, Options, Project, requires, step};
use crate::artifact::Artifact;
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::template::file::cant_write;
use crate::template::manifest::Native;

/// A bundle with this file in it is not done.
const INCOMPLETE: &str = ".incomplete";
/// How many bundles of a function are kept.
const KEPT: usize = 3;

/// Builds the bundle of `function`, unless it is there.
pub(super) async fn build(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Built> {
    let name = &function.name;
    let started = Instant::now();
    let looked = now();
    let tree = tree::assemble(function, project, options, false)?;
    let native = native(function, &tree)?;
    let programs = requires::find(native, name, project.env)?;
    let key = format!("{name}/bundle");
    let stamp = tree.stamp()?.to_hex().to_string();
    let content = project.index.content(&key, &stamp, || tree.digest())?;
    let built = |digest: String, rebuilt, reason: String| {
        let dir = folder(project, name, &digest);
        Built { artifact: Artifact::Bundle { dir, digest, run: native.run_spec() }, rebuilt, reason }
    };
    let digest = fingerprint(&content, &programs);
    let dir = folder(project, name, &digest);
    if !options.no_cache && complete(&dir) {
        touch(&dir);
        project.index.set(&key, Record { stamp, content, output: String::new() }, tree.newest(), looked);
        return Ok(built(digest, false, "unchanged".into()));
    }

    let _lock = lock(project, name, progress).await?;
    if complete(&dir) && !options.no_cache {
        return Ok(built(digest, false, "unchanged".into()));
    }
    progress.step(name, "building");
    for program in &programs {
        program.check_version(native, name).await?;
    }
    let temporary = Temporary::new(project.bundles.join(format!(".tmp-{name}")));
    std::fs::create_dir_all(&temporary.path).map_err(|error| cant_write(&temporary.path, &error))?;
    mark(&temporary.path)?;
    // What is written counts, not what was there when it was looked at before.
    let content = tree.write(&temporary.path)?.to_hex().to_string();
    let digest = fingerprint(&content, &programs);
    let dir = folder(project, name, &digest);
    if dir.exists() {
        // Killed half-way, or to be built again. Whoever runs it keeps its open files; the marker tells the rest.
        std::fs::remove_dir_all(&dir).or_fault(|| format!("can't remove {}", dir.display()))?;
    }
    std::fs::rename(&temporary.path, &dir).map_err(|error| cant_write(&dir, &error))?;
    temporary.keep();
    // Dependencies are installed where they stay, since some write their own path into files.
    let unfinished = Temporary::unfinished(dir.clone());
    let cache = step::cache(project, name);
    for (steps, what) in
        [(&native.install, "installing dependencies"), (&native.build, "compiling"), (&native.check, "checking")]
    {
        for one in steps {
            let one = one.filled(&[("cache", &cache)]);
            if step::applies(&one, &dir)? {
                step::run(&one, &dir, name, what, progress).await?;
            }
        }
    }
    let marker = dir.join(INCOMPLETE);
    std::fs::remove_file(&marker).or_fault(|| format!("can't remove {}", marker.display()))?;
    unfinished.keep();
    project.index.set(&key, Record { stamp, content, output: String::new() }, tree.newest(), looked);
    prune(project, name);
    let reason = format!("built in {}", said(started.elapsed()));
    Ok(built(digest, true, reason))
}

/// What [`build()`] would make, and whether it is there already. Nothing is run.
pub(super) fn foresee(function: &Function, project: &Project<'_>, options: &Options) -> Result<Foreseen> {
    let tree = tree::assemble(function, project, options, false)?;
    let native = native(function, &tree)?;
    let programs = requires::find(native, &function.name, project.env)?;
    let stamp = tree.stamp()?.to_hex().to_string();
    let content = project.index.content(&format!("{}/bundle", function.name), &stamp, || tree.digest())?;
    let digest = fingerprint(&content, &programs);
    let dir = folder(project, &function.name, &digest);
    let kept = complete(&dir) && !options.no_cache;
    let artifact = Artifact::Bundle { dir, digest, run: native.run_spec() };
    Ok(if kept { Foreseen::Kept(artifact) } else { Foreseen::Built(artifact) })
}

/// Of everything that decides what the bundle will be.
fn fingerprint(content: &str, programs: &[requires::Program]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("faas 1 native bundle");
    hasher.update(content.as_bytes());
    for program in programs {
        hasher.update(program.identity().as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex().to_string()
}

/// A duration as people like it: `35ms`, `1.2s`.
pub(super) fn said(duration: Duration) -> String {
    match duration.as_millis() {
        ms @ 0..1000 => format!("{ms}ms"),
        _ => format!("{:.1}s", duration.as_secs_f64()),
    }
}

/// The bundle of an earlier build, by its digest, if it is kept.
///
/// # Errors
/// A template that is missing or can't run as a process.
pub fn kept(function: &Function, project: &Project<'_>, digest: &str) -> Result<Option<Artifact>> {
    let is_one = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    let dir = is_one.then(|| folder(project, &function.name, digest)).filter(|dir| complete(dir));
    let Some(dir) = dir else { return Ok(None) };
    let tree = tree::assemble(function, project, &Options::default(), false)?;
    touch(&dir);
    Ok(Some(Artifact::Bundle { dir, digest: digest.into(), run: native(function, &tree)?.run_spec() }))
}

fn native<'t>(function: &Function, tree: &'t Tree) -> Result<&'t Native> {
    let template = tree.template.as_ref();
    template.and_then(|template| template.manifest.native.as_ref()).ok_or_else(|| {
        let (name, lang) = (&function.name, &function.lang);
        Fault::unsupported(format!("{name}: lang {lang} needs a container engine; provider local runs processes"))
            .hint("choose another `lang`, give the template a `native:` block, or use provider openfaas")
    })
}

fn folder(project: &Project<'_>, name: &str, digest: &str) -> PathBuf {
    project.bundles.join(format!("{name}-{}", &digest[..16]))
}

fn complete(dir: &Path) -> bool {
    dir.is_dir() && !dir.join(INCOMPLETE).exists()
}

fn mark(dir: &Path) -> Result<()> {
    let marker = dir.join(INCOMPLETE);
    std::fs::write(&marker, "").map_err(|error| cant_write(&marker, &error))
}

/// So that [`prune`] sees when it was used last.
fn touch(dir: &Path) {
    if let Ok(file) = std::fs::File::open(dir) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Keeps other builds of the same function out until it is dropped.
pub(super) async fn lock(project: &Project<'_>, name: &str, progress: &dyn Progress) -> Result<std::fs::File> {
    std::fs::create_dir_all(&project.bundles).map_err(|error| cant_write(&project.bundles, &error))?;
    let path = project.bundles.join(format!(".lock-{name}"));
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| cant_write(&path, &error))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                if !told {
                    progress.step(name, "waiting for another build of it");
                    told = true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(Fault::failed(format!("can't lock {}", path.display())).cause(error));
            }
        }
    }
}

/// Removes all bundles of the function but the newest.
fn prune(project: &Project<'_>, name: &str) {
    let is_ours = |file: &str| {
        let digest = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        digest.is_some_and(|digest| digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut bundles: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(&project.bundles)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_ours))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    bundles.sort();
    bundles.reverse();
    for (_, old) in bundles.into_iter().skip(KEPT) {
        // Out of sight first: a bundle that is half removed must not look like one that is whole.
        let _ = mark(&old);
        let _ = std::fs::remove_dir_all(&old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Context, Dirs, Env};
    use crate::output::Output;
    use crate::progress::Silent;
    use crate::template::Catalogue;

    struct Bed {
        dir: tempfile::TempDir,
        context: Context,
        catalogue: Catalogue,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("project");
            std::fs::create_dir_all(root.join("tax")).unwrap();
            std::fs::write(root.join("tax/handler.py"), "def handle(req):\n    return req\n").unwrap();
            let env: Env = [("PATH".to_owned(), std::env::var("PATH").unwrap())].into_iter().collect();
            let at = |name: &str| dir.path().join(name);
            let dirs = Dirs { data: at("data"), cache: at("cache"), home: at("home") };
            let out = Output { quiet: true, ..Output::default() };
            let context = Context { env, cwd: root.clone(), dirs, out };
            Self { catalogue: Catalogue::new(&root), dir, context }
        }

        fn root(&self) -> PathBuf {
            self.dir.path().join("project")
        }

        fn build(&self) -> Result<Built> {
            let mut function = Function { name: "tax".into(), lang: "python3".into(), ..Function::default() };
            function.build.handler = self.root().join("tax");
            let root = self.root();
            let project = Project::new(&self.context, &root, &[], &self.catalogue);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(super::build(&function, &project, &Options::default(), &Silent))
        }
    }

    fn dir(built: &Built) -> PathBuf {
        match &built.artifact {
            Artifact::Bundle { dir, .. } => dir.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bundle_is_made_once_and_again_when_the_handler_changed() {
        let bed = Bed::new();
        let first = bed.build().unwrap();
        assert!(first.rebuilt);
        assert!(dir(&first).join("function/handler.py").is_file());
        let second = bed.build().unwrap();
        assert_eq!((second.rebuilt, second.reason.as_str()), (false, "unchanged"));
        assert_eq!(dir(&second), dir(&first));
        std::fs::write(bed.root().join("tax/handler.py"), "def handle(req):\n    return 1\n").unwrap();
        let third = bed.build().unwrap();
        assert!(third.rebuilt);
        assert_ne!(dir(&third), dir(&first));
    }

    #[test]
    fn a_bundle_killed_half_way_is_made_again() {
        let bed = Bed::new();
        let first = bed.build().unwrap();
        mark(&dir(&first)).unwrap();
        std::fs::remove_file(dir(&first).join("index.py")).unwrap();
        let second = bed.build().unwrap();
        assert!(second.rebuilt);
        assert!(dir(&second).join("index.py").is_file());
    }

    #[test]
    fn a_mistake_in_the_handler_is_shown_with_its_line_and_leaves_nothing() {
        let bed = Bed::new();
        std::fs::write(bed.root().join("tax/handler.py"), "def handle(req):\n    return (\n").unwrap();
        let fault = bed.build().unwrap_err();
        assert!(fault.to_string().contains("function/handler.py\", line 2"), "{fault}");
        let left: Vec<_> = std::fs::read_dir(bed.context.dirs.bundles()).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.iter().all(|path| path.to_string_lossy().contains(".lock-")), "{left:?}");
    }

    #[test]
    fn the_newest_three_are_kept() {
        let bed = Bed::new();
        for n in 0..5 {
            std::fs::write(bed.root().join("tax/handler.py"), format!("def handle(req):\n    return {n}\n")).unwrap();
            bed.build().unwrap();
        }
        let bundles = std::fs::read_dir(bed.context.dirs.bundles()).unwrap().flatten();
        assert_eq!(bundles.filter(|e| e.file_name().to_string_lossy().starts_with("tax-")).count(), 3);
    }
}
