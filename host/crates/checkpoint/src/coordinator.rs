//! The life of an epoch as a state machine: events in, commands out, one at a time.
//!
//! ```text
//!            tick, and something to commit            source + every task sealed
//!   Idle ─────────────────────────────────▶ Sealing ───────────────────────────▶ Persisting
//!    ▲   ▶ Barrier(N)                                ▶ WriteLog(N)                   │ logged, flushed and verified
//!    │                                                                               ▼ ▶ Commit(N)
//!    └───────────────────────── committed ▶ Apply(N) ─────────────────────────── Committing
//! ```
//! The sinks' acknowledgements and the source's verification (that what was read came from what the splits say) may come
//! in either phase. Where the log alone decides what holds (`log_decides`), its record is written only after both: a
//! durable record then stands for output that is there, and for records that were what they seemed.
//!
//! A barrier comes early where a task is full: what it holds can leave memory only once its epoch holds.
//!
//! I1: `Commit(N)` is given only after `Logged(N)`. I2: `Barrier(N+1)` only after `Committed(N)`. I11: `Commit(N)` is given
//! only after `Verified(N)`. After the last epoch (`stop`, or the source ended) the machine is done.

use std::time::Duration;

use weir_core::Epoch;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Time passed. `active` is true when the epoch has anything to commit.
    Tick {
        /// Time since the attempt began.
        now: Duration,
        /// Whether anything was read since the last barrier.
        active: bool,
    },
    /// The source (or one task) has passed the barrier of the epoch.
    Sealed(Epoch),
    /// Every sink has every acknowledgement of the epoch.
    Flushed(Epoch),
    /// Everything that the source read up to the epoch's barrier came from what its splits say.
    Verified(Epoch),
    /// The epoch's log record is as durable as the delivery mode asks.
    Logged(Epoch),
    /// The outside commit is acknowledged.
    Committed(Epoch),
    /// A task that has sealed this epoch last has no room for more changes before their epoch holds.
    Full(Epoch),
    /// The source has nothing more, ever.
    Ended,
    /// Someone wants the job to stop.
    Stop,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Have the source end the epoch; `last` when nothing may follow.
    Barrier {
        /// The epoch.
        epoch: Epoch,
        /// True for the attempt's final epoch.
        last: bool,
    },
    /// Append the epoch's record.
    WriteLog(Epoch),
    /// Commit outside.
    Commit(Epoch),
    /// The epoch holds: tell the tasks, apply its deltas.
    Apply(Epoch),
}

/// How epochs are paced.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time between two barriers.
    pub interval: Duration,
    /// An idle job commits at least this often, so that its offsets and ids do not expire.
    pub keep_alive: Duration,
    /// True where a durable log record counts by itself after a crash (at-least-once, and jobs without a marker).
    pub log_decides: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Sealing { missing: usize, outside: Outside },
    Persisting { log: Log, outside: Outside },
    Committing,
    Done,
}

/// What the outside has answered, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Outside {
    flushed: bool,
    verified: bool,
}

impl Outside {
    fn is_complete(self) -> bool {
        self.flushed && self.verified
    }
}

/// The epoch's log record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    /// It waits for the outside.
    Held,
    Asked,
    Written,
}

/// The state machine. `epoch` is the one under way, or the last that holds when idle.
#[derive(Debug)]
pub struct Coordinator {
    pace: Pace,
    sealers: usize,
    epoch: Epoch,
    phase: Phase,
    last_barrier: Duration,
    last: bool,
    stopping: bool,
    /// Somebody waits for the next barrier.
    full: bool,
}

impl Coordinator {
    /// Starts after `committed`; `sealers` is the source plus every task with state.
    pub fn new(pace: Pace, committed: Epoch, sealers: usize) -> Self {
        let (phase, last_barrier) = (Phase::Idle, Duration::ZERO);
        Self { pace, sealers, epoch: committed, phase, last_barrier, last: false, stopping: false, full: false }
    }

    /// When the next tick can have an effect, as time since the attempt began.
    pub fn next_tick(&self) -> Duration {
        if self.full { Duration::ZERO } else { self.last_barrier.saturating_add(self.pace.interval) }
    }

    /// The epoch under way, or the last that holds.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// True while an epoch is under way: something outside must answer.
    pub fn is_waiting(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Done)
    }

    /// True while the outside commit is under way.
    pub fn is_committing(&self) -> bool {
        self.phase == Phase::Committing
    }

    /// What the epoch under way waits for, for people.
    pub fn waiting_for(&self) -> &'static str {
        match self.phase {
            Phase::Idle | Phase::Done => "nothing",
            Phase::Sealing { .. } => "the barrier to pass every task",
            Phase::Persisting { log: Log::Asked, .. } => "the epoch log",
            Phase::Persisting { outside: Outside { flushed: false, .. }, .. } => "acknowledgements of the output",
            Phase::Persisting { .. } => "the source to verify what was read",
            Phase::Committing => "the commit",
        }
    }

    /// One event, and what follows from it.
    pub fn step(&mut self, event: Event) -> Option<Command> {
        match (event, self.phase) {
            (_, Phase::Done) => None,
            (Event::Tick { now, active }, Phase::Idle) => self.tick(now, active),
            (Event::Tick { .. }, _) => None,
            // One that has not sealed the epoch under way gets room by it.
            (Event::Full(sealed), _) => {
                self.full |= sealed == self.epoch;
                None
            }
            (Event::Ended | Event::Stop, _) => {
                self.stopping = true;
                None
            }
            (Event::Sealed(epoch), Phase::Sealing { missing, outside }) => {
                self.check(epoch);
                match missing {
                    0 | 1 => self.persist(Log::Held, outside),
                    _ => self.wait(Phase::Sealing { missing: missing - 1, outside }),
                }
            }
            (Event::Flushed(epoch), phase) => self.hear(epoch, event, phase, |o| &mut o.flushed),
            (Event::Verified(epoch), phase) => self.hear(epoch, event, phase, |o| &mut o.verified),
            (Event::Logged(epoch), Phase::Persisting { log: Log::Asked, outside }) => {
                self.check(epoch);
                self.persist(Log::Written, outside)
            }
            (Event::Committed(epoch), Phase::Committing) => {
                self.check(epoch);
                self.phase = if self.last { Phase::Done } else { Phase::Idle };
                Some(Command::Apply(epoch))
            }
            (event, phase) => panic_on(event, phase),
        }
    }

    /// True when the last epoch holds.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn tick(&mut self, now: Duration, active: bool) -> Option<Command> {
        let since = now.saturating_sub(self.last_barrier);
        let due = since >= self.pace.interval && active || since >= self.pace.keep_alive || self.stopping || self.full;
        if !due {
            return None;
        }
        self.last_barrier = now;
        (self.last, self.full) = (self.stopping, false);
        self.epoch = self.epoch.next();
        self.phase = Phase::Sealing { missing: self.sealers, outside: Outside::default() };
        Some(Command::Barrier { epoch: self.epoch, last: self.last })
    }

    /// The outside has given one of its answers, which it gives once.
    fn hear(
        &mut self,
        epoch: Epoch,
        event: Event,
        phase: Phase,
        answer: fn(&mut Outside) -> &mut bool,
    ) -> Option<Command> {
        self.check(epoch);
        let heard = |mut outside: Outside| match std::mem::replace(answer(&mut outside), true) {
            true => panic_on(event, phase),
            false => outside,
        };
        match phase {
            Phase::Sealing { missing, outside } => self.wait(Phase::Sealing { missing, outside: heard(outside) }),
            Phase::Persisting { log, outside } => self.persist(log, heard(outside)),
            Phase::Idle | Phase::Committing | Phase::Done => panic_on(event, phase),
        }
    }

    fn persist(&mut self, log: Log, outside: Outside) -> Option<Command> {
        match log {
            Log::Held if outside.is_complete() || !self.pace.log_decides => {
                self.phase = Phase::Persisting { log: Log::Asked, outside };
                Some(Command::WriteLog(self.epoch))
            }
            Log::Written if outside.is_complete() => {
                self.phase = Phase::Committing;
                Some(Command::Commit(self.epoch))
            }
            log => self.wait(Phase::Persisting { log, outside }),
        }
    }

    fn wait(&mut self, phase: Phase) -> Option<Command> {
        self.phase = phase;
        None
    }

    fn check(&self, epoch: Epoch) {
        assert!(epoch == self.epoch, "an event of epoch {epoch} in epoch {}", self.epoch);
    }
}

/// An event that the drawing above does not have is a bug, and going on could commit what is not durable.
#[expect(clippy::panic, reason = "a broken invariant of exactly-once must not be survived")]
fn panic_on(event: Event, phase: Phase) -> ! {
    panic!("epoch state machine: {event:?} while {phase:?}")
}

#[cfg(test)]
mod tests;
