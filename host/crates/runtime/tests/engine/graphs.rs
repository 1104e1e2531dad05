//! Pipelines of any shape, with failures at random: whatever the graph, each key is counted exactly once for each way
//! that leads to its counter.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_core::ports::{EpochLog as _, OperatorFactory};
use weir_core::{Fault, KeySpec};
use weir_plan::{Edge, Graph, Node, NodeId, Ship, layout};
use weir_runtime::{Error, Job, Summary};

use crate::job_of;
use crate::operators::{Tasks, node, parity, pass, sides};
use crate::world::{CountFactory, Failure, MemoryLog, World, Written};

const PARTITIONS: i32 = 2;
const RECORDS: i64 = 1_500;
const KEYS: i64 = 11;

/// A graph in words: each node with what it reads, as `node` or `node.output`, and `>input` behind it.
#[derive(Default)]
struct Shape {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    operators: Vec<Arc<dyn OperatorFactory>>,
}

impl Shape {
    fn sources(names: &[&str]) -> Self {
        Self { nodes: names.iter().map(|name| Node::source(*name)).collect(), ..Self::default() }
    }

    fn operator(self, name: &str, factory: Arc<dyn OperatorFactory>, tasks: u16, reads: &[&str]) -> Self {
        let ship = if tasks == 1 { Ship::Forward } else { Ship::ByKey(KeySpec::Key) };
        self.shipped(name, (factory, tasks), reads, ship)
    }

    /// An operator that is sent records in turns.
    fn in_turns(self, name: &str, factory: Arc<dyn OperatorFactory>, tasks: u16, reads: &[&str]) -> Self {
        self.shipped(name, (factory, tasks), reads, Ship::RoundRobin)
    }

    fn shipped(
        mut self,
        name: &str,
        (factory, tasks): (Arc<dyn OperatorFactory>, u16),
        reads: &[&str],
        ship: Ship,
    ) -> Self {
        let node = node(&*factory, tasks);
        self.read(reads, &node.inputs, ship);
        self.nodes.push(Node::operator(name, node));
        self.operators.push(factory);
        self
    }

    fn sink(mut self, name: &str, reads: &[&str]) -> Self {
        self.read(reads, &[], Ship::Forward);
        self.nodes.push(Node::sink(name));
        self
    }

    /// The next node reads these.
    fn read(&mut self, reads: &[&str], inputs: &[String], ship: Ship) {
        let index = |names: &[String], name: &str| names.iter().position(|n| n == name).unwrap() as u32;
        for read in reads {
            let (from, input) = read.split_once('>').unwrap_or((read, ""));
            let (from, output) = from.split_once('.').unwrap_or((from, ""));
            let at = self.nodes.iter().position(|node| node.name == from).unwrap();
            let outputs = self.nodes[at].as_operator().map_or(&[][..], |operator| &operator.outputs);
            let output = if output.is_empty() { 0 } else { index(outputs, output) };
            let input = if input.is_empty() { 0 } else { index(inputs, input) };
            self.edges.push(Edge::new((NodeId(at), output), (NodeId(self.nodes.len()), input), ship.clone()));
        }
    }

    fn job(self, world: &Arc<World>) -> Job {
        job_of(world, Graph::new(self.nodes, self.edges).unwrap(), self.operators)
    }
}

fn count() -> Arc<dyn OperatorFactory> {
    Arc::new(CountFactory::new())
}

/// Failures at commits that a seed chooses, some of them at those of attempts that a failure began. The first is at the
/// second commit, which there is however few epochs a slow machine makes of the run.
fn failures(seed: u64) -> Vec<(u64, Failure)> {
    let kinds = [Failure::BeforeCommit, Failure::AfterCommit, Failure::Write, Failure::Fenced];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut at = 1;
    let first = (at, kinds[next(2) as usize]);
    let failure = |_| {
        at += 1 + next(4);
        (at, kinds[next(4) as usize])
    };
    std::iter::once(first).chain((0..3).map(failure)).collect()
}

/// Runs `shape` over sources, `marked` or not, to their ends, without failures and with some.
fn run(marked: &[bool], shape: impl Fn() -> Shape, judge: impl Fn(&[Written])) {
    for seed in 0..4 {
        let failures = if seed == 0 { Vec::new() } else { failures(seed) };
        let world = Arc::new(World::with_sources(marked, (PARTITIONS, RECORDS, KEYS), &failures));
        let job = shape().job(&world);
        let (summary, last_error) = finish(&job);
        assert!(summary.restarts <= failures.len() as u64, "seed {seed}: {last_error:?}");
        assert!(seed == 0 || summary.restarts > 0, "seed {seed} fails somewhere");
        judge(&world.output());
    }
}

fn finish(job: &Job) -> (Summary, Option<String>) {
    let handle = job.handle();
    let summary = job.run(Box::new(MemoryLog::default()), &handle).expect("every failure here is transient");
    let status = handle.status();
    let of_source = |source: &weir_runtime::SourceSetup| {
        let splits: Vec<_> = status.splits.iter().filter(|split| split.source == source.name).collect();
        assert_eq!(splits.len(), PARTITIONS as usize, "source {}", source.name);
        assert!(splits.iter().all(|split| split.committed == RECORDS && split.lag == Some(0)), "{splits:?}");
    };
    job.sources.iter().for_each(of_source);
    (summary, status.last_error)
}

/// Per sink and key 1..n in order; gives n of all keys of a sink.
fn totals(output: &[Written]) -> BTreeMap<usize, i64> {
    let mut counts: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for (sink, key, count) in output {
        let last = counts.entry((*sink, key)).or_default();
        assert_eq!(*count, *last + 1, "sink {sink}, key {key}");
        *last = *count;
    }
    let mut totals = BTreeMap::new();
    counts.into_iter().for_each(|((sink, _), count)| *totals.entry(sink).or_default() += count as i64);
    totals
}

const ALL: i64 = PARTITIONS as i64 * RECORDS;

#[test]
fn several_sources_are_one_stream() {
    for (marked, tasks) in [(&[true, true][..], 1), (&[true, false, true], 3), (&[false, true], 1)] {
        let names = ["a", "b", "c"];
        let names = &names[..marked.len()];
        let shape = || Shape::sources(names).operator("count", count(), tasks, names).sink("out", &["count"]);
        run(marked, shape, |output| {
            assert_eq!(totals(output), BTreeMap::from([(0, ALL * marked.len() as i64)]));
        });
    }
}

/// Runs `job` until its last commit says what `is_due` waits for, then stops it.
fn run_until(job: &Job, log: &MemoryLog, is_due: impl Fn() -> bool) {
    std::thread::scope(|scope| {
        let handle = job.handle();
        let stopped = handle.clone();
        let running = scope.spawn(move || job.run(Box::new(log.clone()), &handle));
        while !is_due() && !running.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        stopped.stop();
        running.join().unwrap().unwrap();
    });
    assert!(is_due());
}

fn two_sources(world: &Arc<World>) -> Job {
    Shape::sources(&["a", "b"]).operator("count", count(), 2, &["a", "b"]).sink("out", &["count"]).job(world)
}

#[test]
fn a_source_that_ended_goes_on_with_the_barriers_of_the_others() {
    let world = Arc::new(World::with_sources(&[true, true], (PARTITIONS, RECORDS, KEYS), &[]));
    // One of them has far less to read; the other stands still, and goes on only when the first is at its end.
    world.shorten("in-1", 40);
    world.pause("in", 100);
    let job = two_sources(&world);
    let handle = job.handle();
    let both = |a| world.is_committed_at("in-1", 40) && world.is_committed_at("in", a);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| job.run(Box::new(MemoryLog::default()), &handle));
        for at in [100, 101, 200] {
            world.pause("in", at);
            // A commit of both, after the one has nothing more.
            while !both(at) && !running.is_finished() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            assert!(both(at), "its splits are in every commit");
        }
        world.pause("in", i64::MAX);
        running.join().unwrap().unwrap();
    });
    assert!(both(RECORDS));
    assert_eq!(totals(&world.output()), BTreeMap::from([(0, ALL + 40 * i64::from(PARTITIONS))]));
}

#[test]
fn a_bound_that_was_reached_stays_until_the_whole_job_has_ended() {
    let world = Arc::new(World::with_sources(&[true, false], (PARTITIONS, RECORDS, KEYS), &[]));
    world.shorten("in-1", 40);
    world.pause("in", 100);
    let (first, log) = (two_sources(&world), MemoryLog::default());
    let read = |first: i64, second: i64| BTreeMap::from([(0, i64::from(PARTITIONS) * (first + second))]);
    run_until(&first, &log, || world.output().len() as i64 == i64::from(PARTITIONS) * 140);
    assert_eq!(totals(&world.output()), read(100, 40));
    // There is more of what was read to its end. The other is still read, and so nothing of that.
    world.shorten("in-1", 70);
    world.pause("in", i64::MAX);
    let again = || Job { state: Arc::clone(&first.state), ..two_sources(&world) };
    let second = again();
    second.run(Box::new(log.clone().reopened()), &second.handle()).unwrap();
    assert_eq!(totals(&world.output()), read(RECORDS, 40));
    // Now the job has ended, and the next start reads what there is more.
    let third = again();
    third.run(Box::new(log.reopened()), &third.handle()).unwrap();
    assert_eq!(totals(&world.output()), read(RECORDS, 70));
}

#[test]
fn a_topic_that_was_waited_for_is_read_to_its_bound() {
    let world = Arc::new(World::with_sources(&[true, false], (PARTITIONS, RECORDS, KEYS), &[]));
    world.call_endless("in-1");
    world.hide("in", 3);
    let job = two_sources(&world);
    job.run(Box::new(MemoryLog::default()), &job.handle()).unwrap();
    assert_eq!(totals(&world.output()), BTreeMap::from([(0, 2 * ALL)]));
}

#[test]
fn what_parts_and_meets_again_arrives_by_both_ways() {
    for (left, right, tasks) in [(1, 1, 1), (2, 1, 3), (3, 2, 2)] {
        let shape = || {
            Shape::sources(&["in"])
                .operator("left", pass(), left, &["in"])
                .operator("right", pass(), right, &["in"])
                .operator("count", count(), tasks, &["left", "right"])
                .sink("out", &["count"])
        };
        run(&[true], shape, |output| assert_eq!(totals(output), BTreeMap::from([(0, 2 * ALL)])));
    }
}

#[test]
fn what_is_sent_in_turns_is_exact_behind_and_before_keyed_tasks() {
    for (first, second, tasks) in [(1, 3, 2), (3, 3, 1), (2, 4, 3)] {
        let shape = || {
            Shape::sources(&["in"])
                .operator("keyed", pass(), first, &["in"])
                .in_turns("spread", pass(), second, &["keyed", "in"])
                .operator("count", count(), tasks, &["spread"])
                .sink("out", &["count"])
        };
        run(&[true], shape, |output| assert_eq!(totals(output), BTreeMap::from([(0, 2 * ALL)])));
    }
}

#[test]
fn what_goes_to_all_is_in_each_task_exactly_once() {
    let shape = || {
        Shape::sources(&["in"])
            .operator("keyed", pass(), 2, &["in"])
            .shipped("copies", (Arc::new(Tasks::new()), 3), &["keyed", "in"], Ship::Broadcast)
            .operator("count", count(), 2, &["copies"])
            .sink("out", &["count"])
    };
    run(&[true], shape, |output| {
        assert_eq!(totals(output), BTreeMap::from([(0, 3 * 2 * ALL)]));
        for task in ["0:", "1:", "2:"] {
            let seen = output.iter().filter(|(_, key, _)| key.starts_with(task)).count();
            assert_eq!(seen as i64, 2 * ALL, "task {task}");
        }
    });
}

#[test]
fn turns_give_each_task_its_share_of_a_single_key() {
    let shares = |spread: fn(Shape) -> Shape| {
        let world = Arc::new(World::new(PARTITIONS, RECORDS, 1, &[]));
        let job = spread(Shape::sources(&["in"])).sink("out", &["tasks"]).job(&world);
        finish(&job);
        let mut shares: BTreeMap<String, i64> = BTreeMap::new();
        world.output().into_iter().for_each(|(_, key, _)| *shares.entry(key).or_default() += 1);
        assert_eq!(shares.values().sum::<i64>(), ALL);
        shares
    };
    let by_key = shares(|shape| shape.operator("tasks", Arc::new(Tasks::new()), 3, &["in"]));
    assert_eq!(by_key.len(), 1, "{by_key:?}");
    let in_turns = shares(|shape| shape.in_turns("tasks", Arc::new(Tasks::new()), 3, &["in"]));
    assert!(in_turns.keys().eq(["0:k0", "1:k0", "2:k0"]), "{in_turns:?}");
    // A batch has at most 37 records, and 20 where a partition ends.
    let (least, most) = (in_turns.values().min().unwrap(), in_turns.values().max().unwrap());
    assert!(most - least <= 37 + 2 * 17, "{in_turns:?}");
}

#[test]
fn a_way_round_and_a_way_straight_meet() {
    // Whoever waits for the barrier of the longer way must not stop the shorter one for ever.
    let shape = || {
        Shape::sources(&["in"])
            .operator("round", pass(), 2, &["in"])
            .operator("further", pass(), 3, &["round"])
            .operator("count", count(), 2, &["in", "further"])
            .sink("out", &["count"])
    };
    run(&[true], shape, |output| assert_eq!(totals(output), BTreeMap::from([(0, 2 * ALL)])));
}

#[test]
fn side_outputs_go_to_operators_and_sinks() {
    for tasks in [1, 2] {
        let shape = || {
            Shape::sources(&["in"])
                .operator("parity", parity(), tasks, &["in"])
                .operator("evens", count(), 2, &["parity.even"])
                .operator("odds", count(), 1, &["parity.odd"])
                .sink("even", &["evens"])
                .sink("odd", &["odds"])
        };
        run(&[true], shape, |output| assert_eq!(totals(output), BTreeMap::from([(0, ALL / 2), (1, ALL / 2)])));
    }
}

#[test]
fn several_readers_of_one_output_all_get_it() {
    let shape = || {
        Shape::sources(&["in"])
            .operator("first", count(), 1, &["in"])
            .operator("second", count(), 3, &["in"])
            .sink("one", &["first"])
            .sink("two", &["second"])
            .sink("again", &["first"])
    };
    run(&[true], shape, |output| assert_eq!(totals(output), BTreeMap::from([(0, ALL), (1, ALL), (2, ALL)])));
}

#[test]
fn an_operator_knows_by_which_input_a_record_came() {
    for tasks in [1, 2] {
        let shape = || {
            Shape::sources(&["a", "b"])
                .operator("passed", pass(), 1, &["b"])
                .operator("sides", sides(), tasks, &["a>left", "passed>right"])
                .operator("count", count(), 2, &["sides"])
                .sink("out", &["count"])
        };
        run(&[true, true], shape, |output| {
            assert_eq!(totals(output), BTreeMap::from([(0, 2 * ALL)]));
            for side in ["0:", "1:"] {
                let of_side = output.iter().filter(|(_, key, _)| key.starts_with(side)).count();
                assert_eq!(of_side as i64, ALL, "input {side}");
            }
        });
    }
}

#[test]
fn one_output_may_be_read_by_two_inputs_of_one_operator() {
    let shape = || {
        Shape::sources(&["a"])
            .operator("sides", sides(), 1, &["a>left", "a>right"])
            .operator("count", count(), 1, &["sides"])
            .sink("out", &["count"])
    };
    run(&[true], shape, |output| {
        assert_eq!(totals(output), BTreeMap::from([(0, 2 * ALL)]));
        assert_eq!(output.iter().filter(|(_, key, _)| key.starts_with("1:")).count() as i64, ALL);
    });
}

#[test]
fn operators_of_equal_parallelism_share_their_threads() {
    let shape = || {
        Shape::sources(&["in"])
            .operator("count", count(), 3, &["in"])
            .operator("parity", parity(), 3, &["count"])
            .operator("pass", pass(), 3, &["parity.odd"])
            .sink("even", &["parity.even"])
            .sink("odd", &["pass"])
    };
    let graph = Graph::new(shape().nodes, shape().edges).unwrap();
    assert_eq!(layout(&graph).tasks(&graph).len(), 5, "source, three tasks, sinks");
    run(&[true], shape, |output| {
        let mut of_sink: BTreeMap<usize, i64> = BTreeMap::new();
        output.iter().for_each(|(sink, _, _)| *of_sink.entry(*sink).or_default() += 1);
        assert_eq!(of_sink, BTreeMap::from([(0, ALL / 2), (1, ALL / 2)]));
        let mut merged: Vec<_> = output.iter().map(|(_, key, count)| (key.as_str(), *count)).collect();
        merged.sort_unstable();
        merged.dedup();
        assert_eq!(merged.len() as i64, ALL, "every count once");
    });
}

#[test]
fn what_nobody_reads_holds_nothing_up() {
    // The side stage feeds no sink: the sink task never waits for it, the epoch does.
    let shape = || {
        Shape::sources(&["in"])
            .operator("parity", parity(), 2, &["in"])
            .operator("idle", count(), 2, &["parity.odd"])
            .operator("count", count(), 1, &["parity.even"])
            .sink("out", &["count"])
    };
    run(&[true], shape, |output| assert_eq!(totals(output), BTreeMap::from([(0, ALL / 2)])));
}

#[test]
fn two_sources_of_one_topic_are_refused() {
    let world = Arc::new(World::with_sources(&[true, true], (PARTITIONS, RECORDS, KEYS), &[]));
    world.share_topic();
    let shape = Shape::sources(&["a", "b"]).operator("count", count(), 1, &["a", "b"]).sink("out", &["count"]);
    let (job, log) = (shape.job(&world), MemoryLog::default());
    let error = job.run(Box::new(log.clone()), &job.handle()).unwrap_err();
    assert!(matches!(error, Error::Shared(_)), "{error}");
    assert_eq!(error.fault(), Fault::Config);
    assert!(log.reopened().records().is_empty(), "nothing is kept of it");
}

#[test]
fn a_source_is_not_left_unread_because_another_finds_no_topic() {
    let world = Arc::new(World::with_sources(&[true, false], (PARTITIONS, RECORDS, KEYS), &[]));
    world.hide("in", u32::MAX);
    let shape = Shape::sources(&["a", "b"]).operator("count", count(), 1, &["a", "b"]).sink("out", &["count"]);
    let job = shape.job(&world);
    let error = job.run(Box::new(MemoryLog::default()), &job.handle()).unwrap_err();
    assert!(matches!(&error, Error::Markerless(source) if source.to_string() == "b"), "{error}");
    assert_eq!(error.fault(), Fault::Config);
}

#[test]
fn a_restart_finds_each_source_where_it_was() {
    let world = Arc::new(World::with_sources(&[true, false], (PARTITIONS, RECORDS, KEYS), &[]));
    let job = || {
        let shape = Shape::sources(&["a", "b"]).operator("count", count(), 2, &["a", "b"]).sink("out", &["count"]);
        shape.job(&world)
    };
    world.limit_reads(RECORDS / 2);
    let (first, log) = (job(), MemoryLog::default());
    first.run(Box::new(log.clone()), &first.handle()).unwrap();
    world.limit_reads(RECORDS);
    let second = Job { state: Arc::clone(&first.state), ..job() };
    second.run(Box::new(log.reopened()), &second.handle()).unwrap();
    assert_eq!(totals(&world.output()), BTreeMap::from([(0, 2 * ALL)]));
}

#[test]
fn a_source_that_had_found_nothing_is_read_from_its_beginning_without_a_directory_too() {
    let world = Arc::new(World::with_sources(&[true, true], (PARTITIONS, RECORDS, KEYS), &[]));
    let run = || {
        let shape = Shape::sources(&["a", "b"]).operator("sides", sides(), 2, &["a>left", "b>right"]);
        // Another directory each time: the operator keeps nothing, and the marker is enough.
        let job = shape.sink("out", &["sides"]).job(&world);
        job.run(Box::new(MemoryLog::default()), &job.handle()).unwrap();
    };
    let read = |side: &str| world.output().iter().filter(|(_, key, _)| key.starts_with(side)).count() as i64;
    world.hide("in-1", u32::MAX);
    world.limit_reads(RECORDS / 2);
    run();
    assert_eq!((read("0:"), read("1:")), (ALL / 2, 0));
    // It has appeared, and this start asks for what comes from now on.
    world.hide("in-1", 0);
    world.call_endless("in-1");
    world.limit_reads(RECORDS);
    world.begin_at(RECORDS);
    run();
    assert_eq!((read("0:"), read("1:")), (ALL, ALL));
}
