//! HOT PATH. One operator on one thread: finds the distinct keys of a batch, loads their state, calls the plugin, checks
//! everything it hands over, and only then lets any of it happen.
//!
//! A call that fails has no effect. Its batch is then narrowed down, in order, to the record at fault; the policy is
//! applied to that record and the rest goes on.

use std::ops::Range;
use std::sync::Arc;

use tracing::warn;
use weir_core::frame::{NO_SOURCE, RECORD_BYTES};
use weir_core::ports::{Call, CallError, Effects, KeyedState, Operator, RecordLimit};
use weir_core::{Batch, Frame, FrameWriter, KeySpec, OnError, Origin, TableId};

use crate::error::Error;
use crate::metrics::OperatorMetrics;
use crate::signals::Signals;
use crate::slots::Slots;
use crate::task::origin::with_origin;
use crate::updates;

/// A call gets at most this much frame and values, unless a single record is larger.
const CALL_BYTES_MAX: usize = 1 << 20;

/// What receives the output of an operator: (output, records).
pub(crate) type Emit<'a> = dyn FnMut(u32, Batch) -> Result<(), Error> + 'a;

/// How one operator is set up in one task.
pub(crate) struct RunnerOptions {
    /// Index of the operator in the pipeline.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What it is keyed by.
    pub key: KeySpec,
    /// Numbers of its tables, in the plugin's order.
    pub tables: Vec<TableId>,
    /// For each output the plugin declares: the largest record that its sinks take.
    pub outputs: Vec<Option<RecordLimit>>,
    /// What becomes of a record it fails on.
    pub on_error: OnError,
    /// Whether it asks for `weir.origin.*` headers.
    pub origin: bool,
}

/// One operator of one task.
pub(crate) struct Runner {
    /// How it is set up.
    pub options: RunnerOptions,
    operator: Box<dyn Operator>,
    state: Option<Box<dyn KeyedState>>,
    slots: Slots,
    values: Vec<u8>,
    effects: Effects,
    metrics: OperatorMetrics,
    signals: Arc<Signals>,
}

impl Runner {
    /// `state` is `None` for an operator without tables.
    pub(crate) fn new(
        options: RunnerOptions,
        operator: Box<dyn Operator>,
        state: Option<Box<dyn KeyedState>>,
        metrics: OperatorMetrics,
        signals: Arc<Signals>,
    ) -> Self {
        assert_eq!(state.is_some(), !options.tables.is_empty(), "state belongs to tables");
        let (slots, values, effects) = (Slots::default(), Vec::new(), Effects::default());
        Self { options, operator, state, slots, values, effects, metrics, signals }
    }

    /// The operator's state, where it has tables.
    pub(crate) fn state(&mut self) -> Option<&mut Box<dyn KeyedState>> {
        self.state.as_mut()
    }

    /// Processes `batch` and hands the output to `emit`, in order.
    pub(crate) fn run(&mut self, batch: &Batch, emit: &mut Emit<'_>) -> Result<(), Error> {
        if self.options.origin {
            let batch = self.signals.with_splits(|splits| with_origin(batch, splits));
            return self.run_whole(&batch, emit);
        }
        self.run_whole(batch, emit)
    }

    /// Processes `batch`, as the plugin is to see it.
    fn run_whole(&mut self, batch: &Batch, emit: &mut Emit<'_>) -> Result<(), Error> {
        match self.call(batch, emit)? {
            Ok(()) => Ok(()),
            Err(failure) => self.narrow(batch, failure, emit),
        }
    }

    /// One call. `Ok(Err(..))`: the plugin failed and nothing happened.
    fn call(&mut self, batch: &Batch, emit: &mut Emit<'_>) -> Result<Result<(), CallError>, Error> {
        let tables = self.options.tables.len();
        self.values.clear();
        let keys = match &mut self.state {
            Some(state) => {
                let keys = self.slots.assign(&batch.frame, &self.options.key);
                state
                    .load(&self.options.tables, &keys, &mut self.values)
                    .map_err(Error::port("failed to read state"))?;
                keys
            }
            None => Vec::new(),
        };
        if self.values.len() + batch.frame.as_bytes().len() > CALL_BYTES_MAX && batch.frame.len() > 1 {
            drop(keys);
            let (left, right) = halves(batch);
            self.run_whole(&left, emit)?;
            return self.run_whole(&right, emit).map(Ok);
        }
        let slots = if self.state.is_some() { self.slots.of_record() } else { &[] };
        let call = Call { input: 0, frame: &batch.frame, slots, values: &self.values };
        self.effects.clear();
        if let Err(failure) = self.operator.process(call, &mut self.effects) {
            return host_error(failure, &self.options.name);
        }
        let checked = updates::check(&self.effects.updates, tables, keys.len())
            .and_then(|()| trace_origins(&mut self.effects, batch, &self.options.outputs));
        let outputs = match checked {
            Ok(outputs) => outputs,
            Err(failure) => {
                self.operator.discard();
                return Ok(Err(failure));
            }
        };
        if let Some(state) = &mut self.state {
            updates::apply(&self.effects.updates, &self.options.tables, &keys, state.as_mut());
        }
        self.metrics.processed(batch.frame.len());
        outputs.into_iter().try_for_each(|(output, batch)| emit(output, batch)).map(Ok)
    }

    /// Finds the record at fault: at once where the plugin names it, by halves where it cannot.
    fn narrow(&mut self, batch: &Batch, failure: CallError, emit: &mut Emit<'_>) -> Result<(), Error> {
        let records = batch.frame.len();
        if records <= 1 {
            return self.apply_policy(batch, failure);
        }
        if let CallError::Failed { index: Some(index), .. } = &failure {
            let at = *index as usize;
            if at < records {
                self.run_part(batch, 0..at, emit)?;
                // Alone, so that the policy sees this record's own failure, with its own state.
                self.run_part(batch, at..at + 1, emit)?;
                return self.run_part(batch, at + 1..records, emit);
            }
        }
        let (left, right) = halves(batch);
        self.run_whole(&left, emit)?;
        self.run_whole(&right, emit)
    }

    fn run_part(&mut self, batch: &Batch, range: Range<usize>, emit: &mut Emit<'_>) -> Result<(), Error> {
        if range.is_empty() { Ok(()) } else { self.run_whole(&part(batch, range), emit) }
    }

    fn apply_policy(&mut self, batch: &Batch, failure: CallError) -> Result<(), Error> {
        let record = batch.origins.first().map_or_else(String::new, |origin| self.signals.describe(*origin));
        match self.options.on_error {
            OnError::Fail => Err(Error::Record { operator: self.options.name.clone(), record, source: failure }),
            OnError::Skip => {
                warn!(operator = %self.options.name, %record, error = %failure, "record skipped");
                self.metrics.skipped();
                Ok(())
            }
        }
    }
}

/// A failure that is not the plugin's ends the attempt.
fn host_error(failure: CallError, operator: &str) -> Result<Result<(), CallError>, Error> {
    match failure {
        CallError::Host(source) => Err(Error::Record {
            operator: operator.to_owned(),
            record: "(any)".to_owned(),
            source: CallError::Host(source),
        }),
        failure => Ok(Err(failure)),
    }
}

/// Gives every output record the origin of the input record it names, and its own index as source.
fn trace_origins(
    effects: &mut Effects,
    input: &Batch,
    outputs: &[Option<RecordLimit>],
) -> Result<Vec<(u32, Batch)>, CallError> {
    let malformed = |reason: String| CallError::Malformed { what: "frame", reason };
    let mut traced = Vec::with_capacity(effects.outputs.len());
    for (output, mut frame) in effects.outputs.drain(..) {
        let Some(limit) = outputs.get(output as usize) else {
            return Err(malformed(format!("output {output}; the plugin declares {}", outputs.len())));
        };
        let mut largest = 0;
        let mut origins: Vec<Origin> = Vec::with_capacity(frame.len());
        let mut wrong = None;
        frame.number_sources(|record| {
            largest = largest.max(record.bytes());
            match input.origins.get(record.source as usize) {
                Some(origin) => origins.push(*origin),
                None => wrong = Some(record.source),
            }
        });
        if let Some(limit) = limit.as_ref().filter(|limit| largest > limit.bytes) {
            return Err(CallError::Oversize { bytes: largest, limit: limit.clone() });
        }
        match wrong {
            Some(NO_SOURCE) => return Err(malformed("a record without source outside a timer".into())),
            Some(source) => return Err(malformed(format!("source {source}; the batch has {}", input.origins.len()))),
            None if frame.is_empty() => {}
            None => traced.push((output, Batch { frame, origins })),
        }
    }
    Ok(traced)
}

fn halves(batch: &Batch) -> (Batch, Batch) {
    let middle = batch.frame.len() / 2;
    (part(batch, 0..middle), part(batch, middle..batch.frame.len()))
}

fn part(batch: &Batch, range: Range<usize>) -> Batch {
    let mut writer = FrameWriter::new(Vec::with_capacity(range.len() * (RECORD_BYTES + 64)));
    for (mut record, _) in batch.frame.records().skip(range.start).zip(range.clone()) {
        record.source = writer.len() as u32;
        writer.push(record);
    }
    let frame: Frame = writer.finish();
    Batch { frame, origins: batch.origins.get(range).unwrap_or_default().to_vec() }
}

#[cfg(test)]
mod tests;
