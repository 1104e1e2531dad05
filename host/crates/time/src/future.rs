//! Timestamps from too far in the future. One record of the year 9000 would end every window at once; what becomes of it is
//! the user's choice, and none of them lets it.

use std::fmt;
use std::str::FromStr;

/// What becomes of a record whose timestamp lies further ahead of the clock than `max-future`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFuture {
    /// It keeps its timestamp and falls into the windows there, but moves no watermark.
    #[default]
    Keep,
    /// Its timestamp becomes the latest that is allowed.
    Clamp,
    /// It has failed: the policy for bad records decides.
    Fail,
}

/// How far ahead of the clock a timestamp may be, and what becomes of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Future {
    /// How far ahead, in milliseconds.
    pub max_ms: i64,
    /// What becomes of others.
    pub policy: OnFuture,
}

/// What becomes of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It has this timestamp, which moves time.
    OnTime(i64),
    /// It has this timestamp, which moves no watermark.
    Early(i64),
    /// It has failed.
    Refused {
        /// How far ahead of the clock it is, in milliseconds.
        ahead_ms: i64,
    },
}

impl Future {
    /// A record at `timestamp_ms`, where the clock says `now_ms`.
    ///
    /// ```
    /// use weir_time::future::{Admitted, Future, OnFuture};
    ///
    /// let future = Future { max_ms: 1_000, policy: OnFuture::Keep };
    /// assert_eq!(future.admit(5_900, 5_000), Admitted::OnTime(5_900));
    /// assert_eq!(future.admit(9_000, 5_000), Admitted::Early(9_000));
    /// ```
    pub fn admit(self, timestamp_ms: i64, now_ms: i64) -> Admitted {
        let latest_ms = now_ms.saturating_add(self.max_ms);
        if timestamp_ms <= latest_ms {
            return Admitted::OnTime(timestamp_ms);
        }
        match self.policy {
            OnFuture::Keep => Admitted::Early(timestamp_ms),
            OnFuture::Clamp => Admitted::OnTime(latest_ms),
            OnFuture::Fail => Admitted::Refused { ahead_ms: timestamp_ms.saturating_sub(now_ms) },
        }
    }
}

impl FromStr for OnFuture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "clamp" => Ok(Self::Clamp),
            "fail" => Ok(Self::Fail),
            _ => Err(format!("{text:?} is none of keep, clamp, fail")),
        }
    }
}

impl fmt::Display for OnFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Clamp => "clamp",
            Self::Fail => "fail",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_far_ahead_is_as_the_user_says() {
        let admit = |policy, timestamp| Future { max_ms: 100, policy }.admit(timestamp, 1_000);
        for policy in [OnFuture::Keep, OnFuture::Clamp, OnFuture::Fail] {
            for fine in [i64::MIN, 0, 1_000, 1_100] {
                assert_eq!(admit(policy, fine), Admitted::OnTime(fine));
            }
        }
        assert_eq!(admit(OnFuture::Keep, 1_101), Admitted::Early(1_101));
        assert_eq!(admit(OnFuture::Clamp, i64::MAX), Admitted::OnTime(1_100));
        assert_eq!(admit(OnFuture::Fail, 1_101), Admitted::Refused { ahead_ms: 101 });
        assert_eq!(Future { max_ms: i64::MAX, policy: OnFuture::Fail }.admit(5, 1), Admitted::OnTime(5));
    }
}
