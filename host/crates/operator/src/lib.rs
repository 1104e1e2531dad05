//! `operator`: runs one node, from the batch that came in to the batches that go out. No thread, no channel, no I/O of its
//! own: whoever drives it hands it batches, and what it asks of the outside is the trait [`Driver`].
//!
//! ```text
//! batch ─▶ parts (cuts, pace) ─▶ slots ─▶ load ─▶ call ─▶ check ─▶ apply ─▶ batches
//!              ▲                                    │ fails
//!              └───────── narrow ◀──────────────────┘   a single record that fails: policy
//! ```
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")
)]

/// Time goes on: windows fire.
mod advance;
/// Records that come to all tasks.
mod broadcast;
/// Which records of a batch go into the next call.
mod cuts;
/// What a node asks of whoever drives it.
mod driver;
/// Why a node cannot go on.
mod error;
/// What time it is for tables that expire.
mod expiry;
/// Dead letters.
mod letters;
/// The state that a call is given, and how many records it leaves room for.
mod load;
/// The headers `weir.origin.*`.
mod origin;
/// What a call puts out.
mod outputs;
/// How long records take.
mod pace;
/// The parts of a batch.
mod parts;
/// What is merged into reducing tables.
mod reduce;
/// What is checked of records that the plugin rejects.
mod rejected;
/// One operator: slots, state, the call, its effects, and what happens to a bad record.
mod runner;
/// What is said of records that are left out.
mod skips;
/// The distinct keys of a batch.
mod slots;
/// What the splits of a job are called.
mod splits;
/// What the tests of nodes share.
#[cfg(test)]
mod testing;
/// Which of many are told.
mod throttle;
/// The timers of a node.
mod timers;
/// What a plugin's call does to its state.
mod updates;
/// What runs a node, and takes over.
mod version;
/// The windows of a node.
mod windows;

pub use advance::Advanced;
pub use driver::Driver;
pub use error::NodeError;
pub use letters::LetterOptions;
pub use pace::{FIRST_RECORDS, Pace};
pub use reduce::Reducing;
pub use runner::{Runner, RunnerOptions};
pub use slots::key_of;
pub use splits::SplitTable;
pub use throttle::{Tell, Throttle};
pub use timers::TimerOptions;
pub use version::{PluginLabel, Probation, Terms, Version};
pub use windows::{WindowOptions, WindowTables};
