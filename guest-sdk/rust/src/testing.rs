//! Runs an operator in memory: `cargo test` in a plugin needs neither wasm nor a host.
//!
//! `Harness` does what the host does around an instance: it builds frames, slots and values, checks what comes back,
//! keeps state between calls, drops the effects of a call that fails, and then makes a new instance.
//! [`Harness::process_skipping`] leaves out the records that fail, as a job does with `--on-error skip`.
//! ```
//! # use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record};
//! # struct Echo;
//! # impl Operator for Echo {
//! #     type Config = NoConfig;
//! #     fn describe() -> Description { Description::new("echo", "1") }
//! #     fn open(_: NoConfig) -> Result<Self, Failure> { Ok(Self) }
//! #     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
//! #         ctx.emit(*record);
//! #         Ok(())
//! #     }
//! # }
//! use weir_sdk::testing::{Harness, Message};
//!
//! let mut harness = Harness::<Echo>::new("{}").unwrap();
//! let out = harness.process(&[Message::new("key", "value")]).unwrap();
//! assert_eq!(out, [Message::new("key", "value").into_output(0)]);
//! ```

/// Golden cases: what goes in and must come out, in a file that the host's tests read too.
pub mod golden;
mod message;
mod stored;
#[cfg(test)]
pub(crate) mod vectors;
/// Runs an aggregate in memory.
mod windows;
pub(crate) mod wire;

pub use message::{Message, Output};
pub use windows::{WindowKind, Windows};

use std::marker::PhantomData;

use crate::description::{Table, TableKind};
use crate::frame::NULL;
use crate::timer::timers_in;
use crate::{Failure, Host, Instance, Level, Operator, TimeDomain};
use stored::{Change, Stored};
use wire::Update;

/// An operator with the part of the host that it needs.
pub struct Harness<Op> {
    config: String,
    instance: Option<Instance<Op>>,
    tables: Vec<Table>,
    stored: Stored,
    log: Vec<(Level, String)>,
    /// Processing time.
    now_ms: i64,
    /// Event time.
    watermark: i64,
    operator: PhantomData<Op>,
}

/// What an instance emits and says in one call, and what it can read.
struct Effects<'a> {
    frames: Vec<(u32, Vec<u8>)>,
    log: Vec<(Level, String)>,
    tables: &'a [Table],
    keys: &'a [Vec<u8>],
    stored: &'a Stored,
    /// Processing time and event time.
    times: (i64, i64),
}

impl Effects<'_> {
    /// The table and the key; the host would end a call that reads what is not there.
    fn place(&self, table: u32, slot: u32) -> (&Table, &[u8]) {
        let table = self.tables.get(table as usize).expect("a table of the description");
        match table.kind {
            TableKind::Broadcast => {
                assert_eq!(slot, NULL, "table `{}` is under no key", table.name);
                (table, b"")
            }
            _ => (table, self.keys.get(slot as usize).expect("a slot of the batch")),
        }
    }
}

impl Host for Effects<'_> {
    fn emit(&mut self, output: u32, frame: &[u8]) {
        self.frames.push((output, frame.to_vec()));
    }

    fn log(&mut self, level: Level, message: &str) {
        self.log.push((level, message.to_owned()));
    }

    fn processing_time(&mut self) -> i64 {
        self.times.0
    }

    fn watermark(&mut self) -> i64 {
        self.times.1
    }

    fn get_many(&mut self, table: u32, wanted: &[u8]) -> Vec<u8> {
        let get = |slot, entry: &[u8]| {
            let (table, key) = self.place(table, slot);
            let is_map = matches!(table.kind, TableKind::Map | TableKind::Broadcast);
            assert!(is_map, "get-many of table `{}`", table.name);
            self.stored.map(table.name, key)?.get(entry).map(Vec::as_slice)
        };
        wire::get_many(wanted, get).expect("a list of entries")
    }

    fn scan(&mut self, table: u32, slot: u32, start: &[u8], limit: u32) -> Vec<u8> {
        let (table, key) = self.place(table, slot);
        let is_read = matches!(table.kind, TableKind::List | TableKind::Map | TableKind::Broadcast);
        assert!(is_read, "a scan of table `{}`", table.name);
        // It has one or the other.
        let elements = (0u64..).zip(self.stored.list(table.name, key));
        let elements: Vec<_> = elements.map(|(index, value)| (index.to_be_bytes(), value)).collect();
        let elements = elements.iter().map(|(index, value)| (&index[..], value.as_slice()));
        let entries = self.stored.map(table.name, key).into_iter().flatten();
        let entries = entries.map(|(entry, value)| (entry.as_slice(), value.as_slice()));
        wire::scan(elements.chain(entries).filter(|(entry, _)| *entry >= start), limit)
    }
}

/// What a call is for.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// Records, which came in by this input.
    Process(u32),
    /// Timers.
    Timers,
}

/// So many calls for timers are made for one moment of time.
const TIMER_CALLS_MAX: usize = 100_000;

/// What one call asks for.
#[derive(Default)]
struct Call {
    outputs: Vec<Output>,
    changes: Vec<Change>,
    failures: Vec<Failure>,
}

impl Call {
    fn reject(&mut self, update: &Update<'_>, batch_len: usize) -> Result<(), Failure> {
        let record = update.slot;
        if record as usize >= batch_len || self.outputs.iter().any(|output| output.source == record) {
            return Err(Failure::new(format!("record {record} is rejected, and not there or emitted all the same")));
        }
        let message = str::from_utf8(update.value.unwrap_or_default())?.to_owned();
        self.failures.push(Failure { index: Some(record), code: update.table, message });
        Ok(())
    }
}

impl<Op: Operator> Harness<Op> {
    /// Opens the operator with its configuration, a JSON object.
    pub fn new(config: &str) -> Result<Self, Failure> {
        let tables = Op::describe().tables;
        let instance = Some(Instance::open(config)?);
        let (stored, log) = (Stored::of(&tables), Vec::new());
        let (now_ms, watermark) = (0, i64::MIN);
        Ok(Self { config: config.to_owned(), instance, tables, stored, log, now_ms, watermark, operator: PhantomData })
    }

    /// Hands `batch` to the operator in one call, keyed by the records' keys, and returns what it emitted, output by
    /// output. If a record fails, that is the answer, and nothing has happened: a job that may not skip records ends so.
    pub fn process(&mut self, batch: &[Message]) -> Result<Vec<Output>, Failure> {
        self.process_input(0, batch)
    }

    /// The same for one of several inputs.
    pub fn process_input(&mut self, input: u32, batch: &[Message]) -> Result<Vec<Output>, Failure> {
        let mut instance = self.instance()?;
        let call = self.call(&mut instance, Task::Process(input), batch)?;
        match call.failures.into_iter().next() {
            Some(failure) => Err(failure),
            None => Ok(self.happen(instance, call.outputs, call.changes)),
        }
    }

    /// Hands `batch` to the operator in one call, as a job does that skips the records that fail: returns what the others
    /// made, and every failure. Fails itself where a failure cannot be undone alone; then nothing has happened.
    pub fn process_skipping(&mut self, batch: &[Message]) -> Result<(Vec<Output>, Vec<Failure>), Failure> {
        self.process_input_skipping(0, batch)
    }

    /// The same for one of several inputs.
    pub fn process_input_skipping(
        &mut self,
        input: u32,
        batch: &[Message],
    ) -> Result<(Vec<Output>, Vec<Failure>), Failure> {
        let mut instance = self.instance()?;
        let call = self.call(&mut instance, Task::Process(input), batch)?;
        Ok((self.happen(instance, call.outputs, call.changes), call.failures))
    }

    /// Event time has come to `to_ms`: fires the timers that are due, in order, and returns what they emitted, call by call.
    /// Fails with the first that fails, or where they set each other without end.
    pub fn advance(&mut self, to_ms: i64) -> Result<Vec<Output>, Failure> {
        self.watermark = self.watermark.max(to_ms);
        let outputs = self.fire(TimeDomain::Event, to_ms)?;
        if to_ms != i64::MAX {
            self.stored.has_come(to_ms);
        }
        Ok(outputs)
    }

    /// Processing time has come to `now_ms`, which begins at 0: fires the timers that wait for it, as [`Harness::advance`] does.
    pub fn wake(&mut self, now_ms: i64) -> Result<Vec<Output>, Failure> {
        self.now_ms = now_ms;
        self.fire(TimeDomain::Processing, now_ms)
    }

    /// The timers of one time that are due at `to_ms`.
    fn fire(&mut self, domain: TimeDomain, to_ms: i64) -> Result<Vec<Output>, Failure> {
        let (mut outputs, Some(table)) = (Vec::new(), self.timer_table(domain)) else { return Ok(Vec::new()) };
        let reached_ms = if domain == TimeDomain::Processing { self.watermark } else { i64::MIN };
        for _ in 0..TIMER_CALLS_MAX {
            let due = self.stored.due(table, to_ms);
            if due.is_empty() {
                return Ok(outputs);
            }
            let list = due.iter().map(|(at_ms, key)| {
                let value = [&at_ms.to_le_bytes()[..], &table.to_le_bytes()].concat();
                Message::new(key, value).with_timestamp(reached_ms.max(*at_ms))
            });
            let list: Vec<Message> = list.collect();
            let mut instance = self.instance()?;
            let call = self.call(&mut instance, Task::Timers, &list)?;
            if let Some(failure) = call.failures.into_iter().next() {
                return Err(failure);
            }
            // They are over before what they set themselves.
            due.into_iter().for_each(|timer| self.stored.change(Change::CancelTimer(table, timer)));
            outputs.append(&mut self.happen(instance, call.outputs, call.changes));
        }
        Err(Failure::new(format!("timers have set each other {TIMER_CALLS_MAX} times, all due by {to_ms} ms")))
    }

    /// The index of the table of timers of one time.
    fn timer_table(&self, domain: TimeDomain) -> Option<u32> {
        let table = self.tables.iter().position(|table| timers_in(table) == Some(domain))?;
        u32::try_from(table).ok()
    }

    /// The instance that runs, or a new one. As in the host, one that failed is gone: it may be in any condition.
    fn instance(&mut self) -> Result<Instance<Op>, Failure> {
        match self.instance.take() {
            Some(instance) => Ok(instance),
            None => Instance::open(&self.config),
        }
    }

    /// One call; nothing of it has happened yet.
    fn call(&mut self, instance: &mut Instance<Op>, task: Task, batch: &[Message]) -> Result<Call, Failure> {
        self.stored.begin(batch.iter().filter_map(|message| message.timestamp).max());
        let is_broadcast = matches!(task, Task::Process(input) if Op::describe().is_broadcast(input));
        let (slots, keys) = match self.tables.is_empty() {
            true => (Vec::new(), Vec::new()),
            // What comes to all tasks is under no key.
            false if is_broadcast => (vec![NULL; batch.len()], Vec::new()),
            false => wire::slots(batch),
        };
        let value_tables = self.tables.iter().filter(|table| table.is_handed_over());
        let value_tables: Vec<_> = value_tables.map(|table| table.name).collect();
        let values = wire::values(&value_tables, &keys, &self.stored);
        let (frames, log) = (Vec::new(), Vec::new());
        let times = (self.now_ms, self.watermark);
        let mut effects = Effects { frames, log, tables: &self.tables, keys: &keys, stored: &self.stored, times };
        let frame = wire::frame(batch);
        let updates = match task {
            Task::Process(input) => instance.process(input, &frame, &slots, &values, &mut effects),
            Task::Timers => instance.on_timers(&frame, &slots, &values, &mut effects),
        };
        let (frames, mut log) = (effects.frames, effects.log);
        self.log.append(&mut log);
        let updates = updates?;
        let mut call = Call { outputs: wire::outputs(&frames, batch.len())?, ..Call::default() };
        if is_broadcast && !call.outputs.is_empty() {
            return Err(Failure::new(
                "records out of a broadcast input, which come to all tasks: each would send them",
            ));
        }
        for update in wire::updates(&updates)? {
            match update.op {
                wire::Op::Reject => call.reject(&update, batch.len())?,
                _ => {
                    let within = (self.tables.as_slice(), keys.as_slice(), is_broadcast);
                    call.changes.push(Change::new(&update, within, (&self.stored, &call.changes))?);
                }
            }
        }
        Ok(call)
    }

    fn happen(&mut self, instance: Instance<Op>, outputs: Vec<Output>, changes: Vec<Change>) -> Vec<Output> {
        changes.into_iter().for_each(|change| self.stored.change(change));
        self.instance = Some(instance);
        outputs
    }

    /// The stored bytes of a key.
    pub fn state(&self, table: &'static str, key: &[u8]) -> Option<&[u8]> {
        self.stored.value(table, key)
    }

    /// The stored bytes of each element of a key's list.
    pub fn list(&self, table: &'static str, key: &[u8]) -> &[Vec<u8>] {
        self.stored.list(table, key)
    }

    /// The stored bytes of each entry of a key's map: its key and its value, in order.
    pub fn map(&self, table: &'static str, key: &[u8]) -> Vec<(&[u8], &[u8])> {
        let entries = self.stored.map(table, key).into_iter().flatten();
        entries.map(|(entry, value)| (entry.as_slice(), value.as_slice())).collect()
    }

    /// The stored bytes of each entry of a table that all tasks have: its key and its value, in order.
    pub fn broadcast(&self, table: &'static str) -> Vec<(&[u8], &[u8])> {
        self.map(table, b"")
    }

    /// When the timers of a key are due in event time, in order.
    pub fn timers(&self, key: &[u8]) -> Vec<i64> {
        self.timers_of(TimeDomain::Event, key)
    }

    /// When the timers of a key are due in processing time, in order.
    pub fn processing_timers(&self, key: &[u8]) -> Vec<i64> {
        self.timers_of(TimeDomain::Processing, key)
    }

    fn timers_of(&self, domain: TimeDomain, key: &[u8]) -> Vec<i64> {
        self.timer_table(domain).map(|table| self.stored.timers(table, key)).unwrap_or_default()
    }

    /// Puts bytes under a key, as an earlier version of the plugin may have left them.
    pub fn put_state(&mut self, table: &'static str, key: &[u8], value: &[u8]) {
        self.stored.change(Change::Set((table, key.to_vec()), value.to_vec()));
    }

    /// Everything logged so far, also by calls that failed.
    pub fn log(&self) -> &[(Level, String)] {
        &self.log
    }
}

#[cfg(test)]
mod tests;
