//! `runtime`: runs a job. Tasks on their own threads, channels between them, one coordinator loop that is the only
//! writer of job state, and a supervisor that recovers in place.
//!
//! It sees Kafka, RocksDB and wasmtime only through the ports of `core`; decisions about epochs and recovery are made
//! by `checkpoint`, what runs in which thread is decided by `plan`; both are pure.
//!
//! ```text
//! source tasks (with the operators fused to them) → exchange → operator tasks → exchange → sink task
//!        ▲ signals (barrier, committed, cancel)          │ events
//!        └───────────────── coordinator loop ◀───────────┘ ──▶ log thread
//! ```
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")
)]

/// A job: what runs, and the handle to watch and stop it.
pub mod job;
/// What an outsider may know of a job.
pub mod status;

/// What an instance is told of its task.
mod about;
/// One life of the engine between two recoveries.
mod attempt;
/// What time it is outside.
mod clock;
/// The coordinator loop of a running attempt.
mod coordinate;
/// Errors, and who must act.
mod error;
/// How elements travel between tasks.
mod exchange;
/// The thread that writes the epoch log.
mod log_writer;
/// Metric names, described once.
mod metrics;
/// A job whose sources stand still.
mod pause;
/// When a failure is followed by another attempt.
mod restarts;
/// What coordinator and tasks say to each other.
mod signals;
/// What to do about a fault.
mod supervisor;
/// The loops of the tasks.
mod task;
/// The versions of operators.
mod versions;
/// Calls that may hang for ever.
mod watch;

pub use attempt::{MarkerPlace, check_store};
pub use error::Error;
pub use job::{Bounds, Job, JobHandle, JobOptions, OperatorSetup, Place, SinkSetup, SourceSetup, Summary};
pub use status::{JobState, JobStatus, OperatorStatus, SinkStatus, SplitStatus, Waiting};
pub use versions::{Held, NotSwapped, Shelf, Swap, Swapped};
