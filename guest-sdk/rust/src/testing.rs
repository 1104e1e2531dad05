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
#[cfg(test)]
pub(crate) mod vectors;
pub(crate) mod wire;

pub use message::{Message, Output};

use std::collections::HashMap;
use std::marker::PhantomData;

use crate::{Failure, Host, Instance, Level, Operator};
use wire::Update;

/// An operator with the part of the host that it needs.
pub struct Harness<Op> {
    config: String,
    instance: Option<Instance<Op>>,
    tables: Vec<String>,
    state: HashMap<(String, Vec<u8>), Vec<u8>>,
    log: Vec<(Level, String)>,
    operator: PhantomData<Op>,
}

/// What an instance emits and says in one call.
#[derive(Default)]
struct Effects {
    frames: Vec<(u32, Vec<u8>)>,
    log: Vec<(Level, String)>,
}

impl Host for Effects {
    fn emit(&mut self, output: u32, frame: &[u8]) {
        self.frames.push((output, frame.to_vec()));
    }

    fn log(&mut self, level: Level, message: &str) {
        self.log.push((level, message.to_owned()));
    }
}

/// A table and a key, and the value that it gets; `None` clears it.
type Change = ((String, Vec<u8>), Option<Vec<u8>>);

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
        let tables = Op::describe().tables.iter().map(|t| t.name.to_owned()).collect();
        let instance = Some(Instance::open(config)?);
        let (state, log) = (HashMap::new(), Vec::new());
        Ok(Self { config: config.to_owned(), instance, tables, state, log, operator: PhantomData })
    }

    /// Hands `batch` to the operator in one call, keyed by the records' keys, and returns what it emitted, output by
    /// output. If a record fails, that is the answer, and nothing has happened: a job that may not skip records ends so.
    pub fn process(&mut self, batch: &[Message]) -> Result<Vec<Output>, Failure> {
        self.process_input(0, batch)
    }

    /// The same for one of several inputs.
    pub fn process_input(&mut self, input: u32, batch: &[Message]) -> Result<Vec<Output>, Failure> {
        let mut instance = self.instance()?;
        let call = self.call(&mut instance, input, batch)?;
        match call.failures.into_iter().next() {
            Some(failure) => Err(failure),
            None => Ok(self.happen(instance, call.outputs, call.changes)),
        }
    }

    /// Hands `batch` to the operator in one call, as a job does that skips the records that fail: returns what the others
    /// made, and every failure. Fails itself where a failure cannot be undone alone; then nothing has happened.
    pub fn process_skipping(&mut self, batch: &[Message]) -> Result<(Vec<Output>, Vec<Failure>), Failure> {
        let mut instance = self.instance()?;
        let call = self.call(&mut instance, 0, batch)?;
        Ok((self.happen(instance, call.outputs, call.changes), call.failures))
    }

    /// The instance that runs, or a new one. As in the host, one that failed is gone: it may be in any condition.
    fn instance(&mut self) -> Result<Instance<Op>, Failure> {
        match self.instance.take() {
            Some(instance) => Ok(instance),
            None => Instance::open(&self.config),
        }
    }

    /// One call; nothing of it has happened yet.
    fn call(&mut self, instance: &mut Instance<Op>, input: u32, batch: &[Message]) -> Result<Call, Failure> {
        let (slots, keys) = if self.tables.is_empty() { (Vec::new(), Vec::new()) } else { wire::slots(batch) };
        let values = wire::values(&self.tables, &keys, &self.state);
        let mut effects = Effects::default();
        let updates = instance.process(input, &wire::frame(batch), &slots, &values, &mut effects);
        self.log.append(&mut effects.log);
        let updates = updates?;
        let mut call = Call { outputs: wire::outputs(&effects.frames, batch.len())?, ..Call::default() };
        for update in wire::updates(&updates)? {
            match update.op {
                wire::Op::Reject => call.reject(&update, batch.len())?,
                wire::Op::Set | wire::Op::Clear => call.changes.push(self.change(&update, &keys)?),
            }
        }
        Ok(call)
    }

    fn change(&self, update: &Update<'_>, keys: &[Vec<u8>]) -> Result<Change, Failure> {
        match (self.tables.get(update.table as usize), keys.get(update.slot as usize)) {
            (Some(table), Some(key)) => Ok(((table.clone(), key.clone()), update.value.map(<[u8]>::to_vec))),
            _ => Err(Failure::new(format!("update of table {}, slot {}", update.table, update.slot))),
        }
    }

    fn happen(&mut self, instance: Instance<Op>, outputs: Vec<Output>, changes: Vec<Change>) -> Vec<Output> {
        for (place, value) in changes {
            match value {
                Some(value) => drop(self.state.insert(place, value)),
                None => drop(self.state.remove(&place)),
            }
        }
        self.instance = Some(instance);
        outputs
    }

    /// The stored bytes of a key.
    pub fn state(&self, table: &str, key: &[u8]) -> Option<&[u8]> {
        self.state.get(&(table.to_owned(), key.to_vec())).map(Vec::as_slice)
    }

    /// Puts bytes under a key, as an earlier version of the plugin may have left them.
    pub fn put_state(&mut self, table: &str, key: &[u8], value: &[u8]) {
        self.state.insert((table.to_owned(), key.to_vec()), value.to_vec());
    }

    /// Everything logged so far, also by calls that failed.
    pub fn log(&self) -> &[(Level, String)] {
        &self.log
    }
}

#[cfg(test)]
mod tests;
