//! HOT PATH. Windows of all time, and of so many records.
//!
//! ```text
//! records ─▶ lists ─▶ rounds: fold ─▶ finish ─▶ what is gone goes
//! time    ─▶ lists ─▶         finish ─▶ what is gone goes
//! ```
//! A batch is folded up to the record before which a window must have fired, and so on: what is sent, and in which order, does
//! not depend on where batches end. The accumulator of a key is kept under the key and all of time.

use std::collections::BTreeSet;

use weir_core::ports::KeyedState;
use weir_core::{Batch, KeySpec, WindowKey};
use weir_time::Window;
use weir_time::timers::Due;
use weir_time::window::Global;

use super::lists::Lists;
use super::merges::Merges;
use super::names::Names;
use super::{Placed, Sorted, Windows, clear, due_list};
use crate::error::NodeError;
use crate::runner::{Runner, Step};
use crate::slots::Slots;
use crate::timers::TimerError;

/// Records that are folded at once, and what fires then.
#[derive(Default)]
pub(crate) struct Round {
    /// Of each record.
    names: Names,
    fires: Vec<Fire>,
}

/// The window of a key fires, is gone, or both.
struct Fire {
    key: Box<[u8]>,
    /// What it spans, if it fires.
    span: Option<Window>,
    is_gone: bool,
}

impl Windows {
    pub(super) fn sort_global(
        &mut self,
        global: Global,
        batch: &Batch,
        key: &KeySpec,
        (slots, state): (&mut Slots, &mut dyn KeyedState),
    ) -> Result<Sorted, TimerError> {
        let tables = self.options.tables;
        let keys = slots.assign(&batch.frame, key);
        let mut lists = Lists::read(keys.iter().map(|key| key.bytes), tables, state)?;
        let (mut placed, mut rounds, mut round) = (Vec::with_capacity(batch.frame.len()), Vec::new(), Round::default());
        let mut fired = BTreeSet::new();
        for (record, slot) in batch.frame.records().zip(slots.of_record()) {
            let number = *slot as usize;
            let Some(list) = lists.get_mut(number) else {
                placed.push(Placed::without_key());
                continue;
            };
            let span = match global.note(list, self.time_of(&record), self.reached.number()) {
                Ok(span) => span,
                Err(outside) => {
                    placed.push(Placed::outside(outside));
                    continue;
                }
            };
            let is_gone = list.windows.is_empty();
            placed.push(Placed::In);
            if fired.contains(slot) {
                rounds.push(std::mem::take(&mut round));
                fired.clear();
            }
            let key = lists.key(number);
            round.names.push(key, Window::GLOBAL);
            if span.is_some() {
                fired.insert(*slot);
                round.fires.push(Fire { key: key.into(), span, is_gone });
            }
        }
        rounds.push(round);
        lists.write(tables, &mut self.timers, state)?;
        Ok(Sorted { rounds, ..Sorted::new(placed, Merges::default()) })
    }

    /// Those of `fires` that hold something.
    fn that_hold(&self, mut fires: Vec<Fire>, state: &mut dyn KeyedState) -> Result<Vec<Fire>, TimerError> {
        let names: Names = fires.iter().map(|fire| (&*fire.key, Window::GLOBAL)).collect();
        let mut held = self.held(&names, state)?.into_iter();
        fires.retain(|_| held.next() == Some(true));
        Ok(fires)
    }
}

impl Runner {
    /// Folds records that are in windows of all time, round by round.
    pub(crate) fn fold_rounds(
        &mut self,
        input: u32,
        (batch, rounds): (&Batch, Vec<Round>),
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<(), NodeError> {
        let (mut records, mut at) = (batch.frame.records(), 0);
        for Round { names, fires } in rounds {
            let count = names.len();
            if count == batch.frame.len() {
                self.run_named(Step::Fold(input), names, batch, out)?;
            } else {
                let origins = batch.origins.iter().skip(at).take(count).copied().collect();
                let part = Batch { frame: records.take_frame(count, Vec::new()), origins };
                self.run_named(Step::Fold(input), names, &part, out)?;
            }
            at += count;
            self.send_global(fires, out)?;
        }
        Ok(())
    }

    /// Something is due for the keys of these timers.
    pub(crate) fn fire_global(
        &mut self,
        global: Global,
        due: &[Due],
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<(), NodeError> {
        let mut lists = self.on_windows(|windows, state| {
            let keys = due.iter().filter_map(|due| Some(WindowKey::parse(&due.timer.key)?.key));
            Lists::read(keys, windows.options.tables, state)
        })?;
        let mut fires = Vec::new();
        for (number, due) in due.iter().enumerate() {
            let Some(list) = lists.get_mut(number) else { continue };
            let span = global.fires(list, due.timer.time_ms);
            let is_gone = list.windows.is_empty();
            fires.push(Fire { key: lists.key(number).into(), span, is_gone });
        }
        self.send_global(fires, out)?;
        self.on_windows(|windows, state| lists.write(windows.options.tables, &mut windows.timers, state))
    }

    fn send_global(&mut self, fires: Vec<Fire>, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        if fires.is_empty() {
            return Ok(());
        }
        let fires = self.on_windows(|windows, state| windows.that_hold(fires, state))?;
        let sent: Vec<(&[u8], Window)> = fires.iter().filter_map(|fire| Some((&*fire.key, fire.span?))).collect();
        let names = sent.iter().map(|(key, _)| (*key, Window::GLOBAL)).collect();
        let list = due_list(sent, self.least_ms());
        self.run_named(Step::FireAgain, names, &list, out)?;
        let gone = fires.iter().filter(|fire| fire.is_gone).map(|fire| (&*fire.key, Window::GLOBAL)).collect();
        self.on_windows(|windows, state| Ok(clear(&gone, windows, state)?))
    }
}
