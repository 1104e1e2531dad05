//! Nodes of which their connector knows nothing right. They stand in a plan that has mistakes, so that the rest of it can be
//! looked at, and can do whatever the rest may ask for: what is refused because of them would be no mistake of its own.

use std::sync::Arc;

use weir_connector::{Abilities, JobFacts, PlannedSink, PlannedSource, Range};
use weir_core::ports::{Sink, SourceConnector};
use weir_core::{Fault, PortError};

/// A source or a sink that was found wrong.
#[derive(Debug)]
pub(super) struct Unplanned;

const WORD: &str = "unknown";

fn no_plan() -> PortError {
    PortError::new(Fault::Bug, "a plan with mistakes does not run")
}

impl PlannedSource for Unplanned {
    fn noun(&self) -> &'static str {
        WORD
    }

    fn words(&self) -> String {
        WORD.to_owned()
    }

    fn name(&self) -> String {
        WORD.to_owned()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            replays: true,
            ends: false,
            commits_positions: false,
            splits: true,
            times: true,
            headers: true,
            no_offsets: None,
            fixed: None,
        }
    }

    fn open(&self, _: &JobFacts, _: &Range) -> Result<Arc<dyn SourceConnector>, PortError> {
        Err(no_plan())
    }
}

impl PlannedSink for Unplanned {
    fn words(&self) -> String {
        WORD.to_owned()
    }

    fn name(&self) -> String {
        WORD.to_owned()
    }

    fn target(&self) -> String {
        WORD.to_owned()
    }

    fn open(&self) -> Result<Option<Box<dyn Sink>>, PortError> {
        Err(no_plan())
    }
}
