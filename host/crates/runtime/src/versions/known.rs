//! What is known of the versions of a job, by the job and by whoever has its handle. Tasks, the coordinator, and the threads
//! of people who ask share it; nobody holds it for long, and nothing is loaded or written to disk while it is held.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_checkpoint::history::History;
use weir_checkpoint::{PluginEntry, Turn};
use weir_core::{Digest, Epoch, Fault, PortError};
use weir_operator::Probation;

use super::{Answer, Asked, Held, NotSwapped, Pending, Reason, Shelf, Swapped};
use crate::error::chain;
use crate::job::OperatorSetup;

/// What an attempt begins with.
mod begin;
/// What follows.
mod decide;
/// What is written down.
mod written;

pub(crate) use begin::{Heirs, drop_surplus};

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
        known.before(&known.running.get(operator)?.setup).cloned()
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
        let befores = known.running.iter().filter_map(|runs| known.before(&runs.setup));
        // What runs is one of those that are at hand.
        let at_hand = known.all().map(|setup| setup.factory.digest());
        at_hand.chain(befores.map(|before| &before.digest)).cloned().collect()
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
}

fn tell_failure(operator: &str, failed: &PluginEntry, why: &str) {
    let (version, digest) = (&failed.version, &failed.digest);
    tracing::warn!(operator, version, %digest, why, "the new version failed on probation: the one before it runs again");
}
