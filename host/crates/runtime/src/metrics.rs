//! Metric names, described once. Labels are bounded: job, shard, source, operator, topic, partition.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use weir_core::ports::StateBytes;
use weir_core::{SourceName, SplitId};

use crate::error::Reason;
use crate::job::JobOptions;

const SOURCE_RECORDS: &str = "weir_source_records_total";
const SOURCE_SKIPPED: &str = "weir_source_skipped_records_total";
const SOURCE_LAG: &str = "weir_source_lag_records";
const SOURCE_WATERMARK: &str = "weir_source_watermark_timestamp_seconds";
const OPERATOR_WATERMARK: &str = "weir_operator_watermark_timestamp_seconds";
const OPERATOR_RECORDS: &str = "weir_operator_records_total";
const OPERATOR_SKIPPED: &str = "weir_operator_skipped_records_total";
const OPERATOR_DEAD_LETTERS: &str = "weir_operator_dead_letters_total";
const OPERATOR_LATE: &str = "weir_operator_late_records_total";
const OPERATOR_UNREAD: &str = "weir_operator_unread_records_total";
const SINK_RECORDS: &str = "weir_sink_records_total";
const EPOCH_COMMITTED: &str = "weir_epoch_committed";
const EPOCH_COMMIT_SECONDS: &str = "weir_epoch_commit_seconds";
const STATE_BYTES: &str = "weir_state_bytes";
const LOG_BYTES: &str = "weir_log_bytes";
const JOB_RESTARTS: &str = "weir_job_restarts_total";
const JOB_ABANDONED: &str = "weir_job_abandoned_threads_total";
const JOB_SLOW: &str = "weir_job_slow_waits_total";

/// Describes every metric of this crate; call once, after a recorder is installed.
pub(crate) fn describe() {
    describe_counter!(SOURCE_RECORDS, Unit::Count, "Records read, in this process.");
    describe_counter!(SOURCE_SKIPPED, Unit::Count, "Records that could not be read, dropped by the policy 'skip'.");
    describe_gauge!(SOURCE_LAG, Unit::Count, "Records between a split's position and its end, when last seen.");
    describe_gauge!(SOURCE_WATERMARK, Unit::Seconds, "How far the event time of a split has come, since 1970.");
    describe_gauge!(
        OPERATOR_WATERMARK,
        Unit::Seconds,
        "How far the event time of an operator has come, since 1970, in the task that is behind."
    );
    describe_counter!(
        OPERATOR_RECORDS,
        Unit::Count,
        "Records processed by an operator; those it failed on do not count."
    );
    describe_counter!(OPERATOR_SKIPPED, Unit::Count, "Records dropped by the policy 'skip'.");
    describe_counter!(OPERATOR_DEAD_LETTERS, Unit::Count, "Records sent to the operator's topic of dead letters.");
    describe_counter!(OPERATOR_LATE, Unit::Count, "Records that came after their windows were gone, dropped.");
    describe_counter!(OPERATOR_UNREAD, Unit::Count, "Records of an output that nothing reads, dropped.");
    describe_counter!(SINK_RECORDS, Unit::Count, "Records written, committed or not.");
    describe_gauge!(EPOCH_COMMITTED, Unit::Count, "The newest epoch that holds.");
    describe_histogram!(EPOCH_COMMIT_SECONDS, Unit::Seconds, "From the barrier to the acknowledged commit.");
    describe_gauge!(
        STATE_BYTES,
        Unit::Bytes,
        "Keyed state of an operator, estimated: on disk, and in memory as changes and cache."
    );
    describe_gauge!(LOG_BYTES, Unit::Bytes, "The epoch log.");
    describe_counter!(JOB_RESTARTS, Unit::Count, "Recoveries in place, by reason.");
    describe_counter!(JOB_SLOW, Unit::Count, "Waits for the outside, disk or tasks that were longer than 5 s.");
    describe_counter!(JOB_ABANDONED, Unit::Count, "Threads that did not come back and were left behind.");
}

/// Metrics of a job; handles are made once, so that no label is formatted while records flow.
#[derive(Clone)]
pub(crate) struct JobMetrics {
    labels: [(&'static str, String); 2],
    /// The newest epoch that holds.
    pub epoch_committed: Gauge,
    /// From barrier to acknowledged commit.
    pub epoch_commit_seconds: Histogram,
    restarts: [Counter; Reason::ALL.len()],
    /// Waits that became slow.
    pub slow: Counter,
    abandoned: Counter,
    left_behind: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// Size of the log.
    pub log_bytes: Gauge,
}

impl JobMetrics {
    /// Handles for `job`.
    pub(crate) fn new(job: &JobOptions) -> Self {
        let labels = [("job", job.name.to_string()), ("shard", job.shard.to_string())];
        Self {
            epoch_committed: gauge!(EPOCH_COMMITTED, &labels),
            epoch_commit_seconds: histogram!(EPOCH_COMMIT_SECONDS, &labels),
            restarts: Reason::ALL.map(|reason| {
                let [job, shard] = labels.clone();
                counter!(JOB_RESTARTS, &[job, shard, ("reason", reason.word().to_owned())])
            }),
            slow: counter!(JOB_SLOW, &labels),
            abandoned: counter!(JOB_ABANDONED, &labels),
            left_behind: Arc::default(),
            log_bytes: gauge!(LOG_BYTES, &labels),
            labels,
        }
    }

    /// Threads that did not come back are left behind, with whatever they hold.
    pub(crate) fn leave_behind(&self, threads: Vec<JoinHandle<()>>) {
        self.abandoned.increment(threads.len() as u64);
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).extend(threads);
    }

    /// How many of them still are there.
    pub(crate) fn left_behind(&self) -> usize {
        let mut threads = self.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.len()
    }

    /// A recovery in place.
    pub(crate) fn restarted(&self, reason: Reason) {
        for (counter, _) in self.restarts.iter().zip(Reason::ALL).filter(|(_, counted)| *counted == reason) {
            counter.increment(1);
        }
    }

    /// The lag of one split, to be set with each epoch.
    pub(crate) fn lag(&self, source: &SourceName, split: &SplitId) -> Gauge {
        gauge!(SOURCE_LAG, &self.of_split(source, split))
    }

    /// How far the event time of one split has come.
    pub(crate) fn split_time(&self, source: &SourceName, split: &SplitId) -> Gauge {
        gauge!(SOURCE_WATERMARK, &self.of_split(source, split))
    }

    fn of_split(&self, source: &SourceName, split: &SplitId) -> [(&'static str, String); 5] {
        let [job, shard] = self.labels.clone();
        // The labels are named as users of Kafka know them; a file or a generator is a topic there, too.
        let (topic, partition) = (split.stream.to_string(), split.number.to_string());
        [job, shard, ("source", source.to_string()), ("topic", topic), ("partition", partition)]
    }

    /// How far the event time of one operator has come.
    pub(crate) fn operator_time(&self, operator: &str) -> Gauge {
        let [job, shard] = self.labels.clone();
        gauge!(OPERATOR_WATERMARK, &[job, shard, ("operator", operator.to_owned())])
    }

    /// State of one operator; per epoch.
    pub(crate) fn state_bytes(&self, operator: &str, StateBytes { disk, memory }: StateBytes) {
        for (place, bytes) in [("disk", disk), ("memory", memory)] {
            let [job, shard] = self.labels.clone();
            let labels = [job, shard, ("operator", operator.to_owned()), ("where", place.to_owned())];
            gauge!(STATE_BYTES, &labels).set(bytes as f64);
        }
    }

    /// Counters of one source.
    pub(crate) fn source(&self, source: &SourceName) -> SourceMetrics {
        let [job, shard] = self.labels.clone();
        let labels = [job, shard, ("source", source.to_string())];
        SourceMetrics { read: counter!(SOURCE_RECORDS, &labels), unreadable: counter!(SOURCE_SKIPPED, &labels) }
    }

    /// Counters of one operator.
    pub(crate) fn operator(&self, operator: &str) -> OperatorMetrics {
        let [job, shard] = self.labels.clone();
        let labels = [job, shard, ("operator", operator.to_owned())];
        OperatorMetrics {
            processed: counter!(OPERATOR_RECORDS, &labels),
            late: counter!(OPERATOR_LATE, &labels),
            skipped: counter!(OPERATOR_SKIPPED, &labels),
            dead_letters: counter!(OPERATOR_DEAD_LETTERS, &labels),
        }
    }

    /// Records of an output that goes nowhere.
    pub(crate) fn unread(&self, operator: &str, output: &str) -> Counter {
        let [job, shard] = self.labels.clone();
        counter!(OPERATOR_UNREAD, &[job, shard, ("operator", operator.to_owned()), ("output", output.to_owned())])
    }

    /// Counters of one sink; `written` is the number the job's status shows.
    pub(crate) fn sink(&self, target: &str, written: Arc<AtomicU64>) -> SinkMetrics {
        let [job, shard] = self.labels.clone();
        SinkMetrics { counter: counter!(SINK_RECORDS, &[job, shard, ("topic", target.to_owned())]), written }
    }
}

/// Counters of one source.
pub(crate) struct SourceMetrics {
    /// Records read.
    pub read: Counter,
    /// Records that could not be read and were dropped.
    pub unreadable: Counter,
}

/// Counters of one operator in one task.
#[derive(Clone)]
pub(crate) struct OperatorMetrics {
    processed: Counter,
    late: Counter,
    skipped: Counter,
    dead_letters: Counter,
}

impl OperatorMetrics {
    /// So many records were processed.
    pub(crate) fn processed(&self, records: usize) {
        self.processed.increment(records as u64);
    }

    /// So many records were late.
    pub(crate) fn late(&self, records: usize) {
        self.late.increment(records as u64);
    }

    /// A record was dropped by policy.
    pub(crate) fn skipped(&self) {
        self.skipped.increment(1);
    }

    /// A record became a dead letter.
    pub(crate) fn dead_lettered(&self) {
        self.dead_letters.increment(1);
    }
}

/// Counters of one sink.
pub(crate) struct SinkMetrics {
    counter: Counter,
    written: Arc<AtomicU64>,
}

impl SinkMetrics {
    /// A batch was written.
    pub(crate) fn wrote(&self, records: usize) {
        self.counter.increment(records as u64);
        self.written.fetch_add(records as u64, Ordering::Relaxed);
    }
}
