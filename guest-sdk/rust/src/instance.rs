//! HOT PATH. One instance of an operator: from the bytes of a call to typed records and back.

use serde::de::DeserializeOwned;

use crate::Operator;
use crate::context::Context;
#[cfg(not(target_arch = "wasm32"))]
use crate::context::Level;
use crate::description::Description;
use crate::failure::{self, Failure};
use crate::frame::{Frame, FrameWriter, NULL, malformed};
use crate::record::Record;
use crate::state::{CellTable, Cells, Collections};
use crate::timer::Timer;
use crate::update::Queue;

/// What an instance asks of whoever runs it natively: the imports of the contract.
#[cfg(not(target_arch = "wasm32"))]
pub trait Host {
    /// Takes a frame for one output.
    fn emit(&mut self, output: u32, frame: &[u8]);

    /// Takes a line for the log.
    fn log(&mut self, level: Level, message: &str);

    /// Processing time, as `context.processing-time` of `wit/` has it.
    fn processing_time(&mut self) -> i64;

    /// Event time, as `context.watermark` of `wit/` has it.
    fn watermark(&mut self) -> i64;

    /// Entries of maps, as `state.get-many` of `wit/` has them.
    fn get_many(&mut self, table: u32, wanted: &[u8]) -> Vec<u8>;

    /// Entries of a list or a map, as `state.scan` of `wit/` has them.
    fn scan(&mut self, table: u32, slot: u32, start: &[u8], limit: u32) -> Vec<u8>;
}

/// The host of a call. In wasm there is one, and a plugin imports only what it calls of it.
#[cfg(target_arch = "wasm32")]
pub type HostRef<'a> = &'a mut crate::bindings::Imports;
/// The host of a call.
#[cfg(not(target_arch = "wasm32"))]
pub type HostRef<'a> = &'a mut dyn Host;

/// An operator, and the buffers it keeps from batch to batch.
pub struct Instance<Op> {
    operator: Op,
    description: Description,
    /// The tables whose values come with a batch.
    value_tables: Vec<CellTable>,
    cells: Cells,
    collections: Collections,
    queue: Queue,
    outputs: Vec<FrameWriter>,
    /// Updates that reject the records of this batch which failed; at its end, also those of lists, maps, timers and merges.
    rejects: Vec<u8>,
}

impl<Op: Operator> Instance<Op> {
    /// Opens the operator with its configuration, a JSON object.
    pub fn open(config: &str) -> Result<Self, Failure> {
        let operator = Op::open(configuration(config)?)?;
        let description = Op::describe();
        let outputs = (0..description.output_count()).map(|_| FrameWriter::default()).collect();
        let (value_tables, cells, collections) = (description.value_tables(), Cells::default(), Collections::default());
        let (queue, rejects) = (Queue::default(), Vec::new());
        Ok(Self { operator, description, value_tables, cells, collections, queue, outputs, rejects })
    }

    /// Processes one batch: the arguments and the result are those of `operator.process` in `wit/`. A record that fails
    /// is undone and rejected, and the others go on.
    pub fn process(
        &mut self,
        input: u32,
        batch: &[u8],
        slots: &[u32],
        values: &[u8],
        host: HostRef<'_>,
    ) -> Result<Vec<u8>, Failure> {
        self.each((input, batch), slots, values, host, Op::process)
    }

    /// Timers are due: the arguments and the result are those of `timers.on-timers` in `wit/`. A timer that fails is undone
    /// and rejected, and the others go on.
    pub fn on_timers(
        &mut self,
        due: &[u8],
        slots: &[u32],
        values: &[u8],
        host: HostRef<'_>,
    ) -> Result<Vec<u8>, Failure> {
        self.each((0, due), slots, values, host, |operator, record, ctx| {
            let timer = Timer::of(record, ctx.tables).ok_or_else(|| malformed("list of timers"))?;
            operator.on_timer(&timer, ctx)
        })
    }

    /// Does `step` with each record of a batch, in the context of its key.
    #[inline]
    fn each(
        &mut self,
        (input, batch): (u32, &[u8]),
        slots: &[u32],
        values: &[u8],
        host: HostRef<'_>,
        mut step: impl FnMut(&mut Op, &Record<'_>, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<Vec<u8>, Failure> {
        self.outputs.iter_mut().for_each(FrameWriter::clear);
        self.rejects.clear();
        self.collections.clear();
        self.queue.clear();
        self.cells.load(values, self.value_tables.len())?;
        let mut frame = Frame::new(batch)?;
        let keyed = !self.description.tables.is_empty();
        if keyed && slots.len() != frame.len() {
            return Err(malformed("list of slots"));
        }
        let mut ctx = Context {
            input,
            is_broadcast: self.description.is_broadcast(input),
            source: 0,
            slot: NULL,
            tables: &self.description.tables,
            cells: &mut self.cells,
            collections: &mut self.collections,
            queue: &mut self.queue,
            values,
            outputs: &mut self.outputs,
            failure: None,
            spilled: NULL,
            host: &mut *host,
        };
        while let Some(record) = frame.next()? {
            ctx.slot = slots.get(ctx.source as usize).copied().unwrap_or(NULL);
            let done = step(&mut self.operator, &record, &mut ctx);
            ctx.settle(done, &mut self.rejects)?;
            ctx.source += 1;
            ctx.cells.next_record();
            ctx.collections.next_record();
            ctx.queue.next_record();
        }
        flush(&mut self.outputs, host);
        self.collections.push_updates(&mut self.rejects);
        self.queue.push_updates(&mut self.rejects);
        Ok(self.cells.updates(&self.value_tables, &self.rejects))
    }
}

/// The configuration of a plugin, from its JSON.
pub(crate) fn configuration<C: DeserializeOwned>(text: &str) -> Result<C, Failure> {
    let wrong = |e| Failure::from(e).context("configuration of the plugin").with_code(failure::CONFIG);
    serde_json::from_str(text).map_err(wrong)
}

/// Gives what was put out to the host.
pub(crate) fn flush(outputs: &mut [FrameWriter], host: HostRef<'_>) {
    for (output, writer) in (0..).zip(outputs) {
        if let Some(frame) = writer.finish() {
            host.emit(output, frame);
        }
    }
}
