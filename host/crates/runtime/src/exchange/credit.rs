//! What one task may have under way to the tasks of the next stage, in bytes, all of them together: with one bound for
//! each pair of tasks the memory of an exchange would grow with the square of the parallelism.
//!
//! No task waits for ever: what it has under way is taken by its receivers, but for those that have its barrier and wait
//! for that of another task, whose way is not closed by this one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The credit of one sender.
pub(crate) struct Credit {
    used: Mutex<usize>,
    room: Condvar,
    bytes_max: usize,
}

impl Credit {
    /// Nothing is under way yet.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used: Mutex::new(0), room: Condvar::new(), bytes_max }
    }

    /// Waits for room for `bytes`. A sender that has nothing under way may send whatever it has; what has no size goes
    /// at once.
    pub(super) fn take(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let is_full = |used: &mut usize| *used > 0 && *used + bytes > self.bytes_max;
        let mut used = self.room.wait_while(self.lock(), is_full).unwrap_or_else(PoisonError::into_inner);
        *used += bytes;
    }

    /// `bytes` are no longer under way.
    pub(super) fn give(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut used = self.lock();
        *used = used.saturating_sub(bytes);
        drop(used);
        // One sender has one credit.
        self.room.notify_one();
    }

    /// Nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
