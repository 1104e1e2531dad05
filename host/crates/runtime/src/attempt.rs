//! One life of the engine between two recoveries: find the epoch that holds, fence rivals, restore it, start the tasks,
//! run, and take everything down again. Start and recovery are this same path.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use weir_checkpoint::epochs::{Beginning, Opening};
use weir_checkpoint::inherit::Note;
pub use weir_checkpoint::resolve::MarkerPlace;
use weir_checkpoint::{Course, Manifest, SourceEntry, Times, manifest, shared};
use weir_core::ports::{EpochLog, SourceConnector, SourceReader, StateStore};
use weir_core::{AttemptId, Digest, Epoch, PortError, SplitState, crash_point};
use weir_machine::channel::{Receiver, Sender, bounded};

use crate::coordinate::{Ending, Loop, Shown};
use crate::error::{Error, chain};
use crate::job::{Job, SourceSetup};
use crate::log_writer::{JobLog, LogWriter};
use crate::signals::{Signals, TaskEvent};
use crate::status::JobState;
use crate::supervisor::Known;
use crate::task::sink::SinkTask;
use crate::task::source::SourceTask;
use crate::watch::{GONE_WITHIN, Late, Watch, ms};

mod heritage;
mod restore;
mod runners;
mod tasks;
mod wiring;

use heritage::{Decided, Glanced, tell, tell_taken_over};
pub use restore::check_store;
use restore::{Restored, restore};
pub(crate) use tasks::TaskTime;

/// How long tasks may take to leave when an attempt is over; what stays longer is left behind.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// Events of a few tasks, a few each: full only if the coordinator is stuck.
const EVENTS_MAX: usize = 1024;
/// How often a pattern that matches nothing yet is looked at.
const FIRST_SPLIT_EVERY: Duration = Duration::from_millis(100);

const LOOK: &str = "look at the source";

/// Runs one attempt.
pub(crate) fn run(job: &Job, log: &JobLog, known: &mut Known, watch: Watch<'_>, stretch: u32) -> Result<Ending, Error> {
    match prepare(job, log, known, watch)? {
        Some(prepared) => start(job, log, prepared, watch)?.run(job, watch, stretch),
        None if watch.handle.is_stopping() => Ok(Ending::Stopped),
        None => Ok(Ending::Done),
    }
}

/// Does `work` on the log (and the store) while the clock is watched: a disk may hang, too. One that does keeps the log.
fn on_disk<T: Send + 'static>(
    job: &Job,
    watch: Watch<'_>,
    log: &JobLog,
    what: &'static str,
    work: impl FnOnce(&mut dyn EpochLog, &dyn StateStore) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (log, state) = (log.clone(), Arc::clone(&job.state));
    let done =
        watch.call(what, (job.options.bounds.disk, Late::End), move || work(log.hold()?.as_mut(), state.as_ref()))?;
    done.map_err(|error| match error {
        Error::Port { source, .. } => Error::Waited { what, source },
        other => other,
    })
}

/// Asks a source, while the clock is watched.
fn of_source<T: Send + 'static>(
    job: &Job,
    source: &SourceSetup,
    watch: Watch<'_>,
    what: &'static str,
    ask: impl FnOnce(&dyn SourceConnector) -> Result<T, PortError> + Send + 'static,
) -> Result<T, Error> {
    let source = Arc::clone(&source.connector);
    watch.port(what, (job.options.bounds.call, Late::Abandon), move || ask(source.as_ref()))
}

/// An attempt that owns the job and has its first record in the log.
struct Prepared {
    /// In the order of the sources.
    readers: Vec<Box<dyn SourceReader>>,
    plugins: runners::Plugins,
    opening: Opening,
}

/// Finds and restores the epoch that holds, and writes the attempt's first record. `None`: there is nothing to run (a
/// bounded read of a pattern that matches nothing), or the job was stopped meanwhile.
fn prepare(job: &Job, log: &JobLog, known: &mut Known, watch: Watch<'_>) -> Result<Option<Prepared>, Error> {
    let began = weir_machine::now();
    let handle = watch.handle;
    let manifests = read_log(job, watch, log)?;
    // What this directory holds was written by its owner: this process, or one before it.
    manifests.iter().for_each(|(manifest, _)| known.ownership.uses(manifest.attempt.clone()));
    let offered = handle.versions.look_for(&known.course.taken_over(&manifests));
    known.course.offer(offered.iter().map(|setup| setup.declared(job.key_of(setup))).collect());
    let glanced = Glanced::new(job, &known.course, watch, &manifests)?;
    debug!(ms = ms(weir_machine::since(began)), "marker read");
    let fenced = glanced.fence(watch)?;
    debug!(ms = ms(weir_machine::since(began)), "fenced");
    let Decided { heritage, start } = fenced.decide(&known.course, watch)?;
    let mut restored = restore(&heritage, known, watch, log, start)?;
    if restored.has_old_bounds {
        renew_bounds(job, watch, &mut restored)?;
    }
    debug!(ms = ms(weir_machine::since(began)), "restored");
    crash_point!("restored")?;
    if !wait_for_split(job, watch, &mut restored.splits)? {
        return Ok(None);
    }
    let mut readers = Vec::new();
    for (source, splits) in job.sources.iter().zip(&mut restored.splits) {
        let from = std::mem::take(splits);
        let mut reader = of_source(job, source, watch, "open the source", move |source| source.open(from))?;
        *splits = reader.snapshot();
        readers.push(reader);
    }
    let replaces = restored.first;
    let held = restored.after.as_ref().map_or(Epoch::default(), |held| held.epoch);
    handle.versions.learn(&manifests, held);
    let held_plan = restored.times_of.as_ref().map(|held| Arc::clone(&held.plan));
    let (mut beginning, notes) = beginning(job, &mut known.course, restored)?;
    handle.versions.amend(&mut beginning.plan)?;
    // Before the first record is written: a plugin that does not open leaves no trace of this start's settings.
    let heirs = handle.versions.run(&beginning.plan, held_plan.as_ref().map(|plan| &***plan), held)?;
    tell_taken_over(&heirs.running, watch);
    let plugins = runners::Plugins::open(job, (heirs, held), &beginning.plan.graph)?;
    tell(&notes, watch);
    let opening = Opening::new(beginning);
    write_first(job, watch, log, &opening, replaces)?;
    let attempt = &opening.manifest().attempt;
    known.ownership.uses(attempt.clone());
    handle.board.change(|status| {
        status.attempt = Some(attempt.clone());
        for (shown, setup) in status.operators.iter_mut().zip(handle.versions.running()) {
            shown.plugin = setup.entry();
        }
        status.records_read_in_attempt = 0;
        status.state = JobState::Starting;
    });
    debug!(ms = ms(weir_machine::since(began)), "first record written");
    Ok(Some(Prepared { readers, plugins, opening }))
}

/// What the log says, oldest first; each record is read and let go.
fn read_log(job: &Job, watch: Watch<'_>, log: &JobLog) -> Result<Vec<(Manifest, Digest)>, Error> {
    on_disk(job, watch, log, "read the epoch log", |log, _| {
        let mut reader = manifest::Reader::default();
        (0..log.records().len()).map(|at| reader.read(&log.manifest(at)?, || Ok(log.plan(at)?))).collect()
    })
}

/// A pattern that matches nothing yet has nothing to commit: its first epoch waits for the first split. False when
/// there will be none, and so nothing to do; other sources cannot be read without a split that carries the marker.
fn wait_for_split(job: &Job, watch: Watch<'_>, splits: &mut [Vec<SplitState>]) -> Result<bool, Error> {
    let mut told = false;
    let carry = |splits: &[Vec<SplitState>]| {
        job.sources.iter().zip(splits).any(|(source, splits)| source.marked && !splits.is_empty())
    };
    while job.options.marker_place == MarkerPlace::Splits && !carry(splits) {
        let is_bounded = job.sources.iter().all(|source| source.connector.is_bounded());
        let unread = job.sources.iter().find(|source| !source.marked);
        match unread {
            _ if watch.handle.is_stopping() => return Ok(false),
            Some(unread) if is_bounded => return Err(Error::Markerless(unread.name.clone())),
            None if is_bounded => {
                info!("nothing matches what is to be read");
                return Ok(false);
            }
            _ => {}
        }
        if !std::mem::replace(&mut told, true) {
            info!("nothing matches yet what is to be read; waiting for the first");
        }
        weir_machine::sleep(FIRST_SPLIT_EVERY);
        for (source, splits) in job.sources.iter().zip(&mut *splits).filter(|(source, _)| source.marked) {
            *splits = of_source(job, source, watch, LOOK, appeared)?;
        }
    }
    Ok(true)
}

/// What there is by now of a source that found nothing at first: from its beginning, and to the bound that it has now.
fn appeared(source: &dyn SourceConnector) -> Result<Vec<SplitState>, PortError> {
    match source.discover()? {
        found if found.is_empty() => Ok(found),
        found => source.resume(found),
    }
}

/// A start that is another process than the one before has its own bounds.
fn renew_bounds(job: &Job, watch: Watch<'_>, restored: &mut Restored) -> Result<(), Error> {
    // What was read to its end is not read further before the rest of the job has ended, too.
    let is_kept = |source: &SourceSetup, splits: &[SplitState]| {
        !restored.has_ended && source.connector.is_bounded() && splits.iter().all(SplitState::is_finished)
    };
    for (source, splits) in job.sources.iter().zip(&mut restored.splits) {
        if is_kept(source, splits) {
            continue;
        }
        let old = std::mem::take(splits);
        *splits = of_source(job, source, watch, "resolve the bounds", move |source| source.resume(old))?;
    }
    Ok(())
}

/// What the attempt begins with, and what there is to tell of it.
fn beginning(job: &Job, course: &mut Course, restored: Restored) -> Result<(Beginning, Vec<Note>), Error> {
    let Restored { splits, after, times_of, is_unread, .. } = restored;
    let source = |(source, splits): (&SourceSetup, Vec<SplitState>)| SourceEntry {
        name: source.name.clone(),
        marked: source.marked,
        start: is_unread.then(|| source.connector.start()),
        splits,
    };
    let sources: Vec<_> = job.sources.iter().zip(splits).map(source).collect();
    if let Some(shared) = shared(&sources) {
        return Err(shared.into());
    }
    let attempt = AttemptId(weir_machine::unique());
    let (plan, notes) = course.plan(&attempt, &sources)?;
    let ids = plan.operators.iter().map(|operator| operator.id);
    let times = times_of.map(|epoch| Times::after(&epoch, &sources, ids)).unwrap_or_default();
    let (name, shard, delivery) = (job.options.name.clone(), job.options.shard, job.options.delivery);
    Ok((Beginning { job: name, shard, attempt, delivery, after, plan, sources, times }, notes))
}

/// The attempt's first epoch is empty: it commits the restored positions under the new attempt. Its record is appended to
/// the log, or `replaces` what is there.
fn write_first(job: &Job, watch: Watch<'_>, log: &JobLog, opening: &Opening, replaces: bool) -> Result<(), Error> {
    let record = opening.record().clone();
    on_disk(job, watch, log, "write the first record of the attempt", move |log, _| {
        log.set_plan(&record.plan.bytes);
        match replaces {
            true => log.replace(record.id.epoch, &record.manifest)?,
            false => log.append(record.id.epoch, &record.manifest, &[], true)?,
        }
        Ok(())
    })
}

/// Threads of a running attempt.
struct Running {
    tasks: tasks::Tasks,
    log: LogWriter,
    signals: Arc<Signals>,
    events: Receiver<TaskEvent>,
    opening: Opening,
}

fn start(job: &Job, log: &JobLog, prepared: Prepared, watch: Watch<'_>) -> Result<Running, Error> {
    let Prepared { readers, plugins, opening } = prepared;
    let signals = Arc::new(Signals::new(job.sources.iter().map(|source| source.name.clone())));
    let (events, inbox): (Sender<TaskEvent>, _) = bounded(EVENTS_MAX);
    // Those that did start leave.
    let cancelled = |error| {
        signals.cancel();
        error
    };
    let started = tasks::start(job, (readers, plugins), opening.manifest(), &signals, &events, watch);
    let tasks = started.map_err(cancelled)?;
    match LogWriter::start(log.clone(), events, watch.metrics.log_bytes.clone()) {
        Ok(log) => Ok(Running { tasks, log, signals, events: inbox, opening }),
        Err(error) => {
            signals.cancel();
            drop(tasks.leave(LEAVE_WITHIN));
            Err(Error::Thread(error))
        }
    }
}

impl Running {
    fn run(mut self, job: &Job, Watch { handle, metrics }: Watch<'_>, stretch: u32) -> Result<Ending, Error> {
        let signals = Arc::clone(&self.signals);
        let coordinator = Loop {
            options: &job.options,
            handle,
            metrics,
            signals: Arc::clone(&self.signals),
            events: self.events,
            sink: self.tasks.sink_commands.clone(),
            log: &self.log,
            state: job.state.as_ref(),
            sealers: self.tasks.sealers,
            stretch,
            shown: Shown::new(handle, metrics, self.signals, job, std::mem::take(&mut self.tasks.times)),
        };
        let outcome = coordinator.run(self.opening);
        signals.cancel();
        let left = || match handle.stopping_for() {
            None => LEAVE_WITHIN,
            Some(stopping) => GONE_WITHIN.saturating_sub(stopping).min(LEAVE_WITHIN),
        };
        let abandoned = self.tasks.leave(left());
        if !abandoned.is_empty() {
            let names: Vec<_> = abandoned.iter().filter_map(|thread| thread.thread().name()).collect();
            warn!(threads = ?names, "threads did not come back and were left behind");
            metrics.leave_behind(abandoned);
        }
        match (self.log.finish(left()), outcome) {
            (Ok(()), outcome) => outcome,
            // Without the log there is no next attempt, whatever ended this one.
            (Err(error), outcome) => {
                if let Err(first) = outcome {
                    warn!(error = %chain(&first), "the attempt failed");
                }
                Err(error)
            }
        }
    }
}
