//! What coordinator and tasks say to each other. Downwards: a few numbers that tasks look at between two batches.
//! Upwards: events through one bounded channel. Nothing else is shared.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_checkpoint::TaskTimes;
use weir_core::ports::{Commit, Delta, Operator, SplitProgress};
use weir_core::{Epoch, Origin, Progress, SourceName, SplitState};
use weir_operator::{Probation, SplitTable, Terms, Version};

use crate::error::Error;
use crate::versions::Witness;

/// Downwards. One writer, the coordinator; tasks only read, except for the counters.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    barrier: AtomicU64,
    last: AtomicBool,
    committed: AtomicU64,
    cancelled: AtomicBool,
    /// Records the source tasks have read in this attempt.
    pub records_read: AtomicU64,
    /// How often the time made something fire.
    fired: AtomicU64,
    splits: Mutex<SplitTable>,
    /// A version that takes over at a barrier that was asked for.
    switch: Mutex<Option<Arc<Switch>>>,
}

/// Another version of an operator, which its tasks take at one barrier.
pub(crate) struct Switch {
    /// Index of the operator in the job.
    pub operator: usize,
    terms: Terms,
    probation: Duration,
    /// The barrier, once it was asked for; 0 before.
    epoch: AtomicU64,
    /// For each task, until it takes it.
    instances: Mutex<Vec<Option<Box<dyn Operator>>>>,
    /// How long a task stood still for it, at most: in nanoseconds.
    paused: AtomicU64,
    /// Who is told if it fails on probation.
    witness: Witness,
}

impl Switch {
    pub(crate) fn new(
        operator: usize,
        (terms, probation): (Terms, Duration),
        instances: Vec<Box<dyn Operator>>,
        witness: Witness,
    ) -> Self {
        let instances = Mutex::new(instances.into_iter().map(Some).collect());
        Self { operator, terms, probation, epoch: AtomicU64::new(0), instances, paused: AtomicU64::new(0), witness }
    }

    /// The epoch that ends with the barrier, once that was asked for.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        Some(Epoch(self.epoch.load(Ordering::Relaxed))).filter(|epoch| epoch.0 > 0)
    }

    /// What task number `task` of the operator takes, once, and on what probation.
    pub(crate) fn take(&self, task: u16) -> Option<(Version, Probation)> {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        let operator = instances.get_mut(usize::from(task))?.take()?;
        let since = self.epoch()?;
        let probation = self.witness.probation(self.operator, since, self.probation);
        Some((Version { terms: self.terms.clone(), operator }, probation))
    }

    /// A task stood still for so long.
    pub(crate) fn note_pause(&self, paused: Duration) {
        let nanos = u64::try_from(paused.as_nanos()).unwrap_or(u64::MAX);
        self.paused.fetch_max(nanos, Ordering::Relaxed);
    }

    /// How long a task stood still, at most.
    pub(crate) fn paused(&self) -> Duration {
        Duration::from_nanos(self.paused.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("operator", &self.operator).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Signals {
    /// For an attempt that reads these sources.
    pub(crate) fn new(sources: impl IntoIterator<Item = SourceName>) -> Self {
        Self { splits: Mutex::new(SplitTable::new(sources)), ..Self::default() }
    }

    /// The tasks of its operator are to take this at the barrier of `epoch`, which is asked for next.
    pub(crate) fn switch_at(&self, epoch: Epoch, switch: &Arc<Switch>) {
        if switch.epoch().is_none() {
            switch.epoch.store(epoch.0, Ordering::Relaxed);
            *self.switch.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(switch));
        }
    }

    /// What tasks take at the barrier of `epoch`.
    pub(crate) fn switch(&self, epoch: Epoch) -> Option<Arc<Switch>> {
        let switch = self.switch.lock().unwrap_or_else(PoisonError::into_inner);
        switch.as_ref().filter(|switch| switch.epoch() == Some(epoch)).cloned()
    }

    /// Every source is to end `epoch`; with `last` nothing may follow.
    pub(crate) fn ask_barrier(&self, epoch: Epoch, last: bool) {
        self.last.store(last, Ordering::Relaxed);
        self.barrier.store(epoch.0, Ordering::Release);
    }

    /// The newest epoch that sources are to end, and whether it is the last.
    pub(crate) fn barrier(&self) -> (Epoch, bool) {
        let epoch = Epoch(self.barrier.load(Ordering::Acquire));
        (epoch, self.last.load(Ordering::Relaxed))
    }

    /// A task's time has moved; `fired`: something was due by it.
    pub(crate) fn note_fired(&self, fired: bool) {
        if fired {
            self.fired.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How much has happened that an epoch has to hold: grows with each record that is read and each firing.
    pub(crate) fn happened(&self) -> u64 {
        self.records_read.load(Ordering::Relaxed).wrapping_add(self.fired.load(Ordering::Relaxed))
    }

    /// The splits of a source, in the order in which origins count them; only ever longer.
    pub(crate) fn name_splits(&self, source: usize, splits: &[SplitState]) {
        self.splits.lock().unwrap_or_else(PoisonError::into_inner).name(source, splits);
    }

    /// Shows the splits.
    pub(crate) fn with_splits<T>(&self, look: impl FnOnce(&SplitTable) -> T) -> T {
        look(&self.splits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An origin as people know it: topic, partition, offset.
    pub(crate) fn describe(&self, origin: Origin) -> String {
        self.with_splits(|splits| splits.describe(origin))
    }

    /// `epoch` holds.
    pub(crate) fn set_committed(&self, epoch: Epoch) {
        self.committed.store(epoch.0, Ordering::Release);
    }

    /// The newest epoch that holds.
    pub(crate) fn committed(&self) -> Epoch {
        Epoch(self.committed.load(Ordering::Acquire))
    }

    /// The attempt is over: every task leaves at once, nothing more is written.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// True when the attempt is over.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

/// What the coordinator tells the sink task.
#[derive(Debug)]
pub(crate) enum SinkCommand {
    /// Commit this; the answer is [`TaskEvent::Committed`].
    Commit(Commit),
}

/// Upwards.
#[derive(Debug)]
pub(crate) enum TaskEvent {
    /// A source task passed the barrier.
    SourceSealed {
        /// Which source: its place in the job.
        source: usize,
        /// The epoch.
        epoch: Epoch,
        /// Its splits, all of them, as the epoch leaves them.
        splits: Vec<SplitState>,
        /// How far each could be read.
        progress: Vec<SplitProgress>,
        /// How far the time of each has come; none without event time.
        times: Vec<Progress>,
        /// State changes of the operators chained to the source.
        state: Vec<SealedState>,
        /// How far its event time has come, and theirs.
        kept: TaskTimes,
    },
    /// An operator task passed the barrier.
    Sealed {
        /// The epoch.
        epoch: Epoch,
        /// State changes of its operators.
        state: Vec<SealedState>,
        /// How far their event time has come.
        kept: TaskTimes,
    },
    /// For the eye: where a source stands between barriers.
    Progress {
        /// Which source: its place in the job.
        source: usize,
        /// Its splits now, all of them.
        splits: Vec<SplitState>,
        /// How far each could be read.
        progress: Vec<SplitProgress>,
        /// How far the time of each has come; none without event time.
        times: Vec<Progress>,
        /// Since when the source's questions have had no answer.
        silent_since: Option<Instant>,
    },
    /// A task that has sealed this epoch last has no room for more changes: see [`weir_checkpoint::Event::Full`].
    Full(Epoch),
    /// The sinks have every acknowledgement of the epoch.
    Flushed(Epoch),
    /// A source has verified what was read up to the epoch's barrier.
    Verified(Epoch),
    /// The log record is written.
    Logged(Epoch),
    /// The commit is acknowledged.
    Committed {
        /// The epoch.
        epoch: Epoch,
        /// How long the commit itself took.
        took: Duration,
    },
    /// A source has nothing more.
    Ended,
    /// A task failed; the attempt is over.
    Failed(Error),
}

/// One operator's part of an epoch in one task.
#[derive(Debug)]
pub(crate) struct SealedState {
    /// Index of the operator in the job.
    pub operator: usize,
    /// What changed.
    pub delta: Delta,
    /// Bytes of its overlays and cache.
    pub bytes: u64,
}
