//! How long what is written in a table stays there.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::ports::{Table, TimeDomain};

/// How long what is written stays, by which time: in a description `{ "event": 60000 }`, of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ttl {
    /// Until event time has gone on by so much.
    Event(NonZeroU64),
    /// Until the clock on the wall has.
    Processing(NonZeroU64),
}

/// What time it is for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// How far event time has come; `None` where it has not begun.
    pub event_ms: Option<i64>,
    /// The event time that what is written counts as written at: how far it has come, and before it has begun the latest
    /// timestamp of the call's records, if they have any.
    pub written_ms: Option<i64>,
    /// The clock on the wall: milliseconds since 1970.
    pub processing_ms: i64,
}

impl Now {
    /// Before anything has happened: nothing has expired, and what is written stays.
    pub const UNKNOWN: Self = Self { event_ms: None, written_ms: None, processing_ms: i64::MIN };
}

impl Ttl {
    /// The time that it is told by.
    pub fn domain(self) -> TimeDomain {
        match self {
            Self::Event(_) => TimeDomain::Event,
            Self::Processing(_) => TimeDomain::Processing,
        }
    }

    /// When what is written now expires, in milliseconds since 1970: the first of them at which it is gone.
    pub fn expires_ms(self, now: Now) -> i64 {
        let (written_ms, stays_ms) = match self {
            Self::Event(stays) => (now.written_ms, stays),
            Self::Processing(stays) => (Some(now.processing_ms), stays),
        };
        written_ms.map_or(i64::MAX, |written_ms| written_ms.saturating_add_unsigned(stays_ms.get()))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(stays_ms) => write!(f, "{stays_ms} ms of event time"),
            Self::Processing(stays_ms) => write!(f, "{stays_ms} ms of processing time"),
        }
    }
}

/// Bytes before a value of a table that expires: when it does, `i64`, little endian.
pub const EXPIRES_BYTES: usize = size_of::<i64>();

/// When the value of a table that expires does so, and the value; `None` for bytes that no such table has.
pub fn expires_and_value(stored: &[u8]) -> Option<(i64, &[u8])> {
    let (expires, value) = stored.split_first_chunk::<EXPIRES_BYTES>()?;
    Some((i64::from_le_bytes(*expires), value))
}

impl Table {
    /// The value of what is stored: `None` once it is past its time. What time it is and what is stored decide alone.
    pub fn live(self, now: Now, stored: &[u8]) -> Option<&[u8]> {
        let Some(ttl) = self.ttl else { return Some(stored) };
        let (expires_ms, value) = expires_and_value(stored)?;
        let is_over = match ttl.domain() {
            TimeDomain::Event => now.event_ms.is_some_and(|now_ms| expires_ms <= now_ms),
            TimeDomain::Processing => expires_ms <= now.processing_ms,
        };
        (!is_over).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TableId;
    use crate::ports::TableKind;

    fn table(ttl: &str) -> Table {
        Table { id: TableId(0), kind: TableKind::Value, ttl: serde_json::from_str(ttl).unwrap() }
    }

    fn now(event_ms: Option<i64>, written_ms: Option<i64>, processing_ms: i64) -> Now {
        Now { event_ms, written_ms, processing_ms }
    }

    #[test]
    fn a_value_is_there_until_its_own_time_is_over() {
        let value = |ttl: &str, written: Now, read: Now| {
            let stored = [&table(ttl).ttl.unwrap().expires_ms(written).to_le_bytes()[..], b"v"].concat();
            table(ttl).live(read, &stored).map(<[u8]>::to_vec)
        };
        let (there, gone) = (Some(b"v".to_vec()), None);
        for (ttl, written, read, expected) in [
            (r#"{"event":100}"#, now(Some(7), Some(7), 0), now(Some(106), None, i64::MAX), &there),
            (r#"{"event":100}"#, now(Some(7), Some(7), 0), now(Some(107), None, 0), &gone),
            (r#"{"event":100}"#, now(None, Some(7), 0), now(Some(107), None, 0), &gone),
            (r#"{"event":100}"#, now(None, Some(7), 0), now(None, Some(900), 0), &there),
            (r#"{"event":100}"#, Now::UNKNOWN, now(Some(i64::MAX - 1), None, 0), &there),
            (r#"{"processing":100}"#, now(Some(9), Some(9), 7), now(Some(999), None, 106), &there),
            (r#"{"processing":100}"#, now(None, None, 7), now(None, None, 107), &gone),
            // How long others stay that are written now does not change what is kept.
            (r#"{"processing":18446744073709551615}"#, now(None, None, 7), now(None, None, i64::MAX - 1), &there),
        ] {
            assert_eq!(value(ttl, written, read), *expected, "{ttl} {written:?} {read:?}");
        }
        assert_eq!(table("null").live(now(Some(9), None, 9), b"short"), Some(&b"short"[..]));
        assert_eq!(table(r#"{"event":1}"#).live(Now::UNKNOWN, b"short"), None);
        assert!(serde_json::from_str::<Ttl>(r#"{"event":0}"#).is_err());
    }
}
