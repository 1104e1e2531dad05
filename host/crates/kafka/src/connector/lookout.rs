//! What is found out about the cluster beside a job that starts or runs.

use std::sync::{Mutex, PoisonError};

use weir_connector::Findings;
use weir_core::PortError;
use weir_core::ports::Committed;

use crate::advice::{self, Needs};
use crate::outputs::OutputIds;
use crate::{ClientOptions, group};

/// See [`weir_connector::Lookout`].
pub(super) struct Lookout {
    client: ClientOptions,
    needs: Needs,
    /// `None` until somebody asks.
    outputs: Mutex<Option<OutputIds>>,
}

impl Lookout {
    pub(super) fn new(client: ClientOptions, needs: Needs) -> Self {
        Self { client, needs, outputs: Mutex::default() }
    }
}

impl weir_connector::Lookout for Lookout {
    fn others(&self) -> Result<Vec<(String, Vec<Committed>)>, PortError> {
        Ok(group::others(&self.client)?)
    }

    fn examine(&self) -> Result<Findings, PortError> {
        Ok(advice::examine(&self.client, &self.needs)?)
    }

    fn replaced(&self) -> Result<Vec<String>, PortError> {
        let mut known = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_mut() {
            Some(known) => Ok(known.replaced()?),
            None if self.needs.outputs.is_empty() => Ok(Vec::new()),
            None => {
                *known = Some(OutputIds::look(&self.client, self.needs.outputs.clone())?);
                Ok(Vec::new())
            }
        }
    }
}
