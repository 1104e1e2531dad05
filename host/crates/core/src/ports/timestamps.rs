//! What says when records were made, where a plugin does.

use crate::fault::PortError;
use crate::frame::Frame;
use crate::ports::CallError;

/// One that runs, on the thread of a source. After an error it goes on with the next call.
pub trait Timestamps: Send {
    /// The timestamp of each record of `frame`, in their order; [`crate::frame::NO_TIMESTAMP`] where it has none.
    fn timestamps(&mut self, frame: &Frame) -> Result<Vec<i64>, CallError>;
}

/// A compiled plugin, ready to be instantiated for any source.
pub trait TimestampsFactory: Send + Sync {
    /// A new instance.
    fn instantiate(&self) -> Result<Box<dyn Timestamps>, PortError>;
}
