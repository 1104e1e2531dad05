//! The one thread that writes to RocksDB, and the queue in front of it.
//!
//! ```text
//! apply() ─► queue ─► (each second, or at half of the queue's budget) ─► that much, as one batch with its record ─► published
//!                                                                         └► now and then: flush ─► durable
//! ```
//!
//! The write-ahead log of RocksDB is off: what it holds beyond its last flush comes back from the epoch log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rocksdb::{DB, Range, WriteOptions};
use weir_core::crash::{self, Injected};
use weir_core::key_group::{KEY_GROUPS, KeyGroup};
use weir_core::ports::Delta;
use weir_core::{OperatorId, RecordId, crash_point};

use super::{applied_bytes, merge};
use crate::delta;
use crate::error::Error;

/// Where the store names the record that it holds. No key group is 0xFFFF, so no state key begins like this.
pub(super) const APPLIED: &[u8] = b"\xff\xffapplied";

/// How long a delta waits for others to be merged with.
const APPLY_INTERVAL: Duration = Duration::from_secs(1);

/// What a restart must replay is bounded by flushing at any of these.
const REPLAY_KEYS_MAX: u64 = 200_000;
const REPLAY_BYTES_MAX: u64 = 32 << 20;
/// Read and thrown away again by merging: cheaper than applying, not free.
const REPLAY_LOG_BYTES_MAX: u64 = 64 << 20;
/// Small epochs fill no segment with bytes, but something of each is kept in memory until the log is trimmed.
const REPLAY_EPOCHS_MAX: u64 = crash::limit(2048, 8);

/// What the applier and its callers share.
pub(super) struct Progress {
    queue: Mutex<Queue>,
    /// There is something to do.
    wake: Condvar,
    /// Something was done, or failed.
    done: Condvar,
    /// The epoch of `Queue::record`, for the hot path.
    applied: AtomicU64,
    durable: AtomicU64,
    /// Bytes of the log beside the deltas, since the last flush.
    logged: AtomicU64,
    waiting_max: u64,
}

#[derive(Default)]
struct Queue {
    /// What reads from RocksDB see.
    record: Option<RecordId>,
    waiting: VecDeque<(RecordId, Vec<Delta>)>,
    /// Of `waiting`, and of what is being applied.
    waiting_bytes: u64,
    /// When the oldest of `waiting` came.
    since: Option<Instant>,
    handed_over: u64,
    /// Somebody waits for everything up to here to be applied, or flushed.
    apply_to: u64,
    flush_to: u64,
    /// Bytes on disk of each operator; `None` until they are looked for.
    disk: BTreeMap<OperatorId, Option<u64>>,
    stop: bool,
    failure: Option<Failure>,
}

/// Why the applier stopped for good.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// RocksDB refused.
    Rocks(&'static str, rocksdb::Error),
    /// A delta was malformed, or the thread is gone.
    Broken(String),
    /// A test said so.
    Injected(Injected),
}

/// What the applier does next.
struct Work {
    epochs: Vec<(RecordId, Vec<Delta>)>,
    flush: bool,
    /// Operators whose size nobody knows.
    unmeasured: Vec<OperatorId>,
}

/// What a restart would have to replay.
#[derive(Default)]
struct Unflushed {
    keys: u64,
    bytes: u64,
    log_bytes: u64,
    epochs: u64,
}

impl Queue {
    /// Takes the oldest epochs, as many as have no more than `bytes`, and at least one: a batch has no more either.
    fn take(&mut self, bytes: u64) -> Vec<(RecordId, Vec<Delta>)> {
        let (mut taken, mut epochs) = (0, Vec::new());
        while let Some(epoch) = self.waiting.pop_front_if(|(_, deltas)| taken == 0 || taken + bytes_of(deltas) <= bytes)
        {
            // One without changes would be taken as none.
            taken += bytes_of(&epoch.1).max(1);
            epochs.push(epoch);
        }
        if self.waiting.is_empty() {
            self.since = None;
        }
        epochs
    }
}

impl Progress {
    pub(super) fn new(record: Option<RecordId>, waiting_max: u64) -> Self {
        let applied = record.as_ref().map_or(0, |record| record.epoch.0);
        let queue = Queue { record, handed_over: applied, ..Queue::default() };
        Self {
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            done: Condvar::new(),
            applied: AtomicU64::new(applied),
            durable: AtomicU64::new(applied),
            logged: AtomicU64::new(0),
            waiting_max: waiting_max.max(1),
        }
    }

    /// The last epoch that reads from RocksDB see.
    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The record of that epoch.
    pub(super) fn record(&self) -> Option<RecordId> {
        self.lock().record.clone()
    }

    /// The last epoch that is on disk in RocksDB.
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether an epoch can be queued (or its refusal be told) without a wait.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.failure.is_some() || queue.waiting_bytes < self.waiting_max
    }

    /// Queues an epoch; waits while too much waits already.
    pub(super) fn hand_over(&self, record: &RecordId, deltas: Vec<Delta>) -> Result<(), Failure> {
        let mut queue = self.wait_until(self.lock(), |queue| queue.waiting_bytes < self.waiting_max)?;
        if record.epoch.0 <= queue.handed_over {
            let (epoch, before) = (record.epoch, queue.handed_over);
            return Err(Failure::Broken(format!("epoch {epoch} is applied after epoch {before}")));
        }
        queue.handed_over = record.epoch.0;
        queue.waiting_bytes += bytes_of(&deltas);
        queue.waiting.push_back((record.clone(), deltas));
        queue.since.get_or_insert_with(weir_machine::now);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits until everything handed over so far is applied.
    pub(super) fn join(&self) -> Result<(), Failure> {
        let mut queue = self.lock();
        let target = queue.handed_over;
        queue.apply_to = queue.apply_to.max(target);
        self.wake.notify_one();
        self.wait_until(queue, |_| self.applied() >= target).map(drop)
    }

    /// Waits until everything handed over so far is on disk in RocksDB.
    pub(super) fn flush(&self) -> Result<(), Failure> {
        let mut queue = self.lock();
        let target = queue.handed_over;
        queue.apply_to = queue.apply_to.max(target);
        queue.flush_to = queue.flush_to.max(target);
        self.wake.notify_one();
        self.wait_until(queue, |_| self.durable() >= target).map(drop)
    }

    /// Has what waits applied at once.
    pub(super) fn hurry(&self) {
        let mut queue = self.lock();
        queue.apply_to = queue.handed_over;
        drop(queue);
        self.wake.notify_one();
    }

    /// So many more bytes of the log are to be read by a restart.
    pub(super) fn logged(&self, bytes: u64) {
        self.logged.fetch_add(bytes, Ordering::Relaxed);
    }

    /// From now on the size of `operator` on disk is known, a little later.
    pub(super) fn measure(&self, operator: OperatorId) {
        self.lock().disk.entry(operator).or_default();
        self.wake.notify_one();
    }

    /// Bytes on disk of `operator`, as of the last flush.
    pub(super) fn disk_bytes(&self, operator: OperatorId) -> u64 {
        self.lock().disk.get(&operator).copied().flatten().unwrap_or_default()
    }

    /// Ends the thread; what still waits comes back from the log.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_one();
    }

    /// Waits for `ready`, as long as the applier lives: it reports its end, whatever ends it.
    fn wait_until<'a>(
        &self,
        queue: MutexGuard<'a, Queue>,
        mut ready: impl FnMut(&Queue) -> bool,
    ) -> Result<MutexGuard<'a, Queue>, Failure> {
        let queue = self
            .done
            .wait_while(queue, |queue| queue.failure.is_none() && !ready(queue))
            .unwrap_or_else(PoisonError::into_inner);
        match &queue.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(queue),
        }
    }

    /// A panic elsewhere cannot leave the queue half-changed: no code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; `None` ends the thread.
    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        loop {
            if queue.stop {
                return None;
            }
            let flush = queue.flush_to > self.durable();
            let hurry = flush || queue.apply_to > self.applied() || queue.waiting_bytes >= self.waiting_max / 2;
            let age = queue.since.map(weir_machine::since);
            let unmeasured: Vec<_> = queue.disk.iter().filter(|disk| disk.1.is_none()).map(|disk| *disk.0).collect();
            if hurry || !unmeasured.is_empty() || age.is_some_and(|age| age >= APPLY_INTERVAL) {
                let epochs = queue.take(self.waiting_max / 2);
                // What is left comes before the flush.
                let flush = flush && queue.waiting.is_empty();
                return Some(Work { epochs, flush, unmeasured });
            }
            queue = match age {
                // New work wakes the thread up too early; it looks again.
                Some(age) => {
                    self.wake.wait_timeout(queue, APPLY_INTERVAL - age).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn fail(&self, failure: Failure) {
        self.lock().failure.get_or_insert(failure);
        self.done.notify_all();
    }
}

/// Reports the end of the thread even if it panics: nobody may wait for ever.
struct Obituary<'a>(&'a Progress);

impl Drop for Obituary<'_> {
    fn drop(&mut self) {
        self.0.fail(Failure::Broken("the thread that applies epochs has ended".to_owned()));
    }
}

/// The body of the applier thread.
pub(super) fn run(db: &DB, progress: &Progress) {
    let _obituary = Obituary(progress);
    let mut unflushed = Unflushed::default();
    while let Some(work) = progress.next() {
        let done = apply(db, progress, work.epochs, &mut unflushed).and_then(|()| {
            if work.flush || unflushed.is_too_much(progress.logged.load(Ordering::Relaxed)) {
                flush(db, progress, &mut unflushed)
            } else {
                Ok(())
            }
        });
        measure(db, progress, &work.unmeasured);
        if let Err(failure) = done {
            tracing::error!(?failure, "the store takes no more epochs");
            progress.fail(failure);
            return;
        }
        progress.done.notify_all();
    }
}

/// Merges the epochs, the youngest value of a key winning, and writes them in one batch with the record they lead to.
fn apply(
    db: &DB,
    progress: &Progress,
    epochs: Vec<(RecordId, Vec<Delta>)>,
    unflushed: &mut Unflushed,
) -> Result<(), Failure> {
    let Some((record, _)) = epochs.last().cloned() else { return Ok(()) };
    let payload_bytes = epochs.iter().map(|(_, deltas)| bytes_of(deltas)).sum::<u64>();
    let merged = merge::youngest(&epochs).map_err(|error| Failure::Broken(broken(error)))?;
    let mut batch = merge::batch(&merged);
    batch.put(APPLIED, applied_bytes(&record));
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    let (batch_bytes, keys, count) = (batch.size_in_bytes() as u64, merged.len(), epochs.len());
    // The batch holds a copy; room for the memtable's.
    drop(merged);
    drop(epochs);
    crash_point!("store-half-applied").map_err(Failure::Injected)?;
    db.write_opt(batch, &unlogged).map_err(|error| Failure::Rocks("write to", error))?;
    unflushed.log_bytes += payload_bytes;
    unflushed.keys += keys as u64;
    unflushed.bytes += batch_bytes;
    unflushed.epochs += count as u64;
    let epoch = record.epoch;
    let mut queue = progress.lock();
    queue.record = Some(record);
    queue.waiting_bytes -= payload_bytes;
    drop(queue);
    let before = progress.applied.swap(epoch.0, Ordering::AcqRel);
    assert!(before < epoch.0, "epoch {epoch} is applied after {before}: hand_over lets only growing epochs in");
    tracing::debug!(epoch = epoch.0, epochs = count, keys, "epochs applied");
    crash_point!("store-applied").map_err(Failure::Injected)
}

fn flush(db: &DB, progress: &Progress, unflushed: &mut Unflushed) -> Result<(), Failure> {
    // Read before the flush: this thread is the only writer, so it is exactly what the flush makes durable.
    let applied = progress.applied();
    db.flush().map_err(|error| Failure::Rocks("flush", error))?;
    crash_point!("flush-running").map_err(Failure::Injected)?;
    progress.durable.store(applied, Ordering::Release);
    *unflushed = Unflushed::default();
    progress.logged.store(0, Ordering::Relaxed);
    tracing::debug!(epoch = applied, "store flushed");
    let operators: Vec<_> = progress.lock().disk.keys().copied().collect();
    measure(db, progress, &operators);
    Ok(())
}

/// Looks how much each of `operators` has on disk. Here, because it may read.
fn measure(db: &DB, progress: &Progress, operators: &[OperatorId]) {
    for &operator in operators {
        // One range for each key group. The end is the prefix of the next operator, or of the next key group.
        let bounds: Vec<([u8; 4], [u8; 4])> = (0..KEY_GROUPS)
            .map(|group| {
                let begin = delta::operator_prefix(KeyGroup(group), operator);
                (begin, u32::from_be_bytes(begin).wrapping_add(1).to_be_bytes())
            })
            .collect();
        let ranges: Vec<Range<'_>> = bounds.iter().map(|(begin, end)| Range::new(begin, end)).collect();
        let bytes = db.get_approximate_sizes(&ranges).iter().sum();
        progress.lock().disk.insert(operator, Some(bytes));
    }
}

impl Unflushed {
    /// `logged` is what the log has beside the deltas.
    fn is_too_much(&self, logged: u64) -> bool {
        self.keys >= REPLAY_KEYS_MAX
            || self.bytes >= REPLAY_BYTES_MAX
            || self.log_bytes + logged >= REPLAY_LOG_BYTES_MAX
            || self.epochs >= REPLAY_EPOCHS_MAX
    }
}

fn broken(error: Error) -> String {
    match error {
        Error::Invariant(what) => what,
        other => other.to_string(),
    }
}

fn bytes_of(deltas: &[Delta]) -> u64 {
    deltas.iter().map(|delta| delta.payload.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_core::{Digest, Epoch};

    use super::*;

    #[test]
    fn what_a_restart_replays_is_bounded_whatever_it_is() {
        let unflushed = |keys, bytes, log_bytes, epochs| Unflushed { keys, bytes, log_bytes, epochs };
        assert!(!unflushed(199_999, (32 << 20) - 1, 0, REPLAY_EPOCHS_MAX - 1).is_too_much((64 << 20) - 1));
        for much in [
            unflushed(200_000, 0, 0, 0),
            unflushed(0, 32 << 20, 0, 0),
            unflushed(0, 0, 64 << 20, 0),
            unflushed(0, 0, 0, REPLAY_EPOCHS_MAX),
        ] {
            assert!(much.is_too_much(0));
        }
        // Epoch records of many partitions, and no changes of state.
        assert!(unflushed(0, 0, 0, 1).is_too_much(64 << 20));
        assert!(unflushed(0, 0, 32 << 20, 1).is_too_much(32 << 20), "both together");
    }

    #[test]
    fn as_many_epochs_are_taken_as_a_batch_may_have_and_at_least_one() {
        let mut queue = Queue { since: Some(Instant::now()), ..Queue::default() };
        for (epoch, len) in [(1, 0), (2, 0), (3, 6), (4, 5), (5, 99), (6, 1)] {
            let delta = Delta { entries: 1, payload: Bytes::from(vec![0; len]) };
            queue.waiting.push_back((RecordId { epoch: Epoch(epoch), digest: Digest(String::new()) }, vec![delta]));
        }
        let mut take = || queue.take(10).iter().map(|(record, _)| record.epoch.0).collect::<Vec<_>>();
        assert_eq!([take(), take(), take()], [vec![1, 2, 3], vec![4], vec![5]]);
        assert!(queue.since.is_some(), "epoch 6 is still as old");
        assert_eq!((queue.take(10).len(), queue.since), (1, None));
        assert!(queue.take(10).is_empty());
    }
}
