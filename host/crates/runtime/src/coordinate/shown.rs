//! Where every source stands, as the job's status and its metrics show it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metrics::Gauge;
use weir_checkpoint::SourceEntry;
use weir_core::ports::SplitProgress;
use weir_core::{Progress, SourceName, SplitState, Watermark};

use crate::attempt::TaskTime;
use crate::job::{Job, JobHandle};
use crate::metrics::JobMetrics;
use crate::signals::Signals;
use crate::status::{JobStatus, SplitStatus};

/// The splits of each source and their places in the status, which outlives the attempt.
pub(crate) struct Shown<'a> {
    handle: &'a JobHandle,
    metrics: &'a JobMetrics,
    signals: Arc<Signals>,
    sources: Vec<(SourceName, Vec<Place>)>,
    /// How far the time of each task has come.
    tasks: Vec<TaskTime>,
    /// For each operator its gauge, once its time is known; none without event time.
    times: Vec<Option<Gauge>>,
}

/// Where a split is shown.
struct Place {
    /// In the status.
    at: usize,
    /// Its gauge, once its lag is known: made once, for each epoch sets it.
    lag: Option<Gauge>,
    /// The same of its time.
    time: Option<Gauge>,
}

impl<'a> Shown<'a> {
    /// Of an attempt that begins.
    pub(crate) fn new(
        handle: &'a JobHandle,
        metrics: &'a JobMetrics,
        signals: Arc<Signals>,
        job: &Job,
        tasks: Vec<TaskTime>,
    ) -> Self {
        let sources = job.sources.iter().map(|source| (source.name.clone(), Vec::new())).collect();
        let has_time = job.sources.iter().any(|source| source.time.is_some());
        let times = job.operators.iter().filter(|_| has_time).map(|_| None).collect();
        Self { handle, metrics, signals, sources, tasks, times }
    }

    /// Source number `source` stands at `splits`, in an order in which new ones come last.
    /// `times` are empty without event time.
    pub(crate) fn show(
        &mut self,
        source: usize,
        splits: &[SplitState],
        progress: &[SplitProgress],
        times: &[Progress],
    ) {
        self.show_times();
        let read = self.signals.records_read.load(Ordering::Relaxed);
        let Some((name, places)) = self.sources.get_mut(source) else { return };
        self.handle.board.change(|status| {
            let ends = progress.iter().map(|p| p.end).chain(std::iter::repeat(None));
            for (index, (split, end)) in splits.iter().zip(ends).enumerate() {
                let end = split.end.or(end);
                let lag = end.map(|end| (end - split.position).max(0));
                if index == places.len() {
                    places.push(Place { at: place(status, name, split), lag: None, time: None });
                }
                let Some(place) = places.get_mut(index) else { continue };
                if let Some(lag) = lag {
                    place.lag.get_or_insert_with(|| self.metrics.lag(name, &split.split)).set(lag as f64);
                }
                let time = times.get(index).copied().unwrap_or(Progress::NONE);
                if let Some(ms) = time.watermark.as_ms() {
                    place.time.get_or_insert_with(|| self.metrics.split_time(name, &split.split)).set(seconds(ms));
                }
                if let Some(shown) = status.splits.get_mut(place.at) {
                    (shown.position, shown.end, shown.lag, shown.time) = (split.position, end, lag, time);
                }
            }
            let new = read.saturating_sub(status.records_read_in_attempt);
            status.records_read_in_attempt = read;
            status.records_read += new;
        });
    }

    /// How far the time of each operator has come: of all its tasks the one that is behind.
    fn show_times(&mut self) {
        if self.times.is_empty() {
            return;
        }
        let tasks = &self.tasks;
        let least = |operator: usize| {
            let tasks = tasks.iter().filter(|(operators, _)| operators.contains(&operator));
            tasks.map(|(_, time)| time.get()).min().unwrap_or(Watermark::NONE)
        };
        self.handle.board.change(|status| {
            for ((at, shown), gauge) in status.operators.iter_mut().enumerate().zip(&mut self.times) {
                shown.watermark = least(at);
                if let Some(ms) = shown.watermark.as_ms() {
                    gauge.get_or_insert_with(|| self.metrics.operator_time(&shown.name)).set(seconds(ms));
                }
            }
        });
    }

    /// An epoch with these positions holds.
    pub(crate) fn hold(&mut self, sources: &[SourceEntry]) {
        self.show_times();
        self.handle.board.change(|status| {
            for ((_, places), held) in self.sources.iter().zip(sources) {
                for (place, held) in places.iter().zip(&held.splits) {
                    if let Some(shown) = status.splits.get_mut(place.at) {
                        shown.committed = held.position;
                    }
                }
            }
        });
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

/// Where the status shows `split`; shown from now on if it was not yet.
fn place(status: &mut JobStatus, source: &SourceName, split: &SplitState) -> usize {
    let is_it = |shown: &SplitStatus| shown.split == split.split && shown.source == *source;
    status.splits.iter().position(is_it).unwrap_or_else(|| {
        let (source, position) = (source.clone(), split.position);
        let (begin, committed, end, lag, time) = (position, position, None, None, Progress::NONE);
        let split = split.split.clone();
        status.splits.push(SplitStatus { source, split, position, committed, begin, end, lag, time });
        status.splits.len() - 1
    })
}
