//! Counts what cannot leave memory: what the store does not hold yet.

use std::collections::VecDeque;

/// The epoch of an entry that changed since the last barrier.
pub(super) const ACTIVE: u64 = u64::MAX;

/// Bytes that cannot be dropped, by the epoch that changed them.
#[derive(Default)]
pub(super) struct Pinned {
    active: u64,
    /// Oldest first; an epoch goes when RocksDB has it.
    sealed: VecDeque<(u64, u64)>,
    /// Of all.
    bytes: u64,
}

impl Pinned {
    /// Bytes that cannot be dropped.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// An entry of `epoch`, 0 for a new one, is changed: it belongs to the active overlay now.
    pub(super) fn change(&mut self, epoch: u64, before: u64, after: u64) {
        if epoch == ACTIVE {
            (self.active, self.bytes) = (self.active - before, self.bytes - before);
        } else if let Ok(at) = self.sealed.binary_search_by_key(&epoch, |sealed| sealed.0)
            && let Some(sealed) = self.sealed.get_mut(at)
        {
            (sealed.1, self.bytes) = (sealed.1 - before, self.bytes - before);
        }
        (self.active, self.bytes) = (self.active + after, self.bytes + after);
    }

    /// The active overlay becomes that of `epoch`.
    pub(super) fn seal(&mut self, epoch: u64) {
        self.sealed.push_back((epoch, std::mem::take(&mut self.active)));
    }

    /// RocksDB has everything up to `applied`.
    pub(super) fn release(&mut self, applied: u64) {
        while let Some((_, bytes)) = self.sealed.pop_front_if(|(epoch, _)| *epoch <= applied) {
            self.bytes -= bytes;
        }
    }
}
