//! What to do about a fault: recover in place with back-off, stop, or give way to a rival.
//!
//! | fault | what happens |
//! |---|---|
//! | transient | a new attempt, after a back-off; without end once the job has run, for 30 s before |
//! | fenced | the marker is read: a foreign attempt on it is a rival (exit 3); otherwise a new attempt |
//! | config | before the job has run it ends; later a new attempt, whose start judges again |
//! | corrupt | the job ends with the error, or with the rival's name where one holds the marker |
//! | user, bug | the job ends with the error |

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use tracing::warn;
use weir_checkpoint::Marker;
use weir_core::ports::{EpochLog, MarkerRead};
use weir_core::{AttemptId, Fault, SplitId};

use crate::attempt;
use crate::error::{Error, chain};
use crate::job::{Job, JobHandle};
use crate::metrics::JobMetrics;
use crate::status::JobState;

/// How long a first start may fail before the job gives up.
const START_WITHIN: Duration = Duration::from_secs(30);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// After so many commits of an attempt, time-outs are as configured again.
const CLEAN_COMMITS: u64 = 100;
const STRETCH_MAX: u32 = 4;
const BROKER_TIMEOUT_MAX: Duration = Duration::from_secs(900);
/// An attempt that lived this long starts the back-off anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

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

/// Runs attempts until the job is done. `Ok(true)`: stopped on request.
pub(crate) fn supervise(
    job: &Job,
    log: Box<dyn EpochLog>,
    handle: &JobHandle,
    metrics: &JobMetrics,
) -> Result<bool, Error> {
    let began = Instant::now();
    let mut ownership = Ownership::default();
    let mut backoff = BACKOFF_MIN;
    let mut stretch = 1;
    let mut log = Some(log);
    loop {
        let Some(open) = log.take() else { return Err(Error::Panicked("weir-log".into())) };
        for record in open.records() {
            // What this directory holds was written by its owner: this process, or one before it.
            if let Ok((manifest, _)) = weir_checkpoint::Manifest::decode(&record.manifest) {
                ownership.uses(manifest.attempt);
            }
        }
        let attempt_began = Instant::now();
        let epoch_before = handle.status().epoch.0;
        let (given_back, outcome) = attempt::run(job, open, &mut ownership, handle, metrics, stretch);
        log = given_back;
        let error = match outcome {
            Ok(stopped) => {
                job.state.flush().map_err(Error::port("failed to flush the state"))?;
                return Ok(stopped);
            }
            Err(error) => error,
        };
        let error = judge(job, handle, &ownership, error, began)?;
        let committed = handle.status().epoch.0.saturating_sub(epoch_before);
        stretch = next_stretch(stretch, committed, &error);
        job.sink.set_transaction_timeout(stretched(job.options.transaction_timeout, stretch));
        if attempt_began.elapsed() > HEALTHY_AFTER {
            backoff = BACKOFF_MIN;
        }
        warn!(error = %chain(&error), backoff_ms = backoff.as_millis(), "attempt failed; recovering in place");
        metrics.restarts.increment(1);
        handle.board.change(|status| {
            status.state = JobState::Recovering;
            status.restarts += 1;
            status.last_error = Some(chain(&error));
        });
        if !wait(handle, backoff) {
            return Err(Error::StoppedRecovering(Box::new(error)));
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// A slow epoch must not time out for ever: each time-out doubles what the next attempt may take, up to four times; some
/// commits in a row bring it back.
fn next_stretch(stretch: u32, committed: u64, error: &Error) -> u32 {
    let now = if committed >= CLEAN_COMMITS { 1 } else { stretch };
    let timed_out = matches!(error, Error::Stalled { .. }) || error.fault() == Fault::Fenced;
    if timed_out { (now * 2).min(STRETCH_MAX) } else { now }
}

/// Brokers allow 15 minutes unless told otherwise; what the user chose stays allowed.
fn stretched(timeout: Duration, stretch: u32) -> Duration {
    (timeout * stretch).min(timeout.max(BROKER_TIMEOUT_MAX))
}

/// `Ok(error)`: recover from it. `Err`: the job ends with it.
fn judge(job: &Job, handle: &JobHandle, ownership: &Ownership, error: Error, began: Instant) -> Result<Error, Error> {
    let status = handle.status();
    let has_run = status.epoch.0 > 0;
    match error.fault() {
        // While a rival runs, state and Kafka disagree: it is the rival that has to be named.
        Fault::Corrupt if matches!(error, Error::Refused(_)) && status.attempt.is_some() => {
            refuse_rival(job, handle, ownership)?;
            return Err(error);
        }
        // It was right at the start: a topic that is gone is for the next start to judge, with all its questions.
        Fault::Config if has_run => {}
        Fault::Config | Fault::User | Fault::Corrupt | Fault::Bug => return Err(error),
        Fault::Fenced if matches!(error, Error::Rival(_)) => return Err(error),
        Fault::Fenced => {
            refuse_rival(job, handle, ownership)?;
            // Somebody else may be starting this very moment: give the marker time to say so.
            wait(handle, job.options.transaction_timeout.mul_f64(random_fraction() / 2.0));
            refuse_rival(job, handle, ownership)?;
        }
        Fault::Transient => {}
    }
    if !job.source.is_replayable() && status.attempt.is_some() {
        let last = status.splits.first().map_or(0, |s| s.committed);
        return Err(Error::NotReplayable(format!("line {last} was the last one committed"), Box::new(error)));
    }
    if !has_run && began.elapsed() > START_WITHIN {
        return Err(Error::StartTimedOut(START_WITHIN, Box::new(error)));
    }
    Ok(error)
}

/// Fenced without a foreign attempt on the marker was the broker's own time-out.
fn refuse_rival(job: &Job, handle: &JobHandle, ownership: &Ownership) -> Result<(), Error> {
    let splits: Vec<_> = match &job.options.marker_place {
        attempt::MarkerPlace::Splits => {
            // Those that exist, and those that were read: a topic that has vanished hides no rival.
            let shown = handle.status().splits.into_iter().map(|s| SplitId { topic: s.topic, partition: s.partition });
            // A broker that does not answer says nothing about a rival.
            let found = job.source.discover().unwrap_or_default().into_iter().map(|s| s.split);
            found.chain(shown).collect::<BTreeSet<_>>().into_iter().collect()
        }
        attempt::MarkerPlace::Fixed(split) => vec![split.clone()],
        attempt::MarkerPlace::Nowhere => Vec::new(),
    };
    if splits.is_empty() {
        return Ok(());
    }
    let Ok(committed) = job.sink.read_marker(&splits, MarkerRead::Glance) else { return Ok(()) };
    let markers = committed.iter().filter_map(|c| Marker::parse(&c.metadata).ok());
    match markers.map(|m| m.attempt).find(|attempt| ownership.is_foreign(attempt)) {
        Some(rival) => Err(Error::Rival(rival)),
        None => Ok(()),
    }
}

/// Waits, unless the job is stopped. False when it is.
fn wait(handle: &JobHandle, time: Duration) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until && !handle.is_stopping() {
        std::thread::sleep(Duration::from_millis(10));
    }
    !handle.is_stopping()
}

/// 0..1, so that two instances do not act in step.
fn random_fraction() -> f64 {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}
