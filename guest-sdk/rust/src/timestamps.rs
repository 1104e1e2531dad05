//! HOT PATH. When records were made, for a source that asks a plugin.

use crate::failure::Failure;
use crate::frame::Frame;
use crate::record::Record;

/// Says when records were made, where neither the record itself, a header nor a place in JSON does.
///
/// ```
/// use weir_sdk::{Failure, Record, Timestamps};
///
/// /// Lines like `1700000000.250 GET /`.
/// struct Log;
///
/// impl Timestamps for Log {
///     fn timestamp(record: &Record<'_>) -> Result<Option<i64>, Failure> {
///         let text = str::from_utf8(record.value().unwrap_or_default())?;
///         let seconds = text.split(' ').next().and_then(|time| time.parse::<f64>().ok());
///         Ok(seconds.map(|seconds| (seconds * 1_000.0) as i64))
///     }
/// }
///
/// weir_sdk::timestamps!(Log);
/// # fn main() -> Result<(), Failure> {
/// let record = Record::new(None, Some(b"1700000000.250 GET /"));
/// assert_eq!(Log::timestamp(&record)?, Some(1_700_000_000_250));
/// # Ok(())
/// # }
/// ```
pub trait Timestamps {
    /// Milliseconds since 1970; `None` where the record has no time. It depends on the record alone. A failure says why there is
    /// none, at the price of a few calls more.
    fn timestamp(record: &Record<'_>) -> Result<Option<i64>, Failure>;
}

/// The arguments and the result are those of `timestamps.timestamps` in `wit/`.
pub fn timestamps<T: Timestamps>(batch: &[u8]) -> Result<Vec<i64>, Failure> {
    let mut frame = Frame::new(batch)?;
    let mut all = Vec::with_capacity(frame.len());
    while let Some(record) = frame.next()? {
        let at = T::timestamp(&record).map_err(|failure| Failure { index: Some(all.len() as u32), ..failure })?;
        all.push(at.unwrap_or(i64::MIN));
    }
    Ok(all)
}

/// Exports [`Timestamps`] as a Weir plugin, beside an [`crate::Operator`] or alone. Does nothing in a native build.
#[macro_export]
macro_rules! timestamps {
    ($timestamps:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings;

            struct Stamps;

            impl bindings::timestamps::Guest for Stamps {
                fn timestamps(
                    batch: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<i64>, bindings::Failure> {
                    bindings::timestamps_of::<$timestamps>(&batch)
                }
            }

    bindings::stamping::export_timestamps_of!(Stamps with_types_in bindings::stamping);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Message, wire};

    struct ByValue;

    impl Timestamps for ByValue {
        fn timestamp(record: &Record<'_>) -> Result<Option<i64>, Failure> {
            match record.value() {
                Some(b"bad") => Err(Failure::new("it is bad").with_code(100)),
                value => Ok(value.and_then(|value| str::from_utf8(value).ok()?.parse().ok())),
            }
        }
    }

    #[test]
    fn each_record_has_its_own_and_a_failure_says_whose_it_is() {
        let ask = |values: &[&str]| {
            let batch: Vec<Message> = values.iter().map(|value| Message::new("key", value)).collect();
            timestamps::<ByValue>(&wire::frame(&batch))
        };
        assert_eq!(ask(&["5", "none", "-1"]).unwrap(), [5, i64::MIN, -1]);
        assert!(ask(&[]).unwrap().is_empty());
        let failure = ask(&["5", "bad"]).unwrap_err();
        assert_eq!((failure.index, failure.code), (Some(1), 100));
    }
}
