//! Whether a partition is read to its end, for event time: what discovery was told of ends, beside what was read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use weir_core::{Reading, SplitState};

/// The end of each split, in the reader's order, as brokers said it last.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
pub(super) struct Told {
    ends: Vec<Option<i64>>,
    /// Before the question went out: what was the end then or later is the answer.
    asked: Option<Instant>,
    /// Somebody waits for splits to fall silent.
    are_awaited: bool,
}

impl Ends {
    /// The answer to what was `asked` then.
    pub(super) fn set(&self, ends: Vec<Option<i64>>, asked: Instant) {
        let mut told = self.look();
        (told.ends, told.asked) = (ends, Some(asked));
    }

    /// Somebody waits for splits to fall silent, and asks how they stand.
    pub(super) fn look_for_silence(&self) -> MutexGuard<'_, Told> {
        let mut told = self.look();
        told.are_awaited = true;
        told
    }

    /// Whether anybody does.
    pub(super) fn are_awaited(&self) -> bool {
        self.look().are_awaited
    }

    pub(super) fn look(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// The end of the split of this number.
    pub(super) fn end(&self, split: usize) -> Option<i64> {
        self.ends.get(split).copied().flatten()
    }

    /// How the reading of `split`, number `index`, stands. It is caught up where everything before the end that was told
    /// has been given out, and nothing after it: an end from before the last record says nothing about silence since.
    pub(super) fn reading(&self, index: usize, split: &SplitState, is_held: bool, begin: Instant) -> Reading {
        if split.is_finished() {
            return Reading::Bound;
        }
        if is_held {
            return Reading::Paused;
        }
        match (self.end(index), self.asked) {
            (Some(end), Some(asked)) if end == split.position => {
                Reading::CaughtUp { at: asked.saturating_duration_since(begin) }
            }
            _ => Reading::Flowing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weir_core::SplitId;

    use super::*;

    #[test]
    fn a_split_is_caught_up_where_its_end_says_so_and_since_the_question() {
        let (begin, ends) = (weir_machine::now(), Ends::default());
        let asked = Duration::from_secs(3);
        let caught_up = Reading::CaughtUp { at: asked };
        let split = |position, end| {
            let split = SplitId::new("t", 0);
            SplitState { split, position, end, identity: None, term: None }
        };
        assert_eq!(ends.look().reading(0, &split(0, None), false, begin), Reading::Flowing, "nobody has answered yet");
        ends.set(vec![Some(7)], begin + asked);
        for (position, end, is_held, expected) in [
            (6, None, false, Reading::Flowing),
            (7, None, false, caught_up),
            // The end is from before the last record.
            (8, None, false, Reading::Flowing),
            (7, None, true, Reading::Paused),
            (7, Some(7), false, Reading::Bound),
            (7, Some(9), false, caught_up),
        ] {
            let reading = ends.look().reading(0, &split(position, end), is_held, begin);
            assert_eq!(reading, expected, "{position} {end:?} {is_held}");
        }
        // One that appeared since.
        assert_eq!(ends.look().reading(1, &split(0, None), false, begin), Reading::Flowing);
    }
}
