//! `local`: sources and sinks that need nothing installed: standard input and output, files, made-up records.
//!
//! Exactly one `\n` ends a line and belongs to no record; a `\r` before it does. A last line without `\n` counts. What a
//! line says of a record is its [`LineFormat`]'s business.
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock, and drive threads of their own")
)]

/// What can go wrong, and who must act.
mod error;
/// Lines of a file, which can be read again.
pub mod file;
/// What tells a file from another one of the same name.
mod fingerprint;
/// How a line and a record become each other.
pub mod format;
/// Made-up records: the record at an offset is always the same.
pub mod generator;
/// Batches, cut from a stream of bytes line by line.
mod lines;
/// Standard output and files to write to.
pub mod sink;
/// Standard input and output, as the process was given them.
#[expect(unsafe_code, reason = "only the linker can be told what is called before main")]
pub mod standard;
/// Lines of standard input, which cannot be read again.
pub mod stdin;

pub use error::Error;
pub use file::FileSource;
pub use format::LineFormat;
pub use generator::{GenerateOptions, Generator, GeneratorSource};
pub use sink::LocalSink;
pub use stdin::StdinSource;

/// Every connector of this crate, a row each.
pub const CONNECTORS: &[&weir_connector::Connector] =
    &[&stdin::connector::CONNECTOR, &file::connector::CONNECTOR, &generator::connector::CONNECTOR];
