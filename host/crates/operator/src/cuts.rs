//! Which records of a batch go into the next call. Pure: it sees numbers only.
//!
//! Records are called from left to right, each in exactly one call that counts. A call that fails is narrowed down: to
//! what comes before the record that it names, and that record alone; or to its first half. Past a record that was given
//! up, records are called one by one until `ALONE` have gone well; then calls double. Where one record is bad the next
//! often is too, and a call of several that fails is work thrown away and costs an instance; a record that fails alone does
//! not. So n bad records take n calls and a few, and no call is ever larger than what went well just before it.

/// A new instance costs about as much as so many calls of one record: while bad records come closer than this, it is
/// cheaper to do without.
const ALONE: usize = 16;

/// Where the calls of one batch stand.
#[derive(Debug)]
pub(crate) struct Cuts {
    /// All records before this one are through.
    at: usize,
    /// Where calls must end, the nearest last; the first is the end of the batch. All are beyond `at`.
    ends: Vec<usize>,
    /// How many records the next call may have, because of what happened before it.
    reach: usize,
    /// How many records must still go well before `reach` grows.
    alone: usize,
}

impl Cuts {
    /// A batch of so many records, none of them through.
    pub(crate) fn new(records: usize) -> Self {
        let ends = if records == 0 { Vec::new() } else { vec![records] };
        Self { at: 0, ends, reach: usize::MAX, alone: 0 }
    }

    /// The first record of the next call.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How many records the next call has, at most `most`; `None` when all are through.
    pub(crate) fn next(&self, most: usize) -> Option<usize> {
        let end = self.ends.last()?;
        Some((end - self.at).min(self.reach).min(most).max(1))
    }

    /// A call of so many records went well.
    pub(crate) fn went_well(&mut self, records: usize) {
        self.advance(records);
        self.alone = self.alone.saturating_sub(records);
        if self.alone == 0 {
            self.reach = self.reach.saturating_mul(2);
        }
    }

    /// A call of one record failed: it was left to the policy.
    pub(crate) fn gave_up(&mut self) {
        self.advance(1);
        (self.reach, self.alone) = (1, ALONE);
    }

    /// A call of several records failed; `named` is the one at fault, counted within the call.
    pub(crate) fn narrow(&mut self, records: usize, named: Option<usize>) {
        match named.filter(|named| *named < records) {
            // Alone, so that the policy sees this record's own failure, with its own state, and sees that it is at fault.
            Some(named) => {
                self.end_after(named + 1);
                self.end_after(named);
            }
            None => self.end_after(records / 2),
        }
    }

    /// A call was not made because only its first `records` fit; the next ones will hardly take more.
    pub(crate) fn shorten(&mut self, records: usize) {
        self.end_after(records);
        self.reach = records;
    }

    fn end_after(&mut self, records: usize) {
        let end = self.at + records;
        if records > 0 && self.ends.last() != Some(&end) {
            self.ends.push(end);
        }
    }

    fn advance(&mut self, records: usize) {
        self.at += records;
        while self.ends.last().is_some_and(|end| *end <= self.at) {
            self.ends.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Calls until all is through: how many calls, how many records in them, and which records were given up.
    fn run(bad: &[bool], names_it: bool, most: usize) -> (usize, usize, Vec<usize>) {
        let mut cuts = Cuts::new(bad.len());
        let (mut calls, mut called, mut given_up, mut through) = (0, 0, Vec::new(), 0);
        while let Some(records) = cuts.next(most) {
            assert_eq!(cuts.at(), through, "from left to right, none twice");
            (calls, called) = (calls + 1, called + records);
            match bad[through..through + records].iter().position(|bad| *bad) {
                None => {
                    cuts.went_well(records);
                    through += records;
                }
                Some(_) if records == 1 => {
                    cuts.gave_up();
                    given_up.push(through);
                    through += 1;
                }
                Some(at) => cuts.narrow(records, names_it.then_some(at)),
            }
        }
        assert_eq!(through, bad.len());
        (calls, called, given_up)
    }

    #[test]
    fn bad_records_take_a_call_each_and_no_more_than_a_few_besides() {
        for names_it in [true, false] {
            for records in [1, 2, 1_024, 30_000] {
                let (calls, called, given_up) = run(&vec![true; records], names_it, usize::MAX);
                assert_eq!(given_up.len(), records);
                assert!(calls <= records + 16, "{calls} calls for {records} records");
                assert!(called <= 4 * records, "{called} records in the calls for {records}");
            }
        }
    }

    #[test]
    fn one_bad_record_costs_a_handful_of_calls() {
        let mut bad = vec![false; 1_024];
        bad[700] = true;
        assert!(run(&bad, true, usize::MAX).0 <= 14 + ALONE);
        assert!(run(&bad, false, usize::MAX).0 <= 40 + ALONE);
        assert_eq!(run(&vec![false; 1_024], false, usize::MAX).0, 1);
    }

    #[test]
    fn among_many_bad_records_only_the_first_fails_in_company() {
        for distance in [1, 2, 5, ALONE] {
            let bad: Vec<_> = (0..1_024).map(|at| at % distance == 0).collect();
            let (mut cuts, mut in_company) = (Cuts::new(bad.len()), 0);
            while let Some(records) = cuts.next(usize::MAX) {
                match bad[cuts.at()..cuts.at() + records].iter().position(|bad| *bad) {
                    None => cuts.went_well(records),
                    Some(_) if records == 1 => cuts.gave_up(),
                    Some(at) => {
                        in_company += 1;
                        cuts.narrow(records, Some(at));
                    }
                }
            }
            assert_eq!(in_company, 1, "a bad record in {distance}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_tried_over_and_over() {
        let (mut cuts, mut tried) = (Cuts::new(10_000), 0);
        while let Some(records) = cuts.next(usize::MAX) {
            tried += records;
            if records > 3 { cuts.shorten(3) } else { cuts.went_well(records) }
        }
        assert!(tried <= 10_000 + 3 * 10_000, "{tried}");
    }

    proptest! {
        #[test]
        fn every_bad_record_and_no_other_is_given_up(bad: Vec<bool>, names_it: bool, most in 1..50_usize) {
            let (_, _, given_up) = run(&bad, names_it, most);
            let wanted: Vec<_> = (0..bad.len()).filter(|at| bad[*at]).collect();
            prop_assert_eq!(given_up, wanted);
        }
    }
}
