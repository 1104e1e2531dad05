//! `local`: sources and sinks that need nothing installed: standard input and output, files, made-up records.
//!
//! Lines carry values only: a line read has neither key nor timestamp, and of a record written only the value appears.
//! Exactly one `\n` ends a line and belongs to no value; a `\r` before it does. A last line without `\n` counts. A
//! tombstone is written as an empty line, so that lines and records stay in step.

/// What can go wrong, and who must act.
mod error;
/// Lines of a file, which can be read again.
pub mod file;
/// Made-up records: the record at an offset is always the same.
pub mod generator;
/// Batches, cut from a stream of bytes line by line.
mod lines;
/// Standard output and files to write to.
pub mod sink;
/// Lines of standard input, which cannot be read again.
pub mod stdin;

pub use error::Error;
pub use file::FileSource;
pub use generator::{GenerateOptions, Generator, GeneratorSource};
pub use sink::{LocalConnector, LocalSink};
pub use stdin::StdinSource;
