//! What passes between the threads of a source: batches and positions from the fetcher to the reader, an error from
//! any thread, splits that appeared from discovery to the fetcher.
//!
//! Bounded by batches and by bytes: while it is full, the fetcher waits here and polls nothing.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use weir_core::ports::Unreadable;
use weir_core::{Batch, SplitState};

use crate::error::Error;

/// Batches that wait at most.
const BATCHES_MAX: usize = 4;
/// Bytes that wait at most; one batch may always wait, however large.
const BYTES_MAX: usize = 4 << 20;

/// What the fetcher hands over at once.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// Splits that are read from now on; appended to those before.
    pub added: Vec<SplitState>,
    /// Records, if any.
    pub batch: Option<Batch>,
    /// In place of records: one that cannot be given.
    pub unreadable: Option<Unreadable>,
    /// Where splits stand after these records.
    pub moves: Vec<Move>,
    /// Which brokers gave out what moved the positions, by split.
    pub served: Vec<(u32, i32)>,
}

/// Where a split stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    /// Its index.
    pub split: u32,
    /// The next offset.
    pub position: i64,
    /// The term in which the record before was written; `None` where there is no such record.
    pub term: Option<i32>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Delivery>,
    bytes: usize,
    appeared: Vec<SplitState>,
    held: Vec<bool>,
    failure: Option<Error>,
    has_failed: bool,
    /// Nothing more is handed over.
    is_closed: bool,
    /// The reader is gone.
    is_left: bool,
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Handover {
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
}

/// The reader is gone, or another thread failed: stop.
#[derive(Debug)]
pub(super) struct Closed;

impl Handover {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked holding the lock left a queue that is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room and hands over.
    pub(super) fn push(&self, delivery: Delivery) -> Result<(), Closed> {
        let mut state = self.lock();
        if delivery.batch.is_none() && delivery.unreadable.is_none() {
            return Self::push_moves(&mut state, delivery).map(|()| self.filled.notify_one());
        }
        let bytes = delivery.batch.as_ref().map_or(0, Batch::bytes);
        let is_full = |state: &State| {
            !state.queue.is_empty() && (state.queue.len() >= BATCHES_MAX || state.bytes + bytes > BYTES_MAX)
        };
        while !state.is_closed && is_full(&state) {
            state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return Err(Closed);
        }
        state.bytes += bytes;
        state.queue.push_back(delivery);
        self.filled.notify_one();
        Ok(())
    }

    /// Positions without records never wait: they ride on the delivery before them.
    fn push_moves(state: &mut State, delivery: Delivery) -> Result<(), Closed> {
        if state.is_closed {
            return Err(Closed);
        }
        match state.queue.back_mut() {
            Some(last) => {
                last.added.extend(delivery.added);
                last.moves.extend(delivery.moves);
                last.served.extend(delivery.served);
            }
            None => state.queue.push_back(delivery),
        }
        Ok(())
    }

    /// Waits for a delivery until `deadline`. A failure comes after what was handed over before it.
    pub(super) fn pop(&self, deadline: Instant) -> Result<Option<Delivery>, Error> {
        let mut state = self.lock();
        loop {
            if let Some(delivery) = state.queue.pop_front() {
                state.bytes -= delivery.batch.as_ref().map_or(0, Batch::bytes);
                self.drained.notify_one();
                return Ok(Some(delivery));
            }
            if state.has_failed {
                return Err(state.failure.take().unwrap_or_else(after_failure));
            }
            let wait = deadline.saturating_duration_since(weir_machine::now());
            if wait.is_zero() {
                return Ok(None);
            }
            state = self.filled.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the reading with an error; the first one counts.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        if !state.has_failed {
            state.failure = Some(error);
        }
        state.has_failed = true;
        state.is_closed = true;
        drop(state);
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// The reader wants no more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        (state.is_closed, state.is_left) = (true, true);
        drop(state);
        self.drained.notify_all();
    }

    /// Whether the reader is gone.
    pub(super) fn is_left(&self) -> bool {
        self.lock().is_left
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Splits that discovery found, for the fetcher to assign.
    pub(super) fn announce(&self, splits: Vec<SplitState>) {
        self.lock().appeared.extend(splits);
    }

    /// Splits that are to give nothing, for the fetcher to leave alone.
    pub(super) fn hold(&self, held: Vec<bool>) {
        self.lock().held = held;
    }

    /// Whether the split of this number is to give nothing.
    pub(super) fn is_held(&self, split: usize) -> bool {
        self.lock().held.get(split).copied().unwrap_or_default()
    }

    /// Takes what was announced.
    pub(super) fn appeared(&self) -> Result<Vec<SplitState>, Closed> {
        let mut state = self.lock();
        if state.is_closed { Err(Closed) } else { Ok(std::mem::take(&mut state.appeared)) }
    }
}

fn after_failure() -> Error {
    Error::call("read on after an error", rdkafka::error::RDKafkaErrorCode::State)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use weir_core::{FrameWriter, Origin, RecordView};

    use super::*;

    fn moved(position: i64) -> Move {
        Move { split: 0, position, term: None }
    }

    fn delivery(value: &[u8], moves: &[Move]) -> Delivery {
        let mut writer = FrameWriter::new(Vec::new());
        writer.push(RecordView { timestamp_ms: 0, source: 0, key: None, value: Some(value), headers: &[] });
        let origins = vec![Origin::new(0, 0)];
        let batch = Some(Batch { frame: writer.finish(), origins });
        Delivery { batch, moves: moves.to_vec(), ..Delivery::default() }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(1)
    }

    #[test]
    fn a_full_handover_makes_the_fetcher_wait() {
        let handover = Arc::new(Handover::default());
        let fetcher = thread::spawn({
            let handover = Arc::clone(&handover);
            move || (0..100).try_for_each(|i| handover.push(delivery(b"v", &[moved(i)])))
        });
        let later = || Instant::now() + Duration::from_secs(10);
        for i in 0..100 {
            assert!(handover.lock().queue.len() <= BATCHES_MAX);
            assert_eq!(handover.pop(later()).unwrap().unwrap().moves, [moved(i)]);
        }
        fetcher.join().unwrap().unwrap();
        assert_eq!(handover.lock().bytes, 0);
    }

    #[test]
    fn a_batch_larger_than_the_bound_travels_alone() {
        let handover = Handover::default();
        handover.push(delivery(&vec![0; BYTES_MAX * 2], &[])).unwrap();
        assert!(handover.pop(soon()).unwrap().is_some());
    }

    #[test]
    fn positions_without_records_ride_along() {
        let handover = Handover::default();
        handover.push(delivery(b"v", &[moved(1)])).unwrap();
        for position in 2..50 {
            handover.push(Delivery { moves: vec![moved(position)], ..Delivery::default() }).unwrap();
        }
        assert_eq!(handover.pop(soon()).unwrap().unwrap().moves.last(), Some(&moved(49)));
        assert!(handover.pop(soon()).unwrap().is_none());
    }

    #[test]
    fn a_failure_comes_last_and_stops_the_fetcher() {
        let handover = Handover::default();
        handover.push(delivery(b"v", &[])).unwrap();
        handover.fail(Error::TopicMissing { topic: "t".to_owned() });
        assert!(handover.push(delivery(b"w", &[])).is_err());
        assert!(handover.pop(soon()).unwrap().is_some());
        assert!(matches!(handover.pop(soon()), Err(Error::TopicMissing { .. })));
        assert!(handover.pop(soon()).is_err(), "it stays failed");
        assert!(handover.is_closed() && !handover.is_left(), "the reader may still wait for an answer");
        handover.close();
        assert!(handover.is_left());
    }

    #[test]
    fn closing_frees_a_waiting_fetcher() {
        let handover = Arc::new(Handover::default());
        let fetcher = thread::spawn({
            let handover = Arc::clone(&handover);
            move || while handover.push(delivery(b"v", &[])).is_ok() {}
        });
        handover.close();
        fetcher.join().unwrap();
    }
}
