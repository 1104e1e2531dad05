//! HOT PATH. The windows of a node: which one a record is in, when each is due, and what is kept of it.
//!
//! An accumulator is a value whose slot is a key and a window. A timer ([`crate::timers::NodeTimers`]) says when something is
//! due. At its end a window fires, and with the end of its allowed lateness it is gone. A record that comes between the two
//! makes it fire again, once for all of its batch.

/// Windows that fire before their end.
mod early;
/// Windows of all time.
mod global;
/// Windows of which a key has a list.
pub(crate) mod listed;
/// The lists of keys.
mod lists;
/// Accumulators that become part of others.
mod merges;
/// The key and the window of each record.
pub(crate) mod names;
/// What fires at once where keys have lists.
mod round;
/// Windows that a timestamp tells.
mod tumbling;

use std::borrow::Cow;

use weir_core::ports::{CallError, Change, KeyRef, KeyedState, RecordCheck, Table, TimeDomain};
use weir_core::{Batch, FrameWriter, KeySpec, Origin, PortError, RecordView, WindowKey};
use weir_time::window::firing::Firing;
use weir_time::window::{Assign, OutOfRange};
use weir_time::{Watermark, Window, WindowSpec};

use crate::error::NodeError;
use crate::load::values;
use crate::runner::Runner;
use crate::slots::Slots;
use crate::timers::{NodeTimers, TimerError, TimerOptions};
use early::Early;
use merges::Merges;
use names::Names;

/// How a node has windows.
#[derive(Debug, Clone)]
pub struct WindowOptions {
    /// Which window a record is in.
    assign: Assign,
    /// When windows fire, and how long they stay.
    firing: Firing,
    /// What is kept of them.
    tables: WindowTables,
    /// When something is due.
    timers: TimerOptions,
    /// Of which there is news, where windows fire early.
    early: Option<TimerOptions>,
    /// The output that late records go to, where somebody reads it, and what its sinks take.
    pub late: Option<(u32, Vec<RecordCheck>)>,
}

/// Where a node keeps its windows.
#[derive(Debug, Clone, Copy)]
pub struct WindowTables {
    /// The accumulators.
    pub accumulators: Table,
    /// What each key has, of windows that need such lists.
    pub lists: Option<Table>,
}

impl WindowOptions {
    /// Windows as `spec` has them; `early` are the timers of those that fire early. `None` where a table is not there.
    pub fn new(
        spec: &WindowSpec,
        tables: WindowTables,
        timers: TimerOptions,
        early: Option<TimerOptions>,
    ) -> Option<Self> {
        let assign = Assign::of(spec);
        let has_tables = (tables.lists.is_some() || matches!(assign, Assign::Tumbling(_)))
            && (early.is_some() || spec.firing.early_every_ms.is_none());
        let early = early.filter(|_| spec.firing.early_every_ms.is_some());
        has_tables.then_some(Self { assign, firing: spec.firing, tables, timers, early, late: None })
    }
}

/// See the module.
pub(crate) struct Windows {
    pub(crate) options: WindowOptions,
    pub(crate) timers: NodeTimers,
    pub(crate) early: Option<Early>,
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
    /// What is to be merged before the records are folded.
    pub(crate) merges: Merges,
    /// What fires amid them.
    pub(crate) rounds: Vec<global::Round>,
}

impl Sorted {
    fn new(placed: Vec<Placed>, merges: Merges) -> Self {
        let kept = placed.iter().filter(|placed| matches!(placed, Placed::In)).count();
        Self { placed, kept, merges, rounds: Vec::new() }
    }

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
    pub(crate) fn failed<'a>(&self, batch: &'a Batch) -> Vec<(RecordView<'a>, Origin, CallError)> {
        let placed = self.placed.iter().zip(batch.frame.records()).zip(&batch.origins);
        let failed = placed.filter_map(|((placed, record), origin)| match placed {
            Placed::Nowhere(why) => Some((record, *origin, CallError::NoWindow(why.clone()))),
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

impl Placed {
    fn without_key() -> Self {
        Self::Nowhere("it has no key, and windows are kept by key".to_owned())
    }

    fn outside(why: OutOfRange) -> Self {
        match why {
            OutOfRange(i64::MIN) => Self::Nowhere("it has no timestamp".to_owned()),
            outside => Self::Nowhere(format!("its timestamp is wrong: {outside}")),
        }
    }
}

impl Windows {
    pub(crate) fn new(options: WindowOptions, reached: Watermark) -> Self {
        Self {
            timers: NodeTimers::new(options.timers.clone()),
            early: options.early.clone().map(|timers| Early::new(timers, options.firing)),
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
    pub(crate) fn sort(
        &mut self,
        batch: &Batch,
        key: &KeySpec,
        (slots, state): (&mut Slots, &mut dyn KeyedState),
    ) -> Result<Sorted, TimerError> {
        self.names.clear();
        match self.options.assign {
            Assign::Tumbling(_) => Ok(self.sort_tumbling(batch, key)),
            Assign::Listed(listed) => self.sort_listed(listed, batch, key, (slots, state)),
            Assign::Global(global) => self.sort_global(global, batch, key, (slots, state)),
        }
    }

    /// Which window a record is in.
    pub(crate) fn assign(&self) -> &Assign {
        &self.options.assign
    }

    /// Whether it is a timestamp alone that tells what is due when.
    pub(crate) fn is_tumbling(&self) -> bool {
        matches!(self.options.assign, Assign::Tumbling(_))
    }

    /// The clock says `now_ms`: that is their time, if they are in processing time.
    pub(crate) fn note_now(&mut self, now_ms: i64) {
        self.early.iter_mut().for_each(|early| early.note_now(now_ms));
        if self.timers.domain() == TimeDomain::Processing {
            self.reached = Watermark::at(now_ms);
        }
    }

    /// The timestamp of a record, in their time.
    fn time_of(&self, record: &RecordView<'_>) -> i64 {
        match self.timers.domain() {
            TimeDomain::Event => record.timestamp_ms,
            TimeDomain::Processing => self.reached.number(),
        }
    }

    /// Which of these windows hold something: a plugin may have failed on all records of one.
    fn held(&self, names: &Names, state: &mut dyn KeyedState) -> Result<Vec<bool>, TimerError> {
        let mut bytes = Vec::new();
        state.enter(&names.all());
        let tables = [self.options.tables.accumulators];
        state.prefetch(&tables, 0..names.len() as u32, &mut bytes).map_err(TimerError::Read)?;
        Ok(values(&bytes).map(|value| value.is_some()).collect())
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

impl Runner {
    /// Does something with the windows and their state; nothing where there are none.
    fn on_windows<T: Default>(
        &mut self,
        act: impl FnOnce(&mut Windows, &mut dyn KeyedState) -> Result<T, TimerError>,
    ) -> Result<T, NodeError> {
        let (Some(windows), Some(call)) = (&mut self.windows, &mut self.state) else { return Ok(T::default()) };
        act(windows, call.state.as_mut()).map_err(|error| error.of(&self.options.name))
    }
}

/// What is kept of these windows goes.
fn clear(names: &Names, windows: &Windows, state: &mut dyn KeyedState) -> Result<(), PortError> {
    state.enter(&names.all());
    (0..names.len() as u32).try_for_each(|slot| state.change(slot, windows.options.tables.accumulators, Change::Clear))
}

/// The due list of these windows, each of a key: a record for each, with its key, the timestamp of what it sends, and its span.
/// What waits for processing time sends nothing before `least_ms`: later operators would take it for late.
pub(crate) fn due_list<'a>(windows: impl IntoIterator<Item = (&'a [u8], Window)>, least_ms: i64) -> Batch {
    let mut writer = FrameWriter::new(Vec::new());
    for (key, window) in windows {
        let span = [window.start_ms.to_le_bytes(), window.end_ms.to_le_bytes()].concat();
        writer.push(RecordView {
            timestamp_ms: window.timestamp_ms().max(least_ms),
            source: writer.len() as u32,
            key: Some(key),
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
    if Window::new(window.start_ms, window.end_ms) == Window::GLOBAL {
        return format!("the window of key {key:?}");
    }
    format!("the window of key {key:?} from {} ms to {} ms", window.start_ms, window.end_ms)
}

#[cfg(test)]
mod tests;
