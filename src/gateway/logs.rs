//! Functions' logs: newline-delimited JSON in files that are rotated by size, and live lines for those who follow.
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
/// Lines that a slow reader may lag behind before it has to read them from the files.
const LIVE: usize = 4096;
/// Longest text of one line, in bytes; the rest of a longer one is cut.
const LINE: usize = 256 << 10;

/// A function's log.
pub(super) struct FunctionLog {
    key: Key,
    folder: PathBuf,
    file_size: u64,
    current: Mutex<Option<Current>>,
    /// How many files were put aside so far. Changed under the lock of `current`.
    turned: AtomicU64,
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
    /// Where the files go on after it.
    end: Position,
}

/// A place in the files: how many files had been put aside when this one was written, and how many bytes of it.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    turned: u64,
    bytes: u64,
}

/// What is in the files from some place on, each with the bytes that count.
type History = Vec<(File, std::ops::Range<u64>)>;

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
            turned: AtomicU64::new(0),
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
        let bytes = current.as_ref().map_or(0, |current| current.size);
        let end = Position { turned: self.turned.load(Ordering::Relaxed), bytes };
        // Nobody listening is the usual case. Sent under the lock, so that readers see each line once.
        if let Some(live) = &*self.live() {
            let _ = live.send(Line { message: Arc::new(message), json: json.into(), end });
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
            self.turned.fetch_add(1, Ordering::Relaxed);
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
        let (history, live, mut at) = self.since(None);
        let live = live.filter(|_| query.follow);
        let log = Arc::clone(self);
        tokio::spawn(async move {
            let mut told = tell(history, &query, &sender).await;
            let query = Query { tail: None, ..query };
            let mut live = live;
            while let (Ok(()), Some(lines)) = (&told, live.take()) {
                let behind = tell_live(lines, &mut at, &query, &sender).await;
                if !behind {
                    return;
                }
                // More came than is kept for a slow reader: it is in the files all the same.
                let history;
                (history, live, at) = log.since(Some(at));
                told = tell(history, &query, &sender).await;
            }
            if let Err(e) = told {
                let _ = sender.send(Err(e)).await;
            }
        });
        receiver
    }

    /// What is in the files from a place on, or from their beginning, oldest first; all that comes later, and where that begins.
    fn since(&self, from: Option<Position>) -> (History, Option<broadcast::Receiver<Line>>, Position) {
        // Under the lock: what is in the files now is history, all that comes later is live.
        let _current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = self.turned.load(Ordering::Relaxed);
        let mut end = Position { turned, bytes: 0 };
        let mut files = Vec::new();
        for number in (0..FILES).rev() {
            // `None` for files of an earlier start of the platform: they come before all that is counted.
            let this = turned.checked_sub(number.into());
            if from.is_some_and(|from| this.is_none_or(|this| this < from.turned)) {
                continue;
            }
            let Some((file, length)) = self.open(number) else { continue };
            let start = from.filter(|from| this == Some(from.turned)).map_or(0, |from| from.bytes.min(length));
            files.push((file, start..length));
            if number == 0 {
                end.bytes = length;
            }
        }
        (files, self.live().as_ref().map(broadcast::Sender::subscribe), end)
    }

    fn open(&self, number: u32) -> Option<(File, u64)> {
        let file = File::open(self.path(number)).ok()?;
        let length = file.metadata().ok()?.len();
        Some((file, length))
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

async fn tell(history: History, query: &Query, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let (query, to) = (query.clone(), to.clone());
    tokio::task::spawn_blocking(move || tell_history(history, &query, &to)).await.map_err(io::Error::other)?
}

fn tell_history(files: History, query: &Query, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    const CHUNK: usize = 32 << 10;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut newest: VecDeque<Vec<u8>> = VecDeque::new();
    for (mut file, bytes) in files {
        file.seek(SeekFrom::Start(bytes.start))?;
        let mut reader = BufReader::with_capacity(CHUNK, file.take(bytes.end - bytes.start));
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

/// Passes lines on until there are no more, or nobody reads them; true when the reader fell behind, and some are gone
/// from memory. `at` is where the files go on after what was passed on.
async fn tell_live(
    mut live: broadcast::Receiver<Line>,
    at: &mut Position,
    query: &Query,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> bool {
    loop {
        let line = tokio::select! {
            line = live.recv() => line,
            () = to.closed() => return false,
        };
        let line = match line {
            Ok(line) => line,
            Err(broadcast::error::RecvError::Lagged(_)) => return true,
            Err(broadcast::error::RecvError::Closed) => return false,
        };
        *at = line.end;
        if query.takes(&line.message) && to.send(Ok(line.json)).await.is_err() {
            return false;
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

    #[tokio::test]
    async fn who_reads_slowly_catches_up_from_the_files_and_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), 800_000);
        let lines = 3 * LIVE;
        log.add("i", b"0");
        let mut reader = log.read(Query { follow: true, ..Query::default() });
        let first = reader.recv().await.unwrap().unwrap();
        assert!(first.ends_with(b"\"0\"}\n"), "{first:?}");
        // Nobody reads meanwhile, and more comes than is kept in memory; the files are put aside once or twice.
        let writer = Arc::clone(&log);
        let burst = move || (1..lines).for_each(|n| writer.add("i", n.to_string().as_bytes()));
        tokio::task::spawn_blocking(burst).await.unwrap();
        assert!(log.turned.load(Ordering::Relaxed) > 0);
        let mut seen = 1;
        while seen < lines {
            let chunk = reader.recv().await.unwrap().unwrap();
            for line in chunk.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                assert_eq!(serde_json::from_slice::<LogMessage>(line).unwrap().text, seen.to_string());
                seen += 1;
            }
        }
        log.add("i", b"live");
        let last = reader.recv().await.unwrap().unwrap();
        assert!(last.ends_with(b"\"live\"}\n"), "{last:?}");
    }
}
