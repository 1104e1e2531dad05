//! HOT PATH. One operator on one thread: finds the distinct keys of a batch, loads their state, calls the plugin, checks
//! everything it hands over, and only then lets any of it happen.
//!
//! A call that fails has no effect. Its batch is then narrowed down, in order, to the record at fault; the policy is
//! applied to that record and the rest goes on. A plugin may also undo a record by itself and reject it: then the call
//! goes well, and the policy is applied to what it rejected.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use weir_core::ports::{Call, CallError, CallState, CallTask, Effects, KeyedState, Operator, RecordCheck, TimeDomain};
use weir_core::{Batch, KeySpec, OnError, OperatorId, Origin, RecordView, Watermark};

use crate::driver::{Driver, place};
use crate::error::NodeError;
use crate::expiry::Expiry;
use crate::letters::{Failed, LetterOptions, Letters, Of, Scene};
use crate::load::{fitting, load, values as values_of};
use crate::origin::with_origin;
use crate::outputs::trace_origins;
use crate::pace::Pace;
use crate::parts::Parts;
use crate::reduce::{Reduced, reduced};
use crate::rejected::check_rejected;
use crate::skips::Skips;
use crate::slots::Slots;
use crate::timers::{self, PluginTimers, TimerError, TimerOptions};
use crate::updates::{self, Within};
use crate::version::{Fallback, Probation, Terms, Version};
use crate::windows::{self, WindowOptions, Windows};

/// A call gets at most this much frame and values, unless a single record is larger.
pub(crate) const CALL_BYTES_MAX: usize = 1 << 20;
/// A call should take no longer, so that a barrier need not wait for it: its records are counted out accordingly. Less
/// where a deadline shows to be short.
const CALL_TIME: Duration = Duration::from_millis(20);

/// How one operator is set up in one task.
pub struct RunnerOptions {
    /// Index of the operator in the pipeline.
    pub index: usize,
    /// Its number in the job's records.
    pub id: OperatorId,
    /// How far event time had come for it in the epoch that the attempt begins with.
    pub watermark: Watermark,
    /// Its name.
    pub name: String,
    /// What it is keyed by.
    pub key: KeySpec,
    /// What its plugin says of itself.
    pub terms: Terms,
    /// For each output the plugin declares: what its sinks take.
    pub outputs: Vec<Vec<RecordCheck>>,
    /// What becomes of a record it fails on.
    pub on_error: OnError,
    /// Where its dead letters go, where it has any.
    pub letters: Option<LetterOptions>,
    /// Its windows, where its plugin is an aggregate.
    pub windows: Option<WindowOptions>,
    /// The timers that its plugin sets, of each time at most once.
    pub timers: Vec<TimerOptions>,
    /// Whether it is this task that writes, counts and tells of what comes to all tasks.
    pub writes_broadcast: bool,
}

/// One operator of one task.
pub struct Runner {
    /// How it is set up.
    pub options: RunnerOptions,
    operator: Box<dyn Operator>,
    /// What the version before waits with, while the one that runs is on probation.
    fallback: Option<Fallback>,
    pub(crate) state: Option<CallState>,
    pub(crate) slots: Slots,
    values: Vec<u8>,
    /// What the values of a key took when they were last loaded.
    value_bytes: usize,
    effects: Effects,
    pace: Pace,
    /// How long a call should take.
    call_time: Duration,
    skips: Skips,
    letters: Option<Letters>,
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) windows: Option<Windows>,
    pub(crate) timers: PluginTimers,
    /// How far event time has come for it.
    pub(crate) reached: Watermark,
    /// Processing time, of the batch or the timers under way.
    pub(crate) now_ms: i64,
    expiry: Expiry,
}

impl Runner {
    /// `state` is `None` for an operator without tables.
    pub fn new(
        options: RunnerOptions,
        operator: Box<dyn Operator>,
        state: Option<Box<dyn KeyedState>>,
        driver: Box<dyn Driver>,
    ) -> Self {
        assert_eq!(state.is_some(), !options.terms.tables.is_empty(), "state belongs to tables");
        let (slots, values, effects) = (Slots::default(), Vec::new(), Effects::default());
        let (pace, call_time) = (Pace::default(), CALL_TIME);
        let letters = options.letters.clone().map(Letters::new);
        let skips = if letters.is_some() { Skips::of_dead_letters() } else { Skips::of_skipped() };
        let state = state.map(|mut state| {
            if !options.writes_broadcast {
                state.follow();
            }
            CallState::new(state, options.terms.tables.clone())
        });
        let windows = options.windows.clone().map(|windows| Windows::new(windows, options.watermark));
        let timers = PluginTimers::new(options.timers.iter().cloned());
        let (reached, now_ms) = (options.watermark, i64::MIN);
        let expiry = Expiry::new(&options.terms.tables, options.watermark);
        Self {
            options,
            operator,
            fallback: None,
            state,
            slots,
            values,
            value_bytes: 0,
            effects,
            pace,
            call_time,
            skips,
            letters,
            driver,
            windows,
            timers,
            reached,
            now_ms,
            expiry,
        }
    }

    /// Between two batches: `version` runs it from now on. It keeps state if the one before did; for the time of its probation
    /// that one waits.
    pub fn take_over(&mut self, version: Version, probation: Probation) {
        let before = self.put_in(version);
        self.go_on_probation(before, probation);
    }

    /// What runs it is on `probation`: for that time `before`, which ran before it, waits.
    pub fn go_on_probation(&mut self, before: Version, probation: Probation) {
        self.fallback = Fallback::new(before, probation);
    }

    /// Changes what runs; gives what did.
    fn put_in(&mut self, Version { terms, operator }: Version) -> Version {
        assert_eq!(self.state.is_some(), !terms.tables.is_empty(), "state belongs to tables");
        if let Some(CallState { state, .. }) = self.state.take() {
            self.state = Some(CallState::new(state, terms.tables.clone()));
        }
        self.expiry.change(&terms.tables);
        (self.value_bytes, self.call_time) = (0, CALL_TIME);
        let terms = std::mem::replace(&mut self.options.terms, terms);
        Version { terms, operator: std::mem::replace(&mut self.operator, operator) }
    }

    /// What waits, unless the probation is over.
    fn fallback(&mut self, now: Instant) -> Option<&mut Fallback> {
        self.fallback.take_if(|fallback| fallback.is_over(now));
        self.fallback.as_mut()
    }

    /// Whether a version on probation has rejected too many records with these, and the one before it runs again.
    fn is_borne_no_longer(&mut self, now: Instant, records: usize, rejected: usize) -> bool {
        let Some(fallback) = self.fallback(now) else { return false };
        if fallback.bears(records, rejected) {
            return false;
        }
        let first = updates::rejects(&self.effects.updates).next().map(CallError::from);
        first.is_some_and(|first| {
            self.fall_back(&first);
            true
        })
    }

    /// Brings the version before back, if `failure` on so many records ends a probation.
    fn falls_back(&mut self, failure: &CallError, records: usize) -> bool {
        let on_error = self.options.on_error;
        let waits = self.fallback.is_some().then(weir_machine::now).and_then(|now| self.fallback(now));
        waits.is_some_and(|fallback| fallback.ends_by(failure, records, on_error)) && {
            self.fall_back(failure);
            true
        }
    }

    /// Brings back the version that waits.
    fn fall_back(&mut self, why: &CallError) {
        if let Some(fallback) = self.fallback.take() {
            drop(self.put_in(fallback.version));
            (fallback.failed)(why);
        }
    }

    /// The operator's state, where it has tables.
    pub fn state(&mut self) -> Option<&mut Box<dyn KeyedState>> {
        self.state.as_mut().map(|call| &mut call.state)
    }

    /// Processes what came in by `input` and appends what comes out: (output, records), in order. What was out before a
    /// record failed stays.
    pub fn run(&mut self, input: u32, batch: &Batch, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        self.now_ms = self.driver.now_ms();
        match self.windows {
            Some(_) => self.fold(input, batch, out)?,
            None => self.run_whole(Step::Process(input), batch, out)?,
        }
        self.put_out_letters(out);
        Ok(())
    }

    /// The dead letters of the batch or the list that is through go behind what it has sent.
    pub(crate) fn put_out_letters(&mut self, out: &mut Vec<(u32, Batch)>) {
        self.letters.iter_mut().for_each(|letters| letters.put_out(out));
    }

    /// Whether a dead letter of what is through is not out yet. Sealed so, it would be lost with the process.
    pub fn holds_letters(&self) -> bool {
        self.letters.as_ref().is_some_and(|letters| !letters.is_empty())
    }

    /// `batch` as the version that runs is to see it.
    fn stamped<'a>(&self, step: Step, batch: &'a Batch) -> Cow<'a, Batch> {
        let mut stamped = Cow::Borrowed(batch);
        if self.options.terms.origin && step.has_records() {
            self.driver.with_splits(&mut |splits| stamped = Cow::Owned(with_origin(batch, splits)));
        }
        stamped
    }

    /// Takes `step` with `batch`: in one call if all goes well, otherwise part by part.
    pub(crate) fn run_whole(
        &mut self,
        step: Step,
        batch: &Batch,
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<(), NodeError> {
        let mut parts = Parts::new(batch);
        while let Some(part) = parts.next(self.pace.records_in(self.call_time)) {
            let stamped = self.stamped(step, &part);
            match self.call(step, (&stamped, parts.at()), out)? {
                Outcome::Done => parts.went_well(part),
                Outcome::TooLarge { fit } => parts.shorten(part, fit),
                Outcome::FellBack => parts.again(part),
                Outcome::Failed(failure) if self.falls_back(&failure, part.frame.len()) => parts.again(part),
                Outcome::Failed(failure) if part.frame.len() == 1 => {
                    self.give_up(step, (&part, parts.at()), failure)?;
                    parts.gave_up(part);
                }
                Outcome::Failed(failure) => parts.narrow(part, failure.index()),
            }
        }
        Ok(())
    }

    /// One call, on a part of a batch that begins with this record of it. Unless it is done, nothing of it happened.
    fn call(
        &mut self,
        step: Step,
        (batch, at): (&Batch, usize),
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<Outcome, NodeError> {
        self.values.clear();
        let (mut keys, is_broadcast) = (0, self.is_broadcast(step));
        if let Some(CallState { state, .. }) = &mut self.state {
            let names = match &mut self.windows {
                // What comes to all tasks is under no key.
                _ if is_broadcast => self.slots.assign_keys(batch.frame.len(), batch.frame.records().map(|_| None)),
                None => self.slots.assign(&batch.frame, step.key(&self.options.key)),
                Some(windows) => windows.names.assign(at..at + batch.frame.len(), &mut self.slots),
            };
            self.expiry.tell(Some(&batch.frame), self.now_ms, state.as_mut());
            state.enter(&names);
            keys = names.len() as u32;
            let room = CALL_BYTES_MAX.saturating_sub(batch.frame.as_bytes().len());
            let sizes = (room, self.value_bytes);
            let loaded = load(state.as_mut(), &self.options.terms.prefetched, keys, sizes, &mut self.values);
            self.value_bytes = loaded.map_err(|error| NodeError::Read(self.options.name.clone(), error))?;
        }
        let slots = if self.state.is_some() { self.slots.of_record() } else { &[] };
        if batch.frame.len() > 1 && self.values.len() + batch.frame.as_bytes().len() > CALL_BYTES_MAX {
            return Ok(Outcome::TooLarge {
                fit: fitting(&batch.frame, slots, &self.values, self.options.terms.prefetched.len()),
            });
        }
        if let Some(state) = &mut self.state {
            state.begin(keys);
        }
        let (task, frame, values) = (step.task(), &batch.frame, self.values.as_slice());
        let (now_ms, watermark, state) = (self.now_ms, self.reached, &mut self.state);
        let call = Call { task, frame, slots, values, now_ms, watermark, state };
        self.effects.clear();
        let began = weir_machine::now();
        if let Err(failure) = self.operator.process(call, &mut self.effects) {
            self.learn_from(&failure, batch.frame.len(), weir_machine::since(began));
            return host_error(failure, &self.options.name).map(Outcome::Failed);
        }
        self.pace.took(batch.frame.len(), weir_machine::since(began));
        let (rejected, outputs, reduced) = match self.checked(step, batch, keys as usize) {
            Ok(checked) => checked,
            Err(failure) => {
                self.operator.discard();
                return host_error(failure, &self.options.name).map(Outcome::Failed);
            }
        };
        if self.is_borne_no_longer(began, batch.frame.len(), rejected) {
            return Ok(Outcome::FellBack);
        }
        self.note_fired(step, batch)?;
        if let Some(state) = &mut self.state {
            let changed =
                updates::apply(&self.effects.updates, state).and_then(|()| reduced.apply(state.state.as_mut()));
            changed.map_err(|error| NodeError::Change(self.options.name.clone(), error))?;
        }
        self.note_set(step, batch)?;
        if step.has_records() && !self.is_copy(step) {
            self.driver.processed(batch.frame.len() - rejected);
        }
        if rejected > 0 && !self.is_told_elsewhere(step) {
            self.leave_out_rejected(step, (batch, at))?;
        }
        out.extend(outputs);
        Ok(Outcome::Done)
    }

    /// What the plugin hands over in a call with so many `keys`: how many records it rejects, its outputs, and what it makes of
    /// its reducing tables.
    fn checked(&mut self, step: Step, batch: &Batch, keys: usize) -> Result<Checked, CallError> {
        let tables = if step.changes_tables() { &self.options.terms.tables[..] } else { &[] };
        let (records, is_broadcast) = (batch.frame.len(), self.is_broadcast(step));
        let rejected = updates::check(&self.effects.updates, Within { tables, keys, records, is_broadcast })?;
        self.check_silent(step, &self.effects)?;
        check_rejected(&self.effects, rejected, self.options.on_error)?;
        let outputs = trace_origins(&mut self.effects, batch, &self.options.outputs, self.now_ms)?;
        let reduced = match &mut self.state {
            Some(CallState { state, .. }) if !self.options.terms.reducing.is_empty() => {
                reduced(&self.effects.updates, &self.options.terms.reducing, keys, state.as_mut())?
            }
            _ => Reduced::default(),
        };
        Ok((rejected, outputs, reduced))
    }

    /// A call that was cut off had too many records, unless it had one.
    fn learn_from(&mut self, failure: &CallError, records: usize, elapsed: Duration) {
        if let CallError::Deadline { limit_ms } = failure
            && records > 1
        {
            self.pace.took_longer_than(records, elapsed);
            self.call_time = self.call_time.min(Duration::from_millis(*limit_ms) / 4);
        }
    }

    /// The one record of `part`, or the one window or timer, failed: the policy decides, and it is over.
    fn give_up(&mut self, step: Step, (part, at): (&Batch, usize), failure: CallError) -> Result<(), NodeError> {
        if self.is_told_elsewhere(step) {
            return Ok(());
        }
        if let Some((record, origin)) = part.frame.records().zip(&part.origins).next() {
            self.leave_out(step, Suspect { record, origin: *origin, at, index: 0 }, failure)?;
        }
        self.note_fired(step, part)
    }

    /// What the call was made for is over, if it was due: before its updates, which may set the same timer again.
    fn note_fired(&mut self, step: Step, batch: &Batch) -> Result<(), NodeError> {
        let Some(CallState { state, .. }) = &mut self.state else { return Ok(()) };
        let noted = match (step, &mut self.windows) {
            (Step::Fire, Some(windows)) => windows.fired(state.as_mut()),
            (Step::Timers(domain), _) => {
                let fired = batch.frame.records().zip(self.slots.of_record());
                let fired = fired.filter_map(|(timer, slot)| Some((*slot, timers::time_ms(&timer)?)));
                self.timers.are_over(domain, fired, state.as_mut()).map_err(TimerError::from)
            }
            _ => Ok(()),
        };
        noted.map_err(|error| error.of(&self.options.name))
    }

    /// The state has changed as the call wanted: what follows for timers, those of windows too.
    fn note_set(&mut self, step: Step, batch: &Batch) -> Result<(), NodeError> {
        let Some(CallState { state, .. }) = &mut self.state else { return Ok(()) };
        let updates = &self.effects.updates;
        let noted = match (step, &mut self.windows) {
            (Step::Fold(_), Some(windows)) => {
                let folded = match windows.is_tumbling() {
                    true => windows.folded((updates, &self.values), state.as_mut()),
                    false => Ok(()),
                };
                folded.and_then(|()| windows.have_news(updates, state.as_mut()))
            }
            (Step::Process(_) | Step::Timers(_), _) => {
                let mut changes = updates::timer_changes(updates).peekable();
                if changes.peek().is_none() {
                    return Ok(());
                }
                let keys = self.slots.keys(&batch.frame, step.key(&self.options.key));
                self.timers.change(changes, (&self.options.terms.tables, &keys), state.as_mut())
            }
            _ => Ok(()),
        };
        noted.map_err(|error| error.of(&self.options.name))
    }

    /// Leaves every record that the plugin rejected to the policy; the call began with this record of the batch.
    fn leave_out_rejected(&mut self, step: Step, (batch, at): (&Batch, usize)) -> Result<(), NodeError> {
        let updates = std::mem::take(&mut self.effects.updates);
        let mut rejects = updates::rejects(&updates).peekable();
        for ((index, record), origin) in batch.frame.records().enumerate().zip(&batch.origins) {
            if let Some(reject) = rejects.next_if(|reject| reject.record as usize == index) {
                self.leave_out(step, Suspect { record, origin: *origin, at: at + index, index }, reject.into())?;
            }
        }
        Ok(())
    }

    /// What the policy makes of a record that failed, or of a window or a timer.
    pub(crate) fn leave_out(&mut self, step: Step, suspect: Suspect<'_>, why: CallError) -> Result<(), NodeError> {
        let (Suspect { record, origin, at, .. }, operator) = (suspect, &self.options.name);
        let due = (!step.has_records()).then(|| match &self.windows {
            Some(windows) => windows::described(windows.names.get(at)),
            None => timers::described(&record),
        });
        match (self.options.on_error, &mut self.letters) {
            (OnError::Skip, _) => self.driver.skipped(origin, &why),
            (OnError::DeadLetter, Some(letters)) => {
                let (plugin, driver, now_ms) = (&self.options.terms.plugin, &*self.driver, self.now_ms);
                let scene = Scene { operator, plugin, driver, now_ms };
                let failed = match &due {
                    Some(due) => {
                        let value = suspect.kept(step, self.slots.of_record(), &self.values);
                        Failed { record: RecordView { value, ..record }, origin, of: Of::Due(due) }
                    }
                    None => Failed { record, origin, of: Of::Record { input: step.input() } },
                };
                if let Err(unfit) = letters.add(failed, &why, scene) {
                    let of = due.unwrap_or_else(|| format!("record {}", place(driver, origin)));
                    let (operator, unfit) = (operator.clone(), Box::new(unfit));
                    return Err(NodeError::DeadLetter { operator, of, why, unfit });
                }
                self.driver.dead_lettered();
            }
            (OnError::Fail | OnError::DeadLetter, _) => {
                let operator = operator.clone();
                return Err(match due {
                    Some(due) => NodeError::Due { operator, due, source: why },
                    None => NodeError::Record { operator, record: place(&*self.driver, origin), source: why },
                });
            }
        }
        self.skips.left_out(operator, &*self.driver, origin, why);
        Ok(())
    }

    /// Event time has come to `to`, and what was due by then has fired.
    pub(crate) fn has_come(&mut self, to: Watermark) {
        if let Some(CallState { state, .. }) = &mut self.state {
            self.expiry.has_come(to, self.now_ms, state.as_mut());
        }
    }

    /// Drops the instance, as after a failure: the next call has a new one. Whatever must last is in the state.
    pub fn renew_instance(&mut self) {
        self.operator.discard();
    }

    /// Between two elements: tells of records that were left out what is due.
    pub fn look(&mut self) {
        self.skips.look(&self.options.name, &*self.driver);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.skips.end(&self.options.name, &*self.driver);
    }
}

/// See [`Runner::checked`].
type Checked = (usize, Vec<(u32, Batch)>, Reduced);

/// What a node does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Records become records.
    Process(u32),
    /// Timers of this time are due.
    Timers(TimeDomain),
    /// Records are folded into the accumulators of their windows.
    Fold(u32),
    /// Accumulators become part of others.
    Merge,
    /// Windows have come to their end.
    Fire,
    /// Windows fire, and nothing follows for what is kept of them: again, after late records, or where lists say what does.
    FireAgain,
}

impl Step {
    /// What the plugin is to do.
    fn task(self) -> CallTask {
        match self {
            Self::Process(input) => CallTask::Process(input),
            Self::Timers(_) => CallTask::Timers,
            Self::Fold(input) => CallTask::Fold(input),
            Self::Merge => CallTask::Merge,
            Self::Fire | Self::FireAgain => CallTask::Finish,
        }
    }

    /// Whether the batch has records and is no due list.
    fn has_records(self) -> bool {
        matches!(self, Self::Process(_) | Self::Fold(_))
    }

    /// The input that its records came in by.
    fn input(self) -> u32 {
        match self {
            Self::Process(input) | Self::Fold(input) => input,
            Self::Timers(_) | Self::Merge | Self::Fire | Self::FireAgain => 0,
        }
    }

    /// Whether the plugin may change its tables. What is kept of windows that have fired is the host's to clear.
    fn changes_tables(self) -> bool {
        matches!(self, Self::Process(_) | Self::Fold(_) | Self::Timers(_) | Self::Merge)
    }

    /// What the batch is keyed by, where records are keyed by `key`.
    fn key(self, key: &KeySpec) -> &KeySpec {
        if matches!(self, Self::Timers(_)) { &KeySpec::Key } else { key }
    }
}

/// A record that failed, or what stands for a window or a timer in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspect<'a> {
    /// As the plugin saw it.
    pub(crate) record: RecordView<'a>,
    /// Where it was read.
    pub(crate) origin: Origin,
    /// Its number in its batch or list.
    pub(crate) at: usize,
    /// Its number in the call.
    pub(crate) index: usize,
}

impl<'a> Suspect<'a> {
    /// What is kept of the window that it stands for, and is over with it: its accumulator, or the one that was to be merged.
    /// The plugin was given the `values` of the call's `slots`.
    fn kept(&self, step: Step, slots: &[u32], values: &'a [u8]) -> Option<&'a [u8]> {
        match step {
            Step::Merge => self.record.value,
            Step::Fire | Step::FireAgain => values_of(values).nth(*slots.get(self.index)? as usize).flatten(),
            Step::Process(_) | Step::Fold(_) | Step::Timers(_) => None,
        }
    }
}

/// What became of a call.
enum Outcome {
    /// All of it happened.
    Done,
    /// It was not made: only so many of its records fit.
    TooLarge {
        /// How many; at least one.
        fit: usize,
    },
    /// It failed, and nothing of it happened.
    Failed(CallError),
    /// Nothing of it happened, and the version before runs again.
    FellBack,
}

/// A failure that is not the plugin's ends the attempt.
fn host_error(failure: CallError, operator: &str) -> Result<CallError, NodeError> {
    match failure {
        CallError::Host(source) => Err(NodeError::Record {
            operator: operator.to_owned(),
            record: "(any)".to_owned(),
            source: CallError::Host(source),
        }),
        failure => Ok(failure),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
