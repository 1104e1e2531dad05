//! HOT PATH. The thread that owns the consumer: it alone polls it, builds batches and hands them over.
//!
//! All partitions share the consumer's queue, unless one may have to wait, for its rate or for the time of the others:
//! then each has its own, so that it holds back no other and nothing that was fetched is thrown away.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::Offset;
use weir_core::{SplitId, SplitState};

use super::handover::{Closed, Delivery};
use super::intake::Intake;
use super::pulse::Pulse;
use super::rate::Bucket;
use crate::admin::{Admin, CALL_TIMEOUT};
use crate::error::Error;
use crate::ffi::Queue;
use crate::ffi::seek::seek_in_terms;
use crate::options::SourceOptions;

/// Messages taken with one call.
const TAKEN_MAX: usize = 1024;
/// How long the first records of a batch wait for more.
const FLUSH_AFTER: Duration = Duration::from_millis(2);
/// How long an idle fetcher waits before it looks for commands.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// How often a fetcher of queues looks at them, and hands out tokens.
const LANE_TICK: Duration = Duration::from_millis(5);

/// How long a closing consumer may take; one that takes longer is abandoned.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Why the fetcher ends.
pub(super) enum Stop {
    /// Nobody reads any more.
    Closed,
    /// The reading failed.
    Failed(Error),
}

impl From<Closed> for Stop {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// See the module's head.
pub(super) struct Fetcher {
    shared: Queue,
    lanes: Vec<Lane>,
    max_rate: Option<u64>,
    /// Each partition has a queue of its own.
    has_lanes: bool,
    /// The last look at the lanes found something: more may be there.
    is_busy: bool,
    intake: Intake,
    pulse: Pulse,
}

/// A partition with a queue of its own.
struct Lane {
    queue: Queue,
    /// Where it has a rate.
    bucket: Option<Bucket>,
}

impl Fetcher {
    /// A fetcher with nothing assigned.
    pub(super) fn new(admin: &Admin, intake: Intake, options: &SourceOptions, pulse: Pulse) -> Result<Self, Error> {
        let shared = Queue::of_consumer(admin.consumer())
            .ok_or_else(|| Error::call("open the consumer's queue", RDKafkaErrorCode::UnknownGroup))?;
        let (max_rate, has_lanes) = (options.max_rate, options.has_lanes());
        Ok(Self { shared, lanes: Vec::new(), max_rate, has_lanes, is_busy: false, intake, pulse })
    }

    /// Reads `splits` and those that are announced, until the reader is gone or the reading fails.
    pub(super) fn run(mut self, splits: Vec<SplitState>) -> Stop {
        match self.read(splits) {
            Ok(never) => match never {},
            Err(stop) => stop,
        }
    }

    fn read(&mut self, splits: Vec<SplitState>) -> Result<std::convert::Infallible, Stop> {
        self.assign(splits)?;
        loop {
            let appeared = self.intake.handover().appeared()?;
            if !appeared.is_empty() {
                self.assign(appeared.clone())?;
                // The reader must know a split before its first record.
                self.intake.flush()?;
                self.intake.handover().push(Delivery { added: appeared, ..Delivery::default() })?;
            }
            match self.has_lanes {
                false => self.read_freely()?,
                true => self.read_lanes()?,
            }
            self.intake.flush()?;
        }
    }

    fn assign(&mut self, states: Vec<SplitState>) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(states.len());
        let mut known = Vec::new();
        let consumer = Arc::clone(self.shared.consumer());
        for state in states {
            let is_finished = state.is_finished();
            let split = &state.split;
            let failed = |e| Error::of(format!("assign {split}"), e);
            if !is_finished {
                list.add_partition_offset(&split.stream, split.number, Offset::Offset(state.position))
                    .map_err(failed)?;
                known.extend(state.term.map(|term| (split.clone(), state.position, term)));
            }
            if self.has_lanes {
                let queue = Queue::of_partition(&consumer, split).ok_or_else(|| {
                    Error::call(format!("open the queue of {split}"), RDKafkaErrorCode::UnknownPartition)
                })?;
                let bucket = self.max_rate.map(|rate| Bucket::new(rate, weir_machine::now()));
                self.lanes.push(Lane { queue, bucket });
            }
            self.intake.add(state);
        }
        if list.count() == 0 {
            return Ok(());
        }
        consumer.incremental_assign(&list).map_err(|e| Error::of("assign partitions", e))?;
        self.validate(&known)
    }

    /// Has the client ask whether the partitions still hold what was read before: a log that was cut, while nobody read,
    /// may hold other records there (KIP-320).
    fn validate(&self, known: &[(SplitId, i64, i32)]) -> Result<(), Error> {
        if known.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(known.len());
        for (split, position, _) in known {
            let added = list.add_partition_offset(&split.stream, split.number, Offset::Offset(*position));
            added.map_err(|e| Error::of(format!("go on in {split}"), e))?;
        }
        let terms: Vec<i32> = known.iter().map(|(.., term)| *term).collect();
        self.pulse.ask();
        let done = seek_in_terms(self.shared.consumer(), &list, &terms, CALL_TIMEOUT);
        self.pulse.rest();
        done.map_err(|code| Error::call("go on where the splits were read to", code))
    }

    fn empty_queues(&mut self) {
        self.shared.take(TAKEN_MAX, FLUSH_AFTER);
        self.shared.release();
        for lane in &mut self.lanes {
            while lane.queue.take(TAKEN_MAX, Duration::ZERO) > 0 {
                lane.queue.release();
            }
        }
    }

    fn read_freely(&mut self) -> Result<(), Stop> {
        // A call returns when it has all it may take: so one message first, then what comes within the flush time.
        self.pulse.ask();
        if self.shared.take(1, IDLE_WAIT) > 0 {
            self.shared.take(TAKEN_MAX - 1, FLUSH_AFTER);
        }
        self.pulse.rest();
        self.intake.accept(&self.shared)?;
        self.shared.release();
        Ok(())
    }

    fn read_lanes(&mut self) -> Result<(), Stop> {
        // Only errors of the client as a whole arrive here; the wait is the tick.
        self.pulse.ask();
        self.shared.take(TAKEN_MAX, if self.is_busy { Duration::ZERO } else { LANE_TICK });
        self.pulse.rest();
        self.intake.accept(&self.shared)?;
        self.shared.release();
        self.is_busy = false;
        let now = weir_machine::now();
        for (split, lane) in self.lanes.iter_mut().enumerate() {
            if self.intake.handover().is_held(split) {
                continue;
            }
            // One full call of each in turn: none waits for the others to be empty.
            let tokens = lane.bucket.as_mut().map_or(TAKEN_MAX, |bucket| bucket.available(now)).min(TAKEN_MAX);
            if tokens == 0 || lane.queue.take(tokens, Duration::ZERO) == 0 {
                continue;
            }
            let records = self.intake.accept(&lane.queue)?;
            lane.queue.release();
            // With a rate, what is left of it is for the next tick, unless one call could not take it.
            self.is_busy |= lane.bucket.is_none() || records >= TAKEN_MAX;
            if let Some(bucket) = &mut lane.bucket {
                bucket.spend(records);
            }
        }
        Ok(())
    }
}

/// A client waits in its destruction for every operation that holds one of its partitions, also for those that lie in
/// the consumer's queue, which rdkafka keeps until after that destruction. So the consumer is closed here, and its
/// queues are emptied when nothing can get into them any more.
impl Drop for Fetcher {
    fn drop(&mut self) {
        let consumer = Arc::clone(self.shared.consumer());
        if consumer.close_queue().is_err() {
            // Closed already.
            return;
        }
        let deadline = weir_machine::now() + CLOSE_TIMEOUT;
        while !consumer.closed() && weir_machine::now() < deadline {
            self.empty_queues();
        }
        self.empty_queues();
    }
}
