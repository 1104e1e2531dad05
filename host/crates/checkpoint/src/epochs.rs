//! The epochs of one attempt: when each ends, what its record says, what it commits. Facts in, bytes out, one at a time;
//! whoever drives it does what it says, and nothing else.
//!
//! An attempt begins with an [`Opening`](crate::epochs::Opening): its first record, which is empty and commits the restored positions under the
//! new attempt. Once that is in the log, [`Opening::run`](crate::epochs::Opening::run) gives the machine, which is committing it, and everything else
//! follows from events. The digest chain, the marker and the positions of every source live here alone, so that these
//! hold whatever the order of events: I1, I2, I3, I11 (see [`Coordinator`](crate::coordinator::Coordinator)), I5 and I6 (one marker, of the record just
//! logged, beside the positions that the record says), I10 (every split of every source that carries it, each sealed in
//! this epoch).

use std::sync::Arc;

use weir_core::ports::{Commit, Delta};
use weir_core::{AttemptId, Delivery, Epoch, JobName, RecordId, ShardId, SplitState};

use crate::coordinator::{self, Coordinator, Pace, Tasks};
use crate::inherit::Numbered;
use crate::manifest::{Manifest, Plan, PlanRecord, SourceEntry, reached};
use crate::marker::Marker;
use crate::resolve::MarkerPlace;
use crate::times::{TaskTimes, Times};

/// An event that the drawing of [`Coordinator`] does not have, or a fact that contradicts one before it. A bug: going on
/// could commit what is not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("epochs: {0}")]
pub struct Broken(pub String);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time passed.
    Tick {
        /// Time since the attempt began.
        now: std::time::Duration,
        /// Whether anything was read since the last barrier.
        active: bool,
    },
    /// A source task has passed the barrier of the epoch.
    SourceSealed {
        /// Its epoch.
        epoch: Epoch,
        /// Which source.
        source: usize,
        /// All its splits; those that were known keep their places.
        splits: Vec<SplitState>,
        /// What its operators changed.
        changes: Changes,
        /// How far its event time has come.
        times: TaskTimes,
    },
    /// Another task has.
    Sealed {
        /// Its epoch.
        epoch: Epoch,
        /// What its operators changed.
        changes: Changes,
        /// How far its event time has come.
        times: TaskTimes,
    },
    /// Every sink has every acknowledgement of the epoch.
    Flushed(Epoch),
    /// Everything that one source read up to the epoch's barrier came from what its splits say.
    Verified(Epoch),
    /// The epoch's log record is as durable as the delivery mode asks.
    Logged(Epoch),
    /// The outside commit is acknowledged.
    Committed(Epoch),
    /// A task that has sealed this epoch last has no room for more changes before their epoch holds.
    Full(Epoch),
    /// One source has nothing more, ever.
    Ended,
    /// From the end of the next epoch on, which comes soon, the operators are these. Only between two epochs.
    Change(Numbered),
    /// Someone wants the job to stop.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Have the sources end the epoch; `last` when nothing may follow.
    Barrier {
        /// The epoch.
        epoch: Epoch,
        /// True for the attempt's final epoch.
        last: bool,
    },
    /// Append this record, with the deltas of the epoch in the order in which they were told of.
    WriteLog(Record),
    /// Commit this outside.
    Commit(Commit),
    /// The epoch of this record holds: tell the tasks, apply its deltas.
    Apply(RecordId),
}

/// A record of the epoch log, without its deltas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is told by.
    pub id: RecordId,
    /// What it has in common with others.
    pub plan: Arc<PlanRecord>,
    /// The bytes of the epoch record.
    pub manifest: Vec<u8>,
}

/// What the deltas of a task add to an epoch's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    entries: u64,
    bytes: usize,
    crc32c: u32,
}

impl Changes {
    /// Of these, in this order.
    pub fn of(deltas: &[Delta]) -> Self {
        deltas.iter().fold(Self::default(), |sum, delta| {
            let crc32c = crc32c::crc32c_append(sum.crc32c, &delta.payload);
            Self { entries: sum.entries + delta.entries, bytes: sum.bytes + delta.payload.len(), crc32c }
        })
    }

    /// These, and `after` them those.
    fn then(self, after: Self) -> Self {
        let crc32c = crc32c::crc32c_combine(self.crc32c, after.crc32c, after.bytes);
        Self { entries: self.entries + after.entries, bytes: self.bytes + after.bytes, crc32c }
    }
}

/// What an attempt begins with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The job.
    pub job: JobName,
    /// Its shard.
    pub shard: ShardId,
    /// The attempt's own name.
    pub attempt: AttemptId,
    /// What it promises.
    pub delivery: Delivery,
    /// The record that holds; `None` before the first.
    pub after: Option<RecordId>,
    /// What runs: see [`crate::Course`].
    pub plan: Plan,
    /// Every source of the plan, where it goes on.
    pub sources: Vec<SourceEntry>,
    /// How far the event time of sources and operators had come.
    pub times: Times,
}

/// The first record of an attempt, which is to be logged.
#[derive(Debug)]
pub struct Opening {
    manifest: Manifest,
    sources: Vec<SourceEntry>,
    record: Record,
}

impl Opening {
    /// The first epoch after the one that holds.
    pub fn new(beginning: Beginning) -> Self {
        let Beginning { job, shard, attempt, delivery, after, plan, sources, times } = beginning;
        let (held, previous) = after.map_or((Epoch::default(), None), |held| (held.epoch, Some(held.digest)));
        let Changes { entries: delta_entries, crc32c: delta_crc32c, .. } = Changes::default();
        let plan = plan.encode();
        let manifest = Manifest {
            job,
            shard,
            epoch: held.next(),
            attempt,
            first: previous.is_none(),
            delivery,
            plan,
            reached: reached(&sources),
            times,
            previous,
            delta_crc32c,
            delta_entries,
        };
        let record = Record::of(&manifest);
        Self { manifest, sources, record }
    }

    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Every source, where it goes on.
    pub fn sources(&self) -> &[SourceEntry] {
        &self.sources
    }

    /// To be logged before [`Opening::run`].
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record is in the log: the machine, and its first command.
    pub fn run(self, pace: Pace, sealers: usize) -> (Epochs, Command) {
        let Self { manifest, sources, record } = self;
        let tasks = Tasks { sealers, sources: sources.len() };
        let machine = Coordinator::new(pace, manifest.epoch, tasks);
        let sealed = vec![true; sources.len()];
        let epochs = Epochs {
            machine,
            manifest,
            sources,
            id: record.id,
            sealed,
            changes: Changes::default(),
            times: Times::default(),
            has_moved: false,
            change: None,
        };
        let commit = Command::Commit(epochs.commit());
        (epochs, commit)
    }
}

/// The machine.
#[derive(Debug)]
pub struct Epochs {
    machine: Coordinator,
    /// Of the record written last.
    manifest: Manifest,
    /// Where every source stands in the epoch under way, as far as it is known.
    sources: Vec<SourceEntry>,
    /// The record written last.
    id: RecordId,
    /// Which sources have sealed the epoch under way.
    sealed: Vec<bool>,
    changes: Changes,
    /// Of the epoch under way, as far as it is known.
    times: Times,
    /// Whether any source has read something, or found a split, since the attempt began.
    has_moved: bool,
    /// What the operators are from the end of the next epoch on, if anything else.
    change: Option<Numbered>,
}

impl Epochs {
    /// The state as a machine without content: what waits for what.
    pub fn machine(&self) -> &Coordinator {
        &self.machine
    }

    /// What the record written last says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many splits there are by now.
    pub fn splits(&self) -> usize {
        self.sources.iter().map(|source| source.splits.len()).sum()
    }

    /// Every source as the epoch under way leaves it, or the last that holds.
    pub fn sources(&self) -> &[SourceEntry] {
        &self.sources
    }

    /// One event, and what follows from it.
    pub fn step(&mut self, event: Event) -> Result<Option<Command>, Broken> {
        let event = match event {
            Event::SourceSealed { epoch, source, splits, changes, times } => {
                self.take(source, splits)?;
                self.times.take(Some(source), &self.sources, times);
                self.changes = self.changes.then(changes);
                coordinator::Event::Sealed(epoch)
            }
            Event::Sealed { epoch, changes, times } => {
                self.times.take(None, &self.sources, times);
                self.changes = self.changes.then(changes);
                coordinator::Event::Sealed(epoch)
            }
            Event::Tick { now, active } => coordinator::Event::Tick { now, active },
            Event::Flushed(epoch) => coordinator::Event::Flushed(epoch),
            Event::Verified(epoch) => coordinator::Event::Verified(epoch),
            Event::Logged(epoch) => coordinator::Event::Logged(epoch),
            Event::Committed(epoch) => coordinator::Event::Committed(epoch),
            Event::Full(epoch) => coordinator::Event::Full(epoch),
            Event::Ended => coordinator::Event::Ended,
            Event::Change(operators) => {
                self.change = Some(operators);
                coordinator::Event::Asked
            }
            Event::Stop => coordinator::Event::Stop,
        };
        match self.machine.step(event)? {
            None => Ok(None),
            Some(coordinator::Command::Barrier { epoch, last }) => {
                (self.changes, self.times) = Default::default();
                self.sealed.fill(false);
                Ok(Some(Command::Barrier { epoch, last }))
            }
            Some(coordinator::Command::WriteLog(epoch)) => Ok(Some(Command::WriteLog(self.write(epoch)?))),
            Some(coordinator::Command::Commit(_)) => Ok(Some(Command::Commit(self.commit()))),
            Some(coordinator::Command::Apply(_)) => Ok(Some(Command::Apply(self.id.clone()))),
        }
    }

    /// The positions of a source at the end of the epoch under way. A split is never forgotten (I10).
    fn take(&mut self, source: usize, splits: Vec<SplitState>) -> Result<(), Broken> {
        let (Some(entry), Some(sealed)) = (self.sources.get_mut(source), self.sealed.get_mut(source)) else {
            return Err(Broken(format!("source {source} sealed, and there is no such source")));
        };
        let keeps = entry.splits.len() <= splits.len()
            && entry.splits.iter().zip(&splits).all(|(known, now)| known.split == now.split);
        if !keeps || std::mem::replace(sealed, true) {
            return Err(Broken(format!("source {} sealed twice, or lost a split", entry.name)));
        }
        let stands = |(known, now): (&SplitState, &SplitState)| known.position == now.position;
        self.has_moved |= entry.splits.len() != splits.len() || !entry.splits.iter().zip(&splits).all(stands);
        entry.splits = splits;
        Ok(())
    }

    fn write(&mut self, epoch: Epoch) -> Result<Record, Broken> {
        if let Some(missing) = self.sealed.iter().position(|sealed| !sealed) {
            return Err(Broken(format!("epoch {epoch} is to be written, and source {missing} has not sealed it")));
        }
        let previous = Some(self.id.digest.clone());
        let Changes { entries, crc32c, .. } = self.changes;
        let manifest = &mut self.manifest;
        (manifest.epoch, manifest.previous, manifest.first) = (epoch, previous, false);
        (manifest.delta_entries, manifest.delta_crc32c) = (entries, crc32c);
        // Of all sources at once: a start asks whether anything was read at all.
        if self.has_moved {
            self.sources.iter_mut().for_each(|source| source.start = None);
        }
        if let Some(operators) = self.change.take() {
            manifest.plan = manifest.plan.running(operators).encode();
        }
        // What epochs have in common changes when a split is found, and once the words of the first start are out.
        if !manifest.plan.fits(&self.sources) {
            manifest.plan = manifest.plan.with(&self.sources).encode();
        }
        (manifest.reached, manifest.times) = (reached(&self.sources), std::mem::take(&mut self.times));
        if !manifest.times.fits(manifest.reached.iter().map(Vec::len)) {
            return Err(Broken(format!("epoch {epoch} is to be written, and its times are not those of its splits")));
        }
        let record = Record::of(manifest);
        self.id = record.id.clone();
        Ok(record)
    }

    /// The commit of the record written last.
    fn commit(&self) -> Commit {
        let Manifest { job, shard, epoch, attempt, .. } = &self.manifest;
        let (job, shard, epoch, attempt) = (job.clone(), *shard, *epoch, attempt.clone());
        let marker = Marker { job, shard, epoch, attempt, digest: self.id.digest.clone() }.encode();
        Commit { epoch, positions: self.positions(), marker }
    }

    /// What carries the marker: every split of the sources that do (I10), or the one fixed place, whose offset counts
    /// epochs.
    fn positions(&self) -> Vec<(weir_core::SplitId, i64)> {
        let manifest = &self.manifest;
        match &manifest.plan.marker {
            MarkerPlace::Splits => {
                let marked = self.sources.iter().filter(|source| source.marked).flat_map(|source| &source.splits);
                marked.map(|s| (s.split.clone(), s.position)).collect()
            }
            MarkerPlace::Fixed(split) => vec![(split.clone(), Marker::position_apart(manifest.epoch))],
            MarkerPlace::Nowhere => Vec::new(),
        }
    }
}

impl Record {
    fn of(manifest: &Manifest) -> Self {
        let (bytes, digest) = manifest.encode();
        let plan = Arc::clone(&manifest.plan);
        Self { id: RecordId { epoch: manifest.epoch, digest }, plan, manifest: bytes }
    }
}

#[cfg(test)]
mod tests;
