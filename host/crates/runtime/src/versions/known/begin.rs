//! What an attempt begins with: which versions are there, which of them run, and what waits beside them.

use std::time::Duration;

use weir_checkpoint::inherit::{Numbered, inherit};
use weir_checkpoint::{Manifest, OperatorEntry, Plan, PluginEntry};
use weir_core::{Consent, Digest, Epoch, StateName};

use super::{Restoring, Versions};
use crate::clock;
use crate::error::{Error, chain};
use crate::job::OperatorSetup;
use crate::versions::{Held, NotSwapped, Pending, Swapped, key_of};

/// What an attempt runs.
pub(crate) struct Heirs {
    /// In the order of the job.
    pub(crate) running: Vec<OperatorSetup>,
    /// For each what waits to run again, and for how long, where its probation is not over.
    pub(crate) waiting: Vec<Option<(OperatorSetup, Duration)>>,
}

impl Versions {
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
            let left = known.history.probation(&setup.name, &setup.entry(), now_ms)?;
            Some((known.before(setup)?.clone(), left))
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
