//! Which of many things of one kind are told: the first few one by one, then how many there were, at most once a second.
//! A topic of bad records must not fill a disk with lines about them.

use std::time::{Duration, Instant};

/// Things that get a line of their own.
const LINES_OF_THEIR_OWN: u32 = 10;
/// How often the others are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// See the module's head.
#[derive(Debug, Default)]
pub struct Throttle {
    lines: u32,
    /// Happened, and not told yet.
    untold: u64,
    /// When the last line was written.
    told: Option<Instant>,
}

/// What is to be told of one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// This one.
    This,
    /// How many there were, this one included.
    Many(u64),
    /// Nothing yet.
    Nothing,
}

impl Throttle {
    /// One more, `now`.
    pub fn one(&mut self, now: Instant) -> Tell {
        if self.lines < LINES_OF_THEIR_OWN {
            self.lines += 1;
            self.told = Some(now);
            return Tell::This;
        }
        self.untold += 1;
        self.due(now).map_or(Tell::Nothing, Tell::Many)
    }

    /// How many have waited for their second, if that is over `now`.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= COUNT_EVERY);
        if !is_due || self.untold == 0 {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    /// Whether any wait to be told.
    pub fn has_untold(&self) -> bool {
        self.untold > 0
    }

    /// How many are not told: nothing more will come.
    pub fn end(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.untold)).filter(|untold| *untold > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_told_and_the_others_counted() {
        let (mut throttle, began) = (Throttle::default(), Instant::now());
        let told: Vec<Tell> = (0..1000).map(|_| throttle.one(began)).collect();
        assert!(told.iter().take(10).all(|tell| *tell == Tell::This));
        assert!(told.iter().skip(10).all(|tell| *tell == Tell::Nothing) && throttle.has_untold());
        assert_eq!(throttle.due(began + COUNT_EVERY / 2), None);
        assert_eq!(throttle.one(began + COUNT_EVERY), Tell::Many(991));
        assert_eq!((throttle.due(began + COUNT_EVERY * 3), throttle.end()), (None, None), "all are told");
        assert_eq!((throttle.one(began + COUNT_EVERY), throttle.end()), (Tell::Nothing, Some(1)));
    }
}
