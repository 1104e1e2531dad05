//! `machine`: what the engine asks of the machine that it runs on: threads, channels, the clock, sleep and randomness. Nobody
//! else may ask the operating system for them (`clippy.toml`; ADR 29), so that an engine under a seed, with a clock of the
//! test's own, would be a change of this crate alone.
//!
//! Narrow on purpose: plain functions over the standard library, no trait, no context that is handed around.
//!
//! ```
//! let began = weir_machine::now();
//! let (sender, receiver) = weir_machine::channel::bounded(1);
//! let thread = weir_machine::spawn("weir-example", move || sender.send(7).is_ok())?;
//! assert_eq!((receiver.recv(), thread.join().ok()), (Ok(7), Some(true)));
//! assert!(weir_machine::since(began) >= std::time::Duration::ZERO);
//! # Ok::<(), std::io::Error>(())
//! ```
#![expect(clippy::disallowed_methods, reason = "this is the place where they are allowed")]

use std::io;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// Bounded channels between threads.
pub mod channel;

/// The clock that decides: it never jumps.
pub fn now() -> Instant {
    Instant::now()
}

/// How long ago `moment` was.
pub fn since(moment: Instant) -> Duration {
    moment.elapsed()
}

/// The clock on the wall. It may jump: for people, and for what others have stamped.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Does nothing for `time`.
pub fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Starts a thread. Every thread has a name: it is how people find it.
pub fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(run)
}

/// Runs `run`, whose threads have all ended when this returns: they may borrow.
pub fn scope<'env, T>(run: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
    std::thread::scope(run)
}

/// Starts a thread in a scope.
pub fn spawn_in<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: impl Into<String>,
    run: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().name(name.into()).spawn_scoped(scope, run)
}

/// A name that nobody has given before: a random uuid.
pub fn unique() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A random number from 0 to 1, so that two instances do not act in step.
pub fn fraction() -> f64 {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_a_fraction_and_names_differ() {
        assert!((0..1000).map(|_| fraction()).all(|chance| (0.0..=1.0).contains(&chance)));
        assert_ne!(unique(), unique());
    }

    #[test]
    fn threads_of_a_scope_borrow_and_have_names() {
        let words = ["a", "b"];
        let named = scope(|scope| {
            let thread =
                spawn_in(scope, "weir-test", || (words.len(), std::thread::current().name().map(str::to_owned)));
            thread.unwrap().join().unwrap()
        });
        assert_eq!(named, (2, Some("weir-test".to_owned())));
    }
}
