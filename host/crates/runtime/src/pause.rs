//! A job that is paused: its sources give nothing more, and everything else goes on. What was read is processed and committed;
//! epochs, swaps and a stop work as ever. It knows no epoch: a task may read on for a moment after another stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_core::Reading;

use crate::job::JobHandle;

/// Whether a job is paused. All attempts of a process look at the same: a recovery changes nothing about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pause(Arc<AtomicBool>);

impl Pause {
    /// What source tasks ask between two batches.
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl JobHandle {
    /// Sources read nothing more until [`Self::resume`], for as long as the process lives.
    pub fn pause(&self) {
        self.pause.0.store(true, Ordering::Relaxed);
    }

    /// They read on.
    pub fn resume(&self) {
        self.pause.0.store(false, Ordering::Relaxed);
    }
}

/// How splits are read that nobody reads: however silent they seem, something of them may wait, so that none of them is idle and
/// nobody's time goes past it. What has ended, or reached its bound, stays so.
pub(crate) fn paused(mut readings: Vec<Reading>) -> Vec<Reading> {
    for reading in &mut readings {
        if matches!(reading, Reading::Flowing | Reading::CaughtUp { .. }) {
            *reading = Reading::Paused;
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_paused_is_not_idle_and_what_has_ended_has() {
        let caught_up = Reading::CaughtUp { at: Duration::from_secs(9) };
        let readings = vec![Reading::Flowing, caught_up, Reading::Paused, Reading::Bound, Reading::Ended];
        let wanted = [Reading::Paused, Reading::Paused, Reading::Paused, Reading::Bound, Reading::Ended];
        assert_eq!(paused(readings), wanted);
    }
}
