//! HOT PATH. Updates, as `wit/FRAME.md` specifies them, and the records that are rejected among them.

use crate::failure::Failure;
use crate::state::StateValue;

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

/// Updates that are sent as they were made: what the current record added can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    updates: Vec<u8>,
    /// How many bytes of them are of records before the current one.
    before: usize,
}

impl Queue {
    /// Begins a call.
    pub(crate) fn clear(&mut self) {
        self.updates.clear();
        self.before = 0;
    }

    /// Goes on to the next record of the batch.
    #[inline]
    pub(crate) fn next_record(&mut self) {
        self.before = self.updates.len();
    }

    /// Takes back what the current record has added.
    pub(crate) fn undo(&mut self) {
        self.updates.truncate(self.before);
    }

    /// Adds an update of this slot and table.
    #[inline]
    pub(crate) fn push(&mut self, op: u8, (slot, table): (u32, u32), bytes: &[u8]) {
        push_update(&mut self.updates, op, table, slot, bytes);
    }

    /// The same with a value.
    #[inline]
    pub(crate) fn push_value(&mut self, op: u8, place: (u32, u32), value: &impl StateValue) -> Result<(), Failure> {
        let at = self.updates.len();
        self.push(op, place, &[]);
        value.encode(&mut self.updates)?;
        let len = (self.updates.len() - at - UPDATE_BYTES) as u32;
        if let Some(of_update) = self.updates.get_mut(at + UPDATE_BYTES - 4..at + UPDATE_BYTES) {
            of_update.copy_from_slice(&len.to_le_bytes());
        }
        Ok(())
    }

    /// Appends the updates of the batch.
    pub(crate) fn push_updates(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.updates);
    }
}

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
