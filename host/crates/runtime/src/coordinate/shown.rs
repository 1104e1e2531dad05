//! Where every source stands, as the job's status and its metrics show it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use metrics::Gauge;
use weir_checkpoint::SourceEntry;
use weir_core::ports::SplitProgress;
use weir_core::{SourceName, SplitState};

use crate::job::JobHandle;
use crate::metrics::JobMetrics;
use crate::signals::Signals;
use crate::status::{JobStatus, SplitStatus};

/// The splits of each source and their places in the status, which outlives the attempt.
pub(crate) struct Shown<'a> {
    handle: &'a JobHandle,
    metrics: &'a JobMetrics,
    signals: Arc<Signals>,
    sources: Vec<(SourceName, Vec<Place>)>,
}

/// Where a split is shown.
struct Place {
    /// In the status.
    at: usize,
    /// Its gauge, once its lag is known: made once, for each epoch sets it.
    lag: Option<Gauge>,
}

impl<'a> Shown<'a> {
    /// Of an attempt that begins.
    pub(crate) fn new(
        handle: &'a JobHandle,
        metrics: &'a JobMetrics,
        signals: Arc<Signals>,
        sources: impl Iterator<Item = SourceName>,
    ) -> Self {
        Self { handle, metrics, signals, sources: sources.map(|name| (name, Vec::new())).collect() }
    }

    /// Source number `source` stands at `splits`, in an order in which new ones come last.
    pub(crate) fn show(&mut self, source: usize, splits: &[SplitState], progress: &[SplitProgress]) {
        let read = self.signals.records_read.load(Ordering::Relaxed);
        let Some((name, places)) = self.sources.get_mut(source) else { return };
        self.handle.board.change(|status| {
            let ends = progress.iter().map(|p| p.end).chain(std::iter::repeat(None));
            for (index, (split, end)) in splits.iter().zip(ends).enumerate() {
                let end = split.end.or(end);
                let lag = end.map(|end| (end - split.position).max(0));
                if index == places.len() {
                    places.push(Place { at: place(status, name, split), lag: None });
                }
                let Some(place) = places.get_mut(index) else { continue };
                if let Some(lag) = lag {
                    place.lag.get_or_insert_with(|| self.metrics.lag(name, &split.split)).set(lag as f64);
                }
                if let Some(shown) = status.splits.get_mut(place.at) {
                    (shown.position, shown.end, shown.lag) = (split.position, end, lag);
                }
            }
            let new = read.saturating_sub(status.records_read_in_attempt);
            status.records_read_in_attempt = read;
            status.records_read += new;
        });
    }

    /// An epoch with these positions holds.
    pub(crate) fn hold(&self, sources: &[SourceEntry]) {
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

/// Where the status shows `split`; shown from now on if it was not yet.
fn place(status: &mut JobStatus, source: &SourceName, split: &SplitState) -> usize {
    let is_it = |shown: &SplitStatus| shown.split == split.split && shown.source == *source;
    status.splits.iter().position(is_it).unwrap_or_else(|| {
        let (source, position) = (source.clone(), split.position);
        let (begin, committed, end, lag) = (position, position, None, None);
        status.splits.push(SplitStatus { source, split: split.split.clone(), position, committed, begin, end, lag });
        status.splits.len() - 1
    })
}
