//! The store of a shard: one RocksDB that is never ahead of an epoch that holds, and the thread that applies epochs.

mod applier;
mod expiry;
mod merge;
mod options;
mod reader;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBPinnableSlice, DBRawIterator, DEFAULT_COLUMN_FAMILY_NAME, ReadOptions,
};
use weir_core::ports::{Delta, KeyedState, StateBytes, StateStore};
use weir_core::{Digest, Epoch, OperatorId, PortError, RecordId};

use crate::dir::Ownership;
use crate::error::Error;
use crate::task::TaskState;
use applier::{APPLIED, Failure, Progress};
use expiry::Expiry;
use options::Budget;

pub(crate) use expiry::TaskTime;
pub(crate) use reader::{Entries, StoreReader};

/// The file of RocksDB that names its manifest: where it is missing, there is no store yet, and RocksDB starts an empty
/// one.
pub(crate) const CURRENT: &str = "CURRENT";
/// How long the end of the store waits for a write under way; a flush of all memtables takes less.
const STOP_WITHIN: Duration = Duration::from_secs(30);
const STOP_POLL: Duration = Duration::from_millis(1);

/// The state of one shard in RocksDB. Dropping it ends its thread; what was not applied comes back from the log.
pub struct RocksStore {
    shared: Arc<Shared>,
    budget: Budget,
    /// Memory of the tasks that live.
    tasks: Mutex<Vec<(OperatorId, Weak<AtomicU64>)>>,
    applier: Option<JoinHandle<()>>,
}

/// What tasks and applier use of the store.
pub(crate) struct Shared {
    db: DB,
    path: PathBuf,
    progress: Progress,
    expiry: Arc<Expiry>,
    _ownership: Arc<Ownership>,
}

impl RocksStore {
    pub(crate) fn open(path: &Path, memory_bytes: u64, ownership: Arc<Ownership>) -> Result<Self, Error> {
        let budget = Budget::of(memory_bytes);
        let expiry = Arc::default();
        let options = options::expiring(options::options(budget), &expiry);
        let all = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options.clone());
        let db = DB::open_cf_descriptors(&options, path, [all]).map_err(|error| Error::store("open", path, error))?;
        let applied = read_applied(&db, path)?;
        let progress = Progress::new(applied, budget.waiting);
        let shared = Arc::new(Shared { db, path: path.to_owned(), progress, expiry, _ownership: ownership });
        let applier = weir_machine::spawn("state-applier", {
            let shared = Arc::clone(&shared);
            move || applier::run(&shared.db, &shared.progress)
        })
        .map_err(Error::io("start the thread that applies epochs to", path))?;
        Ok(Self { shared, budget, tasks: Mutex::default(), applier: Some(applier) })
    }

    /// The last record that is applied; after `join`, the last one handed over.
    pub fn applied(&self) -> Option<RecordId> {
        self.shared.progress.record()
    }
}

/// The record that the store holds; `None` before the first.
fn read_applied(db: &DB, path: &Path) -> Result<Option<RecordId>, Error> {
    let Some(bytes) = db.get(APPLIED).map_err(|error| Error::store("read", path, error))? else { return Ok(None) };
    let wrong = || Error::Invariant(format!("the store names its record in {} bytes", bytes.len()));
    let (epoch, digest) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    let digest = Digest(String::from_utf8(digest.to_vec()).map_err(|_| wrong())?);
    Ok(Some(RecordId { epoch: Epoch(u64::from_le_bytes(*epoch)), digest }))
}

/// What [`read_applied`] reads.
fn applied_bytes(record: &RecordId) -> Vec<u8> {
    [&record.epoch.0.to_le_bytes()[..], record.digest.0.as_bytes()].concat()
}

impl StateStore for RocksStore {
    fn open(&self, operator: OperatorId, (part, of): (u32, u32)) -> Box<dyn KeyedState> {
        let budget = self.budget.tasks * u64::from(part) / u64::from(of.max(1));
        let used = Arc::new(AtomicU64::new(0));
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|(_, used)| used.strong_count() > 0);
        tasks.push((operator, Arc::downgrade(&used)));
        self.shared.progress.measure(operator);
        Box::new(TaskState::new(Arc::clone(&self.shared), operator, budget, used))
    }

    fn apply(&self, record: &RecordId, deltas: Vec<Delta>) -> Result<(), PortError> {
        Ok(self.shared.progress.hand_over(record, deltas).map_err(|failure| self.shared.error(failure))?)
    }

    fn has_room(&self) -> bool {
        self.shared.progress.has_room()
    }

    fn applied(&self) -> Option<RecordId> {
        RocksStore::applied(self)
    }

    fn durable(&self) -> Epoch {
        Epoch(self.shared.progress.durable())
    }

    fn join(&self) -> Result<(), PortError> {
        Ok(self.shared.progress.join().map_err(|failure| self.shared.error(failure))?)
    }

    fn flush(&self) -> Result<(), PortError> {
        Ok(self.shared.progress.flush().map_err(|failure| self.shared.error(failure))?)
    }

    fn logged(&self, bytes: u64) {
        self.shared.progress.logged(bytes);
    }

    fn hurry(&self) {
        self.shared.progress.hurry();
    }

    fn bytes(&self, operator: OperatorId) -> StateBytes {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let of_operator = tasks.iter().filter(|(owner, _)| *owner == operator);
        let memory = of_operator.filter_map(|(_, used)| used.upgrade()).map(|used| used.load(Ordering::Relaxed)).sum();
        StateBytes { disk: self.shared.progress.disk_bytes(operator), memory }
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        self.shared.progress.stop();
        let Some(applier) = self.applier.take() else { return };
        let began = weir_machine::now();
        while !applier.is_finished() {
            if weir_machine::since(began) > STOP_WITHIN {
                // What it was writing comes back from the log.
                tracing::error!("the disk does not answer: the thread that applies epochs was left behind");
                return;
            }
            weir_machine::sleep(STOP_POLL);
        }
        if applier.join().is_err() {
            tracing::error!("the thread that applies epochs had panicked");
        }
    }
}

/// Key and value.
pub(crate) type Stored<'a> = (&'a [u8], &'a [u8]);

/// A place in the store, as of when it was made.
pub(crate) struct Cursor<'a> {
    shared: &'a Shared,
    entries: DBRawIterator<'a>,
}

impl Cursor<'_> {
    /// Key and value here; `None` at the end.
    pub(crate) fn entry(&self) -> Result<Option<Stored<'_>>, Error> {
        match self.entries.item() {
            Some(entry) => Ok(Some(entry)),
            None => {
                let ended = self.entries.status();
                ended.map(|()| None).map_err(|error| self.shared.error(Failure::Rocks("read", error)))
            }
        }
    }

    /// Goes on to the next.
    pub(crate) fn advance(&mut self) {
        if self.entries.valid() {
            self.entries.next();
        }
    }
}

fn between(start: &[u8], end: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(start);
    options.set_iterate_upper_bound(end);
    options
}

impl Shared {
    /// What expires, and by which time.
    pub(crate) fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// The last epoch that [`Self::read`] sees.
    pub(crate) fn applied(&self) -> u64 {
        self.progress.applied()
    }

    /// The values of `keys`, in their order.
    pub(crate) fn read<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Option<DBPinnableSlice<'_>>>, Error> {
        let values = self.db.batched_multi_get_cf(self.all()?, keys, false);
        values.into_iter().collect::<Result<_, _>>().map_err(|error| self.error(Failure::Rocks("read", error)))
    }

    /// The entries from `start` on, before `end`.
    pub(crate) fn cursor(&self, start: &[u8], end: &[u8]) -> Cursor<'_> {
        let mut entries = self.db.raw_iterator_opt(between(start, end));
        entries.seek_to_first();
        Cursor { shared: self, entries }
    }

    /// The last key from `start` on, before `end`.
    pub(crate) fn last_key(&self, start: &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut entries = self.db.raw_iterator_opt(between(start, end));
        entries.seek_to_last();
        Ok(Cursor { shared: self, entries }.entry()?.map(|(key, _)| key.to_vec()))
    }

    fn all(&self) -> Result<&ColumnFamily, Error> {
        let all = self.db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME);
        all.ok_or_else(|| Error::Invariant("a RocksDB without its default column family".to_owned()))
    }

    fn error(&self, failure: Failure) -> Error {
        match failure {
            Failure::Rocks(action, source) => Error::store(action, &self.path, source),
            Failure::Broken(what) => Error::Invariant(what),
            Failure::Injected(injected) => {
                Error::io("write to the store in", &self.path)(std::io::Error::other(injected))
            }
        }
    }
}
