//! The coordinator loop of a running attempt: one event at a time, decisions by `checkpoint::Epochs`, and the only writer
//! of the job's status. It calls nothing that can hang: commits run on the sink task's thread, log writes on the
//! log thread, and this loop watches the clock over both.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info};
use weir_checkpoint::coordinator::Pace;
use weir_checkpoint::epochs::{Changes, Opening};
use weir_checkpoint::{Command, Epochs, Event, shared};
use weir_core::ports::{Delta, StateBytes, StateStore};
use weir_core::{Delivery, Epoch, RecordId};
use weir_machine::channel::{Receiver, RecvTimeoutError, Sender};

use crate::attempt::MarkerPlace;
use crate::error::Error;
use crate::job::{JobHandle, JobOptions};
use crate::log_writer::LogWriter;
use crate::metrics::JobMetrics;
use crate::signals::{SealedState, Signals, SinkCommand, Switch, TaskEvent};
use crate::status::JobState;
use crate::watch::{STOP_WITHIN, Wait, Watch, ms};

mod shown;
mod switch;

pub(crate) use shown::Shown;

/// An idle job commits at least this often: what it has committed, and its right to, expire outside (Kafka: after 7 days at the earliest).
const KEEP_ALIVE: Duration = Duration::from_secs(3600);
/// How often the loop looks at stop requests and the clock.
const TICK: Duration = Duration::from_millis(10);
/// How often a store without room is looked at.
const ROOM_POLL: Duration = Duration::from_millis(1);

/// What an epoch of a job that writes to standard output may wait for as long as it takes.
const READER: &str = "the operators and sinks, or whoever reads standard output";
const SILENCE: &str = "the source to answer";

/// What the loop works with.
pub(crate) struct Loop<'a> {
    /// The job.
    pub options: &'a JobOptions,
    /// Its handle.
    pub handle: &'a JobHandle,
    /// Its metrics.
    pub metrics: &'a JobMetrics,
    /// Downwards to tasks.
    pub signals: Arc<Signals>,
    /// Upwards from tasks.
    pub events: Receiver<TaskEvent>,
    /// To the sink task.
    pub sink: Sender<SinkCommand>,
    /// The log thread.
    pub log: &'a LogWriter,
    /// Keyed state.
    pub state: &'a dyn StateStore,
    /// Tasks that seal: those of every source and operator.
    pub sealers: usize,
    /// How much longer than usual everything may take, after time-outs.
    pub stretch: u32,
    /// Where the sources stand, for the eye.
    pub shown: Shown<'a>,
}

/// How an attempt ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything was read.
    Done,
    /// Somebody asked for it.
    Stopped,
}

/// What grows while an epoch is under way.
#[derive(Default)]
struct Open<'a> {
    deltas: Vec<Delta>,
    state_bytes: HashMap<usize, u64>,
    began: Option<Instant>,
    happened_at_barrier: u64,
    /// The attempt's first epoch holds.
    is_running: bool,
    /// When the commit was handed to the sink task.
    commit_sent: Option<Instant>,
    /// How many sources have nothing more.
    ended: usize,
    /// A task waits for what it holds to get into the store.
    pressed: bool,
    /// What the epoch waits for.
    wait: Option<Wait<'a>>,
    /// Questions of a source that have no answer; an idle job waits for nothing else.
    silence: Option<Wait<'a>>,
    /// For each source since when its questions have had none.
    silent: BTreeMap<usize, Instant>,
    /// A version that takes over at a barrier, until the epoch of that holds.
    switch: Option<Arc<Switch>>,
}

impl<'a> Loop<'a> {
    /// Commits the attempt's first epoch, whose record is in the log, then runs until the last one holds.
    pub(crate) fn run(mut self, opening: Opening) -> Result<Ending, Error> {
        // Before anything is read: this is where the process begins, or goes on.
        for (source, entry) in opening.sources().iter().enumerate() {
            self.shown.show(source, &entry.splits, &[], &[]);
        }
        let began = weir_machine::now();
        let pace = self.pace(&opening.manifest().plan.marker);
        let (mut epochs, first) = opening.run(pace, self.sealers);
        let mut open = Open { began: Some(began), ..Open::default() };
        self.obey(Some(first), &epochs, &mut open)?;
        let mut is_stopping = false;
        while !epochs.machine().is_done() {
            if !is_stopping && self.handle.is_stopping() {
                is_stopping = true;
                self.handle.board.change(|status| status.state = JobState::Stopping);
                self.step(Event::Stop, &mut epochs, &mut open)?;
            }
            self.check_stop()?;
            self.look_for_swaps(&mut epochs, &mut open)?;
            self.handle.versions.write_news();
            let active = self.signals.happened() != open.happened_at_barrier;
            self.step(Event::Tick { now: weir_machine::since(began), active }, &mut epochs, &mut open)?;
            self.watch(&epochs, &mut open)?;
            let machine = epochs.machine();
            let wait = if machine.is_waiting() {
                TICK
            } else {
                machine.next_tick().saturating_sub(weir_machine::since(began)).clamp(Duration::from_millis(1), TICK)
            };
            match self.events.recv_timeout(wait) {
                Ok(event) => self.note(event, &mut epochs, &mut open)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Invariant("every task is gone".into())),
            }
        }
        let is_cut = is_stopping && open.ended < epochs.sources().len();
        Ok(if is_cut { Ending::Stopped } else { Ending::Done })
    }

    fn pace(&self, marker: &MarkerPlace) -> Pace {
        let log_decides = self.options.delivery != Delivery::ExactlyOnce || *marker == MarkerPlace::Nowhere;
        Pace { interval: self.options.epoch_interval, keep_alive: KEEP_ALIVE, log_decides }
    }

    fn step(&mut self, event: Event, epochs: &mut Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        let command = epochs.step(event)?;
        self.obey(command, epochs, open)
    }

    /// One event from below.
    fn note(&mut self, event: TaskEvent, epochs: &mut Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        let known = epochs.splits();
        let event = match event {
            TaskEvent::SourceSealed { source, epoch, splits, progress, times, state, kept } => {
                self.shown.show(source, &splits, &progress, &times);
                Event::SourceSealed { epoch, source, splits, changes: open.take(state), times: kept }
            }
            TaskEvent::Sealed { epoch, state, kept } => Event::Sealed { epoch, changes: open.take(state), times: kept },
            TaskEvent::Full(sealed) => {
                open.pressed = true;
                Event::Full(sealed)
            }
            TaskEvent::Flushed(epoch) => Event::Flushed(epoch),
            TaskEvent::Verified(epoch) => Event::Verified(epoch),
            TaskEvent::Logged(epoch) => Event::Logged(epoch),
            TaskEvent::Committed { epoch, took } => {
                debug!(epoch = epoch.0, took_ms = took.as_secs_f64() * 1e3, "committed");
                Event::Committed(epoch)
            }
            TaskEvent::Ended => {
                open.ended += 1;
                Event::Ended
            }
            TaskEvent::Progress { source, splits, progress, times, silent_since } => {
                self.shown.show(source, &splits, &progress, &times);
                self.listen(source, silent_since, open);
                return Ok(());
            }
            TaskEvent::Failed(error) => return Err(error),
        };
        self.step(event, epochs, open)?;
        // A split that is new may be one that two patterns match.
        let shared = if epochs.splits() > known { shared(epochs.sources()) } else { None };
        shared.map_or(Ok(()), |shared| Err(shared.into()))
    }

    fn obey(&mut self, command: Option<Command>, epochs: &Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        match command {
            Some(Command::Barrier { epoch, last }) => {
                open.began = Some(weir_machine::now());
                open.happened_at_barrier = self.signals.happened();
                if let Some(switch) = &open.switch {
                    self.signals.switch_at(epoch, switch);
                }
                self.signals.ask_barrier(epoch, last);
            }
            Some(Command::WriteLog(record)) => {
                let sync = self.options.delivery != Delivery::None;
                self.state.logged(record.manifest.len() as u64);
                self.log.append(record, open.deltas.clone(), sync);
            }
            Some(Command::Commit(commit)) => {
                open.commit_sent = Some(weir_machine::now());
                // A sink task that is gone has told why.
                drop(self.sink.send(SinkCommand::Commit(commit)));
            }
            Some(Command::Apply(record)) => self.apply(&record, epochs, open)?,
            None => {}
        }
        Ok(())
    }

    fn apply(&mut self, record: &RecordId, epochs: &Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        let epoch = record.epoch;
        open.wait = None;
        self.signals.set_committed(epoch);
        let deltas = std::mem::take(&mut open.deltas);
        self.wait_for_room(epoch)?;
        self.state.apply(record, deltas).map_err(Error::port("failed to apply an epoch"))?;
        if std::mem::take(&mut open.pressed) {
            self.state.hurry();
        }
        self.log.trim(self.state.durable());
        self.metrics.epoch_committed.set(epoch.0 as f64);
        let took = open.began.take().map_or(Duration::ZERO, weir_machine::since);
        self.shown.hold(epochs.sources());
        self.handle.board.change(|status| status.epoch = epoch);
        self.hold_switch(epoch, open);
        if std::mem::replace(&mut open.is_running, true) {
            self.metrics.epoch_commit_seconds.record(took.as_secs_f64());
        } else {
            info!(epoch = epoch.0, attempt = %epochs.manifest().attempt, took_ms = ms(took), "running");
            self.handle.board.change(|status| {
                // A stop that came first is shown.
                if !self.handle.is_stopping() {
                    status.state = JobState::Running;
                }
                status.running_since = Some(weir_machine::now());
            });
        }
        self.show_state(epochs, open);
        Ok(())
    }

    /// What each operator keeps: in memory, as its tasks said when they sealed, and on disk.
    fn show_state(&self, epochs: &Epochs, open: &mut Open<'_>) {
        let operators = &epochs.manifest().plan.operators;
        let numbers = |name: &str| operators.iter().find(|entry| entry.name == name).map(|entry| entry.id);
        self.handle.board.change(|status| {
            for (operator, memory) in open.state_bytes.drain() {
                let Some(operator) = status.operators.get_mut(operator) else { continue };
                let disk = numbers(&operator.name).map_or(0, |id| self.state.bytes(id).disk);
                operator.state_bytes = disk + memory;
                self.metrics.state_bytes(&operator.name, StateBytes { disk, memory });
            }
        });
    }

    /// A client call may hang for ever; the epoch under way tells. Whoever reads a pipe may take all the time in the
    /// world; a commit may not.
    fn watch(&self, epochs: &Epochs, open: &mut Open<'a>) -> Result<(), Error> {
        let machine = epochs.machine();
        let since = match (machine.is_committing(), machine.is_waiting()) {
            (true, _) => open.commit_sent,
            (false, true) => open.began,
            (false, false) => None,
        };
        let Some(since) = since else {
            open.wait = None;
            return Ok(());
        };
        let is_patient = self.options.has_patient_sink && !machine.is_committing();
        let what = if is_patient { READER } else { machine.waiting_for() };
        if open.wait.as_ref().is_none_or(|wait| !wait.is(what, since)) {
            // The one before is over before the next is shown.
            open.wait = None;
            let wait = Wait::since(self.watcher(), "for", what, since);
            open.wait = Some(if is_patient { wait.patient() } else { wait });
        }
        if let Some(wait) = &mut open.wait {
            wait.look();
        }
        if is_patient { Ok(()) } else { self.check_stall(machine.epoch(), since, what) }
    }

    /// A source's side of the outside is silent, or speaks. Nothing fails by it: whatever comes of it, an epoch shows.
    fn listen(&self, source: usize, silent_since: Option<Instant>, open: &mut Open<'a>) {
        match silent_since {
            Some(since) => drop(open.silent.insert(source, since)),
            None => drop(open.silent.remove(&source)),
        }
        let Some(since) = open.silent.values().min().copied() else {
            open.silence = None;
            return;
        };
        if !open.silence.as_ref().is_some_and(|wait| wait.is(SILENCE, since)) {
            open.silence = Some(Wait::since(self.watcher(), "for", SILENCE, since));
        }
        if let Some(wait) = &mut open.silence {
            wait.look();
        }
    }

    fn watcher(&self) -> Watch<'a> {
        Watch { handle: self.handle, metrics: self.metrics }
    }

    /// The store takes an epoch at once if it has room; a disk that hangs must not hang this loop.
    fn wait_for_room(&self, epoch: Epoch) -> Result<(), Error> {
        const WHAT: &str = "the state store to take the epoch";
        let began = weir_machine::now();
        let mut wait = Wait::since(self.watcher(), "for", WHAT, began);
        while !self.state.has_room() {
            wait.look();
            self.check_stall(epoch, began, WHAT)?;
            weir_machine::sleep(ROOM_POLL);
        }
        Ok(())
    }

    /// A stop has one clock, whatever it waits for.
    fn check_stop(&self) -> Result<(), Error> {
        match self.handle.stopping_for() {
            Some(stopping) if stopping > STOP_WITHIN => Err(Error::StopTimedOut(STOP_WITHIN)),
            _ => Ok(()),
        }
    }

    fn check_stall(&self, epoch: Epoch, began: Instant, what: &'static str) -> Result<(), Error> {
        let waited = weir_machine::since(began);
        match waited > self.options.stall_after.saturating_mul(self.stretch) {
            true => Err(Error::Stalled { epoch, waited, what }),
            false => Ok(()),
        }
    }
}

impl Open<'_> {
    /// Keeps what a task has sealed, and says what it adds to the epoch's record.
    fn take(&mut self, state: Vec<SealedState>) -> Changes {
        let from = self.deltas.len();
        for SealedState { operator, delta, bytes } in state {
            *self.state_bytes.entry(operator).or_default() += bytes;
            if delta.entries > 0 {
                self.deltas.push(delta);
            }
        }
        Changes::of(self.deltas.get(from..).unwrap_or_default())
    }
}
