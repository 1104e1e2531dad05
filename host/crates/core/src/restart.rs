//! What the user chooses about recovery: how long to wait after a failure that may pass, and when to give up.

use std::fmt;
use std::time::Duration;

/// When a failed attempt is followed by another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Restart {
    /// Never: the first failure ends the job.
    Never,
    /// After the same delay each time.
    Fixed {
        /// Between a failure and the next attempt.
        delay: Duration,
        /// How many failures in a row are followed by another attempt; `None`: all.
        attempts: Option<u32>,
        /// An attempt that ran this long ends the row.
        reset_after: Duration,
    },
    /// After a delay that grows with each failure in a row.
    Exponential {
        /// After the first failure.
        initial_delay: Duration,
        /// At most.
        max_delay: Duration,
        /// How much longer each delay is than the one before.
        multiplier: f64,
        /// Part of the delay, 0 to 1, by which it is made longer or shorter at random: many jobs do not come in step.
        jitter: f64,
        /// How many failures in a row are followed by another attempt; `None`: all.
        attempts: Option<u32>,
        /// An attempt that ran this long ends the row.
        reset_after: Duration,
    },
    /// After the same delay each time, unless failures come too often.
    FailureRate {
        /// So many failures ..
        failures: u32,
        /// .. within this time are endured; one more ends the job.
        within: Duration,
        /// Between a failure and the next attempt.
        delay: Duration,
    },
}

impl Restart {
    /// The names of the strategies, as users write them.
    pub const NAMES: [&'static str; 4] = ["exponential", "fixed", "failure-rate", "none"];

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exponential { .. } => "exponential",
            Self::Fixed { .. } => "fixed",
            Self::FailureRate { .. } => "failure-rate",
            Self::Never => "none",
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_a_row = |attempts: &Option<u32>| attempts.map_or(String::new(), |n| format!(", at most {n} in a row"));
        match self {
            Self::Never => write!(f, "none: the first failure ends the job"),
            Self::Fixed { delay, attempts, .. } => write!(f, "fixed: after {delay:?}{}", in_a_row(attempts)),
            Self::Exponential { initial_delay, max_delay, multiplier, attempts, .. } => {
                write!(
                    f,
                    "exponential: after {initial_delay:?}, {multiplier} times longer each time, up to {max_delay:?}"
                )?;
                f.write_str(&in_a_row(attempts))
            }
            Self::FailureRate { failures, within, delay } => {
                write!(f, "failure-rate: after {delay:?}, at most {failures} failures within {within:?}")
            }
        }
    }
}
