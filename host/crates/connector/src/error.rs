//! What is wrong with a description, and the closest thing that would be right.

use weir_core::{Fault, PortError};

/// What is wrong with a description. `at` is the path of a key, as `operators.count.inputs`, and what else is to be said of
/// it; people are told it by line and flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file is not TOML, has a key that nothing reads, or a value of the wrong kind.
    #[error("line {line}, column {column}: {message}{shown}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong, with a suggestion where one is close.
        message: String,
        /// The line itself, on lines of its own; empty where it may not be shown.
        shown: String,
    },
    /// The file is for another version of the format.
    #[error("version = {0} is not known; this host reads version = 1")]
    Version(u32),
    /// An address that is none.
    #[error("{address:?} is not an address: {reason}")]
    Address {
        /// As written.
        address: String,
        /// What does not fit.
        reason: String,
    },
    /// A setting that is missing.
    #[error("{at} is missing; {cure}")]
    Missing {
        /// Which.
        at: String,
        /// What to write.
        cure: String,
    },
    /// A table that has none of the keys of which it needs one.
    #[error("{at} is missing; give it one of {}", keys.join(", "))]
    MissingOneOf {
        /// Which.
        at: String,
        /// The keys.
        keys: Vec<String>,
    },
    /// A value that cannot be.
    #[error("{at}: {reason}")]
    Invalid {
        /// Where.
        at: String,
        /// Why, and what would do.
        reason: String,
    },
    /// Two settings that exclude each other.
    #[error("{one} conflicts with {other}: {reason}")]
    Conflict {
        /// One.
        one: String,
        /// The other.
        other: String,
        /// Why.
        reason: String,
    },
    /// A name that nothing has.
    #[error("{at}: there is no {kind} named {name:?}{}", suggestion(.close))]
    Unknown {
        /// Where it is used.
        at: String,
        /// What was looked for.
        kind: &'static str,
        /// The name.
        name: String,
        /// The closest that exists.
        close: Option<String>,
    },
}

impl Error {
    /// The line that it is about, and the same with every place as whoever wrote it calls it: `find` knows both.
    pub fn placed(self, find: impl Fn(&str) -> (Option<usize>, String)) -> (Option<usize>, Self) {
        match self {
            Self::Missing { at, cure } => {
                let (line, at) = find(&at);
                (line, Self::Missing { at, cure })
            }
            Self::MissingOneOf { at, keys } => {
                let (line, at) = find(&at);
                (line, Self::MissingOneOf { at, keys })
            }
            Self::Invalid { at, reason } => {
                let (line, at) = find(&at);
                (line, Self::Invalid { at, reason })
            }
            Self::Conflict { one, other, reason } => {
                let ((line, one), (_, other)) = (find(&one), find(&other));
                (line, Self::Conflict { one, other, reason })
            }
            Self::Unknown { at, kind, name, close } => {
                let (line, at) = find(&at);
                (line, Self::Unknown { at, kind, name, close })
            }
            Self::Syntax { line, .. } => (Some(line), self),
            Self::Version(_) | Self::Address { .. } => (None, self),
        }
    }

    /// Leaves out the line of the file itself, where it shows one.
    pub fn hide_excerpt(&mut self) {
        if let Self::Syntax { shown, .. } = self {
            shown.clear();
        }
    }

    /// The path that it is at, and what else is said of it; `None` where it knows only its line, or nothing.
    pub fn at(&self) -> Option<&str> {
        match self {
            Self::Missing { at, .. }
            | Self::MissingOneOf { at, .. }
            | Self::Invalid { at, .. }
            | Self::Conflict { one: at, .. }
            | Self::Unknown { at, .. } => Some(at),
            Self::Syntax { .. } | Self::Version(_) | Self::Address { .. } => None,
        }
    }

    /// Who must act: always whoever wrote the description.
    pub fn fault(&self) -> Fault {
        Fault::Config
    }

    /// Something that is missing at `at`, and what to write.
    pub fn missing(at: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::Missing { at: at.into(), cure: cure.into() }
    }

    /// Something at `at` that cannot be, and why.
    pub fn invalid(at: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { at: at.into(), reason: reason.into() }
    }

    /// Two settings that exclude each other, and why.
    pub fn conflict(one: impl Into<String>, other: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Conflict { one: one.into(), other: other.into(), reason: reason.into() }
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        Self::new(error.fault(), error)
    }
}

fn suggestion(close: &Option<String>) -> String {
    close.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

/// Refuses none of `kinds` and several: each is a key below `at`, and whether it is given.
pub fn exactly_one(at: &str, kinds: &[(&str, bool)]) -> Result<(), Error> {
    let given: Vec<&str> = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
    match given.as_slice() {
        [_] => Ok(()),
        [] => {
            let keys = kinds.iter().map(|(kind, _)| (*kind).to_owned()).collect();
            Err(Error::MissingOneOf { at: at.to_owned(), keys })
        }
        [one, other, ..] => {
            Err(Error::conflict(format!("{at}.{one}"), format!("{at}.{other}"), "only one of them can be meant"))
        }
    }
}

/// What stands behind `path` in `at`, where that is the key at `path` or something below it.
pub fn behind<'a>(at: &'a str, path: &str) -> Option<&'a str> {
    let rest = at.trim_start_matches('[').strip_prefix(path)?;
    (rest.is_empty() || rest.starts_with(['.', ' ', ':', ']'])).then_some(rest)
}

/// The known word that `word` most likely was meant to be.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const ALIKE: f64 = 0.8;
    let scored = known.into_iter().map(|k| (strsim::jaro_winkler(word, k), k)).filter(|(score, _)| *score > ALIKE);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k.to_owned())
}
