//! The store, only to be read: as of its last flush, whoever owns it.

use std::path::{Path, PathBuf};

use rocksdb::{ColumnFamilyDescriptor, DB, DBIterator, DEFAULT_COLUMN_FAMILY_NAME, IteratorMode};
use weir_core::RecordId;

use super::applier::APPLIED;
use super::options::{self, Budget};
use super::{CURRENT, read_applied};
use crate::error::Error;

/// For its block cache; nothing else of a budget is used.
const MEMORY_BYTES: u64 = 64 << 20;

/// See the module.
pub(crate) struct StoreReader {
    db: DB,
    path: PathBuf,
    applied: Option<RecordId>,
}

/// Keys and values of a store, in order of keys.
pub(crate) struct Entries<'a> {
    path: &'a Path,
    entries: Option<DBIterator<'a>>,
}

impl StoreReader {
    /// Opens the store in `path`; `None` where there is none yet. RocksDB writes nothing, not even its own log.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Error> {
        if !path.join(CURRENT).exists() {
            return Ok(None);
        }
        let mut options = options::options(Budget::of(MEMORY_BYTES));
        options.create_if_missing(false);
        // All files are opened now: the owner may remove them while they are read.
        options.set_max_open_files(-1);
        let all = ColumnFamilyDescriptor::new(DEFAULT_COLUMN_FAMILY_NAME, options.clone());
        let db = DB::open_cf_descriptors_read_only(&options, path, [all], false)
            .map_err(|error| Error::store("open", path, error))?;
        let applied = read_applied(&db, path)?;
        Ok(Some(Self { db, path: path.to_owned(), applied }))
    }

    /// The record that it holds; `None` before the first.
    pub(crate) fn applied(&self) -> Option<&RecordId> {
        self.applied.as_ref()
    }

    /// All keys with their values.
    pub(crate) fn entries(&self) -> Entries<'_> {
        Entries { path: &self.path, entries: Some(self.db.iterator(IteratorMode::Start)) }
    }
}

impl Entries<'_> {
    /// Of no store.
    pub(crate) fn none() -> Self {
        Self { path: Path::new(""), entries: None }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(Box<[u8]>, Box<[u8]>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let failed = |error| Error::store("read", self.path, error);
        let entries = self.entries.as_mut()?;
        entries.find(|entry| !entry.as_ref().is_ok_and(|(key, _)| **key == *APPLIED)).map(|e| e.map_err(failed))
    }
}
