//! What all lanes share: the broker, the program, the figures, and whose turn it is.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use weir_tests::broker::Broker;

use crate::board::Board;
use crate::seeds::Seeds;

/// Where everything takes place.
pub(crate) struct Stage {
    pub(crate) broker: Broker,
    /// The program under test.
    pub(crate) program: PathBuf,
    /// Logs and state of all jobs.
    pub(crate) home: PathBuf,
    /// The places that may be struck; all if empty.
    pub(crate) only: Vec<String>,
    /// Those of all runs.
    pub(crate) seeds: Seeds,
    board: Mutex<Board>,
    begun: AtomicU64,
    over: AtomicBool,
    /// Odd while the broker is stopped.
    pauses: AtomicU64,
    pausing: Mutex<()>,
}

impl Stage {
    /// Nothing has begun.
    pub(crate) fn new(broker: Broker, program: PathBuf, home: PathBuf, only: Vec<String>, seeds: Seeds) -> Self {
        let (board, pausing) = (Mutex::default(), Mutex::default());
        let (begun, over, pauses) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
        Self { broker, program, home, only, seeds, board, begun, over, pauses, pausing }
    }

    /// The seed of the next run, if there is to be one.
    pub(crate) fn next_seed(&self) -> Option<u64> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        if self.is_over() { None } else { self.seeds.get(number) }
    }

    /// No run begins any more.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the broker for `time`, for all lanes.
    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        let _one_at_a_time = self.pausing.lock().unwrap_or_else(PoisonError::into_inner);
        self.pauses.fetch_add(1, Ordering::Relaxed);
        self.broker.pause()?;
        std::thread::sleep(time);
        self.broker.resume()?;
        self.pauses.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Changes with each pause and each end of one; odd while the broker is stopped.
    pub(crate) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }
}
