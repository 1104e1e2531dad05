//! All that is wrong with a description: whoever corrects it wants to do so once.

use std::fmt;

use weir_connector::{Error, Found};
use weir_core::{Fault, PortError};

use crate::places::Places;
use crate::plan::Plan;

/// At least one mistake, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    /// Where the file says it, or lacks it; `None` where a flag does.
    line: Option<usize>,
    error: Error,
}

/// A plan as far as it is right, and all that was found wrong with it so far.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What is right of it. It can be looked at, and does not run.
    pub plan: Plan,
    /// What is wrong.
    pub found: Found,
}

impl Draft {
    /// The plan, unless something was found wrong.
    pub fn settle(self) -> Result<Plan, Mistakes> {
        if self.found.count() == 0 { Ok(self.plan) } else { Err(self.into_mistakes()) }
    }

    /// All that was found wrong.
    pub fn into_mistakes(self) -> Mistakes {
        Mistakes::new(self.found.into_all(), &self.plan.places)
    }
}

/// `value`, unless something was found wrong; `places` say where that is.
pub fn settle<T>(found: Found, value: Option<T>, places: &Places) -> Result<T, Mistakes> {
    match value {
        Some(value) if found.count() == 0 => Ok(value),
        _ => Err(Mistakes::new(found.into_all(), places)),
    }
}

impl Mistakes {
    fn new(errors: Vec<Error>, places: &Places) -> Self {
        let placed = |error: Error| {
            let (line, error) = error.placed(|at| places.find(at));
            Mistake { line, error }
        };
        let mut all: Vec<Mistake> = errors.into_iter().map(placed).collect();
        all.sort_by_key(|mistake| mistake.line);
        all.dedup();
        if let [_, _, ..] = all.as_slice() {
            // A list has a line for each.
            all.iter_mut().for_each(|mistake| mistake.error.hide_excerpt());
        }
        Self(all)
    }

    /// Who must act: always whoever wrote the description.
    pub fn fault(&self) -> Fault {
        Fault::Config
    }
}

impl From<Error> for Mistakes {
    fn from(error: Error) -> Self {
        Self(vec![Mistake { line: None, error }])
    }
}

impl From<Mistakes> for PortError {
    fn from(mistakes: Mistakes) -> Self {
        Self::new(mistakes.fault(), mistakes)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => only.fmt(f),
            all => {
                write!(f, "{} mistakes", all.len())?;
                all.iter().try_for_each(|mistake| write!(f, "\n{mistake}"))
            }
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.line) {
            (Error::Syntax { .. }, _) | (_, None) => self.error.fmt(f),
            (error, Some(line)) => write!(f, "line {line}: {error}"),
        }
    }
}

impl std::error::Error for Mistakes {}
