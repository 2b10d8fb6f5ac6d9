//! The context as the engine takes it: a tar stream made while it is sent, the same for the same files.
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::Stream;

use super::ignore::Ignore;
use super::tree::Tree;
use crate::error::Result;

/// 2 January 1980: the oldest time that zip files, and so Python's wheels, can hold in every time zone.
pub const TIME: u64 = 315_619_200;

/// What the context leaves out.
pub const IGNORE: &str = ".dockerignore";

/// The engine reads these before it leaves them out by itself.
fn is_needed(path: &Path) -> bool {
    path == Path::new("Dockerfile") || path == Path::new(IGNORE)
}

/// A file of the context: where it lies, its name in the archive, and whether it may be executed.
struct Entry {
    from: PathBuf,
    name: PathBuf,
    executable: bool,
}

/// The context in the folder `dir` as a tar stream, without what its `.dockerignore` names.
///
/// # Errors
/// When the `.dockerignore` can't be used.
pub fn stream(tree: &Tree, dir: &Path) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + 'static> {
    let ignored = Ignore::read(&dir.join(IGNORE), IGNORE)?;
    let entries: Vec<Entry> = tree
        .files
        .iter()
        .filter(|file| is_needed(&file.path) || !ignored.covers(&file.path))
        .map(|file| Entry { from: dir.join(&file.path), name: file.path.clone(), executable: file.executable() })
        .collect();
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut channel = Channel { sender, buffer: Vec::with_capacity(CHUNK) };
        if let Err(error) = write(&entries, &mut channel) {
            // A stream that ends with an error makes the engine drop the build; nobody listening is no news.
            let _ = channel.sender.blocking_send(Err(error));
        }
    });
    Ok(futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|item| (item, receiver))
    }))
}

fn write(entries: &[Entry], channel: &mut Channel) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(&mut *channel);
    for entry in entries {
        let mut file = std::fs::File::open(&entry.from)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(if entry.executable { 0o755 } else { 0o644 });
        header.set_mtime(TIME);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, &entry.name, &mut file)?;
    }
    archive.finish()?;
    drop(archive);
    channel.flush()
}

const CHUNK: usize = 128 * 1024;

/// Bytes written here come out of the stream.
struct Channel {
    sender: tokio::sync::mpsc::Sender<std::io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}
