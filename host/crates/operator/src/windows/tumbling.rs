//! HOT PATH. Windows that a timestamp tells. The first record of one sets its timer, and at its end another one is set for the
//! end of its allowed lateness.

use weir_core::ports::{Change, KeyRef, KeyedState};
use weir_core::{Batch, KeySpec, PortError, WindowKey};
use weir_time::timers::{Due, Timer};
use weir_time::window::Assign;
use weir_time::window::firing::Arrival;

use super::{Merges, Placed, Sorted, WindowOptions, Windows};
use crate::error::NodeError;
use crate::load;
use crate::runner::{Runner, Step};
use crate::slots::key_of;
use crate::timers::TimerError;
use crate::updates;

impl Windows {
    pub(super) fn sort_tumbling(&mut self, batch: &Batch, key: &KeySpec) -> Sorted {
        let times: Vec<i64> = batch.frame.records().map(|record| self.time_of(&record)).collect();
        let Self { options: WindowOptions { assign, firing, .. }, reached, last, names, .. } = self;
        let Assign::Tumbling(tumbling) = assign else { return Sorted::new(Vec::new(), Merges::default()) };
        let placed = batch.frame.records().zip(times).map(|(record, at_ms)| {
            let Some(key) = key_of(&record, key) else { return Placed::without_key() };
            if at_ms < 0 || !last.contains(at_ms) {
                match tumbling.window(at_ms) {
                    Ok(window) => *last = window,
                    Err(outside) => return Placed::outside(outside),
                }
            }
            if firing.arrival(*last, *reached) == Arrival::Late {
                return Placed::Late;
            }
            names.push(key, *last);
            Placed::In
        });
        Sorted::new(placed.collect(), Merges::default())
    }

    /// Records were folded: windows that are new get their timer, and those that have fired already fire again.
    pub(crate) fn folded(
        &mut self,
        (updates, values): (&[u8], &[u8]),
        state: &mut dyn KeyedState,
    ) -> Result<(), TimerError> {
        let mut was_absent: Vec<bool> = load::values(values).map(|value| value.is_none()).collect();
        for slot in updates::slots_set(updates) {
            let Some((name, window)) = self.names.of_slot(slot) else { continue };
            let has_fired = self.options.firing.arrival(window, self.reached) == Arrival::Again;
            if has_fired {
                self.again.push(name.to_vec());
            }
            if was_absent.get_mut(slot as usize).is_some_and(std::mem::take) {
                let at = if has_fired { self.options.firing.expires_ms(window) } else { window.end_ms };
                self.timers.set((slot, name), at, 0, state)?;
            }
        }
        Ok(())
    }

    /// The windows of the call have fired, at their end: they are gone, or stay for as long as they are allowed to.
    pub(crate) fn fired(&mut self, state: &mut dyn KeyedState) -> Result<(), TimerError> {
        for slot in 0..self.names.slots() {
            let Some((name, window)) = self.names.of_slot(slot) else { continue };
            let expires_ms = self.options.firing.expires_ms(window);
            self.timers.is_over(slot, window.end_ms, state)?;
            if self.reached.has_reached(expires_ms) {
                state.change(slot, self.options.tables.accumulators, Change::Clear)?;
            } else {
                self.timers.set((slot, name), expires_ms, 0, state)?;
            }
        }
        Ok(())
    }

    /// These timers say that the lateness of their windows is over: they are gone.
    pub(crate) fn expire<'a>(
        &self,
        timers: impl Iterator<Item = &'a Timer>,
        state: &mut dyn KeyedState,
    ) -> Result<(), PortError> {
        let windows =
            timers.filter_map(|timer| Some((timer.time_ms, &*timer.key, WindowKey::parse(&timer.key)?.hash())));
        let (times, names): (Vec<i64>, Vec<_>) =
            windows.map(|(time_ms, bytes, hash)| (time_ms, KeyRef { hash, bytes })).unzip();
        state.enter(&names);
        for (slot, time_ms) in (0..).zip(times) {
            self.timers.is_over(slot, time_ms, state)?;
            state.change(slot, self.options.tables.accumulators, Change::Clear)?;
        }
        Ok(())
    }
}

impl Runner {
    /// These timers are due: at the end of a window it fires, later it is gone.
    pub(crate) fn fire_tumbling(&mut self, due: Vec<Due>, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        let (ending, expired): (Vec<Timer>, Vec<Timer>) = due.into_iter().map(|due| due.timer).partition(is_end);
        self.on_windows(|windows, state| Ok(windows.expire(expired.iter(), state)?))?;
        self.fire(Step::Fire, ending.iter().map(|timer| &*timer.key).collect(), out)
    }
}

/// Whether it is the end of its window that is due.
fn is_end(timer: &Timer) -> bool {
    WindowKey::parse(&timer.key).is_some_and(|window| window.end_ms == timer.time_ms)
}
