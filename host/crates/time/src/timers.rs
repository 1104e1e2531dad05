//! HOT PATH. What is to happen at a time.
//!
//! A table of the keyed state holds every timer and is the truth: it survives, and it is ordered by time. [`Timers`] holds
//! in memory the ones that come first, so that firing costs no look-up; how many those may be is bounded, and the rest is
//! loaded from the table when its time comes.
//!
//! ```text
//!     in memory, and in the table     │    in the table alone
//! ──┬─────────────────────────────────┼──────────────────────────▶ time, then key
//!   due first                         horizon: whatever lies before it is in memory
//! ```
//! The caller writes each change to the table as well: a timer set is put, one cancelled or fired is deleted.
//!
//! A timer that is set by a timer may be due at once, and set the next: a **round** more. Too many rounds without the
//! watermark moving are a storm, an error with a name of its own.

use std::collections::{BTreeMap, HashSet};

use weir_core::key_group::key_hash;

/// How far timers may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most timers in memory, at least one.
    pub near_max: usize,
    /// The most rounds: a chain of timers that set each other, all due at the same watermark.
    pub rounds_max: u32,
}

impl Default for Limits {
    /// A million timers in memory (some 80 MB), 100,000 rounds (a timer each second that has to catch up with a day).
    fn default() -> Self {
        Self { near_max: 1_000_000, rounds_max: 100_000 }
    }
}

/// When a timer is due, and whose it is: the user's key, or whatever the caller wants to find by it. In this order they
/// fire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// Milliseconds since 1970. What lies in the past is due at once.
    pub time_ms: i64,
    /// Whose it is.
    pub key: Box<[u8]>,
}

/// A timer that is due, and has left [`Timers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The timer.
    pub timer: Timer,
    /// The round to give to [`Timers::set`] for what this timer sets.
    pub next_round: u32,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firing {
    /// These, in order; there may be more.
    Now(Vec<Due>),
    /// Nobody knows before [`Timers::load`] has brought what the table holds from here on.
    Load(Load),
    /// Nothing.
    Nothing,
}

/// What to read from the table: timers in order, from the first on or from one on, at most so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The first timer to read; `None`: the table's first.
    pub from: Option<Timer>,
    /// How many at most.
    pub count: usize,
}

/// Timers that set each other without end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "timers have set each other {rounds} times in a row without time going on (the last for {time_ms} ms), more than \
     limits.timer-rounds (--timer-rounds) allows: a timer storm; let a timer set the next one only as long as its key has \
     something to wait for"
)]
pub struct Storm {
    /// How many rounds there were.
    pub rounds: u32,
    /// What the last timer was set for.
    pub time_ms: i64,
}

/// The timers of one task and one kind of time.
///
/// ```
/// use weir_time::timers::{Firing, Limits, Timers};
///
/// let mut timers = Timers::new(Limits::default());
/// timers.set(20, b"b", 0)?;
/// timers.set(10, b"a", 0)?;
/// let Firing::Now(due) = timers.due(15, 128) else { panic!("one is due") };
/// assert_eq!(&*due[0].timer.key, b"a");
/// assert_eq!(timers.due(15, 128), Firing::Nothing);
/// # Ok::<(), weir_time::timers::Storm>(())
/// ```
#[derive(Debug)]
pub struct Timers {
    /// Every timer before the horizon, with its round.
    near: BTreeMap<Timer, u32>,
    horizon: Horizon,
    limits: Limits,
    key_bytes: usize,
    /// How far time has come, as far as [`Self::due`] was asked.
    reached_ms: i64,
    /// What was set since the end of time ([`Self::end`]): it is for another start.
    beyond_end: Option<HashSet<Timer>>,
    /// The deepest round since then: a timer that is loaded counts as that, for the table does not say who set it. So where
    /// more is due at once than memory holds, a load may count as a round, too.
    round: u32,
}

/// Up to where memory holds everything. Ordered: the last is the furthest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Horizon {
    /// Nothing is loaded.
    Start,
    /// All timers before this one.
    Before(Timer),
    /// All there are.
    End,
}

impl Horizon {
    fn is_beyond(&self, timer: &Timer) -> bool {
        match self {
            Self::Start => false,
            Self::Before(first) => timer < first,
            Self::End => true,
        }
    }
}

/// How many timers are read from the table at a time: enough for the read to be cheap, few enough to be quick.
const LOAD_COUNT: usize = 4_096;
/// What a timer costs in memory beside its key: its place in the tree, and what the allocator adds to the key.
const TIMER_BYTES: usize = 64;

impl Timers {
    /// For a table that is empty: a first start.
    pub fn new(limits: Limits) -> Self {
        Self {
            near: BTreeMap::new(),
            horizon: Horizon::End,
            limits: Limits { near_max: limits.near_max.max(1), ..limits },
            key_bytes: 0,
            reached_ms: i64::MIN,
            beyond_end: None,
            round: 0,
        }
    }

    /// The end of time: what is set by now may fire, whatever it was set for, and what is set from now on does not.
    /// For time that goes on whether anything happens or not: who sets a timer again and again must come to an end.
    pub fn end(&mut self) {
        self.beyond_end.get_or_insert_default();
    }

    /// For a table that may hold timers: a later start.
    pub fn restored(limits: Limits) -> Self {
        Self { horizon: Horizon::Start, ..Self::new(limits) }
    }

    /// Sets a timer, once however often it is set. `round`: 0 where a record sets it, [`Due::next_round`] where a timer does.
    pub fn set(&mut self, time_ms: i64, key: &[u8], round: u32) -> Result<(), Storm> {
        let timer = Timer { time_ms, key: key.into() };
        if let Some(beyond_end) = &mut self.beyond_end {
            beyond_end.insert(timer);
            return Ok(());
        }
        let round = self.round_at(time_ms, round);
        if round > self.limits.rounds_max {
            return Err(Storm { rounds: round, time_ms });
        }
        self.round = self.round.max(round);
        if self.horizon.is_beyond(&timer) {
            self.keep(timer, round);
            self.shed();
        }
        Ok(())
    }

    /// Takes back a timer; one that is not set is none.
    pub fn cancel(&mut self, time_ms: i64, key: &[u8]) {
        let timer = Timer { time_ms, key: key.into() };
        if let Some(beyond_end) = &mut self.beyond_end {
            beyond_end.remove(&timer);
        }
        if self.near.remove(&timer).is_some() {
            self.key_bytes -= timer.key.len();
        }
    }

    /// Whether this timer is set, or may be: one that the table alone may hold.
    pub fn may_be_set(&self, time_ms: i64, key: &[u8]) -> bool {
        let timer = Timer { time_ms, key: key.into() };
        self.near.contains_key(&timer) || self.beyond_end.is_some() || !self.horizon.is_beyond(&timer)
    }

    /// What is due when time has come to `time_ms`: at most `count` timers, in order, and none of a key twice: what the
    /// first does may cancel the second, or set one before it. To be asked again until it is [`Firing::Nothing`], each time
    /// after the changes that the timers made.
    pub fn due(&mut self, time_ms: i64, count: usize) -> Firing {
        if time_ms > self.reached_ms {
            (self.reached_ms, self.round) = (time_ms, 0);
        }
        // Keys whose hashes are the same count as one: then it is two batches instead of one.
        let (mut due, mut keys) = (Vec::new(), HashSet::new());
        while due.len() < count {
            let Some(first) = self.near.first_entry().filter(|first| first.key().time_ms <= time_ms) else {
                break;
            };
            if !keys.insert(key_hash(&first.key().key)) {
                break;
            }
            let (timer, round) = first.remove_entry();
            self.key_bytes -= timer.key.len();
            due.push(Due { timer, next_round: round.saturating_add(1) });
        }
        if !due.is_empty() {
            return Firing::Now(due);
        }
        self.beyond(time_ms).map_or(Firing::Nothing, Firing::Load)
    }

    /// Takes back one that [`Self::due`] has given out: it is due again.
    pub fn give_back(&mut self, due: Due) {
        self.keep(due.timer, due.next_round.saturating_sub(1));
    }

    /// What the table holds from where [`Load::from`] said, in order: as many as were asked for, or fewer if that is all.
    pub fn load(&mut self, timers: impl IntoIterator<Item = Timer>, asked: &Load) {
        let mut count = 0;
        let mut last = None;
        for timer in timers {
            count += 1;
            if count == asked.count {
                last = Some(timer.clone());
            }
            if self.beyond_end.as_ref().is_some_and(|beyond_end| beyond_end.contains(&timer)) {
                continue;
            }
            let round = self.round_at(timer.time_ms, self.round);
            self.keep(timer, round);
        }
        self.horizon = last.map_or(Horizon::End, Horizon::Before);
    }

    /// A moment before which nothing is due; `None` where nothing is set. What the table alone holds is due no earlier.
    pub fn next_ms(&self) -> Option<i64> {
        let near = self.near.first_key_value().map(|(first, _)| first.time_ms);
        match &self.horizon {
            Horizon::Start => Some(i64::MIN),
            Horizon::Before(first) => near.or(Some(first.time_ms)),
            Horizon::End => near,
        }
    }

    /// How many are in memory.
    pub fn near(&self) -> usize {
        self.near.len()
    }

    /// What they take there, in bytes, as an estimate.
    pub fn bytes(&self) -> usize {
        self.near.len() * TIMER_BYTES + self.key_bytes
    }

    /// Rounds are counted until the watermark moves: a timer that is not due before begins anew.
    fn round_at(&self, time_ms: i64, round: u32) -> u32 {
        if time_ms <= self.reached_ms { round } else { 0 }
    }

    fn keep(&mut self, timer: Timer, round: u32) {
        let bytes = timer.key.len();
        // The round of a timer that is set twice is the deeper one: it was set then.
        match self.near.entry(timer) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(round);
                self.key_bytes += bytes;
            }
            std::collections::btree_map::Entry::Occupied(mut taken) => {
                let deepest = (*taken.get()).max(round);
                taken.insert(deepest);
            }
        }
    }

    /// Forgets the later half of too many timers: the table has them.
    fn shed(&mut self) {
        if self.near.len() <= self.limits.near_max {
            return;
        }
        let Some(middle) = self.near.keys().nth(self.limits.near_max.div_ceil(2)).cloned() else {
            return;
        };
        let later = self.near.split_off(&middle);
        self.key_bytes -= later.keys().map(|timer| timer.key.len()).sum::<usize>();
        self.horizon = Horizon::Before(middle);
    }

    /// What to load, if the table alone may hold something that is due.
    fn beyond(&self, time_ms: i64) -> Option<Load> {
        let from = match &self.horizon {
            Horizon::Start => None,
            Horizon::Before(first) if first.time_ms <= time_ms => Some(first.clone()),
            Horizon::Before(_) | Horizon::End => return None,
        };
        Some(Load { from, count: LOAD_COUNT.min(self.limits.near_max) })
    }
}

#[cfg(test)]
mod tests;
