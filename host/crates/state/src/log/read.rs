//! Reading the log: where its records are, once; what they say, when somebody asks.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use weir_core::{Epoch, RecordId};

use super::record::HEADER;
use super::segment::{Found, Segment, numbers};
use super::{FIRST_SEGMENT, Place, SegmentLog, digest_of};
use crate::error::Error;

impl SegmentLog {
    pub(super) fn read_segments(&mut self) -> Result<(), Error> {
        let numbers = numbers(&self.dir)?;
        for (at, &number) in numbers.iter().enumerate() {
            if at > 0 && numbers.get(at - 1) != Some(&(number - 1)) {
                let path = Segment::path(&self.dir, number - 1);
                return Err(Error::Damaged { path, offset: 0, reason: "the segment is missing" });
            }
            self.read_segment(number, at + 1 == numbers.len())?;
        }
        Ok(())
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

    /// How many records a store that holds `applied` has of those up to `index`.
    pub(super) fn applied_records(&self, applied: Option<&RecordId>, index: usize) -> Result<usize, Error> {
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
    pub(super) fn payload(&self, place: &Place) -> Result<Bytes, Error> {
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

    pub(super) fn manifest_of(&self, index: usize) -> Result<Bytes, Error> {
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
    pub(super) fn plan_of(&self, index: usize) -> Result<Bytes, Error> {
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
