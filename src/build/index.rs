//! What was built last, by what the disk tells without reading files: kept in the cache, and no loss when it is gone.
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// A file that changed so shortly before it was looked at (nanoseconds) may change again without the disk telling.
pub const TICK: i128 = 50_000_000;

/// What is known of the builds of one project.
pub struct Index {
    path: PathBuf,
    state: Mutex<Option<State>>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<String, Record>,
    changed: bool,
}

/// What is known of one build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The stamp of everything that went in.
    pub stamp: String,
    /// The digest of everything that went in.
    pub content: String,
    /// The stamp of the folder that came out.
    #[serde(default)]
    pub output: String,
}

impl Index {
    /// The index of the project at `root`; read when it is asked for the first time.
    #[must_use]
    pub fn open(cache: &Path, root: &Path) -> Self {
        let name = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        Self { path: cache.join("builds").join(format!("{}.json", &name[..16])), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_none() {
            let records = std::fs::read(&self.path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            *state = Some(State { records: records.unwrap_or_default(), changed: false });
        }
        state
    }

    /// What is known under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Record> {
        self.state().as_ref()?.records.get(key).cloned()
    }

    /// The digest of what goes into the build `key`: the known one while `stamp` is as it was, else what `read` finds.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn content(&self, key: &str, stamp: &str, read: impl FnOnce() -> Result<blake3::Hash>) -> Result<String> {
        match self.get(key).filter(|known| known.stamp == stamp) {
            Some(known) => Ok(known.content),
            None => Ok(read()?.to_hex().to_string()),
        }
    }

    /// Keeps what is known under `key`, unless the newest of the files changed too shortly before `looked` to be sure.
    pub fn set(&self, key: &str, record: Record, newest: i128, looked: i128) {
        let sure = newest + TICK < looked;
        if let Some(state) = self.state().as_mut() {
            if sure {
                state.records.insert(key.to_owned(), record);
            } else {
                state.records.remove(key);
            }
            state.changed = true;
        }
    }

    /// Writes it to the disk. That it can't be written costs time and nothing else.
    pub fn save(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = state.as_mut().filter(|state| state.changed) else { return };
        let write = || -> std::io::Result<()> {
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec(&state.records)?)?;
            file.persist(&self.path)?;
            Ok(())
        };
        match write() {
            Ok(()) => state.changed = false,
            Err(error) => tracing::debug!("can't write {}: {error}", self.path.display()),
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.save();
    }
}

/// Now, in nanoseconds since 1970.
pub fn now() -> i128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_fresh_ones_are_not_trusted() {
        let cache = tempfile::tempdir().unwrap();
        let open = || Index::open(cache.path(), Path::new("/project"));
        let record = Record { stamp: "s".into(), content: "c".into(), output: "o".into() };
        let index = open();
        index.set("old", record.clone(), 1, 1 + TICK + 1);
        index.set("fresh", record.clone(), 1, TICK);
        drop(index);
        assert_eq!(open().get("old"), Some(record));
        assert_eq!(open().get("fresh"), None);
    }
}
