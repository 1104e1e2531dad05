//! A frame with the origin of each record, and what travels between tasks.

use crate::frame::Frame;
use crate::ids::Epoch;

/// Where a record was read: the split (an index into the reader's table of splits) and its offset there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Index of the split in the source's snapshot order.
    pub split: u32,
    /// Offset of the record in the split: a position from which it would be read again, and all behind it.
    pub offset: i64,
}

/// Records on their way, with the origin of each beside them: `origins.len() == frame.len()`.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The records.
    pub frame: Frame,
    /// The origin of each record, so that an error can always name its source.
    pub origins: Vec<Origin>,
}

impl Batch {
    /// Size for back-pressure, in bytes.
    pub fn bytes(&self) -> usize {
        self.frame.as_bytes().len() + self.origins.len() * size_of::<Origin>()
    }

    /// The first `records` and the rest, as batches of their own.
    pub fn split_at(&self, records: usize) -> (Self, Self) {
        let (first, rest) = self.origins.split_at(records.min(self.origins.len()));
        let mut left = self.frame.records();
        let frame = left.take_frame(first.len(), Vec::new());
        let head = Self { frame, origins: first.to_vec() };
        let frame = left.take_frame(rest.len(), Vec::with_capacity(self.frame.as_bytes().len()));
        (head, Self { frame, origins: rest.to_vec() })
    }
}

/// What travels between tasks, in order.
#[derive(Debug)]
pub enum Element {
    /// Records for one output of the sending operator (0 unless it has side outputs).
    Batch {
        /// Index of the edge's output at the sender.
        output: u32,
        /// The records.
        batch: Batch,
    },
    /// The epoch ends here.
    Barrier(Epoch),
    /// Nothing comes after this.
    End,
}
