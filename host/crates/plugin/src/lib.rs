//! `plugin`: runs WebAssembly operators behind the ports of `core`.
//!
//! [`Runtime::load`] makes a [`Plugin`] of a file: read, wrapped into a component where it is a core module, compiled (or
//! found in wasmtime's cache), checked against the world `wit/` describes, and asked for its description. The plugin is
//! an `OperatorFactory`; each operator it makes belongs to one task's thread.
//!
//! What a guest can do is bounded: memory, time and output of a call, the length and number of its log lines. It sees
//! neither files nor clocks nor randomness: nothing of WASI is granted. Whatever goes wrong in a call drops the instance
//! together with all effects of the call.
//!
//! This crate knows neither Kafka nor state nor tasks, and it reads no bytes of a record: frames are checked and passed.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")
)]

mod artifact;
mod cache;
mod call_log;
mod compile;
mod describe;
mod engine;
mod error;
mod frames;
mod host;
mod inspect;
mod instance;
mod limits;
mod plugin;
mod timestamps;
mod trap;
mod world;
mod wrap;

pub use artifact::Form;
pub use cache::CodeCache;
pub use engine::Runtime;
pub use error::{Cause, Error};
pub use inspect::{Inspection, Refusal};
pub use limits::Limits;
pub use plugin::Plugin;
pub use timestamps::TimePlugin;
