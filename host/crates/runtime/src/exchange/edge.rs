//! HOT PATH. What leaves a thread: for each reader of an output one edge, for each task that reads anything of this one an
//! outlet. Several edges between the same two tasks share an outlet, so one barrier is enough, and what is sent over
//! them keeps its order.

use std::sync::Arc;

use metrics::Counter;
use weir_core::{Batch, Element, KeySpec};

use super::inbox::{Closed, Outlet};
use super::partitioner::Partitioner;

/// The outlets of one task: for each exchange that it sends through, one for each task at the other end.
#[derive(Default)]
pub(crate) struct Outlets(Vec<Vec<Outlet>>);

impl Outlets {
    /// Of a task that sends through so many exchanges; nobody is at the other end yet.
    pub(crate) fn new(exchanges: usize) -> Self {
        Self((0..exchanges).map(|_| Vec::new()).collect())
    }

    /// The next task at the other end of an exchange.
    pub(crate) fn add(&mut self, exchange: usize, outlet: Outlet) {
        if let Some(outlets) = self.0.get_mut(exchange) {
            outlets.push(outlet);
        }
    }

    /// Each of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Outlet> {
        self.0.iter().flatten()
    }

    /// How many tasks are at the other end of an exchange.
    pub(crate) fn tasks(&self, exchange: usize) -> usize {
        self.0.get(exchange).map_or(0, Vec::len)
    }

    fn to(&self, exchange: usize, task: usize) -> Option<&Outlet> {
        self.0.get(exchange)?.get(task)
    }
}

/// One reader of one output, in another thread.
pub(crate) struct Edge {
    /// Which of the task's exchanges it goes through.
    pub exchange: usize,
    /// What the reader knows it by.
    pub port: u32,
    /// To which of the reader's tasks.
    pub to: To,
}

/// To which tasks the records of an edge go.
pub(crate) enum To {
    /// To this one.
    Task(usize),
    /// To the one that owns the group of a record's key.
    KeyGroup(Box<Partitioner>),
    /// Batch by batch to one after the other; this one is next.
    Turns(usize),
    /// To each of them.
    All,
    /// Nobody reads the output: its records are counted.
    Nowhere(Counter),
}

impl Edge {
    /// Counts what nobody reads.
    pub(crate) fn nowhere(counter: Counter) -> Self {
        Self { exchange: 0, port: 0, to: To::Nowhere(counter) }
    }

    /// To the tasks, so many, of an operator that is keyed by `key`.
    pub(crate) fn keyed(exchange: usize, port: u32, key: KeySpec, tasks: usize) -> Self {
        let tasks = u16::try_from(tasks).unwrap_or(u16::MAX);
        Self { exchange, port, to: To::KeyGroup(Box::new(Partitioner::new(key, tasks))) }
    }

    /// Sends `batch` to those who are to have it; waits while they have no room.
    pub(crate) fn send(&mut self, outlets: &Outlets, batch: &Arc<Batch>) -> Result<(), Closed> {
        let (exchange, port) = (self.exchange, self.port);
        let put = |task: usize, batch: Arc<Batch>| {
            outlets.to(exchange, task).map_or(Ok(()), |outlet| outlet.send(Element::Batch { port, batch }))
        };
        match &mut self.to {
            To::Task(task) => put(*task, Arc::clone(batch)),
            To::KeyGroup(partitioner) => {
                partitioner.split(batch).into_iter().try_for_each(|(task, part)| put(task, Arc::new(part)))
            }
            To::Turns(next) => {
                let task = *next;
                *next = (task + 1) % outlets.tasks(exchange).max(1);
                put(task, Arc::clone(batch))
            }
            To::All => (0..outlets.tasks(exchange)).try_for_each(|task| put(task, Arc::clone(batch))),
            To::Nowhere(counter) => {
                counter.increment(batch.frame.len() as u64);
                Ok(())
            }
        }
    }
}
