//! Layers: tar archives, packed the same way for the same files. Sorted, owned by root, without times.
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::store::Blob;
use crate::error::{OrFault, Result};

/// 2 January 1980: the oldest time that zip files, and so Python's wheels, can hold in every time zone.
const TIME: u64 = 315_619_200;

/// A file that was found in a folder.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path in that folder.
    pub path: PathBuf,
    /// Where it is.
    pub from: PathBuf,
}

/// A layer in the store.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Packed {
    /// The compressed archive.
    pub blob: Blob,
    /// The digest of the archive before it was compressed.
    pub diff: String,
    /// What it is, for the image's history.
    pub what: String,
}

/// What goes into a layer.
pub struct Content {
    entries: BTreeMap<PathBuf, Source>,
    /// What it is, for the image's history.
    pub what: &'static str,
}

enum Source {
    Folder,
    Disk(PathBuf),
    Bytes(Vec<u8>),
}

/// All files in a folder, but what interpreters make anew and what installers write for themselves.
///
/// # Errors
/// When the folder can't be read.
pub fn files(folder: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.or_fault(|| format!("can't read {}", folder.display()))?;
        let path = entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_owned();
        if !entry.file_type().is_dir() && is_wanted(&path) {
            files.push(File { path, from: entry.into_path() });
        }
    }
    Ok(files)
}

fn is_wanted(path: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let in_metadata = path.parent().is_some_and(|parent| name(parent).ends_with(".dist-info"));
    let own = in_metadata && matches!(name(path).as_str(), "RECORD" | "direct_url.json" | "INSTALLER" | "REQUESTED");
    !own && !path.starts_with(".deps/bin") && !path.components().any(|part| part.as_os_str() == "__pycache__")
}

/// Files below a folder of the image.
pub fn under(folder: &str, files: &[File]) -> BTreeMap<PathBuf, PathBuf> {
    files.iter().map(|file| (Path::new(folder).join(&file.path), file.from.clone())).collect()
}

/// Files with all folders on the way.
pub fn of(files: BTreeMap<PathBuf, PathBuf>, what: &'static str) -> Content {
    let entries = files.into_iter().map(|(path, from)| (path, Source::Disk(from))).collect();
    with_folders(entries, what)
}

/// One file.
pub fn single(path: &str, bytes: Vec<u8>, what: &'static str) -> Content {
    with_folders(BTreeMap::from([(PathBuf::from(path), Source::Bytes(bytes))]), what)
}

fn with_folders(mut entries: BTreeMap<PathBuf, Source>, what: &'static str) -> Content {
    let folders: Vec<PathBuf> = entries
        .keys()
        .flat_map(|path| path.ancestors().skip(1))
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect();
    // Engines make what is missing, but not all of them so that others may enter it.
    entries.extend(folders.into_iter().map(|folder| (folder, Source::Folder)));
    Content { entries, what }
}

/// Writes a layer; gives the digests of what was written and of what it was before, and the size.
///
/// # Errors
/// When a file can't be read, or the layer can't be written.
pub fn write(content: &Content, into: impl Write) -> Result<(String, String, u64)> {
    let outer = Counted::new(into);
    let inner = Counted::new(GzEncoder::new(outer, Compression::new(6)));
    let mut archive = tar::Builder::new(inner);
    for (path, source) in &content.entries {
        let why = || format!("can't pack {}", path.display());
        let mut header = tar::Header::new_gnu();
        header.set_mtime(TIME);
        header.set_uid(0);
        header.set_gid(0);
        match source {
            Source::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                let mut name = path.as_os_str().to_owned();
                name.push("/");
                archive.append_data(&mut header, Path::new(&name), std::io::empty()).or_fault(why)?;
            }
            Source::Bytes(bytes) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(0o755);
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, path, bytes.as_slice()).or_fault(why)?;
            }
            Source::Disk(from) => disk(&mut archive, header, path, from).or_fault(why)?,
        }
    }
    let finish = || "can't write a layer".to_owned();
    let inner = archive.into_inner().or_fault(finish)?;
    let diff = hex(&inner.hasher.finalize());
    let mut outer = inner.into.finish().or_fault(finish)?;
    outer.into.flush().or_fault(finish)?;
    Ok((hex(&outer.hasher.finalize()), diff, outer.size))
}

fn disk(
    archive: &mut tar::Builder<impl Write>,
    mut header: tar::Header,
    path: &Path,
    from: &Path,
) -> std::io::Result<()> {
    let metadata = std::fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        return archive.append_link(&mut header, path, std::fs::read_link(from)?);
    }
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is neither file nor link"));
    }
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
    header.set_size(metadata.len());
    archive.append_data(&mut header, path, std::fs::File::open(from)?)
}

/// The digest of bytes, as manifests have it.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A digest as manifests have it.
pub fn hex(digest: &[u8]) -> String {
    use std::fmt::Write;
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hashes and counts what goes through.
struct Counted<W> {
    into: W,
    hasher: Sha256,
    size: u64,
}

impl<W> Counted<W> {
    fn new(into: W) -> Self {
        Self { into, hasher: Sha256::new(), size: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.into.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.into.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(make: impl Fn(&Path)) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let mut bytes = Vec::new();
        let content = of(under("home/app", &files(dir.path()).unwrap()), "x");
        let (digest, _, size) = write(&content, &mut bytes).unwrap();
        assert_eq!((digest, size), (hex(&Sha256::digest(&bytes)), bytes.len() as u64));
        bytes
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let one = packed(|dir| {
            std::fs::create_dir(dir.join("b")).unwrap();
            std::fs::write(dir.join("b/x"), "x").unwrap();
            std::fs::write(dir.join("a.py"), "a").unwrap();
        });
        let two = packed(|dir| {
            std::fs::write(dir.join("a.py"), "a").unwrap();
            std::fs::create_dir(dir.join("b")).unwrap();
            std::fs::write(dir.join("b/x"), "x").unwrap();
            std::fs::set_permissions(dir.join("b/x"), PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::create_dir(dir.join("b/__pycache__")).unwrap();
            std::fs::write(dir.join("b/__pycache__/x.pyc"), "time").unwrap();
            std::fs::File::open(dir.join("a.py")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        });
        assert!(one == two);
    }

    #[test]
    fn folders_links_and_modes_are_kept() {
        let bytes = packed(|dir| {
            std::fs::write(dir.join("run"), "x").unwrap();
            std::fs::set_permissions(dir.join("run"), PermissionsExt::from_mode(0o700)).unwrap();
            std::os::unix::fs::symlink("run", dir.join("link")).unwrap();
        });
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let seen: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (entry.path().unwrap().display().to_string(), header.mode().unwrap(), header.uid().unwrap())
            })
            .collect();
        let wanted = [("home/", 0o755), ("home/app/", 0o755), ("home/app/link", 0o777), ("home/app/run", 0o755)];
        assert_eq!(seen, wanted.map(|(path, mode)| (path.to_owned(), mode, 0)));
    }
}
