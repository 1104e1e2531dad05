//! HOT PATH. What a sink takes. It is asked before a record is handed over: a record that the sink's own service would
//! refuse is then that record's failure, by the policy of the operator that made it, and not the failure of a batch.

use std::fmt::Debug;
use std::sync::Arc;

use super::route::{Route, RouteTable};
use crate::frame::{NO_TIMESTAMP, RecordView};

/// What a broker takes for the timestamp of a record that has none.
const NO_TIMESTAMP_THERE: i64 = -1;

/// What is asked of each record before one sink is given it.
#[derive(Debug, Clone)]
pub enum RecordCheck {
    /// Whether it is within these limits, and asks to go nowhere else.
    Limit(RecordLimit),
    /// Whether it may go where it asks to.
    Routes(RouteTable),
    /// The same for a record of somebody who does not route: within the limits of the sink's own topic, and nowhere else.
    Unrouted(RecordLimit),
    /// Whether it can be written at all, in the form that the sink writes.
    Form {
        /// The sink, for people, as in `stdout`.
        sink: String,
        /// The form.
        form: Arc<dyn RecordForm>,
    },
}

/// A form that some records cannot be written in, without regard to what the sink's service would take.
pub trait RecordForm: Debug + Send + Sync {
    /// Whether `record` can be; otherwise what does not fit, and what would.
    fn check(&self, record: &RecordView<'_>) -> Result<(), String>;
}

impl RecordCheck {
    /// The same for a plugin that does not declare `routes`: what it passes on may have been another one's word.
    pub fn without_routes(self) -> Self {
        match &self {
            Self::Routes(routes) => routes.own().map_or(self.clone(), |own| Self::Unrouted(own.limit.clone())),
            Self::Limit(_) | Self::Unrouted(_) | Self::Form { .. } => self,
        }
    }

    /// Whether the sink takes `record`, at `now_ms` by this machine's clock.
    #[inline]
    pub fn check(&self, record: &RecordView<'_>, now_ms: i64) -> Result<(), Unfit> {
        match self {
            Self::Limit(limit) => match Route::of(record) {
                None => limit.check(record, now_ms),
                Some(_) => Err(Unfit::NoRoutes { sink: limit.sink.clone() }),
            },
            Self::Routes(routes) => routes.check(record, now_ms),
            Self::Unrouted(limit) => match Route::of(record) {
                None => limit.check(record, now_ms),
                Some(_) => Err(Unfit::NoRouter { sink: limit.sink.clone() }),
            },
            Self::Form { sink, form } => {
                form.check(record).map_err(|reason| Unfit::NoForm { sink: sink.clone(), reason })
            }
        }
    }
}

/// What one sink says of the records it takes, by numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLimit {
    /// The sink, for people, as in `topic "orders"`.
    pub sink: String,
    /// The largest record: key, value and headers as they stand in a frame, in bytes.
    pub bytes: usize,
    /// The setting that `bytes` comes from, for people, as in `max.message.bytes = 1048588`.
    pub setting: String,
    /// True where a record without a key is refused.
    pub needs_key: bool,
    /// How far timestamps may be from the clock; `None`: any.
    pub timestamps: Option<TimestampLimit>,
}

/// How far a timestamp may be from the clock, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampLimit {
    /// Behind it, in milliseconds.
    pub behind_ms: i64,
    /// Ahead of it, in milliseconds.
    pub ahead_ms: i64,
}

impl RecordLimit {
    /// Whether `record` is within, at `now_ms` by this machine's clock.
    #[inline]
    pub fn check(&self, record: &RecordView<'_>, now_ms: i64) -> Result<(), Unfit> {
        let is_large = record.bytes() > self.bytes;
        let lacks_key = self.needs_key && record.key.is_none();
        let is_off = self.timestamps.is_some_and(|limit| !limit.holds(record.timestamp_ms, now_ms));
        if is_large || lacks_key || is_off {
            return Err(self.why(record, now_ms));
        }
        Ok(())
    }

    #[cold]
    fn why(&self, record: &RecordView<'_>, now_ms: i64) -> Unfit {
        let sink = self.sink.clone();
        match self.timestamps {
            _ if self.needs_key && record.key.is_none() => Unfit::NoKey { sink },
            Some(limit) if !limit.holds(record.timestamp_ms, now_ms) => {
                let timestamp_ms = record.timestamp_ms;
                match timestamp_ms > now_ms {
                    true => Unfit::Ahead { sink, timestamp_ms, most_ms: limit.ahead_ms },
                    false => Unfit::Behind { sink, timestamp_ms, most_ms: limit.behind_ms },
                }
            }
            _ => Unfit::Large { sink, bytes: record.bytes(), setting: self.setting.clone() },
        }
    }
}

impl TimestampLimit {
    /// As a broker reckons: with differences that wrap, and no word on a record without a timestamp.
    #[inline]
    fn holds(self, timestamp_ms: i64, now_ms: i64) -> bool {
        let behind_ms = now_ms.wrapping_sub(timestamp_ms);
        matches!(timestamp_ms, NO_TIMESTAMP | NO_TIMESTAMP_THERE)
            || (behind_ms <= self.behind_ms && behind_ms.wrapping_neg() <= self.ahead_ms)
    }
}

/// Why a sink does not take a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is larger than the sink allows.
    #[error(
        "an output record of {bytes} bytes (key, value and headers, before compression) is too large: {sink} has {setting}"
    )]
    Large {
        /// The sink.
        sink: String,
        /// Key, value and headers.
        bytes: usize,
        /// The setting that says so.
        setting: String,
    },
    /// It has no key.
    #[error("an output record has no key: {sink} is compacted, and keeps the newest record of each key")]
    NoKey {
        /// The sink.
        sink: String,
    },
    /// It asks to go where the sink does not let it.
    #[error("an output record cannot be routed from {sink}: {reason}")]
    Route {
        /// The sink.
        sink: String,
        /// What it asks for.
        reason: String,
    },
    /// It asks to go somewhere, and the sink has only itself.
    #[error(
        "an output record has a header weir.route.*, and {sink} is a sink without `routes`: name the topics there that \
         its records may go to, or leave the header out"
    )]
    NoRoutes {
        /// The sink.
        sink: String,
    },
    /// It asks to go somewhere, and whoever made it does not say that it routes.
    #[error(
        "an output record has a header weir.route.*, and its plugin does not declare that it routes records to {sink}: \
         declare `routes` in its description, or leave the header out"
    )]
    NoRouter {
        /// The sink.
        sink: String,
    },
    /// It has no form there.
    #[error("an output record does not fit {sink}: {reason}")]
    NoForm {
        /// The sink.
        sink: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// Its timestamp is too far in the future.
    #[error(
        "an output record has the timestamp {timestamp_ms}: {sink} takes none more than {most_ms} ms ahead of the clock \
         (message.timestamp.after.max.ms); are these milliseconds since 1970?"
    )]
    Ahead {
        /// The sink.
        sink: String,
        /// Its timestamp.
        timestamp_ms: i64,
        /// What is allowed.
        most_ms: i64,
    },
    /// Its timestamp is too far in the past.
    #[error(
        "an output record has the timestamp {timestamp_ms}: {sink} takes none more than {most_ms} ms behind the clock \
         (message.timestamp.before.max.ms); are these milliseconds since 1970?"
    )]
    Behind {
        /// The sink.
        sink: String,
        /// Its timestamp.
        timestamp_ms: i64,
        /// What is allowed.
        most_ms: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn limit() -> RecordLimit {
        RecordLimit {
            sink: "topic \"t\"".to_owned(),
            bytes: 10,
            setting: "max.message.bytes = 92".to_owned(),
            needs_key: true,
            timestamps: Some(TimestampLimit { behind_ms: i64::MAX, ahead_ms: 1_000 }),
        }
    }

    fn record(key: Option<&'static [u8]>, value: &'static [u8], timestamp_ms: i64) -> RecordView<'static> {
        RecordView { timestamp_ms, source: 0, key, value: Some(value), headers: &[] }
    }

    #[test]
    fn each_limit_is_told_by_its_name() {
        let cases = [
            (record(Some(b"k"), b"123456789", NOW + 1_000), None),
            (
                record(Some(b"k"), b"1234567890", NOW),
                Some("11 bytes (key, value and headers, before compression) is too large"),
            ),
            (record(None, b"v", NOW), Some("topic \"t\" is compacted")),
            (record(Some(b""), b"v", NOW), None),
            (record(Some(b"k"), b"v", NOW + 1_001), Some("more than 1000 ms ahead")),
            (record(Some(b"k"), b"v", NOW * 1_000), Some("message.timestamp.after.max.ms")),
            (record(Some(b"k"), b"v", 0), None),
            (record(Some(b"k"), b"v", NO_TIMESTAMP), None),
        ];
        for (record, wanted) in cases {
            let said = limit().check(&record, NOW).err().map(|unfit| unfit.to_string());
            let agrees = match wanted {
                None => said.is_none(),
                Some(wanted) => said.as_ref().is_some_and(|said| said.contains(wanted)),
            };
            assert!(agrees, "{record:?}: {said:?}, wanted {wanted:?}");
        }
    }

    #[test]
    fn a_form_says_itself_what_it_cannot_hold() {
        #[derive(Debug)]
        struct Keyed;
        impl RecordForm for Keyed {
            fn check(&self, record: &RecordView<'_>) -> Result<(), String> {
                record.key.map(drop).ok_or_else(|| "it has no key".to_owned())
            }
        }
        let check = RecordCheck::Form { sink: "stdout".to_owned(), form: Arc::new(Keyed) };
        assert_eq!(check.check(&record(Some(b"k"), b"v", NOW), NOW), Ok(()));
        let said = check.check(&record(None, b"v", NOW), NOW).unwrap_err().to_string();
        assert_eq!(said, "an output record does not fit stdout: it has no key");
    }

    #[test]
    fn timestamps_are_compared_as_the_broker_does() {
        let week = TimestampLimit { behind_ms: 7 * 24 * 3_600_000, ahead_ms: i64::MAX };
        assert!(week.holds(NOW - week.behind_ms, NOW) && week.holds(i64::MAX, NOW));
        assert!(!week.holds(NOW - week.behind_ms - 1, NOW) && !week.holds(0, NOW) && !week.holds(-2, NOW));
        assert!(week.holds(-1, NOW) && week.holds(NO_TIMESTAMP, NOW), "nothing to compare");
        let any = TimestampLimit { behind_ms: i64::MAX, ahead_ms: i64::MAX };
        assert!(any.holds(-5, NOW) && any.holds(i64::MAX, NOW));
    }
}
