//! Which runs are carried out, by their seeds.

use std::fmt;

use anyhow::{Result, ensure};
use weir_tests::random::Random;

/// The seeds of all runs.
#[derive(Debug)]
pub(crate) enum Seeds {
    /// One after the other from a first one; how many, or without end.
    From(u64, Option<u64>),
    /// Just these, on one job.
    These(Vec<u64>),
}

impl Seeds {
    /// As they were `given`: none is drawn; one alone is one run, unless so many `runs` are wanted.
    pub(crate) fn of(given: Vec<u64>, runs: Option<u64>) -> Result<Self> {
        Ok(match *given.as_slice() {
            [] => Self::From(Random::new().number() % 1_000_000, runs),
            [one] => Self::From(one, runs.or(Some(1))),
            _ => {
                ensure!(
                    runs.is_none(),
                    "--runs counts on from one seed; several say themselves how many runs there are"
                );
                Self::These(given)
            }
        })
    }

    /// The seed of a run, from 0; `None` after the last.
    pub(crate) fn get(&self, number: u64) -> Option<u64> {
        match self {
            Self::From(first, runs) => runs.is_none_or(|runs| number < runs).then(|| first.wrapping_add(number)),
            Self::These(seeds) => seeds.get(usize::try_from(number).ok()?).copied(),
        }
    }

    /// How many runs; without end if none.
    pub(crate) fn runs(&self) -> Option<u64> {
        match self {
            Self::From(_, runs) => *runs,
            Self::These(seeds) => Some(seeds.len() as u64),
        }
    }

    /// How many lanes may share them.
    pub(crate) fn lanes_max(&self) -> usize {
        match self {
            Self::From(_, runs) => usize::try_from(runs.unwrap_or(u64::MAX)).unwrap_or(usize::MAX),
            Self::These(_) => 1,
        }
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first, _) => write!(f, "{first}"),
            Self::These(seeds) => {
                let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
                f.write_str(&seeds.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_drawn_counted_on_or_listed() {
        let all = |given: &[u64], runs| {
            let seeds = Seeds::of(given.to_vec(), runs).unwrap();
            let first: Vec<u64> = (0..3).map_while(|number| seeds.get(number)).collect();
            (first, seeds.runs(), seeds.lanes_max())
        };
        assert_eq!(all(&[7], None), (vec![7], Some(1), 1));
        assert_eq!(all(&[7], Some(2)), (vec![7, 8], Some(2), 2));
        assert_eq!(all(&[7, 3], None), (vec![7, 3], Some(2), 1));
        assert_eq!(all(&[], None).1, None);
        assert_eq!(all(&[], Some(5)).0.len(), 3);
        assert!(Seeds::of(vec![7, 3], Some(2)).is_err());
    }
}
