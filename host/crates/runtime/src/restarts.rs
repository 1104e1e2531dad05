//! When a failure is followed by another attempt, and when the job gives up. Pure: time and chance are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use weir_core::Restart;

/// What follows a failure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// Another attempt.
    Retry {
        /// After this time.
        after: Duration,
        /// The number of failures in a row, this one counted.
        in_a_row: u32,
    },
    /// None: what was too much.
    GiveUp(String),
}

/// A failure, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    /// When, as time since the job began.
    pub at: Duration,
    /// How long the attempt ran after its first commit; nothing if it did not get there.
    pub ran: Duration,
    /// Anything from 0 to 1.
    pub chance: f64,
}

/// The failures of a job so far.
#[derive(Debug)]
pub(crate) struct Restarts {
    strategy: Restart,
    in_a_row: u32,
    /// When the latest failures happened; only where a rate is to be kept.
    recent: VecDeque<Duration>,
}

impl Restarts {
    /// None so far.
    pub(crate) fn new(strategy: Restart) -> Self {
        Self { strategy, in_a_row: 0, recent: VecDeque::new() }
    }

    /// One more.
    pub(crate) fn failed(&mut self, failed: Failed) -> Decision {
        match self.strategy {
            Restart::Never => Decision::GiveUp("the restart strategy is none".to_owned()),
            Restart::Fixed { delay, attempts, reset_after } => match self.count(failed, attempts, reset_after) {
                Err(given_up) => given_up,
                Ok(in_a_row) => Decision::Retry { after: delay, in_a_row },
            },
            Restart::Exponential { initial_delay, max_delay, multiplier, jitter, attempts, reset_after } => {
                match self.count(failed, attempts, reset_after) {
                    Err(given_up) => given_up,
                    Ok(in_a_row) => {
                        let grown = grown(initial_delay, max_delay, multiplier, in_a_row);
                        // From 1 - jitter to 1 + jitter.
                        let part = 1.0 + jitter * (failed.chance.clamp(0.0, 1.0) * 2.0 - 1.0);
                        let after = Duration::try_from_secs_f64(grown.as_secs_f64() * part).unwrap_or(max_delay);
                        Decision::Retry { after: after.min(max_delay), in_a_row }
                    }
                }
            }
            Restart::FailureRate { failures, within, delay } => self.rate(failed.at, failures, within, delay),
        }
    }

    fn count(&mut self, failed: Failed, attempts: Option<u32>, reset_after: Duration) -> Result<u32, Decision> {
        if failed.ran >= reset_after {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        match attempts {
            Some(most) if self.in_a_row > most => {
                Err(Decision::GiveUp(format!("it failed {} times in a row, {most} are endured", self.in_a_row)))
            }
            _ => Ok(self.in_a_row),
        }
    }

    fn rate(&mut self, at: Duration, failures: u32, within: Duration, delay: Duration) -> Decision {
        self.recent.push_back(at);
        while self.recent.front().is_some_and(|first| at.saturating_sub(*first) > within) {
            self.recent.pop_front();
        }
        let recent = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if recent > failures {
            return Decision::GiveUp(format!("it failed {recent} times within {within:?}, {failures} are endured"));
        }
        Decision::Retry { after: delay, in_a_row: recent }
    }
}

fn grown(initial: Duration, max: Duration, multiplier: f64, in_a_row: u32) -> Duration {
    let times = multiplier.powi(i32::try_from(in_a_row.saturating_sub(1)).unwrap_or(i32::MAX));
    // Infinity, too, becomes the most there is.
    Duration::try_from_secs_f64(initial.as_secs_f64() * times).unwrap_or(max).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    /// What follows failures at `at` seconds, each after having run `ran` seconds; 0 stands for giving up.
    fn delays(strategy: Restart, failures: &[(u32, u32)]) -> Vec<u128> {
        let mut restarts = Restarts::new(strategy);
        let one = |(at, ran): &(u32, u32)| match restarts.failed(Failed { at: *at * S, ran: *ran * S, chance: 0.5 }) {
            Decision::Retry { after, .. } => after.as_millis(),
            Decision::GiveUp(_) => 0,
        };
        failures.iter().map(one).collect()
    }

    fn exponential(attempts: Option<u32>, jitter: f64) -> Restart {
        let (initial_delay, max_delay, reset_after) = (100 * MS, S, 60 * S);
        Restart::Exponential { initial_delay, max_delay, multiplier: 2.0, jitter, attempts, reset_after }
    }

    #[test]
    fn none_gives_up_at_once() {
        assert_eq!(delays(Restart::Never, &[(0, 0)]), [0]);
    }

    #[test]
    fn fixed_waits_the_same_each_time_and_counts_in_a_row() {
        let fixed = |attempts| Restart::Fixed { delay: 2 * S, attempts, reset_after: 60 * S };
        assert_eq!(delays(fixed(None), &[(0, 0); 5]), [2000; 5]);
        assert_eq!(delays(fixed(Some(2)), &[(0, 0), (1, 0), (2, 0)]), [2000, 2000, 0]);
        // An attempt that ran for a minute ends the row; one that nearly did does not.
        assert_eq!(delays(fixed(Some(2)), &[(0, 0), (1, 0), (90, 60), (91, 0), (92, 0)]), [2000, 2000, 2000, 2000, 0]);
        assert_eq!(delays(fixed(Some(2)), &[(0, 0), (1, 0), (90, 59)]), [2000, 2000, 0]);
        assert_eq!(delays(fixed(Some(0)), &[(0, 0)]), [0]);
    }

    #[test]
    fn exponential_grows_to_its_bound_and_begins_anew_after_quiet() {
        let row = [(0, 0); 6];
        assert_eq!(delays(exponential(None, 0.0), &row), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(delays(exponential(Some(2), 0.0), &row[..4]), [100, 200, 0, 0]);
        assert_eq!(delays(exponential(None, 0.0), &[(0, 0), (1, 1), (100, 60), (101, 1)]), [100, 200, 100, 200]);
    }

    #[test]
    fn a_row_without_end_neither_overflows_nor_shrinks() {
        let mut restarts = Restarts::new(exponential(None, 0.0));
        for _ in 0..5_000 {
            restarts.failed(Failed { at: S, ran: Duration::ZERO, chance: 0.0 });
        }
        let failed = Failed { at: S, ran: Duration::ZERO, chance: 0.0 };
        assert_eq!(restarts.failed(failed), Decision::Retry { after: S, in_a_row: 5_001 });
    }

    #[test]
    fn jitter_makes_a_delay_shorter_or_longer_but_never_longer_than_the_bound() {
        for (chance, first, last) in [(0.0, 80, 800), (0.5, 100, 1000), (1.0, 120, 1000)] {
            let mut restarts = Restarts::new(exponential(None, 0.2));
            let mut delay = || match restarts.failed(Failed { at: S, ran: Duration::ZERO, chance }) {
                Decision::Retry { after, .. } => after.as_millis(),
                Decision::GiveUp(why) => panic!("{why}"),
            };
            assert_eq!(delay(), first, "{chance}");
            for _ in 0..8 {
                delay();
            }
            assert_eq!(delay(), last, "{chance}");
        }
    }

    #[test]
    fn the_longest_delay_that_can_be_written_is_no_overflow() {
        let longest = Duration::from_secs(u64::MAX);
        let (initial_delay, max_delay, reset_after) = (longest, longest, longest);
        let endless = Restart::Exponential {
            initial_delay,
            max_delay,
            multiplier: 2.0,
            jitter: 1.0,
            attempts: None,
            reset_after,
        };
        for strategy in [endless, Restart::Fixed { delay: longest, attempts: None, reset_after }] {
            let mut restarts = Restarts::new(strategy);
            for chance in [1.0, 0.9, 1.0] {
                let decided = restarts.failed(Failed { at: S, ran: S, chance });
                assert!(matches!(decided, Decision::Retry { after, .. } if after > S), "{decided:?}");
            }
        }
    }

    #[test]
    fn a_failure_rate_looks_back_over_its_window_only() {
        let rate = Restart::FailureRate { failures: 2, within: 60 * S, delay: S };
        assert_eq!(delays(rate, &[(0, 0), (30, 0), (60, 0)]), [1000, 1000, 0], "three within a minute");
        assert_eq!(delays(rate, &[(0, 0), (30, 0), (61, 0), (91, 0)]), [1000; 4], "never three within a minute");
        assert_eq!(delays(rate, &[(0, 0), (30, 0), (61, 0), (62, 0)]), [1000, 1000, 1000, 0]);
    }

    #[test]
    fn giving_up_says_what_was_too_much() {
        let mut restarts = Restarts::new(Restart::FailureRate { failures: 1, within: 60 * S, delay: S });
        restarts.failed(Failed { at: S, ran: S, chance: 0.0 });
        let given_up = restarts.failed(Failed { at: 2 * S, ran: S, chance: 0.0 });
        assert_eq!(given_up, Decision::GiveUp("it failed 2 times within 60s, 1 are endured".to_owned()));
    }
}
