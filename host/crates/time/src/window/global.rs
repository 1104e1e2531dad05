//! HOT PATH. One window of all time for each key, which fires after so many records, or every so often. Where it is gone when
//! it has fired, it is a window of so many records.
//!
//! Where each record falls is the host's to say, by the order of arrival, and no matter of what a plugin makes of it: one that
//! it fails on is counted all the same. What such a window sends spans the records that it holds: from the earliest to one
//! millisecond after the latest, or to the moment that it fires at.

use super::list::List;
use super::spec::Trigger;
use super::{OutOfRange, Window, legal};

/// The timestamp of a record that has none.
const NO_TIMESTAMP: i64 = i64::MIN;
/// A moment that only the end of time comes to: then what is left fires, and is gone.
const END_MS: i64 = i64::MAX;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global {
    /// When it fires.
    pub trigger: Trigger,
    /// Whether it stays when it has fired, with all that it holds.
    pub stays: bool,
}

impl Global {
    /// Notes a record in the list of its key, where its time has come to `reached_ms`. What the window spans, if it fires now:
    /// before the next record of the key.
    pub fn note(self, list: &mut List, timestamp_ms: i64, reached_ms: i64) -> Result<Option<Window>, OutOfRange> {
        let is_timed = matches!(self.trigger, Trigger::Every { .. });
        if timestamp_ms != NO_TIMESTAMP || is_timed {
            legal(timestamp_ms)?;
        }
        let span = list.windows.first().copied();
        let span = span.map_or_else(|| Window::new(timestamp_ms, timestamp_ms + 1), |span| with(span, timestamp_ms));
        list.windows = vec![span];
        list.records = list.records.saturating_add(1);
        let next_ms = self.trigger.next_ms(timestamp_ms.max(reached_ms)).unwrap_or(END_MS);
        list.due_ms = Some(list.due_ms.map_or(next_ms, |due_ms| due_ms.min(next_ms)));
        match self.trigger {
            Trigger::Count(count) if count.is_full(list.records) => {
                self.has_fired(list);
                Ok(Some(span))
            }
            Trigger::Count(_) | Trigger::Every { .. } => Ok(None),
        }
    }

    /// Something is due at `at_ms`: what the window spans, if it fires.
    pub fn fires(self, list: &mut List, at_ms: i64) -> Option<Window> {
        let span = list.windows.first().copied().filter(|_| list.records > 0);
        self.has_fired(list);
        if at_ms == END_MS {
            *list = List::default();
            return span;
        }
        span.map(|span| Window::new(span.start_ms, at_ms))
    }

    fn has_fired(self, list: &mut List) {
        list.records = 0;
        list.due_ms = Some(END_MS);
        if !self.stays {
            *list = List::default();
        }
    }
}

/// `span` with a record in it.
fn with(span: Window, timestamp_ms: i64) -> Window {
    match (span.start_ms, timestamp_ms) {
        (_, NO_TIMESTAMP) => span,
        (NO_TIMESTAMP, _) => Window::new(timestamp_ms, timestamp_ms + 1),
        (start_ms, _) => Window::new(start_ms.min(timestamp_ms), span.end_ms.max(timestamp_ms + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::count::Count;
    use super::*;

    fn counting(records: u64, stays: bool) -> Global {
        Global { trigger: Trigger::Count(Count::new(records).unwrap()), stays }
    }

    #[test]
    fn so_many_records_fire_and_the_window_is_gone_or_stays() {
        for (stays, spans) in [(false, [(5, 8), (1, 3)]), (true, [(5, 8), (1, 8)])] {
            let (global, mut list) = (counting(2, stays), List::default());
            let fired = [7, 5, 2, 1].map(|at| global.note(&mut list, at, 0).unwrap());
            let spans = spans.map(|(start, end)| Some(Window::new(start, end)));
            assert_eq!(fired, [None, spans[0], None, spans[1]]);
            assert_eq!(list.windows.is_empty(), !stays);
            // At the end of time there is nothing new to send, and nothing stays.
            assert_eq!((global.fires(&mut list, END_MS), list), (None, List::default()));
        }
    }

    #[test]
    fn what_is_left_at_the_end_of_time_fires() {
        let mut list = List::default();
        let global = counting(3, false);
        assert_eq!(global.note(&mut list, NO_TIMESTAMP, 0), Ok(None));
        assert_eq!(list.windows, [Window::new(NO_TIMESTAMP, NO_TIMESTAMP + 1)]);
        assert_eq!(global.note(&mut list, 9, 0), Ok(None));
        assert_eq!(global.note(&mut list, -1, 0), Err(OutOfRange(-1)));
        assert_eq!((list.records, list.due_ms), (2, Some(END_MS)));
        assert_eq!((global.fires(&mut list, END_MS), list), (Some(Window::new(9, 10)), List::default()));
    }

    #[test]
    fn every_so_often_it_fires_where_there_is_news() {
        let global = Global { trigger: Trigger::Every { ms: 10 }, stays: true };
        let mut list = List::default();
        for (at, reached, due) in [(25, 3, 30), (12, 3, 20), (1, 13, 20)] {
            assert_eq!(global.note(&mut list, at, reached), Ok(None));
            assert_eq!(list.due_ms, Some(due), "{at}");
        }
        assert_eq!(global.fires(&mut list, 20), Some(Window::new(1, 20)));
        assert_eq!((list.records, list.due_ms), (0, Some(END_MS)), "until there is news");
        assert_eq!(global.note(&mut list, NO_TIMESTAMP, 20), Err(OutOfRange(NO_TIMESTAMP)));
        assert_eq!(global.note(&mut list, 14, 20), Ok(None));
        assert_eq!(list.due_ms, Some(30), "not for a moment that has been");
        assert_eq!(global.fires(&mut list, 30), Some(Window::new(1, 30)));
    }
}
