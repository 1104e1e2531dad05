//! The epoch log: segments of records, appended and synced before the outside commit.
//!
//! Redo only. Opening reads every record once and keeps where it is and what it is told by; what it says stays on disk
//! until somebody asks. Opening writes nothing: a torn tail is left out, and cut off by the first write. A write that fails poisons
//! the log, for nobody knows what reached the disk; opening it again finds out.

mod record;
mod segment;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use weir_core::crash;
use weir_core::ports::{Delta, EpochLog};
use weir_core::{Digest, Epoch, PortError, RecordId, crash_point};

use crate::dir::Ownership;
use crate::error::Error;
use crate::files;
use record::{HEADER, Header};
use segment::{Found, Segment};

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

    fn read_segments(&mut self) -> Result<(), Error> {
        let numbers = segment_numbers(&self.dir)?;
        for (at, &number) in numbers.iter().enumerate() {
            if at > 0 && numbers.get(at - 1) != Some(&(number - 1)) {
                let path = Segment::path(&self.dir, number - 1);
                return Err(Error::Damaged { path, offset: 0, reason: "the segment is missing" });
            }
            self.read_segment(number, at + 1 == numbers.len())?;
        }
        Ok(())
    }

    /// Bytes behind the last whole record: a write that a crash cut short, or one that is under way.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_len - segment.len).sum()
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    fn read_segment(&mut self, number: u64, last: bool) -> Result<(), Error> {
        let mut found = Vec::new();
        let segment = Segment::scan(&self.dir, number, last, |record| found.push(record))?;
        for Found { offset, header, digest } in found {
            if self.newest().is_some_and(|newest| newest.0 >= header.epoch) {
                let reason = "its epoch is not younger than that of the record before it";
                return Err(Error::Damaged { path: segment.path, offset, reason });
            }
            self.records.push(RecordId { epoch: Epoch(header.epoch), digest });
            self.places.push(Place::new(number, offset, header, self.places.last()));
        }
        self.segments.push(segment);
        Ok(())
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

    fn append_record(&mut self, epoch: Epoch, manifest: &[u8], deltas: &[Delta], sync: bool) -> Result<(), Error> {
        if let Some(newest) = self.newest().filter(|newest| *newest >= epoch) {
            return Err(Error::Invariant(format!("epoch {epoch} is appended to the log after epoch {newest}")));
        }
        let too_long = || Error::Invariant("a log record beyond 2^64 bytes".to_owned());
        let whole = Header::of(epoch.0, (&self.plan, manifest), deltas);
        self.make_room(whole.record_len().ok_or_else(too_long)?)?;
        let plan = if self.written.as_ref() == Some(&self.plan) { Bytes::new() } else { self.plan.clone() };
        let header = if plan.is_empty() { Header::of(epoch.0, (&[], manifest), deltas) } else { whole };
        let len = header.record_len().ok_or_else(too_long)?;
        let (Some(tail), Some(segment)) = (&mut self.tail, self.segments.last_mut()) else {
            return Err(Error::Invariant("an epoch log without a segment to write to".to_owned()));
        };
        let head = [&header.encode()[..], &plan, manifest].concat();
        tail.write_all(&head)
            .and_then(|()| deltas.iter().try_for_each(|delta| tail.write_all(&delta.payload)))
            .and_then(|()| crash_point!("log-written").map_err(io::Error::other))
            .map_err(Error::io("append to", &segment.path))?;
        if sync && let Err(error) = make_durable(tail, self.sync, &segment.path, segment.len + len) {
            // The record may be read back whole from the page cache, by the next process too, and not be on the disk:
            // where the log decides it would count. Nobody was told of it, so it goes.
            drop(tail.set_len(segment.len));
            return Err(Error::io("sync", &segment.path)(error));
        }
        self.places.push(Place::new(segment.number, segment.len, header, self.places.last()));
        self.records.push(record(epoch, manifest));
        self.written = Some(self.plan.clone());
        segment.len += len;
        segment.file_len = segment.len;
        segment.records += 1;
        Ok(())
    }

    /// Leaves `tail` open, at its end, with room for `len` bytes.
    fn make_room(&mut self, len: u64) -> Result<(), Error> {
        let full = self.segments.last().is_none_or(|last| {
            last.records > 0 && (last.len + len > SEGMENT_BYTES_MAX || last.records >= SEGMENT_RECORDS_MAX)
        });
        self.open_tail()?;
        if !full {
            return Ok(());
        }
        // What was written unsynced must not be torn behind a segment that is already the last one.
        if let (Some(tail), Some(last)) = (&self.tail, self.segments.last()) {
            tail.sync_all().map_err(Error::io("sync", &last.path))?;
        }
        let number = self.segments.last().map_or(FIRST_SEGMENT, |last| last.number + 1);
        let path = Segment::path(&self.dir, number);
        let file = File::options().create_new(true).append(true).open(&path);
        let file = file.and_then(|file| file.sync_all().map(|()| file)).map_err(Error::io("create", &path))?;
        files::sync_dir(&self.dir)?;
        crash::synced(&path, 0);
        self.segments.push(Segment { number, path, len: 0, file_len: 0, records: 0 });
        (self.tail, self.written) = (Some(file), None);
        Ok(())
    }

    /// Opens the last segment for writing, without its torn tail.
    fn open_tail(&mut self) -> Result<(), Error> {
        if self.tail.is_some() {
            return Ok(());
        }
        let tail = self.segments.last().map(|last| last.number);
        let is_here = |last: &usize| self.places.get(*last).is_some_and(|place| Some(place.segment) == tail);
        let last = self.places.len().checked_sub(1).filter(is_here);
        self.written = last.map(|last| self.plan_of(last)).transpose()?;
        let Some(last) = self.segments.last_mut() else { return Ok(()) };
        let open = || -> io::Result<File> {
            let file = File::options().append(true).open(&last.path)?;
            if last.file_len > last.len {
                file.set_len(last.len)?;
                file.sync_all()?;
            }
            Ok(file)
        };
        self.tail = Some(open().map_err(Error::io("open", &last.path))?);
        last.file_len = last.len;
        Ok(())
    }

    fn cut_to(&mut self, index: usize) -> Result<(), Error> {
        let place = *self.place(index)?;
        let end = place.offset + place.header.record_len().unwrap_or_default();
        self.tail = None;
        // Newest first: whatever a crash leaves is the beginning of the log.
        while let Some(segment) = self.segments.pop_if(|last| last.number > place.segment) {
            fs::remove_file(&segment.path).map_err(Error::io("remove", &segment.path))?;
            files::sync_dir(&self.dir)?;
        }
        self.records.truncate(index + 1);
        self.places.truncate(index + 1);
        let records = self.places.iter().rev().take_while(|kept| kept.segment == place.segment).count();
        if let Some(last) = self.segments.last_mut() {
            let cut = File::options().write(true).open(&last.path).and_then(|file| {
                file.set_len(end)?;
                file.sync_all()
            });
            cut.map_err(Error::io("cut", &last.path))?;
            crash::synced(&last.path, end);
            (last.len, last.file_len, last.records) = (end, end, records);
        }
        Ok(())
    }

    fn replace_all(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<(), Error> {
        let number = self.segments.first().map_or(FIRST_SEGMENT, |first| first.number);
        self.remove_segments(1)?;
        self.write_only(number, epoch, manifest)
    }

    /// Makes one record all of the log, and nothing that came before is in it: the store has that. Not safe to be cut
    /// short; only a directory that does not count yet is changed so.
    pub(crate) fn begin_later(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<RecordId, Error> {
        self.remove_segments(0)?;
        self.write_only(LATER_SEGMENT, epoch, manifest)?;
        Ok(record(epoch, manifest))
    }

    /// Removes all but the `kept` oldest segments, newest first: whatever a crash leaves is the beginning of the log.
    fn remove_segments(&mut self, kept: usize) -> Result<(), Error> {
        self.tail = None;
        while self.segments.len() > kept {
            let Some(segment) = self.segments.pop() else { break };
            fs::remove_file(&segment.path).map_err(Error::io("remove", &segment.path))?;
            files::sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Writes segment `number` anew, with one record: it is the whole log.
    fn write_only(&mut self, number: u64, epoch: Epoch, manifest: &[u8]) -> Result<(), Error> {
        let header = Header::of(epoch.0, (&self.plan, manifest), &[]);
        let path = Segment::path(&self.dir, number);
        let bytes = [&header.encode()[..], &self.plan, manifest].concat();
        files::replace(&self.dir, &format!("{number:010}.log"), &bytes)?;
        let len = bytes.len() as u64;
        crash::synced(&path, len);
        self.segments = vec![Segment { number, path, len, file_len: len, records: 1 }];
        self.records = vec![record(epoch, manifest)];
        self.places = vec![Place::new(number, 0, header, None)];
        Ok(())
    }

    fn trim_to(&mut self, durable: Epoch) -> Result<(), Error> {
        while let [first, _, ..] = self.segments.as_slice() {
            let (count, number) = (first.records, first.number);
            let older = self.records.iter().take(count).all(|record| record.epoch < durable);
            if !older || count >= self.records.len() {
                return Ok(());
            }
            fs::remove_file(&first.path)
                .and_then(|()| crash_point!("log-trimming").map_err(io::Error::other))
                .map_err(Error::io("remove", &first.path))?;
            // Oldest first, each for good before the next: the rest stays without gaps.
            files::sync_dir(&self.dir)?;
            self.segments.remove(0);
            self.records.drain(..count);
            self.places.drain(..count);
            tracing::debug!(segment = number, durable = durable.0, "log segment trimmed");
        }
        Ok(())
    }

    fn place(&self, index: usize) -> Result<&Place, Error> {
        self.places
            .get(index)
            .ok_or_else(|| Error::Invariant(format!("record {index} of an epoch log that has {}", self.places.len())))
    }

    /// How many records a store that holds `applied` has of those up to `index`.
    fn applied_records(&self, applied: Option<&RecordId>, index: usize) -> Result<usize, Error> {
        let begins = || self.records.first().map_or(Epoch(0), |record| record.epoch);
        let disagree = |log| Err(Error::Disagree { path: self.dir.clone(), applied: applied.cloned(), log });
        let Some(applied) = applied else {
            // Into an empty store everything is replayed: if everything is there.
            let is_whole = self.segments.first().is_some_and(|first| first.number == FIRST_SEGMENT);
            return if is_whole { Ok(0) } else { disagree(format!("begins at epoch {}", begins())) };
        };
        match self.records.iter().take(index + 1).position(|record| record == applied) {
            Some(at) => Ok(at + 1),
            None if begins() > applied.epoch => disagree(format!("begins at epoch {}", begins())),
            None => disagree("does not hold that record".to_owned()),
        }
    }

    /// Reads a record's payload, and checks it again: days may have passed since it was written.
    fn payload(&self, place: &Place) -> Result<Bytes, Error> {
        let path = Segment::path(&self.dir, place.segment);
        let text_len = place.header.text_len() as usize;
        let mut body = vec![0; text_len + place.header.payload_len as usize];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut body, place.offset + HEADER as u64))
            .map_err(Error::io("read", &path))?;
        if crc32c::crc32c(&body) != place.header.body_crc {
            let reason = "the checksum of the record's body no longer matches";
            return Err(Error::Damaged { path, offset: place.offset, reason });
        }
        Ok(Bytes::from(body).slice(text_len..))
    }

    fn manifest_of(&self, index: usize) -> Result<Bytes, Error> {
        let Place { segment, offset, header, .. } = *self.place(index)?;
        let at = offset + HEADER as u64 + u64::from(header.plan_len);
        let manifest = self.bytes_at(segment, at, header.manifest_len)?;
        if self.records.get(index).is_none_or(|record| record.digest != digest_of(&manifest)) {
            let reason = "the digest of the record's manifest no longer matches";
            return Err(Error::Damaged { path: Segment::path(&self.dir, segment), offset, reason });
        }
        Ok(manifest)
    }

    /// Whoever wrote it knows its digest.
    fn plan_of(&self, index: usize) -> Result<Bytes, Error> {
        let Place { segment, plan: (at, len), .. } = *self.place(index)?;
        self.bytes_at(segment, at, len)
    }

    fn bytes_at(&self, segment: u64, at: u64, len: u32) -> Result<Bytes, Error> {
        let path = Segment::path(&self.dir, segment);
        let mut bytes = vec![0; len as usize];
        File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, at)).map_err(Error::io("read", &path))?;
        Ok(bytes.into())
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

/// What the commit of an epoch waits for: its record is on disk.
fn make_durable(segment: &File, sync: fn(&File) -> io::Result<()>, path: &Path, len: u64) -> io::Result<()> {
    sync(segment)?;
    crash::synced(path, len);
    crash_point!("log-synced").map_err(io::Error::other)
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
    for number in segment_numbers(dir)? {
        let path = Segment::path(dir, number);
        if fs::metadata(&path).map_err(Error::io("read", &path))?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The number of the first segment, if there were others before it.
pub(crate) fn trimmed_to(dir: &Path) -> Result<Option<u64>, Error> {
    Ok(segment_numbers(dir)?.first().copied().filter(|number| *number > FIRST_SEGMENT))
}

/// The numbers of the segments in `dir`, in order.
fn segment_numbers(dir: &Path) -> Result<Vec<u64>, Error> {
    Ok(files::names(dir)?.iter().filter_map(|name| segment_number(name)).collect())
}

fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 10)?.parse().ok()
}

/// Whether a file of this name is part of a log.
pub(crate) fn is_segment(name: &str) -> bool {
    segment_number(name).is_some()
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
