//! Where images that were put together are kept until they are pushed, and what is known of their bases.
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::Project;
use super::layer::{self, Content, Packed};
use crate::error::{Fault, OrFault, Result};
use crate::template::file::cant_write;

/// A folder of blobs by digest, and of what is known of them: `blobs/`, `made/`, `layers/`, `bases/`, `places/`.
pub struct Store {
    root: PathBuf,
}

/// Bytes in the store, or in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// `sha256:…`
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

impl Blob {
    /// As a manifest has it.
    #[must_use]
    pub fn described(&self, kind: &str) -> Value {
        json!({ "mediaType": kind, "size": self.size, "digest": self.digest })
    }
}

/// An image that was put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its name.
    pub reference: String,
    /// What went in.
    pub fingerprint: String,
    /// The digest of its manifest, or of its index when it is for several platforms.
    pub digest: String,
    /// The media type of that.
    pub kind: String,
    /// One a platform.
    pub images: Vec<One>,
}

/// The image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct One {
    /// As `linux/amd64`.
    pub platform: String,
    /// Its manifest.
    pub manifest: Blob,
    /// The media type of that.
    pub kind: String,
    /// The image that it starts from, as it was named.
    pub base: String,
    /// Layers that are only in the registry of the base.
    pub base_layers: Vec<Blob>,
    /// Layers and the configuration, which are in the store.
    pub own: Vec<Blob>,
}

impl Store {
    /// That of a project's cache.
    #[must_use]
    pub fn of(project: &Project<'_>) -> Self {
        Self::at(&project.cache)
    }

    /// That in a cache folder.
    #[must_use]
    pub fn at(cache: &Path) -> Self {
        Self { root: cache.join("images") }
    }

    /// Where a blob is.
    #[must_use]
    pub fn path(&self, digest: &str) -> PathBuf {
        self.root.join("blobs").join(digest.replace(':', "-"))
    }

    /// The bytes of a blob; `None` when they are not there, or not those.
    #[must_use]
    pub fn read(&self, digest: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.path(digest)).ok()?;
        (layer::hex(&Sha256::digest(&bytes)) == digest).then_some(bytes)
    }

    /// Keeps bytes.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn put(&self, bytes: impl AsRef<[u8]>) -> Result<Blob> {
        let bytes = bytes.as_ref();
        let blob = Blob { digest: layer::hex(&Sha256::digest(bytes)), size: bytes.len() as u64 };
        let path = self.path(&blob.digest);
        if !path.is_file() {
            self.write(&path, bytes)?;
        }
        Ok(blob)
    }

    /// A folder that is gone when it is dropped.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn temporary(&self) -> Result<tempfile::TempDir> {
        std::fs::create_dir_all(&self.root).map_err(|error| cant_write(&self.root, &error))?;
        let make = tempfile::Builder::new().prefix(".tmp-").tempdir_in(&self.root);
        make.map_err(|error| cant_write(&self.root, &error))
    }

    /// Packs a layer.
    ///
    /// # Errors
    /// When its files can't be read, or it can't be written.
    pub fn pack(&self, content: &Content) -> Result<Packed> {
        let folder = self.root.join("blobs");
        std::fs::create_dir_all(&folder).map_err(|error| cant_write(&folder, &error))?;
        let mut file = tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(&folder)
            .map_err(|error| cant_write(&folder, &error))?;
        let (digest, diff, size) =
            layer::write(content, std::io::BufWriter::with_capacity(1 << 18, file.as_file_mut())).map_err(|fault| {
                match fault.cause.as_deref().is_some_and(|cause| cause.contains("No space left")) {
                    true => {
                        fault.hint(format!("the disk of {} is full: `faas cache clear` frees some", folder.display()))
                    }
                    false => fault,
                }
            })?;
        let path = self.path(&digest);
        file.persist(&path).map_err(|error| cant_write(&path, &error.error))?;
        Ok(Packed { blob: Blob { digest, size }, diff, what: content.what.to_owned() })
    }

    /// Packs a layer that is the same for many, unless one was packed under `key` before.
    ///
    /// # Errors
    /// The same.
    pub fn pack_once(&self, key: &str, content: impl FnOnce() -> Result<Content>) -> Result<Packed> {
        let record = self.record("layers", key);
        if let Some(packed) = load::<Packed>(&record).filter(|packed| self.path(&packed.blob.digest).is_file()) {
            return Ok(packed);
        }
        let packed = self.pack(&content()?)?;
        self.save(&record, &packed)?;
        Ok(packed)
    }

    fn record(&self, kind: &str, key: &str) -> PathBuf {
        self.root.join(kind).join(format!("{}.json", &blake3::hash(key.as_bytes()).to_hex()[..32]))
    }

    /// What was put together under this name.
    #[must_use]
    pub fn made(&self, reference: &str) -> Option<Made> {
        load(&self.record("made", reference)).filter(|made: &Made| made.reference == reference)
    }

    /// What was put together of the same, whatever its name.
    #[must_use]
    pub fn by_fingerprint(&self, fingerprint: &str) -> Option<Made> {
        load(&self.record("prints", fingerprint)).filter(|made: &Made| made.fingerprint == fingerprint)
    }

    /// Whether all that only the store has is there.
    #[must_use]
    pub fn has(&self, made: &Made) -> bool {
        let blobs = made.images.iter().flat_map(|one| one.own.iter().chain([&one.manifest]));
        self.path(&made.digest).is_file()
            && blobs.into_iter().all(|blob| {
                std::fs::metadata(self.path(&blob.digest)).is_ok_and(|metadata| metadata.len() == blob.size)
            })
    }

    /// Keeps what was put together.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep(&self, made: &Made) -> Result<()> {
        self.save(&self.record("prints", &made.fingerprint), made)?;
        self.save(&self.record("made", &made.reference), made)
    }

    /// What has this name is made elsewhere now.
    pub fn forget(&self, reference: &str) {
        let _ = std::fs::remove_file(self.record("made", reference));
    }

    /// The manifest that a base stood for when it was looked up last.
    #[must_use]
    pub fn base(&self, key: &str) -> Option<Blob> {
        load(&self.record("bases", key))
    }

    /// Keeps that.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep_base(&self, key: &str, manifest: &Blob) -> Result<()> {
        self.save(&self.record("bases", key), manifest)
    }

    /// A repository of the registry `host` that has had the blob.
    #[must_use]
    pub fn place(&self, host: &str, digest: &str) -> Option<String> {
        load(&self.record("places", &format!("{host} {digest}")))
    }

    /// Keeps that. No loss when it can't be.
    pub fn keep_place(&self, host: &str, digest: &str, repository: &str) {
        let _ = self.save(&self.record("places", &format!("{host} {digest}")), &repository);
    }

    fn save<T: Serialize>(&self, path: &Path, value: &T) -> Result<()> {
        let text = serde_json::to_vec(value).or_fault(|| format!("can't write {}", path.display()))?;
        self.write(path, &text)
    }

    /// In one step, so that nobody sees half of it.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let fail = |error: std::io::Error| cant_write(path, &error);
        let folder = path.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(folder).map_err(fail)?;
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder).map_err(fail)?;
        file.write_all(bytes).map_err(fail)?;
        file.persist(path).map_err(|error| fail(error.error))?;
        Ok(())
    }

    /// Removes what no image that is kept needs: blobs, and what was known of them; gives how many bytes that were.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sweep(&self) -> Result<u64> {
        let all = |kind: &str| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(self.root.join(kind)).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let mut wanted = BTreeSet::new();
        for path in all("made") {
            // One that can't be read may need anything.
            let made: Made = load(&path).ok_or_else(|| {
                Fault::failed(format!("can't read {}", path.display())).hint("`faas cache clear images` removes all")
            })?;
            wanted.insert(made.digest);
            wanted.extend(
                made.images
                    .into_iter()
                    .flat_map(|one| one.own.into_iter().chain([one.manifest]))
                    .map(|blob| blob.digest),
            );
        }
        for path in all("layers") {
            wanted.extend(load::<Packed>(&path).map(|packed| packed.blob.digest));
        }
        for path in all("bases") {
            let Some(manifest) = load::<Blob>(&path) else { continue };
            let text = self.read(&manifest.digest).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            let config = text.and_then(|text| Some(text.pointer("/config/digest")?.as_str()?.to_owned()));
            wanted.extend(config.into_iter().chain([manifest.digest]));
        }
        let mut freed = 0;
        for path in all("blobs") {
            let digest = path.file_name().map(|name| name.to_string_lossy().replacen('-', ":", 1)).unwrap_or_default();
            if !wanted.contains(&digest) {
                freed += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
                let _ = std::fs::remove_file(&path);
            }
        }
        for path in all("prints") {
            if load::<Made>(&path).is_none_or(|made| !self.has(&made)) {
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok(freed)
    }
}

fn load<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(store: &Store, reference: &str, text: &str) -> Made {
        let blob = store.put(text).unwrap();
        let manifest = store.put(format!("manifest of {text}")).unwrap();
        let one = One {
            platform: "linux/amd64".into(),
            manifest: manifest.clone(),
            kind: "k".into(),
            base: "b".into(),
            base_layers: Vec::new(),
            own: vec![blob],
        };
        Made {
            reference: reference.into(),
            fingerprint: text.into(),
            digest: manifest.digest,
            kind: "k".into(),
            images: vec![one],
        }
    }

    #[test]
    fn what_is_kept_is_found_and_the_rest_swept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let (one, two) = (made(&store, "r/a:1", "one"), made(&store, "r/b:1", "two two"));
        store.keep(&one).unwrap();
        store.keep(&two).unwrap();
        assert_eq!(store.made("r/a:1"), Some(one.clone()));
        assert!(store.has(&one) && store.has(&two));
        assert_eq!(store.sweep().unwrap(), 0);
        store.forget("r/b:1");
        assert_eq!(store.sweep().unwrap(), ("two two".len() + "manifest of two two".len()) as u64);
        assert!(store.has(&one) && !store.has(&two));
        assert_eq!(store.by_fingerprint("two two"), None);
    }

    #[test]
    fn a_blob_that_was_changed_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let blob = store.put("text").unwrap();
        assert_eq!(store.read(&blob.digest).as_deref(), Some(&b"text"[..]));
        std::fs::write(store.path(&blob.digest), "tex!").unwrap();
        assert_eq!(store.read(&blob.digest), None);
    }
}
