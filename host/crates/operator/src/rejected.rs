//! What is checked of the records that a plugin rejects, beside the bytes themselves. The cold side of a call.

use weir_core::OnError;
use weir_core::ports::{CallError, Effects};

use crate::updates;

/// Refuses a call with so many `rejected` records if the policy has no use for it, or if it contradicts itself.
pub(crate) fn check_rejected(effects: &Effects, rejected: usize, on_error: OnError) -> Result<(), CallError> {
    if rejected == 0 {
        return Ok(());
    }
    match on_error {
        // The first of them ends the job: as if the plugin had returned its failure, so that what came before is out.
        OnError::Fail => updates::rejects(&effects.updates).next().map_or(Ok(()), |first| Err(first.into())),
        OnError::Skip | OnError::DeadLetter => check_outputs(effects, rejected),
    }
}

/// A record is either rejected or makes output.
fn check_outputs(effects: &Effects, rejected: usize) -> Result<(), CallError> {
    let mut records: Vec<u32> = Vec::with_capacity(rejected);
    records.extend(updates::rejects(&effects.updates).map(|reject| reject.record));
    let sources = effects.outputs.iter().flat_map(|(_, frame)| frame.records()).map(|record| record.source);
    match sources.into_iter().find(|source| records.binary_search(source).is_ok()) {
        Some(source) => {
            let reason = format!("a record made from record {source}, which it rejects");
            Err(CallError::Malformed { what: "frame", reason })
        }
        None => Ok(()),
    }
}
