//! What a topic takes: every setting by which a broker refuses a record, read at once.

use std::collections::BTreeMap;

use rdkafka::error::RDKafkaErrorCode;
use weir_core::ports::{RecordLimit, TimestampLimit};

use crate::admin::{Admin, settled};
use crate::error::Error;
use crate::options::ClientOptions;

/// What a record costs on the wire besides key, value and headers: the head of a batch of one, and at most so much for
/// its own varints. Kafka's `RECORD_BATCH_OVERHEAD` and `MAX_RECORD_OVERHEAD`.
pub(crate) const WIRE_BYTES: usize = 61 + 21;

const MESSAGE_BYTES: &str = "max.message.bytes";
const CLEANUP: &str = "cleanup.policy";
const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const BEFORE: &str = "message.timestamp.before.max.ms";
const AFTER: &str = "message.timestamp.after.max.ms";
/// For both ways, before Kafka 4.0.
const DIFFERENCE: &str = "message.timestamp.difference.max.ms";

/// The settings that are asked for.
pub(crate) const SETTINGS: [&str; 6] = [MESSAGE_BYTES, CLEANUP, TIMESTAMP_TYPE, BEFORE, AFTER, DIFFERENCE];

/// What one topic takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicLimits {
    /// `max.message.bytes`: the largest record batch.
    pub message_bytes: usize,
    /// A compacted topic takes no record without a key.
    pub needs_key: bool,
    /// How far timestamps may be from the broker's clock; `None` where the broker sets them itself.
    pub timestamps: Option<TimestampLimit>,
}

/// What each topic takes, by its name.
pub type Limits = BTreeMap<String, TopicLimits>;

/// Asks the broker what `topics` take; a missing topic is an error that names it.
pub fn topic_limits(options: &ClientOptions, topics: &[String]) -> Result<Limits, Error> {
    let admin = Admin::open(options)?;
    settled(|| read(&admin, topics))
}

fn read(admin: &Admin, topics: &[String]) -> Result<Limits, Error> {
    let mut limits = Limits::new();
    for (topic, settings, code) in admin.topic_settings(topics, &SETTINGS)? {
        let operation = || format!("read the settings of topic {topic:?} (which needs the right DescribeConfigs)");
        match code {
            RDKafkaErrorCode::NoError => {}
            RDKafkaErrorCode::UnknownTopicOrPartition => return Err(Error::TopicMissing { topic }),
            code => return Err(admin.explain(operation(), code)),
        }
        let found = TopicLimits::of(&settings);
        let found = found.ok_or_else(|| Error::call(operation(), RDKafkaErrorCode::Partial))?;
        limits.insert(topic, found);
    }
    Ok(limits)
}

impl TopicLimits {
    /// What `settings` say; `None` where they lack what every broker has.
    fn of(settings: &BTreeMap<String, String>) -> Option<Self> {
        let set = |key: &str| settings.get(key).map(String::as_str);
        // Brokers that know the newer two settings follow the older one where those say "any".
        let most = |key: &str| {
            let most = |key: &str| set(key).and_then(|ms| ms.parse::<i64>().ok());
            most(key).filter(|ms| *ms != i64::MAX).or_else(|| most(DIFFERENCE)).unwrap_or(i64::MAX)
        };
        let (behind_ms, ahead_ms) = (most(BEFORE), most(AFTER));
        let is_any = behind_ms == i64::MAX && ahead_ms == i64::MAX;
        let is_stamped = set(TIMESTAMP_TYPE) == Some("LogAppendTime");
        Some(Self {
            message_bytes: set(MESSAGE_BYTES)?.parse().ok()?,
            needs_key: set(CLEANUP)?.split(',').any(|policy| policy.trim() == "compact"),
            timestamps: (!is_any && !is_stamped).then_some(TimestampLimit { behind_ms, ahead_ms }),
        })
    }

    /// The same for whoever makes records. `margin_ms` is how far this machine's clock may be from the broker's.
    pub(crate) fn record_limit(&self, topic: &str, margin_ms: i64) -> RecordLimit {
        let narrow = |ms: i64| if ms == i64::MAX { ms } else { (ms - margin_ms).max(0) };
        RecordLimit {
            sink: format!("topic {topic:?}"),
            bytes: self.message_bytes.saturating_sub(WIRE_BYTES),
            setting: format!(
                "{MESSAGE_BYTES} = {}, of which {WIRE_BYTES} go to what surrounds a record",
                self.message_bytes
            ),
            needs_key: self.needs_key,
            timestamps: self
                .timestamps
                .map(|limit| TimestampLimit { behind_ms: narrow(limit.behind_ms), ahead_ms: narrow(limit.ahead_ms) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(settings: &[(&str, &str)]) -> Option<TopicLimits> {
        TopicLimits::of(&settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    const ANY: &str = "9223372036854775807";

    #[test]
    fn settings_become_limits() {
        let base = [(MESSAGE_BYTES, "1048588"), (CLEANUP, "delete"), (TIMESTAMP_TYPE, "CreateTime")];
        let with = |more: &[(&'static str, &'static str)]| limits(&[&base[..], more].concat()).unwrap();
        let window = |behind_ms, ahead_ms| Some(TimestampLimit { behind_ms, ahead_ms });
        let kafka4 = with(&[(BEFORE, ANY), (AFTER, "3600000")]);
        assert_eq!(
            kafka4,
            TopicLimits { message_bytes: 1_048_588, needs_key: false, timestamps: window(i64::MAX, 3_600_000) }
        );
        assert_eq!(with(&[(DIFFERENCE, ANY)]).timestamps, None);
        assert_eq!(with(&[(DIFFERENCE, "1000")]).timestamps, window(1_000, 1_000));
        assert_eq!(with(&[(BEFORE, ANY), (AFTER, "5"), (DIFFERENCE, "1000")]).timestamps, window(1_000, 5));
        assert_eq!(with(&[(AFTER, "5"), (TIMESTAMP_TYPE, "LogAppendTime")]).timestamps, None);
        assert!(with(&[(CLEANUP, "delete,compact")]).needs_key && with(&[(CLEANUP, "compact")]).needs_key);
        assert_eq!(limits(&[(CLEANUP, "delete")]), None, "every topic has a size");
    }

    #[test]
    fn a_margin_narrows_what_is_bounded() {
        let limits = TopicLimits {
            message_bytes: 1_000,
            needs_key: false,
            timestamps: Some(TimestampLimit { behind_ms: i64::MAX, ahead_ms: 90_000 }),
        };
        let limit = limits.record_limit("t", 60_000);
        assert_eq!(limit.bytes, 1_000 - WIRE_BYTES);
        assert_eq!(limit.timestamps, Some(TimestampLimit { behind_ms: i64::MAX, ahead_ms: 30_000 }));
    }
}
