//! How another version takes over: asked for between two epochs, done at the barrier of the next, held with it.

use std::sync::Arc;

use tracing::{info, warn};
use weir_checkpoint::inherit::{Numbered, inherit};
use weir_checkpoint::{Epochs, Event, OperatorEntry, Turn};
use weir_core::{Consent, Epoch, StateName};

use super::{Loop, Open};
use crate::clock;
use crate::error::Error;
use crate::job::OperatorSetup;
use crate::signals::Switch;
use crate::versions::{Asked, NotSwapped, Pending, Swapped, key_of};

impl<'a> Loop<'a> {
    /// Between two epochs: looks whether somebody wants a version to take over, or a task fell back to the one before.
    pub(super) fn look_for_swaps(&mut self, epochs: &mut Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        if epochs.machine().is_waiting() || !open.is_running || open.switch.is_some() {
            return Ok(());
        }
        match self.handle.versions.asked() {
            Some(asked) if self.handle.is_stopping() => {
                asked.answer.give(Err(NotSwapped::NotRunning("stopping")));
                Ok(())
            }
            Some(asked) => self.swap(asked, epochs, open),
            None => {
                self.look_for_falls();
                Ok(())
            }
        }
    }

    /// A version on probation failed in one task, which runs the version before again: so shall all others.
    fn look_for_falls(&self) {
        let Some((operator, why)) = self.signals.fallen_back() else { return };
        let Some(before) = self.handle.versions.condemn(operator) else { return };
        warn!(
            operator = %before.name, version = %before.entry().version, digest = %before.entry().digest, why = %why,
            "the new version failed on probation: the one before it runs again"
        );
        self.handle.restore_version(operator, before, why);
    }

    fn swap(&mut self, asked: Asked, epochs: &mut Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        let Asked { operator, setup, instances, probation, dry_run, goes_back, answer, failure } = asked;
        let plan = &epochs.manifest().plan;
        let mut setups = self.handle.versions.running();
        if let Some(now) = setups.get_mut(operator) {
            now.clone_from(&setup);
        }
        let declared: Vec<_> = setups.iter().map(|setup| setup.declared(key_of(&plan.graph, &setup.name))).collect();
        let consent = if goes_back { drop_surplus(&plan.operators, &setup) } else { Consent::default() };
        let numbered = match inherit(&Numbered::of(plan), &declared, &consent) {
            Ok((numbered, _)) => numbered,
            Err(mismatch) => {
                answer.give(Err(NotSwapped::State(mismatch)));
                return Ok(());
            }
        };
        if dry_run {
            answer.give(Ok(Swapped::Possible));
            return Ok(());
        }
        let entry = numbered.operators.iter().find(|entry| entry.name == setup.name);
        let terms = entry.and_then(|entry| setup.terms(|name| entry.table(name)));
        let missing = || Error::Invariant(format!("operator {} has not the tables of its new version", setup.name));
        let terms = terms.ok_or_else(missing)?;
        open.switch = Some(Arc::new(Switch::new(operator, (terms, probation), instances)));
        self.handle.versions.begin(Pending { operator, setup, answer, failure });
        self.step(Event::Change(numbered), epochs, open)
    }

    /// The epoch holds: so does the version that took over with it.
    pub(super) fn hold_switch(&mut self, epoch: Epoch, open: &mut Open<'a>) {
        let Some(switch) = open.switch.take_if(|switch| switch.epoch() == Some(epoch)) else { return };
        let paused = switch.paused();
        let Some(turn) = self.handle.versions.hold(epoch, paused, clock::now_ms()) else { return };
        let Turn { operator, to: plugin, .. } = &turn;
        let (version, digest, paused_us) = (&plugin.version, &plugin.digest, paused.as_micros());
        info!(operator, plugin = plugin.name, version, %digest, epoch = epoch.0, paused_us, "another version took over");
        self.handle.board.change(|status| {
            if let Some(operator) = status.operators.get_mut(switch.operator) {
                operator.plugin = plugin.clone();
            }
        });
        self.shelf.note(&turn);
    }
}

/// Leave to drop what `setup`, which ran before, has no table for.
fn drop_surplus(operators: &[OperatorEntry], setup: &OperatorSetup) -> Consent {
    let own = setup.tables();
    let recorded = operators.iter().filter(|entry| entry.name == setup.name).flat_map(|entry| &entry.tables);
    let surplus = recorded.filter(|table| own.iter().all(|own| own.name != table.name));
    let drop = surplus.map(|table| StateName::table(&setup.name, &table.name)).collect();
    Consent { drop, ..Consent::default() }
}
