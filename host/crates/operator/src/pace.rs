//! How long records take, and so how many of them fit a span of time. Pure: whoever measures hands the times in.

use std::time::Duration;

/// How many records are tried as long as nothing is known: few, because a record may take long.
pub const FIRST_RECORDS: usize = 16;
/// How many times as many as ever went at once may be tried: a few records may have gone somewhere where they only wait.
const GROWTH: usize = 4;

/// An estimate of the time a record needs. It falls fast and rises slowly: a machine that was busy elsewhere for a moment
/// says little about the next call.
#[derive(Debug, Default, Clone, Copy)]
pub struct Pace {
    ns_per_record: Option<u64>,
    /// The most records that ever went at once.
    proven: usize,
}

impl Pace {
    /// So many records took so long.
    pub fn took(&mut self, records: usize, elapsed: Duration) {
        let seen = each(records, elapsed);
        self.proven = self.proven.max(records);
        self.ns_per_record = Some(match self.ns_per_record {
            None => seen,
            Some(known) if seen < known => known.midpoint(seen),
            Some(known) => known + (seen - known) / 4,
        });
    }

    /// So many records took longer than that: they were cut off. How much longer nobody knows, and every guess that is
    /// too low costs as much again.
    pub fn took_longer_than(&mut self, records: usize, elapsed: Duration) {
        self.ns_per_record = self.ns_per_record.max(Some(each(records, elapsed).saturating_mul(4)));
    }

    /// How many records fit `span`; at least one.
    pub fn records_in(self, span: Duration) -> usize {
        let Some(ns_per_record) = self.ns_per_record else { return FIRST_RECORDS };
        let records = span.as_nanos() / u128::from(ns_per_record.max(1));
        let most = self.proven.saturating_mul(GROWTH).max(FIRST_RECORDS);
        usize::try_from(records).unwrap_or(usize::MAX).clamp(1, most)
    }
}

fn each(records: usize, elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() / (records.max(1) as u128)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Duration = Duration::from_millis(20);

    /// The sizes of calls on 1,024 records that take `each`, with a deadline of a second.
    fn calls(pace: &mut Pace, each: Duration) -> Vec<usize> {
        let (mut left, mut calls) = (1_024_usize, Vec::new());
        while left > 0 {
            let records = pace.records_in(CALL).min(left);
            let needed = each * records as u32;
            if needed > Duration::from_secs(1) {
                assert!(records > 1, "a single record that is legal is never cut off");
                pace.took_longer_than(records, Duration::from_secs(1));
                continue;
            }
            pace.took(records, needed);
            calls.push(records);
            left -= records;
        }
        calls
    }

    #[test]
    fn calls_stay_short_whatever_a_record_takes() {
        for micros in [0, 1, 10, 100, 1_000, 5_000, 10_000, 100_000, 900_000] {
            let (mut pace, each) = (Pace::default(), Duration::from_micros(micros));
            calls(&mut pace, each);
            let settled = calls(&mut pace, each);
            let longest = settled.iter().max().copied().unwrap_or_default();
            assert!(each * longest as u32 <= CALL.max(each), "{micros} us a record: calls of {longest}");
            let fewest = 1_024_u128.div_ceil((CALL.as_nanos() / each.as_nanos().max(1)).clamp(1, 1_024));
            assert!(settled.len() as u128 <= 2 * fewest + 1, "{micros} us a record: {} calls", settled.len());
        }
    }

    #[test]
    fn what_goes_at_once_grows_step_by_step() {
        let mut pace = Pace::default();
        let sizes = std::iter::repeat_with(|| {
            let records = pace.records_in(CALL);
            pace.took(records, Duration::ZERO);
            records
        });
        let sizes: Vec<_> = sizes.take(5).collect();
        assert_eq!(sizes, [16, 64, 256, 1_024, 4_096]);
    }

    #[test]
    fn a_share_of_the_time_grows_however_many_share_it() {
        for inputs in [1, 4, 16, 64] {
            let (mut pace, mut each) = (Pace::default(), (FIRST_RECORDS / inputs).max(1));
            for _ in 0..8 {
                pace.took(each, Duration::from_micros(1));
                each = pace.records_in(Duration::from_millis(500) / inputs as u32);
            }
            assert!(each >= 1_024, "{inputs} inputs: {each} records each");
        }
    }

    #[test]
    fn a_plugin_that_becomes_slow_is_cut_off_once() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.took(1_024, Duration::from_millis(1)));
        assert!(pace.records_in(CALL) >= 1_024);
        pace.took(1_024, CALL * 2);
        assert!(pace.records_in(CALL) >= 1_024, "one slow call does not cut the next");
        pace.took_longer_than(1_024, Duration::from_secs(1));
        assert!(pace.records_in(CALL) <= 20);
    }
}
