//! What a whole `build --shrinkwrap` looked at: while all of it is as it was, the next one has nothing to read, and
//! needn't even read the stack file. Kept in the cache, and no loss when it is gone.
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{AtFlags, Stat, statat};

use super::folder::Shrinkwrapped;
use super::index::{TICK, now};
use super::tree::Tree;
use super::{Project, watchdog};
use crate::template::{Content, Stamp};

/// What was looked at for one function: paths, relative to the project where they lie in it, and a digest of all their
/// stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    paths: Vec<PathBuf>,
    hasher: Stamps,
    newest: i128,
    /// The folder `build`, relative to the project.
    build: PathBuf,
}

/// A digest of stamps, one after another.
#[derive(Debug, Clone)]
struct Stamps(blake3::Hasher);

impl Stamps {
    fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    fn add(&mut self, stamp: &Stamp) {
        self.0.update(&stamp.inode.to_le_bytes());
        self.0.update(&stamp.size.to_le_bytes());
        self.0.update(&stamp.changed.to_le_bytes());
    }

    fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

impl PartialEq for Stamps {
    fn eq(&self, other: &Self) -> bool {
        self.0.finalize() == other.0.finalize()
    }
}

impl Eq for Stamps {}

/// As [`Stamp::of`]. The change of a mode is a change, too.
fn stamp(stat: &Stat) -> Stamp {
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    Stamp {
        size: stat.st_size as u64,
        inode: stat.st_ino,
        changed: i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec as i64),
    }
}

impl Seen {
    /// What `tree` was made from, but for what many functions share; `None` when more was looked at than files and folders.
    pub(super) fn of(tree: &Tree, project: &Project<'_>) -> Option<Self> {
        let below = |path: &Path| path.strip_prefix(project.root).unwrap_or(path).to_owned();
        let mut seen = Self { paths: Vec::new(), hasher: Stamps::new(), newest: 0, build: below(&project.build_dir) };
        let own = tree.files.iter().filter(|file| file.kept.is_none()).filter_map(|file| match &file.content {
            Content::Disk(path, stamp) => Some((path, stamp)),
            Content::Bytes(_) => None,
        });
        for (path, stamp) in tree.folders.as_ref()?.iter().map(|(path, stamp)| (path, stamp)).chain(own) {
            seen.hasher.add(stamp);
            seen.newest = seen.newest.max(stamp.changed);
            seen.paths.push(below(path));
        }
        Some(seen)
    }

    /// Adds what was made: a path in the folder `build`.
    pub(super) fn output(&mut self, path: &Path, stat: &Stat) {
        self.hasher.add(&stamp(stat));
        self.paths.push(self.build.join(path));
    }
}

/// The memory of one project's builds with the same flags, environment and program.
pub struct Memo {
    path: PathBuf,
    key: String,
    root: PathBuf,
    looked: i128,
}

/// A function whose folder is as it was.
pub struct Same<'t> {
    /// Its name.
    pub name: &'t str,
    /// The digest of what is in its folder.
    pub content: &'t str,
}

impl Memo {
    /// The memory for the stack file `stack` in the folder `root`, when everything else that a build depends on and that
    /// is no file is `rest`.
    #[must_use]
    pub fn open(context: &crate::context::Context, root: &Path, stack: &[u8], rest: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&bytes.len().to_le_bytes());
            hasher.update(bytes);
        };
        add(env!("CARGO_PKG_VERSION").as_bytes());
        add(stack);
        add(rest.as_bytes());
        add(context.cwd.as_os_str().as_encoded_bytes());
        // The shell sets `_` to whatever was called last.
        for (name, value) in context.env.iter().filter(|(name, _)| *name != "_") {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        // Another program has other templates in it.
        for path in [Some(PathBuf::from("/proc/self/exe")), watchdog::find(&context.env, &context.dirs.cache)] {
            let stamp = path.as_ref().and_then(|path| std::fs::metadata(path).ok()).map(|m| Stamp::of(&m));
            add(format!("{path:?} {stamp:?}").as_bytes());
        }
        let name = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        Self {
            path: context.dirs.cache.join("builds").join(format!("{}.seen", &name[..16])),
            key: hasher.finalize().to_hex().to_string(),
            root: root.to_owned(),
            looked: now(),
        }
    }

    /// What was kept, unread.
    #[must_use]
    pub fn read(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        text.strip_prefix(&self.key)?.starts_with('\n').then_some(text)
    }

    /// The functions, in their order, when nothing that was looked at has changed since `text` was kept.
    #[must_use]
    pub fn same<'t>(&self, text: &'t str) -> Option<Vec<Same<'t>>> {
        let root = std::fs::File::open(&self.root).ok()?;
        let mut lines = text.strip_suffix('\n')?.lines().skip(1);
        let gone = lines.next()?;
        if gone.split('\0').any(|path| !path.is_empty() && self.root.join(path).symlink_metadata().is_ok()) {
            return None;
        }
        let lines: Vec<&str> = lines.collect();
        let (next, changed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            loop {
                let from = next.fetch_add(32, Ordering::Relaxed);
                if from >= lines.len() || changed.load(Ordering::Relaxed) {
                    return;
                }
                if !lines[from..(from + 32).min(lines.len())].iter().all(|line| is_same(&root, line)) {
                    changed.store(true, Ordering::Relaxed);
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
        std::thread::scope(|scope| {
            for _ in 1..threads.min(lines.len().div_ceil(32)) {
                scope.spawn(work);
            }
            work();
        });
        if changed.into_inner() {
            return None;
        }
        // The first line is what all share.
        let same = |line: &&'t str| {
            let (name, rest) = line.split_once('\t')?;
            Some(Same { name, content: rest.split_once('\t')?.0 })
        };
        lines.get(1..)?.iter().map(same).collect()
    }

    /// Keeps what was looked at for `done`, by templates, and in `files` besides; forgets what was kept before when that
    /// can't tell of every change to come, or something changed too shortly before.
    pub fn keep(&self, done: &[Shrinkwrapped], project: &Project<'_>, files: &[PathBuf]) {
        let Some(text) = self.text(done, project, files) else {
            let _ = std::fs::remove_file(&self.path);
            return;
        };
        let write = || -> std::io::Result<()> {
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(&self.path)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!("can't write {}: {error}", self.path.display());
        }
    }

    fn text(&self, done: &[Shrinkwrapped], project: &Project<'_>, files: &[PathBuf]) -> Option<String> {
        let (mut gone, mut shared) = (String::new(), String::new());
        let (mut stamps, mut newest) = (Stamps::new(), 0);
        let mut looked = project.catalogue.looked_at()?;
        for path in files.iter().chain(project.watchdog.as_ref()) {
            // A file that is not there yet counts once it comes.
            looked.push((path.clone(), std::fs::symlink_metadata(path).ok().map(|metadata| Stamp::of(&metadata))));
        }
        for (path, stamp) in &looked {
            let path = plain(path)?;
            match stamp {
                Some(stamp) => {
                    stamps.add(stamp);
                    newest = newest.max(stamp.changed);
                    shared += "\0";
                    shared += path;
                }
                None => {
                    gone += path;
                    gone += "\0";
                }
            }
        }
        let mut text = format!("{}\n{gone}\n-\t-\t{}\t{}\n", self.key, stamps.hex(), shared.trim_start_matches('\0'));
        for one in done {
            let seen = one.seen.as_ref()?;
            newest = newest.max(seen.newest);
            text += &format!("{}\t{}\t{}\t", one.name, one.content, seen.hasher.hex());
            for (n, path) in seen.paths.iter().enumerate() {
                text += if n > 0 { "\0" } else { "" };
                text += plain(path)?;
            }
            text += "\n";
        }
        (newest + TICK < self.looked).then_some(text)
    }
}

/// A path that can stand in a line.
fn plain(path: &Path) -> Option<&str> {
    path.to_str().filter(|path| !path.contains(['\n', '\t', '\r', '\0']) && !path.is_empty())
}

/// Whether everything in a line is as it was.
fn is_same(root: impl AsFd, line: &str) -> bool {
    let mut fields = line.splitn(4, '\t').skip(2);
    let (Some(digest), Some(paths)) = (fields.next(), fields.next()) else { return false };
    let mut stamps = Stamps::new();
    for path in paths.split('\0').filter(|path| !path.is_empty()) {
        match statat(&root, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stamps.add(&stamp(&stat)),
            Err(_) => return false,
        }
    }
    stamps.0.finalize().to_hex().as_str() == digest
}
