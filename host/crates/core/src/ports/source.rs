//! Where records come from.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::batch::{Batch, Origin};
use crate::fault::PortError;
use crate::ids::SplitId;
use crate::split::SplitState;
use crate::watermark::Reading;

/// Names of headers that begin so are Weir's own words: a source strips them from what it reads, so that a plugin that
/// passes headers on says nothing that it does not mean.
pub const OWN_HEADERS: &[u8] = b"weir.";

/// Opens readers; knows what exists and where a first start begins. Lives as long as the job.
pub trait SourceConnector: Send + Sync {
    /// The splits that exist now, at their first readable position, with their identity; no bound resolved.
    /// Used before a start, to know which splits may carry a marker.
    fn discover(&self) -> Result<Vec<SplitState>, PortError>;

    /// A first start: start positions and bounds, resolved once. The manifest keeps them from here on.
    fn resolve(&self) -> Result<Vec<SplitState>, PortError>;

    /// What a first start is asked to read, and from where, in the user's words; empty where there is no choice.
    fn start(&self) -> String {
        String::new()
    }

    /// A later start of the job, from the positions in `splits`. A bound that is not reached yet is kept; otherwise the
    /// options decide anew: no bound, or one resolved now (then also for splits that appeared meanwhile). Not asked of a
    /// bounded source whose bounds are reached while other sources of the job are still read.
    fn resume(&self, splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError>;

    /// Which of this source's splits `split`, recorded by an earlier start, is; `None`: this source does not read it, and
    /// must not go on from it. Touches nothing outside that could hang.
    fn recognise(&self, split: &SplitId) -> Option<SplitId>;

    /// Reads on from `splits`; splits that appear later are the reader's own business (from their earliest offset).
    /// Verifies identity and range first: a stream made anew under the old name, or records lost to retention, are `Fault::Corrupt`, with
    /// the numbers.
    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError>;

    /// False for a source that cannot be read again (stdin): the job then never recovers in place.
    fn is_replayable(&self) -> bool;

    /// True when the read has an end (a read up to an offset, a file, stdin).
    fn is_bounded(&self) -> bool;

    /// True for a source that waits for what it reads to appear, so that it may have had no split so far.
    fn may_find_nothing(&self) -> bool {
        false
    }

    /// How many of its clients do not come back, were left behind, and still are there.
    fn left_behind(&self) -> usize {
        0
    }
}

/// What one call of [`SourceReader::poll`] brought.
#[derive(Debug)]
pub enum Poll {
    /// At least one record.
    Batch(Batch),
    /// A record that cannot be given as it was written. The position is after it: whoever reads on has dropped it.
    Unreadable(Unreadable),
    /// Nothing within the wait. Positions may still have moved, past control records at the tail of a split.
    Pending,
    /// Every split is finished; nothing will come any more.
    Finished,
}

/// A record that is there and cannot be given as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which one.
    pub origin: Origin,
    /// What is wrong with it, as the rest of "the record has ..".
    pub why: Cow<'static, str>,
}

/// Reads the splits of one shard. Lives on the source task's thread; polls no client itself if that may block long.
pub trait SourceReader: Send {
    /// Waits at most `wait` for the next batch. Backpressure is simply not calling this.
    fn poll(&mut self, wait: Duration) -> Result<Poll, PortError>;

    /// Every split and the position after everything that `poll` has returned. The index of a split in this list is
    /// [`crate::Origin::split`]; splits are only ever appended.
    fn snapshot(&mut self) -> Vec<SplitState>;

    /// Has it verified that everything `poll` has returned so far came from what the splits say, and calls `done` with
    /// the answer: from any thread, perhaps before this returns, never where the reader is dropped first. Nothing that
    /// was read holds before `done(Ok)`. Whatever the answer rests on must be asked after this call began: a look from
    /// before the last record was read proves nothing about it. This itself must not block.
    fn verify(&mut self, done: Verified) {
        done(Ok(()));
    }

    /// How the reading of each split stands, in the order of [`Self::snapshot`]: whether its time is waited for. Asked only
    /// where the job has event time. Confirmations count from any beginning that is the reader's own.
    fn readings(&mut self) -> Vec<Reading>;

    /// From now on nothing is given of the splits whose word is true, which run ahead; of the others again. What is fetched
    /// of them is kept, and what is on its way may still come. Without a word a split is not held.
    fn hold(&mut self, held: &[bool]) {
        let _only_one_split = held;
    }

    /// For the eye only: the end of each split, where known, in the order of `snapshot`.
    fn progress(&self) -> Vec<SplitProgress>;

    /// For the eye only: since when the outside has left questions of the reader without an answer.
    fn silent_since(&self) -> Option<Instant> {
        None
    }
}

/// Told what became of [`SourceReader::verify`].
pub type Verified = Box<dyn FnOnce(Result<(), PortError>) + Send>;

/// How far a split could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitProgress {
    /// Offset after the last readable record, when last seen. `None` where unknown.
    pub end: Option<i64>,
}
