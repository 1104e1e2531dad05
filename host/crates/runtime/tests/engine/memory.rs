//! How much of its state a task holds: what is not applied yet fills its share, and nothing else does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_runtime::Job;

use crate::world::{Failure, MemoryLog, MemoryState, World};
use crate::{PARTITIONS, RECORDS, job};

/// A sixth or so of what all keys of the input need.
const BUDGET: u64 = 8 << 10;
/// What one batch changes.
const BATCH: u64 = 1 << 10;

/// A job whose input has as many keys as a partition has records, and the store that it keeps them in.
fn crowded(parallelism: u16, failures: &[(u64, Failure)]) -> (Arc<World>, Arc<MemoryState>, Job) {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, RECORDS, failures));
    let state = Arc::new(MemoryState::default());
    state.settings.budget.store(BUDGET, Ordering::Relaxed);
    let job = Job { state: Arc::clone(&state) as _, ..job(&world, parallelism) };
    (world, state, job)
}

fn run(job: &Job) -> weir_runtime::Summary {
    job.run(Box::new(MemoryLog::default()), &job.handle()).expect("a full task only waits")
}

#[test]
fn a_full_task_ends_the_epoch_early_whatever_the_interval() {
    for (parallelism, is_lazy) in [(1, false), (1, true), (2, true), (5, false)] {
        let (world, state, mut job) = crowded(parallelism, &[]);
        state.settings.is_lazy.store(is_lazy, Ordering::Relaxed);
        job.options.epoch_interval = Duration::from_secs(3600);
        let summary = run(&job);
        world.assert_exact();
        let peak = state.settings.peak.load(Ordering::Relaxed);
        // Beside an exchange there is what was under way to the task when the barrier was put in.
        assert!(parallelism > 1 || peak <= BUDGET + BATCH, "{peak} bytes, lazy: {is_lazy}");
        assert!(parallelism > 2 || summary.epoch.0 > 4, "{} epochs", summary.epoch);
    }
}

#[test]
fn a_task_that_is_full_before_the_first_commit_waits_for_it() {
    for parallelism in [1, 3] {
        let (world, state, job) = crowded(parallelism, &[(0, Failure::Slow)]);
        run(&job);
        world.assert_exact();
        let peak = state.settings.peak.load(Ordering::Relaxed);
        assert!(parallelism > 1 || peak <= BUDGET + BATCH, "{peak} bytes");
    }
}

#[test]
fn a_full_task_costs_a_replay_like_any_other_when_commits_fail() {
    for failure in [Failure::BeforeCommit, Failure::AfterCommit, Failure::Write, Failure::Fenced] {
        let (world, state, mut job) = crowded(3, &[(1, failure), (4, failure)]);
        state.settings.is_lazy.store(true, Ordering::Relaxed);
        job.options.epoch_interval = Duration::from_secs(3600);
        assert_eq!(run(&job).restarts, 2, "{failure:?}");
        world.assert_exact();
    }
}

#[test]
fn the_size_of_the_state_is_shown_on_disk_and_in_memory() {
    let (_, _, job) = crowded(1, &[]);
    let handle = job.handle();
    job.run(Box::new(MemoryLog::default()), &handle).unwrap();
    let shown = handle.status().operators[0].state_bytes;
    assert!(shown >= 1000, "{shown}: the disk counts");
}
