//! Functions' logs: newline-delimited JSON in files that are rotated by size, and live lines for those who follow.
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};

use super::files;
use super::record::Key;
use crate::wire::LogMessage;

/// A log file is put aside when it gets larger than this, in bytes.
pub(super) const FILE_SIZE: u64 = 10 << 20;
/// Files kept, the current one included.
const FILES: u32 = 3;
/// Lines that a slow reader may lag behind before it loses some.
const LIVE: usize = 4096;
/// Longest text of one line, in bytes; the rest of a longer one is cut.
const LINE: usize = 256 << 10;

/// A function's log.
pub(super) struct FunctionLog {
    key: Key,
    folder: PathBuf,
    file_size: u64,
    current: Mutex<Option<Current>>,
    /// Once it is, its folder may be another function's of the same name.
    removed: AtomicBool,
    /// `None` once nobody is to follow any more.
    live: Mutex<Option<broadcast::Sender<Line>>>,
}

struct Current {
    file: File,
    size: u64,
}

#[derive(Clone)]
struct Line {
    message: Arc<LogMessage>,
    json: Bytes,
}

/// Which lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    /// One replica only.
    pub instance: Option<String>,
    /// Not before.
    pub since: Option<jiff::Timestamp>,
    /// The newest so many.
    pub tail: Option<usize>,
    /// Go on as new ones come.
    pub follow: bool,
}

impl Query {
    fn takes(&self, message: &LogMessage) -> bool {
        self.instance.as_ref().is_none_or(|wanted| *wanted == message.instance)
            && self.since.is_none_or(|since| message.timestamp >= since)
    }
}

impl FunctionLog {
    /// The log of a function, kept in `folder`, which is made with the first line.
    pub fn new(key: Key, folder: PathBuf, file_size: u64) -> Arc<Self> {
        Arc::new(Self {
            key,
            folder,
            file_size,
            current: Mutex::new(None),
            removed: AtomicBool::new(false),
            live: Mutex::new(Some(broadcast::channel(LIVE).0)),
        })
    }

    /// Adds a line of a replica. That it can't be kept is told in the platform's own log.
    pub fn add(&self, instance: &str, text: &[u8]) {
        let text = String::from_utf8_lossy(&text[..text.len().min(LINE)]).into_owned();
        let message = LogMessage {
            name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
            instance: instance.to_owned(),
            timestamp: jiff::Timestamp::now(),
            text,
        };
        let mut json = serde_json::to_vec(&message).unwrap_or_default();
        json.push(b'\n');
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if self.removed.load(Ordering::Acquire) {
            return;
        }
        if let Err(e) = self.write(&mut current, &json) {
            tracing::warn!("a line of {}'s log can't be kept: {e}", self.key);
            *current = None;
        }
        // Nobody listening is the usual case. Sent under the lock, so that readers see each line once.
        if let Some(live) = &*self.live() {
            let _ = live.send(Line { message: Arc::new(message), json: json.into() });
        }
    }

    fn write(&self, current: &mut Option<Current>, json: &[u8]) -> io::Result<()> {
        if current.as_ref().is_some_and(|c| c.size + json.len() as u64 > self.file_size) {
            *current = None;
            for number in (1..FILES).rev() {
                match std::fs::rename(self.path(number - 1), self.path(number)) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
        }
        let current = match current {
            Some(current) => current,
            None => {
                files::private_dir(&self.folder)?;
                let file = files::append(&self.path(0))?;
                let size = file.metadata()?.len();
                current.insert(Current { file, size })
            }
        };
        current.file.write_all(json)?;
        current.size += json.len() as u64;
        Ok(())
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(if number == 0 { "log.ndjson".into() } else { format!("log.{number}.ndjson") })
    }

    /// Lines as newline-delimited JSON, oldest first. The channel ends with the history, or with the reader when it
    /// follows.
    pub fn read(self: &Arc<Self>, query: Query) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(16);
        // Under the lock: what is in the files now is history, all that comes later is live.
        let (history, live) = {
            let _current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            (self.history(), self.live().as_ref().filter(|_| query.follow).map(broadcast::Sender::subscribe))
        };
        tokio::spawn(async move {
            let (wanted, to) = (query.clone(), sender.clone());
            let told = tokio::task::spawn_blocking(move || tell_history(history, &wanted, &to)).await;
            match (told, live) {
                (Ok(Ok(())), Some(live)) => tell_live(live, &query, &sender).await,
                (Ok(Err(e)), _) => drop(sender.send(Err(e)).await),
                _ => {}
            }
        });
        receiver
    }

    /// The files, oldest first, each with the length that counts.
    fn history(&self) -> Vec<(File, u64)> {
        (0..FILES)
            .rev()
            .filter_map(|number| {
                let file = File::open(self.path(number)).ok()?;
                let length = file.metadata().ok()?.len();
                Some((file, length))
            })
            .collect()
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Option<broadcast::Sender<Line>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all who follow.
    pub fn close(&self) {
        self.live().take();
    }

    /// Forgets all lines, ends all who follow, and takes no more.
    pub fn remove(&self) -> io::Result<()> {
        self.close();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.removed.store(true, Ordering::Release);
        *current = None;
        files::remove(&self.folder)
    }
}

fn tell_history(files: Vec<(File, u64)>, query: &Query, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    const CHUNK: usize = 32 << 10;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut newest: VecDeque<Vec<u8>> = VecDeque::new();
    for (file, length) in files {
        let mut reader = BufReader::with_capacity(CHUNK, file.take(length));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            // A line cut by a crash is no JSON and is left out.
            if serde_json::from_slice::<LogMessage>(&line).is_ok_and(|message| query.takes(&message)) {
                if let Some(tail) = query.tail {
                    if newest.len() == tail {
                        newest.pop_front();
                    }
                    newest.push_back(std::mem::take(&mut line));
                } else {
                    chunk.extend_from_slice(&line);
                    if chunk.len() >= CHUNK && to.blocking_send(Ok(std::mem::take(&mut chunk).into())).is_err() {
                        return Ok(());
                    }
                }
            }
            line.clear();
        }
    }
    chunk.extend(newest.into_iter().flatten());
    if !chunk.is_empty() {
        // An error means that the reader has gone.
        let _ = to.blocking_send(Ok(chunk.into()));
    }
    Ok(())
}

async fn tell_live(mut live: broadcast::Receiver<Line>, query: &Query, to: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let line = tokio::select! {
            line = live.recv() => line,
            () = to.closed() => return,
        };
        let sent = match line {
            Ok(line) if query.takes(&line.message) => to.send(Ok(line.json)).await,
            Ok(_) => Ok(()),
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                let text = format!("{lost} lines came faster than they were read");
                to.send(Err(io::Error::other(text))).await
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Where a replica's lines go.
pub(super) struct Sink {
    log: Arc<FunctionLog>,
    instance: String,
}

impl Sink {
    /// The way into `log` for the replica called `instance`.
    pub fn new(log: Arc<FunctionLog>, instance: String) -> Arc<Self> {
        Arc::new(Self { log, instance })
    }
}

impl faas_watchdog::LogSink for Sink {
    fn line(&self, _: faas_watchdog::Stream, line: &[u8]) {
        self.log.add(&self.instance, line);
    }
}

/// Whether any function ever had one.
pub(super) fn any(platform: &Path) -> bool {
    platform.join("logs").is_dir()
}

/// Where a function's log lies below the platform's folder.
pub(super) fn folder(platform: &Path, key: &Key) -> PathBuf {
    platform.join("logs").join(&key.namespace).join(&key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn texts(log: &Arc<FunctionLog>, query: Query) -> Vec<String> {
        let mut lines = log.read(query);
        let mut all = Vec::new();
        while let Some(chunk) = lines.recv().await {
            all.extend_from_slice(&chunk.unwrap());
        }
        all.split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice::<LogMessage>(line).unwrap().text)
            .collect()
    }

    fn log(folder: &Path, size: u64) -> Arc<FunctionLog> {
        FunctionLog::new(Key::new("ns", "tax"), folder.join("log"), size)
    }

    #[tokio::test]
    async fn the_newest_lines_are_told_and_one_replica_can_be_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), FILE_SIZE);
        for number in 0..5 {
            log.add(if number % 2 == 0 { "even" } else { "odd" }, number.to_string().as_bytes());
        }
        assert_eq!(texts(&log, Query::default()).await, ["0", "1", "2", "3", "4"]);
        assert_eq!(texts(&log, Query { tail: Some(2), ..Query::default() }).await, ["3", "4"]);
        assert_eq!(texts(&log, Query { instance: Some("odd".into()), ..Query::default() }).await, ["1", "3"]);
        let since = Some(jiff::Timestamp::now());
        log.add("even", b"5");
        assert_eq!(texts(&log, Query { since, ..Query::default() }).await, ["5"]);
    }

    #[tokio::test]
    async fn old_files_go_when_the_log_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), 1000);
        for number in 0..100 {
            log.add("i", number.to_string().as_bytes());
        }
        let kept = texts(&log, Query::default()).await;
        assert_eq!(kept.last().unwrap(), "99");
        let first: usize = kept[0].parse().unwrap();
        assert!(first > 0);
        assert_eq!(kept, (first..100).map(|n| n.to_string()).collect::<Vec<_>>());
        let sizes: Vec<u64> = std::fs::read_dir(folder.path().join("log"))
            .unwrap()
            .map(|e| e.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
    }

    #[tokio::test]
    async fn who_follows_sees_each_line_once_across_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), 5_000);
        let writer = Arc::clone(&log);
        log.add("i", b"0");
        let mut lines = log.read(Query { follow: true, ..Query::default() });
        let thread = std::thread::spawn(move || (1..200).for_each(|n: u32| writer.add("i", n.to_string().as_bytes())));
        let mut seen = Vec::new();
        while seen.len() < 200 {
            let chunk = lines.recv().await.unwrap().unwrap();
            for line in chunk.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                seen.push(serde_json::from_slice::<LogMessage>(line).unwrap().text);
            }
        }
        thread.join().unwrap();
        assert_eq!(seen, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
