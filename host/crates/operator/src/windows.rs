//! HOT PATH. The windows of a node: which one a record is in, when each is due, and what is kept of it.
//!
//! An accumulator is a value whose slot is a key and a window. The first record of a window sets its timer
//! ([`crate::timers::NodeTimers`]); at its end it fires, and with the end of its allowed lateness it is gone. A record that
//! comes between the two makes it fire again, once for all of its batch.

/// The key and the window of each record.
mod names;

use std::borrow::Cow;

use weir_core::frame::NULL;
use weir_core::ports::{CallError, Change, KeyRef, KeyedState, RecordCheck, Table, TimeDomain};
use weir_core::{Batch, FrameWriter, KeySpec, Origin, PortError, RecordView, WindowKey};
use weir_time::timers::Timer;
use weir_time::window::firing::{Arrival, Firing};
use weir_time::window::{Assign, OutOfRange};
use weir_time::{Watermark, Window, WindowSpec};

use crate::load::after_value;
use crate::slots::key_of;
use crate::timers::{NodeTimers, TimerError, TimerOptions};
use crate::updates;
use names::Names;

/// How a node has windows.
#[derive(Debug, Clone)]
pub struct WindowOptions {
    /// Which window a record is in.
    pub assign: Assign,
    /// When windows fire, and how long they stay.
    pub firing: Firing,
    /// Of the accumulators.
    pub accumulators: Table,
    /// When they are due.
    pub timers: TimerOptions,
    /// The output that late records go to, where somebody reads it, and what its sinks take.
    pub late: Option<(u32, Vec<RecordCheck>)>,
}

impl WindowOptions {
    /// Windows as `spec` has them; `None` for those that this host does not run.
    pub fn new(spec: &WindowSpec, accumulators: Table, timers: TimerOptions) -> Option<Self> {
        Some(Self { assign: Assign::of(spec).ok()?, firing: spec.firing, accumulators, timers, late: None })
    }
}

/// See the module.
pub(crate) struct Windows {
    pub(crate) options: WindowOptions,
    pub(crate) timers: NodeTimers,
    /// How far their time has come.
    pub(crate) reached: Watermark,
    /// The window that the last record was in: the next one is mostly in the same.
    last: Window,
    /// The keys and windows of the batch or list that calls are made on.
    pub(crate) names: Names,
    /// The windows that fire again for what the batch under way has brought; one may come twice.
    again: Vec<Vec<u8>>,
}

/// A batch, sorted.
pub(crate) struct Sorted {
    /// What each of its records is to the windows.
    placed: Vec<Placed>,
    /// How many of them are in one.
    kept: usize,
}

impl Sorted {
    /// The records of `batch` that are in a window.
    pub(crate) fn kept<'a>(&self, batch: &'a Batch) -> Cow<'a, Batch> {
        match self.kept == self.placed.len() {
            true => Cow::Borrowed(batch),
            false => Cow::Owned(batch.only(self.placed.iter().map(|placed| matches!(placed, Placed::In)))),
        }
    }

    /// How many of its records are late.
    pub(crate) fn late(&self) -> usize {
        self.placed.iter().filter(|placed| matches!(placed, Placed::Late)).count()
    }

    /// The late records of `batch`.
    pub(crate) fn late_of(&self, batch: &Batch) -> Batch {
        batch.only(self.placed.iter().map(|placed| matches!(placed, Placed::Late)))
    }

    /// The records of `batch` that no window holds, and why.
    pub(crate) fn failed(&self, batch: &Batch) -> Vec<(Origin, CallError)> {
        let placed = self.placed.iter().zip(&batch.origins);
        let failed = placed.filter_map(|(placed, origin)| match placed {
            Placed::Nowhere(why) => Some((*origin, CallError::NoWindow(why.clone()))),
            Placed::In | Placed::Late => None,
        });
        failed.collect()
    }
}

/// What becomes of a record.
enum Placed {
    /// It is in a window.
    In,
    /// Its window is gone.
    Late,
    /// No window holds it, and why.
    Nowhere(String),
}

impl Windows {
    pub(crate) fn new(options: WindowOptions, reached: Watermark) -> Self {
        Self {
            timers: NodeTimers::new(options.timers.clone()),
            options,
            reached,
            last: Window::new(0, 0),
            names: Names::default(),
            again: Vec::new(),
        }
    }

    /// Those of one time, where there are any.
    pub(crate) fn timers(&self, domain: TimeDomain) -> Option<&NodeTimers> {
        Some(&self.timers).filter(|timers| timers.domain() == domain)
    }

    /// The same, to be changed.
    pub(crate) fn timers_mut(&mut self, domain: TimeDomain) -> Option<&mut NodeTimers> {
        Some(&mut self.timers).filter(|timers| timers.domain() == domain)
    }

    /// Finds the window of each record, and sorts out what is late and what no window holds.
    pub(crate) fn sort(&mut self, batch: &Batch, key: &KeySpec) -> Sorted {
        self.names.clear();
        let placed: Vec<Placed> = batch.frame.records().map(|record| self.place(&record, key)).collect();
        let kept = placed.iter().filter(|placed| matches!(placed, Placed::In)).count();
        Sorted { placed, kept }
    }

    fn place(&mut self, record: &RecordView<'_>, key: &KeySpec) -> Placed {
        let Some(key) = key_of(record, key) else {
            return Placed::Nowhere("it has no key, and windows are kept by key".to_owned());
        };
        match self.window(record.timestamp_ms) {
            Ok(window) if self.options.firing.arrival(window, self.reached) == Arrival::Late => Placed::Late,
            Ok(window) => {
                self.names.push(key, window);
                Placed::In
            }
            Err(OutOfRange(i64::MIN)) => Placed::Nowhere("it has no timestamp".to_owned()),
            Err(outside) => Placed::Nowhere(format!("its timestamp is wrong: {outside}")),
        }
    }

    fn window(&mut self, at_ms: i64) -> Result<Window, OutOfRange> {
        if at_ms < 0 || !self.last.contains(at_ms) {
            self.last = self.options.assign.window(at_ms)?;
        }
        Ok(self.last)
    }

    /// Records were folded: windows that are new get their timer, and those that have fired already fire again.
    pub(crate) fn folded(
        &mut self,
        (updates, values): (&[u8], &[u8]),
        state: &mut dyn KeyedState,
    ) -> Result<(), TimerError> {
        let mut was_absent = Vec::with_capacity(self.names.slots() as usize);
        let mut rest = values;
        while let Some(after) = after_value(rest) {
            was_absent.push(rest.starts_with(&NULL.to_le_bytes()));
            rest = after;
        }
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
                state.change(slot, self.options.accumulators, Change::Clear)?;
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
            state.change(slot, self.options.accumulators, Change::Clear)?;
        }
        Ok(())
    }

    /// The windows that fire again, in order of time, each once.
    pub(crate) fn take_again(&mut self) -> Vec<Vec<u8>> {
        let mut again = std::mem::take(&mut self.again);
        again.sort_unstable();
        again.dedup();
        again.sort_by_key(|key| WindowKey::parse(key).map(|window| (window.end_ms, window.start_ms)));
        again
    }
}

/// The due list of these windows: a record for each, with its key, the timestamp of what it sends, and its span.
pub(crate) fn due_list<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Batch {
    let mut writer = FrameWriter::new(Vec::new());
    for key in keys.into_iter().filter_map(WindowKey::parse) {
        let span = [key.start_ms.to_le_bytes(), key.end_ms.to_le_bytes()].concat();
        writer.push(RecordView {
            timestamp_ms: Window::new(key.start_ms, key.end_ms).timestamp_ms(),
            source: writer.len() as u32,
            key: Some(key.key),
            value: Some(&span),
            headers: &[],
        });
    }
    let origins = vec![Origin::NONE; writer.len()];
    Batch { frame: writer.finish(), origins }
}

/// A window by its name, for people.
pub(crate) fn described(name: Option<KeyRef<'_>>) -> String {
    let Some(window) = name.and_then(|name| WindowKey::parse(name.bytes)) else { return "a window".to_owned() };
    let key = String::from_utf8_lossy(window.key);
    format!("the window of key {key:?} from {} ms to {} ms", window.start_ms, window.end_ms)
}

#[cfg(test)]
mod tests;
