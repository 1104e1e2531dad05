//! Versions that take over while the job runs: whatever happens meanwhile, each key's output is exactly 1..n, and the epoch
//! that holds says which version runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_checkpoint::{Plan, Turn};
use weir_core::ports::{Call, CallError, Effects, EpochLog as _, Operator, OperatorFactory, PluginDescription};
use weir_core::{Digest, Fault, PortError};
use weir_runtime::{Error, Job, JobHandle, JobState, NotSwapped, Shelf, Swap, Swapped};

use crate::world::{CountFactory, Failure, MemoryLog, World};
use crate::{KEYS, PARTITIONS, job};

/// As many as a job lasts long enough with for some swaps, on a machine that is busy.
const RECORDS: i64 = 6_000;

/// Counts as the first version does, under a digest of its own, and perhaps badly.
struct Version {
    count: CountFactory,
    description: PluginDescription,
    digest: Digest,
    /// Traps on its first call after this is set.
    traps: Arc<AtomicBool>,
}

impl Version {
    fn new(version: &str, tables: &[&str]) -> Arc<Self> {
        // The counter knows the first alone.
        let kinds = std::iter::once("value").chain(std::iter::repeat("list"));
        let table = |(table, kind)| format!(r#"{{"name":"{table}","kind":"{kind}","schema":"u64"}}"#);
        let tables: Vec<_> = tables.iter().zip(kinds).map(table).collect();
        let text = format!(r#"{{"name":"count","version":"{version}","tables":[{}]}}"#, tables.join(","));
        let (description, digest) = (serde_json::from_str(&text).unwrap(), Digest(format!("{version:0>64}")));
        Arc::new(Self { count: CountFactory::new(), description, digest, traps: Arc::default() })
    }
}

impl OperatorFactory for Version {
    fn description(&self) -> &PluginDescription {
        &self.description
    }
    fn digest(&self) -> &Digest {
        &self.digest
    }
    fn instantiate(&self, task: &str, config: &str) -> Result<Box<dyn Operator>, PortError> {
        if config == "\"shut\"" {
            return Err(PortError::new(Fault::User, "it does not open"));
        }
        Ok(Box::new(Running(self.count.instantiate(task, config)?, Arc::clone(&self.traps))))
    }
}

struct Running(Box<dyn Operator>, Arc<AtomicBool>);

impl Operator for Running {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        // So that the job lasts.
        std::thread::sleep(Duration::from_micros(20) * call.frame.len() as u32);
        if self.1.load(Ordering::Relaxed) {
            return Err(CallError::Trapped { message: "bad version".into() });
        }
        self.0.process(call, effects)
    }
}

/// What took over, by its digest, and the history.
#[derive(Default)]
pub(crate) struct MemoryShelf {
    plugins: Mutex<Vec<Arc<Version>>>,
    history: Mutex<Vec<Turn>>,
}

impl Shelf for MemoryShelf {
    fn find(&self, _: &str, digest: &Digest) -> Result<Arc<dyn OperatorFactory>, PortError> {
        let plugins = self.plugins.lock().unwrap();
        let found = plugins.iter().find(|plugin| plugin.digest == *digest);
        let found = found.ok_or_else(|| PortError::new(Fault::Corrupt, "it is not there"))?;
        Ok(Arc::<Version>::clone(found))
    }
    fn history(&self) -> Vec<Turn> {
        self.history.lock().unwrap().clone()
    }
    fn note(&self, turn: &Turn) {
        self.history.lock().unwrap().push(turn.clone());
    }
}

/// A job that can be stopped and started again with its directory.
struct Place {
    world: Arc<World>,
    log: MemoryLog,
    shelf: Arc<MemoryShelf>,
    job: Option<Job>,
}

impl Place {
    fn new(failures: &[(u64, Failure)]) -> Self {
        let world = Arc::new(World::new(PARTITIONS, RECORDS, KEYS, failures));
        Self { world, log: MemoryLog::default(), shelf: Arc::default(), job: None }
    }

    /// Starts it with this version, and plays `scene` beside it; gives how it ended.
    fn run<T>(&mut self, version: &Arc<Version>, scene: impl FnOnce(&JobHandle) -> T + Send) -> (T, Result<(), Error>)
    where
        T: Send,
    {
        let mut next = job(&self.world, 2);
        next.operators[0].factory = Arc::<Version>::clone(version);
        next.shelf = Arc::<MemoryShelf>::clone(&self.shelf);
        if let Some(before) = self.job.take() {
            next.state = before.state;
        }
        let handle = next.handle();
        let log = Box::new(self.log.clone().reopened());
        let outcome = std::thread::scope(|scope| {
            let beside = scope.spawn(|| scene(&handle));
            let ended = next.run(log, &handle).map(drop);
            (beside.join().unwrap(), ended)
        });
        self.job = Some(next);
        outcome
    }

    /// The version that the newest record of the log has.
    fn recorded(&self) -> String {
        let log = self.log.clone().reopened();
        let plan: Plan = serde_json::from_slice(&log.plan(log.records().len() - 1).unwrap()).unwrap();
        plan.operators[0].plugin.version.clone()
    }
}

/// Swaps, as soon as the job runs; `None` once it has ended.
fn swap(
    handle: &JobHandle,
    shelf: &MemoryShelf,
    version: &Arc<Version>,
    change: impl Fn(&mut Swap),
) -> Option<Result<Swapped, NotSwapped>> {
    shelf.plugins.lock().unwrap().push(Arc::clone(version));
    loop {
        let factory: Arc<dyn OperatorFactory> = Arc::<Version>::clone(version);
        let operator = handle.status().operators[0].name.clone();
        let mut swap =
            Swap { operator, factory, windows: None, config: None, probation: Duration::from_secs(9), dry_run: false };
        change(&mut swap);
        match handle.swap(swap) {
            Err(NotSwapped::NotRunning("starting" | "recovering") | NotSwapped::Busy | NotSwapped::Undone) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(NotSwapped::NotRunning(_) | NotSwapped::Ended) => return None,
            outcome => return Some(outcome),
        }
    }
}

#[test]
fn versions_take_over_amid_the_stream_whatever_fails() {
    for failures in [
        vec![],
        vec![(3, Failure::BeforeCommit), (9, Failure::AfterCommit)],
        vec![(2, Failure::AfterCommit), (4, Failure::Fenced), (7, Failure::Write), (12, Failure::BeforeCommit)],
    ] {
        let (mut place, one, two) = (Place::new(&failures), Version::new("1", &["n"]), Version::new("2", &["n"]));
        let shelf = Arc::clone(&place.shelf);
        let (swaps, ended) = place.run(&one, |handle| {
            let mut swaps = 0;
            for version in [&two, &one].into_iter().cycle() {
                match swap(handle, &shelf, version, |_| ()) {
                    Some(Ok(Swapped { held: Some(_), .. })) => swaps += 1,
                    // A commit whose answer was lost, after which it is asked for again.
                    Some(Err(NotSwapped::Same(_))) => {}
                    Some(other) => panic!("{other:?}"),
                    None => break,
                }
            }
            swaps
        });
        ended.unwrap();
        place.world.assert_exact();
        assert!(swaps > 3, "{swaps} swaps with {failures:?}");
        let history = place.shelf.history();
        assert!(history.iter().all(|turn| turn.failure.is_none()));
        assert!(history.windows(2).all(|turns| turns[0].epoch < turns[1].epoch));
    }
}

#[test]
fn the_next_process_goes_on_with_what_took_over_unless_it_is_asked_for_another_file() {
    let (mut place, one, two, three) =
        (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n"]), Version::new("3", &["n"]));
    let shelf = Arc::clone(&place.shelf);
    place.world.limit_reads(RECORDS / 3);
    let (swapped, ended) = place.run(&one, |handle| swap(handle, &shelf, &two, |_| ()));
    ended.unwrap();
    assert!(matches!(swapped, Some(Ok(Swapped { held: Some(_), .. }))), "{swapped:?}");
    // The same command line, and what it names is what took over by now; or still the file of before.
    for (again, runs) in [(&one, "2"), (&two, "2"), (&one, "1"), (&three, "3"), (&one, "1")] {
        place.world.limit_reads(RECORDS / 3 + 1);
        let ((), ended) = place.run(again, |_| ());
        ended.unwrap();
        assert_eq!(place.recorded(), runs, "started with {}", again.description.version);
    }
    place.world.limit_reads(RECORDS);
    place.run(&one, |_| ()).1.unwrap();
    place.world.assert_exact();
}

#[test]
fn what_took_over_and_is_gone_is_refused_with_the_way_out() {
    let (mut place, one, two) = (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n"]));
    let shelf = Arc::clone(&place.shelf);
    place.world.limit_reads(RECORDS / 3);
    place.run(&one, |handle| swap(handle, &shelf, &two, |_| ())).1.unwrap();
    place.shelf = Arc::default();
    place.world.limit_reads(RECORDS);
    let error = place.run(&one, |_| ()).1.unwrap_err();
    let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    assert!(matches!(error, Error::Mismatch(_)) && text.contains("not in the state directory any more"), "{text}");
    // The very file is as good.
    place.run(&two, |_| ()).1.unwrap();
    place.world.assert_exact();
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let (mut place, one) = (Place::new(&[]), Version::new("1", &["n"]));
    let shelf = Arc::clone(&place.shelf);
    let ((), ended) = place.run(&one, |handle| {
        let (two, other) = (Version::new("2", &["n"]), Version::new("2", &["other"]));
        let ask = |version, change: fn(&mut Swap)| swap(handle, &shelf, version, change).unwrap();
        assert!(matches!(ask(&other, |_| ()), Err(NotSwapped::State(_))));
        assert!(matches!(ask(&one, |_| ()), Err(NotSwapped::Same(_))));
        assert!(matches!(ask(&two, |swap| swap.operator = "nobody".into()), Err(NotSwapped::Unknown { .. })));
        assert!(matches!(ask(&two, |swap| swap.config = Some("\"shut\"".into())), Err(NotSwapped::Open(_))));
        assert_eq!(ask(&two, |swap| swap.dry_run = true).unwrap().held, None);
        assert_eq!(handle.status().operators[0].plugin.version, "1");
    });
    ended.unwrap();
    place.world.assert_exact();
    assert_eq!((place.shelf.history(), place.recorded()), (vec![], "1".to_owned()));
}

/// Waits until the job runs this version.
fn wait_for(handle: &JobHandle, version: &str) {
    while handle.status().operators[0].plugin.version != version {
        let status = handle.status();
        assert!(
            !matches!(status.state, JobState::Finished | JobState::Failed),
            "{:?}: {:?}",
            status.state,
            status.last_error
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Version, and whether it was left because it failed, of each turn.
fn turns(history: &[Turn]) -> Vec<(&str, &str, bool)> {
    history.iter().map(|turn| (&*turn.from.version, &*turn.to.version, turn.failure.is_some())).collect()
}

#[test]
fn a_version_that_traps_on_probation_goes_back_by_itself() {
    for failures in [
        vec![],
        vec![(6, Failure::AfterCommit)],
        // In the moment of the switch, and of the failure.
        vec![(2, Failure::BeforeCommit), (3, Failure::AfterCommit), (4, Failure::Fenced), (5, Failure::BeforeCommit)],
    ] {
        let (mut place, one, two) =
            (Place::new(&failures), Version::new("1", &["n"]), Version::new("2", &["n", "more"]));
        let shelf = Arc::clone(&place.shelf);
        let (undone, ended) = place.run(&one, |handle| {
            two.traps.store(true, Ordering::Relaxed);
            swap(handle, &shelf, &two, |_| ()).unwrap().unwrap();
            wait_for(handle, "1");
            let undone = handle.rollback(&handle.status().operators[0].name).unwrap_err();
            // A good one of the same tables takes over as if nothing had been.
            two.traps.store(false, Ordering::Relaxed);
            swap(handle, &shelf, &two, |_| ()).unwrap().unwrap();
            undone
        });
        ended.unwrap();
        place.world.assert_exact();
        assert!(matches!(undone, NotSwapped::NoneBefore(_)), "{undone:?} with {failures:?}");
        assert_eq!(place.recorded(), "2");
        let history = place.shelf.history();
        assert_eq!(turns(&history), [("1", "2", false), ("2", "1", true), ("1", "2", false)], "{failures:?}");
        assert!(history[1].failure.as_ref().unwrap().contains("bad version"), "{history:?}");
    }
}

#[test]
fn what_is_asked_for_while_a_version_fails_condemns_no_other() {
    let (mut place, one, two, three) =
        (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n"]), Version::new("3", &["n"]));
    let shelf = Arc::clone(&place.shelf);
    let ((), ended) = place.run(&one, |handle| {
        two.traps.store(true, Ordering::Relaxed);
        swap(handle, &shelf, &two, |_| ()).unwrap().unwrap();
        swap(handle, &shelf, &three, |_| ()).unwrap().unwrap();
        assert_eq!(handle.status().operators[0].plugin.version, "3");
        // Two failed: so what was before it is what can be gone back to.
        handle.rollback(&handle.status().operators[0].name).unwrap();
        assert_eq!(handle.status().operators[0].plugin.version, "1");
    });
    ended.unwrap();
    place.world.assert_exact();
    let history = place.shelf.history();
    let failures = history.iter().filter(|turn| turn.failure.is_some());
    assert!(failures.clone().all(|turn| turn.from.version == "2" && turn.to.version == "1"), "{history:?}");
    assert_eq!((failures.count(), place.recorded().as_str()), (1, "1"), "{history:?}");
}

#[test]
fn a_probation_goes_on_after_a_start() {
    let (mut place, one, two) = (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n"]));
    let shelf = Arc::clone(&place.shelf);
    place.world.limit_reads(RECORDS / 3);
    place.run(&one, |handle| swap(handle, &shelf, &two, |_| ())).1.unwrap();
    two.traps.store(true, Ordering::Relaxed);
    place.world.limit_reads(RECORDS);
    place.run(&one, |_| ()).1.unwrap();
    place.world.assert_exact();
    assert_eq!(turns(&place.shelf.history()), [("1", "2", false), ("2", "1", true)]);
}

#[test]
fn a_start_with_another_file_is_a_turn_and_can_be_gone_back_from() {
    let (mut place, one, two) = (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n"]));
    place.shelf.plugins.lock().unwrap().push(Arc::clone(&one));
    place.world.limit_reads(RECORDS / 3);
    place.run(&one, |_| ()).1.unwrap();
    place.world.limit_reads(RECORDS);
    let (back, ended) = place.run(&two, |handle| {
        loop {
            match handle.rollback(&handle.status().operators[0].name) {
                Err(NotSwapped::NotRunning("starting") | NotSwapped::NoneBefore(_)) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                outcome => break outcome,
            }
        }
    });
    ended.unwrap();
    assert_eq!(back.unwrap().plugin.version, "1");
    place.world.assert_exact();
    assert_eq!(turns(&place.shelf.history()), [("1", "2", false), ("2", "1", false)]);
    // The same command line goes on with what was gone back to.
    place.world.limit_reads(RECORDS + 1);
    place.run(&two, |_| ()).1.unwrap();
    assert_eq!(place.recorded(), "1");
    assert_eq!(place.shelf.history().len(), 2);
}

#[test]
fn a_version_that_failed_is_not_run_by_a_start_that_names_its_file_and_one_that_did_not_goes_on_with_its_probation() {
    for traps_first in [true, false] {
        let (mut place, one, two) = (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n"]));
        let shelf = Arc::clone(&place.shelf);
        shelf.plugins.lock().unwrap().push(Arc::clone(&one));
        place.world.limit_reads(RECORDS / 3);
        let ((), ended) = place.run(&one, |handle| {
            two.traps.store(traps_first, Ordering::Relaxed);
            swap(handle, &shelf, &two, |_| ()).unwrap().unwrap();
            if traps_first {
                wait_for(handle, "1");
            }
        });
        ended.unwrap();
        two.traps.store(true, Ordering::Relaxed);
        place.world.limit_reads(RECORDS);
        place.run(&two, |_| ()).1.unwrap();
        place.world.assert_exact();
        assert_eq!(turns(&place.shelf.history()), [("1", "2", false), ("2", "1", true)], "{traps_first}");
        assert_eq!(place.recorded(), "1");
    }
}

#[test]
fn what_failed_on_probation_is_not_run_by_the_next_process() {
    let (mut place, one, two) = (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n", "more"]));
    let shelf = Arc::clone(&place.shelf);
    place.world.limit_reads(RECORDS / 3);
    place.run(&one, |handle| swap(handle, &shelf, &two, |_| ())).1.unwrap();
    assert_eq!(place.recorded(), "2");
    // It was killed after the failure was written down, and before an epoch held that had the version before.
    let took_over = place.shelf.history()[0].clone();
    let failed = Turn { from: took_over.to, to: took_over.from, failure: Some("trapped".into()), ..took_over };
    place.shelf.note(&failed);
    two.traps.store(true, Ordering::Relaxed);
    place.world.limit_reads(RECORDS / 2);
    place.run(&one, |_| ()).1.unwrap();
    assert_eq!(place.recorded(), "1");
    // Its table is gone with it, and in nobody's way.
    place.world.limit_reads(RECORDS);
    place.run(&one, |_| ()).1.unwrap();
    place.world.assert_exact();
    assert_eq!(place.shelf.history().len(), 2);
}

#[test]
fn a_job_that_has_ended_swaps_nothing_and_keeps_nobody_waiting() {
    let (mut place, one, two) = (Place::new(&[]), Version::new("1", &["n"]), Version::new("2", &["n"]));
    place.world.limit_reads(RECORDS / 3);
    let (handle, ended) = place.run(&one, Clone::clone);
    ended.unwrap();
    assert!(swap(&handle, &place.shelf, &two, |_| ()).is_none());
}
