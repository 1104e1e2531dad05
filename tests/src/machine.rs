//! Who may use the machine: tests that claim times run alone, the others beside each other.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// Until the guard is dropped, no test that needs the machine for itself runs.
pub fn shared() -> RwLockReadGuard<'static, ()> {
    // A test that failed leaves nothing behind that matters to the next one.
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Until the guard is dropped, no other test of this program runs.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}
