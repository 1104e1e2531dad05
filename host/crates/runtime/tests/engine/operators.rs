//! Operators of every kind a graph is made of, native: they pass records on, choose an output, tell inputs apart.

use std::sync::Arc;

use weir_core::ports::{Call, CallError, CallTask, Effects, Operator, OperatorFactory, PluginDescription};
use weir_core::{Digest, FrameWriter, KeySpec, PortError, RecordView};
use weir_plan::OperatorNode;

/// What the graph knows of an operator.
pub(crate) fn node(factory: &dyn OperatorFactory, parallelism: u16) -> OperatorNode {
    let PluginDescription { inputs, outputs, tables, .. } = factory.description().clone();
    OperatorNode { parallelism, key: KeySpec::Key, stateful: !tables.is_empty(), inputs, outputs }
}

/// What becomes of a record, by its input: an output, and what its key is called there.
type Choose = fn(u32, &RecordView<'_>, String) -> (u32, String);

struct Chooser(PluginDescription, Digest, Choose);

/// Passes everything on as it is.
pub(crate) fn pass() -> Arc<dyn OperatorFactory> {
    chooser(r#"{"name":"pass","version":"1"}"#, |_, _, key| (0, key))
}

/// Sends records of even offsets to its first output and the others to its second.
pub(crate) fn parity() -> Arc<dyn OperatorFactory> {
    let description = r#"{"name":"parity","version":"1","outputs":["even","odd"]}"#;
    chooser(description, |_, record, key| (u32::from(record.timestamp_ms % 2 != 0), key))
}

/// Calls each key by the input that it came in by.
pub(crate) fn sides() -> Arc<dyn OperatorFactory> {
    let description = r#"{"name":"sides","version":"1","inputs":["left","right"]}"#;
    chooser(description, |input, _, key| (0, format!("{input}:{key}")))
}

fn chooser(description: &str, choose: Choose) -> Arc<dyn OperatorFactory> {
    Arc::new(Chooser(serde_json::from_str(description).unwrap(), Digest("1".repeat(64)), choose))
}

impl OperatorFactory for Chooser {
    fn description(&self) -> &PluginDescription {
        &self.0
    }
    fn digest(&self) -> &Digest {
        &self.1
    }
    fn instantiate(&self, _: &str, _: &str) -> Result<Box<dyn Operator>, PortError> {
        Ok(Box::new(Chooses(self.2, self.0.outputs.len().max(1))))
    }
}

struct Chooses(Choose, usize);

impl Operator for Chooses {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut writers: Vec<_> = (0..self.1).map(|_| FrameWriter::new(Vec::new())).collect();
        for record in call.frame.records() {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let CallTask::Process(input) = call.task else { panic!("it has no windows") };
            let (output, key) = (self.0)(input, &record, key);
            writers[output as usize].push(RecordView { key: Some(key.as_bytes()), ..record });
        }
        effects.outputs.extend((0..).zip(writers).map(|(output, writer)| (output, writer.finish())));
        Ok(())
    }
}

/// Calls each key by the number of the task that it was in.
pub(crate) struct Tasks(PluginDescription, Digest);

impl Tasks {
    pub(crate) fn new() -> Self {
        Self(serde_json::from_str(r#"{"name":"tasks","version":"1"}"#).unwrap(), Digest("2".repeat(64)))
    }
}

impl OperatorFactory for Tasks {
    fn description(&self) -> &PluginDescription {
        &self.0
    }
    fn digest(&self) -> &Digest {
        &self.1
    }
    fn instantiate(&self, task: &str, _: &str) -> Result<Box<dyn Operator>, PortError> {
        let task: serde_json::Value = serde_json::from_str(task).unwrap();
        Ok(Box::new(InTask(task["index"].as_u64().unwrap())))
    }
}

struct InTask(u64);

impl Operator for InTask {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut writer = FrameWriter::new(Vec::new());
        for record in call.frame.records() {
            let key = format!("{}:{}", self.0, String::from_utf8(record.key.unwrap().to_vec()).unwrap());
            writer.push(RecordView { key: Some(key.as_bytes()), ..record });
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}
