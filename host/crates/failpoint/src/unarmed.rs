//! Without crash points: nothing is reached, nothing fails; and nobody can ask whether a rule is broken.

use std::fmt;
use std::path::Path;

/// Never made: no step fails because a test says so.
#[derive(Debug, Clone, Copy)]
pub enum Injected {}

impl fmt::Display for Injected {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for Injected {}

/// Nothing; see the macro `crash_point!`.
#[inline(always)]
pub const fn reach(_: &'static str) -> Result<(), Injected> {
    Ok(())
}

/// Nothing.
#[inline(always)]
pub const fn synced(_: &Path, _: u64) {}
