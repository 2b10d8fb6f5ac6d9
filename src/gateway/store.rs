//! The platform's database: one redb file, owned by the daemon. One thread writes, and commits what came in meanwhile
//! as one transaction, so that a thousand accepted calls don't cost a thousand waits for the disk.
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::panics;
use super::record::{FunctionRecord, Key, NamespaceRecord, QueuedCall};
use crate::error::{Fault, OrFault, Result};

const FUNCTIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("functions");
const NAMESPACES: TableDefinition<&str, &[u8]> = TableDefinition::new("namespaces");
const QUEUE: TableDefinition<u64, &[u8]> = TableDefinition::new("queue");
const BODIES: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies");
const DEAD: TableDefinition<u64, &[u8]> = TableDefinition::new("dead");

/// Most writes that one transaction takes.
const BATCH: usize = 1024;

const DAMAGED: &str =
    "if it is damaged, move it away: then the platform starts without functions, and `faas up` brings them back";

type Work = Box<dyn FnOnce(&WriteTransaction) -> Result<(), redb::Error> + Send>;

struct Write {
    work: Work,
    done: oneshot::Sender<Result<()>>,
}

/// The database.
#[derive(Clone)]
pub(super) struct Store {
    file: Arc<Reopened>,
    writer: Arc<Writer>,
}

/// The thread that writes, which ends with the last handle.
struct Writer {
    writes: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    /// Waits until the thread has let go of the file: who opens it next finds it closed, and closed in order.
    fn drop(&mut self) {
        drop(self.writes.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The database's file. redb takes no more work after an error of the disk, so the file is let go of then, and opened
/// again by whoever needs it next: once there is space again, all goes on.
struct Reopened {
    path: PathBuf,
    database: RwLock<Option<Database>>,
}

impl Reopened {
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let mut work = Some(work);
        let mut run = |database: &Database| match work.take() {
            Some(work) => caught(|| work(database)),
            None => Err(redb::Error::PreviousIo),
        };
        let mut result = None;
        while result.is_none() {
            // The guard must have gone when the file is opened again, or let go of.
            let opened = self.database.read().unwrap_or_else(PoisonError::into_inner);
            result = opened.as_ref().map(&mut run);
            drop(opened);
            if result.is_none() {
                self.open_again()?;
            }
        }
        let result = result.unwrap_or(Err(redb::Error::PreviousIo));
        if let Err(e @ (redb::Error::Io(_) | redb::Error::PreviousIo)) = &result {
            tracing::warn!("the database is opened anew after an error of its file: {e}");
            self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        result
    }

    fn open_again(&self) -> Result<(), redb::Error> {
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Some(caught(|| Ok(Database::open(&self.path)?))?);
        }
        Ok(())
    }

    /// The error with what to do about it.
    fn fault(&self, what: String, error: &redb::Error) -> Fault {
        let full = matches!(error, redb::Error::Io(e) if is_full(e));
        if full {
            let folder = self.path.parent().unwrap_or(&self.path).display();
            return Fault::failed(what).cause(format_args!(
                "no space left on the disk that holds {folder}: free some, and try again; a restart is not needed"
            ));
        }
        Fault::failed(what).cause(error)
    }
}

/// Whether the file at `path` is one that [`Store::open`] would take; it is read, and nothing more.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn look(path: &Path) -> Result<()> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    if metadata.len() == 0 {
        return match path.parent().is_some_and(super::logs::any) {
            true => Err(emptied(path)),
            false => Ok(()),
        };
    }
    let read = caught(|| {
        let transaction = redb::ReadOnlyDatabase::open(path)?.begin_read()?;
        match transaction.open_table(FUNCTIONS) {
            Ok(_) | Err(redb::TableError::TableDoesNotExist(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    });
    match read {
        // One that was cut off is mended when it is opened to be written; one that is open is somebody's.
        Ok(()) | Err(redb::Error::RepairAborted | redb::Error::DatabaseAlreadyOpen) => Ok(()),
        Err(error) => {
            Err(Fault::failed(format!("can't read the database {}", path.display())).cause(error).hint(DAMAGED))
        }
    }
}

fn emptied(path: &Path) -> Fault {
    Fault::failed(format!("the database {} is empty, and there were functions", path.display())).hint(DAMAGED)
}

/// Whether the disk, or what this user may have of it, is full.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// redb panics over some files that are damaged; that is an error like others.
fn caught<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    panics::caught(work).unwrap_or_else(|said| Err(redb::Error::Corrupted(said)))
}

impl Store {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self> {
        // Opened, it would be filled as a new one, and nobody would be told what was lost.
        let emptied = std::fs::metadata(path).is_ok_and(|m| m.len() == 0);
        if emptied && path.parent().is_some_and(super::logs::any) {
            return Err(self::emptied(path));
        }
        let cannot = |what: &str, e: &redb::Error| {
            let fault = Fault::failed(format!("{what} the database {}", path.display())).cause(e);
            match e {
                redb::Error::DatabaseAlreadyOpen => fault.hint("another embedded platform has it open"),
                redb::Error::Io(e) if is_full(e) => fault.hint("its disk is full: free some space, and start again"),
                _ => fault.hint(DAMAGED),
            }
        };
        let database = caught(|| Ok(Database::create(path)?)).map_err(|e| cannot("can't open", &e))?;
        let prepare = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction.open_table(FUNCTIONS)?;
            transaction.open_table(NAMESPACES)?;
            transaction.open_table(QUEUE)?;
            transaction.open_table(BODIES)?;
            transaction.open_table(DEAD)?;
            Ok(transaction.commit()?)
        };
        caught(prepare).map_err(|e| cannot("can't write to", &e))?;
        let file = Arc::new(Reopened { path: path.to_owned(), database: RwLock::new(Some(database)) });
        let (writes, received) = mpsc::channel();
        let writer = Arc::clone(&file);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || write_all(&writer, &received))
            .or_fault(|| "can't start the database's thread".into())?;
        Ok(Self { file, writer: Arc::new(Writer { writes: Some(writes), thread: Some(thread) }) })
    }

    /// Does `work` in a transaction and waits until that is on the disk.
    async fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error> + Send + 'static,
    ) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let ended = || Fault::failed("the database's thread has ended");
        let writes = self.writer.writes.as_ref().ok_or_else(ended)?;
        writes.send(Write { work: Box::new(work), done }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    fn read<T>(&self, what: &str, work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T> {
        self.file.with(|database| work(&database.begin_read()?)).map_err(|e| {
            let fault =
                self.file.fault(format!("can't read {what} from the database {}", self.file.path.display()), &e);
            if matches!(e, redb::Error::Corrupted(_)) { fault.hint(DAMAGED) } else { fault }
        })
    }

    /// All functions.
    pub fn functions(&self) -> Result<Vec<(Key, FunctionRecord)>> {
        let rows: Vec<(String, FunctionRecord)> = self.read("the functions", |t| rows(&t.open_table(FUNCTIONS)?))?;
        Ok(rows
            .into_iter()
            .filter_map(|(row, record)| {
                let (namespace, name) = row.split_once('/')?;
                Some((Key::new(namespace, name), record))
            })
            .collect())
    }

    /// Keeps a function.
    pub async fn put_function(&self, key: &Key, record: &FunctionRecord) -> Result<()> {
        let (row, bytes) = (key.row(), json(record)?);
        self.write(move |t| {
            t.open_table(FUNCTIONS)?.insert(row.as_str(), bytes.as_slice())?;
            Ok(())
        })
        .await
    }

    /// Forgets a function.
    pub async fn remove_function(&self, key: &Key) -> Result<()> {
        let row = key.row();
        self.write(move |t| {
            t.open_table(FUNCTIONS)?.remove(row.as_str())?;
            Ok(())
        })
        .await
    }

    /// All namespaces but the default one.
    pub fn namespaces(&self) -> Result<Vec<(String, NamespaceRecord)>> {
        self.read("the namespaces", |t| rows(&t.open_table(NAMESPACES)?))
    }

    /// Keeps a namespace.
    pub async fn put_namespace(&self, name: &str, record: &NamespaceRecord) -> Result<()> {
        let (row, bytes) = (name.to_owned(), json(record)?);
        self.write(move |t| {
            t.open_table(NAMESPACES)?.insert(row.as_str(), bytes.as_slice())?;
            Ok(())
        })
        .await
    }

    /// Forgets a namespace.
    pub async fn remove_namespace(&self, name: &str) -> Result<()> {
        let row = name.to_owned();
        self.write(move |t| {
            t.open_table(NAMESPACES)?.remove(row.as_str())?;
            Ok(())
        })
        .await
    }

    /// All calls that are queued, oldest first, and the number that the next one gets.
    pub fn queued(&self) -> Result<(Vec<(u64, QueuedCall)>, u64)> {
        self.read("the queue", |t| {
            let queued = numbered(&t.open_table(QUEUE)?)?;
            let dead = t.open_table(DEAD)?.last()?.map_or(0, |(number, _)| number.value() + 1);
            let next = queued.last().map_or(0, |(number, _)| number + 1).max(dead);
            Ok((queued, next))
        })
    }

    /// Calls that were put aside, oldest first.
    pub fn dead(&self) -> Result<Vec<(u64, QueuedCall)>> {
        self.read("the calls put aside", |t| numbered(&t.open_table(DEAD)?))
    }

    /// Keeps a call; with `body`, that too.
    pub async fn put_call(&self, number: u64, call: &QueuedCall, body: Option<bytes::Bytes>) -> Result<()> {
        let bytes = json(call)?;
        self.write(move |t| {
            t.open_table(QUEUE)?.insert(number, bytes.as_slice())?;
            if let Some(body) = body {
                t.open_table(BODIES)?.insert(number, body.as_ref())?;
            }
            Ok(())
        })
        .await
    }

    /// A call and, when it lies in the database, its body.
    pub fn call(&self, number: u64) -> Result<Option<(QueuedCall, Vec<u8>)>> {
        self.read("a queued call", |t| {
            let Some(row) = t.open_table(QUEUE)?.get(number)? else { return Ok(None) };
            let body = t.open_table(BODIES)?.get(number)?.map(|b| b.value().to_vec()).unwrap_or_default();
            Ok(serde_json::from_slice(row.value()).ok().map(|call| (call, body)))
        })
    }

    /// Forgets a call that is done.
    pub async fn remove_call(&self, number: u64) -> Result<()> {
        self.write(move |t| {
            t.open_table(QUEUE)?.remove(number)?;
            t.open_table(BODIES)?.remove(number)?;
            Ok(())
        })
        .await
    }

    /// Puts a call aside that was tried too often; its body stays.
    pub async fn bury_call(&self, number: u64, call: &QueuedCall) -> Result<()> {
        let bytes = json(call)?;
        self.write(move |t| {
            t.open_table(QUEUE)?.remove(number)?;
            t.open_table(DEAD)?.insert(number, bytes.as_slice())?;
            Ok(())
        })
        .await
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).or_fault(|| "can't write a database row".into())
}

/// Rows that another version wrote and this one can't read are passed over, with a word in the log.
fn rows<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<(String, T)>, redb::Error> {
    let mut all = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        match serde_json::from_slice(value.value()) {
            Ok(record) => all.push((key.value().to_owned(), record)),
            Err(e) => tracing::warn!("the database's row {} can't be read: {e}", key.value()),
        }
    }
    Ok(all)
}

fn numbered(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<Vec<(u64, QueuedCall)>, redb::Error> {
    let mut all = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        match serde_json::from_slice(value.value()) {
            Ok(record) => all.push((key.value(), record)),
            Err(e) => tracing::warn!("queued call {} can't be read: {e}", key.value()),
        }
    }
    Ok(all)
}

fn write_all(file: &Reopened, received: &mpsc::Receiver<Write>) {
    while let Ok(first) = received.recv() {
        let mut batch = vec![first];
        batch.extend(received.try_iter().take(BATCH - 1));
        let (works, dones): (Vec<Work>, Vec<_>) = batch.into_iter().map(|w| (w.work, w.done)).unzip();
        let commit = |database: &Database| -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            for work in works {
                work(&transaction)?;
            }
            Ok(transaction.commit()?)
        };
        let result = file.with(commit).map_err(|e| file.fault("can't write to the database".into(), &e));
        for done in dones {
            // Whoever asked may have gone; the write stands all the same.
            let _ = done.send(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_emptied_file_is_not_taken_for_a_new_one_where_functions_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        std::fs::write(&path, "").unwrap();
        // A start that was killed before its first write leaves this.
        drop(Store::open(&path).unwrap());
        std::fs::write(&path, "").unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let fault = Store::open(&path).err().unwrap();
        assert!(fault.to_string().contains("is empty, and there were functions"), "{fault}");
        assert!(fault.hint.unwrap().contains("move it away"));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[tokio::test]
    async fn what_was_written_is_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let key = Key::new("shop", "tax");
        let record = FunctionRecord { deployment: Default::default(), created: jiff::Timestamp::now(), replicas: 3 };
        let call = QueuedCall {
            call_id: "id".into(),
            called: "tax".into(),
            path: "/".into(),
            headers: Vec::new(),
            callback: None,
            accepted: jiff::Timestamp::now(),
            attempts: 0,
            body_in_file: false,
            failure: None,
        };
        {
            let store = Store::open(&path).unwrap();
            store.put_function(&key, &record).await.unwrap();
            store.put_call(0, &call, Some("a".into())).await.unwrap();
            store.put_call(7, &call, Some("b".into())).await.unwrap();
            store.remove_call(0).await.unwrap();
            store.bury_call(7, &call).await.unwrap();
            store.put_call(8, &call, Some("c".into())).await.unwrap();
        }
        let store = Store::open(&path).unwrap();
        let functions = store.functions().unwrap();
        assert_eq!((&functions[0].0, functions[0].1.replicas), (&key, 3));
        let (queued, next) = store.queued().unwrap();
        assert_eq!((queued.len(), queued[0].0, next), (1, 8, 9));
        assert_eq!(store.call(8).unwrap().unwrap().1, b"c");
        assert_eq!(store.dead().unwrap()[0].0, 7);
    }
}
