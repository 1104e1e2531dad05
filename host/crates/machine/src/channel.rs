//! Channels between threads. Every one is bounded: what waits in it is memory.

pub use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, TrySendError};

/// A channel in which at most `places` messages wait; with 0 a sender waits for its receiver.
pub fn bounded<T>(places: usize) -> (Sender<T>, Receiver<T>) {
    crossbeam_channel::bounded(places)
}
