//! HOT PATH. The time of one source: its splits, their merged watermark, and which of them are held back.
//!
//! The source task calls [`SourceTime::records`] around each batch it sends, and [`SourceTime::note`] several times a
//! second and whenever it has nothing to send. What comes back travels in-band.

use weir_core::{Progress, Reading, Watermark};

use crate::drift::{self, Aligned};
use crate::merge::Merge;
use crate::options::Options;
use crate::split::SplitTime;

/// The time of one source.
///
/// ```
/// use weir_time::{Options, SourceTime, Watermark};
///
/// let options: Options = "max-disorder=5s".parse()?;
/// let mut time = SourceTime::new(&options, Watermark::NONE);
/// time.add(Watermark::NONE);
/// // A batch of split 0: two records, ten seconds apart.
/// let around = time.records([(0, Some(20_000)), (0, Some(10_000))]);
/// assert_eq!(around.after.map(|progress| progress.watermark), Some(Watermark::at(15_000)));
/// # Ok::<(), weir_time::options::ParseError>(())
/// ```
#[derive(Debug)]
pub struct SourceTime {
    splits: Vec<SplitTime>,
    merge: Merge,
    disorder_ms: i64,
    idle_after: Option<std::time::Duration>,
    max_drift_ms: Option<i64>,
}

/// What a source sends around a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Around {
    /// Before the batch: the source was idle and is not any more, so that nobody's time goes past these records.
    pub before: Option<Progress>,
    /// After the batch: time has moved.
    pub after: Option<Progress>,
}

/// What follows from how the splits are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// To be sent: time has moved, or the source has become idle or has woken up.
    pub progress: Option<Progress>,
    /// For each split whether it is to be held back, because it runs ahead. What is fetched of it already is kept.
    pub held: Vec<bool>,
}

impl SourceTime {
    /// For a source without splits yet; `floor` is the source's watermark as the last epoch left it. Its splits are to be
    /// added before anything is asked of it: a source that has none is idle.
    pub fn new(options: &Options, floor: Watermark) -> Self {
        Self {
            splits: Vec::new(),
            merge: Merge::new(0, floor),
            disorder_ms: options.max_disorder_ms,
            idle_after: options.idle_after,
            max_drift_ms: options.max_drift_ms,
        }
    }

    /// One more split, with the watermark that the last epoch left it at, or [`Watermark::NONE`]. It is waited for at once,
    /// until it has records or is idle. Returns its index.
    pub fn add(&mut self, watermark: Watermark) -> usize {
        self.splits.push(SplitTime::new(watermark));
        let split = self.merge.add();
        self.merge.set(split, Progress { watermark, idle: false });
        split
    }

    /// The records of a batch about to be sent: split and timestamp; `None` where a timestamp must not move time
    /// ([`crate::future::Admitted::Early`]).
    pub fn records(&mut self, records: impl IntoIterator<Item = (usize, Option<i64>)>) -> Around {
        let was_idle = self.merge.progress();
        let mut any = false;
        for (split, timestamp_ms) in records {
            any = true;
            if let Some(split) = self.splits.get_mut(split) {
                match timestamp_ms {
                    Some(timestamp_ms) => split.record(timestamp_ms, self.disorder_ms),
                    None => split.wake(),
                }
            }
        }
        let before = (any && was_idle.idle).then_some(Progress { idle: false, ..was_idle });
        let after = self.step();
        // The awakening is told before the batch; after it, only what is new beyond that.
        Around { before, after: after.filter(|progress| Some(*progress) != before) }
    }

    /// How each split is read, in the order they were added; missing ones count as flowing.
    pub fn note(&mut self, readings: &[Reading]) -> Noted {
        let readings = || readings.iter().copied().chain(std::iter::repeat(Reading::Flowing));
        for (split, reading) in self.splits.iter_mut().zip(readings()) {
            split.note(reading, self.idle_after);
        }
        let splits = self.splits.iter().zip(readings());
        let aligned =
            splits.map(|(split, reading)| Aligned { watermark: split.watermark(), idle: split.is_idle(), reading });
        let limit = self.max_drift_ms.and_then(|max_drift_ms| drift::limit(aligned, max_drift_ms));
        let is_held = |split: &SplitTime| !split.is_idle() && drift::is_ahead(split.watermark(), limit);
        let held = self.splits.iter().map(is_held).collect();
        Noted { progress: self.step(), held }
    }

    /// The clock says `now_ms`, and timestamps are the clock's ([`crate::TimestampSource::is_clock`]): time goes on without
    /// records.
    pub fn clock(&mut self, now_ms: i64) -> Option<Progress> {
        self.splits.iter_mut().for_each(|split| split.advance(now_ms));
        self.step()
    }

    /// Nothing will ever come of any split (`--drain`): the end of time. An epoch keeps what stood before it (see
    /// [`Self::floor`]), or a job that is started again after all would take every record for late.
    pub fn end_all(&mut self) -> Option<Progress> {
        self.splits.iter_mut().for_each(SplitTime::end);
        self.step()
    }

    /// Where the source's time stands: what was sent last.
    pub fn progress(&self) -> Progress {
        self.merge.progress()
    }

    /// What an epoch keeps: of the source, and of each split.
    pub fn floor(&self) -> (Watermark, impl Iterator<Item = Watermark> + '_) {
        (self.merge.floor(), self.splits.iter().map(SplitTime::floor))
    }

    /// How many splits it has.
    pub fn len(&self) -> usize {
        self.splits.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.splits.is_empty()
    }

    /// Where each split's time stands.
    pub fn splits(&self) -> impl Iterator<Item = Progress> + '_ {
        self.splits.iter().map(SplitTime::progress)
    }

    fn step(&mut self) -> Option<Progress> {
        for (index, split) in self.splits.iter().enumerate() {
            self.merge.set(index, split.progress());
        }
        self.merge.step()
    }
}

/// What has gone wrong elsewhere.
#[cfg(test)]
mod flink;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(options: &str, splits: usize) -> SourceTime {
        let mut time = SourceTime::new(&options.parse().unwrap(), Watermark::NONE);
        (0..splits).for_each(|_| {
            time.add(Watermark::NONE);
        });
        time
    }

    fn at(ms: i64, idle: bool) -> Option<Progress> {
        Some(Progress { watermark: Watermark::at(ms), idle })
    }

    fn caught_up(at: u64) -> Reading {
        Reading::CaughtUp { at: Duration::from_secs(at) }
    }

    #[test]
    fn an_idle_source_says_that_it_wakes_before_its_records() {
        let mut time = source("max-disorder=0s,idle-after=10s", 1);
        assert_eq!(time.records([(0, Some(100))]), Around { before: None, after: at(100, false) });
        time.note(&[caught_up(0)]);
        assert_eq!(time.note(&[caught_up(10)]).progress, at(100, true));
        assert_eq!(time.records([(0, Some(200))]), Around { before: at(100, false), after: at(200, false) });
        // One that does not move time wakes the source as well.
        time.note(&[caught_up(20)]);
        time.note(&[caught_up(30)]);
        assert_eq!(time.records([(0, None)]), Around { before: at(200, false), after: None });
        assert_eq!(Some(time.progress()), at(200, false));
        assert_eq!(time.records([]), Around { before: None, after: None });
    }

    #[test]
    fn a_split_that_never_gets_data_is_waited_for_until_it_is_idle() {
        let mut time = source("max-disorder=0s,idle-after=10s", 2);
        assert_eq!(time.records([(0, Some(100))]).after, None);
        assert_eq!(time.note(&[Reading::Flowing, caught_up(0)]).progress, None);
        assert_eq!(time.note(&[Reading::Flowing, caught_up(10)]).progress, at(100, false));
    }

    #[test]
    fn a_split_added_late_is_waited_for() {
        let mut time = source("max-disorder=0s", 1);
        time.records([(0, Some(100))]);
        let late = time.add(Watermark::NONE);
        assert_eq!(time.records([(0, Some(200))]).after, None);
        assert_eq!(time.records([(late, Some(150))]).after, at(150, false));
    }

    #[test]
    fn a_split_at_its_bound_leaves_windows_open_and_one_that_ended_does_not() {
        let mut time = source("max-disorder=0s,idle-after=10s", 2);
        time.records([(0, Some(100)), (1, Some(50))]);
        let bound = [Reading::Flowing, Reading::Bound];
        time.note(&bound);
        time.note(&bound);
        assert_eq!(time.records([(0, Some(200))]).after, None, "the next start reads on from 50");
        assert_eq!(time.note(&[Reading::Flowing, Reading::Ended]).progress, at(200, false));
        assert_eq!(time.end_all(), Some(Progress { watermark: Watermark::END, idle: false }));
        let (source, splits) = time.floor();
        assert_eq!(
            (source, splits.collect::<Vec<_>>()),
            (Watermark::at(200), vec![Watermark::at(200), Watermark::at(50)])
        );
    }

    #[test]
    fn where_timestamps_are_the_clock_s_time_goes_on_without_records() {
        let mut time = source("timestamp=ingestion", 2);
        assert_eq!(time.clock(1_000), at(1_000, false));
        assert_eq!(time.clock(900), None, "a clock that was set back is waited for");
        time.note(&[Reading::Ended]);
        assert_eq!(time.clock(2_000), at(2_000, false));
        assert_eq!(time.records([(1, Some(2_000))]).after, None);
        time.note(&[Reading::Ended; 2]);
        assert_eq!(time.progress(), Progress { watermark: Watermark::END, idle: false });
        assert_eq!(time.clock(3_000), None);
    }

    #[test]
    fn the_split_that_runs_ahead_is_held_until_the_others_have_come_closer() {
        let mut time = source("max-disorder=0s,max-drift=1min,idle-after=10s", 3);
        let flowing = [Reading::Flowing; 3];
        time.records([(0, Some(100_000)), (1, Some(20_000))]);
        assert_eq!(time.note(&flowing).held, [true, false, false]);
        time.records([(1, Some(40_000))]);
        assert_eq!(time.note(&flowing).held, [false, false, false]);
        assert_eq!(source("max-disorder=0s", 1).note(&flowing).held, [false], "without a limit nobody is held");
    }
}
