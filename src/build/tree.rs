//! Everything that goes into a function's build: its template, its handler over that, and what is copied in besides.
use std::cell::Cell;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::Stat;

use super::ignore::Ignore;
use super::watchdog::NAME as WATCHDOG;
use super::{Options, Project};
use crate::error::{Fault, OrFault, Result};
use crate::function::Function;
use crate::template::Template;
use crate::template::file::{self, Below, Content, File, Stamp};

mod invoker;

/// What handlers leave out of a build, by the rules of `.dockerignore`.
const IGNORE: &str = ".faasignore";

/// The files of a build, sorted by path, and the template that they came with.
#[derive(Default)]
pub struct Tree {
    /// The files.
    pub files: Vec<File>,
    /// The template; `None` for `lang: dockerfile`, which needs none.
    pub template: Option<Arc<Template>>,
    /// The digests of the files in their order, once they were read.
    digests: OnceLock<Vec<blake3::Hash>>,
    /// The folders that were looked through for them, `None` when that doesn't tell of every change to come: when links
    /// were followed, or more was copied in than the handler.
    pub folders: Option<Vec<file::Folder>>,
}

/// Whether the function brings a Dockerfile of its own instead of a handler.
#[must_use]
pub fn is_dockerfile(function: &Function) -> bool {
    function.lang.eq_ignore_ascii_case("dockerfile")
}

/// Finds everything that goes into the build of `function`. Only looks at the files, reads none of them.
///
/// # Errors
/// When the handler, the template or a copied path is missing, or holds what can't be built.
pub fn assemble(function: &Function, project: &Project<'_>, options: &Options, image: bool) -> Result<Tree> {
    check_name(&function.name)?;
    if function.lang.is_empty() {
        return Err(Fault::usage(format!("{}: no `lang` says how to build it", function.name))
            .hint("add `lang:` to the function, or `skip_build: true` when its image is made elsewhere"));
    }
    let template = if is_dockerfile(function) { None } else { Some(project.catalogue.get(&function.lang)?) };
    let into = Path::new(template.as_ref().map_or("", |t| t.manifest.handler_folder()));
    let below = |t: &Arc<Template>| t.files().iter().filter(|file| !t.is_starter(&file.path)).cloned().collect();
    let mut files: Vec<File> = template.as_ref().map(below).unwrap_or_default();
    let mut add = |file: File| files.push(file);
    let (own, mut folders) = handler(function, project)?;
    for file in own {
        add(File { path: into.join(&file.path), ..file });
    }
    let extra = options.copy_extra.iter().chain(project.copy).chain(&function.build.copy);
    for path in extra {
        folders = None;
        for file in copied(path, project)? {
            add(File { path: into.join(&file.path), ..file });
        }
    }
    if image && invoker::is_wanted(template.as_deref().map(|t| &t.manifest), function)? {
        // Which one depends on more than folders.
        folders = folders.filter(|_| function.build.platforms.is_empty());
        invoker::add(&mut files, function, project)?;
    }
    // What came later lies over what was there. By bytes: paths compare part by part, which is slow.
    files.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    files.dedup_by(|later, earlier| {
        later.path == earlier.path && {
            std::mem::swap(later, earlier);
            true
        }
    });
    Ok(Tree { files, template, folders, digests: OnceLock::new() })
}

/// Names become folders, so nothing but a plain name will do.
fn check_name(name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if name.is_empty() || name.starts_with('.') || !plain {
        return Err(Fault::usage(format!("`{name}` is no name for a function"))
            .hint("use lower-case letters, digits and `-`, starting and ending with a letter or digit"));
    }
    Ok(())
}

fn handler(function: &Function, project: &Project<'_>) -> Result<(Vec<File>, Option<Vec<file::Folder>>)> {
    let folder = &function.build.handler;
    let shown = folder.strip_prefix(project.root).unwrap_or(folder).display();
    let ignored = Ignore::read(&folder.join(IGNORE), &format!("{shown}/{IGNORE}"))
        .map_err(|fault| Fault { message: format!("{}: {}", function.name, fault.message), ..fault })?;
    let through = ignored.has_exceptions();
    let listed = Cell::new(false);
    let wanted = |path: &Path, is_dir: bool| {
        // `build` and `template` are ours and `.secrets` holds values, when the handler is the project itself.
        let reserved = ["build", "template", ".secrets", IGNORE].iter().any(|name| path == Path::new(name));
        listed.set(listed.get() || path == Path::new(IGNORE));
        // What is below a folder that is left out may be taken in again.
        !reserved && (is_dir && through || !ignored.covers(path))
    };
    let mut walked = file::walk_filtered(folder, project.root, &format!("the handler of {}", function.name), &wanted);
    let plain = matches!(&walked, Ok((_, Some(_))));
    leads_out(function, project, plain)?;
    // Looked at only when the walk failed, since it is a question of its own to the disk.
    if walked.is_err() && !folder.is_dir() {
        let what = if folder.exists() { "is not a folder" } else { "is not there" };
        return Err(Fault::usage(format!("{}: the handler folder {shown} {what}", function.name))
            .hint("`handler:` is relative to the stack file; `faas new` makes a function with its folder"));
    }
    if let Ok((files, _)) = &walked {
        if files.is_empty() {
            return Err(Fault::usage(format!("{}: the handler folder {shown} is empty", function.name))
                .hint("put the function's code there: `faas new` makes a function with its first lines"));
        }
        files.iter().try_for_each(|file| unix_lines(function, file))?;
    }
    // The list of what to leave out is looked at, and is no file of the build.
    if let (Ok((_, folders)), true) = (&mut walked, listed.get()) {
        *folders = None;
    }
    walked
}

/// Refuses a handler folder that stands in the project and leads out of it by links, as what is in it may not either. A
/// path that says `..` itself is meant. `plain`: the folder is known to be no link itself.
///
/// # Errors
/// A usage fault that says where it leads.
pub(super) fn leads_out(function: &Function, project: &Project<'_>, plain: bool) -> Result<()> {
    let folder = &function.build.handler;
    let lexical = normalised(folder);
    if !lexical.starts_with(project.root) {
        return Ok(());
    }
    // Most have no link on their way, which is seen in a look at each of its few folders.
    let mut way = lexical.ancestors().skip(usize::from(plain)).take_while(|folder| *folder != project.root);
    if !way.any(|folder| std::fs::symlink_metadata(folder).is_ok_and(|m| m.is_symlink())) {
        return Ok(());
    }
    let Ok(real) = std::fs::canonicalize(folder) else { return Ok(()) };
    let root = std::fs::canonicalize(project.root).or_fault(|| format!("can't read {}", project.root.display()))?;
    if real.starts_with(&root) {
        return Ok(());
    }
    let shown = folder.strip_prefix(project.root).unwrap_or(folder).display();
    Err(Fault::usage(format!("the handler `{shown}` of `{}` is a link that leads out of the project", function.name))
        .cause(format!("it leads to {}", real.display()))
        .hint("copy the folder into the project, or name it by its own path: `handler: ../folder`"))
}

/// Refuses shell scripts with Windows line ends: a shell takes the carriage return for part of the command, and says
/// so in words that nobody understands.
fn unix_lines(function: &Function, file: &File) -> Result<()> {
    let Content::Disk(path, _) = &file.content else { return Ok(()) };
    if !path.extension().is_some_and(|extension| extension == "sh" || extension == "bash") {
        return Ok(());
    }
    let text = file.content.read()?;
    let Some(at) = text.windows(2).position(|pair| pair == b"\r\n") else { return Ok(()) };
    let line = text[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let shown = file.path.display();
    Err(Fault::usage(format!("{}: {shown}:{line} ends as lines do on Windows, which no shell reads", function.name))
        .hint(format!("save it with Unix line ends: `sed -i 's/\\r$//' {shown}`")))
}

/// Where a `copy` path leads.
///
/// # Errors
/// When it isn't there, or not inside of the project.
pub(super) fn inside(path: &Path, project: &Project<'_>) -> Result<PathBuf> {
    let shown = path.strip_prefix(project.root).unwrap_or(path).display().to_string();
    let absolute = project.root.join(path);
    let real = match std::fs::canonicalize(&absolute) {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Fault::usage(format!("`copy` names {shown}, which is not there")));
        }
        Err(error) => return Err(Fault::usage(format!("`copy` names {shown}, which can't be read")).cause(error)),
    };
    let root = std::fs::canonicalize(project.root).or_fault(|| format!("can't read {}", project.root.display()))?;
    if real == root {
        return Err(Fault::usage(format!("`copy` names {shown}, which is the whole project"))
            .hint("name the folders that the functions need"));
    }
    if !real.starts_with(&root) {
        return Err(Fault::usage(format!("`copy` names {shown}, which is outside the project"))
            .cause(format!("{} is not below {}", real.display(), root.display()))
            .hint("copy it into the project"));
    }
    Ok(real)
}

/// What a `copy` path stands for, by its path in the project.
fn copied(path: &Path, project: &Project<'_>) -> Result<Vec<File>> {
    let shown = path.strip_prefix(project.root).unwrap_or(path).display().to_string();
    let real = inside(path, project)?;
    let absolute = project.root.join(path);
    let root = std::fs::canonicalize(project.root).or_fault(|| format!("can't read {}", project.root.display()))?;
    let lexical = normalised(&absolute);
    let below = lexical.strip_prefix(project.root).or_else(|_| real.strip_prefix(&root)).unwrap_or(&real).to_owned();
    let metadata = std::fs::metadata(&real).or_fault(|| format!("can't read {shown}"))?;
    if metadata.is_dir() {
        let files = file::walk(&real, project.root, &format!("`copy` path {shown}"))?;
        return Ok(files.into_iter().map(|file| File { path: below.join(&file.path), ..file }).collect());
    }
    if !metadata.is_file() {
        return Err(Fault::usage(format!("`copy` names {shown}, which is neither file nor folder")));
    }
    use std::os::unix::fs::MetadataExt;
    let (mode, stamp) = (metadata.mode() & 0o777, Stamp::of(&metadata));
    Ok(vec![File { path: below, mode, content: Content::Disk(real, stamp), kept: None }])
}

/// The path without `.` and `..`, by its words alone.
fn normalised(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut done, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                done.pop();
            }
            part => done.push(part),
        }
        done
    })
}

impl Tree {
    /// The invokers among the files, as they lie on the disk.
    #[cfg(feature = "image")]
    pub fn invokers(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| invoker::is_one(&file.path)).filter_map(|file| match &file.content {
            Content::Disk(path, _) => Some(path.as_path()),
            Content::Bytes(_) => None,
        })
    }

    /// Changes when any file was added, removed, or (as the disk tells without reading) changed.
    ///
    /// # Errors
    /// When a built-in file can't be digested.
    pub fn stamp(&self) -> Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        for file in &self.files {
            hasher.update(file.path.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(&file.mode.to_le_bytes());
            match &file.content {
                Content::Bytes(_) => {
                    hasher.update(file.digest()?.as_bytes());
                }
                Content::Disk(_, stamp) => {
                    hasher.update(&stamp.size.to_le_bytes());
                    hasher.update(&stamp.inode.to_le_bytes());
                    hasher.update(&stamp.changed.to_le_bytes());
                }
            }
        }
        Ok(hasher.finalize())
    }

    /// When the file that changed last did so, in nanoseconds since 1970.
    #[must_use]
    pub fn newest(&self) -> i128 {
        let changed = |file: &File| match &file.content {
            Content::Bytes(_) => 0,
            Content::Disk(_, stamp) => stamp.changed,
        };
        self.files.iter().map(changed).max().unwrap_or(0)
    }

    /// Writes all files into the folder `into`, which must be empty or not there, and gives the digest of it all.
    ///
    /// # Errors
    /// When a file can't be read or written.
    pub fn write(&self, into: &Path) -> Result<blake3::Hash> {
        self.write_below(&Below::root(), into, false).map(|(whole, _)| whole)
    }

    /// The same for the folder `into` in the folder `below`, where those of other functions lie beside it: the watchdog
    /// is linked to one copy of all. Gives what the disk says of the files, too, in their order.
    ///
    /// # Errors
    /// When a file can't be read or written.
    pub fn write_below(&self, below: &Below<'_>, into: &Path, beside: bool) -> Result<(blake3::Hash, Vec<Stat>)> {
        let folder = |path: &Path| {
            use rustix::io::Errno;
            let made = match rustix::fs::mkdirat(below.folder, path, 0o777.into()) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(Errno::NOENT) => std::fs::create_dir_all(below.path.join(path)),
                Err(error) => Err(error.into()),
            };
            made.map_err(|error| file::cant_write(&below.path.join(path), &error))
        };
        folder(into)?;
        let (mut digests, mut stats) = (Vec::with_capacity(self.files.len()), Vec::with_capacity(self.files.len()));
        let mut made = Path::new("");
        let mut to = PathBuf::new();
        for file in &self.files {
            // Made before it is missed: the files of a folder lie side by side here.
            if let Some(parent) = file.path.parent().filter(|parent| *parent != made) {
                if parent != Path::new("") {
                    folder(&into.join(parent))?;
                }
                made = parent;
            }
            to.as_mut_os_string().clear();
            to.push(into);
            to.push(&file.path);
            let (digest, stat) = match beside && invoker::is_one(&file.path) {
                true => link(file, below, &to)?,
                false => file.write_below(below, &to)?,
            };
            digests.push(digest);
            stats.push(stat);
        }
        let whole = self.whole(&digests);
        // Those of what was written count, and nobody asked for others before.
        let _ = self.digests.set(digests);
        Ok((whole, stats))
    }

    /// The digest of it all, as [`Tree::write`] gives it, without writing anything.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn digest(&self) -> Result<blake3::Hash> {
        Ok(self.whole(self.digests()?))
    }

    /// The digests of the files, in their order.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn digests(&self) -> Result<&[blake3::Hash]> {
        if let Some(digests) = self.digests.get() {
            return Ok(digests);
        }
        let digests = self.files.iter().map(File::digest).collect::<Result<Vec<_>>>()?;
        Ok(self.digests.get_or_init(|| digests))
    }

    fn whole(&self, digests: &[blake3::Hash]) -> blake3::Hash {
        let mut content = Digest::default();
        self.files.iter().zip(digests).for_each(|(file, digest)| content.add(file, *digest));
        content.0.finalize()
    }
}

/// Links `to` to the copy of `file` in the folder `below`, which is made when it is not there; some megabytes in each of
/// a thousand folders are too many.
fn link(file: &File, below: &Below<'_>, to: &Path) -> Result<(blake3::Hash, Stat)> {
    use rustix::fs::{AtFlags, linkat, statat};
    let digest = file.digest()?;
    let shared = format!(".{WATCHDOG}-{}", &digest.to_hex()[..16]);
    let hard_link = |from: &Path, to: &Path| linkat(below.folder, from, below.folder, to, AtFlags::empty());
    if hard_link(Path::new(&shared), to).is_ok() {
        let stat = statat(below.folder, to, AtFlags::SYMLINK_NOFOLLOW);
        return Ok((digest, stat.or_fault(|| format!("can't read {}", below.path.join(to).display()))?));
    }
    let written = file.write_below(below, to)?;
    // There already when two threads are here at once, and then each has its own.
    let _ = hard_link(to, Path::new(&shared));
    Ok(written)
}

/// The digest of files: paths, contents, and whether they may be executed. Other permission bits depend on the umask
/// of who checked the project out, and change nothing.
#[derive(Default)]
struct Digest(blake3::Hasher);

impl Digest {
    fn add(&mut self, file: &File, content: blake3::Hash) {
        self.0.update(file.path.as_os_str().as_encoded_bytes());
        self.0.update(&[0, u8::from(file.executable())]);
        self.0.update(content.as_bytes());
    }
}
