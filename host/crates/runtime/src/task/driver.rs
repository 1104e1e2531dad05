//! What a node that runs in a task asks of its attempt.

use std::sync::Arc;

use weir_core::Origin;
use weir_core::ports::CallError;
use weir_operator::{Driver, SplitTable};

use crate::clock;
use crate::metrics::OperatorMetrics;
use crate::signals::Signals;

/// See the module.
pub(crate) struct TaskDriver {
    /// The operator's counters.
    pub metrics: OperatorMetrics,
    /// Which know the splits.
    pub signals: Arc<Signals>,
}

impl Driver for TaskDriver {
    fn processed(&self, records: usize) {
        self.metrics.processed(records);
    }

    fn late(&self, records: usize) {
        self.metrics.late(records);
    }

    fn skipped(&self, _: Origin, _: &CallError) {
        self.metrics.skipped();
    }

    fn dead_lettered(&self) {
        self.metrics.dead_lettered();
    }

    fn now_ms(&self) -> i64 {
        clock::now_ms()
    }

    fn with_splits(&self, look: &mut dyn FnMut(&SplitTable)) {
        self.signals.with_splits(look);
    }
}
