//! A frame with the origin of each record, and what travels between tasks.

use std::sync::Arc;

use crate::frame::{Frame, FrameWriter, RecordView};
use crate::ids::Epoch;
use crate::watermark::Progress;

/// Where a record was read: the source, the split (an index into its reader's table of splits) and the offset there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Index of the source in the job. A reader knows its own splits only and leaves it 0; whoever drives it sets it.
    pub source: u32,
    /// Index of the split in the source's snapshot order.
    pub split: u32,
    /// Offset of the record in the split: a position from which it would be read again, and all behind it.
    pub offset: i64,
}

impl Origin {
    /// Of what no single record is at the bottom of: what a window or a timer sends.
    pub const NONE: Self = Self { source: u32::MAX, split: u32::MAX, offset: -1 };

    /// A record of one of the reader's own splits.
    pub const fn new(split: u32, offset: i64) -> Self {
        Self { source: 0, split, offset }
    }
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

    /// The records whose word in `is_kept` is true, in their order.
    #[must_use]
    pub fn only(&self, is_kept: impl IntoIterator<Item = bool>) -> Self {
        let mut writer = FrameWriter::new(Vec::with_capacity(self.frame.as_bytes().len()));
        let mut origins = Vec::with_capacity(self.origins.len());
        for ((record, origin), is_kept) in self.frame.records().zip(&self.origins).zip(is_kept) {
            if is_kept {
                writer.push(RecordView { source: writer.len() as u32, ..record });
                origins.push(*origin);
            }
        }
        Self { frame: writer.finish(), origins }
    }
}

/// What travels between tasks, in order.
#[derive(Debug)]
pub enum Element {
    /// Records for one of the receiver's ports.
    Batch {
        /// What the receiver knows the edge by that they came over.
        port: u32,
        /// The records; all who read the same output share them.
        batch: Arc<Batch>,
    },
    /// The sender's time has come so far, or it is idle, or not any more: of everything before it, on every edge between
    /// the two tasks.
    Time(Progress),
    /// The epoch ends here.
    Barrier(Epoch),
    /// Nothing comes after this.
    End,
}
