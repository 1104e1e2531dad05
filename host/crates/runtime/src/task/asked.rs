//! HOT PATH. Timestamps that a plugin is asked for. Where it fails on a batch it is asked for the halves of that, down to the
//! record at fault, which then has none: what is wrong with it is for the policy to judge, as with any that has no time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use weir_core::frame::NO_TIMESTAMP;
use weir_core::ports::{CallError, Timestamps};
use weir_core::{Batch, PortError};

/// What a call is given at most, unless one record has more.
const CALL_BYTES_MAX: usize = 1 << 20;

/// What the plugin says of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The timestamp of each record.
    pub(super) timestamps: Vec<i64>,
    /// Why some have none, by their index.
    pub(super) failed: BTreeMap<usize, String>,
}

/// Asks for the timestamps of `batch`. Fails where the host could not ask.
pub(super) fn ask(plugin: &mut dyn Timestamps, batch: &Batch) -> Result<Told, PortError> {
    let (mut told, mut rest) = (Told::default(), vec![Cow::Borrowed(batch)]);
    while let Some(part) = rest.pop() {
        let is_one = part.frame.len() <= 1;
        let answer = if is_one || part.frame.as_bytes().len() <= CALL_BYTES_MAX {
            Some(plugin.timestamps(&part.frame))
        } else {
            None
        };
        match answer {
            Some(Ok(mut timestamps)) => told.timestamps.append(&mut timestamps),
            Some(Err(CallError::Host(error))) => return Err(error),
            Some(Err(failure)) if is_one => {
                told.failed.insert(told.timestamps.len(), words(&failure));
                told.timestamps.push(NO_TIMESTAMP);
            }
            Some(Err(_)) | None => {
                let (first, second) = part.split_at(part.frame.len() / 2);
                rest.extend([second, first].map(Cow::Owned));
            }
        }
    }
    Ok(told)
}

/// A failure on one line, without the keys by which an operator's limits are set: a source has none.
fn words(failure: &CallError) -> String {
    match failure {
        CallError::Deadline { limit_ms } => format!("plugin call exceeded its deadline of {limit_ms} ms"),
        CallError::Memory { limit_bytes } => format!("plugin needs more than {limit_bytes} bytes of memory"),
        other => other.to_string().lines().map(str::trim).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use weir_core::{Fault, Frame, FrameWriter, Origin, RecordView};

    use super::*;

    /// The value is the time; fails on `bad`, and the host on `host`. Counts its calls.
    #[derive(Default)]
    struct Values(usize);

    impl Timestamps for Values {
        fn timestamps(&mut self, frame: &Frame) -> Result<Vec<i64>, CallError> {
            self.0 += 1;
            let time = |record: RecordView<'_>| match record.value {
                Some(b"bad") => Err(CallError::Failed { index: None, code: 100, message: "it is bad".to_owned() }),
                Some(b"host") => Err(CallError::Host(PortError::new(Fault::Transient, "no room"))),
                value => Ok(value.and_then(|v| str::from_utf8(v).ok()?.parse().ok()).unwrap_or(NO_TIMESTAMP)),
            };
            frame.records().map(time).collect()
        }
    }

    fn batch(values: &[&str]) -> Batch {
        let mut writer = FrameWriter::new(Vec::new());
        for (source, value) in (0..).zip(values) {
            writer.push(RecordView { timestamp_ms: 1, source, key: None, value: Some(value.as_bytes()), headers: &[] });
        }
        let origins = (0..values.len()).map(|at| Origin::new(0, at as i64)).collect();
        Batch { frame: writer.finish(), origins }
    }

    #[test]
    fn a_record_that_fails_costs_the_others_nothing() {
        for (values, timestamps, failed) in [
            (&["5", "6"][..], &[5, 6][..], &[][..]),
            (&["bad"], &[NO_TIMESTAMP], &[0]),
            (&["1", "bad", "3", "none", "bad"], &[1, NO_TIMESTAMP, 3, NO_TIMESTAMP, NO_TIMESTAMP], &[1, 4]),
        ] {
            let told = ask(&mut Values::default(), &batch(values)).unwrap();
            assert_eq!(told.timestamps, timestamps, "{values:?}");
            assert!(told.failed.keys().eq(failed), "{told:?}");
            assert!(told.failed.values().all(|why| why == "plugin returned failure 100: it is bad"), "{told:?}");
        }
        let error = ask(&mut Values::default(), &batch(&["1", "host"])).unwrap_err();
        assert_eq!(error.fault(), Fault::Transient);
    }

    #[test]
    fn one_of_many_is_found_in_few_calls() {
        let mut values = vec!["7"; 1_000];
        values[700] = "bad";
        let mut plugin = Values::default();
        assert!(ask(&mut plugin, &batch(&values)).unwrap().failed.keys().eq(&[700]));
        assert!(plugin.0 <= 22, "{} calls", plugin.0);
    }

    #[test]
    fn large_batches_are_asked_for_in_parts() {
        let large = " ".repeat(600_000);
        let mut plugin = Values::default();
        ask(&mut plugin, &batch(&[&large, &large, &large])).unwrap();
        assert_eq!(plugin.0, 3, "none of them goes with another");
    }
}
