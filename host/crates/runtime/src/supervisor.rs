//! What to do about a fault: recover in place with back-off, stop, or give way to a rival.
//!
//! | fault | what happens |
//! |---|---|
//! | transient | a new attempt, as the restart strategy says; for 30 s at most before the job has run |
//! | denied | before the job has run it ends; later a new attempt: somebody may give the rights back |
//! | fenced | the marker is read: a foreign attempt on it is a rival (exit 3); otherwise a new attempt |
//! | config | before the job has run it ends; later a new attempt, whose start judges again |
//! | corrupt | the job ends with the error, or with the rival's name where one holds the marker |
//! | user, bug | the job ends with the error |

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;
use weir_checkpoint::{Course, Marker};
use weir_core::ports::{EpochLog, MarkerRead};
use weir_core::{AttemptId, Fault};

use crate::attempt;
use crate::coordinate::Ending;
use crate::error::{Error, Reason, chain};
use crate::job::{Job, JobHandle};
use crate::log_writer::JobLog;
use crate::metrics::JobMetrics;
use crate::restarts::{Decision, Failed, Restarts};
use crate::status::JobState;
use crate::watch::{Late, Watch, ms};

/// How long a first start may fail before the job gives up.
const START_WITHIN: Duration = Duration::from_secs(30);
/// After so many commits of an attempt, time-outs are as configured again.
const CLEAN_COMMITS: u64 = 100;
const STRETCH_MAX: u32 = 4;
/// Each thread or client that was left behind keeps its memory and its connections for ever: with so many of them a new
/// process does better.
const LEFT_BEHIND_MAX: usize = 8;

/// The attempts that this process used or restored: any other on the marker is a rival's.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    attempts: HashSet<AttemptId>,
}

impl Ownership {
    /// `attempt` is this process's.
    pub(crate) fn uses(&mut self, attempt: AttemptId) {
        self.attempts.insert(attempt);
    }

    fn is_foreign(&self, attempt: &AttemptId) -> bool {
        !self.attempts.contains(attempt)
    }
}

/// What goes from attempt to attempt.
pub(crate) struct Known {
    /// Who is no rival.
    pub ownership: Ownership,
    /// What runs.
    pub course: Course,
}

/// How a job ended well.
pub(crate) struct Ended {
    /// Why it did.
    pub ending: Ending,
    /// Whether all of it is in the store: the next start need not replay.
    pub flushed: bool,
}

/// Runs attempts until the job is done.
pub(crate) fn supervise(
    job: &Job,
    log: Box<dyn EpochLog>,
    handle: &JobHandle,
    metrics: &JobMetrics,
) -> Result<Ended, Error> {
    let began = weir_machine::now();
    let watch = Watch { handle, metrics };
    let mut known = Known { ownership: Ownership::default(), course: Course::new(job.wanted()) };
    let mut restarts = Restarts::new(job.options.restart);
    let mut stretch = 1;
    let log = JobLog::new(log);
    loop {
        let epoch_before = handle.status().epoch.0;
        let outcome = attempt::run(job, &log, &mut known, watch, stretch);
        let error = match outcome {
            Ok(ending) => return Ok(Ended { ending, flushed: flush(job, watch)? }),
            Err(error) => error,
        };
        handle.versions.interrupt();
        let mut ran = Duration::ZERO;
        handle.board.change(|status| {
            ran = status.running_since.take().map_or(Duration::ZERO, weir_machine::since);
            status.waiting = None;
            status.last_error = Some(chain(&error));
        });
        let error = judge(job, watch, &known, error, began)?;
        let left_behind = metrics.left_behind() + job.sources.iter().map(|s| s.connector.left_behind()).sum::<usize>();
        if left_behind >= LEFT_BEHIND_MAX {
            return Err(Error::LeftBehind(left_behind, Box::new(error)));
        }
        let committed = handle.status().epoch.0.saturating_sub(epoch_before);
        stretch = next_stretch(stretch, committed, &error);
        job.sink.stretch(stretch);
        let failed = Failed { at: weir_machine::since(began), ran, chance: weir_machine::fraction() };
        match restarts.failed(failed) {
            Decision::GiveUp(why) => return Err(Error::GaveUp(why, Box::new(error))),
            Decision::Retry { after, in_a_row } => {
                let left = START_WITHIN.saturating_sub(weir_machine::since(began));
                let left = (handle.status().epoch.0 == 0).then_some(left);
                back_off(watch, error, after, in_a_row, left)?;
            }
        }
    }
}

/// Saves the next start the replay, if the disk is quick enough: everything is committed and in the log already. A stop
/// does not fail for it.
fn flush(job: &Job, watch: Watch<'_>) -> Result<bool, Error> {
    let state = Arc::clone(&job.state);
    match watch.port("flush the state", (job.options.bounds.disk, Late::End), move || state.flush()) {
        Ok(()) => Ok(true),
        Err(Error::StopTimedOut(_)) => {
            warn!("everything is committed, but the store was not flushed in time: the next start replays the log");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Tells everybody that there will be another attempt, and waits for its time.
///
/// `left`: how long it is still tried, where the job has not run yet. Then the cause is told once.
fn back_off(
    watch: Watch<'_>,
    error: Error,
    after: Duration,
    in_a_row: u32,
    left: Option<Duration>,
) -> Result<(), Error> {
    let Watch { handle, metrics } = watch;
    let reason = Reason::of(&error);
    metrics.restarted(reason);
    let mut restart = 0;
    handle.board.change(|status| {
        status.state = JobState::Recovering;
        status.restarts += 1;
        restart = status.restarts;
        status.next_attempt = Some(in_time(after));
    });
    let (reason, delay_ms, error_text) = (reason.word(), ms(after), chain(&error));
    match left {
        None => warn!(restart, in_a_row, reason, delay_ms, error = %error_text, "attempt failed; recovering in place"),
        Some(left) if in_a_row == 1 => warn!("cannot start yet: {error_text}; trying for {} s", left.as_secs()),
        Some(left) => warn!("not started yet; trying for another {} s", left.as_secs()),
    }
    let goes_on = wait(handle, after);
    handle.board.change(|status| status.next_attempt = None);
    if goes_on { Ok(()) } else { Err(Error::StoppedRecovering(Box::new(error))) }
}

/// A slow epoch must not time out for ever: each time-out doubles what the next attempt may take, up to four times; some
/// commits in a row bring it back.
fn next_stretch(stretch: u32, committed: u64, error: &Error) -> u32 {
    // Not everybody outside allows a stretched time-out: what is refused is not asked for again.
    let is_refused = error.fault() == Fault::Config;
    let now = if committed >= CLEAN_COMMITS || is_refused { 1 } else { stretch };
    let timed_out = matches!(error, Error::Stalled { .. }) || error.fault() == Fault::Fenced;
    if timed_out { (now * 2).min(STRETCH_MAX) } else { now }
}

/// `Ok(error)`: recover from it. `Err`: the job ends with it.
fn judge(job: &Job, watch: Watch<'_>, known: &Known, error: Error, began: Instant) -> Result<Error, Error> {
    let handle = watch.handle;
    let status = handle.status();
    let has_run = status.epoch.0 > 0;
    match error.fault() {
        // While a rival runs, state and marker disagree: it is the rival that has to be named.
        Fault::Corrupt if matches!(error, Error::Refused { .. }) && status.attempt.is_some() => {
            refuse_rival(job, watch, known)?;
            return Err(error);
        }
        // No later start would find it otherwise.
        Fault::Config if matches!(error, Error::Shared(_)) => return Err(error),
        // It was right at the start: what is gone is for the next start to judge, with all its questions.
        Fault::Config | Fault::Denied if has_run => {}
        Fault::Config | Fault::Denied | Fault::User | Fault::Corrupt | Fault::Bug => return Err(error),
        Fault::Fenced if matches!(error, Error::Rival(_)) => return Err(error),
        Fault::Fenced => {
            refuse_rival(job, watch, known)?;
            // Somebody else may be starting this very moment: give the marker time to say so.
            wait(handle, job.options.commit_within.mul_f64(weir_machine::fraction() / 2.0));
            refuse_rival(job, watch, known)?;
        }
        Fault::Transient => {}
    }
    let lost = job.sources.iter().find(|source| !source.connector.is_replayable());
    if let (Some(lost), true) = (lost, status.attempt.is_some()) {
        let last = status.splits.iter().find(|split| split.source == lost.name).map_or(0, |s| s.committed);
        return Err(Error::NotReplayable(format!("line {last} was the last one committed"), Box::new(error)));
    }
    if !has_run && weir_machine::since(began) > START_WITHIN {
        return Err(Error::StartTimedOut(START_WITHIN, Box::new(error)));
    }
    Ok(error)
}

/// Fenced without a foreign attempt on the marker was a time-out outside.
fn refuse_rival(job: &Job, watch: Watch<'_>, known: &Known) -> Result<(), Error> {
    let bound = (job.options.bounds.call, Late::Abandon);
    let mut splits: BTreeSet<_> = match &job.options.marker_place {
        attempt::MarkerPlace::Splits => {
            // Those that exist, and those that were read: a split that has vanished hides no rival.
            let shown = watch.handle.status().splits.into_iter();
            let shown = shown.filter(|s| job.sources.iter().any(|source| source.marked && source.name == s.source));
            let shown = shown.map(|s| s.split);
            // Who does not answer says nothing about a rival.
            let found = job.sources.iter().filter(|source| source.marked).flat_map(|source| {
                let connector = Arc::clone(&source.connector);
                watch.port("look at the source", bound, move || connector.discover()).unwrap_or_default()
            });
            let found = found.map(|s| s.split);
            found.chain(shown).collect()
        }
        attempt::MarkerPlace::Fixed(split) => BTreeSet::from([split.clone()]),
        attempt::MarkerPlace::Nowhere => BTreeSet::new(),
    };
    // Who runs the pipeline that this process is to change commits where that puts its marker.
    splits.extend(known.course.leaves().into_iter().flat_map(|plan| plan.carriers().cloned()));
    let splits: Vec<_> = splits.into_iter().collect();
    if splits.is_empty() {
        return Ok(());
    }
    let sink = Arc::clone(&job.sink);
    let read = move || sink.read_marker(&splits, MarkerRead::Glance);
    let Ok(committed) = watch.port("read the marker", bound, read) else { return Ok(()) };
    let markers = committed.iter().filter_map(|c| Marker::parse(&c.metadata).ok());
    match markers.map(|m| m.attempt).find(|attempt| known.ownership.is_foreign(attempt)) {
        Some(rival) => Err(Error::Rival(rival)),
        None => Ok(()),
    }
}

/// Waits, unless the job is stopped. False when it is.
fn wait(handle: &JobHandle, time: Duration) -> bool {
    let until = in_time(time);
    while weir_machine::now() < until && !handle.is_stopping() {
        weir_machine::sleep(Duration::from_millis(10));
    }
    !handle.is_stopping()
}

/// The moment after `time`; for a time that no clock reaches, one that nobody waits for.
fn in_time(time: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    let now = weir_machine::now();
    now.checked_add(time).unwrap_or_else(|| now + FOR_EVER)
}
