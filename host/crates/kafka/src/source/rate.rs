//! The per-partition rate limit: a token bucket.

use std::time::Instant;

/// Tokens that may be saved up, as a share of a second's: a limited source is smooth, not one burst a second.
const BURST_SECONDS: f64 = 0.1;

/// Permission to read one record is one token.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    /// An empty bucket at `now`.
    pub(super) fn new(per_second: u64, now: Instant) -> Self {
        Self { per_second: per_second as f64, tokens: 0.0, filled_at: now }
    }

    /// Whole tokens that are there at `now`.
    pub(super) fn available(&mut self, now: Instant) -> usize {
        let seconds = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let most = (self.per_second * BURST_SECONDS).max(1.0);
        self.tokens = (self.tokens + self.per_second * seconds).min(most);
        self.filled_at = now;
        // The sum of many fractions may end just below a whole number.
        (self.tokens + 1e-6) as usize
    }

    /// Takes tokens.
    pub(super) fn spend(&mut self, tokens: usize) {
        self.tokens = (self.tokens - tokens as f64).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_rate_holds_and_is_smooth() {
        for (rate, tick_ms) in [(1000, 20), (1000, 7), (1000, 5), (30, 5), (3, 20), (250_000, 20), (1, 20)] {
            let start = Instant::now();
            let mut bucket = Bucket::new(rate, start);
            let mut taken = 0;
            for tick in 1..=(20_000 / tick_ms) {
                let now = start + Duration::from_millis(tick * tick_ms);
                let tokens = bucket.available(now);
                assert!(tokens as u64 <= (rate / 10).max(1), "no burst");
                bucket.spend(tokens);
                taken += tokens as u64;
            }
            let want = rate * 20;
            assert!(taken <= want && taken + want / 10 >= want, "{rate}/s every {tick_ms} ms: {taken} of {want}");
        }
    }

    #[test]
    fn time_that_was_not_used_is_not_saved_up() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, start);
        assert_eq!(bucket.available(start + Duration::from_secs(60)), 100);
        bucket.spend(30);
        assert_eq!(bucket.available(start + Duration::from_secs(60)), 70);
    }
}
