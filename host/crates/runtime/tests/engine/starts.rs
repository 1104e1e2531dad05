//! What a start leaves to the next one: nothing, before something is committed.

use std::sync::Arc;

use weir_checkpoint::manifest::{PlanRecord, Reader};
use weir_core::ports::{EpochLog as _, StateStore as _};
use weir_core::{Epoch, Fault, RecordId};
use weir_runtime::{Error, Job};

use crate::world::{CountFactory, Failure, MemoryLog, MemoryState, World};
use crate::{KEYS, PARTITIONS, RECORDS, job};

/// Of all partitions together.
const ALL: u64 = PARTITIONS as u64 * RECORDS as u64;

#[test]
fn a_plugin_that_does_not_open_leaves_no_trace_of_the_start() {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[]));
    let mut bad = job(&world, 2);
    let mut factory = CountFactory::new();
    factory.2 = false;
    bad.operators[0].factory = Arc::new(factory);
    let log = MemoryLog::default();
    let handle = bad.handle();
    let error = bad.run(Box::new(log.clone()), &handle).unwrap_err();
    assert_eq!(error.fault(), Fault::Config, "{error}");
    assert!(log.reopened().records().is_empty(), "no start position and no bound is kept");
    assert_eq!(handle.status().attempt, None, "no attempt began");
    assert!(world.output().is_empty());
}

#[test]
fn a_first_start_that_committed_nothing_does_not_fix_the_bounds_of_the_next() {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[(0, Failure::User)]));
    world.limit_reads(RECORDS / 2);
    let log = MemoryLog::default();
    let first = job(&world, 1);
    let error = first.run(Box::new(log.clone()), &first.handle()).unwrap_err();
    assert_eq!(error.fault(), Fault::User, "{error}");
    assert!(world.output().is_empty(), "nothing was committed");
    world.limit_reads(RECORDS);
    let log = log.reopened();
    assert_eq!(log.records().len(), 1, "its first record is there");
    let second = job(&world, 1);
    let summary = second.run(Box::new(log), &second.handle()).unwrap();
    assert_eq!((summary.records_read, summary.restarts), (ALL, 0));
    world.assert_exact();
}

#[test]
fn a_first_start_that_read_nothing_does_not_fix_where_the_next_begins() {
    // The first epoch, which is empty, is committed; the one with the first records fails, twice.
    let failures = [(1, Failure::User), (3, Failure::User)];
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &failures));
    let log = MemoryLog::default();
    for begin in [RECORDS / 2, RECORDS / 3] {
        world.begin_at(begin);
        let failing = job(&world, 1);
        let error = failing.run(Box::new(log.clone().reopened()), &failing.handle()).unwrap_err();
        assert_eq!(error.fault(), Fault::User, "{error}");
        assert!(world.is_committed_at("in", begin), "only where it begins is committed");
        assert!(world.output().is_empty());
    }
    world.begin_at(0);
    let last = job(&world, 1);
    let summary = last.run(Box::new(log.reopened()), &last.handle()).unwrap();
    assert_eq!((summary.records_read, summary.restarts), (ALL, 0));
    world.assert_exact();
}

#[test]
fn a_run_that_ended_well_and_read_nothing_does_not_either() {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[]));
    let log = MemoryLog::default();
    world.begin_at(RECORDS);
    let first = job(&world, 1);
    let summary = first.run(Box::new(log.clone()), &first.handle()).unwrap();
    assert_eq!((summary.records_read, world.output().len()), (0, 0));
    world.begin_at(0);
    let second = job(&world, 1);
    let summary = second.run(Box::new(log.reopened()), &second.handle()).unwrap();
    assert_eq!((summary.records_read, summary.restarts), (ALL, 0));
    world.assert_exact();
}

#[test]
fn what_was_read_fixes_where_the_next_begins() {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[(3, Failure::User)]));
    let log = MemoryLog::default();
    let failing = job(&world, 1);
    let error = failing.run(Box::new(log.clone()), &failing.handle()).unwrap_err();
    assert_eq!(error.fault(), Fault::User, "{error}");
    // What counts has put out once for each record.
    let committed = world.output().len() as u64;
    assert!((1..ALL).contains(&committed), "{committed} records");
    world.begin_at(RECORDS);
    let last = job(&world, 1);
    let summary = last.run(Box::new(log.reopened()), &last.handle()).unwrap();
    assert_eq!((summary.records_read, summary.restarts), (ALL - committed, 0));
    world.assert_exact();
}

#[test]
fn where_a_start_was_asked_to_begin_outlives_a_failure_before_it_holds() {
    // The first process reads nothing of the second half, which it was asked for, and leaves an epoch that says so.
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[(1, Failure::User), (2, Failure::BeforeCommit)]));
    let log = MemoryLog::default();
    world.begin_at(RECORDS / 2);
    let first = job(&world, 1);
    first.run(Box::new(log.clone()), &first.handle()).unwrap_err();
    // The second is asked for everything there is now. Its own first epoch does not hold, and "now" goes on.
    world.begin_at(0);
    world.turn(RECORDS / 3, RECORDS);
    let second = job(&world, 1);
    let summary = second.run(Box::new(log.reopened()), &second.handle()).unwrap();
    assert_eq!(summary.restarts, 1);
    world.assert_exact();
}

#[test]
fn bounds_that_hold_stay_though_nobody_was_told_that_they_do() {
    let world = Arc::new(World::new(PARTITIONS, RECORDS / 2, KEYS, &[]));
    let log = MemoryLog::default();
    let first = job(&world, 1);
    first.run(Box::new(log.clone()), &first.handle()).unwrap();
    let bounded = world.output().len();
    // There is no more yet when the second starts, and there is when it recovers.
    world.fail_next(Failure::AfterCommit);
    world.turn(0, RECORDS);
    let second = job(&world, 1);
    let summary = second.run(Box::new(log.reopened()), &second.handle()).unwrap();
    assert_eq!((summary.restarts, world.output().len()), (1, bounded));
}

#[test]
fn a_changed_pipeline_is_applied_again_until_it_holds() {
    for failures in [
        vec![Failure::BeforeCommit],
        vec![Failure::AfterCommit],
        vec![Failure::Fenced, Failure::BeforeCommit],
        vec![Failure::BeforeCommit, Failure::AfterCommit],
    ] {
        let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[(4, Failure::User)]));
        let (log, state) = (MemoryLog::default(), Arc::new(MemoryState::default()));
        let first = Job { state: Arc::clone(&state) as _, ..job(&world, 1) };
        first.run(Box::new(log.clone()), &first.handle()).unwrap_err();
        let before = last_plan(&log);
        for (later, failure) in (0..).zip(&failures) {
            world.fail(5 + later, *failure);
        }
        let second = Job { state, ..job(&world, 3) };
        let summary = second.run(Box::new(log.clone().reopened()), &second.handle()).unwrap();
        assert_eq!(summary.restarts, failures.len() as u64);
        world.assert_exact();
        let now = last_plan(&log);
        assert_eq!(now.graph, second.graph, "{failures:?}");
        assert_eq!((&now.operators, now.next_operator), (&before.operators, before.next_operator), "{failures:?}");
    }
}

/// The plan of the last record.
fn last_plan(log: &MemoryLog) -> Arc<PlanRecord> {
    let log = log.clone().reopened();
    let (mut reader, last) = (Reader::default(), log.records().len() - 1);
    let plan = || Ok::<_, weir_checkpoint::manifest::Error>(log.plan(last).unwrap());
    reader.read(&log.manifest(last).unwrap(), plan).unwrap().0.plan
}

#[test]
fn a_store_that_holds_what_the_log_does_not_is_refused_however_the_job_would_start() {
    let record = |epoch| RecordId { epoch: Epoch(epoch), digest: weir_core::Digest("d".repeat(64)) };
    // A first start, over the state of something else.
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[]));
    let state = Arc::new(MemoryState::default());
    state.apply(&record(3), Vec::new()).unwrap();
    let first = Job { state, ..job(&world, 1) };
    let error = first.run(Box::new(MemoryLog::default()), &first.handle()).unwrap_err();
    assert!(matches!(error, Error::StoreAhead { applied: Epoch(3), holds: Epoch(0) }), "{error}");
    assert_eq!(error.fault(), Fault::Corrupt);

    // A log that goes on, with a store of the same numbers and another time.
    let log = MemoryLog::default();
    let good = job(&world, 1);
    good.run(Box::new(log.clone()), &good.handle()).unwrap();
    let log = log.reopened();
    let (before, other) = (log.records().len(), Arc::new(MemoryState::default()));
    other.apply(&record(log.records()[before - 1].epoch.0), Vec::new()).unwrap();
    let second = Job { state: other, ..job(&world, 1) };
    let error = second.run(Box::new(log.clone()), &second.handle()).unwrap_err();
    assert!(matches!(error, Error::StoreForeign { .. }), "{error}");
    assert_eq!(log.reopened().records().len(), before, "nothing was changed");
}
