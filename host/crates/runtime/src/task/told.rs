//! How far the event time of a task has come, for the eye: written by the task, read by whoever shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use weir_core::Watermark;

/// See the module. Its clones are one.
#[derive(Debug, Clone)]
pub(crate) struct ToldTime(Arc<AtomicI64>);

impl ToldTime {
    /// Of a task that stands at `watermark`.
    pub(crate) fn new(watermark: Watermark) -> Self {
        let told = Self(Arc::default());
        told.tell(watermark);
        told
    }

    /// It has come to `watermark`.
    pub(crate) fn tell(&self, watermark: Watermark) {
        self.0.store(watermark.number(), Ordering::Relaxed);
    }

    /// How far it has come.
    pub(crate) fn get(&self) -> Watermark {
        Watermark::from_number(self.0.load(Ordering::Relaxed))
    }
}
