//! HOT PATH. The operators that share a thread, and where what they put out goes: to others of them without a channel, or
//! over edges to other threads.
//!
//! Batches are worked off from a list of (operator, input, batch), what came last first: what a batch leads to is done
//! before the next batch is begun, so that each edge gets its records in order and little is held at a time. Whoever
//! reads an output shares its batch with the others; nothing is copied for them.

use std::sync::Arc;

use weir_core::{Batch, Element, Epoch, OperatorId, Progress, Rising, Watermark, crash_point};
use weir_operator::{Advanced, Runner};

use crate::error::Error;
use crate::exchange::edge::{Edge, Outlets};
use crate::exchange::inbox::Closed;
use crate::signals::{SealedState, Signals};
use crate::task::told::ToldTime;

/// Where the records of an output go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To an operator of this thread.
    Operator {
        /// Its place in [`Flow::operators`].
        at: usize,
        /// Which of its inputs.
        input: u32,
    },
    /// Over the edge of this number.
    Edge(usize),
}

/// Why a task stopped.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// An error of its own.
    Failed(Error),
    /// A receiver is gone: the attempt is over.
    Closed,
}

impl From<Closed> for Stopped {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How the operators of one thread are joined.
#[derive(Default)]
pub(crate) struct Joints {
    /// Where what the source reads goes; nowhere in the task of operators.
    pub source: Vec<Target>,
    /// For each operator, for each of its outputs: where that goes.
    pub routes: Vec<Vec<Vec<Target>>>,
    /// What leaves the thread.
    pub edges: Vec<Edge>,
    /// By what it leaves.
    pub outlets: Outlets,
}

/// The operators of one thread and what leaves it.
pub(crate) struct Flow {
    /// Each after those that it reads; none in the task of a source whose first operator is elsewhere.
    operators: Vec<Runner>,
    /// Which task of its operators it is.
    task: u16,
    joints: Joints,
    /// What is left to do, the next last.
    work: Vec<Work>,
    /// What the operator under way has put out.
    outputs: Vec<(u32, Batch)>,
    sealed: Option<Epoch>,
    /// The epoch that was sealed last, or the attempt's first, which is empty.
    last: Epoch,
    /// Something was processed since.
    has_changed: bool,
    /// Nobody has to be told again before the next seal.
    has_told: bool,
    /// How far the time of what comes in has come.
    time: Rising,
    /// The same for the eye.
    shown: ToldTime,
}

/// A batch that an operator has to process.
struct Work {
    at: usize,
    input: u32,
    batch: Arc<Batch>,
}

/// Whether a thread takes more input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It does.
    Enough,
    /// Not before what it holds is in the store. `tell`: nobody knows yet that it waits for a barrier.
    None {
        /// See above.
        tell: Option<Epoch>,
    },
}

impl Flow {
    /// One that has sealed nothing yet; `first` is the attempt's first epoch.
    pub(crate) fn new((operators, task): (Vec<Runner>, u16), joints: Joints, first: Epoch, shown: ToldTime) -> Self {
        let (work, outputs) = (Vec::new(), Vec::new());
        let (sealed, has_changed, has_told) = (None, false, false);
        let time = Rising::new(shown.get());
        Self { operators, task, joints, work, outputs, sealed, last: first, has_changed, has_told, time, shown }
    }

    /// Processes what the source has read.
    pub(crate) fn read(&mut self, batch: Batch) -> Result<(), Stopped> {
        self.has_changed = true;
        hand_on(&self.joints.source, &mut self.joints.edges, &self.joints.outlets, &mut self.work, batch)?;
        self.work.reverse();
        self.work_off()
    }

    /// Processes what came in by `input` of the first operator: the others read only operators of this thread.
    pub(crate) fn receive(&mut self, input: u32, batch: Arc<Batch>) -> Result<(), Stopped> {
        self.has_changed = true;
        self.work.push(Work { at: 0, input, batch });
        self.work_off()
    }

    /// Until nothing is left to do. What an operator has put out before it failed goes its way, and nothing else does.
    fn work_off(&mut self) -> Result<(), Stopped> {
        let mut failed = None;
        while let Some(Work { at, input, batch }) = self.work.pop() {
            let Some(runner) = self.operators.get_mut(at) else { continue };
            let done = runner.run(input, &batch, &mut self.outputs);
            drop(batch);
            if let Err(error) = done {
                self.work.clear();
                failed.get_or_insert(error);
            }
            self.hand_out(at)?;
        }
        failed.map_or(Ok(()), |error| Err(Stopped::Failed(error.into())))
    }

    /// Gives what the operator `at` has put out to whoever reads it.
    fn hand_out(&mut self, at: usize) -> Result<(), Closed> {
        let before = self.work.len();
        let routes = self.joints.routes.get(at);
        for (output, batch) in self.outputs.drain(..) {
            let targets = routes.and_then(|outputs| outputs.get(output as usize));
            let targets = targets.map(Vec::as_slice).unwrap_or_default();
            hand_on(targets, &mut self.joints.edges, &self.joints.outlets, &mut self.work, batch)?;
        }
        if let Some(new) = self.work.get_mut(before..) {
            new.reverse();
        }
        Ok(())
    }

    /// The time of everything that comes in has come to `to`. One operator after the other fires what is due, and each
    /// before that has the output of those that it reads; then whoever reads this thread is told. True where something
    /// fired.
    pub(crate) fn advance(&mut self, to: Progress) -> Result<bool, Stopped> {
        let mut fired = false;
        if to.watermark > self.time.get() {
            for at in 0..self.operators.len() {
                fired |= self.fire(at, to.watermark)?;
            }
            self.has_changed |= fired;
            self.time.raise(to.watermark);
            self.shown.tell(to.watermark);
        }
        self.broadcast(|| Element::Time(to))?;
        Ok(fired)
    }

    /// What is due in the operator `at`, and what that leads to.
    fn fire(&mut self, at: usize, to: Watermark) -> Result<bool, Stopped> {
        let mut fired = false;
        while let Some(runner) = self.operators.get_mut(at) {
            let advanced = runner.advance(to, &mut self.outputs);
            // What it has put out before it failed goes its way.
            self.hand_out(at)?;
            self.work_off()?;
            match advanced.map_err(Error::from)? {
                Advanced::Nothing => break,
                Advanced::Changed => return Ok(true),
                Advanced::More => fired = true,
            }
        }
        Ok(fired)
    }

    /// Processing time has come to `now_ms`: fires what is due by it, about a batch in each operator, and what that leads to.
    /// True where something fired.
    pub(crate) fn wake(&mut self, now_ms: i64) -> Result<bool, Stopped> {
        let mut fired = false;
        for at in 0..self.operators.len() {
            let Some(runner) = self.operators.get_mut(at) else { continue };
            if runner.wakes_at().is_none_or(|at_ms| at_ms > now_ms) {
                continue;
            }
            let woken = runner.wake(now_ms, &mut self.outputs);
            self.hand_out(at)?;
            self.work_off()?;
            fired |= woken.map_err(Error::from)? != Advanced::Nothing;
        }
        self.has_changed |= fired;
        Ok(fired)
    }

    /// A moment of processing time before which [`Flow::wake`] has nothing to do.
    pub(crate) fn wakes_at(&self) -> Option<i64> {
        self.operators.iter().filter_map(Runner::wakes_at).min()
    }

    /// The epoch that was sealed last.
    pub(crate) fn last(&self) -> Epoch {
        self.last
    }

    /// How far the time of each operator has come, as an epoch keeps it: all have that of what comes in.
    pub(crate) fn floors(&self) -> Vec<(OperatorId, Watermark)> {
        let (floor, ids) = (self.time.floor(), self.operators.iter().map(|runner| runner.options.id));
        if floor == Watermark::NONE { Vec::new() } else { ids.map(|id| (id, floor)).collect() }
    }

    /// Where the time of a task stands when it begins: whoever reads it has not heard of it yet.
    pub(crate) fn tell_time(&self, begin: Progress) -> Result<(), Closed> {
        if begin.watermark == Watermark::NONE { Ok(()) } else { self.broadcast(|| Element::Time(begin)) }
    }

    /// Ends `epoch`: every operator seals its state.
    pub(crate) fn seal(&mut self, epoch: Epoch) -> Result<Vec<SealedState>, Error> {
        assert!(self.sealed.is_none(), "at most one epoch is sealed and unacknowledged");
        assert!(!self.operators.iter().any(Runner::holds_letters), "dead letters leave with what they are of");
        (self.sealed, self.last) = (Some(epoch), epoch);
        (self.has_changed, self.has_told) = (false, false);
        let seal = |runner: &mut Runner| {
            let operator = runner.options.index;
            runner.state().map(|state| SealedState { operator, delta: state.seal(epoch), bytes: state.bytes() })
        };
        let sealed: Vec<_> = self.operators.iter_mut().filter_map(seal).collect();
        if !self.operators.is_empty() {
            crash_point!("operators-aligned")?;
        }
        Ok(sealed)
    }

    /// Between the barrier and the next batch: a version that takes over there does.
    pub(crate) fn switch(&mut self, epoch: Epoch, signals: &Signals) -> Result<(), Error> {
        let Some(switch) = signals.switch(epoch) else { return Ok(()) };
        let Some(runner) = self.operators.iter_mut().find(|runner| runner.options.index == switch.operator) else {
            return Ok(());
        };
        let began = weir_machine::now();
        let missing = || Error::Invariant(format!("task {} has no instance of its new version", self.task));
        let (version, probation) = switch.take(self.task).ok_or_else(missing)?;
        runner.take_over(version, probation);
        switch.note_pause(weir_machine::since(began));
        Ok(())
    }

    /// Passes a barrier or the end on: once to each task that reads this one, by however many edges.
    pub(crate) fn broadcast(&self, element: impl Fn() -> Element) -> Result<(), Closed> {
        self.joints.outlets.all().try_for_each(|outlet| outlet.send(element()))
    }

    /// Whether the thread takes more input, where the source was `asked` to end an epoch. What has changed cannot leave
    /// memory before its epoch is in the store. Where that fills the thread's share, it waits for it, and for that for
    /// a barrier: one that it has not seen yet is behind what already waits here, so that must be taken.
    pub(crate) fn room(&mut self, asked: Epoch) -> Room {
        let is_full = |runner: &mut Runner| runner.state().is_some_and(|state| state.is_full());
        if asked > self.last || !self.operators.iter_mut().any(is_full) {
            return Room::Enough;
        }
        let tell = self.sealed.is_none() && self.has_changed && !self.has_told;
        self.has_told |= tell;
        Room::None { tell: tell.then_some(self.last) }
    }

    /// Between two elements: operators tell what is due.
    pub(crate) fn look(&mut self) {
        self.operators.iter_mut().for_each(Runner::look);
    }

    /// The sealed epoch joins the committed layer as soon as it holds.
    pub(crate) fn note_committed(&mut self, committed: Epoch) {
        if let Some(sealed) = self.sealed.take_if(|sealed| *sealed <= committed) {
            self.operators.iter_mut().filter_map(Runner::state).for_each(|state| state.commit(sealed));
        }
    }
}

/// Gives `batch` to each of `targets`: sends it off, or adds it to `work`, in order.
fn hand_on(
    targets: &[Target],
    edges: &mut [Edge],
    outlets: &Outlets,
    work: &mut Vec<Work>,
    batch: Batch,
) -> Result<(), Closed> {
    let batch = Arc::new(batch);
    for target in targets {
        match *target {
            Target::Operator { at, input } => work.push(Work { at, input, batch: Arc::clone(&batch) }),
            Target::Edge(edge) => edges.get_mut(edge).map_or(Ok(()), |edge| edge.send(outlets, &batch))?,
        }
    }
    Ok(())
}
