//! HOT PATH. Which window a record is in.

use super::spec::{Kind, Trigger};
use super::{Calendar, Fixed, Global, Listed, OutOfRange, Window, WindowSpec};

/// Windows, by what is kept of them.
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

impl Assign {
    /// Of the windows of `spec`.
    pub fn of(spec: &WindowSpec) -> Self {
        match &spec.kind {
            Kind::Tumbling(fixed) => Self::Tumbling(Tumbling::Fixed(*fixed)),
            Kind::Calendar(calendar) => Self::Tumbling(Tumbling::Calendar(calendar.clone())),
            Kind::Sliding(panes) => Self::Listed(Listed::Sliding(*panes)),
            Kind::Session { gap_ms } => Self::Listed(Listed::Session { gap_ms: *gap_ms }),
            Kind::Count(count) => Self::Global(Global { trigger: Trigger::Count(*count), stays: false }),
            Kind::Global(trigger) => Self::Global(Global { trigger: *trigger, stays: true }),
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
