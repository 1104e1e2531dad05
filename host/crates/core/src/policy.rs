//! What the user chooses about a job's promises, in the words of the pipeline file.

use std::fmt;
use std::str::FromStr;

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

/// What an operator's state is keyed by. The record itself is unchanged. Written as `key` or `header:NAME`, in flags,
/// files and manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeySpec {
    /// The record key.
    Key,
    /// The value of a header.
    Header(String),
}

impl FromStr for KeySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "key" => Ok(Self::Key),
            Some(("header", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            _ => Err(format!("{text:?} is neither key nor header:NAME")),
        }
    }
}

impl TryFrom<String> for KeySpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeySpec> for String {
    fn from(key: KeySpec) -> Self {
        key.to_string()
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// What becomes of a record that a plugin fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The job stops with exit code 1.
    Fail,
    /// The record is dropped and counted.
    Skip,
    /// The record goes to the operator's topic of dead letters, with what is known of its failure.
    DeadLetter,
}
