//! The life of an epoch as a state machine: events in, commands out, one at a time.
//!
//! ```text
//!            tick, and something to commit            every source and task sealed
//!   Idle ─────────────────────────────────▶ Sealing ───────────────────────────▶ Persisting
//!    ▲   ▶ Barrier(N)                                ▶ WriteLog(N)                   │ logged, flushed and verified
//!    │                                                                               ▼ ▶ Commit(N)
//!    └───────────────────────── committed ▶ Apply(N) ─────────────────────────── Committing ◀── an attempt begins here
//! ```
//! An attempt begins with a record that is logged already and holds nothing but what was restored: committing it makes
//! ownership visible before any output.
//!
//! The sinks' acknowledgements and each source's verification (that what was read came from what the splits say) may come
//! in either phase. Where the log alone decides what holds (`log_decides`), its record is written only after both: a
//! durable record then stands for output that is there, and for records that were what they seemed.
//!
//! A barrier comes early where a task is full: what it holds can leave memory only once its epoch holds; and where something is
//! asked for that takes effect with it.
//!
//! I1: `Commit(N)` is given only after `Logged(N)`. I2: `Barrier(N+1)` only after `Committed(N)`. I11: `Commit(N)` is given
//! only after `Verified(N)` of every source. After the last epoch (`stop`, or every source ended) the machine is done.

use std::time::Duration;

use weir_core::Epoch;

use crate::epochs::Broken;

/// What happened; see [`crate::epochs::Event`], which says it with its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Tick { now: Duration, active: bool },
    Sealed(Epoch),
    Flushed(Epoch),
    Verified(Epoch),
    Logged(Epoch),
    Committed(Epoch),
    Full(Epoch),
    Ended,
    Asked,
    Stop,
}

/// What to do; see [`crate::epochs::Command`], which says it with what is needed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Barrier { epoch: Epoch, last: bool },
    WriteLog(Epoch),
    Commit(Epoch),
    Apply(Epoch),
}

/// Who takes part in an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tasks {
    /// Tasks that seal it: those of the sources, and every other.
    pub(crate) sealers: usize,
    /// Sources, each of which verifies it, and ends.
    pub(crate) sources: usize,
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

/// What the outside still has to answer, in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outside {
    /// The sinks, all at once.
    unflushed: usize,
    /// Each source.
    unverified: usize,
}

impl Outside {
    fn is_complete(self) -> bool {
        self.unflushed == 0 && self.unverified == 0
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
    tasks: Tasks,
    epoch: Epoch,
    phase: Phase,
    last_barrier: Duration,
    last: bool,
    stopping: bool,
    /// The attempt's first commit is not acknowledged yet.
    is_opening: bool,
    /// How many sources may still bring something.
    unended: usize,
    /// Somebody waits for the next barrier.
    awaited: bool,
}

impl Coordinator {
    /// Begins with the commit of `epoch`, whose record is in the log.
    pub(crate) fn new(pace: Pace, epoch: Epoch, tasks: Tasks) -> Self {
        let (phase, last_barrier, unended) = (Phase::Committing, Duration::ZERO, tasks.sources);
        let (last, stopping, is_opening, awaited) = (false, false, true, false);
        Self { pace, tasks, epoch, phase, last_barrier, last, stopping, is_opening, unended, awaited }
    }

    /// When the next tick can have an effect, as time since the attempt began.
    pub fn next_tick(&self) -> Duration {
        if self.awaited { Duration::ZERO } else { self.last_barrier.saturating_add(self.pace.interval) }
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
            Phase::Persisting { outside: Outside { unflushed: 1.., .. }, .. } => "acknowledgements of the output",
            Phase::Persisting { .. } => "the source to verify what was read",
            Phase::Committing if self.is_opening => "the first commit of the attempt",
            Phase::Committing => "the commit",
        }
    }

    /// One event, and what follows from it.
    pub(crate) fn step(&mut self, event: Event) -> Result<Option<Command>, Broken> {
        match (event, self.phase) {
            (_, Phase::Done) => Ok(None),
            (Event::Tick { now, active }, Phase::Idle) => Ok(self.tick(now, active)),
            (Event::Tick { .. }, _) => Ok(None),
            // One that has not sealed the epoch under way gets room by it.
            (Event::Full(sealed), _) => {
                self.awaited |= sealed == self.epoch;
                Ok(None)
            }
            (Event::Ended, _) => {
                self.unended = self.unended.checked_sub(1).ok_or_else(|| self.broken(event))?;
                self.stopping |= self.unended == 0;
                Ok(None)
            }
            (Event::Asked, Phase::Idle) => {
                self.awaited = true;
                Ok(None)
            }
            (Event::Stop, _) => {
                self.stopping = true;
                Ok(None)
            }
            (Event::Sealed(epoch), Phase::Sealing { missing, outside }) => {
                self.check(epoch, event)?;
                Ok(match missing {
                    0 | 1 => self.persist(Log::Held, outside),
                    _ => self.wait(Phase::Sealing { missing: missing - 1, outside }),
                })
            }
            (Event::Flushed(epoch), _) => self.hear(epoch, event, |outside| &mut outside.unflushed),
            (Event::Verified(epoch), _) => self.hear(epoch, event, |outside| &mut outside.unverified),
            (Event::Logged(epoch), Phase::Persisting { log: Log::Asked, outside }) => {
                self.check(epoch, event)?;
                Ok(self.persist(Log::Written, outside))
            }
            (Event::Committed(epoch), Phase::Committing) => {
                self.check(epoch, event)?;
                self.is_opening = false;
                self.phase = if self.last { Phase::Done } else { Phase::Idle };
                Ok(Some(Command::Apply(epoch)))
            }
            _ => Err(self.broken(event)),
        }
    }

    /// True when the last epoch holds.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn tick(&mut self, now: Duration, active: bool) -> Option<Command> {
        let since = now.saturating_sub(self.last_barrier);
        let due =
            since >= self.pace.interval && active || since >= self.pace.keep_alive || self.stopping || self.awaited;
        if !due {
            return None;
        }
        self.last_barrier = now;
        (self.last, self.awaited) = (self.stopping, false);
        self.epoch = self.epoch.next();
        let outside = Outside { unflushed: 1, unverified: self.tasks.sources };
        self.phase = Phase::Sealing { missing: self.tasks.sealers, outside };
        Some(Command::Barrier { epoch: self.epoch, last: self.last })
    }

    /// The outside has given one of its answers, each of which it gives once.
    fn hear(
        &mut self,
        epoch: Epoch,
        event: Event,
        unanswered: fn(&mut Outside) -> &mut usize,
    ) -> Result<Option<Command>, Broken> {
        self.check(epoch, event)?;
        let heard = |mut outside: Outside| {
            let unanswered = unanswered(&mut outside);
            *unanswered = unanswered.checked_sub(1)?;
            Some(outside)
        };
        match self.phase {
            Phase::Sealing { missing, outside } => {
                let outside = heard(outside).ok_or_else(|| self.broken(event))?;
                Ok(self.wait(Phase::Sealing { missing, outside }))
            }
            Phase::Persisting { log, outside } => {
                let outside = heard(outside).ok_or_else(|| self.broken(event))?;
                Ok(self.persist(log, outside))
            }
            Phase::Idle | Phase::Committing | Phase::Done => Err(self.broken(event)),
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

    fn check(&self, epoch: Epoch, event: Event) -> Result<(), Broken> {
        if epoch == self.epoch { Ok(()) } else { Err(self.broken(event)) }
    }

    fn broken(&self, event: Event) -> Broken {
        Broken(format!("{event:?} in epoch {} while {:?}", self.epoch, self.phase))
    }
}

#[cfg(test)]
mod tests;
