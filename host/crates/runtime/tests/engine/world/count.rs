//! An operator: it counts each key.

use weir_core::frame::NULL;
use weir_core::ports::*;
use weir_core::*;

/// Counts per key, natively.
pub(crate) struct CountFactory(PluginDescription, Digest, pub(crate) bool);

impl CountFactory {
    pub(crate) fn new() -> Self {
        let text = r#"{"name":"count","version":"1","tables":[{"name":"count","kind":"value"}]}"#;
        Self(serde_json::from_str(text).unwrap(), Digest("0".repeat(64)), true)
    }
}

impl OperatorFactory for CountFactory {
    fn description(&self) -> &PluginDescription {
        &self.0
    }
    fn digest(&self) -> &Digest {
        &self.1
    }
    fn instantiate(&self, _: &str, _: &str) -> Result<Box<dyn Operator>, PortError> {
        let refused = || PortError::new(Fault::Config, "the configuration is wrong");
        self.2.then(|| Box::new(Count) as Box<dyn Operator>).ok_or_else(refused)
    }
}

struct Count;

impl Operator for Count {
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError> {
        let mut counts = Vec::new();
        let mut rest = call.values;
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*len);
            let (value, after) = if len == NULL { (&[][..], after) } else { after.split_at(len as usize) };
            counts.push(value.try_into().map(u64::from_le_bytes).unwrap_or(0));
            rest = after;
        }
        let mut writer = FrameWriter::new(Vec::new());
        for (record, slot) in call.frame.records().zip(call.slots) {
            let count = &mut counts[*slot as usize];
            *count += 1;
            writer.push(RecordView { value: Some(count.to_string().as_bytes()), ..record });
        }
        for (slot, count) in counts.iter().enumerate() {
            effects.updates.push(1);
            for word in [0, slot as u32, 8] {
                effects.updates.extend_from_slice(&word.to_le_bytes());
            }
            effects.updates.extend_from_slice(&count.to_le_bytes());
        }
        effects.outputs.push((0, writer.finish()));
        Ok(())
    }
}
