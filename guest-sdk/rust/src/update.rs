//! HOT PATH. Updates, as `wit/FRAME.md` specifies them, and the records that are rejected among them.

use crate::failure::Failure;

/// Bytes of an update before its own.
pub(crate) const UPDATE_BYTES: usize = 13;
/// A value becomes these bytes.
pub(crate) const OP_SET: u8 = 1;
const OP_REJECT: u8 = 3;

/// The longest message of a rejection, as long as there are few.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Beyond so many bytes of rejections, messages are cut short: what a call may hand over is bounded, and so is memory.
const LONG_MESSAGES_BYTES: usize = 1 << 20;
const SHORT_MESSAGE_BYTES_MAX: usize = 128;

/// Appends an update.
#[inline]
pub(crate) fn push_update(out: &mut Vec<u8>, op: u8, table: u32, slot: u32, bytes: &[u8]) {
    let mut fixed = [0u8; UPDATE_BYTES];
    fixed[0] = op;
    fixed[1..5].copy_from_slice(&table.to_le_bytes());
    fixed[5..9].copy_from_slice(&slot.to_le_bytes());
    fixed[9..13].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(bytes);
}

/// Appends the rejection of `record`, whose effects are undone.
#[cold]
pub(crate) fn push_reject(out: &mut Vec<u8>, record: u32, failure: &Failure) {
    let bytes_max = if out.len() < LONG_MESSAGES_BYTES { MESSAGE_BYTES_MAX } else { SHORT_MESSAGE_BYTES_MAX };
    let message = failure.message.get(..failure.message.floor_char_boundary(bytes_max)).unwrap_or_default();
    push_update(out, OP_REJECT, failure.code, record, message.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_bounded_also_together() {
        let (failure, mut out) = (Failure::new("ä".repeat(1 << 20)), Vec::new());
        (0..40_000).for_each(|record| push_reject(&mut out, record, &failure));
        assert!(out.len() < 8 << 20, "{} bytes", out.len());
        let updates = crate::testing::wire::updates(&out).unwrap();
        assert_eq!(
            (updates.len(), updates[0].value.unwrap().len(), updates[39_999].value.unwrap().len()),
            (40_000, 4096, 128)
        );
    }
}
