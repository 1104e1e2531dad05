//! The engine against a world in memory that fails on purpose: whatever happens to a commit, each key's output is
//! exactly 1..n. Real Kafka and RocksDB are in the `tests` package; here every outcome of a call can be chosen.
#![allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails here fails as it should"
)]

/// Pipelines of any shape.
mod graphs;
/// How much a task holds, and how large an epoch gets.
mod memory;
/// Operators of every kind, native.
mod operators;
/// Sources that do what a test says.
mod script;
/// What a start leaves to the next one.
mod starts;
/// What a failure is followed by.
mod supervision;
/// Event time.
mod time;
/// Versions that take over.
mod versions;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_core::ports::{Call, CallError, Effects, Operator, OperatorFactory, PluginDescription};
use weir_core::{Consent, Delivery, Digest, JobName, KeySpec, OnError, PortError, Restart, ShardId, SourceName};
use weir_plan::{Edge, Graph, Kind, Node, NodeId, Ship};
use weir_runtime::{Bounds, Job, JobOptions, MarkerPlace, OperatorSetup, SinkSetup, SourceSetup};
use world::{CountFactory, Failure, MemoryLog, MemoryState, SinkSide, World};

const PARTITIONS: i32 = 3;
const RECORDS: i64 = 3_000;
const KEYS: i64 = 17;
const AT_ONCE: Restart =
    Restart::Fixed { delay: Duration::from_millis(10), attempts: None, reset_after: Duration::from_secs(60) };

fn job(world: &Arc<World>, parallelism: u16) -> Job {
    let (source, sink) = (Node::source("in"), Node::sink("out"));
    let factory = Arc::new(CountFactory::new());
    let count = Node::operator("count", operators::node(&*factory, parallelism));
    let edge = |from, to, ship| Edge::new((NodeId(from), 0), (NodeId(to), 0), ship);
    let edges = vec![edge(0, 1, Ship::ByKey(KeySpec::Key)), edge(1, 2, Ship::Forward)];
    job_of(world, Graph::new(vec![source, count, sink], edges).unwrap(), vec![factory])
}

/// A job that runs `graph` with these operators, in its order; its sources are those of the world.
fn job_of(world: &Arc<World>, graph: Graph, operators: Vec<Arc<dyn OperatorFactory>>) -> Job {
    let of_kind = |wanted: fn(&Kind) -> bool| {
        graph.nodes().iter().filter(move |node| wanted(&node.kind)).map(|node| node.name.clone()).collect::<Vec<_>>()
    };
    let sources = of_kind(|kind| *kind == Kind::Source).into_iter().zip(world.sources());
    let sources = sources.map(|(name, (connector, marked))| SourceSetup {
        name: SourceName::new(name),
        connector,
        marked,
        time: None,
        timestamps: None,
    });
    let names = of_kind(|kind| matches!(kind, Kind::Operator(_)));
    let setup = |(name, factory)| {
        let (config, on_error) = ("{}".into(), OnError::Fail);
        let (windows, ttl, took_over, timer_rounds) = (None, BTreeMap::new(), None, 100_000);
        OperatorSetup { name, factory, config, on_error, windows, timer_rounds, ttl, took_over }
    };
    let sinks = of_kind(|kind| *kind == Kind::Sink);
    let sinks: Vec<_> = sinks.into_iter().map(|name| SinkSetup { target: name.clone(), name }).collect();
    Job {
        options: options(),
        sources: sources.collect(),
        sink: Arc::new(SinkSide { world: Arc::clone(world), sinks: sinks.len() }),
        operators: names.into_iter().zip(operators).map(setup).collect(),
        graph,
        sinks,
        state: Arc::new(MemoryState::default()),
        shelf: Arc::new(versions::MemoryShelf::default()),
    }
}

fn options() -> JobOptions {
    JobOptions {
        name: JobName::new("sim").unwrap(),
        shard: ShardId(0),
        delivery: Delivery::ExactlyOnce,
        marker_place: MarkerPlace::Splits,
        epoch_interval: Duration::from_millis(5),
        stall_after: Duration::from_secs(2),
        has_patient_sink: false,
        commit_within: Duration::from_millis(20),
        restart: AT_ONCE,
        bounds: Bounds { call: Duration::from_secs(1), fence: Duration::from_secs(1), disk: Duration::from_secs(1) },
        consent: Consent::default(),
        drains: false,
    }
}

/// Runs a job to its end; `failures` happen at the commits they name.
fn run(parallelism: u16, failures: &[(u64, Failure)]) -> (Arc<World>, weir_runtime::Summary) {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, failures));
    let job = job(&world, parallelism);
    let handle = job.handle();
    let summary = job.run(Box::new(MemoryLog::default()), &handle).expect("every failure here is transient");
    (world, summary)
}

/// A plugin that takes its time over every record.
struct SlowFactory(CountFactory, Duration);

struct Slow(Box<dyn Operator>, Duration);

impl OperatorFactory for SlowFactory {
    fn description(&self) -> &PluginDescription {
        self.0.description()
    }
    fn digest(&self) -> &Digest {
        self.0.digest()
    }
    fn instantiate(&self, task: &str, config: &str) -> Result<Box<dyn Operator>, PortError> {
        Ok(Box::new(Slow(self.0.instantiate(task, config)?, self.1)))
    }
}

impl Operator for Slow {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        std::thread::sleep(self.1 * call.frame.len() as u32);
        self.0.process(call, effects)
    }
}

#[test]
fn a_slow_plugin_keeps_committing() {
    // All that can be read would keep each of two tasks busy for longer than an epoch may take.
    let world = Arc::new(World::new(PARTITIONS, 250, KEYS, &[]));
    let mut job = job(&world, 2);
    job.operators[0].factory = Arc::new(SlowFactory(CountFactory::new(), Duration::from_millis(8)));
    job.options.restart = Restart::Never;
    let handle = job.handle();
    let summary = job.run(Box::new(MemoryLog::default()), &handle).unwrap();
    world.assert_exact();
    assert_eq!(summary.restarts, 0);
    assert!(handle.status().epoch.0 > 3, "only {:?} epochs", handle.status().epoch);
}

#[test]
fn a_quiet_world_gives_every_count_once() {
    for parallelism in [1, 2, 5] {
        let (world, summary) = run(parallelism, &[]);
        world.assert_exact();
        assert_eq!(summary.restarts, 0);
        assert_eq!(summary.records_read, (PARTITIONS as i64 * RECORDS) as u64);
    }
}

#[test]
fn a_failed_commit_costs_a_replay_and_nothing_else() {
    for parallelism in [1, 3] {
        for failure in [Failure::BeforeCommit, Failure::AfterCommit, Failure::Write, Failure::Fenced] {
            // The first commit of the attempt, an early one, and two in a row.
            for at in [vec![0], vec![1], vec![3], vec![2, 3], vec![0, 1, 2]] {
                let failures: Vec<_> = at.iter().map(|commit| (*commit, failure)).collect();
                let (world, summary) = run(parallelism, &failures);
                world.assert_exact();
                assert_eq!(summary.restarts, failures.len() as u64, "{failure:?} at {at:?}");
            }
        }
    }
}

#[test]
fn at_least_once_loses_nothing_when_acknowledgements_fail() {
    for at in [1, 2, 4] {
        let failures = [(at, Failure::Write), (at + 3, Failure::AfterCommit)];
        let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &failures));
        world.without_transactions();
        let mut job = job(&world, 2);
        job.options.delivery = Delivery::AtLeastOnce;
        let handle = job.handle();
        let summary = job.run(Box::new(MemoryLog::default()), &handle).unwrap();
        world.assert_nothing_lost();
        assert_eq!(summary.restarts, 2);
    }
}

#[test]
fn a_commit_that_never_returns_is_left_behind() {
    let (world, summary) = run(1, &[(2, Failure::Hang)]);
    world.assert_exact();
    assert_eq!(summary.restarts, 1);
}

#[test]
fn a_source_that_ends_during_the_first_commit_ends_the_job() {
    let world = Arc::new(World::new(1, 1, 1, &[(0, Failure::Slow)]));
    let job = job(&world, 1);
    let handle = job.handle();
    job.run(Box::new(MemoryLog::default()), &handle).unwrap();
    world.assert_exact();
}

#[test]
fn a_rival_on_the_marker_ends_the_job() {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[(2, Failure::Rival)]));
    let job = job(&world, 1);
    let handle = job.handle();
    let error = job.run(Box::new(MemoryLog::default()), &handle).unwrap_err();
    assert!(matches!(error, weir_runtime::Error::Rival(_)), "{error}");
}

#[test]
fn a_restart_goes_on_where_the_marker_says() {
    let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, &[]));
    world.limit_reads(RECORDS / 2);
    let first = job(&world, 2);
    let handle = first.handle();
    // The same directory serves the next process: log and store survive it.
    let (log, state) = (MemoryLog::default(), Arc::clone(&first.state));
    first.run(Box::new(log.clone()), &handle).unwrap();
    world.limit_reads(RECORDS);
    let second = Job { state, ..job(&world, 4) };
    let handle = second.handle();
    second.run(Box::new(log.reopened()), &handle).unwrap();
    world.assert_exact();
}
