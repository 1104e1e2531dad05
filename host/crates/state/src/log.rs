//! The epoch log: segments of records, appended and synced before the outside commit.
//!
//! Redo only. Opening reads every record once and keeps where it is and what it is told by; what it says stays on disk
//! until somebody asks. Opening writes nothing: a torn tail is left out, and cut off by the first write. A write that fails poisons
//! the log, for nobody knows what reached the disk; opening it again finds out.

/// Where records are, and what they say.
mod read;
/// How a record lies in a file.
mod record;
/// One file.
mod segment;
/// Records are appended, cut off, trimmed.
mod write;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use weir_core::crash;
use weir_core::ports::{Delta, EpochLog};
use weir_core::{Digest, Epoch, PortError, RecordId};

use crate::dir::Ownership;
use crate::error::Error;
use crate::files;
use record::{HEADER, Header};
use segment::Segment;
pub(crate) use segment::is_segment;

/// A segment takes no record beyond this size (one larger record gets a segment of its own).
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Nor more records: something of each is kept in memory until its segment is trimmed.
const SEGMENT_RECORDS_MAX: usize = crash::limit(2048, 8);
/// The number of the first segment. Segments are dropped in order, so a log that has it has everything.
const FIRST_SEGMENT: u64 = 1;
/// Where a log begins that has less than everything from its first record on: what came before is in the store.
const LATER_SEGMENT: u64 = FIRST_SEGMENT + 1;

/// The log of one shard.
pub(crate) struct SegmentLog {
    dir: PathBuf,
    /// Oldest first, numbered without gaps.
    segments: Vec<Segment>,
    records: Vec<RecordId>,
    /// Where each of `records` is.
    places: Vec<Place>,
    /// The last segment, open for writing.
    tail: Option<File>,
    /// What the next record has in common with others.
    plan: Bytes,
    /// The plan of the last record, where that is in the segment that is written to.
    written: Option<Bytes>,
    poisoned: bool,
    /// How a record is made durable.
    sync: fn(&File) -> io::Result<()>,
    /// `None`: only to be read.
    ownership: Option<Arc<Ownership>>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    offset: u64,
    header: Header,
    /// Where its plan is, which may have been written with an earlier record of the segment.
    plan: (u64, u32),
}

impl Place {
    /// After `before`, which is the record before it in its segment.
    fn new(segment: u64, offset: u64, header: Header, before: Option<&Self>) -> Self {
        let inherited = before.filter(|before| before.segment == segment && header.plan_len == 0).map(|b| b.plan);
        Self { segment, offset, header, plan: inherited.unwrap_or((offset + HEADER as u64, header.plan_len)) }
    }
}

impl SegmentLog {
    /// Opens the log in `dir`, which is created if it is not there.
    pub(crate) fn open(dir: &Path, ownership: Arc<Ownership>) -> Result<Self, Error> {
        if ownership.log_open.swap(true, Ordering::AcqRel) {
            return Err(Error::Invariant("the epoch log is opened while an earlier attempt still holds it".to_owned()));
        }
        // Given back by `drop`, also when what follows fails.
        let mut log = Self::unread(dir, Some(ownership));
        files::create_dirs(dir)?;
        log.read_segments()?;
        Ok(log)
    }

    /// The log in `dir` as it is now, whoever owns it. It is never written to.
    pub(crate) fn view(dir: &Path) -> Result<Self, Error> {
        let mut log = Self::unread(dir, None);
        log.read_segments()?;
        Ok(log)
    }

    fn unread(dir: &Path, ownership: Option<Arc<Ownership>>) -> Self {
        let (segments, records, places) = Default::default();
        Self {
            dir: dir.to_owned(),
            segments,
            records,
            places,
            tail: None,
            plan: Bytes::new(),
            written: None,
            poisoned: false,
            sync: File::sync_data,
            ownership,
        }
    }

    /// Bytes behind the last whole record: a write that a crash cut short, or one that is under way.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_len - segment.len).sum()
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Runs a write; after one that fails there is no other.
    fn write(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), PortError> {
        if self.poisoned {
            return Err(Error::Poisoned { path: self.dir.clone() }.into());
        }
        self.poisoned = true;
        work(self)?;
        self.poisoned = false;
        Ok(())
    }

    /// The epoch of the last record.
    fn newest(&self) -> Option<Epoch> {
        self.records.last().map(|last| last.epoch)
    }

    fn place(&self, index: usize) -> Result<&Place, Error> {
        self.places
            .get(index)
            .ok_or_else(|| Error::Invariant(format!("record {index} of an epoch log that has {}", self.places.len())))
    }
}

impl EpochLog for SegmentLog {
    fn records(&self) -> &[RecordId] {
        &self.records
    }

    fn manifest(&self, index: usize) -> Result<Bytes, PortError> {
        Ok(self.manifest_of(index)?)
    }

    fn plan(&self, index: usize) -> Result<Bytes, PortError> {
        Ok(self.plan_of(index)?)
    }

    fn set_plan(&mut self, plan: &Bytes) {
        self.plan = plan.clone();
    }

    fn append(&mut self, epoch: Epoch, manifest: &[u8], deltas: &[Delta], sync: bool) -> Result<(), PortError> {
        self.write(|log| log.append_record(epoch, manifest, deltas, sync))
    }

    fn cut_after(&mut self, index: usize) -> Result<(), PortError> {
        self.write(|log| log.cut_to(index))
    }

    fn replace(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<(), PortError> {
        self.write(|log| log.replace_all(epoch, manifest))
    }

    fn replay(
        &self,
        applied: Option<&RecordId>,
        index: usize,
        each: &mut dyn FnMut(&RecordId, Delta) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        self.place(index)?;
        let done = self.applied_records(applied, index)?;
        for (record, place) in self.records.iter().zip(&self.places).take(index + 1).skip(done) {
            each(record, Delta { entries: place.header.entries, payload: self.payload(place)? })?;
        }
        Ok(())
    }

    fn trim(&mut self, durable: Epoch) -> Result<(), PortError> {
        self.write(|log| log.trim_to(durable))
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_len).sum()
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        if let Some(ownership) = &self.ownership {
            ownership.log_open.store(false, Ordering::Release);
        }
    }
}

/// A record, as its manifest makes it.
fn record(epoch: Epoch, manifest: &[u8]) -> RecordId {
    RecordId { epoch, digest: digest_of(manifest) }
}

fn digest_of(manifest: &[u8]) -> Digest {
    Digest(blake3::hash(manifest).to_hex().to_string())
}

/// Whether the log in `dir` has ever been written to.
pub(crate) fn has_bytes(dir: &Path) -> Result<bool, Error> {
    for number in segment::numbers(dir)? {
        let path = Segment::path(dir, number);
        if fs::metadata(&path).map_err(Error::io("read", &path))?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of the first segment, if there were others before it.
pub(crate) fn trimmed_to(dir: &Path) -> Result<Option<u64>, Error> {
    Ok(segment::numbers(dir)?.first().copied().filter(|number| *number > FIRST_SEGMENT))
}

#[cfg(test)]
mod tests {
    use weir_core::{JobName, ShardId};

    use super::*;
    use crate::StateDir;

    /// After a failed `fsync` the pages count as clean: the record reads back whole and is not on the disk.
    #[test]
    fn a_record_that_could_not_be_synced_does_not_count_for_the_next_process() {
        let temp = tempfile::tempdir().expect("temp dir");
        let job = JobName::new("orders").expect("legal");
        let dir = StateDir::open(temp.path(), &job, ShardId(0)).expect("opens");
        let ownership = dir.ownership();
        let mut log = SegmentLog::open(&temp.path().join("log"), Arc::clone(&ownership)).expect("log");
        log.append(Epoch(1), b"one", &[], true).expect("appends");
        log.sync = |_| Err(io::Error::other("the disk said EIO"));
        let error = log.append(Epoch(2), b"two", &[], true).expect_err("is not durable");
        assert!(error.to_string().contains("failed to sync"), "{error}");
        assert!(log.append(Epoch(2), b"two", &[], true).expect_err("poisoned").to_string().contains("no more writes"));
        drop(log);
        let mut log = SegmentLog::open(&temp.path().join("log"), ownership).expect("opens again");
        assert_eq!(log.records().iter().map(|record| record.epoch.0).collect::<Vec<_>>(), [1]);
        assert_eq!(log.torn_bytes(), 0);
        log.append(Epoch(2), b"again", &[], true).expect("goes on");
    }
}
