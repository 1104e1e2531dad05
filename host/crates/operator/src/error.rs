//! Why a node cannot go on.

use weir_core::ports::{CallError, Unfit};
use weir_core::{Fault, PortError};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A record that the plugin fails on, with the policy to fail; or a call that the host could not make.
    #[error("operator {operator:?} failed on record {record}")]
    Record {
        /// The operator's name.
        operator: String,
        /// Split and offset of the record.
        record: String,
        /// What the plugin did.
        #[source]
        source: CallError,
    },
    /// A window or a timer that the plugin fails on, with the policy to fail.
    #[error("operator {operator:?} failed on {due}")]
    Due {
        /// The operator's name.
        operator: String,
        /// What it is, its key, and its span or time.
        due: String,
        /// What the plugin did.
        #[source]
        source: CallError,
    },
    /// A record that the plugin fails on, and whose dead letter its topic does not take.
    #[error(
        "operator {operator:?} failed on {of} ({why}), and its dead letter cannot be written: {unfit}; let it take \
         what the source gives, with some KiB more for headers, or set on-error to skip"
    )]
    DeadLetter {
        /// The operator's name.
        operator: String,
        /// The record, window or timer.
        of: String,
        /// What the plugin did.
        why: CallError,
        /// What the topic has against it.
        unfit: Box<Unfit>,
    },
    /// Its timers set each other without end.
    #[error("operator {0:?} failed")]
    Storm(String, #[source] weir_time::timers::Storm),
    /// Its state cannot be read.
    #[error("failed to read the state of operator {0:?}")]
    Read(String, #[source] PortError),
    /// Its state cannot be changed.
    #[error("failed to change the state of operator {0:?}")]
    Change(String, #[source] PortError),
}

impl NodeError {
    /// Who must act.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Record { source: CallError::Host(error), .. } | Self::Read(_, error) | Self::Change(_, error) => {
                error.fault()
            }
            Self::Record { .. } | Self::Due { .. } | Self::DeadLetter { .. } | Self::Storm(..) => Fault::User,
        }
    }
}
