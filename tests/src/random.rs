//! Random moments, from a seed that a failure shows: `WEIR_SEED=..` repeats the run.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A source of random numbers (SplitMix64).
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// From `WEIR_SEED`, else from a fresh seed.
    pub fn new() -> Self {
        let given = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        Self { seed, state: seed }
    }

    /// From `seed`: the same numbers each time.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// What to set `WEIR_SEED` to.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// A time from `least` up to `most`.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let part = self.number() >> 11;
        least + most.saturating_sub(least).mul_f64(part as f64 / (1_u64 << 53) as f64)
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}
