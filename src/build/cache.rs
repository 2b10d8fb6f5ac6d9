//! What builds leave behind on this machine: how much, how old, and away with it.
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::context::Dirs;
use crate::error::{OrFault, Result};

/// A sort of thing that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Zip archives for AWS Lambda
    Archives,
    /// What is known of earlier builds, so that nothing is built when nothing changed
    Builds,
    /// Images put together without an engine, and what is known of their bases
    Images,
    /// Repositories of templates
    Templates,
    /// Bundles of the embedded platform, which its functions run from
    Bundles,
}

/// What is kept of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// The kind.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// How many there are.
    pub entries: usize,
    /// How much that is, in bytes.
    pub bytes: u64,
    /// How long the one is there that is there the longest, in seconds.
    pub oldest: Option<u64>,
    /// How long the last one is there, in seconds.
    pub newest: Option<u64>,
    /// Whether [`clear`] removes it.
    pub clearable: bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Archives, Self::Builds, Self::Images, Self::Templates, Self::Bundles];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Archives => "archives",
            Self::Builds => "builds",
            Self::Images => "images",
            Self::Templates => "templates",
            Self::Bundles => "bundles",
        }
    }

    fn path(self, dirs: &Dirs) -> PathBuf {
        match self {
            Self::Bundles => dirs.bundles(),
            other => dirs.cache.join(other.name()),
        }
    }

    /// Functions that are deployed run from their bundles, and the newest three of each are all that is kept anyway.
    #[must_use]
    pub fn is_clearable(self) -> bool {
        self != Self::Bundles
    }
}

/// One thing in a folder.
struct Entry {
    path: PathBuf,
    bytes: u64,
    age: Duration,
}

/// What is kept, of every kind.
#[must_use]
pub fn show(dirs: &Dirs) -> Vec<Kept> {
    let kept = |kind: Kind| {
        let path = kind.path(dirs);
        let found = entries(&path);
        let ages = || found.iter().map(|entry| entry.age.as_secs());
        Kept {
            kind,
            entries: found.len(),
            bytes: found.iter().map(|entry| entry.bytes).sum(),
            oldest: ages().max(),
            newest: ages().min(),
            clearable: kind.is_clearable(),
            path,
        }
    };
    Kind::ALL.map(kept).into()
}

/// Removes what is kept of some kinds, all or what is older than `older`; gives how many and how much that was.
///
/// # Errors
/// When something can't be removed.
pub fn clear(dirs: &Dirs, kinds: &[Kind], older: Option<Duration>) -> Result<(usize, u64)> {
    let (mut count, mut bytes) = (0, 0);
    for kind in kinds.iter().filter(|kind| kind.is_clearable()) {
        let path = kind.path(dirs);
        for entry in entries(&path).into_iter().filter(|entry| older.is_none_or(|older| entry.age >= older)) {
            let removed = match entry.path.is_dir() {
                true => std::fs::remove_dir_all(&entry.path),
                false => std::fs::remove_file(&entry.path),
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).or_fault(|| format!("can't remove {}", entry.path.display()));
                }
                _ => {}
            }
            count += 1;
            bytes += entry.bytes;
        }
    }
    Ok((count, bytes))
}

/// The things in a folder: files, and folders as a whole; those of images one level below, by what they are. Locks and
/// what is being written are nobody's business.
fn entries(folder: &Path) -> Vec<Entry> {
    let mut found = Vec::new();
    let grouped = folder.file_name().is_some_and(|name| name == Kind::Images.name());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if hidden || entry.path().extension().is_some_and(|end| end == "lock") {
            continue;
        }
        if grouped && entry.path().is_dir() {
            found.extend(entries(&entry.path()));
        } else if let Ok(metadata) = entry.metadata() {
            let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            found.push(Entry { bytes: size(&entry.path()), path: entry.path(), age: age.unwrap_or_default() });
        }
    }
    found
}

fn size(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_goes_and_bundles_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let dirs = Dirs { data: at("data"), cache: at("cache"), home: at("home") };
        for path in ["cache/archives/old.zip", "cache/archives/new.zip", "cache/images/blobs/x", "data/bundles/a-1/f"] {
            std::fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            std::fs::write(at(path), "1234").unwrap();
        }
        let old = SystemTime::now() - Duration::from_secs(7200);
        std::fs::File::options().append(true).open(at("cache/archives/old.zip")).unwrap().set_modified(old).unwrap();
        let of = |kind: Kind| show(&dirs).into_iter().find(|kept| kept.kind == kind).unwrap();
        let archives = of(Kind::Archives);
        assert_eq!((archives.entries, archives.bytes), (2, 8));
        assert!(archives.oldest.unwrap() >= 7200 && archives.newest.unwrap() < 7200);
        assert_eq!((of(Kind::Images).entries, of(Kind::Bundles).bytes), (1, 4));
        assert_eq!(clear(&dirs, &Kind::ALL, Some(Duration::from_secs(3600))).unwrap(), (1, 4));
        assert!(at("cache/archives/new.zip").exists());
        assert_eq!(clear(&dirs, &Kind::ALL, None).unwrap(), (2, 8));
        assert!(at("data/bundles/a-1/f").exists());
    }
}
