//! Event time through tasks, edges, epochs and restarts: what operators are told of it, as the job's status shows it. The
//! numbers are those under which Flink knows the same mistakes.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir_core::ports::EpochLog;
use weir_core::{KeySpec, Progress, Reading, Watermark};
use weir_plan::{Edge, Graph, Node, NodeId, Ship};
use weir_runtime::{Error, Job, JobHandle, JobState, SourceSetup, Summary};

use crate::operators::{node, pass, sides};
use crate::script::Script;
use crate::world::{Failure, MemoryLog, World};
use crate::{SourceName, job_of};

/// Longer than anything takes; a job that never comes there fails the test.
const PATIENCE: Duration = Duration::from_secs(20);
const OPTIONS: &str = "max-disorder=0s,idle-after=10s,max-drift=off";
const SPLITS: usize = 2;

/// A job that runs while a test looks at it.
struct Running {
    handle: JobHandle,
    thread: JoinHandle<(Result<Summary, Error>, Job)>,
}

impl Running {
    fn start(job: Job, log: Box<dyn EpochLog>) -> Self {
        let handle = job.handle();
        let thread = thread::spawn({
            let handle = handle.clone();
            move || (job.run(log, &handle), job)
        });
        Self { handle, thread }
    }

    /// Waits until the last operator's time stands at `ms`.
    fn reaches(&self, ms: i64) {
        self.waits_for(&format!("{ms}"), || self.operator() == Watermark::at(ms));
    }

    fn waits_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "waited for {what}: {:?}", self.handle.status());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn operator(&self) -> Watermark {
        self.handle.status().operators.last().unwrap().watermark
    }

    fn split(&self, at: usize) -> Progress {
        self.handle.status().splits.get(at).map_or(Progress::NONE, |split| split.time)
    }

    fn ends(self) -> Job {
        let (ended, job) = self.thread.join().unwrap();
        ended.unwrap();
        job
    }
}

impl Running {
    /// The reading of `split` stands so, and the engine knows.
    fn reads(&self, script: &Script, split: usize, reading: Reading) {
        script.read(split, reading);
        self.waits_for("a look at the reading", || script.is_noted(split));
    }

    /// Sends one more record of `split` at `ms` and waits until its time shows: whatever was sent before is through.
    fn settles_after(&self, script: &Script, split: usize, ms: i64) {
        script.record(split as u32, ms);
        self.waits_for("a split's time", || self.split(split).watermark == Watermark::at(ms));
        self.settles_once(script, split, ms);
    }

    fn settles_once(&self, script: &Script, split: usize, ms: i64) {
        script.record(split as u32, ms);
        let epoch = self.handle.status().epoch.0;
        self.waits_for("an epoch", || self.handle.status().epoch.0 > epoch);
    }
}

/// `sources` into a first operator of `tasks`, and that into a second.
fn job(sources: &[&Script], options: &str, tasks: u16, failures: &[(u64, Failure)]) -> Job {
    shipped(sources, options, (tasks, Ship::ByKey(KeySpec::Key)), failures)
}

/// The same, with the records of the sources sent so.
fn shipped(sources: &[&Script], options: &str, (tasks, ship): (u16, Ship), failures: &[(u64, Failure)]) -> Job {
    let world = Arc::new(World::with_sources(&vec![true; sources.len()], (0, 0, 1), failures));
    let mut nodes: Vec<Node> = (0..sources.len()).map(|at| Node::source(format!("in-{at}"))).collect();
    let (first, second) = (nodes.len(), nodes.len() + 1);
    let union = pass();
    nodes.push(Node::operator("first", node(&*union, tasks)));
    let then = pass();
    nodes.push(Node::operator("second", node(&*then, tasks)));
    nodes.push(Node::sink("out"));
    let from_source = |at| Edge::new((NodeId(at), 0), (NodeId(first), 0), ship.clone());
    let mut edges: Vec<Edge> = (0..first).map(from_source).collect();
    edges.push(Edge::new((NodeId(first), 0), (NodeId(second), 0), Ship::ByKey(KeySpec::Key)));
    edges.push(Edge::new((NodeId(second), 0), (NodeId(second + 1), 0), Ship::Forward));
    let mut job = job_of(&world, Graph::new(nodes, edges).unwrap(), vec![union, then]);
    job.sources = set_up(&world, sources, options);
    job
}

fn set_up(world: &Arc<World>, sources: &[&Script], options: &str) -> Vec<SourceSetup> {
    sources.iter().for_each(|script| script.belongs_to(world));
    let set_up = |(at, script): (usize, &&Script)| SourceSetup {
        name: SourceName::new(format!("in-{at}")),
        connector: Arc::new((*script).clone()),
        marked: true,
        time: Some(options.parse().unwrap()),
        timestamps: None,
    };
    sources.iter().enumerate().map(set_up).collect()
}

fn run(job: Job) -> Running {
    Running::start(job, Box::new(MemoryLog::default()))
}

fn caught_up(seconds: u64) -> Reading {
    Reading::CaughtUp { at: Duration::from_secs(seconds) }
}

#[test]
fn time_is_that_of_the_split_that_is_behind_in_every_operator_and_task() {
    let keyed = || Ship::ByKey(KeySpec::Key);
    for ship in [(1, keyed()), (3, keyed()), (3, Ship::RoundRobin)] {
        let script = Script::new("a", SPLITS);
        let running = run(shipped(&[&script], OPTIONS, ship, &[]));
        script.record(0, 100);
        script.record(1, 50);
        running.reaches(50);
        let all = || running.handle.status().operators.iter().all(|operator| operator.watermark == Watermark::at(50));
        running.waits_for("all operators", all);
        script.record(1, 170);
        running.reaches(100);
        let splits = || [0, 1].map(|at| running.split(at).watermark) == [100, 170].map(Watermark::at);
        running.waits_for("both splits", splits);
        script.end();
        running.ends();
    }
}

#[test]
fn two_inputs_and_a_fused_operator_have_the_time_of_the_slower_source() {
    let (left, right) = (Script::new("a", 1), Script::new("b", 1));
    let world = Arc::new(World::with_sources(&[true, true], (0, 0, 1), &[]));
    let (both, then) = (sides(), pass());
    let nodes = vec![
        Node::source("in-0"),
        Node::source("in-1"),
        Node::operator("both", node(&*both, 1)),
        Node::operator("then", node(&*then, 1)),
        Node::sink("out"),
    ];
    let edge = |from: usize, to: usize, port| Edge::new((NodeId(from), 0), (NodeId(to), port), Ship::Forward);
    let edges = vec![edge(0, 2, 0), edge(1, 2, 1), edge(2, 3, 0), edge(3, 4, 0)];
    let mut job = job_of(&world, Graph::new(nodes, edges).unwrap(), vec![both, then]);
    job.sources = set_up(&world, &[&left, &right], OPTIONS);
    let running = run(job);
    left.record(0, 100);
    right.record(0, 40);
    running.reaches(40);
    right.record(0, 300);
    running.reaches(100);
    left.end();
    right.end();
    running.ends();
}

#[test]
fn a_silent_split_is_waited_for_until_it_was_idle_for_its_span_and_no_longer() {
    let script = Script::new("a", SPLITS);
    let running = run(job(&[&script], OPTIONS, 2, &[]));
    script.record(0, 100);
    running.reads(&script, 1, caught_up(0));
    running.waits_for("the record", || running.split(0).watermark == Watermark::at(100));
    running.reads(&script, 1, caught_up(9));
    script.record(0, 110);
    running.settles_after(&script, 0, 111);
    assert_eq!(running.operator(), Watermark::NONE, "nine of ten seconds");
    running.reads(&script, 1, caught_up(10));
    running.waits_for("idleness", || running.split(1).idle);
    running.reaches(111);
    script.end();
    running.ends();
}

#[test]
fn flink_38477_an_input_that_has_ended_says_nothing_about_one_that_is_idle() {
    let (ended, idle) = (Script::new("a", 1), Script::new("b", 1));
    let running = run(job(&[&ended, &idle], OPTIONS, 2, &[]));
    idle.record(0, 50);
    running.reads(&idle, 0, caught_up(0));
    running.waits_for("the record", || running.split(1).watermark == Watermark::at(50));
    running.reads(&idle, 0, caught_up(20));
    running.waits_for("idleness", || running.split(1).idle);
    running.reads(&ended, 0, Reading::Ended);
    running.waits_for("the end of the other", || running.split(0).watermark == Watermark::END);
    running.reaches(50);
    running.reads(&idle, 0, Reading::Flowing);
    idle.record(0, 60);
    running.reaches(60);
    ended.end();
    idle.end();
    running.ends();
}

#[test]
fn flink_38454_whichever_split_falls_silent_first_the_time_is_the_same() {
    for first in [0, 1] {
        let script = Script::new("a", SPLITS);
        let running = run(job(&[&script], OPTIONS, 2, &[]));
        script.record(0, 5);
        script.record(1, 4);
        running.reaches(4);
        for split in [first, 1 - first] {
            running.reads(&script, split, caught_up(0));
            running.reads(&script, split, caught_up(20));
            if split == first {
                running.waits_for("idleness", || running.split(first).idle);
            }
        }
        running.waits_for("idleness of both", || running.split(0).idle && running.split(1).idle);
        running.reaches(5);
        script.end();
        running.ends();
    }
}

#[test]
fn flink_35886_what_is_paused_or_waits_is_not_idle() {
    for busy in [Reading::Flowing, Reading::Paused] {
        let script = Script::new("a", SPLITS);
        let running = run(job(&[&script], OPTIONS, 2, &[]));
        script.record(0, 1_000);
        script.record(1, 100);
        running.reaches(100);
        running.reads(&script, 1, caught_up(0));
        running.settles_once(&script, 0, 2_000);
        running.reads(&script, 1, busy);
        running.settles_once(&script, 0, 3_000);
        running.reads(&script, 1, caught_up(60));
        running.settles_after(&script, 0, 4_000);
        assert_eq!((running.operator(), running.split(1).idle), (Watermark::at(100), false), "{busy:?}");
        script.end();
        running.ends();
    }
}

#[test]
fn flink_32496_and_40093_a_split_that_runs_ahead_is_held_back_and_let_go() {
    let script = Script::new("a", SPLITS);
    let running = run(job(&[&script], "max-disorder=0s,max-drift=1s", 2, &[]));
    script.record(0, 1_000);
    script.record(1, 90_000);
    running.waits_for("the hold", || script.is_held(1));
    // What is fetched of it meanwhile is kept, however its reading is described.
    script.record(1, 90_100);
    script.read(1, caught_up(0));
    script.record(0, 89_500);
    running.waits_for("the release", || !script.is_held(1));
    running.reaches(89_500);
    script.record(0, 90_050);
    running.reaches(90_050);
    running.waits_for("what was held", || running.split(1).watermark == Watermark::at(90_100));
    script.end();
    running.ends();
}

#[test]
fn flink_40234_an_old_confirmation_is_no_silence() {
    let script = Script::new("a", SPLITS);
    let running = run(job(&[&script], OPTIONS, 2, &[]));
    script.record(0, 1_000);
    script.record(1, 100);
    running.reaches(100);
    // Told again and again, while something takes long.
    running.reads(&script, 1, caught_up(5));
    for ms in [2_000, 3_000, 4_000] {
        running.settles_after(&script, 0, ms);
    }
    assert_eq!((running.operator(), running.split(1).idle), (Watermark::at(100), false));
    script.end();
    running.ends();
}

#[test]
fn time_never_goes_back_over_recoveries_and_starts() {
    let script = Script::new("a", SPLITS);
    let log = MemoryLog::default();
    let running = Running::start(job(&[&script], OPTIONS, 2, &[(6, Failure::BeforeCommit)]), Box::new(log.clone()));
    script.record(0, 100);
    running.reads(&script, 1, caught_up(0));
    running.waits_for("the record", || running.split(0).watermark == Watermark::at(100));
    running.reads(&script, 1, caught_up(20));
    // The other is idle, so time is that of the first; it is waited for again after the failure.
    running.reaches(100);
    running.settles_once(&script, 0, 100);
    running.reads(&script, 1, Reading::Flowing);
    while running.handle.status().restarts == 0 {
        running.settles_once(&script, 0, 100);
    }
    running.waits_for("the recovery", || running.handle.status().state == JobState::Running);
    assert_eq!(running.operator(), Watermark::at(100));
    script.record(1, 30);
    script.record(0, 200);
    running.waits_for("the records", || running.split(0).watermark == Watermark::at(200));
    running.settles_once(&script, 0, 200);
    assert_eq!(running.operator(), Watermark::at(100), "a split that wakes up behind holds it and sets nothing back");
    script.end();
    let job = running.ends();
    // Another process.
    script.resume();
    let again = Running::start(job, Box::new(log.reopened()));
    again.waits_for("the start", || again.handle.status().state == JobState::Running);
    again.settles_once(&script, 1, 31);
    assert_eq!(again.operator(), Watermark::at(100));
    assert_eq!([again.split(0).watermark, again.split(1).watermark].map(Watermark::number), [200, 31]);
    script.end();
    again.ends();
}

#[test]
fn a_bounded_read_leaves_time_where_it_is_and_a_drain_ends_it() {
    for drains in [false, true] {
        let script = Script::new("a", 1);
        let mut job = job(&[&script], OPTIONS, 2, &[]);
        job.options.drains = drains;
        script.record(0, 70);
        script.read(0, Reading::Bound);
        script.end();
        let log = MemoryLog::default();
        let running = Running::start(job, Box::new(log.clone()));
        let handle = running.handle.clone();
        let mut job = running.ends();
        let expected = if drains { Watermark::END } else { Watermark::at(70) };
        assert_eq!(handle.status().operators.last().unwrap().watermark, expected);
        // The next start goes on from what stood before the end.
        job.options.drains = false;
        script.resume();
        script.read(0, Reading::Flowing);
        let again = Running::start(job, Box::new(log.reopened()));
        again.reaches(70);
        script.record(0, 80);
        again.reaches(80);
        script.end();
        again.ends();
    }
}

#[test]
fn a_source_that_ends_for_good_ends_time() {
    let script = Script::new("a", 1);
    script.record(0, 70);
    script.read(0, Reading::Ended);
    script.end();
    let running = run(job(&[&script], OPTIONS, 2, &[]));
    let handle = running.handle.clone();
    running.ends();
    assert_eq!(handle.status().operators.last().unwrap().watermark, Watermark::END);
}
