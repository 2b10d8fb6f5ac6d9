//! Templates of repositories into a project's `template/`: each repository is fetched once, several at a time, and a
//! template's folder is what it was or what it is to be, never something between.
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::git::tree::{Files, Node};
use super::git::{Commit, Git};
use super::lock::{Lock, Pin};
use super::repository::{Reference, Repository};
use super::{file, is_name};
use crate::error::{Fault, OrFault, Result};

/// Where a template's folder says what it came from, as faas-cli writes it.
const META: &str = "meta.json";
/// How many repositories are fetched at a time.
const PARALLEL: usize = 8;

/// What is to be pulled from a repository.
#[derive(Debug, Clone)]
pub struct Order {
    /// The repository.
    pub repository: Repository,
    /// What of it.
    pub what: What,
}

/// What of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// All its templates, each into the folder of its name, with `@ref` when there is one.
    All,
    /// One.
    One {
        /// Its name there.
        theirs: String,
        /// The folder that it goes into.
        into: String,
    },
}

/// How commits are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// What the repository has now; the lock follows.
    Move,
    /// What the lock says, where it says something.
    Keep,
    /// What the lock says, and nothing else.
    Frozen,
}

/// What became of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// The folder's name in `template/`.
    pub name: String,
    /// Its name in the repository.
    pub template: String,
    /// The repository.
    pub repository: String,
    /// The branch, tag or commit that was asked for; empty for the default branch.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit.
    pub commit: String,
    /// What was done.
    pub action: Action,
    /// Why this is the commit of last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The folder is new, or is another than it was.
    Written,
    /// The folder was so already.
    Unchanged,
    /// There is a folder, which was not to be overwritten.
    Kept,
}

/// `meta.json`, as faas-cli writes it.
#[derive(Serialize, Deserialize)]
struct Meta {
    repository: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ref_name: String,
    #[serde(default)]
    sha: String,
    written_at: String,
}

/// Pulls templates into a project.
pub struct Puller<'a> {
    /// The way to git.
    pub git: Git<'a>,
    /// The project: `template/` and `template.lock` are in it.
    pub root: &'a Path,
    /// Whether folders that are there are replaced.
    pub overwrite: bool,
    /// How commits are chosen.
    pub pinning: Pinning,
}

/// One commit's worth of work on a repository.
struct Job {
    repository: Repository,
    pinned: Option<String>,
    what: Vec<What>,
}

impl Puller<'_> {
    /// Pulls what is ordered.
    ///
    /// # Errors
    /// The first thing that fails; what was pulled until then stays, whole.
    pub async fn pull(&self, orders: Vec<Order>) -> Result<Vec<Pulled>> {
        let lock = Lock::read(self.root)?;
        // By repository, because its folder in the cache is for one at a time.
        let mut repositories: BTreeMap<String, Vec<Job>> = BTreeMap::new();
        for order in orders {
            for job in self.jobs(order, &lock)? {
                let jobs = repositories.entry(job.repository.url.clone()).or_default();
                match jobs.iter_mut().find(|j| j.repository == job.repository && j.pinned == job.pinned) {
                    Some(known) => known.what.extend(job.what),
                    None => jobs.push(job),
                }
            }
        }
        let work = repositories.into_values().map(|jobs| async move {
            let mut pulled = Vec::new();
            for job in jobs {
                pulled.extend(self.job(job).await?);
            }
            Ok::<_, Fault>(pulled)
        });
        let done: Vec<_> = futures_util::stream::iter(work).buffer_unordered(PARALLEL).try_collect().await?;
        let mut done: Vec<(Pulled, Option<Pin>)> = done.into_iter().flatten().collect();
        done.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        if self.pinning != Pinning::Frozen {
            Lock::change(self.root, |templates| {
                templates.extend(done.iter().filter_map(|(pulled, pin)| Some((pulled.name.clone(), pin.clone()?))));
            })?;
        }
        Ok(done.into_iter().map(|(pulled, _)| pulled).collect())
    }

    /// The lock's own orders, for a project whose `template/` is not there yet.
    ///
    /// # Errors
    /// When the lock can't be read, or names nothing.
    pub fn locked(&self) -> Result<Vec<Order>> {
        let lock = Lock::read(self.root)?;
        if lock.templates.is_empty() {
            return Err(Fault::not_found("there is nothing in template.lock to pull")
                .hint("`faas template pull REPO` and `faas template store pull NAME` write it"));
        }
        let order = |(into, pin): (&String, &Pin)| {
            let reference =
                if pin.reference.is_empty() { Reference::Default } else { Reference::parse(&pin.reference)? };
            let repository = Repository::parse(&pin.repository, self.root)?.at(reference);
            Ok(Order { repository, what: What::One { theirs: pin.template.clone(), into: into.clone() } })
        };
        lock.templates.iter().map(order).collect()
    }

    /// An order as commits: one, or as many as the lock names.
    fn jobs(&self, order: Order, lock: &Lock) -> Result<Vec<Job>> {
        let Order { repository, what } = order;
        let reference = repository.reference.text();
        let fits = |pin: &Pin| pin.repository == repository.url && pin.reference == reference;
        let pinned: Vec<(&String, &Pin)> = match &what {
            _ if self.pinning == Pinning::Move => Vec::new(),
            What::All => lock.templates.iter().filter(|(_, pin)| fits(pin)).collect(),
            What::One { theirs, into } => lock
                .templates
                .get_key_value(into)
                .filter(|(_, pin)| fits(pin) && pin.template == *theirs)
                .into_iter()
                .collect(),
        };
        if pinned.is_empty() && self.pinning == Pinning::Frozen {
            let name = match &what {
                What::All => "none of its templates is".to_owned(),
                What::One { into, .. } => format!("the template `{into}` is not"),
            };
            return Err(Fault::usage(format!("{} can't be used with --frozen", repository.shown()))
                .cause(format!("{name} in template.lock"))
                .hint("pull it without --frozen once, and commit template.lock"));
        }
        if pinned.is_empty() || what == What::All && self.pinning == Pinning::Keep {
            return Ok(vec![Job { repository, pinned: None, what: vec![what] }]);
        }
        let job = |(into, pin): (&String, &Pin)| Job {
            repository: repository.clone(),
            pinned: Some(pin.commit.clone()),
            what: vec![What::One { theirs: pin.template.clone(), into: into.clone() }],
        };
        Ok(pinned.into_iter().map(job).collect())
    }

    async fn job(&self, job: Job) -> Result<Vec<(Pulled, Option<Pin>)>> {
        let Job { repository, pinned, what } = job;
        let newest = self.pinning == Pinning::Move;
        let commit = self.git.commit(&repository, pinned.as_deref(), newest).await?;
        let names = self.git.names(&commit).await?.filter(|names| !names.is_empty()).ok_or_else(|| {
            Fault::not_found(format!("can't find templates in {}", repository.shown()))
                .hint("templates are the folders below template/ of a repository")
        })?;
        if let Some((one, other)) = clash(&names) {
            return Err(Fault::failed(format!("the templates of {} can't be used", repository.shown()))
                .cause(format!("`{one}` and `{other}` are one name where upper and lower case are the same"))
                .hint("nothing was written; tell whoever keeps the repository"));
        }
        let reference = repository.reference.text();
        let mut wanted: Vec<(String, String)> = Vec::new();
        for what in what {
            match what {
                What::One { theirs, into } => wanted.push((theirs, into)),
                What::All => wanted.extend(names.iter().map(|name| {
                    let at =
                        if reference.is_empty() { String::new() } else { format!("@{}", reference.replace('/', "-")) };
                    (name.clone(), format!("{name}{at}"))
                })),
            }
        }
        wanted.sort();
        wanted.dedup();
        let mut done = Vec::new();
        for (theirs, into) in wanted {
            if !names.contains(&theirs) {
                return Err(Fault::not_found(format!("there is no template `{theirs}` in {}", repository.shown()))
                    .cause(format!("there are {}", names.join(", "))));
            }
            if !is_name(&into) {
                return Err(Fault::failed(format!("the template {into:?} of {} can't be used", repository.shown()))
                    .cause("a template is named by letters, digits and -_.@"));
            }
            done.push(self.one(&repository, &commit, theirs, into).await?);
        }
        Ok(done)
    }

    async fn one(
        &self,
        repository: &Repository,
        commit: &Commit,
        theirs: String,
        into: String,
    ) -> Result<(Pulled, Option<Pin>)> {
        let folder = self.root.join("template").join(&into);
        let mut pulled = Pulled {
            name: into,
            template: theirs,
            repository: repository.url.clone(),
            reference: repository.reference.text(),
            commit: commit.sha.clone(),
            action: Action::Kept,
            stale: commit.stale.clone(),
        };
        let is_there = std::fs::symlink_metadata(&folder).is_ok();
        if is_there && !self.overwrite {
            return Ok((pulled, None));
        }
        let files = self.git.files(commit, &pulled.template).await?;
        let digest = digest_of(&files);
        let same = is_there
            && sha(&folder).as_deref() == Some(&commit.sha)
            && digest_on_disk(&folder).as_ref() == Some(&digest);
        pulled.action = if same { Action::Unchanged } else { Action::Written };
        if !same {
            self.write(&files, &pulled, &folder)?;
        }
        let pin = Pin {
            repository: pulled.repository.clone(),
            reference: pulled.reference.clone(),
            template: pulled.template.clone(),
            commit: pulled.commit.clone(),
            digest,
        };
        Ok((pulled, Some(pin)))
    }

    /// Makes the folder beside its place, then puts it there.
    fn write(&self, files: &Files, pulled: &Pulled, folder: &Path) -> Result<()> {
        let cant = || format!("can't write the template {} into template/{}", pulled.template, pulled.name);
        let above = self.root.join("template");
        std::fs::create_dir_all(&above).or_fault(cant)?;
        // Removed with all that is in it, whatever happens: what was there before, when all goes well.
        let temporary = tempfile::Builder::new().prefix(".faas-pull-").tempdir_in(&above).or_fault(cant)?;
        let new = temporary.path().join("new");
        std::fs::create_dir(&new).or_fault(cant)?;
        for (path, node) in files {
            let to = new.join(path);
            match node {
                Node::File(bytes, program) => file::write(&to, bytes, if *program { 0o755 } else { 0o644 })?,
                Node::Link(target) => {
                    to.parent().map_or(Ok(()), std::fs::create_dir_all).or_fault(cant)?;
                    std::os::unix::fs::symlink(target, &to).or_fault(cant)?;
                }
            }
        }
        let meta = Meta {
            repository: pulled.repository.clone(),
            ref_name: pulled.reference.clone(),
            sha: pulled.commit.clone(),
            written_at: jiff::Timestamp::now().to_string(),
        };
        let meta = serde_json::to_vec(&meta).or_fault(cant)?;
        let place = new.join(META);
        let _ = std::fs::remove_file(&place);
        file::write(&place, &meta, 0o644)?;
        put(&new, folder, &temporary.path().join("old")).map_err(|error| Fault::failed(cant()).cause(error))
    }
}

/// Writes a template of this binary into the project at `root`, where it can be changed.
///
/// # Errors
/// When it can't be written, or is there and not to be overwritten.
pub fn write_built_in(template: &super::Template, root: &Path, overwrite: bool) -> Result<()> {
    let name = &template.name;
    let cant = || format!("can't write the template {name} into template/{name}");
    let above = root.join("template");
    let folder = above.join(name);
    if !overwrite && std::fs::symlink_metadata(&folder).is_ok() {
        return Err(Fault::failed(format!("unable to overwrite the following: [{name}]"))
            .hint("leave --overwrite=false out to replace it"));
    }
    std::fs::create_dir_all(&above).or_fault(cant)?;
    let temporary = tempfile::Builder::new().prefix(".faas-pull-").tempdir_in(&above).or_fault(cant)?;
    let new = temporary.path().join("new");
    template.copy_to(&new)?;
    put(&new, &folder, &temporary.path().join("old")).map_err(|error| Fault::failed(cant()).cause(error))?;
    Lock::change(root, |templates| drop(templates.remove(name)))
}

/// Two names that are one on file systems that don't tell upper from lower case.
pub(super) fn clash(names: &[String]) -> Option<(&str, &str)> {
    let mut seen = BTreeMap::new();
    names.iter().find_map(|name| seen.insert(name.to_lowercase(), name).map(|other| (other.as_str(), name.as_str())))
}

/// Puts the folder `new` at `place`; what is there goes to `old` or `new`, which are both removed by the caller.
fn put(new: &Path, place: &Path, old: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match std::fs::symlink_metadata(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => std::fs::rename(new, place),
        Err(error) => Err(error),
        Ok(there) if !there.is_dir() => {
            Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "there is a file or a link of that name"))
        }
        Ok(_) => match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            // A file system that can't exchange two: one after the other, and back when that fails.
            Err(_) => {
                std::fs::rename(place, old)?;
                std::fs::rename(new, place).inspect_err(|_| drop(std::fs::rename(old, place)))
            }
        },
    }
}

/// The commit that a template's folder says that it came from.
fn sha(folder: &Path) -> Option<String> {
    let meta: Meta = serde_json::from_slice(&std::fs::read(folder.join(META)).ok()?).ok()?;
    Some(meta.sha)
}

fn digest_of(files: &Files) -> String {
    let mut digest = Digest::default();
    for (path, node) in files.iter().filter(|(path, _)| *path != Path::new(META)) {
        match node {
            Node::File(bytes, program) => digest.add(path, if *program { 1 } else { 0 }, bytes),
            Node::Link(to) => digest.add(path, 2, to.as_os_str().as_bytes()),
        }
    }
    digest.finish()
}

/// The digest of a template's folder as the lock has it; `None` when there are things in it that no repository holds.
#[must_use]
pub fn digest_on_disk(folder: &Path) -> Option<String> {
    let mut found: BTreeMap<PathBuf, (u8, Vec<u8>)> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry.ok()?;
        let path = entry.path().strip_prefix(folder).ok()?.to_owned();
        let kind = entry.file_type();
        if kind.is_dir() || path == Path::new(META) {
            continue;
        }
        let what = if kind.is_symlink() {
            (2, std::fs::read_link(entry.path()).ok()?.as_os_str().as_bytes().to_vec())
        } else if kind.is_file() {
            let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().ok()?.permissions());
            (u8::from(mode & 0o100 != 0), std::fs::read(entry.path()).ok()?)
        } else {
            return None;
        };
        found.insert(path, what);
    }
    let mut digest = Digest::default();
    found.iter().for_each(|(path, (kind, bytes))| digest.add(path, *kind, bytes));
    Some(digest.finish())
}

/// Of paths in order, what each is, and what is in it.
#[derive(Default)]
struct Digest(blake3::Hasher);

impl Digest {
    fn add(&mut self, path: &Path, kind: u8, bytes: &[u8]) {
        let path = path.as_os_str().as_bytes();
        self.0.update(&(path.len() as u64).to_le_bytes()).update(path).update(&[kind]);
        self.0.update(blake3::hash(bytes).as_bytes());
    }

    fn finish(self) -> String {
        format!("blake3:{}", self.0.finalize().to_hex())
    }
}
