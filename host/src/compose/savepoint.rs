//! State on the move: a savepoint of a stopped job, and a start from one.

use std::path::Path;

use anyhow::Result;
use tracing::{info, warn};
use weir_checkpoint::{Manifest, Start, survey};
use weir_core::{AttemptId, Fault, JobName, PortError, RecordId};
use weir_pipeline::plan::{Plan, StateDir as PlannedDir};
use weir_state::{Held, Progress, Restoring, Savepoint, StateDir, StateView, StoreView};

use super::SHARD;
use super::cluster::{Brokers, Cluster};
use super::directory::{Records, manifests};

/// Writes all state in `path` to the new directory `out`. The lock is held meanwhile: the job must not run.
pub fn write(path: &Path, out: &Path, brokers: Option<&Brokers>, progress: Progress<'_>) -> Result<Savepoint> {
    let view = StateView::open(path).map_err(PortError::from)?;
    let dir = StateDir::open(path, view.job(), view.shard()).map_err(PortError::from)?;
    let log = view.log().map_err(PortError::from)?;
    let records = manifests(log.as_log())?;
    let store = view.store().map_err(PortError::from)?;
    let Some((last, _)) = records.last() else {
        let text = format!("{} holds no epoch yet: there is nothing to save", path.display());
        return Err(PortError::new(Fault::Corrupt, text).into());
    };
    let index = match brokers {
        Some(brokers) => marked(&view, brokers, &records, store.applied())?,
        None => survey::certain(&records, store.applied()),
    };
    if index.is_none() {
        warn!(
            last = last.epoch.0,
            applied = store.applied().map_or(0, |record| record.epoch.0),
            "the last epochs may or may not have been committed: the marker decides when the job starts from this \
             savepoint, and no other job can; to be certain, give --brokers, or start the job and stop it with SIGTERM"
        );
    }
    readable(store, &log, records.len() - 1)?;
    let holds = index.and_then(|index| records.get(index)).map(|(manifest, digest)| Held {
        epoch: manifest.epoch,
        attempt: manifest.attempt.clone(),
        digest: digest.clone(),
    });
    Ok(Savepoint::write(&dir, out, holds, progress).map_err(PortError::from)?)
}

/// The record that the marker names. A directory that could not be started from is not worth a savepoint.
fn marked(view: &StateView, brokers: &Brokers, records: &Records, applied: Option<&RecordId>) -> Result<Option<usize>> {
    let committed = Cluster::new(brokers, view.job(), view.shard())?.committed()?;
    let start = survey::start(view.job(), view.shard(), records, &committed, applied);
    match start.map_err(|refusal| weir_runtime::Error::Refused { refusal, home: None })? {
        Start::Resume { index, .. } => Ok(Some(index)),
        Start::First | Start::FirstAgain | Start::FromMarker { .. } => Ok(None),
    }
}

/// Reads everything once, so that no savepoint is made of what cannot be read.
fn readable(store: StoreView, log: &weir_state::LogView, last: usize) -> Result<()> {
    store.as_of(log, last)?.each(|_| Ok::<_, weir_state::Error>(())).map_err(PortError::from)?;
    Ok(())
}

/// Restores the savepoint in `path` to the state directory of `plan`, unless that went on from it before: then it is false.
pub fn restore(plan: &Plan, path: &Path, progress: Progress<'_>) -> Result<bool> {
    let PlannedDir::Kept(dir) = &plan.state.dir else {
        let text = "--from-savepoint needs a state directory that is kept: give --state-dir or --job";
        return Err(PortError::new(Fault::Config, text).into());
    };
    let savepoint = Savepoint::open(path).map_err(PortError::from)?;
    let is_fork = *savepoint.job() != plan.job;
    if savepoint.shard() != SHARD {
        let text = format!("the savepoint is of shard {}, and this is shard {SHARD}", savepoint.shard());
        return Err(PortError::new(Fault::Corrupt, text).into());
    }
    let held = savepoint.holds().filter(|_| is_fork);
    if is_fork && held.is_none() {
        return Err(uncertain(&savepoint, &plan.job).into());
    }
    let Some(restoring) = savepoint.restore(dir, &plan.job, SHARD, progress).map_err(PortError::from)? else {
        info!(dir = %dir.display(), "the state directory went on from this savepoint before; going on from there");
        return Ok(false);
    };
    if let Some(held) = held {
        fork(&restoring, held, plan)?;
    }
    restoring.finish().map_err(PortError::from)?;
    info!(dir = %dir.display(), savepoint = %savepoint.digest(), from = %savepoint.job(), "restored from the savepoint");
    Ok(true)
}

fn uncertain(savepoint: &Savepoint, job: &JobName) -> PortError {
    let text = format!(
        "the savepoint of job {old} does not say which of its last epochs was committed, so job {job} cannot begin with \
         it: some output of {old} would be missing or repeated; start {old} from it and stop it with SIGTERM, or make \
         the savepoint with --brokers",
        old = savepoint.job(),
    );
    PortError::new(Fault::Corrupt, text)
}

/// Makes what was restored the beginning of another job, with the state of the epoch that holds and one record that
/// nothing of the new job precedes.
fn fork(restoring: &Restoring, held: &Held, plan: &Plan) -> Result<()> {
    let records = manifests(restoring.log().map_err(PortError::from)?.as_ref())?;
    let found = records.iter().enumerate().find(|(_, (_, digest))| *digest == held.digest);
    let Some((index, (manifest, digest))) = found else {
        let text = format!("the savepoint's log does not hold epoch {} of attempt {}", held.epoch, held.attempt);
        return Err(PortError::new(Fault::Corrupt, text).into());
    };
    let attempt = AttemptId(weir_machine::unique());
    let forked: Manifest = manifest.fork(digest.clone(), plan.job.clone(), attempt);
    let first = (forked.epoch, forked.plan.bytes.clone(), &*forked.encode().0);
    Ok(restoring.fork(index, first, plan.state.memory_bytes)?)
}
