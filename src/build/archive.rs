//! The context as the engine takes it: a tar stream made while it is sent, the same for the same files.
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::Stream;
use globset::{GlobBuilder, GlobMatcher};

use super::tree::Tree;
use crate::error::{Fault, Result};

/// 2 January 1980: the oldest time that zip files, and so Python's wheels, can hold in every time zone.
const TIME: u64 = 315_619_200;

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
    let ignored = Ignored::read(&dir.join(".dockerignore"))?;
    let entries: Vec<Entry> = tree
        .files
        .iter()
        .filter(|file| !ignored.covers(&file.path))
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

/// A `.dockerignore`: unlike in `.gitignore`, a pattern counts from the context's root and covers all that is below,
/// the last one that matches wins, and what is left out above can be taken in below.
#[derive(Default)]
struct Ignored(Vec<(bool, GlobMatcher)>);

impl Ignored {
    fn read(path: &Path) -> Result<Self> {
        let Ok(text) = std::fs::read_to_string(path) else { return Ok(Self::default()) };
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut patterns = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (keep, pattern) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
            let glob = GlobBuilder::new(&parts.join("/")).literal_separator(true).build();
            let glob = glob.map_err(|error| {
                Fault::usage(format!("the pattern `{line}` in .dockerignore is wrong")).cause(error)
            })?;
            patterns.push((keep, glob.compile_matcher()));
        }
        Ok(Self(patterns))
    }

    fn covers(&self, path: &Path) -> bool {
        // The engine needs these, whatever the patterns say.
        if path == Path::new("Dockerfile") || path == Path::new(".dockerignore") {
            return false;
        }
        let matches = |glob: &GlobMatcher| {
            path.ancestors().filter(|part| !part.as_os_str().is_empty()).any(|part| glob.is_match(part))
        };
        self.0.iter().rev().find(|(_, glob)| matches(glob)).is_some_and(|(keep, _)| !keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerignore_is_not_gitignore() {
        let ignored =
            Ignored::parse("# comment\n*/node_modules\nsecret\ndocs/**/*.md\n!docs/keep.md\n*.log\n").unwrap();
        for (path, covered) in [
            ("function/node_modules/a/b.js", true),
            ("a/b/node_modules/c.js", false),
            ("secret/x", true),
            ("function/secret", false),
            ("docs/a/b.md", true),
            ("docs/keep.md", false),
            ("x.log", true),
            ("function/x.log", false),
            ("Dockerfile", false),
        ] {
            assert_eq!(ignored.covers(Path::new(path)), covered, "{path}");
        }
    }
}
