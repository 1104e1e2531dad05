//! The example operators as native code behind the engine's operator port: the same sources, the same frames, no wasm.
//! What `make bench` compares plugins with.

use std::marker::PhantomData;

use weir_core::ports::{Call, CallError, CallState, CallTask, Effects, Operator, OperatorFactory, PluginDescription};
use weir_core::{Digest, Fault, Frame, PortError};
use weir_sdk::{Host, Instance, Level};

/// A native operator, as the engine sees a plugin.
pub(crate) struct Native<Op> {
    description: PluginDescription,
    digest: Digest,
    operator: PhantomData<fn() -> Op>,
}

impl<Op: weir_sdk::Operator> Native<Op> {
    /// Takes name, version and tables from the operator itself.
    pub(crate) fn new() -> Result<Self, serde_json::Error> {
        let description: PluginDescription = serde_json::from_str(&Op::describe().to_json())?;
        let digest = Digest(format!("native-{}", description.name));
        Ok(Self { description, digest, operator: PhantomData })
    }
}

impl<Op: weir_sdk::Operator + Send + 'static> OperatorFactory for Native<Op> {
    fn description(&self) -> &PluginDescription {
        &self.description
    }

    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn instantiate(&self, _task: &str, config: &str) -> Result<Box<dyn Operator>, PortError> {
        let instance = Instance::<Op>::open(config).map_err(|failure| PortError::new(Fault::User, failure.message))?;
        Ok(Box::new(Running { instance }))
    }
}

struct Running<Op> {
    instance: Instance<Op>,
}

/// The host of one call. What it is handed is checked here too, as that of a guest is: only the sandbox and its copies
/// differ.
struct Imports<'a> {
    outputs: Vec<(u32, Frame)>,
    state: &'a mut Option<CallState>,
    times: (i64, i64),
    /// The first thing that a guest would have been stopped for.
    refusal: Option<CallError>,
}

impl Imports<'_> {
    fn read(&mut self, read: impl FnOnce(&mut CallState, &mut Vec<u8>) -> Result<(), CallError>) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(Err(refusal)) = self.state.as_mut().map(|state| read(state, &mut out)) {
            self.refusal.get_or_insert(refusal);
        }
        out
    }
}

impl Host for Imports<'_> {
    fn emit(&mut self, output: u32, frame: &[u8]) {
        match Frame::parse(frame.to_vec()) {
            Ok(frame) => self.outputs.push((output, frame)),
            Err(error) => {
                let refusal = CallError::Malformed { what: "frame", reason: error.to_string() };
                self.refusal.get_or_insert(refusal);
            }
        }
    }

    fn log(&mut self, _: Level, _: &str) {}

    fn processing_time(&mut self) -> i64 {
        self.times.0
    }

    fn watermark(&mut self) -> i64 {
        self.times.1
    }

    fn get_many(&mut self, table: u32, wanted: &[u8]) -> Vec<u8> {
        self.read(|state, out| state.get_many(table, wanted, out))
    }

    fn scan(&mut self, table: u32, slot: u32, start: &[u8], limit: u32) -> Vec<u8> {
        self.read(|state, out| state.scan(table, slot, start, limit, out))
    }
}

impl<Op: weir_sdk::Operator + Send> Operator for Running<Op> {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut host = Imports {
            outputs: Vec::new(),
            state: call.state,
            times: (call.now_ms, call.watermark.number()),
            refusal: None,
        };
        let CallTask::Process(input) = call.task else {
            return Err(CallError::Failed { index: None, code: 0, message: "native code has no windows".to_owned() });
        };
        let updates = self.instance.process(input, call.frame.as_bytes(), call.slots, call.values, &mut host);
        if let Some(refusal) = host.refusal {
            return Err(refusal);
        }
        effects.updates =
            updates.map_err(|f| CallError::Failed { index: f.index, code: f.code, message: f.message })?;
        effects.outputs = host.outputs;
        Ok(())
    }
}
