//! HOT PATH. Which window a record is in, for the windows that this host runs.

use super::spec::{Kind, Trigger};
use super::{Calendar, Fixed, Global, Listed, OutOfRange, Window, WindowSpec};

/// Windows that this host runs.
#[derive(Debug, Clone)]
pub enum Assign {
    /// A record is in one, which its timestamp tells.
    Tumbling(Tumbling),
    /// Of which a key has a list.
    Listed(Listed),
    /// Of which a key has one.
    Global(Global),
}

/// Windows one behind the other.
#[derive(Debug, Clone)]
pub enum Tumbling {
    /// Of a fixed length.
    Fixed(Fixed),
    /// Of calendar days, weeks or months.
    Calendar(Calendar),
}

/// What of some windows this host does not run, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotYet(pub String);

impl Assign {
    /// Of the windows of `spec`: nobody else knows which of them run.
    pub fn of(spec: &WindowSpec) -> Result<Self, NotYet> {
        if spec.firing.early_every_ms.is_some() {
            return Err(NotYet("early-every".to_owned()));
        }
        match &spec.kind {
            Kind::Tumbling(fixed) => Ok(Self::Tumbling(Tumbling::Fixed(*fixed))),
            Kind::Calendar(calendar) => Ok(Self::Tumbling(Tumbling::Calendar(calendar.clone()))),
            Kind::Sliding(panes) => Ok(Self::Listed(Listed::Sliding(*panes))),
            Kind::Session { gap_ms } => Ok(Self::Listed(Listed::Session { gap_ms: *gap_ms })),
            Kind::Count(count) => Ok(Self::Global(Global { trigger: Trigger::Count(*count), stays: false })),
            Kind::Global(trigger) => Ok(Self::Global(Global { trigger: *trigger, stays: true })),
        }
    }
}

impl Tumbling {
    /// The window of a record.
    pub fn window(&self, timestamp_ms: i64) -> Result<Window, OutOfRange> {
        match self {
            Self::Fixed(fixed) => fixed.window(timestamp_ms),
            Self::Calendar(calendar) => calendar.window(timestamp_ms),
        }
    }
}
