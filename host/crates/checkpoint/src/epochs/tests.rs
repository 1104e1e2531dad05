//! Random orders of events against a Kafka and a log in memory, with a crash at any step: whatever happened, the next
//! start finds the epoch that holds, and nothing was committed that must not be.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weir_core::ports::Committed;
use weir_core::{Digest, SourceName, SplitId};

use super::*;
use crate::course::Course;
use crate::manifest::{Error, Reader};
use crate::resolve::{Facts, Start, resolve};
use crate::samples::{job, split, wanted};

/// What outlives a crash, and what is under way to it.
struct World {
    delivery: Delivery,
    /// Names and whether they carry the marker.
    sources: Vec<bool>,
    log: Vec<(Manifest, Digest)>,
    /// A record that is written and not yet known to be durable, after whom it belongs.
    writing: Option<(Manifest, Digest)>,
    committed: BTreeMap<SplitId, (i64, String)>,
    committing: Option<Commit>,
    /// Every epoch whose commit is certain, newest last, with the positions of all splits.
    held: Vec<(Epoch, Vec<SplitState>)>,
    attempts: u32,
    /// The process that runs now.
    process: Process,
}

/// One that recovers in place. Each asks for another number of tasks than the one before.
struct Process {
    tasks: u16,
    course: Course,
    attempts: Vec<AttemptId>,
}

impl Process {
    fn new(tasks: u16, marker: MarkerPlace) -> Self {
        Self { tasks, course: Course::new(wanted(tasks, &["n"], marker)), attempts: Vec::new() }
    }

    /// The plan of its next attempt, which restores `held`.
    fn plan(&mut self, attempt: &AttemptId, held: Option<&Manifest>, sources: &[SourceEntry]) -> Plan {
        let is_own = |held: &Manifest| self.attempts.contains(&held.attempt);
        let is_applied = self.course.is_applied() || held.is_some_and(is_own);
        held.into_iter().for_each(|held| self.course.check(held).unwrap());
        self.course.restore(held);
        assert_eq!(self.course.is_applied(), is_applied, "what holds says what is applied");
        let (plan, notes) = self.course.plan(attempt, sources).unwrap();
        assert!(notes.is_empty() && plan.fits(sources));
        let count = plan.graph.find("count").map(|id| plan.graph.parallelism(id));
        assert_eq!(count, Some(self.tasks), "an attempt runs what was asked for, whatever was restored");
        if let Some(held) = held {
            let numbers = |plan: &Plan| plan.operators.iter().map(|o| (o.id, o.tables[0].id)).collect::<Vec<_>>();
            assert_eq!(numbers(&plan), numbers(&held.plan), "state is found again");
        }
        self.attempts.push(attempt.clone());
        plan
    }
}

/// A choice below `n` from the test's bytes; the first one when they have run out.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> Option<usize> {
        self.0.next().map(|byte| usize::from(*byte) % n)
    }
}

/// What an epoch under way still has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Source(usize),
    Task,
    Flush,
    Verify,
    Log,
    Commit,
}

const TASKS: usize = 2;

fn manifest_of(record: &Record) -> (Manifest, Digest) {
    Reader::default().read(&record.manifest, || Ok::<_, Error>(record.plan.bytes.clone())).unwrap()
}

/// Where the marker of a job with these sources stands.
fn place_of(sources: &[bool]) -> MarkerPlace {
    if sources.contains(&true) { MarkerPlace::Splits } else { MarkerPlace::Nowhere }
}

impl World {
    fn new(delivery: Delivery, sources: Vec<bool>) -> Self {
        let (log, held) = (Vec::new(), Vec::new());
        let committed = BTreeMap::new();
        let process = Process::new(1, place_of(&sources));
        Self { delivery, sources, log, writing: None, committed, committing: None, held, attempts: 0, process }
    }

    fn place(&self) -> MarkerPlace {
        place_of(&self.sources)
    }

    fn log_decides(&self) -> bool {
        self.delivery != Delivery::ExactlyOnce || self.place() == MarkerPlace::Nowhere
    }

    fn entry(&self, at: usize, splits: Vec<SplitState>) -> SourceEntry {
        let (name, marked) = (SourceName::new(format!("s{at}")), self.sources[at]);
        SourceEntry { name, marked, start: None, splits }
    }

    fn all(manifest: &Manifest) -> Vec<SplitState> {
        manifest.splits().map(|(_, s)| s).collect()
    }

    /// A write under way reached the disk or did not; a commit, the broker.
    fn settle(&mut self, choices: &mut Choices<'_>) {
        if let Some(record) = self.writing.take().filter(|_| choices.below(2) == Some(1)) {
            self.log.push(record);
        }
        if let Some(commit) = self.committing.take().filter(|_| choices.below(2) == Some(1)) {
            self.happen(commit);
        }
    }

    /// The record that the next start restores, checked against what is known to hold.
    fn restore(&mut self) -> Option<(Manifest, Digest)> {
        let metadata = |marker: &String| marker.clone().into_bytes();
        let committed: Vec<_> = self
            .committed
            .iter()
            .map(|(split, (position, marker))| Committed {
                split: split.clone(),
                position: *position,
                metadata: metadata(marker),
            })
            .collect();
        let (job, place, delivery) = (job(), self.place(), self.delivery);
        let facts = Facts {
            job: &job,
            shard: ShardId(0),
            log: &self.log,
            committed: &committed,
            place: &place,
            delivery,
            stateless: false,
        };
        match resolve(facts).expect("what crashed by itself can start") {
            Start::First | Start::FirstAgain => {
                assert!(self.held.is_empty(), "{:?} holds, and the start forgets it", self.held.last());
                self.log.clear();
                None
            }
            Start::Resume { index, ahead } => {
                assert_eq!(ahead, None, "every record was logged before its commit");
                let (manifest, digest) = self.log[index].clone();
                self.log.truncate(index + 1);
                // Nothing that holds is forgotten, and where Kafka decides nothing is restored that does not hold.
                let newest = self.held.last().map(|(epoch, _)| *epoch);
                assert!(newest.is_none_or(|newest| manifest.epoch >= newest), "{newest:?} holds, {manifest:?}");
                if !self.log_decides() {
                    assert_eq!(Some(manifest.epoch), newest, "one transaction wrote output, positions and marker");
                }
                if newest == Some(manifest.epoch) {
                    assert_eq!(self.held.last().map(|(_, splits)| splits.clone()), Some(Self::all(&manifest)));
                }
                Some((manifest, digest))
            }
            Start::FromMarker { .. } => panic!("the log was there"),
        }
    }

    fn recover(&mut self, choices: &mut Choices<'_>) -> Beginning {
        self.settle(choices);
        if choices.below(3) == Some(0) {
            self.process = Process::new(self.process.tasks % 3 + 1, self.place());
        }
        let after = self.restore();
        self.attempts += 1;
        let attempt = AttemptId(format!("a{}", self.attempts));
        let sources = match &after {
            Some((manifest, _)) => manifest.sources(),
            None => (0..self.sources.len()).map(|at| self.entry(at, vec![split(&format!("t{at}"), 0, 0)])).collect(),
        };
        let plan = self.process.plan(&attempt, after.as_ref().map(|(manifest, _)| manifest), &sources);
        Beginning {
            job: job(),
            shard: ShardId(0),
            attempt,
            delivery: self.delivery,
            after: after.map(|(manifest, digest)| RecordId { epoch: manifest.epoch, digest }),
            plan,
            sources,
            times: Times::default(),
        }
    }

    fn happen(&mut self, commit: Commit) {
        let (manifest, _) = self.log.last().expect("I1: logged before it was committed").clone();
        assert_eq!(manifest.epoch, commit.epoch, "I1, I3");
        for (split, position) in commit.positions {
            self.committed.insert(split, (position, commit.marker.clone()));
        }
        self.held.push((manifest.epoch, Self::all(&manifest)));
    }

    /// One attempt, until the test's bytes make it crash or run out. False when they have.
    fn attempt(&mut self, choices: &mut Choices<'_>) -> bool {
        let opening = Opening::new(self.recover(choices));
        let first = manifest_of(opening.record());
        if choices.below(8) == Some(0) {
            self.writing = Some(first);
            return true;
        }
        self.log.push(first);
        let pace = Pace {
            interval: Duration::from_millis(10),
            keep_alive: Duration::from_secs(3600),
            log_decides: self.log_decides(),
        };
        let mut splits: Vec<Vec<SplitState>> = opening.sources().iter().map(|s| s.splits.clone()).collect();
        let (mut epochs, command) = opening.run(pace, splits.len() + TASKS);
        let (mut due, mut now) = (Vec::new(), Duration::ZERO);
        let mut told = Told::default();
        self.obey(command, &mut due, &told);
        loop {
            let Some(choice) = choices.below(due.len() + 3) else { return false };
            let epoch = epochs.machine().epoch();
            let event = match choice.checked_sub(3).map(|at| due.remove(at)) {
                None if choice == 0 && choices.below(4) == Some(0) => return true,
                None if choice == 1 => Event::Full(epoch),
                None => {
                    now += Duration::from_millis(11);
                    Event::Tick { now, active: true }
                }
                Some(due) => self.answer(due, epoch, (&mut splits, &mut told), choices),
            };
            if let Some(command) = epochs.step(event).unwrap() {
                if matches!(command, Command::Barrier { .. }) {
                    told = Told::default();
                }
                self.obey(command, &mut due, &told);
            }
        }
    }

    /// What was due comes.
    fn answer(
        &mut self,
        due: Due,
        epoch: Epoch,
        (splits, told): (&mut [Vec<SplitState>], &mut Told),
        choices: &mut Choices<'_>,
    ) -> Event {
        match due {
            Due::Source(source) => {
                let all = &mut splits[source];
                all.iter_mut().for_each(|split| split.position += 5);
                if choices.below(4) == Some(0) {
                    all.push(split(&format!("t{source}"), i32::try_from(all.len()).unwrap(), 1));
                }
                told.sealed += 1;
                Event::SourceSealed {
                    epoch,
                    source,
                    splits: all.clone(),
                    changes: Changes::default(),
                    times: TaskTimes::default(),
                }
            }
            Due::Task => {
                told.sealed += 1;
                Event::Sealed { epoch, changes: Changes::default(), times: TaskTimes::default() }
            }
            Due::Flush => {
                told.flushed = true;
                Event::Flushed(epoch)
            }
            Due::Verify => {
                told.verified += 1;
                Event::Verified(epoch)
            }
            Due::Log => {
                self.log.push(self.writing.take().unwrap());
                Event::Logged(epoch)
            }
            Due::Commit => {
                let commit = self.committing.take().unwrap();
                self.happen(commit);
                Event::Committed(epoch)
            }
        }
    }

    /// Does what the machine says, and checks that it may say so.
    fn obey(&mut self, command: Command, due: &mut Vec<Due>, told: &Told) {
        let is_outside_done = told.flushed && told.verified == self.sources.len();
        match command {
            Command::Barrier { epoch, .. } => {
                assert!(due.is_empty() && self.committing.is_none() && self.writing.is_none(), "I2");
                assert!(self.held.last().is_some_and(|(held, _)| held.next() == epoch), "I2: the one before holds");
                due.extend((0..self.sources.len()).map(Due::Source));
                due.extend([Due::Task; TASKS]);
                due.push(Due::Flush);
                due.extend(self.sources.iter().map(|_| Due::Verify));
            }
            Command::WriteLog(record) => {
                assert_eq!(told.sealed, self.sources.len() + TASKS, "everybody has sealed");
                assert!(
                    !self.log_decides() || is_outside_done,
                    "a record that decides stands for output that is there"
                );
                let (manifest, digest) = manifest_of(&record);
                assert_eq!(record.id, RecordId { epoch: manifest.epoch, digest: digest.clone() });
                assert_eq!(manifest.previous.as_ref(), self.log.last().map(|(_, digest)| digest), "the chain");
                self.writing = Some((manifest, digest));
                due.push(Due::Log);
            }
            Command::Commit(commit) => {
                let (manifest, digest) = self.log.last().unwrap();
                let is_first = self.held.iter().all(|(epoch, _)| *epoch < manifest.epoch) && told.sealed == 0;
                assert!(self.writing.is_none() && manifest.epoch == commit.epoch, "I1");
                assert!(is_first || is_outside_done, "I11, and every acknowledgement");
                assert!(self.held.last().is_none_or(|(held, _)| *held < commit.epoch), "I3");
                let marker = Marker::parse(commit.marker.as_bytes()).unwrap();
                assert_eq!(
                    (&marker.epoch, &marker.attempt, &marker.digest),
                    (&manifest.epoch, &manifest.attempt, digest),
                    "I5"
                );
                let wanted: Vec<_> = manifest.marked().map(|(_, s)| (s.split, s.position)).collect();
                assert_eq!(commit.positions, wanted, "I6, I10");
                self.committing = Some(commit);
                due.push(Due::Commit);
            }
            Command::Apply(id) => {
                let (manifest, digest) = self.log.last().unwrap();
                assert_eq!(id, RecordId { epoch: manifest.epoch, digest: digest.clone() });
                assert_eq!(self.held.last().map(|(epoch, _)| *epoch), Some(id.epoch), "redo only: it holds");
            }
        }
    }
}

/// What an epoch was told of.
#[derive(Debug, Default)]
struct Told {
    sealed: usize,
    flushed: bool,
    verified: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_the_order_a_crash_costs_a_replay_and_nothing_else(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        exactly_once in any::<bool>(),
        sources in proptest::sample::select(vec![vec![true], vec![true, false], vec![false, true, true], vec![false]]),
    ) {
        let delivery = if exactly_once { Delivery::ExactlyOnce } else { Delivery::AtLeastOnce };
        let mut world = World::new(delivery, sources);
        let mut choices = Choices(bytes.iter());
        while world.attempt(&mut choices) {}
        world.recover(&mut Choices([].iter()));
    }
}

fn opening(sources: Vec<SourceEntry>) -> Opening {
    let (attempt, mut course) = (AttemptId("a".into()), Course::new(wanted(1, &[], MarkerPlace::Splits)));
    let (plan, _) = course.plan(&attempt, &sources).unwrap();
    Opening::new(Beginning {
        job: job(),
        shard: ShardId(0),
        attempt,
        delivery: Delivery::ExactlyOnce,
        after: None,
        plan,
        sources,
        times: Times::default(),
    })
}

/// One source and nothing else, whose first epoch holds and whose second has its barrier.
fn sealing(splits: Vec<SplitState>) -> Epochs {
    let pace = Pace { interval: Duration::from_millis(1), keep_alive: Duration::from_secs(1), log_decides: false };
    let source = SourceEntry { name: SourceName::new("in"), marked: true, start: Some("earliest".into()), splits };
    let (mut epochs, command) = opening(vec![source]).run(pace, 1);
    assert!(matches!(command, Command::Commit(Commit { epoch: Epoch(1), .. })));
    assert!(matches!(epochs.step(Event::Committed(Epoch(1))), Ok(Some(Command::Apply(_)))));
    let tick = Event::Tick { now: Duration::from_millis(1), active: true };
    assert_eq!(epochs.step(tick), Ok(Some(Command::Barrier { epoch: Epoch(2), last: false })));
    epochs
}

fn sealed(splits: Vec<SplitState>, deltas: &[Delta]) -> Event {
    Event::SourceSealed {
        epoch: Epoch(2),
        source: 0,
        splits,
        changes: Changes::of(deltas),
        times: TaskTimes::default(),
    }
}

#[test]
fn a_record_sums_up_the_deltas_in_the_order_they_came() {
    let delta = |text: &'static str| Delta { entries: 1, payload: text.as_bytes().into() };
    let mut epochs = sealing(vec![split("t", 0, 0)]);
    let command = epochs.step(sealed(vec![split("t", 0, 9)], &[delta("ab"), delta("c")])).unwrap();
    let Some(Command::WriteLog(record)) = command else { panic!("{command:?}") };
    let (manifest, _) = manifest_of(&record);
    assert_eq!((manifest.delta_entries, manifest.delta_crc32c), (2, crc32c::crc32c(b"abc")));
    assert!(!manifest.first && manifest.plan.sources[0].start.is_none(), "{manifest:?}");
    let parts = Changes::of(&[delta("ab")]).then(Changes::of(&[])).then(Changes::of(&[delta("c")]));
    assert_eq!(parts, Changes::of(&[delta("abc")]).then(Changes { entries: 1, ..Changes::default() }));
}

/// Takes the epoch under way to its end, where one source stands at `splits`, and begins the next.
fn go_round(epochs: &mut Epochs, epoch: Epoch, splits: Vec<SplitState>) -> Record {
    let (changes, times) = (Changes::default(), TaskTimes::default());
    let sealed = epochs.step(Event::SourceSealed { epoch, source: 0, splits, changes, times }).unwrap();
    let Some(Command::WriteLog(record)) = sealed else { panic!("{sealed:?}") };
    assert_eq!(epochs.step(Event::Logged(epoch)), Ok(None));
    assert_eq!(epochs.step(Event::Flushed(epoch)), Ok(None));
    assert!(matches!(epochs.step(Event::Verified(epoch)), Ok(Some(Command::Commit(_)))));
    assert!(matches!(epochs.step(Event::Committed(epoch)), Ok(Some(Command::Apply(_)))));
    let tick = Event::Tick { now: Duration::from_secs(epoch.0), active: true };
    assert!(matches!(epochs.step(tick), Ok(Some(Command::Barrier { .. }))));
    record
}

/// At ten epochs a second: one per cent of a core, 200 KB of log a second, and one plan for all.
#[expect(clippy::disallowed_methods, reason = "it measures, and decides nothing")]
#[test]
fn a_thousand_splits_of_which_few_move_cost_an_epoch_little() {
    let identity = Some("2CgXeYzvQsmYhY7tLXvcaA".to_owned());
    let one =
        |number| SplitState { identity: identity.clone(), term: Some(17), ..split("clicks", number, 5_000_000_000) };
    let mut splits: Vec<SplitState> = (0..1_000).map(one).collect();
    let mut epochs = sealing(splits.clone());
    let (mut plan, mut took) = (None, Vec::new());
    for epoch in 2..1_002_u64 {
        let at = epoch as usize % 1_000;
        splits[at].position += 1;
        // The source task makes a copy for each epoch.
        let began = std::time::Instant::now();
        let record = go_round(&mut epochs, Epoch(epoch), splits.clone());
        took.push(began.elapsed());
        assert!(record.manifest.len() <= 20_000, "{} bytes", record.manifest.len());
        let plan = plan.get_or_insert_with(|| Arc::clone(&record.plan));
        assert!(Arc::ptr_eq(plan, &record.plan), "epoch {epoch} has a plan of its own");
    }
    // Not the mean: what else the machine does is none of its cost.
    took.sort();
    assert!(took[500] < Duration::from_millis(1), "{:?} an epoch", took[500]);
}

#[test]
fn a_split_that_is_lost_is_a_bug_and_not_a_commit_without_it() {
    let two = || vec![split("t", 0, 0), split("t", 1, 0)];
    for lost in [vec![split("t", 0, 5)], vec![split("t", 1, 5), split("t", 0, 5)], Vec::new()] {
        assert!(sealing(two()).step(sealed(lost, &[])).is_err());
    }
    assert!(sealing(two()).step(sealed(two(), &[])).is_ok());
    let elsewhere = Event::SourceSealed {
        epoch: Epoch(2),
        source: 1,
        splits: two(),
        changes: Changes::default(),
        times: TaskTimes::default(),
    };
    assert!(sealing(two()).step(elsewhere).is_err(), "a source that is not there");
    // A task speaks for the source, which has not sealed.
    let other = Event::Sealed { epoch: Epoch(2), changes: Changes::default(), times: TaskTimes::default() };
    assert!(sealing(two()).step(other).is_err());
}

#[test]
fn the_words_of_the_first_start_stay_until_something_was_read() {
    for (now, is_kept) in [(0, true), (1, false)] {
        let command = sealing(vec![split("t", 0, 0)]).step(sealed(vec![split("t", 0, now)], &[])).unwrap();
        let Some(Command::WriteLog(record)) = command else { panic!("{command:?}") };
        assert_eq!(manifest_of(&record).0.plan.sources[0].start.is_some(), is_kept, "at {now}");
    }
    // A split that was found may have been read already.
    let command = sealing(vec![]).step(sealed(vec![split("t", 0, 7)], &[])).unwrap();
    let Some(Command::WriteLog(record)) = command else { panic!("{command:?}") };
    assert!(manifest_of(&record).0.plan.sources[0].start.is_none());
}

#[test]
fn a_change_is_in_the_record_of_the_next_epoch() {
    let pace = Pace { interval: Duration::from_secs(9), keep_alive: Duration::from_secs(9), log_decides: false };
    let splits = vec![split("t", 0, 0)];
    let source = SourceEntry { name: SourceName::new("in"), marked: true, start: None, splits: splits.clone() };
    let (mut epochs, _) = opening(vec![source]).run(pace, 1);
    let mut changed = Numbered::of(&epochs.manifest().plan);
    changed.operators[0].plugin.version = "2".into();
    assert!(epochs.step(Event::Change(changed.clone())).is_err(), "only between two epochs");
    epochs.step(Event::Committed(Epoch(1))).unwrap();
    assert_eq!(epochs.step(Event::Change(changed.clone())), Ok(None));
    // At once, though nothing was read.
    let barrier = epochs.step(Event::Tick { now: Duration::ZERO, active: false });
    assert_eq!(barrier, Ok(Some(Command::Barrier { epoch: Epoch(2), last: false })));
    let command = epochs.step(sealed(splits, &[])).unwrap();
    let Some(Command::WriteLog(record)) = command else { panic!("{command:?}") };
    let (manifest, _) = manifest_of(&record);
    assert_eq!((&manifest.plan.operators, manifest.plan.next_operator), (&changed.operators, changed.next));
}
