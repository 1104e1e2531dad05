//! What time it is outside.

use std::time::UNIX_EPOCH;

/// Milliseconds since 1970; negative before it.
pub(crate) fn now_ms() -> i64 {
    let milliseconds = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match weir_machine::wall().duration_since(UNIX_EPOCH) {
        Ok(since) => milliseconds(since),
        Err(before) => -milliseconds(before.duration()),
    }
}
