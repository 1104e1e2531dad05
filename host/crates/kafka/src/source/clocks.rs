//! When the thread that looks around looks at what. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// How often the thread looks at its clocks; also the pause before a failed look is tried again.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How often ends are asked for where somebody waits for splits to fall silent: silence lies between two answers, so it is
/// noticed up to two of these late, and that is to be less than a second.
const SILENCE_TICK: Duration = Duration::from_millis(400);
/// How often ends are asked for, by the number of splits: an answer for a thousand is no small thing.
const ENDS_PER_SPLIT: Duration = Duration::from_millis(5);
const ENDS_MAX: Duration = Duration::from_secs(5);
/// Within this time an idle job notices that its topic is gone. (What a busy one reads is verified at each epoch.)
const IDENTITY_INTERVAL: Duration = Duration::from_secs(5);
/// Longer than any job runs.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a look at topics is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Whether those that are read are still there, and themselves.
    Identity,
    /// The same, and what has appeared.
    Growth,
}

/// When what is due next.
pub(super) struct Clocks {
    identity: Instant,
    /// `None`: nothing that appears belongs to the source.
    growth: Option<Instant>,
    ends: Instant,
}

impl Clocks {
    /// Everything is due at once.
    pub(super) fn new(now: Instant, grows: bool) -> Self {
        Self { identity: now, growth: grows.then_some(now), ends: now }
    }

    /// What topics are to be looked at for.
    pub(super) fn due(&self, now: Instant) -> Option<Look> {
        if self.growth.is_some_and(|growth| now >= growth) {
            return Some(Look::Growth);
        }
        (now >= self.identity).then_some(Look::Identity)
    }

    /// The answer came `now`. What appears is looked for each `interval`, however often the rest is.
    pub(super) fn looked(&mut self, look: Look, now: Instant, interval: Duration) {
        self.identity = now + IDENTITY_INTERVAL;
        if look == Look::Growth {
            self.growth = Some(now.checked_add(interval).unwrap_or(now + FOR_EVER));
        }
    }

    /// There was no answer that counts: it is asked again at the next tick.
    pub(super) fn look_again(&mut self, now: Instant) {
        self.identity = now + TICK;
    }

    /// Somebody doubts the topics `now`.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.identity = now;
    }

    /// Whether ends are to be asked for.
    pub(super) fn are_ends_due(&self, now: Instant) -> bool {
        now >= self.ends
    }

    /// The ends of so many splits were asked for at `asked`, and told. `awaited`: somebody waits for splits to fall silent.
    pub(super) fn told_ends(&mut self, asked: Instant, splits: usize, awaited: bool) {
        self.ends = asked + ends_every(splits, if awaited { SILENCE_TICK } else { TICK });
    }

    /// How long the thread may do nothing.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now).min(TICK)
    }

    /// They were not told.
    pub(super) fn ask_for_ends_again(&mut self, asked: Instant) {
        self.ends = asked + TICK;
    }
}

fn ends_every(splits: usize, least: Duration) -> Duration {
    ENDS_PER_SPLIT.saturating_mul(u32::try_from(splits).unwrap_or(u32::MAX)).clamp(least, ENDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds, up to `last`, at which there is such a look: the thread wakes each second.
    fn seconds(look: Look, grows: bool, interval: Duration, last: u64) -> Vec<u64> {
        let began = Instant::now();
        let mut clocks = Clocks::new(began, grows);
        let comes = |second: &u64| {
            let now = began + TICK * u32::try_from(*second).unwrap();
            let due = clocks.due(now);
            due.into_iter().for_each(|due| clocks.looked(due, now, interval));
            due == Some(look)
        };
        (0..=last).filter(comes).collect()
    }

    #[test]
    fn what_appears_is_looked_for_as_often_as_was_asked_for() {
        let growth = |interval, last| seconds(Look::Growth, true, interval, last);
        assert_eq!(growth(Duration::from_secs(30), 100), [0, 30, 60, 90], "less often than ids are looked at");
        assert_eq!(growth(Duration::from_secs(1), 5), [0, 1, 2, 3, 4, 5], "more often");
        assert_eq!(growth(Duration::from_millis(1500), 6), [0, 2, 4, 6], "at the next tick");
        assert_eq!(growth(Duration::MAX, 1000), [0]);
        assert!(seconds(Look::Growth, false, TICK, 1000).is_empty(), "a bounded read");
    }

    #[test]
    fn a_topic_that_is_gone_is_noticed_in_time_however_rarely_others_are_looked_for() {
        assert_eq!(seconds(Look::Identity, true, Duration::from_secs(3600), 16), [5, 10, 15]);
        assert_eq!(seconds(Look::Identity, false, TICK, 16), [0, 5, 10, 15]);
        assert!(seconds(Look::Identity, true, TICK, 16).is_empty(), "each look sees both");
    }

    #[test]
    fn a_look_without_an_answer_comes_again_at_the_next_tick() {
        let began = Instant::now();
        let mut clocks = Clocks::new(began, true);
        clocks.look_again(began);
        assert_eq!(clocks.due(began + TICK), Some(Look::Growth));
        clocks.looked(Look::Growth, began, Duration::from_secs(30));
        let unanswered = began + IDENTITY_INTERVAL;
        assert_eq!(clocks.due(unanswered), Some(Look::Identity));
        clocks.look_again(unanswered);
        assert_eq!((clocks.due(unanswered), clocks.due(unanswered + TICK)), (None, Some(Look::Identity)));
    }

    #[test]
    fn ends_of_many_splits_are_asked_for_more_rarely() {
        for (splits, ms) in [(0, 1000), (200, 1000), (400, 2000), (1000, 5000), (usize::MAX, 5000)] {
            assert_eq!(ends_every(splits, TICK), Duration::from_millis(ms), "{splits} splits");
        }
    }

    #[test]
    fn ends_are_asked_for_as_soon_as_they_are_due_and_more_often_where_silence_is_awaited() {
        let began = Instant::now();
        let mut clocks = Clocks::new(began, true);
        assert_eq!(clocks.pause(began), Duration::ZERO);
        for (awaited, pause) in [(false, TICK), (true, SILENCE_TICK)] {
            clocks.told_ends(began, 4, awaited);
            assert_eq!(clocks.pause(began), pause);
            assert!(!clocks.are_ends_due(began) && clocks.are_ends_due(began + pause));
        }
        assert!(SILENCE_TICK * 2 < Duration::from_secs(1));
    }
}
