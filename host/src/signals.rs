//! What a signal does: the first SIGINT or SIGTERM asks the job to stop, a second one leaves at once.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::exit;

/// How long a stop may take in all.
const STOP_WITHIN: Duration = Duration::from_secs(10);

type Callback = Box<dyn FnOnce() + Send>;

/// Listens on a thread of its own until the process ends.
#[derive(Clone)]
pub(crate) struct Signals {
    /// Number of the first signal; 0 before.
    first: Arc<AtomicI32>,
    callback: Arc<Mutex<Option<Callback>>>,
}

impl Signals {
    /// Starts to listen.
    pub(crate) fn listen() -> io::Result<Self> {
        let signals = Self { first: Arc::default(), callback: Arc::default() };
        let mut incoming = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let listener = signals.clone();
        let thread = std::thread::Builder::new().name("weir-signals".to_owned());
        let listen = move || {
            for signal in incoming.forever() {
                listener.arrived(signal);
                leave_in_time();
            }
        };
        thread.spawn(listen)?;
        Ok(signals)
    }

    /// Calls `callback` at the first signal; at once if there was one already.
    pub(crate) fn on_stop(&self, callback: impl FnOnce() + Send + 'static) {
        *self.slot() = Some(Box::new(callback));
        if self.first().is_some() {
            self.call();
        }
    }

    /// The number of the first signal, if there was one.
    pub(crate) fn first(&self) -> Option<i32> {
        Some(self.first.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    fn arrived(&self, signal: i32) {
        if self.first.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire).is_err() {
            signal_hook::low_level::exit(128 + signal);
        }
        tracing::info!(signal, "stopping; a second signal leaves at once");
        self.call();
    }

    /// Whoever takes the callback calls it: a signal and `on_stop` may meet.
    fn call(&self) {
        let callback = self.slot().take();
        if let Some(callback) = callback {
            callback();
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Callback>> {
        self.callback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever hangs (a broker that does not answer at the start, a disk), the process is gone in time: dying at any moment
/// is safe.
fn leave_in_time() {
    let leave = || {
        std::thread::sleep(STOP_WITHIN);
        tracing::error!("could not stop within 10 s; what was not committed will be read again");
        signal_hook::low_level::exit(exit::FAILED.into());
    };
    if std::thread::Builder::new().name("weir-deadline".to_owned()).spawn(leave).is_err() {
        signal_hook::low_level::exit(exit::FAILED.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_calls_once_whenever_it_comes() {
        for is_early in [true, false] {
            let signals = Signals { first: Arc::default(), callback: Arc::default() };
            let calls = Arc::new(AtomicI32::new(0));
            let counted = Arc::clone(&calls);
            if is_early {
                signals.arrived(SIGTERM);
            }
            signals.on_stop(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            });
            if !is_early {
                assert_eq!(signals.first(), None);
                signals.arrived(SIGTERM);
            }
            assert_eq!((signals.first(), calls.load(Ordering::Relaxed)), (Some(SIGTERM), 1));
        }
    }
}
