//! `failpoint`: crash points, named steps of the protocol at which a test stops, kills or fails the process; and sabotage:
//! rules that a test breaks on purpose, to see that it would notice. Compiled in with the feature `crash-points` only, in a program
//! of its own, `host-crash-points`; without the feature every function here is empty. It knows nothing of Weir; `core` gives
//! it to all as `weir_core::crash`, with the fault of a step that was told to fail.
//!
//! The environment variable `FAILPOINTS` says what happens where, in the syntax of the crate `fail`: point, `=`, actions
//! one after the other, separated by `->`; points are separated by `;`. `log-synced=3*off->1*return(kill)` kills the
//! process when the point is reached for the fourth time. What `return` may say:
//!
//! | payload | what happens |
//! |---|---|
//! | `kill` | the process kills itself with SIGKILL |
//! | `stop` | the process stops itself with SIGSTOP, and goes on after SIGCONT |
//! | `error` | the step fails. In the engine and towards Kafka that is transient: the job recovers in place. Towards the disk it is a write that failed: the process ends with exit code 1 |
//!
//! Beside `return` there are `off`, `sleep(MS)` and `delay(MS)`. Whatever else stands in the variable, or a point that
//! does not exist, is an error at the start. Each point that acts says so on standard error first.
//!
//! `WEIR_SABOTAGE` names one rule to break, see `Sabotage`.

/// With crash points.
#[cfg(feature = "crash-points")]
mod armed;
/// Without.
#[cfg(not(feature = "crash-points"))]
mod unarmed;

#[cfg(feature = "crash-points")]
pub use armed::{ArmError, Injected, arm, reach, sabotaged, synced};
#[cfg(not(feature = "crash-points"))]
pub use unarmed::{Injected, reach, synced};

/// Every crash point, and when it is reached.
pub const POINTS: [(&str, &str); 20] = [
    ("source-verified", "what an epoch was read from is verified, which only the source knows"),
    ("barrier-injected", "the source task has sent the barrier of an epoch"),
    ("operators-aligned", "a task has sealed the state of its operators, others may not have"),
    ("delta-serialised", "manifest and deltas of an epoch are bytes, none of them is written"),
    ("log-written", "a log record is written and not yet synced"),
    ("log-synced", "a log record is durable and not yet committed"),
    ("manifest-temp", "FORMAT or a log of one record is written under a temporary name"),
    ("manifest-renamed", "that file has its name, which is not yet durable"),
    ("outputs-half-produced", "a batch is written to the open transaction"),
    ("outputs-acknowledged", "all output of an epoch is acknowledged"),
    ("offsets-sent", "the offsets are in the transaction, which is not yet ended"),
    ("commit-acknowledged", "an epoch holds, which only the sink task knows"),
    ("store-half-applied", "epochs that hold are merged for the store and not yet written to it"),
    ("store-applied", "epochs are written to the store, and the log still has them"),
    ("flush-running", "the store is flushed, which nobody knows yet"),
    ("log-trimming", "a segment of the log is removed, which is not yet durable"),
    ("fenced-one-id", "a start has initialised the first transactional id, and perhaps the second"),
    ("marker-read", "a start has read the marker for good"),
    ("mid-restore", "a start has replayed a log record, and more may follow"),
    ("restored", "a start has restored the epoch that holds, and reads nothing yet"),
];

/// A rule of exactly-once that is broken on purpose, by its name in `WEIR_SABOTAGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// `no-durable-log`: a commit does not wait for the log. A kill by a crash point also cuts the log back to its last
    /// synced length, as a power cut would.
    NoDurableLog,
    /// `unknown-is-success`: a commit without a known outcome counts as a success.
    UnknownIsSuccess,
    /// `marker-before-fence`: a start reads the marker first and fences rivals afterwards.
    MarkerBeforeFence,
    /// `no-rotation`: every transaction uses the same transactional id, whatever the doubt about it.
    NoRotation,
    /// `keep-batches`: batches that an attempt has written and not committed are written again by the next one.
    KeepBatches,
    /// `unverified-source`: an epoch is committed without asking whether its topics are still those that were read.
    UnverifiedSource,
}

/// Reaches the crash point of this name: `Err` when the step is to fail. A name that is not in
/// `POINTS` does not compile.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {{
        const { assert!($crate::is_point($name), "this crash point is not in the list") };
        $crate::reach($name)
    }};
}

/// Whether there is a point of this name.
pub const fn is_point(name: &str) -> bool {
    const fn is_one_of(points: &[(&str, &str)], name: &str) -> bool {
        match points {
            [] => false,
            [(point, _), rest @ ..] => is_same(point.as_bytes(), name.as_bytes()) || is_one_of(rest, name),
        }
    }
    const fn is_same(one: &[u8], other: &[u8]) -> bool {
        match (one, other) {
            ([], []) => true,
            ([a, one @ ..], [b, other @ ..]) => *a == *b && is_same(one, other),
            _ => false,
        }
    }
    is_one_of(&POINTS, name)
}

/// `usual`; or `tiny` where crash points are compiled in, so that a test of seconds reaches what else takes hours.
pub const fn limit<T: Copy>(usual: T, tiny: T) -> T {
    if cfg!(feature = "crash-points") { tiny } else { usual }
}
