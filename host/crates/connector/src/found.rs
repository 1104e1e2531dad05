//! What is wrong with a description so far: whoever corrects it wants to do so once.

use crate::error::Error;

/// What was found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found(Vec<Error>);

impl Found {
    /// One mistake more.
    pub fn add(&mut self, error: Error) {
        self.0.push(error);
    }

    /// What is right goes on; what is not is a mistake.
    pub fn keep<T>(&mut self, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|error| self.add(error)).ok()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, in the order in which they were found.
    pub fn all(&self) -> &[Error] {
        &self.0
    }

    /// All of them, in the order in which they were found.
    pub fn into_all(self) -> Vec<Error> {
        self.0
    }
}
