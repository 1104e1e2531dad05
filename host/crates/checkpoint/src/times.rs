//! How far event time had come at the end of an epoch: below that it never goes again, whatever starts next. Of the end of
//! time an epoch keeps what stood before it: what is read later is not late by it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_core::{OperatorId, SourceName, SplitId, Watermark};

use crate::manifest::{Manifest, SourceEntry};

/// See the module; empty for a job without event time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Times {
    /// Every source of the plan, in its order.
    pub sources: Vec<SourceTimes>,
    /// Every operator whose time is known, by its number.
    pub operators: BTreeMap<OperatorId, Watermark>,
}

/// Of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SourceTimes {
    /// The source's own, which may be ahead of its splits: a split that wakes up behind it does not set it back.
    pub watermark: Watermark,
    /// Every split of the plan, in its order.
    pub splits: Vec<Watermark>,
}

/// What one task says at the end of an epoch, where the job has event time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskTimes {
    /// Of its source.
    pub source: Option<SourceTimes>,
    /// Of each of its operators.
    pub operators: Vec<(OperatorId, Watermark)>,
}

impl Times {
    /// Whether nothing is known of any time.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.operators.is_empty()
    }

    /// For a start of `sources` and the operators of these numbers, after an epoch; sources and splits that it did not
    /// have begin anew.
    pub fn after(epoch: &Manifest, sources: &[SourceEntry], operators: impl IntoIterator<Item = OperatorId>) -> Self {
        let kept = &epoch.times;
        if kept.is_empty() {
            return Self::default();
        }
        let source = |source: &SourceEntry| SourceTimes {
            watermark: epoch.source_time(&source.name),
            splits: source.splits.iter().map(|split| epoch.split_time(&source.name, &split.split)).collect(),
        };
        let known = operators.into_iter().filter_map(|id| Some((id, *kept.operators.get(&id)?)));
        Self { sources: sources.iter().map(source).collect(), operators: known.collect() }
    }

    /// Of the source of this number.
    pub fn source(&self, source: usize) -> Option<&SourceTimes> {
        self.sources.get(source)
    }

    /// Of the operator of this number.
    pub fn operator(&self, id: OperatorId) -> Watermark {
        self.operators.get(&id).copied().unwrap_or(Watermark::NONE)
    }

    /// Whether it has a word for each of these splits, or none at all.
    pub(crate) fn fits(&self, splits: impl ExactSizeIterator<Item = usize>) -> bool {
        self.sources.is_empty()
            || self.sources.len() == splits.len()
                && self.sources.iter().zip(splits).all(|(source, splits)| source.splits.len() == splits)
    }

    /// A task has sealed: the source of this number and its operators, of several tasks the one that is behind.
    pub(crate) fn take(&mut self, source: Option<usize>, sources: &[SourceEntry], sealed: TaskTimes) {
        if let (Some(at), Some(times)) = (source, sealed.source) {
            let unknown = |source: &SourceEntry| SourceTimes {
                watermark: Watermark::NONE,
                splits: source.splits.iter().map(|_| Watermark::NONE).collect(),
            };
            if self.sources.is_empty() {
                self.sources = sources.iter().map(unknown).collect();
            }
            if let Some(known) = self.sources.get_mut(at) {
                *known = times;
            }
        }
        for (id, watermark) in sealed.operators {
            self.operators.entry(id).and_modify(|known| *known = watermark.min(*known)).or_insert(watermark);
        }
    }
}

impl Manifest {
    fn source_time(&self, name: &SourceName) -> Watermark {
        self.times_of(name).map_or(Watermark::NONE, |(_, times)| times.watermark)
    }

    fn split_time(&self, name: &SourceName, split: &SplitId) -> Watermark {
        let found = self.times_of(name).and_then(|(planned, times)| {
            let at = planned.splits.iter().position(|planned| planned.split == *split)?;
            times.splits.get(at).copied()
        });
        found.unwrap_or(Watermark::NONE)
    }

    fn times_of(&self, name: &SourceName) -> Option<(&crate::manifest::PlannedSource, &SourceTimes)> {
        self.plan.sources.iter().zip(&self.times.sources).find(|(planned, _)| planned.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use weir_core::Delivery;

    use super::*;
    use crate::resolve::MarkerPlace;
    use crate::samples::{follow, split};

    fn source(name: &str, splits: &[i32]) -> SourceEntry {
        let splits = splits.iter().map(|partition| split("t", *partition, 0)).collect();
        SourceEntry { name: SourceName::new(name), marked: true, start: None, splits }
    }

    fn times(watermark: i64, splits: &[i64]) -> SourceTimes {
        let splits = splits.iter().map(|ms| Watermark::from_number(*ms)).collect();
        SourceTimes { watermark: Watermark::at(watermark), splits }
    }

    #[test]
    fn what_is_found_again_keeps_its_time() {
        let mut chain = Vec::new();
        follow(&mut chain, 1, vec![split("t", 0, 5), split("t", 1, 5)], (MarkerPlace::Splits, Delivery::ExactlyOnce));
        let (mut manifest, _) = chain.remove(0);
        assert!(Times::after(&manifest, &[source("in", &[0])], [OperatorId(0)]).is_empty(), "without event time");
        let operators = BTreeMap::from([(OperatorId(1), Watermark::at(40))]);
        manifest.times = Times { sources: vec![times(50, &[30, 70])], operators };
        // Another order, a new split, a new source, a new operator.
        let sources = [source("new", &[0]), source("in", &[1, 2, 0])];
        let after = Times::after(&manifest, &sources, [OperatorId(0), OperatorId(1)]);
        let none = Watermark::NONE;
        assert_eq!(after.sources[0], SourceTimes { watermark: none, splits: vec![none] });
        assert_eq!(after.sources[1], times(50, &[70, i64::MIN, 30]));
        assert_eq!((after.operator(OperatorId(0)), after.operator(OperatorId(1))), (none, Watermark::at(40)));
    }

    #[test]
    fn of_several_tasks_the_one_that_is_behind_counts() {
        let mut all = Times::default();
        let of = |ms| TaskTimes { source: None, operators: vec![(OperatorId(3), Watermark::at(ms))] };
        all.take(None, &[], of(7));
        all.take(None, &[], of(5));
        all.take(None, &[], of(6));
        assert_eq!(all.operator(OperatorId(3)), Watermark::at(5));
        let sources = [source("a", &[0]), source("b", &[0, 1])];
        all.take(Some(1), &sources, TaskTimes { source: Some(times(9, &[9, 9])), operators: Vec::new() });
        assert!(all.fits([1, 2].into_iter()) && !all.fits([1, 1].into_iter()) && !all.fits([1].into_iter()));
        assert_eq!(all.source(1), Some(&times(9, &[9, 9])));
    }
}
