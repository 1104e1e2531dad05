//! Runs an operator in memory: `cargo test` in a plugin needs neither wasm nor a host.
//!
//! `Harness` does what the host does around an instance: it builds frames, slots and values, checks what comes back,
//! keeps state between calls, drops the effects of a call that fails, and then makes a new instance.
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

impl<Op: Operator> Harness<Op> {
    /// Opens the operator with its configuration, a JSON object.
    pub fn new(config: &str) -> Result<Self, Failure> {
        let tables = Op::describe().tables.iter().map(|t| t.name.to_owned()).collect();
        let instance = Some(Instance::open(config)?);
        let (state, log) = (HashMap::new(), Vec::new());
        Ok(Self { config: config.to_owned(), instance, tables, state, log, operator: PhantomData })
    }

    /// Hands `batch` to the operator in one call, keyed by the records' keys, and returns what it emitted, output by
    /// output. If it fails, nothing has happened.
    pub fn process(&mut self, batch: &[Message]) -> Result<Vec<Output>, Failure> {
        self.process_input(0, batch)
    }

    /// The same for one of several inputs.
    pub fn process_input(&mut self, input: u32, batch: &[Message]) -> Result<Vec<Output>, Failure> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => Instance::open(&self.config)?,
        };
        let (slots, keys) = if self.tables.is_empty() { (Vec::new(), Vec::new()) } else { wire::slots(batch) };
        let values = wire::values(&self.tables, &keys, &self.state);
        let mut effects = Effects::default();
        let updates = instance.process(input, &wire::frame(batch), &slots, &values, &mut effects);
        self.log.append(&mut effects.log);
        // As in the host, an instance that failed is gone: it may be in any condition.
        let updates = updates?;
        let outputs = wire::outputs(&effects.frames, batch.len())?;
        self.apply(&wire::updates(&updates)?, &keys)?;
        self.instance = Some(instance);
        Ok(outputs)
    }

    fn apply(&mut self, updates: &[Update<'_>], keys: &[Vec<u8>]) -> Result<(), Failure> {
        for update in updates {
            let (Some(table), Some(key)) = (self.tables.get(update.table as usize), keys.get(update.slot as usize))
            else {
                return Err(Failure::new(format!("update of table {}, slot {}", update.table, update.slot)));
            };
            let place = (table.clone(), key.clone());
            match update.value {
                Some(value) => drop(self.state.insert(place, value.to_vec())),
                None => drop(self.state.remove(&place)),
            }
        }
        Ok(())
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
