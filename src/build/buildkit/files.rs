//! The context as BuildKit fetches it: it is told of every file, and asks for those that it does not have.
//!
//! The protocol is that of `fsutil` (github.com/tonistiigi/fsutil, `send.go`): a `STAT` packet an entry, in the order of
//! their paths and numbered as they come, one without an entry at the end; then each `REQ` is answered by `DATA` packets,
//! the last one empty; a `FIN` is answered by a `FIN`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::FileSync;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request as Call, Response, Status, Streaming};

use crate::build::archive::TIME;
use crate::build::ignore::Ignore;
use crate::build::tree::Tree;

/// Go's mark of a folder in a file mode.
const FOLDER: u32 = 1 << 31;
/// How much of a file goes into a packet.
const CHUNK: usize = 64 * 1024;

/// The files of a context.
#[derive(Clone)]
pub struct Files(Arc<BTreeMap<PathBuf, Entry>>);

enum Entry {
    Folder,
    File { from: PathBuf, executable: bool, size: u64 },
}

impl Files {
    /// Those of `tree`, which lie in the context folder `dir`.
    #[must_use]
    pub fn new(tree: &Tree, dir: &Path) -> Self {
        let mut entries = BTreeMap::new();
        for file in &tree.files {
            for above in file.path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
                entries.entry(above.to_owned()).or_insert(Entry::Folder);
            }
            let (from, size) = (dir.join(&file.path), file.content.size());
            entries.insert(file.path.clone(), Entry::File { from, executable: file.executable(), size });
        }
        Self(Arc::new(entries))
    }

    /// What of it is asked for, in the order that BuildKit insists on, which is that of a path's parts.
    fn asked(&self, metadata: &MetadataMap) -> Result<Vec<(PathBuf, Stat)>, Status> {
        let wrong = |fault: crate::error::Fault| Status::invalid_argument(fault.to_string());
        let pattern = |name: &str| -> Result<Option<Ignore>, Status> {
            let lines = values(metadata, name);
            match lines.iter().any(|line| matches!(line.as_str(), "" | "." | "/" | "./")) || lines.is_empty() {
                true => Ok(None),
                false => Ignore::parse(&lines.join("\n"), name).map(Some).map_err(wrong),
            }
        };
        let include = pattern("include-patterns")?;
        let follow = pattern("followpaths")?;
        let exclude =
            Ignore::parse(&values(metadata, "exclude-patterns").join("\n"), "exclude-patterns").map_err(wrong)?;
        let wanted = |path: &Path| {
            // Both name what is wanted; without any of them it is everything.
            let included = match (&include, &follow) {
                (None, None) => true,
                (include, follow) => [include, follow].into_iter().flatten().any(|one| one.covers(path)),
            };
            included && !exclude.covers(path)
        };
        let mut asked: BTreeMap<&Path, &Entry> = BTreeMap::new();
        for (path, entry) in self.0.iter() {
            if !wanted(path) {
                continue;
            }
            for above in path.ancestors().skip(1) {
                if let Some((above, entry)) = self.0.get_key_value(above) {
                    asked.entry(above).or_insert(entry);
                }
            }
            asked.insert(path, entry);
        }
        Ok(asked.into_iter().map(|(path, entry)| (path.to_owned(), stat(path, entry))).collect())
    }
}

fn stat(path: &Path, entry: &Entry) -> Stat {
    let (mode, size) = match entry {
        Entry::Folder => (FOLDER | 0o755, 0),
        Entry::File { executable: true, size, .. } => (0o755, *size),
        Entry::File { size, .. } => (0o644, *size),
    };
    Stat {
        path: path.to_string_lossy().into_owned(),
        mode,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        // The same whenever it is built.
        mod_time: i64::try_from(TIME).unwrap_or_default() * 1_000_000_000,
        ..Stat::default()
    }
}

/// The values of a header that BuildKit gives several times; those that are not ASCII are encoded as in a query.
fn values(metadata: &MetadataMap, name: &str) -> Vec<String> {
    let encoded = metadata.get(format!("{name}-encoded")).is_some_and(|value| value == "1");
    let plain = |text: &str| match encoded {
        true => url::form_urlencoded::parse(text.as_bytes()).map(|(key, _)| key.into_owned()).collect(),
        false => text.to_owned(),
    };
    metadata.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(plain).collect()
}

fn packet(kind: PacketType, id: u32, data: Vec<u8>) -> Packet {
    Packet { r#type: kind.into(), stat: None, id, data }
}

type Sender = mpsc::Sender<Result<Packet, Status>>;

/// Sends a file by pieces; an empty one is the end of it.
async fn send(id: u32, from: &Path, sender: &Sender) -> std::io::Result<()> {
    let mut file = tokio::fs::File::open(from).await?;
    loop {
        let mut data = Vec::with_capacity(CHUNK);
        (&mut file).take(CHUNK as u64).read_to_end(&mut data).await?;
        let last = data.is_empty();
        if sender.send(Ok(packet(PacketType::PacketData, id, data))).await.is_err() || last {
            return Ok(());
        }
    }
}

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = Pin<Box<dyn futures_util::Stream<Item = Result<Packet, Status>> + Send>>;

    async fn diff_copy(&self, call: Call<Streaming<Packet>>) -> Result<Response<Self::DiffCopyStream>, Status> {
        let dir = values(call.metadata(), "dir-name").pop().unwrap_or_default();
        if !matches!(dir.as_str(), "context" | "dockerfile") {
            return Err(Status::not_found(format!("there is no folder {dir} here")));
        }
        let asked = self.asked(call.metadata())?;
        let (sender, receiver) = mpsc::channel(64);
        let paths: Vec<PathBuf> = asked.iter().map(|(path, _)| path.clone()).collect();
        let stats = sender.clone();
        tokio::spawn(async move {
            let all = asked.into_iter().map(|(_, stat)| Some(stat)).chain([None]);
            for stat in all {
                let packet = Packet { stat, ..packet(PacketType::PacketStat, 0, Vec::new()) };
                if stats.send(Ok(packet)).await.is_err() {
                    return;
                }
            }
        });
        let files = self.clone();
        let mut requests = call.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                match request.r#type() {
                    PacketType::PacketReq => {
                        let entry = paths.get(request.id as usize).and_then(|path| files.0.get(path));
                        let Some(Entry::File { from, .. }) = entry else {
                            let _ = sender.send(Err(Status::invalid_argument("there is no such file"))).await;
                            return;
                        };
                        if let Err(error) = send(request.id, from, &sender).await {
                            let text = format!("can't read {}: {error}", from.display());
                            let _ = sender.send(Err(Status::aborted(text))).await;
                            return;
                        }
                    }
                    PacketType::PacketFin => {
                        let _ = sender.send(Ok(packet(PacketType::PacketFin, 0, Vec::new()))).await;
                        return;
                    }
                    PacketType::PacketErr => {
                        tracing::debug!("BuildKit takes no files: {}", String::from_utf8_lossy(&request.data));
                        return;
                    }
                    PacketType::PacketStat | PacketType::PacketData => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type TarStreamStream = Self::DiffCopyStream;

    async fn tar_stream(&self, _: Call<Streaming<Packet>>) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("files are sent one by one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Files {
        let mut entries = BTreeMap::new();
        for path in paths {
            for above in Path::new(path).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
                entries.insert(above.to_owned(), Entry::Folder);
            }
            entries.insert(path.into(), Entry::File { from: path.into(), executable: false, size: 1 });
        }
        Files(Arc::new(entries))
    }

    #[track_caller]
    fn check(files: &Files, headers: &[(&'static str, &str)], expected: &[&str]) {
        let mut metadata = MetadataMap::new();
        for (name, value) in headers {
            metadata.append(*name, value.parse().unwrap());
        }
        let asked = files.asked(&metadata).unwrap();
        let paths: Vec<_> = asked.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(paths, expected, "{headers:?}");
    }

    #[test]
    fn what_is_asked_for_is_sent_with_its_folders_in_order() {
        let files = files(&["Dockerfile", "a-b", "a/b/c", "a/d", "é"]);
        check(&files, &[], &["Dockerfile", "a", "a/b", "a/b/c", "a/d", "a-b", "é"]);
        check(&files, &[("include-patterns", "Dockerfile"), ("include-patterns", ".dockerignore")], &["Dockerfile"]);
        check(&files, &[("followpaths", "a/b/c")], &["a", "a/b", "a/b/c"]);
        check(&files, &[("followpaths", "."), ("exclude-patterns", "a")], &["Dockerfile", "a-b", "é"]);
        check(
            &files,
            &[("exclude-patterns", "a"), ("exclude-patterns", "!a/d")],
            &["Dockerfile", "a", "a/d", "a-b", "é"],
        );
        check(&files, &[("include-patterns", "%C3%A9"), ("include-patterns-encoded", "1")], &["é"]);
    }
}
