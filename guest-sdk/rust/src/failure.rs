//! Why a call did not succeed.

use std::error::Error;
use std::fmt::Display;

/// The record cannot be processed; what [`Failure::from`] and [`Failure::new`] give.
pub const RECORD: u32 = 1;
/// State was asked for, and the record has no key.
pub const NO_KEY: u32 = 2;
/// A stored value cannot be read or written as the table's type.
pub const STATE: u32 = 3;
/// The configuration is wrong.
pub const CONFIG: u32 = 4;
/// The host handed over malformed bytes.
pub const HOST: u32 = 5;
/// A table or output that `describe` does not name.
pub const UNDECLARED: u32 = 6;

/// Why a call did not succeed. Any error becomes one with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The record of the batch at fault. The SDK fills it in for a failure of `process`.
    pub index: Option<u32>,
    /// The plugin's own number for this kind of failure; 0 to 99 are the SDK's.
    pub code: u32,
    /// For the person who reads the log.
    pub message: String,
}

impl Failure {
    /// A failure in the plugin's own words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { index: None, code: RECORD, message: message.into() }
    }

    /// The same with another number.
    pub fn with_code(self, code: u32) -> Self {
        Self { code, ..self }
    }

    /// The same with what was being done in front of the message.
    pub fn context(self, what: impl Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(message)
    }
}
