//! What a failure is followed by: another attempt as the strategy says, or an end with its own error. And whatever call
//! never comes back, the job goes on without it or says so: nothing waits for ever unseen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_core::{Fault, Restart, SplitId};
use weir_runtime::{Error, Job, JobState, MarkerPlace, Summary};

use crate::world::{Failure, Hang, MemoryLog, MemoryState, World};
use crate::{KEYS, PARTITIONS, RECORDS, job};

fn world(failures: &[(u64, Failure)]) -> Arc<World> {
    Arc::new(World::new(PARTITIONS, RECORDS, KEYS, failures))
}

fn run(world: &Arc<World>, job: &Job) -> Result<Summary, Error> {
    let handle = job.handle();
    let outcome = job.run(Box::new(MemoryLog::on(world)), &handle);
    let status = handle.status();
    assert!(status.waiting.is_none() && status.next_attempt.is_none(), "{status:?}");
    outcome
}

#[test]
fn a_strategy_that_endures_no_more_ends_the_job_with_the_cause() {
    let (delay, reset_after) = (Duration::from_millis(1), Duration::from_secs(60));
    for (restart, failures, restarts) in [
        (Restart::Never, 1, 0),
        (Restart::Fixed { delay, attempts: Some(2), reset_after }, 3, 2),
        (Restart::FailureRate { failures: 1, within: reset_after, delay }, 2, 1),
    ] {
        let due: Vec<_> = (0..failures).map(|commit| (commit, Failure::BeforeCommit)).collect();
        let world = world(&due);
        let mut job = job(&world, 1);
        job.options.restart = restart;
        let handle = job.handle();
        let error = job.run(Box::new(MemoryLog::default()), &handle).unwrap_err();
        assert!(matches!(&error, Error::GaveUp(..)), "{restart:?}: {error}");
        assert_eq!(error.fault(), Fault::User);
        let causes = [error.to_string(), handle.status().last_error.unwrap()].join(": ");
        assert!(causes.contains("gave up") && causes.contains("the commit timed out"), "{causes}");
        assert_eq!((handle.status().restarts, handle.status().state), (restarts, JobState::Failed), "{restart:?}");
    }
}

#[test]
fn one_failure_less_is_endured() {
    let (delay, reset_after) = (Duration::from_millis(1), Duration::from_secs(60));
    for restart in [
        Restart::Fixed { delay, attempts: Some(2), reset_after },
        Restart::FailureRate { failures: 2, within: reset_after, delay },
    ] {
        let world = world(&[(0, Failure::BeforeCommit), (3, Failure::AfterCommit)]);
        let mut job = job(&world, 1);
        job.options.restart = restart;
        assert_eq!(run(&world, &job).unwrap().restarts, 2);
        world.assert_exact();
    }
}

#[test]
fn a_delay_is_kept_and_shown_and_a_stop_does_not_wait_for_it() {
    let world = world(&[(2, Failure::BeforeCommit)]);
    let mut job = job(&world, 1);
    let delay = Duration::from_secs(600);
    job.options.restart = Restart::Fixed { delay, attempts: None, reset_after: delay };
    let handle = job.handle();
    let watcher = handle.clone();
    let stopper = std::thread::spawn(move || {
        let seen = loop {
            let status = watcher.status();
            if status.state == JobState::Recovering && status.next_attempt.is_some() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        watcher.stop();
        seen
    });
    let error = job.run(Box::new(MemoryLog::default()), &handle).unwrap_err();
    let seen = stopper.join().unwrap();
    assert!(matches!(error, Error::StoppedRecovering(_)), "{error}");
    assert_eq!(seen.restarts, 1);
    assert!(seen.last_error.unwrap().contains("the commit timed out"));
    let left = seen.next_attempt.unwrap().saturating_duration_since(Instant::now());
    assert!(left > delay / 2 && left <= delay, "{left:?}");
}

#[test]
fn rights_that_are_taken_away_are_waited_for_once_the_job_has_run() {
    let taken = world(&[(2, Failure::Denied), (3, Failure::Denied)]);
    assert_eq!(run(&taken, &job(&taken, 1)).unwrap().restarts, 2);
    taken.assert_exact();
    let never_given = world(&[(0, Failure::Denied)]);
    let error = run(&never_given, &job(&never_given, 1)).unwrap_err();
    assert_eq!(error.fault(), Fault::Denied, "{error}");
}

#[test]
fn a_rival_is_known_by_its_marker_where_the_changed_pipeline_no_longer_puts_one() {
    // The first output topic has another name; who still writes to the old one commits before the new pipeline does.
    let world = Arc::new(World::with_sources(&[false], (PARTITIONS, RECORDS, KEYS), &[(3, Failure::User)]));
    let log = MemoryLog::on(&world);
    let writing_to = |topic: &str| {
        let mut job = job(&world, 1);
        job.options.marker_place = MarkerPlace::Fixed(SplitId::new(topic, 0));
        job
    };
    let before = writing_to("out");
    before.run(Box::new(log.clone()), &before.handle()).unwrap_err();
    world.fail_next(Failure::Rival);
    let changed = writing_to("counts");
    let error = changed.run(Box::new(log.reopened()), &changed.handle()).unwrap_err();
    assert!(matches!(&error, Error::Rival(attempt) if attempt.0 == "somebody-else"), "{error}");
    assert_eq!(error.fault(), Fault::Fenced);
}

#[test]
fn a_failure_of_the_jobs_own_ends_it_at_once() {
    let world = world(&[(2, Failure::User)]);
    let error = run(&world, &job(&world, 1)).unwrap_err();
    assert_eq!(error.fault(), Fault::User, "{error}");
    assert!(!matches!(error, Error::GaveUp(..)), "{error}");
}

#[test]
fn a_call_of_a_start_that_hangs_is_left_behind() {
    for call in [Hang::Discover, Hang::Marker, Hang::OpenSource, Hang::OpenSinks] {
        let world = world(&[]);
        world.hang(call, 0);
        let summary = run(&world, &job(&world, 2)).unwrap_or_else(|error| panic!("{call:?}: {error}"));
        world.assert_exact();
        assert_eq!(summary.restarts, 1, "{call:?}");
    }
}

#[test]
fn a_call_of_a_recovery_that_hangs_is_left_behind() {
    for (call, after) in [(Hang::Discover, 1), (Hang::Marker, 2), (Hang::OpenSource, 1), (Hang::OpenSinks, 1)] {
        let world = world(&[(2, Failure::BeforeCommit)]);
        world.hang(call, after);
        let summary = run(&world, &job(&world, 2)).unwrap_or_else(|error| panic!("{call:?}: {error}"));
        world.assert_exact();
        assert_eq!(summary.restarts, 2, "{call:?}");
    }
}

#[test]
fn fencing_that_hangs_ends_the_job_for_it_could_fence_its_successor() {
    let world = world(&[]);
    world.hang(Hang::Fence, 0);
    let error = run(&world, &job(&world, 1)).unwrap_err();
    assert!(matches!(error, Error::Stuck { what: "fence earlier attempts", .. }), "{error}");
    assert_eq!(error.fault(), Fault::User);
}

#[test]
fn a_log_that_hangs_ends_the_job_in_time() {
    // The first record of the attempt, and one of an epoch under way.
    for after in [0, 4] {
        let world = world(&[]);
        world.hang(Hang::Log, after);
        let began = Instant::now();
        let error = run(&world, &job(&world, 1)).unwrap_err();
        assert!(matches!(error, Error::Stuck { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[test]
fn a_store_that_hangs_ends_the_job_in_time() {
    let world = world(&[]);
    let state = Arc::new(MemoryState::default());
    state.settings.is_stuck.store(true, Ordering::Relaxed);
    let mut job = job(&world, 1);
    job.state = state;
    let error = run(&world, &job).unwrap_err();
    assert!(matches!(error, Error::Stuck { .. }), "{error}");
}

#[test]
fn a_store_without_room_for_a_while_costs_time_only() {
    let world = world(&[]);
    let state = Arc::new(MemoryState::default());
    let mut job = job(&world, 1);
    job.state = Arc::clone(&state) as _;
    let handle = job.handle();
    let watcher = handle.clone();
    let blocker = std::thread::spawn(move || {
        while watcher.status().epoch.0 < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        state.settings.is_stuck.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(300));
        state.settings.is_stuck.store(false, Ordering::Relaxed);
    });
    let summary = job.run(Box::new(MemoryLog::default()), &handle).unwrap();
    blocker.join().unwrap();
    world.assert_exact();
    assert_eq!(summary.restarts, 0);
}

#[test]
fn too_many_calls_that_hang_end_the_process_so_that_a_clean_one_can_go_on() {
    let world = world(&[]);
    for _ in 0..20 {
        world.hang(Hang::Discover, 0);
    }
    let mut job = job(&world, 1);
    job.options.bounds.call = Duration::from_millis(50);
    let error = run(&world, &job).unwrap_err();
    assert!(matches!(error, Error::LeftBehind(8, _)), "{error}");
    assert_eq!(error.fault(), Fault::User);
}

#[test]
fn a_stop_whose_flush_is_slow_has_still_committed_everything() {
    let world = world(&[]);
    let state = Arc::new(MemoryState::default());
    state.settings.flush_hangs.store(true, Ordering::Relaxed);
    let mut job = job(&world, 1);
    job.state = state;
    job.options.bounds.disk = Duration::from_secs(300);
    let handle = job.handle();
    let stopper = handle.clone();
    let stop = std::thread::spawn(move || {
        while stopper.status().epoch.0 < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        stopper.stop();
    });
    let began = Instant::now();
    let summary = job.run(Box::new(MemoryLog::default()), &handle).expect("a flush saves a replay and nothing else");
    stop.join().unwrap();
    assert!(summary.stopped && !summary.flushed);
    assert!(began.elapsed() < Duration::from_secs(9), "within the time of a stop: {:?}", began.elapsed());
}

#[test]
fn a_delay_that_no_clock_reaches_is_waited_for_until_a_stop() {
    let world = world(&[(0, Failure::BeforeCommit)]);
    let mut job = job(&world, 1);
    let delay = Duration::from_secs(u64::MAX);
    job.options.restart = Restart::Fixed { delay, attempts: None, reset_after: delay };
    let handle = job.handle();
    let watcher = handle.clone();
    let stop = std::thread::spawn(move || {
        while watcher.status().state != JobState::Recovering {
            std::thread::sleep(Duration::from_millis(1));
        }
        watcher.stop();
    });
    let error = job.run(Box::new(MemoryLog::default()), &handle).unwrap_err();
    stop.join().unwrap();
    assert!(matches!(error, Error::StoppedRecovering(_)), "{error}");
}
