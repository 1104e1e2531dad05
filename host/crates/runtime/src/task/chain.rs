//! HOT PATH. The operators that share a thread, in order, and the edges that leave it. Operators are chained where no
//! re-key lies between them: the output of one is the input of the next, without a channel.

use metrics::Counter;
use weir_core::{Batch, Element, Epoch, KeySpec, crash_point};

use super::operator::Runner;
use crate::error::Error;
use crate::exchange::inbox::{Closed, Outlet};
use crate::exchange::partitioner::Partitioner;
use crate::signals::SealedState;

/// Where the records of one output go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the next operator of this chain.
    Next,
    /// Over an edge, marked with the output index that the receiver knows it by.
    Edge {
        /// Index of the edge.
        edge: usize,
        /// What the element is marked with: the sink's index, or 0.
        output: u32,
    },
}

/// An edge that leaves the thread.
pub(crate) enum Edge {
    /// To one task.
    Direct(Outlet),
    /// By key group over the tasks of an operator.
    Keyed(Box<Partitioner>, Vec<Outlet>),
    /// Nobody reads the output: its records are counted.
    Nowhere(Counter),
}

impl Edge {
    /// An edge to the tasks of an operator that is keyed by `key`.
    pub(crate) fn keyed(key: KeySpec, outlets: Vec<Outlet>) -> Self {
        Self::Keyed(Box::new(Partitioner::new(key, outlets.len() as u16)), outlets)
    }

    fn outlets(&self) -> &[Outlet] {
        match self {
            Self::Direct(outlet) => std::slice::from_ref(outlet),
            Self::Keyed(_, outlets) => outlets,
            Self::Nowhere(_) => &[],
        }
    }

    fn send(&mut self, output: u32, batch: Batch) -> Result<(), Closed> {
        match self {
            Self::Direct(outlet) => outlet.send(Element::Batch { output, batch }),
            Self::Keyed(partitioner, outlets) => partitioner.split(&batch).into_iter().try_for_each(|(task, batch)| {
                outlets.get(task).map_or(Ok(()), |outlet| outlet.send(Element::Batch { output, batch }))
            }),
            Self::Nowhere(counter) => {
                counter.increment(batch.frame.len() as u64);
                Ok(())
            }
        }
    }
}

/// Why a chain stopped.
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

/// The operators of one thread and what leaves it.
pub(crate) struct Chain {
    /// In order; may be empty (a source task whose first operator is elsewhere).
    pub operators: Vec<Runner>,
    /// For each operator, for each of its outputs. An empty chain has one entry, for what comes in.
    pub routes: Vec<Vec<Vec<Route>>>,
    /// What leaves.
    pub edges: Vec<Edge>,
    sealed: Option<Epoch>,
    /// The epoch that was sealed last, or the attempt's first, which is empty.
    last: Epoch,
    /// Something was processed since.
    has_changed: bool,
    /// Nobody has to be told again before the next seal.
    has_told: bool,
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

impl Chain {
    /// A chain that has sealed nothing yet; `first` is the attempt's first epoch.
    pub(crate) fn new(operators: Vec<Runner>, routes: Vec<Vec<Vec<Route>>>, edges: Vec<Edge>, first: Epoch) -> Self {
        Self { operators, routes, edges, sealed: None, last: first, has_changed: false, has_told: false }
    }

    /// Runs `batch` through the chain.
    pub(crate) fn process(&mut self, batch: Batch) -> Result<(), Stopped> {
        self.has_changed = true;
        let mut closed = false;
        let done = match self.operators.as_mut_slice() {
            [] => dispatch(&mut [], &self.routes, &mut self.edges, 0, batch, &mut closed),
            operators => run(operators, &self.routes, &mut self.edges, &batch, &mut closed),
        };
        if closed { Err(Stopped::Closed) } else { done.map_err(Stopped::Failed) }
    }

    /// Ends `epoch`: every operator seals its state.
    pub(crate) fn seal(&mut self, epoch: Epoch) -> Result<Vec<SealedState>, Error> {
        assert!(self.sealed.is_none(), "at most one epoch is sealed and unacknowledged");
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

    /// Passes a barrier or the end on.
    pub(crate) fn broadcast(&self, element: impl Fn() -> Element) -> Result<(), Closed> {
        self.edges.iter().flat_map(Edge::outlets).try_for_each(|outlet| outlet.send(element()))
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

/// Runs the first of `operators` and dispatches what it emits; `routes` begins with its own.
fn run(
    operators: &mut [Runner],
    routes: &[Vec<Vec<Route>>],
    edges: &mut [Edge],
    batch: &Batch,
    closed: &mut bool,
) -> Result<(), Error> {
    let Some((first, rest)) = operators.split_first_mut() else { return Ok(()) };
    first.run(batch, &mut |output, batch| dispatch(rest, routes, edges, output as usize, batch, closed))
}

fn dispatch(
    rest: &mut [Runner],
    routes: &[Vec<Vec<Route>>],
    edges: &mut [Edge],
    output: usize,
    batch: Batch,
    closed: &mut bool,
) -> Result<(), Error> {
    let targets = routes.first().and_then(|outputs| outputs.get(output)).map(Vec::as_slice).unwrap_or_default();
    let Some((last, others)) = targets.split_last() else { return Ok(()) };
    let mut send = |route: Route, batch: Batch| match route {
        Route::Next => run(rest, routes.get(1..).unwrap_or_default(), edges, &batch, closed),
        Route::Edge { edge, output } => {
            *closed |= edges.get_mut(edge).is_some_and(|edge| edge.send(output, batch).is_err());
            Ok(())
        }
    };
    for route in others {
        send(*route, batch.clone())?;
    }
    send(*last, batch)
}
