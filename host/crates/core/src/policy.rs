//! What the user chooses about a job's promises, in the words of the pipeline file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a job promises about its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Output, state and positions of an epoch hold together or not at all.
    ExactlyOnce,
    /// Nothing is lost; a crash may repeat the output of an epoch.
    AtLeastOnce,
    /// A crash may lose or repeat.
    None,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce => "at-least-once",
            Self::None => "none",
        })
    }
}

/// What an operator's state is keyed by. The record itself is unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySpec {
    /// The record key.
    Key,
    /// The value of a header.
    Header(String),
}

/// What becomes of a record that a plugin fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The job stops with exit code 1.
    Fail,
    /// The record is dropped and counted.
    Skip,
}
