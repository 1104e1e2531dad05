//! HOT PATH. Windows that end with silence: records of a key less than the gap apart belong together.
//!
//! A record is a window of its own, from its timestamp to the gap behind it; windows that overlap are one. Those that only
//! touch are two, so a record that is on time never belongs to a session that has fired already, whatever the order of
//! arrival.

use super::{OutOfRange, Window, legal};

/// The sessions of one key that have not expired: in order, apart from each other. They are few; this is what is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sessions {
    open: Vec<Window>,
}

/// What a record has done to the sessions of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The session that it is in now: its accumulator takes the record.
    pub session: Window,
    /// Sessions that are no more: their accumulators are merged into the session's. Empty where the session is new, or was
    /// there before as it is now.
    pub absorbed: Vec<Window>,
}

impl Sessions {
    /// A record at `timestamp_ms`, where sessions end `gap_ms` after their last.
    ///
    /// ```
    /// use weir_time::window::{Sessions, Window};
    ///
    /// let mut sessions = Sessions::default();
    /// sessions.join(100, 10)?;
    /// sessions.join(115, 10)?;
    /// let joined = sessions.join(108, 10)?;
    /// assert_eq!(joined.session, Window::new(100, 125));
    /// assert_eq!(joined.absorbed, [Window::new(100, 110), Window::new(115, 125)]);
    /// # Ok::<(), weir_time::window::OutOfRange>(())
    /// ```
    pub fn join(&mut self, timestamp_ms: i64, gap_ms: i64) -> Result<Joined, OutOfRange> {
        let timestamp_ms = legal(timestamp_ms)?;
        Ok(self.merge(Window::new(timestamp_ms, timestamp_ms.saturating_add(gap_ms))))
    }

    /// What [`Self::join`] would do, without doing it: the session that the record would be in. A record is late if that one
    /// is, and leaves no trace.
    pub fn preview(&self, timestamp_ms: i64, gap_ms: i64) -> Result<Window, OutOfRange> {
        let timestamp_ms = legal(timestamp_ms)?;
        let window = Window::new(timestamp_ms, timestamp_ms.saturating_add(gap_ms));
        Ok(self.open.get(self.overlapping(window)).unwrap_or_default().iter().fold(window, union))
    }

    /// A session that comes from elsewhere: of another task, or of a record.
    pub fn merge(&mut self, window: Window) -> Joined {
        let range = self.overlapping(window);
        let found = self.open.get(range.clone()).unwrap_or_default();
        let session = found.iter().fold(window, union);
        if found == [session] {
            return Joined { session, absorbed: Vec::new() };
        }
        let absorbed = self.open.splice(range, [session]).collect();
        Joined { session, absorbed }
    }

    /// The sessions, in order.
    pub fn windows(&self) -> &[Window] {
        &self.open
    }

    /// Where the sessions stand that have time in common with `window`.
    fn overlapping(&self, window: Window) -> std::ops::Range<usize> {
        let first = self.open.partition_point(|session| session.end_ms <= window.start_ms);
        let last = self.open.partition_point(|session| session.start_ms < window.end_ms);
        first..last.max(first)
    }
}

/// Sessions that were kept, as they were.
impl From<Vec<Window>> for Sessions {
    fn from(open: Vec<Window>) -> Self {
        Self { open }
    }
}

impl From<Sessions> for Vec<Window> {
    fn from(sessions: Sessions) -> Self {
        sessions.open
    }
}

fn union(a: Window, b: &Window) -> Window {
    Window::new(a.start_ms.min(b.start_ms), a.end_ms.max(b.end_ms))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_less_than_the_gap_apart_are_one_session() {
        let window = Window::new;
        for (records, expected) in [
            (&[100, 109][..], &[window(100, 119)][..]),
            (&[100, 110], &[window(100, 110), window(110, 120)]),
            (&[110, 100], &[window(100, 110), window(110, 120)]),
            (&[100, 100], &[window(100, 110)]),
            (&[100, 115, 108], &[window(100, 125)]),
            (&[130, 100, 115], &[window(100, 110), window(115, 125), window(130, 140)]),
        ] {
            let mut sessions = Sessions::default();
            records.iter().for_each(|at| {
                sessions.join(*at, 10).unwrap();
            });
            assert_eq!(sessions.windows(), expected, "{records:?}");
        }
    }

    #[test]
    fn a_session_that_stays_as_it_is_absorbs_nothing() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.join(100, 10).unwrap().absorbed, []);
        assert_eq!(sessions.join(105, 10).unwrap().absorbed, [Window::new(100, 110)]);
        assert_eq!(sessions.join(102, 10).unwrap().absorbed, []);
    }

    /// The sessions of `records` as a batch computes them: sort, then cut at every gap.
    fn batch(records: &[i64], gap: i64) -> Vec<Window> {
        let mut sorted = records.to_vec();
        sorted.sort_unstable();
        let runs = sorted.chunk_by(|a, b| b - a < gap);
        runs.map(|run| Window::new(run[0], run[run.len() - 1] + gap)).collect()
    }

    proptest! {
        #[test]
        fn any_order_gives_the_sessions_of_a_batch(
            records in proptest::collection::vec(0i64..500, 0..60),
            gap in 1i64..40,
        ) {
            // The accumulator of a session is the list of its records, kept by window as a table keeps it.
            let mut sessions = Sessions::default();
            let mut kept = std::collections::BTreeMap::<Window, Vec<i64>>::new();
            for &at in &records {
                let preview = sessions.preview(at, gap).unwrap();
                let joined = sessions.join(at, gap).unwrap();
                prop_assert_eq!(preview, joined.session);
                let mut all: Vec<i64> =
                    joined.absorbed.iter().flat_map(|gone| kept.remove(gone).expect("it was kept")).collect();
                all.push(at);
                kept.entry(joined.session).or_default().append(&mut all);
            }
            let expected = batch(&records, gap);
            prop_assert_eq!(sessions.windows(), &expected[..]);
            prop_assert_eq!(kept.keys().copied().collect::<Vec<_>>(), expected);
            for (window, mut mine) in kept {
                let mut all: Vec<i64> = records.iter().copied().filter(|at| window.contains(*at)).collect();
                mine.sort_unstable();
                all.sort_unstable();
                prop_assert_eq!(mine, all);
            }
        }
    }
}
