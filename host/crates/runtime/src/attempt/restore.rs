//! From the decision of a start to what the attempt begins with: the log cut back to the record that holds, the store
//! brought up to it, and the splits. Nothing is changed before the store is known to fit.

use tracing::info;
use weir_checkpoint::manifest::PlannedSource;
use weir_checkpoint::sources::Recorded;
use weir_checkpoint::{Course, Manifest, Marker, SourceEntry, Start};
use weir_core::{Digest, Epoch, RecordId, SourceName, SplitId, SplitState, crash_point};
use weir_plan::Graph;

use super::heritage::{Heritage, tell};
use super::{LOOK, of_source, on_disk};
use crate::error::Error;
use crate::job::{Job, SourceSetup};
use crate::log_writer::JobLog;
use crate::supervisor::Known;
use crate::watch::Watch;

/// What an attempt starts from.
pub(super) struct Restored {
    /// The splits of each source, where reading goes on.
    pub splits: Vec<Vec<SplitState>>,
    /// The record that holds; `None` before the first.
    pub after: Option<RecordId>,
    /// The record that holds, of which event time goes on.
    pub times_of: Option<Manifest>,
    /// How the first record gets into the log: it replaces it, or is appended.
    pub first: bool,
    /// Whether nothing was read yet, so that where it begins decides nothing.
    pub is_unread: bool,
    /// Whether the splits still have the bounds of another process, which had other settings perhaps. A recovery in place
    /// goes on with the bounds it had, once they hold.
    pub has_old_bounds: bool,
    /// Whether all that is read on was read to its end: the job had ended.
    pub has_ended: bool,
}

impl Restored {
    /// Of a job of which nothing holds yet.
    fn unread(splits: Vec<Vec<SplitState>>, has_old_bounds: bool) -> Self {
        let (after, times_of) = (None, None);
        let (first, is_unread, has_ended) = (true, true, false);
        Self { splits, after, times_of, first, is_unread, has_old_bounds, has_ended }
    }
}

/// Whether a store that holds `applied` may begin so: what it holds must be a record of the log that holds. Never by
/// its number alone, which a log or a store of another time has, too.
pub fn check_store(applied: Option<&RecordId>, log: &[(Manifest, Digest)], start: &Start) -> Result<(), Error> {
    let Some(applied) = applied else { return Ok(()) };
    let holds = match start {
        Start::First | Start::FirstAgain => Epoch::default(),
        Start::FromMarker { marker, .. } => marker.epoch,
        Start::Resume { index, .. } => {
            let mut held = log.iter().take(index + 1);
            if held.any(|(_, digest)| *digest == applied.digest) {
                return Ok(());
            }
            log.get(*index).map_or(Epoch::default(), |(manifest, _)| manifest.epoch)
        }
    };
    match applied.epoch > holds {
        true => Err(Error::StoreAhead { applied: applied.epoch, holds }),
        false => Err(Error::StoreForeign { applied: applied.clone(), holds }),
    }
}

/// Does what `start` says.
pub(super) fn restore(
    heritage: &Heritage<'_>,
    Known { ownership, course }: &mut Known,
    watch: Watch<'_>,
    log: &JobLog,
    start: Start,
) -> Result<Restored, Error> {
    let (job, known) = (heritage.job, heritage.log);
    on_disk(job, watch, log, "finish writes of the state", |_, state| Ok(state.join()?))?;
    check_store(job.state.applied().as_ref(), known, &start)?;
    match start {
        Start::First => {
            course.restore(None);
            let splits: Vec<_> = job.sources.iter().map(|s| resolve(job, s, watch)).collect::<Result<_, _>>()?;
            info!(splits = splits.iter().map(Vec::len).sum::<usize>(), "first start");
            Ok(Restored::unread(splits, false))
        }
        Start::FirstAgain => {
            let Some((recorded, _)) = known.first() else {
                return Err(Error::Invariant("a first start again, and no record of the one before".into()));
            };
            course.restore(None);
            Ok(Restored::unread(begin(heritage, course, watch, recorded)?, !course.has_tried(recorded)))
        }
        Start::FromMarker { marker: Marker { epoch, digest, attempt, .. }, positions } => {
            ownership.uses(attempt);
            course.restore(None);
            // Whether it is new or had found nothing, the marker does not say; nothing may be left out.
            let found_nothing = |source: &SourceSetup| source.connector.may_find_nothing();
            let recorded = place(job, watch, Vec::new(), positions)?;
            let (splits, has_ended) = read_on(heritage, watch, found_nothing, recorded)?;
            info!(epoch = epoch.0, "starting from the marker: the job keeps no state");
            let (after, has_old_bounds) = (Some(RecordId { epoch, digest }), !course.is_applied());
            let (times_of, first, is_unread) = (None, true, false);
            Ok(Restored { splits, after, times_of, first, is_unread, has_old_bounds, has_ended })
        }
        Start::Resume { index, ahead } => {
            let Some((manifest, digest)) = known.get(index) else {
                return Err(Error::Invariant("a start from a record that the log does not have".into()));
            };
            replay(job, watch, log, index)?;
            course.restore(Some(manifest));
            // The record says itself whether anything was read up to it, whatever is committed.
            let is_unread = ahead.is_none() && manifest.plan.sources.iter().any(|source| source.start.is_some());
            let recorded = place(job, watch, Recorded::all(manifest), ahead.unwrap_or_default())?;
            let is_empty = |known: &PlannedSource, name: &SourceName| known.name == *name && known.splits.is_empty();
            let found_nothing =
                |source: &SourceSetup| manifest.plan.sources.iter().any(|known| is_empty(known, &source.name));
            let (mut splits, has_ended) = read_on(heritage, watch, found_nothing, recorded)?;
            if is_unread && !course.is_applied() {
                // Where this process began before, and what it wrote of it did not hold.
                let mut tried = known.iter().skip(index + 1).map(|(record, _)| record);
                let begun = tried.find(|record| course.has_tried(record)).unwrap_or(manifest);
                splits = begin_again(heritage, course, watch, begun, splits)?;
            }
            info!(epoch = manifest.epoch.0, attempt = %manifest.attempt, "restored");
            if !course.is_applied() {
                tell_changes(&manifest.plan.graph, &job.graph);
            }
            let after = Some(RecordId { epoch: manifest.epoch, digest: digest.clone() });
            let (times_of, first, has_old_bounds) = (Some(manifest.clone()), false, !course.is_applied());
            Ok(Restored { splits, after, times_of, first, is_unread, has_old_bounds, has_ended })
        }
    }
}

fn tell_changes(before: &Graph, now: &Graph) {
    let changes = weir_plan::diff(before, now);
    if !changes.is_empty() {
        let changes = changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        info!(changes, "the pipeline has changed since");
    }
}

fn resolve(job: &Job, source: &SourceSetup, watch: Watch<'_>) -> Result<Vec<SplitState>, Error> {
    of_source(job, source, watch, "resolve the start positions", |source| source.resolve())
}

/// Where a start begins of which nothing was read yet: where the recorded one began, so that a crash moves no `latest`; or
/// where this process is asked to, if that is somewhere else.
fn begin(
    heritage: &Heritage<'_>,
    course: &Course,
    watch: Watch<'_>,
    recorded: &Manifest,
) -> Result<Vec<Vec<SplitState>>, Error> {
    let has_begun = course.has_tried(recorded);
    let recorded = recorded.sources();
    let begin = |(at, source): (usize, &SourceSetup)| {
        let entry = recorded.iter().find(|entry| entry.name == source.name);
        let is_asked = |entry: &&SourceEntry| has_begun || entry.start == Some(source.connector.start());
        let Some(entry) = entry.filter(is_asked) else {
            info!(source = %source.name, "nothing was read yet, and it is asked to begin somewhere else");
            return resolve(heritage.job, source, watch);
        };
        let recorded = entry.splits.iter().map(|split| {
            // Nothing was read up to its bound yet: this process's own bounds count.
            let end = split.end.filter(|_| has_begun);
            Recorded { source: Some(entry.name.clone()), split: SplitState { end, ..split.clone() } }
        });
        match heritage.splits(&recorded.collect::<Vec<_>>()).map(|(splits, _)| splits.into_iter().nth(at)) {
            Ok(Some(splits)) if !splits.is_empty() || entry.splits.is_empty() => Ok(splits),
            // Nothing was ever read of what it was then, whether its user gave leave to drop it or not.
            _ => resolve(heritage.job, source, watch),
        }
    };
    info!("nothing was read yet: where the job was asked to begin before, it begins");
    heritage.job.sources.iter().enumerate().map(begin).collect()
}

/// The same where the start is committed: no split of the `known` may be left out, whatever the sources find now.
fn begin_again(
    heritage: &Heritage<'_>,
    course: &Course,
    watch: Watch<'_>,
    recorded: &Manifest,
    known: Vec<Vec<SplitState>>,
) -> Result<Vec<Vec<SplitState>>, Error> {
    let begun = begin(heritage, course, watch, recorded)?;
    let is_begun = |known: &SplitState| begun.iter().flatten().any(|s| s.split == known.split);
    Ok(if known.iter().flatten().all(is_begun) { begun } else { known })
}

/// The recorded splits that each source goes on reading, and whether all of them were read to their ends. One that has
/// none of them is new and begins where it is asked to, unless it had `found_nothing` to read so far: what appeared since is
/// read from its beginning.
fn read_on(
    heritage: &Heritage<'_>,
    watch: Watch<'_>,
    found_nothing: impl Fn(&SourceSetup) -> bool,
    recorded: Vec<Recorded>,
) -> Result<(Vec<Vec<SplitState>>, bool), Error> {
    let (splits, notes) = heritage.splits(&recorded)?;
    tell(&notes, watch);
    let has_ended = splits.iter().flatten().all(SplitState::is_finished);
    let sources = heritage.job.sources.iter().zip(splits);
    let splits = sources.map(|(source, splits)| match splits.is_empty() && !found_nothing(source) {
        true => resolve(heritage.job, source, watch),
        false => Ok(splits),
    });
    Ok((splits.collect::<Result<_, _>>()?, has_ended))
}

/// Puts splits at positions that are committed; one that no manifest knows gets its identity from its source.
fn place(
    job: &Job,
    watch: Watch<'_>,
    mut recorded: Vec<Recorded>,
    positions: Vec<(SplitId, i64)>,
) -> Result<Vec<Recorded>, Error> {
    if positions.is_empty() {
        return Ok(recorded);
    }
    let mut found = Vec::new();
    for source in job.sources.iter().filter(|source| source.marked) {
        found.extend(of_source(job, source, watch, LOOK, |source| source.discover())?);
    }
    for (split, position) in positions {
        match recorded.iter_mut().find(|known| known.split.split == split) {
            Some(known) => (known.split.position, known.split.term) = (position, None),
            None => {
                let identity = found.iter().find(|s| s.split == split).and_then(|s| s.identity.clone());
                let split = SplitState { split, position, end: None, identity, term: None };
                recorded.push(Recorded { source: None, split });
            }
        }
    }
    Ok(recorded)
}

/// Cuts the log back to the restored record and brings the store up to it: redo only.
fn replay(job: &Job, watch: Watch<'_>, log: &JobLog, index: usize) -> Result<(), Error> {
    on_disk(job, watch, log, "restore the state", move |log, state| {
        log.cut_after(index)?;
        log.replay(state.applied().as_ref(), index, &mut |record, delta| {
            state.apply(record, vec![delta])?;
            Ok(crash_point!("mid-restore")?)
        })?;
        Ok(state.join()?)
    })
}
