//! What a signal does: the first SIGINT, SIGTERM or SIGHUP asks the job to stop, a second one leaves at once. Each does
//! first what it is for and is logged then.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

use crate::{exit, telemetry};

/// How long a stop may take in all.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How long a stop that was asked for by the API waits for its answer to be sent.
const ANSWERED: Duration = Duration::from_millis(100);
/// How long the process that could not stop waits for whoever reads its log.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A file that grows beyond the limit of the process (`ulimit -f`) is a write that fails, and is said. Without a handler
/// it would be the end, without a word.
pub(crate) fn outlive_file_limits() {
    // Whether it came, nobody asks: the write tells. Where there can be no handler, it stays as it was.
    drop(signal_hook::flag::register(SIGXFSZ, Arc::default()));
}

type Callback = Box<dyn FnOnce() + Send>;

/// Listens on a thread of its own until the process ends.
#[derive(Clone)]
pub(crate) struct Signals {
    /// Number of the first signal; 0 before.
    first: Arc<AtomicI32>,
    /// Whether that stands for somebody who asked by the API, and no signal has come yet.
    was_asked: Arc<AtomicBool>,
    callback: Arc<Mutex<Option<Callback>>>,
}

impl Signals {
    /// Starts to listen.
    pub(crate) fn listen() -> io::Result<Self> {
        let signals = Self { first: Arc::default(), was_asked: Arc::default(), callback: Arc::default() };
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        let mut incoming = signal_hook::iterator::Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup))?;
        let listener = signals.clone();
        let listen = move || {
            for signal in incoming.forever() {
                // A terminal that goes away wants what SIGTERM wants.
                let signal = if signal == SIGHUP { SIGTERM } else { signal };
                leave_in_time();
                listener.arrived(signal);
            }
        };
        weir_machine::spawn("weir-signals", listen)?;
        Ok(signals)
    }

    /// Calls `callback` at the first signal; at once if there was one already.
    pub(crate) fn on_stop(&self, callback: impl FnOnce() + Send + 'static) {
        *self.slot() = Some(Box::new(callback));
        if self.first().is_some() {
            self.call();
        }
    }

    /// Until there is a job that can be stopped, the first signal ends the process: there is nothing to commit, and
    /// compiling a large plugin takes longer than a stop may.
    pub(crate) fn leave_until_there_is_a_job(&self, is_bounded: bool) {
        let first = Arc::clone(&self.first);
        self.on_stop(move || {
            tracing::info!("stopped before the job began");
            telemetry::settle_within(LAST_WORDS);
            let signal = first.load(Ordering::Acquire);
            signal_hook::low_level::exit(exit::stopped(is_bounded, signal).into());
        });
    }

    /// Does what SIGTERM does, for somebody who is told first that it will be. A stop that is under way stays as it is. The
    /// SIGTERM that a supervisor sends after it is the first signal, and leaves nothing undone.
    pub(crate) fn stop(&self) -> io::Result<()> {
        if self.begin(SIGTERM) {
            self.was_asked.store(true, Ordering::Release);
            let signals = self.clone();
            let stop = move || {
                weir_machine::sleep(ANSWERED);
                leave_in_time();
                signals.call();
            };
            // Where no thread can be had, it can be asked for again.
            weir_machine::spawn("weir-stop", stop).inspect_err(|_| self.first.store(0, Ordering::Release))?;
        }
        Ok(())
    }

    /// Whether `signal` is the first.
    fn begin(&self, signal: i32) -> bool {
        self.first.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The number of the first signal, if there was one.
    pub(crate) fn first(&self) -> Option<i32> {
        Some(self.first.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    fn arrived(&self, signal: i32) {
        if !self.begin(signal) && !self.was_asked.swap(false, Ordering::AcqRel) {
            signal_hook::low_level::exit(128 + signal);
        }
        self.call();
        tracing::info!(signal, "stopping; a second signal leaves at once");
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
        weir_machine::sleep(STOP_WITHIN.saturating_sub(LAST_WORDS));
        tracing::error!("could not stop within 10 s; what was not committed will be read again");
        telemetry::settle_within(LAST_WORDS);
        signal_hook::low_level::exit(exit::FAILED.into());
    };
    if weir_machine::spawn("weir-deadline", leave).is_err() {
        signal_hook::low_level::exit(exit::FAILED.into());
    }
}

/// Whether whoever started this process had it ignore `signal`, as nohup does with SIGHUP.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_mask(&status) >> (signal - 1) & 1 == 1
}

fn ignored_mask(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        assert_eq!(ignored_mask("Name:\thost\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored_mask(""), 0);
    }

    #[test]
    fn the_first_signal_calls_once_whenever_it_comes() {
        for is_early in [true, false] {
            let signals = Signals { first: Arc::default(), was_asked: Arc::default(), callback: Arc::default() };
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
