//! The example operators as native code behind the engine's operator port: the same sources, the same frames, no wasm.
//! What `make bench` compares plugins with.

use std::marker::PhantomData;

use weir_core::ports::{Call, CallError, Effects, Operator, OperatorFactory, PluginDescription};
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

/// Frames are checked here too, as those of a guest are: only the sandbox and its copies differ.
#[derive(Default)]
struct Emitted {
    outputs: Vec<(u32, Frame)>,
    malformed: Option<String>,
}

impl Host for Emitted {
    fn emit(&mut self, output: u32, frame: &[u8]) {
        match Frame::parse(frame.to_vec()) {
            Ok(frame) => self.outputs.push((output, frame)),
            Err(error) => self.malformed = Some(error.to_string()),
        }
    }

    fn log(&mut self, _: Level, _: &str) {}
}

impl<Op: weir_sdk::Operator + Send> Operator for Running<Op> {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut emitted = Emitted::default();
        let updates = self.instance.process(call.input, call.frame.as_bytes(), call.slots, call.values, &mut emitted);
        effects.updates =
            updates.map_err(|f| CallError::Failed { index: f.index, code: f.code, message: f.message })?;
        if let Some(reason) = emitted.malformed {
            return Err(CallError::Malformed { what: "frame", reason });
        }
        effects.outputs = emitted.outputs;
        Ok(())
    }
}
