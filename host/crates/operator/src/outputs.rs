//! HOT PATH. What a call puts out: checked, and traced to the records that it was made from.

use weir_core::frame::NO_SOURCE;
use weir_core::ports::{CallError, Effects, RecordCheck};
use weir_core::{Batch, Origin};

/// Gives every output record the origin of the input record it names, and its own index as source. A record that a sink
/// does not take fails the record that it was made from.
pub(crate) fn trace_origins(
    effects: &mut Effects,
    input: &Batch,
    outputs: &[Vec<RecordCheck>],
    now_ms: i64,
) -> Result<Vec<(u32, Batch)>, CallError> {
    let malformed = |reason: String| CallError::Malformed { what: "frame", reason };
    let mut traced = Vec::with_capacity(effects.outputs.len());
    for (output, mut frame) in effects.outputs.drain(..) {
        let Some(checks) = outputs.get(output as usize) else {
            return Err(malformed(format!("output {output}; the plugin declares {}", outputs.len())));
        };
        let mut origins: Vec<Origin> = Vec::with_capacity(frame.len());
        let (mut wrong, mut unfit) = (None, None);
        frame.number_sources(|record| {
            if let Err(why) = checks.iter().try_for_each(|check| check.check(record, now_ms)) {
                unfit.get_or_insert((record.source, why));
            }
            match input.origins.get(record.source as usize) {
                Some(origin) => origins.push(*origin),
                None => wrong = Some(record.source),
            }
        });
        match (wrong, unfit) {
            (Some(NO_SOURCE), _) => return Err(malformed("a record without source".into())),
            (Some(source), _) => {
                return Err(malformed(format!("source {source}; the batch has {}", input.origins.len())));
            }
            (None, Some((index, unfit))) => return Err(CallError::Unfit { index, unfit: Box::new(unfit) }),
            (None, None) if frame.is_empty() => {}
            (None, None) => traced.push((output, Batch { frame, origins })),
        }
    }
    Ok(traced)
}
