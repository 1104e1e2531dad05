//! The epoch log: segments of records, appended and synced before the outside commit.
//!
//! Redo only. Opening reads every record once and keeps its manifest; payloads stay on disk until a replay asks for
//! them. Opening writes nothing: a torn tail is left out, and cut off by the first write. A write that fails poisons
//! the log, for nobody knows what reached the disk; opening it again finds out.

mod record;
mod segment;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use weir_core::crash::{self, Sabotage};
use weir_core::ports::{Delta, EpochLog, LogRecord};
use weir_core::{Epoch, PortError, crash_point};

use crate::dir::Ownership;
use crate::error::Error;
use crate::files;
use record::{HEADER, Header};
use segment::{Found, Segment};

/// A segment takes no record beyond this size (one larger record gets a segment of its own).
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Nor more records: manifests are kept in memory until their segment is trimmed.
const SEGMENT_RECORDS_MAX: usize = crash::limit(2048, 8);
/// The number of the first segment. Segments are dropped in order, so a log that has it has everything.
const FIRST_SEGMENT: u64 = 1;

/// The log of one shard.
pub(crate) struct SegmentLog {
    dir: PathBuf,
    /// Oldest first, numbered without gaps.
    segments: Vec<Segment>,
    records: Vec<LogRecord>,
    /// Where each of `records` is.
    places: Vec<Place>,
    /// The last segment, open for writing.
    tail: Option<File>,
    poisoned: bool,
    ownership: Arc<Ownership>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    offset: u64,
    header: Header,
}

impl SegmentLog {
    /// Opens the log in `dir`, which is created if it is not there.
    pub(crate) fn open(dir: &Path, ownership: Arc<Ownership>) -> Result<Self, Error> {
        if ownership.log_open.swap(true, Ordering::AcqRel) {
            return Err(Error::Invariant("the epoch log is opened while an earlier attempt still holds it".to_owned()));
        }
        let mut log = Self {
            dir: dir.to_owned(),
            segments: Vec::new(),
            records: Vec::new(),
            places: Vec::new(),
            tail: None,
            poisoned: false,
            ownership,
        };
        files::create_dirs(dir)?;
        let numbers = segment_numbers(dir)?;
        for (at, &number) in numbers.iter().enumerate() {
            if at > 0 && numbers.get(at - 1) != Some(&(number - 1)) {
                let path = Segment::path(dir, number - 1);
                return Err(Error::Damaged { path, offset: 0, reason: "the segment is missing" });
            }
            log.read_segment(number, at + 1 == numbers.len())?;
        }
        Ok(log)
    }

    fn read_segment(&mut self, number: u64, last: bool) -> Result<(), Error> {
        let mut found = Vec::new();
        let segment = Segment::scan(&self.dir, number, last, |record| found.push(record))?;
        for Found { offset, header, manifest } in found {
            if self.records.last().is_some_and(|before| before.epoch.0 > header.epoch) {
                let reason = "its epoch is older than that of the record before it";
                return Err(Error::Damaged { path: segment.path, offset, reason });
            }
            self.records.push(LogRecord { epoch: Epoch(header.epoch), manifest });
            self.places.push(Place { segment: number, offset, header });
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

    fn append_record(&mut self, epoch: Epoch, manifest: &[u8], deltas: &[Delta], sync: bool) -> Result<(), Error> {
        if self.records.last().is_some_and(|last| last.epoch > epoch) {
            return Err(Error::Invariant(format!("epoch {epoch} is appended to the log after a younger one")));
        }
        let header = Header::of(epoch.0, manifest, deltas);
        let len = header.record_len().ok_or_else(|| Error::Invariant("a log record beyond 2^64 bytes".to_owned()))?;
        self.make_room(len)?;
        let (Some(tail), Some(segment)) = (&mut self.tail, self.segments.last_mut()) else {
            return Err(Error::Invariant("an epoch log without a segment to write to".to_owned()));
        };
        let mut head = Vec::with_capacity(HEADER + manifest.len());
        head.extend_from_slice(&header.encode());
        head.extend_from_slice(manifest);
        tail.write_all(&head)
            .and_then(|()| deltas.iter().try_for_each(|delta| tail.write_all(&delta.payload)))
            .and_then(|()| crash_point!("log-written").map_err(io::Error::other))
            .and_then(|()| if sync { make_durable(tail, &segment.path, segment.len + len) } else { Ok(()) })
            .map_err(Error::io("append to", &segment.path))?;
        self.places.push(Place { segment: segment.number, offset: segment.len, header });
        self.records.push(LogRecord { epoch, manifest: Bytes::copy_from_slice(manifest) });
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
        self.tail = Some(file);
        Ok(())
    }

    /// Opens the last segment for writing, without its torn tail.
    fn open_tail(&mut self) -> Result<(), Error> {
        let Some(last) = self.segments.last_mut().filter(|_| self.tail.is_none()) else { return Ok(()) };
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
        self.tail = None;
        while self.segments.len() > 1 {
            let Some(segment) = self.segments.pop() else { break };
            fs::remove_file(&segment.path).map_err(Error::io("remove", &segment.path))?;
            files::sync_dir(&self.dir)?;
        }
        let number = self.segments.first().map_or(FIRST_SEGMENT, |first| first.number);
        let header = Header::of(epoch.0, manifest, &[]);
        let path = Segment::path(&self.dir, number);
        let bytes = [&header.encode(), manifest].concat();
        files::replace(&self.dir, &format!("{number:010}.log"), &bytes)?;
        let len = bytes.len() as u64;
        crash::synced(&path, len);
        self.segments = vec![Segment { number, path, len, file_len: len, records: 1 }];
        self.records = vec![LogRecord { epoch, manifest: Bytes::copy_from_slice(manifest) }];
        self.places = vec![Place { segment: number, offset: 0, header }];
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

    /// Reads a record's payload, and checks it again: days may have passed since it was written.
    fn payload(&self, place: &Place) -> Result<Bytes, Error> {
        let path = Segment::path(&self.dir, place.segment);
        let manifest_len = place.header.manifest_len as usize;
        let mut body = vec![0; manifest_len + place.header.payload_len as usize];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut body, place.offset + HEADER as u64))
            .map_err(Error::io("read", &path))?;
        if crc32c::crc32c(&body) != place.header.body_crc {
            let reason = "the checksum of the record's body no longer matches";
            return Err(Error::Damaged { path, offset: place.offset, reason });
        }
        Ok(Bytes::from(body).slice(manifest_len..))
    }
}

impl EpochLog for SegmentLog {
    fn records(&self) -> &[LogRecord] {
        &self.records
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
        applied: Epoch,
        index: usize,
        each: &mut dyn FnMut(Epoch, Delta) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        self.place(index)?;
        let first = self.records.first().map_or(Epoch(0), |record| record.epoch);
        // Into an empty store everything is replayed, whatever the number of the first epoch: if it is the first.
        let is_whole = applied == Epoch(0) && self.segments.first().is_some_and(|s| s.number == FIRST_SEGMENT);
        if !is_whole && first > applied.next() {
            let log = format!("begins at epoch {first}");
            return Err(Error::Disagree { path: self.dir.clone(), applied: applied.0, log }.into());
        }
        for (record, place) in self.records.iter().zip(&self.places).take(index + 1) {
            if record.epoch > applied {
                each(record.epoch, Delta { entries: place.header.entries, payload: self.payload(place)? })?;
            }
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
        self.ownership.log_open.store(false, Ordering::Release);
    }
}

/// What the commit of an epoch waits for: its record is on disk.
fn make_durable(segment: &File, path: &Path, len: u64) -> io::Result<()> {
    if !crash::sabotaged(Sabotage::NoDurableLog) {
        segment.sync_data()?;
        crash::synced(path, len);
    }
    crash_point!("log-synced").map_err(io::Error::other)
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
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", dir))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|digits| digits.len() == 10);
        numbers.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
