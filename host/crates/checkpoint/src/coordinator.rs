//! The life of an epoch as a state machine: events in, commands out, one at a time.
//!
//! ```text
//!            tick, and something to commit            source + every task sealed
//!   Idle ─────────────────────────────────▶ Sealing ───────────────────────────▶ Persisting
//!    ▲   ▶ Barrier(N)                                ▶ WriteLog(N)                   │ logged and flushed
//!    │                                                                               ▼ ▶ Commit(N)
//!    └───────────────────────── committed ▶ Apply(N) ─────────────────────────── Committing
//! ```
//! Where the log alone decides what holds (`log_decides`), its record is written only after the acknowledgements: a durable
//! record then stands for output that is there.
//!
//! I1: `Commit(N)` is given only after `Logged(N)`. I2: `Barrier(N+1)` only after `Committed(N)`. After the last epoch
//! (`stop`, or the source ended) the machine is done.

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
    /// The epoch's log record is as durable as the delivery mode asks.
    Logged(Epoch),
    /// The outside commit is acknowledged.
    Committed(Epoch),
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
    Sealing { missing: usize, flushed: bool },
    Persisting { logged: bool, flushed: bool },
    Committing,
    Done,
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
}

impl Coordinator {
    /// Starts after `committed`; `sealers` is the source plus every task with state.
    pub fn new(pace: Pace, committed: Epoch, sealers: usize) -> Self {
        let (phase, last_barrier) = (Phase::Idle, Duration::ZERO);
        Self { pace, sealers, epoch: committed, phase, last_barrier, last: false, stopping: false }
    }

    /// When the next tick can have an effect, as time since the attempt began.
    pub fn next_tick(&self) -> Duration {
        self.last_barrier + self.pace.interval
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
            Phase::Persisting { logged: false, .. } => "the epoch log",
            Phase::Persisting { .. } => "acknowledgements of the output",
            Phase::Committing => "the commit",
        }
    }

    /// One event, and what follows from it.
    pub fn step(&mut self, event: Event) -> Option<Command> {
        match (event, self.phase) {
            (_, Phase::Done) => None,
            (Event::Tick { now, active }, Phase::Idle) => self.tick(now, active),
            (Event::Tick { .. }, _) => None,
            (Event::Ended | Event::Stop, _) => {
                self.stopping = true;
                None
            }
            (Event::Sealed(epoch), Phase::Sealing { missing, flushed }) => {
                self.check(epoch);
                if missing > 1 {
                    self.phase = Phase::Sealing { missing: missing - 1, flushed };
                    return None;
                }
                self.phase = Phase::Persisting { logged: false, flushed };
                (flushed || !self.pace.log_decides).then_some(Command::WriteLog(epoch))
            }
            (Event::Flushed(epoch), Phase::Sealing { missing, .. }) => {
                self.check(epoch);
                self.phase = Phase::Sealing { missing, flushed: true };
                None
            }
            (Event::Flushed(epoch), Phase::Persisting { .. }) if self.pace.log_decides => {
                self.check(epoch);
                self.phase = Phase::Persisting { logged: false, flushed: true };
                Some(Command::WriteLog(epoch))
            }
            (Event::Flushed(epoch), Phase::Persisting { logged, .. }) => self.persist(epoch, logged, true),
            (Event::Logged(epoch), Phase::Persisting { flushed, .. }) => self.persist(epoch, true, flushed),
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
        let due = since >= self.pace.interval && active || since >= self.pace.keep_alive || self.stopping;
        if !due {
            return None;
        }
        self.last_barrier = now;
        self.last = self.stopping;
        self.epoch = self.epoch.next();
        self.phase = Phase::Sealing { missing: self.sealers, flushed: false };
        Some(Command::Barrier { epoch: self.epoch, last: self.last })
    }

    fn persist(&mut self, epoch: Epoch, logged: bool, flushed: bool) -> Option<Command> {
        self.check(epoch);
        if logged && flushed {
            self.phase = Phase::Committing;
            return Some(Command::Commit(epoch));
        }
        self.phase = Phase::Persisting { logged, flushed };
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
