//! From the decision of a start to what the attempt begins with: the log cut back to the record that holds, the store
//! brought up to it, and the splits. Nothing is changed before the store is known to fit.

use tracing::info;
use weir_checkpoint::inherit::Numbered;
use weir_checkpoint::{Manifest, Marker, Start};
use weir_core::ports::EpochLog;
use weir_core::{Digest, Epoch, RecordId, SplitId, SplitState, crash_point};

use super::heritage::{Heritage, tell};
use super::{LOOK, of_source, on_disk};
use crate::error::Error;
use crate::job::Job;
use crate::supervisor::Ownership;
use crate::watch::Watch;

/// What an attempt starts from.
pub(super) struct Restored {
    /// The splits, where reading goes on.
    pub splits: Vec<SplitState>,
    /// The epoch that holds; 0 before the first.
    pub epoch: Epoch,
    /// Digest of its manifest.
    pub previous: Option<Digest>,
    /// The operators that it knows.
    pub operators: Numbered,
    /// How the first record gets into the log: it replaces it, or is appended.
    pub first: bool,
    /// Whether the splits still have the bounds of another process, which had other settings perhaps.
    pub has_old_bounds: bool,
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
    watch: Watch<'_>,
    log: &mut Option<Box<dyn EpochLog>>,
    start: Start,
    ownership: &mut Ownership,
) -> Result<Restored, Error> {
    let (job, known) = (heritage.job, heritage.log);
    on_disk(job, watch, log, "finish writes of the state", |_, state| state.join())?;
    check_store(job.state.applied().as_ref(), known, &start)?;
    let status = watch.handle.status();
    // A recovery in place goes on with the bounds it had; another process may have others.
    let (has_run, has_begun) = (status.epoch > Epoch::default(), status.attempt.is_some());
    match start {
        Start::First => {
            let splits = of_source(job, watch, "resolve the start positions", |source| source.resolve())?;
            info!(splits = splits.len(), "first start");
            let (epoch, operators) = (Epoch::default(), Numbered::default());
            Ok(Restored { splits, epoch, previous: None, operators, first: true, has_old_bounds: false })
        }
        Start::FirstAgain => {
            let splits = first_again(heritage, watch, has_begun)?;
            let (epoch, operators) = (Epoch::default(), Numbered::default());
            Ok(Restored { splits, epoch, previous: None, operators, first: true, has_old_bounds: !has_begun })
        }
        Start::FromMarker { marker: Marker { epoch, digest, attempt, .. }, positions } => {
            ownership.uses(attempt);
            let splits = read_on(heritage, watch, &place(job, watch, Vec::new(), positions)?)?;
            info!(epoch = epoch.0, "starting from the marker: the job keeps no state");
            let (previous, operators) = (Some(digest), Numbered::default());
            Ok(Restored { splits, epoch, previous, operators, first: true, has_old_bounds: !has_run })
        }
        Start::Resume { index, ahead } => {
            let Some((manifest, digest)) = known.get(index) else { return Err(Error::Panicked("resolve".into())) };
            replay(job, watch, log, index)?;
            let splits = place(job, watch, manifest.splits.clone(), ahead.unwrap_or_default())?;
            let splits = read_on(heritage, watch, &splits)?;
            info!(epoch = manifest.epoch.0, attempt = %manifest.attempt, "restored");
            let (epoch, operators) = (manifest.epoch, Numbered::of(manifest));
            let previous = Some(digest.clone());
            Ok(Restored { splits, epoch, previous, operators, first: false, has_old_bounds: !has_run })
        }
    }
}

/// Where a start begins that finds a first record and no commit: where that one began, so that a crash before the first
/// commit moves no `latest`; or where this process is asked to, if that is somewhere else.
fn first_again(heritage: &Heritage<'_>, watch: Watch<'_>, has_begun: bool) -> Result<Vec<SplitState>, Error> {
    let job = heritage.job;
    let resolve = || of_source(job, watch, "resolve the start positions", |source| source.resolve());
    let Some((first, _)) = heritage.log.first() else { return resolve() };
    let mut recorded = first.splits.clone();
    if !has_begun {
        if first.start != Some(job.source.start()) {
            info!("first start again: nothing was committed yet, and it is asked to begin somewhere else");
            return resolve();
        }
        // Nothing was read up to them yet: this process's own bounds count.
        recorded.iter_mut().for_each(|split| split.end = None);
    }
    info!("first start again: nothing was committed yet; the recorded start positions are kept");
    match heritage.splits(&recorded) {
        Ok((splits, _)) if !splits.is_empty() || recorded.is_empty() => Ok(splits),
        // Nothing was ever read of the source that the pipeline had then, whether its user gave leave to drop it or not.
        _ => resolve(),
    }
}

/// The recorded splits that this pipeline goes on reading. Where none of them is left, its source is a new one.
fn read_on(heritage: &Heritage<'_>, watch: Watch<'_>, recorded: &[SplitState]) -> Result<Vec<SplitState>, Error> {
    let (splits, notes) = heritage.splits(recorded)?;
    tell(&notes, watch);
    match splits.is_empty() && !recorded.is_empty() {
        true => of_source(heritage.job, watch, "resolve the start positions", |source| source.resolve()),
        false => Ok(splits),
    }
}

/// Puts splits at positions that Kafka has; one that no manifest knows gets its identity from the source.
fn place(
    job: &Job,
    watch: Watch<'_>,
    known: Vec<SplitState>,
    positions: Vec<(SplitId, i64)>,
) -> Result<Vec<SplitState>, Error> {
    let mut splits = known;
    if positions.is_empty() {
        return Ok(splits);
    }
    let found = of_source(job, watch, LOOK, |source| source.discover())?;
    for (split, position) in positions {
        match splits.iter_mut().find(|s| s.split == split) {
            Some(state) => (state.position, state.term) = (position, None),
            None => {
                let identity = found.iter().find(|s| s.split == split).and_then(|s| s.identity.clone());
                splits.push(SplitState { split, position, end: None, identity, term: None });
            }
        }
    }
    Ok(splits)
}

/// Cuts the log back to the restored record and brings the store up to it: redo only.
fn replay(job: &Job, watch: Watch<'_>, log: &mut Option<Box<dyn EpochLog>>, index: usize) -> Result<(), Error> {
    on_disk(job, watch, log, "restore the state", move |log, state| {
        log.cut_after(index)?;
        log.replay(state.applied().as_ref(), index, &mut |record, delta| {
            state.apply(record, vec![delta])?;
            Ok(crash_point!("mid-restore")?)
        })?;
        state.join()
    })
}
