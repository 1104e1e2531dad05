//! HOT PATH. Windows that fire before their end, at moments of the clock that all keys share, where there is news of them.
//!
//! A timer of processing time says that there is news of a window: a record that is folded sets it, for the next such moment,
//! and it is over when the window fires. While what was due at one moment is still under way, news waits for the one behind
//! it: so there are two moments at most, and of a window that fires for the first of them the second has nothing new.

use weir_core::ports::KeyedState;
use weir_core::{Batch, PortError, Watermark};
use weir_time::Window;
use weir_time::window::firing::Firing;

use super::Windows;
use super::names::{Names, window_of};
use crate::advance::{Advanced, DUE_MAX};
use crate::error::NodeError;
use crate::runner::{Runner, Step};
use crate::timers::{NodeTimers, TimerError, TimerOptions};
use crate::updates;

/// See the module.
pub(crate) struct Early {
    pub(crate) timers: NodeTimers,
    firing: Firing,
    /// What the clock says.
    now_ms: i64,
    /// The moment that news waits for.
    moment_ms: Option<i64>,
}

impl Early {
    pub(super) fn new(timers: TimerOptions, firing: Firing) -> Self {
        Self { timers: NodeTimers::new(timers), firing, now_ms: i64::MIN, moment_ms: None }
    }

    pub(super) fn note_now(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    /// There is news of the window of a slot, which has this name. What has come to its end by `reached` waits for nothing.
    pub(super) fn has_news(
        &mut self,
        (slot, name): (u32, &[u8]),
        reached: Watermark,
        state: &mut dyn KeyedState,
    ) -> Result<(), TimerError> {
        if window_of(name).is_none_or(|window| reached.has_reached(window.end_ms)) {
            return Ok(());
        }
        let Some(next_ms) = self.firing.next_early_ms(self.now_ms) else { return Ok(()) };
        let (now_ms, timers) = (self.now_ms, &self.timers);
        let is_open = |at_ms: &i64| *at_ms <= next_ms && (*at_ms > now_ms || timers.has_due(at_ms.saturating_sub(1)));
        let moment_ms = self.moment_ms.filter(is_open).unwrap_or(next_ms);
        self.moment_ms = Some(moment_ms);
        self.timers.set((slot, name), moment_ms, 0, state)
    }

    /// The window of a slot fires for what it had at `at_ms`, with all that came since.
    fn has_none(
        &mut self,
        (slot, name): (u32, &[u8]),
        at_ms: i64,
        state: &mut dyn KeyedState,
    ) -> Result<(), PortError> {
        self.timers.is_over(slot, at_ms, state)?;
        // The second moment; after a start it is the one behind the first, unless that was long ago.
        let next_ms = self.firing.next_early_ms(at_ms);
        let second = [self.moment_ms.filter(|moment_ms| *moment_ms > at_ms), next_ms];
        for second_ms in second.into_iter().flatten() {
            if self.timers.may_be_set(second_ms, name) {
                self.timers.cancel((slot, name), second_ms, state)?;
            }
        }
        Ok(())
    }
}

impl Windows {
    /// Records were folded into these accumulators.
    pub(crate) fn have_news(&mut self, updates: &[u8], state: &mut dyn KeyedState) -> Result<(), TimerError> {
        let Some(early) = &mut self.early else { return Ok(()) };
        for slot in updates::slots_set(updates) {
            let Some((name, _)) = self.names.of_slot(slot) else { continue };
            early.has_news((slot, name), self.reached, state)?;
        }
        Ok(())
    }

    /// The windows whose moment has come when the clock says `to_ms`, about a batch of them; `None` where there are none. What
    /// is over by now has said its last, and what is there no more (a session that has grown) is part of another.
    fn due_early(&mut self, to_ms: i64, state: &mut dyn KeyedState) -> Result<Option<Names>, TimerError> {
        let Some(early) = &mut self.early else { return Ok(None) };
        let due = early.timers.due(to_ms, DUE_MAX, state).map_err(TimerError::Read)?;
        if due.is_empty() {
            return Ok(None);
        }
        let names: Names = due.iter().map(|due| &*due.timer.key).collect();
        state.enter(&names.all());
        for (slot, due) in (0..).zip(&due) {
            early.has_none((slot, &due.timer.key), due.timer.time_ms, state)?;
        }
        let held = self.held(&names, state)?;
        let live = names.windows().zip(held);
        let live = live.filter(|((_, window), is_held)| *is_held && !self.reached.has_reached(window.end_ms));
        let mut live: Vec<(&[u8], Window)> = live.map(|(name, _)| name).collect();
        // As what has come to its end: in order of time.
        live.sort_by_key(|(_, window)| (window.end_ms, window.start_ms));
        Ok(Some(live.into_iter().collect()))
    }
}

impl Runner {
    /// Fires early what waits for a moment by `to_ms`.
    pub(crate) fn fire_early(&mut self, to_ms: i64, out: &mut Vec<(u32, Batch)>) -> Result<Advanced, NodeError> {
        let Some(names) = self.on_windows(|windows, state| windows.due_early(to_ms, state))? else {
            return Ok(Advanced::Nothing);
        };
        self.fire(Step::FireAgain, names, out)?;
        let has_more = self.wakes_at().is_some_and(|at_ms| at_ms <= to_ms);
        Ok(if has_more { Advanced::More } else { Advanced::Changed })
    }
}
