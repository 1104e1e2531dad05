//! Sabotage `keep-batches`, and nothing else: batches that outlive their attempt. Empty unless a test asks for it.

use std::sync::{Arc, Mutex, PoisonError};

use weir_core::Batch;
use weir_core::crash::{Sabotage, sabotaged};

/// Sink and batch.
type Kept = Vec<(u32, Arc<Batch>)>;

/// What the open transaction holds. A job has one sink task.
static KEPT: Mutex<Kept> = Mutex::new(Vec::new());

fn with<T: Default>(work: impl FnOnce(&mut Kept) -> T) -> T {
    match sabotaged(Sabotage::KeepBatches) {
        true => work(&mut KEPT.lock().unwrap_or_else(PoisonError::into_inner)),
        false => T::default(),
    }
}

/// A batch was written.
pub(super) fn keep(sink: u32, batch: &Arc<Batch>) {
    with(|kept| kept.push((sink, Arc::clone(batch))));
}

/// What was written is committed.
pub(super) fn forget() {
    with(Vec::clear);
}

/// What an attempt before this one has written and not committed.
pub(super) fn take() -> Kept {
    with(std::mem::take)
}
