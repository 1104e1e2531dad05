//! How another version takes over: asked for between two epochs, done at the barrier of the next, held with it.

use std::sync::Arc;

use tracing::{error, info};
use weir_checkpoint::inherit::{Numbered, inherit};
use weir_checkpoint::{Epochs, Event};
use weir_core::{Consent, Epoch};

use super::{Loop, Open};
use crate::error::Error;
use crate::signals::Switch;
use crate::versions::{Asked, NotSwapped, Pending, Reason, Swapped, drop_surplus, key_of};

impl<'a> Loop<'a> {
    /// Between two epochs: looks whether somebody wants a version to take over, or one that failed is still to be replaced.
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
                if let Some(owed) = self.handle.versions.owed() {
                    self.handle.restore_version(owed);
                }
                Ok(())
            }
        }
    }

    fn swap(&mut self, asked: Asked, epochs: &mut Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        let Asked { operator, setup, instances, probation, dry_run, reason, answer } = asked;
        let plan = &epochs.manifest().plan;
        let mut setups = self.handle.versions.running();
        if let Some(now) = setups.get_mut(operator) {
            now.clone_from(&setup);
        }
        let declared: Vec<_> = setups.iter().map(|setup| setup.declared(key_of(&plan.graph, &setup.name))).collect();
        let consent = match reason {
            Reason::Wanted => Consent::default(),
            Reason::Back | Reason::Failure => drop_surplus(&plan.operators, std::slice::from_ref(&setup)),
        };
        let numbered = match inherit(&Numbered::of(plan), &declared, &consent) {
            Ok((numbered, _)) => numbered,
            Err(mismatch) => {
                if reason == Reason::Failure {
                    error!(operator = %setup.name, %mismatch, "the version before cannot go on with the state");
                }
                answer.give(Err(NotSwapped::State(mismatch)));
                return Ok(());
            }
        };
        if dry_run {
            answer.give(Ok(Swapped { plugin: setup.entry(), held: None }));
            return Ok(());
        }
        let entry = numbered.operators.iter().find(|entry| entry.name == setup.name);
        let terms = entry.and_then(|entry| setup.terms(|name| entry.table(name)));
        let missing = || Error::Invariant(format!("operator {} has not the tables of its new version", setup.name));
        let terms = terms.ok_or_else(missing)?;
        let witness = self.handle.versions.witness();
        open.switch = Some(Arc::new(Switch::new(operator, (terms, probation), instances, witness)));
        self.handle.versions.begin(Pending { operator, setup, probation, reason, failure: None, answer });
        self.step(Event::Change(numbered), epochs, open)
    }

    /// The epoch holds: so does the version that took over with it.
    pub(super) fn hold_switch(&mut self, epoch: Epoch, open: &mut Open<'a>) {
        let switch = open.switch.take_if(|switch| switch.epoch() == Some(epoch));
        let paused = switch.as_ref().map(|switch| switch.paused());
        let taken = self.handle.versions.hold(epoch, paused);
        let (Some(paused), Some(taken)) = (paused, taken) else { return };
        let plugin = taken.setup.entry();
        let (version, digest, paused_us) = (&plugin.version, &plugin.digest, paused.as_micros());
        info!(
            operator = %taken.setup.name, plugin = plugin.name, version, %digest, epoch = epoch.0, paused_us,
            "another version took over"
        );
        self.handle.board.change(|status| {
            if let Some(operator) = status.operators.get_mut(taken.operator) {
                operator.plugin = plugin;
            }
        });
        taken.tell();
    }
}
