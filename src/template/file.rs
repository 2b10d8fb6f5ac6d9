//! Files on their way into a build: from this binary or from the disk, found by a walk that refuses what is no file.
use std::borrow::Cow;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use include_dir::{Dir, DirEntry};
use rustix::fs::Stat;

use crate::error::{Fault, OrFault, Result};

/// A file of a template or a handler.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path in the build, relative.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
    /// What was read of it, kept because many builds take the same file (a template's); `None` for a handler's.
    pub kept: Option<Arc<OnceLock<Kept>>>,
}

/// A file's bytes and their digest.
pub type Kept = (Cow<'static, [u8]>, blake3::Hash);

/// What is in a file.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes at hand: inside this binary, or made for one build.
    Bytes(Cow<'static, [u8]>),
    /// A file on the disk, absolute, with what tells whether it changed since.
    Disk(PathBuf, Stamp),
}

/// What tells a file's content from what it was before, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// The inode.
    pub inode: u64,
    /// When content or mode changed last, in nanoseconds since 1970.
    pub changed: i128,
}

impl Stamp {
    /// Of a file's metadata.
    #[must_use]
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        // ctime, unlike mtime, can't be set back by a copy that keeps times.
        let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        Self { size: metadata.len(), inode: metadata.ino(), changed }
    }
}

impl Content {
    /// The bytes.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn read(&self) -> Result<Cow<'static, [u8]>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Disk(path, stamp) => {
                read(path, stamp.size).map(Cow::Owned).or_fault(|| format!("can't read {}", path.display()))
            }
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Disk(_, stamp) => stamp.size,
        }
    }
}

impl File {
    /// Whether it may be executed.
    #[must_use]
    pub fn executable(&self) -> bool {
        self.mode & 0o111 != 0
    }

    /// The same file, its bytes kept once they were read.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        self.kept = Some(Arc::default());
        self
    }

    /// Its bytes and their digest, when they are kept.
    fn kept(&self) -> Result<Option<&Kept>> {
        let Some(cell) = &self.kept else { return Ok(None) };
        if cell.get().is_none() {
            let bytes = self.content.read()?;
            let digest = blake3::hash(&bytes);
            // Another thread may have been faster; its bytes are the same.
            let _ = cell.set((bytes, digest));
        }
        Ok(cell.get())
    }

    /// The digest of its bytes.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn digest(&self) -> Result<blake3::Hash> {
        if let Some((_, digest)) = self.kept()? {
            return Ok(*digest);
        }
        match &self.content {
            Content::Bytes(bytes) => Ok(blake3::hash(bytes)),
            Content::Disk(path, _) => {
                let mut hasher = blake3::Hasher::new();
                std::fs::File::open(path)
                    .and_then(|mut file| std::io::copy(&mut file, &mut hasher))
                    .or_fault(|| format!("can't read {}", path.display()))?;
                Ok(hasher.finalize())
            }
        }
    }

    /// Writes it to `to`, with its mode; the folders on the way are made. Gives the digest of what was written.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn write_to(&self, to: &Path) -> Result<blake3::Hash> {
        self.write_below(&Below::root(), to).map(|(digest, _)| digest)
    }

    /// The same for the path `to` below an open folder; gives what the disk says of the new file, too.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn write_below(&self, below: &Below<'_>, to: &Path) -> Result<(blake3::Hash, Stat)> {
        let cant = |error: &std::io::Error| cant_write(&below.path.join(to), error);
        let write = |bytes: &[u8]| {
            let mut file = below.create(to, self.mode)?;
            file.write_all(bytes)?;
            Ok(rustix::fs::fstat(&file)?)
        };
        if let Some((bytes, digest)) = self.kept()? {
            return Ok((*digest, write(bytes).map_err(|error| cant(&error))?));
        }
        match &self.content {
            Content::Disk(from, stamp) if stamp.size > IN_MEMORY => {
                let mut file = below.create(to, self.mode).map_err(|error| cant(&error))?;
                let digest = stream(from, &mut file, &cant)?;
                Ok((digest, rustix::fs::fstat(&file).map_err(|error| cant(&error.into()))?))
            }
            content => {
                let bytes = content.read()?;
                Ok((blake3::hash(&bytes), write(&bytes).map_err(|error| cant(&error))?))
            }
        }
    }
}

/// An open folder that paths lead on from, which is shorter for thousands of them than the whole way each time.
pub struct Below<'a> {
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// Its path, for messages and for the rare ways that need one.
    pub path: &'a Path,
}

impl Below<'_> {
    /// The folder we are in; absolute paths lead where they say.
    #[must_use]
    pub fn root() -> Self {
        Self { folder: rustix::fs::CWD, path: Path::new("") }
    }

    fn create(&self, to: &Path, mode: u32) -> std::io::Result<std::fs::File> {
        use rustix::fs::{Mode, OFlags, openat};
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        #[allow(clippy::useless_conversion, clippy::cast_possible_truncation, clippy::unnecessary_cast)]
        let mode = Mode::from_raw_mode((mode | 0o200) as rustix::fs::RawMode);
        let open = || openat(self.folder, to, flags, mode).map(Into::into).map_err(std::io::Error::from);
        open().or_else(|error: std::io::Error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                return Err(error);
            }
            self.path.join(to).parent().map_or(Ok(()), std::fs::create_dir_all)?;
            open()
        })
    }
}

/// Copies by pieces; gives the digest of what was copied.
fn stream(from: &Path, writer: &mut std::fs::File, cant: &dyn Fn(&std::io::Error) -> Fault) -> Result<blake3::Hash> {
    use std::io::Read;
    let mut reader = std::fs::File::open(from).or_fault(|| format!("can't read {}", from.display()))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let n = reader.read(&mut buffer).or_fault(|| format!("can't read {}", from.display()))?;
        if n == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update(&buffer[..n]);
        writer.write_all(&buffer[..n]).map_err(|error| cant(&error))?;
    }
}

/// A file's bytes; one read does when it is as long as it was.
fn read(path: &Path, size: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    // A byte more than there should be: a read that leaves room has met the end.
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default() + 1];
    let length = file.read(&mut bytes)?;
    bytes.truncate(length);
    if length as u64 != size {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Larger files are copied by pieces.
const IN_MEMORY: u64 = 4 * 1024 * 1024;

/// Writes a new file with its mode; the folders on the way are made.
pub(crate) fn write(to: &Path, content: &[u8], mode: u32) -> Result<()> {
    Below::root().create(to, mode).and_then(|mut file| file.write_all(content)).map_err(|error| cant_write(to, &error))
}

/// The fault for a file that can't be written; a full disk is told with what to do.
pub(crate) fn cant_write(to: &Path, error: &std::io::Error) -> Fault {
    let fault = Fault::failed(format!("can't write {}", to.display())).cause(error);
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            fault.hint("the disk is full: free some space and run the command again; nothing was left half-written")
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            fault.hint("check who owns the folder and whether it may be written to")
        }
        _ => fault,
    }
}

/// All files of a folder in this binary. Its modes are not kept there: a file that starts with `#!` is executable.
pub(crate) fn embedded(dir: &'static Dir<'static>, base: &Path, files: &mut Vec<File>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => embedded(dir, base, files),
            DirEntry::File(file) => {
                let mode = if file.contents().starts_with(b"#!") { 0o755 } else { 0o644 };
                let path = file.path().strip_prefix(base).unwrap_or(file.path()).to_owned();
                files.push(File { path, mode, content: Content::Bytes(file.contents().into()), kept: None }.keeping());
            }
        }
    }
}

/// All files below the folder `from`, sorted by path. Links are followed, and refused when they leave both `root` and
/// `from`, go round in circles or lead nowhere; so is everything that is neither file nor folder. `subject` names the
/// thing in messages, as `the handler of tax`.
///
/// # Errors
/// The first thing refused, or that can't be read.
pub fn walk(from: &Path, root: &Path, subject: &str) -> Result<Vec<File>> {
    walk_filtered(from, root, subject, &|_, _| true).map(|(files, _)| files)
}

/// The same, for those paths (relative, and whether it is a folder) that `wanted` takes; and the folders that were
/// walked, `None` when links were followed, which may change without any folder's doing so.
///
/// # Errors
/// The first thing refused, or that can't be read.
pub fn walk_filtered(
    from: &Path,
    root: &Path,
    subject: &str,
    wanted: &dyn Fn(&Path, bool) -> bool,
) -> Result<(Vec<File>, Option<Vec<Folder>>)> {
    let mut walk =
        Walk { from, root, subject, wanted, files: Vec::new(), folders: Some(Vec::new()), inside: Vec::new() };
    walk.folder(from, Path::new(""))?;
    let mut files = walk.files;
    files.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok((files, walk.folders))
}

/// A folder that was walked, absolute, and its stamp before that: it changes when a file comes or goes.
pub type Folder = (PathBuf, Stamp);

struct Walk<'a> {
    from: &'a Path,
    root: &'a Path,
    subject: &'a str,
    wanted: &'a dyn Fn(&Path, bool) -> bool,
    files: Vec<File>,
    folders: Option<Vec<Folder>>,
    /// The folders that were entered by a link and are not left yet, resolved.
    inside: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, below: &Path) -> Result<()> {
        let metadata = std::fs::symlink_metadata(folder);
        match (metadata.ok().filter(std::fs::Metadata::is_dir), &mut self.folders) {
            (Some(metadata), Some(folders)) => folders.push((folder.to_owned(), Stamp::of(&metadata))),
            _ => self.folders = None,
        }
        let entries = std::fs::read_dir(folder).or_fault(|| format!("can't read the folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry.or_fault(|| format!("can't read the folder {}", folder.display()))?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type().or_fault(|| format!("can't read {}", entry.path().display()))?;
            if kind.is_dir() {
                if (self.wanted)(&path, true) {
                    self.folder(&entry.path(), &path)?;
                }
            } else if kind.is_symlink() {
                self.link(&entry.path(), &path)?;
            } else if (self.wanted)(&path, false) {
                let metadata = entry.metadata().or_fault(|| format!("can't read {}", entry.path().display()))?;
                self.file(entry.path(), path, &metadata)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: PathBuf, path: PathBuf, metadata: &std::fs::Metadata) -> Result<()> {
        if !metadata.is_file() {
            use std::os::unix::fs::FileTypeExt;
            let kind = metadata.file_type();
            let what = match () {
                () if kind.is_socket() => "a socket",
                () if kind.is_fifo() => "a named pipe",
                () => "a device",
            };
            return Err(self.refused(&path, what, "only files, folders and links to them can be built"));
        }
        let mode = metadata.mode() & 0o777;
        self.files.push(File { path, mode, content: Content::Disk(from, Stamp::of(metadata)), kept: None });
        Ok(())
    }

    fn link(&mut self, link: &Path, path: &Path) -> Result<()> {
        self.folders = None;
        let target = match std::fs::canonicalize(link) {
            Ok(target) => target,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(self.refused(path, "a link that leads to itself", "delete the link"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !(self.wanted)(path, false) {
                    return Ok(());
                }
                let to = std::fs::read_link(link).unwrap_or_default();
                let what = format!("a link to {}, which is not there", to.display());
                return Err(self.refused(path, &what, "delete the link or make what it leads to"));
            }
            Err(error) => return Err(Fault::failed(format!("can't follow the link {}", link.display())).cause(error)),
        };
        let metadata = std::fs::metadata(&target).or_fault(|| format!("can't read {}", target.display()))?;
        if !(self.wanted)(path, metadata.is_dir()) {
            return Ok(());
        }
        let allowed = [self.root, self.from].into_iter().filter_map(|p| std::fs::canonicalize(p).ok());
        if !allowed.into_iter().any(|allowed| target.starts_with(allowed)) {
            let what = format!("a link to {}, which is outside the project", target.display());
            return Err(self.refused(path, &what, "copy the thing into the project, or list it in .faasignore"));
        }
        if !metadata.is_dir() {
            return self.file(target, path.to_owned(), &metadata);
        }
        // A link to a folder that we stand in, by its name or by another link, would never end.
        let here = link.parent().and_then(|parent| std::fs::canonicalize(parent).ok()).unwrap_or_default();
        if here.starts_with(&target) || self.inside.contains(&target) {
            return Err(self.refused(path, "a link that leads back to a folder around it", "delete the link"));
        }
        self.inside.push(target.clone());
        self.folder(&target, path)?;
        self.inside.pop();
        Ok(())
    }

    fn refused(&self, path: &Path, what: &str, hint: &str) -> Fault {
        Fault::usage(format!("{} holds {what}: {}", self.subject, path.display())).hint(hint)
    }
}
