//! HOT PATH. The event time of a source, where the job has any: gives each record its timestamp, and says how far time has
//! come. What is decided here is decided by `time`; what comes of it travels in-band.

use std::collections::BTreeMap;

use weir_core::ports::Timestamps;
use weir_core::{Batch, Origin, PortError, Progress, Reading, Watermark};
use weir_time::future::Admitted;
use weir_time::source::Noted;
use weir_time::{Options, SourceTime};

use super::asked::ask;

/// What a record falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// It has this timestamp; whether that moves time.
    At(i64, bool),
    /// It has none that can be used.
    Refused,
}

/// See the module.
pub(crate) struct Stamper {
    options: Options,
    /// Says when records were made, where a plugin does.
    plugin: Option<Box<dyn Timestamps>>,
    time: SourceTime,
    /// Of the batch under way.
    stamps: Vec<Stamp>,
}

/// A batch, and what is sent around it.
pub(crate) struct Stamped {
    /// The source was idle and is not any more.
    pub before: Option<Progress>,
    /// The records with their timestamps, without those that have none.
    pub batch: Batch,
    /// Time has moved.
    pub after: Option<Progress>,
    /// Records without a timestamp that can be used, and what is wrong: the rest of "the record has ..".
    pub refused: Vec<(Origin, String)>,
}

impl Stamper {
    /// Of a source with these splits, which the last epoch left at these watermarks, and itself at `floor`.
    pub(crate) fn new(
        (mut options, plugin): (Options, Option<Box<dyn Timestamps>>),
        floor: Watermark,
        splits: impl IntoIterator<Item = Watermark>,
    ) -> Self {
        if options.timestamp.is_clock() {
            // The clock goes on whether records come or not: nobody waits for a silent split.
            options.idle_after = None;
        }
        let mut time = SourceTime::new(&options, floor);
        for split in splits {
            time.add(split);
        }
        Self { options, plugin, time, stamps: Vec::new() }
    }

    /// Where the source's time stands.
    pub(crate) fn progress(&self) -> Progress {
        self.time.progress()
    }

    /// Where each split's time stands.
    pub(crate) fn splits(&self) -> Vec<Progress> {
        self.time.splits().collect()
    }

    /// What an epoch keeps: of the source, and of each split.
    pub(crate) fn floor(&self) -> (Watermark, Vec<Watermark>) {
        let (source, splits) = self.time.floor();
        (source, splits.collect())
    }

    /// The source has so many splits by now; new ones are waited for.
    pub(crate) fn grow(&mut self, splits: usize) {
        while self.time.len() < splits {
            self.time.add(Watermark::NONE);
        }
    }

    /// Gives the records of `batch` their timestamps, where the clock says `now_ms`. Fails where a plugin that is asked for them
    /// cannot be.
    pub(crate) fn stamp(&mut self, mut batch: Batch, now_ms: i64) -> Result<Stamped, PortError> {
        let (mut refused, mut differs) = (Vec::new(), false);
        let mut failed = BTreeMap::new();
        if let Some(plugin) = &mut self.plugin {
            let told = ask(&mut **plugin, &batch)?;
            batch.frame.stamp(told.timestamps);
            failed = told.failed;
        }
        self.stamps.clear();
        for (at, (record, origin)) in batch.frame.records().zip(&batch.origins).enumerate() {
            let failed = failed.remove(&at).map(|why| Err(format!("no usable timestamp: {why}")));
            let stamp = match failed.unwrap_or_else(|| self.admit(&record, now_ms)) {
                Ok(stamp) => stamp,
                Err(why) => {
                    refused.push((*origin, why));
                    Stamp::Refused
                }
            };
            differs |= matches!(stamp, Stamp::At(at, _) if at != record.timestamp_ms);
            self.stamps.push(stamp);
        }
        let moves = |stamp: &Stamp| match stamp {
            Stamp::At(at, true) => Some(*at),
            Stamp::At(..) | Stamp::Refused => None,
        };
        let moved = batch.origins.iter().zip(&self.stamps).map(|(origin, stamp)| (origin.split as usize, moves(stamp)));
        let around = self.time.records(moved);
        if differs {
            let stamps = self.stamps.iter();
            batch.frame.stamp(stamps.map(|stamp| if let Stamp::At(at, _) = stamp { *at } else { 0 }));
        }
        if !refused.is_empty() {
            batch = batch.only(self.stamps.iter().map(|stamp| *stamp != Stamp::Refused));
        }
        Ok(Stamped { before: around.before, batch, after: around.after, refused })
    }

    fn admit(&self, record: &weir_core::RecordView<'_>, now_ms: i64) -> Result<Stamp, String> {
        let Options { timestamp, unit, future, .. } = &self.options;
        let at = timestamp.read(record, now_ms, *unit).map_err(|why| format!("no usable timestamp: {why}"))?;
        match future.admit(at, now_ms) {
            Admitted::OnTime(at) => Ok(Stamp::At(at, true)),
            Admitted::Early(at) => Ok(Stamp::At(at, false)),
            Admitted::Refused { ahead_ms } => {
                let most = future.max_ms;
                Err(format!("a timestamp {ahead_ms} ms ahead of the clock, where max-future allows {most} ms"))
            }
        }
    }

    /// How the splits are read, where the clock says `now_ms`: what is to be sent, and which splits are to be held back.
    pub(crate) fn note(&mut self, readings: &[Reading], now_ms: i64) -> Noted {
        self.grow(readings.len());
        let by_clock = if self.options.timestamp.is_clock() { self.time.clock(now_ms) } else { None };
        let Noted { progress, held } = self.time.note(readings);
        Noted { progress: progress.or(by_clock), held }
    }

    /// Whether splits may be held back.
    pub(crate) fn holds(&self) -> bool {
        self.options.max_drift_ms.is_some()
    }

    /// Nothing will ever come: the end of time.
    pub(crate) fn end(&mut self) -> Option<Progress> {
        self.time.end_all()
    }
}

#[cfg(test)]
mod tests {
    use weir_core::frame::{NO_TIMESTAMP, encode_headers};
    use weir_core::ports::CallError;
    use weir_core::{Frame, FrameWriter, RecordView};

    use super::*;

    const NOW_MS: i64 = 1_000_000;

    fn stamper(options: &str) -> Stamper {
        Stamper::new((options.parse().unwrap(), None), Watermark::NONE, [Watermark::NONE; 2])
    }

    /// (split, timestamp, value of the header `at`).
    fn batch(records: &[(u32, i64, &str)]) -> Batch {
        let mut writer = FrameWriter::new(Vec::new());
        let mut headers = Vec::new();
        for (index, (_, timestamp_ms, at)) in records.iter().enumerate() {
            encode_headers([(&b"at"[..], Some(at.as_bytes()))], &mut headers);
            let (source, value) = (index as u32, Some(&b"v"[..]));
            writer.push(RecordView { timestamp_ms: *timestamp_ms, source, key: None, value, headers: &headers });
        }
        let origins = records.iter().zip(0..).map(|((split, ..), offset)| Origin::new(*split, offset)).collect();
        Batch { frame: writer.finish(), origins }
    }

    fn timestamps(batch: &Batch) -> Vec<(i64, i64)> {
        assert!(batch.frame.records().zip(0..).all(|(record, index)| record.source == index));
        batch.frame.records().zip(&batch.origins).map(|(record, origin)| (record.timestamp_ms, origin.offset)).collect()
    }

    #[test]
    fn records_get_the_time_that_is_asked_for() {
        for (options, expected) in [
            ("max-disorder=0s", [(10, 0), (20, 1)]),
            ("max-disorder=0s,timestamp=header:at", [(70, 0), (80, 1)]),
            ("timestamp=ingestion", [(NOW_MS, 0), (NOW_MS, 1)]),
        ] {
            let mut stamper = stamper(options);
            let stamped = stamper.stamp(batch(&[(0, 10, "70"), (1, 20, "80")]), NOW_MS).unwrap();
            assert_eq!(timestamps(&stamped.batch), expected, "{options}");
            let slowest = expected[0].0;
            assert_eq!(stamped.after.map(|after| after.watermark), Some(Watermark::at(slowest)), "{options}");
        }
    }

    #[test]
    fn a_record_without_a_usable_time_is_left_out_and_named() {
        let mut stamper = stamper("max-disorder=0s,timestamp=header:at,max-future=1s,on-future=fail");
        let records = [(0, 5, "x"), (0, 5, "50"), (1, 5, "-1"), (1, 5, "60"), (1, 5, "9999999")];
        let Stamped { batch, after, refused, .. } = stamper.stamp(batch(&records), NOW_MS).unwrap();
        assert_eq!(timestamps(&batch), [(50, 1), (60, 3)]);
        assert_eq!(after.map(|after| after.watermark), Some(Watermark::at(50)));
        let whys: Vec<_> = refused.iter().map(|(origin, why)| (origin.offset, why.as_str())).collect();
        assert_eq!(whys[0].0, 0);
        assert!(whys[0].1.starts_with("no usable timestamp: "), "{whys:?}");
        assert_eq!((whys[1].0, whys[2].0), (2, 4));
        assert_eq!(whys[2].1, "a timestamp 8999999 ms ahead of the clock, where max-future allows 1000 ms");
    }

    #[test]
    fn the_far_future_moves_no_time_and_a_missing_timestamp_neither() {
        let mut stamper = stamper("max-disorder=0s,max-future=1s");
        let far = NOW_MS * 2;
        let stamped = stamper.stamp(batch(&[(0, far, ""), (1, far, ""), (0, NO_TIMESTAMP, "")]), NOW_MS).unwrap();
        assert_eq!(timestamps(&stamped.batch), [(far, 0), (far, 1)]);
        assert_eq!((stamped.after, stamped.refused.len()), (None, 1));
    }

    /// Says that a record was made ten times as late as it says itself, and fails on those of 13.
    struct Tenfold;

    impl Timestamps for Tenfold {
        fn timestamps(&mut self, frame: &Frame) -> Result<Vec<i64>, CallError> {
            let time = |record: RecordView<'_>| match record.timestamp_ms {
                13 => Err(CallError::Failed { index: None, code: 100, message: "unlucky".to_owned() }),
                NO_TIMESTAMP => Ok(NO_TIMESTAMP),
                at_ms => Ok(at_ms * 10),
            };
            frame.records().map(time).collect()
        }
    }

    #[test]
    fn a_plugin_says_when_records_were_made_and_one_that_it_fails_on_has_no_time() {
        let options = "max-disorder=0s,timestamp=plugin:a.wasm,max-future=1s".parse().unwrap();
        let mut stamper = Stamper::new((options, Some(Box::new(Tenfold))), Watermark::NONE, [Watermark::NONE; 2]);
        let records = [(0, 5, ""), (1, 13, ""), (1, 7, ""), (0, NO_TIMESTAMP, ""), (0, -1, "")];
        let Stamped { batch, after, refused, .. } = stamper.stamp(batch(&records), NOW_MS).unwrap();
        assert_eq!(timestamps(&batch), [(50, 0), (70, 2)]);
        assert_eq!(after.map(|after| after.watermark), Some(Watermark::at(50)));
        let whys: Vec<_> = refused.iter().map(|(origin, why)| (origin.offset, why.as_str())).collect();
        assert_eq!(whys[0], (1, "no usable timestamp: plugin returned failure 100: unlucky"));
        assert_eq!((whys[1].0, whys[2].0), (3, 4));
        assert!(whys[2].1.contains("-10 ms lies outside"), "{whys:?}");
    }

    #[test]
    fn a_clock_waits_for_no_silent_split() {
        let mut stamper = stamper("timestamp=ingestion");
        let noted = stamper.note(&[Reading::Flowing; 3], NOW_MS);
        assert_eq!(noted.progress, Some(Progress { watermark: Watermark::at(NOW_MS), idle: false }));
        assert_eq!(stamper.splits().len(), 3);
    }
}
