//! What is known of the versions of a job, by the job and by whoever has its handle. Tasks, the coordinator, and the threads
//! of people who ask share it; nobody holds it for long, and nothing is loaded or written to disk while it is held.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_checkpoint::history::History;
use weir_checkpoint::inherit::{Numbered, inherit};
use weir_checkpoint::{Manifest, OperatorEntry, Plan, PluginEntry, Turn};
use weir_core::{Consent, Digest, Epoch, Fault, PortError, StateName};
use weir_machine::channel::{Receiver, RecvTimeoutError, bounded};
use weir_operator::Probation;

use super::{Answer, Asked, Held, NotSwapped, Pending, Reason, Shelf, Swapped, key_of};
use crate::clock;
use crate::error::{Error, chain};
use crate::job::OperatorSetup;

/// A version that failed and is not replaced yet, because its heir did not open, is looked at again after so long.
const RESTORE_EVERY: Duration = Duration::from_secs(5);

/// Shared by the job and by whoever has its handle.
#[derive(Clone)]
pub(crate) struct Versions(Arc<Shared>);

struct Shared {
    known: Mutex<Known>,
    shelf: Arc<dyn Shelf>,
    /// Whether there is something to write down.
    has_news: AtomicBool,
    /// Held by whoever writes the history, so that its lines come in order.
    writing: Mutex<()>,
}

/// A version that runs, in all tasks of its operator.
struct Running {
    setup: OperatorSetup,
    /// The epoch at whose end it began to, under this attempt.
    since: Epoch,
    /// What the last epoch that is known to hold has.
    held: Option<PluginEntry>,
    /// Whether it is being replaced, where it failed.
    restoring: Restoring,
}

#[derive(Clone, Copy)]
enum Restoring {
    No,
    /// What is to run instead is being loaded and opened.
    UnderWay,
    /// It was, and what came of it is with the coordinator, or was nothing.
    Tried(Instant),
}

struct Known {
    /// What the process was started with.
    started: Vec<OperatorSetup>,
    /// What else may run: it took over, now or before.
    others: Vec<OperatorSetup>,
    running: Vec<Running>,
    history: History,
    /// Turns that are not written down yet.
    news: VecDeque<Turn>,
    asked: Option<Asked>,
    pending: Option<Pending>,
    /// Which attempt of the process it is.
    attempt: u64,
    /// The newest epoch that holds.
    epoch: Epoch,
    /// Nobody is told anything any more.
    has_ended: bool,
}

/// Tells what happens in the tasks of an attempt.
#[derive(Clone)]
pub(crate) struct Witness {
    attempt: u64,
    versions: Versions,
}

impl Witness {
    /// The probation of what runs an operator since the end of `since`, and still `lasts` so long.
    pub(crate) fn probation(&self, operator: usize, since: Epoch, lasts: Duration) -> Probation {
        let Self { attempt, versions } = self.clone();
        Probation { lasts, failed: Box::new(move |why| versions.fell(attempt, (operator, since), &chain(why))) }
    }
}

/// A version that took over.
pub(crate) struct Taken {
    pub(crate) operator: usize,
    pub(crate) setup: OperatorSetup,
    answer: Answer,
    swapped: Swapped,
}

impl Taken {
    /// Once everybody can see it, whoever asked for it is told.
    pub(crate) fn tell(self) {
        self.answer.give(Ok(self.swapped));
    }
}

/// What an attempt runs.
pub(crate) struct Heirs {
    /// In the order of the job.
    pub(crate) running: Vec<OperatorSetup>,
    /// For each what waits to run again, and for how long, where its probation is not over.
    pub(crate) waiting: Vec<Option<(OperatorSetup, Duration)>>,
}

impl Versions {
    pub(crate) fn new(started: &[OperatorSetup], shelf: &Arc<dyn Shelf>) -> Self {
        let running = |setup: &OperatorSetup| Running {
            setup: setup.clone(),
            since: Epoch::default(),
            held: None,
            restoring: Restoring::No,
        };
        let known = Known {
            started: started.to_vec(),
            others: Vec::new(),
            running: started.iter().map(running).collect(),
            history: History::new(shelf.history()),
            news: VecDeque::new(),
            asked: None,
            pending: None,
            attempt: 0,
            epoch: Epoch::default(),
            has_ended: false,
        };
        let (known, has_news, writing) = (Mutex::new(known), AtomicBool::new(false), Mutex::new(()));
        Self(Arc::new(Shared { known, shelf: Arc::clone(shelf), has_news, writing }))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What there is.

    /// What runs the operators, in the order of the job.
    pub(crate) fn running(&self) -> Vec<OperatorSetup> {
        self.lock().running.iter().map(|runs| runs.setup.clone()).collect()
    }

    /// An operator by its name: its place in the job, what runs it, and what the process was started with.
    pub(crate) fn place(&self, operator: &str) -> Result<(usize, OperatorSetup, OperatorSetup), NotSwapped> {
        let known = self.lock();
        let at = known.running.iter().position(|runs| runs.setup.name == operator);
        let found = at.and_then(|at| Some((at, known.running.get(at)?.setup.clone(), known.started.get(at)?.clone())));
        found.ok_or_else(|| NotSwapped::Unknown {
            name: operator.to_owned(),
            known: known.started.iter().map(|setup| setup.name.clone()).collect(),
        })
    }

    /// What can be gone back to from what runs an operator.
    pub(crate) fn before(&self, operator: usize) -> Option<PluginEntry> {
        let known = self.lock();
        let setup = &known.running.get(operator)?.setup;
        known.history.before(&setup.name, &setup.entry()).cloned()
    }

    /// What is to run in the place of what runs an operator and failed; and the operator's name.
    pub(crate) fn heir(&self, operator: usize) -> Option<(String, PluginEntry)> {
        let known = self.lock();
        let setup = &known.running.get(operator)?.setup;
        Some((setup.name.clone(), known.owes(setup)?))
    }

    /// What took over from what, the oldest first.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        self.lock().history.turns().to_vec()
    }

    /// The digests of all that runs or may have to.
    pub(crate) fn in_use(&self) -> Vec<Digest> {
        let known = self.lock();
        let before = |runs: &Running| {
            let entry = runs.setup.entry();
            known.history.before(&runs.setup.name, &entry).map(|before| before.digest.clone())
        };
        let befores = known.running.iter().filter_map(before);
        let setups = known.started.iter().chain(&known.others).chain(known.running.iter().map(|runs| &runs.setup));
        setups.map(|setup| setup.factory.digest().clone()).chain(befores).collect()
    }

    /// A version of an operator: one that is at hand, or that the shelf has.
    pub(crate) fn find(&self, operator: &str, entry: &PluginEntry) -> Result<OperatorSetup, PortError> {
        let known = self.lock();
        if let Some(setup) = known.all().find(|setup| setup.is(operator, entry)) {
            return Ok(setup.clone());
        }
        let started = known.started.iter().find(|setup| setup.name == operator).cloned();
        drop(known);
        let factory = self.0.shelf.find(operator, &entry.digest)?;
        let started = started.ok_or_else(|| PortError::new(Fault::Bug, "there is no such operator"))?;
        let config = entry.took_over.as_ref().and_then(|took_over| took_over.config.clone());
        let setup = started.taken_over(factory, config.unwrap_or_else(|| started.config.clone()));
        self.lock().others.push(setup.clone());
        Ok(setup)
    }

    // What an attempt begins with.

    /// Learns from the records of the log, oldest first and up to this epoch, what took over and was not written down: a
    /// process was killed in that moment. What took over in this one is known.
    pub(crate) fn learn(&self, log: &[(Manifest, Digest)], held: Epoch) {
        let mut known = self.lock();
        if known.running.iter().any(|runs| runs.held.is_some()) {
            return;
        }
        for ((older, _), (newer, _)) in log.iter().zip(log.iter().skip(1)).filter(|(_, (newer, _))| newer.epoch <= held)
        {
            for entry in &newer.plan.operators {
                let was = older.plan.operators.iter().find(|was| was.name == entry.name);
                let Some(was) = was.filter(|was| !was.plugin.is(&entry.plugin)) else { continue };
                let (name, from, to) = (&entry.name, &was.plugin, &entry.plugin);
                if !known.history.has(name, (from, to), newer.epoch.0) {
                    let turn = known.turn(name, (from.clone(), to.clone()), newer.epoch);
                    known.note(turn);
                }
            }
        }
    }

    /// Has those versions at hand that may run where the process was started with another file; and gives what took over, as
    /// far as it is there.
    pub(crate) fn look_for(&self, entries: &[(String, PluginEntry)]) -> Vec<OperatorSetup> {
        let mut found = Vec::new();
        for (operator, entry) in entries {
            match self.find(operator, entry) {
                Ok(setup) => found.push(setup),
                Err(error) => {
                    let (digest, error) = (&entry.digest, chain(&error));
                    tracing::warn!(operator, %digest, error, "a version that took over cannot be loaded");
                }
            }
        }
        found
    }

    /// The plan that is restored, without what failed on probation since, unless that is asked for once more.
    pub(crate) fn amend(&self, plan: &mut Plan) -> Result<(), Error> {
        let mut declared = Vec::new();
        let mut heirs = Vec::new();
        for entry in &plan.operators {
            let known = self.lock();
            let is_wanted = known.pending.as_ref().is_some_and(|pending| pending.setup.is(&entry.name, &entry.plugin));
            let heir = known.history.heir(&entry.name, &entry.plugin).clone();
            drop(known);
            let (is_heir, plugin) = if is_wanted { (false, &entry.plugin) } else { (!heir.is(&entry.plugin), &heir) };
            let setup = self.find(&entry.name, plugin).map_err(Error::port("failed to load the version before"))?;
            declared.push(setup.declared(key_of(&plan.graph, &entry.name)));
            heirs.extend(is_heir.then_some(setup));
        }
        if heirs.is_empty() {
            return Ok(());
        }
        for heir in &heirs {
            let (operator, version, digest) = (&heir.name, heir.entry().version, heir.entry().digest);
            tracing::info!(operator, version, %digest, "the version before one that failed on probation goes on");
        }
        let consent = drop_surplus(&plan.operators, &heirs);
        let (numbered, _) = inherit(&Numbered::of(plan), &declared, &consent).map_err(Error::Mismatch)?;
        *plan = plan.running(numbered);
        Ok(())
    }

    /// An attempt runs `plan` from the end of `epoch` on, whose plan is `held`: what runs its operators, and what waits while
    /// that is on probation. A swap that waited for its epoch is told of it.
    pub(crate) fn run(&self, plan: &Plan, held: Option<&Plan>, epoch: Epoch) -> Result<Heirs, Error> {
        let names: Vec<_> = self.lock().started.iter().map(|setup| setup.name.clone()).collect();
        let planned = |name: &String| {
            let entry = plan.operators.iter().find(|entry| entry.name == *name);
            let missing = || Error::Invariant(format!("operator {name} is not in its plan"));
            self.find(name, &entry.ok_or_else(missing)?.plugin).map_err(Error::port("failed to load a plugin"))
        };
        let setups: Vec<_> = names.iter().map(planned).collect::<Result<_, _>>()?;
        let mut known = self.lock();
        if let Some(Pending { operator, setup, probation, reason, failure, answer }) = known.pending.take() {
            let holds = setups.get(operator).is_some_and(|runs| runs.is(&setup.name, &setup.entry()));
            if holds {
                known.took_over(operator, &setup, epoch, (probation, reason, failure));
            }
            let (plugin, took) = (setup.entry(), weir_machine::since(answer.began));
            let held = Held { epoch, paused: Duration::ZERO, took };
            answer.give(if holds { Ok(Swapped { plugin, held: Some(held) }) } else { Err(NotSwapped::Undone) });
        }
        for (runs, setup) in known.running.iter_mut().zip(&setups) {
            if runs.held.is_none() {
                let recorded = held.and_then(|held| held.operators.iter().find(|entry| entry.name == setup.name));
                runs.held = recorded.map(|entry| entry.plugin.clone());
            }
            (runs.setup, runs.since, runs.restoring) = (setup.clone(), epoch, Restoring::No);
        }
        known.attempt += 1;
        let now_ms = clock::now_ms();
        let waits = |setup: &OperatorSetup| {
            let entry = setup.entry();
            let left = known.history.probation(&setup.name, &entry, now_ms)?;
            Some((known.history.before(&setup.name, &entry)?.clone(), left))
        };
        let waits: Vec<_> = setups.iter().map(waits).collect();
        drop(known);
        self.publish();
        let waiting = setups.iter().zip(waits).map(|(setup, waits)| {
            let (before, left) = waits?;
            let found = self.find(&setup.name, &before);
            let found = found.inspect_err(|error| {
                let error = chain(error);
                tracing::warn!(operator = %setup.name, error, "the version before cannot be loaded: the probation is over");
            });
            Some((found.ok()?, left))
        });
        let waiting = waiting.collect();
        self.lock().forget();
        Ok(Heirs { waiting, running: setups })
    }

    // What happens while it runs.

    /// Somebody asks for a swap. The coordinator looks at it when it can.
    pub(crate) fn ask(&self, asked: Asked) {
        let mut known = self.lock();
        match () {
            () if known.has_ended => asked.answer.give(Err(NotSwapped::Ended)),
            () if known.asked.is_some() || known.pending.is_some() => asked.answer.give(Err(NotSwapped::Busy)),
            // Some tasks run the version before again: what took over now would have the failed one beside it in others.
            () if asked.reason != Reason::Failure && known.owes_at(asked.operator) => {
                asked.answer.give(Err(NotSwapped::Busy));
            }
            () => known.asked = Some(asked),
        }
    }

    /// What was asked for, once, and is still to be done.
    pub(crate) fn asked(&self) -> Option<Asked> {
        let mut known = self.lock();
        let asked = known.asked.take()?;
        let runs = known.running.get(asked.operator).map(|runs| runs.setup.entry());
        let is_there = runs.is_some_and(|runs| runs.is(&asked.setup.entry()));
        match (asked.reason, known.owes_at(asked.operator)) {
            (Reason::Failure, false) => None,
            (Reason::Wanted | Reason::Back, true) => {
                asked.answer.give(Err(NotSwapped::Busy));
                None
            }
            _ if is_there => {
                asked.answer.give(Err(NotSwapped::Same(asked.setup.name)));
                None
            }
            _ => Some(asked),
        }
    }

    /// An operator whose version failed on probation, and is still to be replaced; again and again, until it is.
    pub(crate) fn owed(&self) -> Option<usize> {
        let mut known = self.lock();
        let is_due = |restoring: Restoring| match restoring {
            Restoring::No => true,
            Restoring::UnderWay => false,
            Restoring::Tried(at) => weir_machine::since(at) >= RESTORE_EVERY,
        };
        let owed = (0..known.running.len())
            .find(|at| known.owes_at(*at) && known.running.get(*at).is_some_and(|runs| is_due(runs.restoring)))?;
        known.running.get_mut(owed)?.restoring = Restoring::UnderWay;
        Some(owed)
    }

    /// Whoever was to have it replaced has done what he can.
    pub(crate) fn tried(&self, operator: usize) {
        if let Some(runs) = self.lock().running.get_mut(operator) {
            runs.restoring = Restoring::Tried(weir_machine::now());
        }
    }

    /// From the end of the next epoch on this is to run: a recovery may need it.
    pub(crate) fn begin(&self, pending: Pending) {
        let mut known = self.lock();
        let (name, entry) = (&pending.setup.name, pending.setup.entry());
        known.others.retain(|setup| !setup.is(name, &entry));
        known.others.push(pending.setup.clone());
        known.pending = Some(pending);
    }

    /// This epoch holds; and with it what began to run at its end, if something did, for which tasks stood still so long.
    /// Gives that.
    pub(crate) fn hold(&self, epoch: Epoch, switched: Option<Duration>) -> Option<Taken> {
        let mut known = self.lock();
        known.epoch = epoch;
        known.note_held();
        let mut taken = None;
        if let Some(paused) = switched
            && let Some(Pending { operator, setup, probation, reason, failure, answer }) = known.pending.take()
        {
            known.took_over(operator, &setup, epoch, (probation, reason, failure));
            if let Some(runs) = known.running.get_mut(operator) {
                (runs.setup, runs.since, runs.restoring) = (setup.clone(), epoch, Restoring::No);
            }
            known.forget();
            let (plugin, took) = (setup.entry(), weir_machine::since(answer.began));
            let swapped = Swapped { plugin, held: Some(Held { epoch, paused, took }) };
            taken = Some(Taken { operator, setup, answer, swapped });
        }
        drop(known);
        self.publish();
        taken
    }

    /// For the tasks of the attempt under way.
    pub(crate) fn witness(&self) -> Witness {
        Witness { attempt: self.lock().attempt, versions: self.clone() }
    }

    /// What runs an operator since the end of `since` failed on probation in a task, for this reason: the one before it runs
    /// there again, and is to run everywhere.
    fn fell(&self, attempt: u64, (operator, since): (usize, Epoch), why: &str) {
        let mut known = self.lock();
        // A thread that was left behind has nothing to say of what runs now.
        if known.attempt != attempt {
            return;
        }
        let Some(runs) = known.running.get(operator) else { return };
        let (name, runs_since) = (runs.setup.name.clone(), runs.since);
        if let Some(pending) =
            known.pending.as_mut().filter(|pending| pending.operator == operator && since > runs_since)
        {
            // Its tasks run it, and its epoch does not hold yet.
            if pending.failure.is_none() {
                tell_failure(&name, &pending.setup.entry(), why);
                pending.failure = Some(why.to_owned());
            }
            return;
        }
        let Some((failed, before)) = known.fallen(operator, since) else { return };
        if known.history.failed(&name, &failed).is_none() {
            tell_failure(&name, &failed, why);
            known.note_failure(&name, (failed, before), why.to_owned());
        }
        drop(known);
        self.publish();
    }

    /// The attempt has ended: what was asked of it and not begun is not done under another one, whenever that comes.
    pub(crate) fn interrupt(&self) {
        let asked = self.lock().asked.take();
        asked.into_iter().for_each(|asked| asked.answer.give(Err(NotSwapped::NotRunning("recovering"))));
    }

    /// Takes back what was asked for, if nobody has begun with it.
    pub(crate) fn withdraw(&self) -> bool {
        self.lock().asked.take_if(|asked| asked.reason != Reason::Failure).is_some()
    }

    /// Nobody is told any more: the job has ended.
    pub(crate) fn end(&self) {
        let mut known = self.lock();
        known.has_ended = true;
        let asked = known.asked.take().map(|asked| asked.answer);
        let pending = known.pending.take().map(|pending| pending.answer);
        asked.into_iter().chain(pending).for_each(|answer: Answer| answer.give(Err(NotSwapped::Ended)));
    }

    // What is written down.

    fn publish(&self) {
        if !self.lock().news.is_empty() {
            self.0.has_news.store(true, Ordering::Release);
        }
    }

    /// Writes down what is not, if there is anything.
    pub(crate) fn write_news(&self) {
        if self.0.has_news.swap(false, Ordering::AcqRel) {
            drop(self.write_all());
        }
    }

    /// Writes down all that is not, and waits for it so long. What is not written by then the next start finds out for itself,
    /// or does without.
    pub(crate) fn write_rest(&self, within: Duration) {
        if self.write_all().recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the history of versions is not written: the disk does not answer");
        }
    }

    /// Writes down what is not, on a thread of its own: a disk that hangs hangs nobody. Ends when all of it is, also what
    /// others have begun to write.
    fn write_all(&self) -> Receiver<()> {
        let (done, is_done) = bounded(1);
        let versions = self.clone();
        let write = move || {
            let order = versions.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(turn) = versions.next_news() {
                versions.0.shelf.note(&turn);
            }
            drop((order, done));
        };
        if let Err(error) = weir_machine::spawn("weir-history", write) {
            tracing::warn!(%error, "failed to start a thread: the history of versions is not written");
        }
        is_done
    }

    fn next_news(&self) -> Option<Turn> {
        self.lock().news.pop_front()
    }
}

impl Known {
    fn all(&self) -> impl Iterator<Item = &OperatorSetup> {
        self.started.iter().chain(&self.others)
    }

    /// Whether what runs this operator failed, and is still to be replaced.
    fn owes_at(&self, operator: usize) -> bool {
        self.running.get(operator).is_some_and(|runs| self.owes(&runs.setup).is_some())
    }

    /// What is to run in the place of `setup`, if that failed.
    fn owes(&self, setup: &OperatorSetup) -> Option<PluginEntry> {
        let entry = setup.entry();
        let heir = self.history.heir(&setup.name, &entry);
        (!heir.is(&entry)).then(|| heir.clone())
    }

    fn turn(&self, operator: &str, (from, to): (PluginEntry, PluginEntry), epoch: Epoch) -> Turn {
        let (operator, epoch, at_ms) = (operator.to_owned(), epoch.0, clock::now_ms());
        Turn { operator, epoch, at_ms, from, to, failure: None, probation_ms: 0 }
    }

    fn note(&mut self, turn: Turn) {
        self.history.add(turn.clone());
        self.news.push_back(turn);
    }

    /// What ran since the end of `since`, and what ran before it.
    fn fallen(&self, operator: usize, since: Epoch) -> Option<(PluginEntry, PluginEntry)> {
        let runs = self.running.get(operator)?;
        let name = &runs.setup.name;
        if since == runs.since {
            let failed = runs.setup.entry();
            let before = self.history.before(name, &failed)?.clone();
            return Some((failed, before));
        }
        // Another took over since.
        let turn = self.history.turn_at(name, since.0)?;
        Some((turn.to.clone(), turn.from.clone()))
    }

    fn note_failure(&mut self, name: &str, (failed, before): (PluginEntry, PluginEntry), why: String) {
        let turn = Turn { failure: Some(why), ..self.turn(name, (failed, before), self.epoch) };
        self.note(turn);
    }

    /// This runs from the end of `epoch` on, which holds. That one failed which it replaces was noted when it did.
    fn took_over(
        &mut self,
        operator: usize,
        setup: &OperatorSetup,
        epoch: Epoch,
        (probation, reason, failure): (Duration, Reason, Option<String>),
    ) {
        let entry = setup.entry();
        let Some(runs) = self.running.get_mut(operator) else { return };
        let from = runs.held.replace(entry.clone()).unwrap_or_else(|| runs.setup.entry());
        if reason != Reason::Failure {
            let probation_ms = u64::try_from(probation.as_millis()).unwrap_or(u64::MAX);
            let turn = Turn { probation_ms, ..self.turn(&setup.name, (from.clone(), entry.clone()), epoch) };
            self.note(turn);
        }
        if let Some(failure) = failure {
            let before = self.history.heir(&setup.name, &from).clone();
            self.note_failure(&setup.name, (entry, before), failure);
        }
    }

    /// What runs holds by now: a start with another file than the last one is a turn like any other.
    fn note_held(&mut self) {
        for at in 0..self.running.len() {
            let Some(runs) = self.running.get_mut(at) else { continue };
            let (name, to) = (runs.setup.name.clone(), runs.setup.entry());
            let Some(from) = runs.held.replace(to.clone()).filter(|from| !from.is(&to)) else { continue };
            if self.history.failed(&name, &from).is_none_or(|failed| !failed.to.is(&to)) {
                let turn = self.turn(&name, (from, to), self.epoch);
                self.note(turn);
            }
        }
    }

    /// What may not run again is let go, with its compiled code.
    fn forget(&mut self) {
        let Self { others, running, history, .. } = self;
        let may_run = |setup: &OperatorSetup| {
            running.iter().filter(|runs| runs.setup.name == setup.name).any(|runs| {
                let (entry, runs) = (setup.entry(), runs.setup.entry());
                entry.is(&runs) || history.before(&setup.name, &runs).is_some_and(|before| before.is(&entry))
            })
        };
        others.retain(may_run);
    }
}

fn tell_failure(operator: &str, failed: &PluginEntry, why: &str) {
    let (version, digest) = (&failed.version, &failed.digest);
    tracing::warn!(operator, version, %digest, why, "the new version failed on probation: the one before it runs again");
}

/// Leave to drop what `setups`, which ran before, have no tables for.
pub(crate) fn drop_surplus(operators: &[OperatorEntry], setups: &[OperatorSetup]) -> Consent {
    let mut drop = Vec::new();
    for setup in setups {
        let own = setup.tables();
        let recorded = operators.iter().filter(|entry| entry.name == setup.name).flat_map(|entry| &entry.tables);
        let surplus = recorded.filter(|table| own.iter().all(|own| own.name != table.name));
        drop.extend(surplus.map(|table| StateName::table(&setup.name, &table.name)));
    }
    Consent { drop, ..Consent::default() }
}
