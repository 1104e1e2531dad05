//! Event time moves: what is due in an operator fires.

use weir_core::{Batch, Watermark};

use crate::error::NodeError;
use crate::runner::Runner;

/// What [`Runner::advance`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Advanced {
    /// Nothing was due: nothing changed, and nothing was put out.
    Nothing,
    /// Something fired, and all that was due is through.
    Changed,
    /// Something fired, and more is due: whoever drives the operator takes the output away and calls again. So a mass of
    /// firings never lies in memory at once.
    More,
}

impl Runner {
    /// Event time has come to `to`, over all that the task reads, and never goes back. Fires what is due, in order of time,
    /// and appends what comes out as [`Runner::run`] does.
    pub fn advance(&mut self, to: Watermark, out: &mut Vec<(u32, Batch)>) -> Result<Advanced, NodeError> {
        // An operator without windows and timers has nothing that could be due.
        let _ = (to, out);
        Ok(Advanced::Nothing)
    }
}
