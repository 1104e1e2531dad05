//! Writing the log: records are appended, the log is cut, begun anew, and trimmed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use bytes::Bytes;
use weir_core::ports::Delta;
use weir_core::{Epoch, RecordId, crash, crash_point};

use super::record::Header;
use super::segment::Segment;
use super::{FIRST_SEGMENT, LATER_SEGMENT, Place, SEGMENT_BYTES_MAX, SEGMENT_RECORDS_MAX, SegmentLog, record};
use crate::error::Error;
use crate::files;

impl SegmentLog {
    pub(super) fn append_record(
        &mut self,
        epoch: Epoch,
        manifest: &[u8],
        deltas: &[Delta],
        sync: bool,
    ) -> Result<(), Error> {
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

    pub(super) fn cut_to(&mut self, index: usize) -> Result<(), Error> {
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

    pub(super) fn replace_all(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<(), Error> {
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

    pub(super) fn trim_to(&mut self, durable: Epoch) -> Result<(), Error> {
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
}

/// What the commit of an epoch waits for: its record is on disk.
fn make_durable(segment: &File, sync: fn(&File) -> io::Result<()>, path: &Path, len: u64) -> io::Result<()> {
    sync(segment)?;
    crash::synced(path, len);
    crash_point!("log-synced").map_err(io::Error::other)
}
