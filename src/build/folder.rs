//! The context folder `build/NAME`, laid out as faas-cli does; made whole or not at all, and only when something changed.
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::Stat;
use serde::Serialize;

use super::index::{Record, now};
use super::memo::Seen;
use super::tree::{self, Tree};
use super::{Options, Project, size};
use crate::error::{Fault, Kind, OrFault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::template::file::{Below, cant_write};

/// A context folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shrinkwrapped {
    /// The function.
    pub name: String,
    /// Its folder, absolute.
    pub dir: PathBuf,
    /// Whether it was made anew.
    pub rebuilt: bool,
    /// The digest of everything in it.
    pub content: String,
    /// What was looked at to see that it is as it was.
    // Boxed: it is as large as a page of memory, and there may be thousands.
    #[serde(skip)]
    pub seen: Option<Box<Seen>>,
}

impl Shrinkwrapped {
    /// The folder of a function of the project at `root` that is as it was.
    #[must_use]
    pub fn same(name: &str, content: &str, root: &Path) -> Self {
        let dir = root.join("build").join(name);
        Self { name: name.into(), dir, rebuilt: false, content: content.into(), seen: None }
    }
}

/// Makes the context folders of all `functions` that are built here. All are tried; the faults of those that failed are
/// told through `progress` and in the one that is returned.
///
/// # Errors
/// When at least one failed.
pub fn shrinkwrap(
    functions: &[Function],
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Vec<Shrinkwrapped>> {
    lock(project)?;
    let mut results: Vec<Option<Result<Shrinkwrapped>>> = Vec::new();
    results.resize_with(functions.len(), || None);
    let results = Mutex::new(results);
    let next = AtomicUsize::new(0);
    let work = || {
        // By handfuls, so that the threads seldom meet.
        loop {
            let from = next.fetch_add(16, Ordering::Relaxed);
            if from >= functions.len() {
                return;
            }
            let until = (from + 16).min(functions.len());
            let done: Vec<_> = functions[from..until]
                .iter()
                .map(|function| prepare(function, project, options, progress).map(|(done, _)| done))
                .collect();
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (slot, one) in results[from..until].iter_mut().zip(done) {
                *slot = Some(one);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    std::thread::scope(|scope| {
        for _ in 1..threads.min(functions.len().div_ceil(16)) {
            scope.spawn(work);
        }
        work();
    });
    project.index.save();
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut done = Vec::new();
    let mut faults = Vec::new();
    for (function, result) in functions.iter().zip(results.into_iter().flatten()) {
        match result {
            Ok(one) => done.push(one),
            Err(fault) => {
                if functions.len() > 1 {
                    progress.failed(&function.name, &fault.without(&function.name));
                }
                faults.push(fault);
            }
        }
    }
    match worst(faults, functions.len(), "build") {
        Some(fault) => Err(fault),
        None => Ok(done),
    }
}

/// The fault for several: the only one as it is, else how many failed, with the worst one's kind and the first hint.
pub(crate) fn worst(mut faults: Vec<Fault>, of: usize, verb: &str) -> Option<Fault> {
    if faults.len() <= 1 && of <= 1 {
        return faults.pop();
    }
    let kind = faults.iter().map(|fault| fault.kind).max_by_key(|kind| (*kind != Kind::Failed, *kind))?;
    let mut fault = Fault::new(kind, format!("{} of {of} functions did not {verb}", faults.len()));
    // Each was told by itself, with all of its lines.
    fault.cause = faults.first().and_then(|fault| fault.to_string().lines().next().map(str::to_owned));
    fault.hint = faults.iter().find_map(|fault| fault.hint.clone());
    Some(fault)
}

/// Keeps other builds of the project out until `project` is dropped, and clears away what killed ones left.
fn lock(project: &Project<'_>) -> Result<()> {
    if project.lock.get().is_none() {
        let file = open_lock(project)?;
        file.lock().or_fault(|| format!("can't lock {}", project.build_dir.display()))?;
        locked(project, file);
    }
    Ok(())
}

/// The same for async callers: waiting for another build can be interrupted.
#[cfg(feature = "image")]
pub(super) async fn lock_async(project: &Project<'_>, subject: &str, progress: &dyn Progress) -> Result<()> {
    let mut told = false;
    while project.lock.get().is_none() {
        let file = open_lock(project)?;
        match file.try_lock() {
            Ok(()) => locked(project, file),
            Err(std::fs::TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    progress.step(subject, "waiting for another build in this project");
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(Fault::failed(format!("can't lock {}", project.build_dir.display())).cause(error));
            }
        }
    }
    Ok(())
}

fn open_lock(project: &Project<'_>) -> Result<std::fs::File> {
    let dir = &project.build_dir;
    if std::fs::symlink_metadata(dir).is_ok_and(|m| m.is_symlink() || !m.is_dir()) {
        return Err(Fault::usage(format!("{} is in the way: builds go there", dir.display()))
            .hint("move it away; it must be a folder of its own, not a link"));
    }
    std::fs::create_dir_all(dir).map_err(|error| cant_write(dir, &error))?;
    // The folder itself is the lock, so that nothing of it shows in the folder.
    std::fs::File::open(dir).or_fault(|| format!("can't open {}", dir.display()))
}

fn locked(project: &Project<'_>, file: std::fs::File) {
    if project.lock.set(Lock { folder: file, path: project.build_dir.clone() }).is_ok() {
        sweep(&project.build_dir);
    }
}

/// The folder `build`, which keeps other builds out while it is held.
pub(super) struct Lock {
    folder: std::fs::File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What only builds need is not left in the user's folder.
        sweep(&self.path);
    }
}

/// Clears away what builds leave in `dir` beside their results; whoever calls it holds the lock, so nobody uses them.
fn sweep(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".tmp-") {
            let _ = std::fs::remove_dir_all(entry.path());
        } else if name.as_encoded_bytes().starts_with(b".faas-watchdog-") {
            // Folders that are linked to it keep what they have.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A folder that is removed again unless it is kept.
pub(super) struct Temporary {
    pub path: PathBuf,
    armed: bool,
}

impl Temporary {
    pub fn new(path: PathBuf) -> Self {
        let _ = std::fs::remove_dir_all(&path);
        Self { path, armed: true }
    }

    /// A folder that is there, and removed unless it is finished.
    pub fn unfinished(path: PathBuf) -> Self {
        Self { path, armed: true }
    }

    pub fn keep(mut self) {
        self.armed = false;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.armed {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes the context folder of one function, unless it is there and nothing changed.
pub(super) fn prepare(
    function: &Function,
    project: &Project<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<(Shrinkwrapped, Tree)> {
    let looked = now();
    let tree = tree::assemble(function, project, options, true)?;
    let dir = project.build_dir.join(&function.name);
    let stamp = tree.stamp()?.to_hex().to_string();
    let known = project.index.get(&function.name);
    if let Some(known) = known.filter(|known| known.stamp == stamp) {
        let mut seen = Seen::of(&tree, project).map(Box::new);
        if output(&dir, &tree, project, Looked::Not(seen.as_deref_mut())).is_some_and(|output| output == known.output) {
            let done = Shrinkwrapped { name: function.name.clone(), dir, rebuilt: false, content: known.content, seen };
            return Ok((done, tree));
        }
    }
    size::warn(&function.name, &tree, progress);
    // Nothing of that name is there: they were swept away when the lock was taken.
    let beside = PathBuf::from(format!(".tmp-{}", function.name));
    let temporary = Temporary::unfinished(project.build_dir.join(&beside));
    let (content, written) = tree.write_below(&below(project)?, &beside, true)?;
    replace(temporary, &dir)?;
    let output = output(&dir, &tree, project, Looked::Just(&written)).unwrap_or_default();
    let (content, newest) = (content.to_hex().to_string(), tree.newest());
    project.index.set(&function.name, Record { stamp, content: content.clone(), output }, newest, looked);
    Ok((Shrinkwrapped { name: function.name.clone(), dir, rebuilt: true, content, seen: None }, tree))
}

/// The build folder, by way of the lock's handle on it.
fn below<'p>(project: &'p Project<'_>) -> Result<Below<'p>> {
    let folder =
        project.lock.get().ok_or_else(|| Fault::failed(format!("{} is not locked", project.build_dir.display())))?;
    Ok(Below { folder: folder.folder.as_fd(), path: &project.build_dir })
}

/// Puts the folder in the place of `dir`, in one step where the file system can.
fn replace(new: Temporary, dir: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let fail = |error: std::io::Error| cant_write(dir, &error);
    match std::fs::rename(&new.path, dir) {
        Ok(()) => {
            new.keep();
            return Ok(());
        }
        Err(error) if std::fs::symlink_metadata(dir).is_err() => return Err(fail(error)),
        Err(_) => {}
    }
    match renameat_with(CWD, &new.path, CWD, dir, RenameFlags::EXCHANGE) {
        // What was there before is now the temporary one, and goes with it.
        Ok(()) => {
            if std::fs::symlink_metadata(&new.path).is_ok_and(|m| !m.is_dir()) {
                let _ = std::fs::remove_file(&new.path);
            }
            Ok(())
        }
        Err(_) => {
            let old = Temporary::new(
                new.path.with_file_name(format!(".tmp-old-{}", dir.file_name().unwrap_or_default().to_string_lossy())),
            );
            std::fs::rename(dir, &old.path).map_err(fail)?;
            std::fs::rename(&new.path, dir).map_err(fail)?;
            new.keep();
            Ok(())
        }
    }
}

/// What is known of the files of a folder before its stamp is taken.
enum Looked<'a> {
    /// Nothing; who is here gets to know what was looked at.
    Not(Option<&'a mut Seen>),
    /// They were written just now, and this is what the disk said.
    Just(&'a [Stat]),
}

/// The stamp of the folder that was made from `tree`; `None` when something of it is missing.
fn output(dir: &Path, tree: &Tree, project: &Project<'_>, looked: Looked<'_>) -> Option<String> {
    use rustix::fs::{AtFlags, statat};
    // By way of the lock's handle on the build folder: thousands of lookups are shorter by the way there.
    let base = &project.lock.get()?.folder;
    let (mut seen, written) = match looked {
        Looked::Not(seen) => (seen, None),
        Looked::Just(written) => (None, Some(written)),
    };
    let mut hasher = blake3::Hasher::new();
    let mut add = |path: &Path, known: Option<&Stat>| {
        let stat = match known {
            Some(stat) => *stat,
            None => statat(base, path, AtFlags::SYMLINK_NOFOLLOW).ok()?,
        };
        hasher.update(&stat.st_ino.to_le_bytes());
        hasher.update(&stat.st_size.to_le_bytes());
        hasher.update(&stat.st_mtime.to_le_bytes());
        hasher.update(&stat.st_mtime_nsec.to_le_bytes());
        hasher.update(&stat.st_mode.to_le_bytes());
        if let Some(seen) = &mut seen {
            seen.output(path, &stat);
        }
        Some(())
    };
    let name = dir.file_name()?;
    let mut folders: Vec<&OsStr> = Vec::new();
    let mut path = PathBuf::new();
    for (n, file) in tree.files.iter().enumerate() {
        path.as_mut_os_string().clear();
        path.push(name);
        path.push(&file.path);
        add(&path, written.and_then(|written| written.get(n)))?;
        folders.extend(file.path.ancestors().skip(1).map(Path::as_os_str));
    }
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        add(&Path::new(name).join(folder), None)?;
    }
    Some(hasher.finalize().to_hex().to_string())
}
