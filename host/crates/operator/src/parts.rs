//! HOT PATH. The parts of one batch that calls are made on. A batch that goes well is never copied; otherwise at most one
//! part of it exists at a time, in buffers that serve the next part again.

use std::borrow::Cow;

use weir_core::frame::Records;
use weir_core::{Batch, Origin};

use crate::cuts::Cuts;

/// A batch and where its calls stand.
pub(crate) struct Parts<'a> {
    batch: &'a Batch,
    cuts: Cuts,
    /// From the first record that is not through.
    records: Records<'a>,
    /// From the end of the part under way.
    after: Records<'a>,
    bytes: Vec<u8>,
    origins: Vec<Origin>,
}

impl<'a> Parts<'a> {
    /// Nothing of `batch` is through.
    pub(crate) fn new(batch: &'a Batch) -> Self {
        let (records, after) = (batch.frame.records(), batch.frame.records());
        Self { batch, cuts: Cuts::new(batch.frame.len()), records, after, bytes: Vec::new(), origins: Vec::new() }
    }

    /// The next part, of at most `most` records.
    pub(crate) fn next(&mut self, most: usize) -> Option<Cow<'a, Batch>> {
        let records = self.cuts.next(most)?;
        if records == self.batch.frame.len() {
            return Some(Cow::Borrowed(self.batch));
        }
        self.after = self.records.clone();
        let frame = self.after.take_frame(records, std::mem::take(&mut self.bytes));
        let mut origins = std::mem::take(&mut self.origins);
        origins.clear();
        origins.extend(self.batch.origins.iter().skip(self.cuts.at()).take(records));
        Some(Cow::Owned(Batch { frame, origins }))
    }

    /// The first record of the part under way.
    pub(crate) fn at(&self) -> usize {
        self.cuts.at()
    }

    /// `part` went well.
    pub(crate) fn went_well(&mut self, part: Cow<'a, Batch>) {
        self.cuts.went_well(part.frame.len());
        self.records = self.after.clone();
        self.take_back(part);
    }

    /// `part`, a single record, was left to the policy.
    pub(crate) fn gave_up(&mut self, part: Cow<'a, Batch>) {
        self.cuts.gave_up();
        self.records = self.after.clone();
        self.take_back(part);
    }

    /// `part` is to be tried once more as it is.
    pub(crate) fn again(&mut self, part: Cow<'a, Batch>) {
        self.take_back(part);
    }

    /// `part` failed; `named` is the record at fault, where that is known.
    pub(crate) fn narrow(&mut self, part: Cow<'a, Batch>, named: Option<usize>) {
        self.cuts.narrow(part.frame.len(), named);
        self.take_back(part);
    }

    /// Only the first `records` of `part` fit a call.
    pub(crate) fn shorten(&mut self, part: Cow<'a, Batch>, records: usize) {
        self.cuts.shorten(records);
        self.take_back(part);
    }

    fn take_back(&mut self, part: Cow<'a, Batch>) {
        if let Cow::Owned(Batch { frame, origins }) = part {
            (self.bytes, self.origins) = (frame.into_bytes(), origins);
        }
    }
}
