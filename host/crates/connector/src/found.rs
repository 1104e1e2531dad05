//! What is wrong with a description so far: whoever corrects it wants to do so once, and to be told of each thing once.

use crate::error::{Error, behind};

/// What was found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    errors: Vec<Error>,
    /// The paths of what is there and could not be read; `[]` behind one: something in the list there.
    unread: Vec<String>,
}

impl Found {
    /// One mistake more, unless it only follows from one that was found.
    pub fn add(&mut self, error: Error) {
        if !self.follows(&error) {
            self.errors.push(error);
        }
    }

    /// What is right goes on; what is not is a mistake.
    pub fn keep<T>(&mut self, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|error| self.add(error)).ok()
    }

    /// What is written at `path` could not be read, which was told: nothing more is known of it.
    pub fn add_unread(&mut self, path: impl Into<String>) {
        self.unread.push(path.into());
    }

    /// Whether something was found wrong at `path`, so that it is not what it was meant to be.
    pub fn is_wrong(&self, path: &str) -> bool {
        let is_in_list = |unread: &String| unread.strip_suffix("[]") == Some(path);
        let is_at =
            |error: &Error| error.at().is_some_and(|at| behind(at, path).is_some_and(|rest| !rest.starts_with('.')));
        self.is_unread(path) || self.unread.iter().any(is_in_list) || self.errors.iter().any(is_at)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.errors.len()
    }

    /// All of them, in the order in which they were found.
    pub fn all(&self) -> &[Error] {
        &self.errors
    }

    /// All of them, in the order in which they were found.
    pub fn into_all(self) -> Vec<Error> {
        self.errors
    }

    fn is_unread(&self, at: &str) -> bool {
        self.unread.iter().any(|path| behind(at, path).is_some())
    }

    /// Nothing can be said of what was not read; what is there and wrong is not missing; and of two that exclude each other one
    /// reason is enough.
    fn follows(&self, error: &Error) -> bool {
        match error {
            Error::Missing { at, .. } => self.is_wrong(at),
            Error::MissingOneOf { at, keys } => {
                self.is_unread(at) || keys.iter().any(|key| self.is_unread(&format!("{at}.{key}")))
            }
            Error::Conflict { one, other, .. } => {
                let is_same =
                    |error: &Error| matches!(error, Error::Conflict { one: a, other: b, .. } if (a, b) == (one, other));
                self.is_unread(one) || self.is_unread(other) || self.errors.iter().any(is_same)
            }
            other => other.at().is_some_and(|at| self.is_unread(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_follows_is_not_told() {
        let mut found = Found::default();
        for path in ["sources.a.kafka", "operators.o", "sinks.s.inputs[]"] {
            found.add_unread(path);
        }
        found.add(Error::invalid("operators.w.window", "it is none"));
        let one_of = |at: &str| Error::MissingOneOf { at: at.into(), keys: vec!["kafka".into(), "file".into()] };
        for (error, is_told) in [
            (one_of("sources.a"), false),
            (one_of("sources.b"), true),
            (Error::invalid("sources.a.kafka.topic", "it is none"), false),
            (Error::invalid("sources.a.kafkas", "it is none"), true),
            (Error::missing("operators.o.inputs", "write it"), false),
            (Error::missing("sinks.s.inputs", "write it"), false),
            (Error::invalid("sinks.s.inputs", "there is no such thing"), true),
            (Error::missing("operators.w.window", "write it"), false),
            (Error::invalid("operators.w.window", "it is too long"), true),
            (Error::conflict("sources.b", "operators.o", "one name"), false),
            (Error::conflict("sources.b", "operators.ox", "one name"), true),
            (Error::conflict("sources.b", "operators.ox", "one more reason"), false),
        ] {
            let before = found.count();
            found.add(error.clone());
            assert_eq!(found.count() > before, is_told, "{error}");
        }
    }
}
