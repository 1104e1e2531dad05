//! What a user says, at a start, of state that the pipeline does not use as it is recorded. These words give leave, no
//! orders: state that fits is not touched by any of them, so the same command line may start the job again and again.

use std::fmt;
use std::str::FromStr;

/// All that was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consent {
    /// `--drop-state`: what may be forgotten if it does not fit.
    pub drop: Vec<StateName>,
    /// `--keep-state`: what is read as it is, though its schema or its key changed.
    pub keep: Vec<StateName>,
    /// `--rename-state`: what has another name now.
    pub rename: Vec<Rename>,
    /// `--drop-source`: streams (topics, files, generators) that need not be read any more.
    pub drop_sources: Vec<String>,
}

/// The state of an operator, or one table of it: `OPERATOR`, `OPERATOR.TABLE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateName {
    /// The operator.
    pub operator: String,
    /// One of its tables; `None` is all of them.
    pub table: Option<String>,
}

/// A name that state has, and the one that the pipeline has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    /// `OLD=NEW`
    Operator {
        /// As recorded.
        old: String,
        /// In the pipeline.
        new: String,
    },
    /// `OPERATOR.OLD=.NEW`
    Table {
        /// Whose table.
        operator: String,
        /// As recorded.
        old: String,
        /// In the plugin.
        new: String,
    },
}

impl StateName {
    /// All state of `operator`.
    pub fn operator(operator: impl Into<String>) -> Self {
        Self { operator: operator.into(), table: None }
    }

    /// One table of `operator`.
    pub fn table(operator: impl Into<String>, table: impl Into<String>) -> Self {
        Self { operator: operator.into(), table: Some(table.into()) }
    }
}

impl FromStr for StateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (operator, table) = match text.split_once('.') {
            Some((operator, table)) => (operator, Some(table)),
            None => (text, None),
        };
        if operator.is_empty() || table.is_some_and(str::is_empty) {
            return Err("it must be of the form OPERATOR or OPERATOR.TABLE".to_owned());
        }
        Ok(Self { operator: operator.to_owned(), table: table.map(str::to_owned) })
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{}.{table}", self.operator),
            None => f.write_str(&self.operator),
        }
    }
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "it must be of the form OLD=NEW or OPERATOR.OLD=.NEW".to_owned();
        let (old, new) = text.split_once('=').ok_or_else(refused)?;
        let StateName { operator, table } = old.parse().map_err(|_| refused())?;
        let renamed = match table {
            None if new.is_empty() || new.contains('.') => return Err(refused()),
            None => Self::Operator { old: operator, new: new.to_owned() },
            Some(old) => {
                // The operator may be written out; it cannot be another one.
                let new = new.strip_prefix(operator.as_str()).unwrap_or(new).strip_prefix('.').ok_or_else(refused)?;
                match new.is_empty() {
                    true => return Err(refused()),
                    false => Self::Table { operator, old, new: new.to_owned() },
                }
            }
        };
        match &renamed {
            Self::Operator { old, new } | Self::Table { old, new, .. } if old == new => {
                Err("both names are the same".to_owned())
            }
            _ => Ok(renamed),
        }
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator { old, new } => write!(f, "{old}={new}"),
            Self::Table { operator, old, new } => write!(f, "{operator}.{old}=.{new}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        for text in ["count", "count.n", "count.a.b"] {
            assert_eq!(text.parse::<StateName>().unwrap().to_string(), text);
        }
        for text in ["a=b", "a.x=.y", "a-1.x=.y.z"] {
            assert_eq!(text.parse::<Rename>().unwrap().to_string(), text);
        }
        assert_eq!("a.x=a.y".parse::<Rename>().unwrap().to_string(), "a.x=.y");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ".", "a.", ".x"] {
            assert!(text.parse::<StateName>().is_err(), "{text:?}");
        }
        for text in ["", "a", "a=", "=b", "a=a", "a=b.c", "a.x=y", "a.x=b.y", "a.x=.", "a.x=.x", "a.x=a"] {
            assert!(text.parse::<Rename>().is_err(), "{text:?}");
        }
    }
}
