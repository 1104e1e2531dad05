//! What Weir promises, seen from outside: the program as a user runs it, a real Kafka, an independent judge.
//!
//! By default sizes are such that all of it takes minutes; `WEIR_FULL=1` (`make test FULL=1`) takes those of the promise.

/// Where a test runs: topics, a state directory, arguments.
mod scene;

/// What is seen from outside: API, metrics, health, signals.
mod api;
/// Exact counts: as they are, killed at random moments, with large state, with another parallelism.
mod count;
/// A topic that lost its end.
mod cut;
/// Records that a plugin fails on, in a topic of their own.
mod dead_letters;
/// The disk as an enemy: bits that flip, files that vanish, copies of another time.
mod enemies;
/// A broker that hangs, is away, refuses.
mod faults;
/// Bad records and bad plugins.
mod guests;
/// Pipelines that have changed since the state was written.
mod identity;
/// Joins.
mod joins;
/// Lists and maps.
mod journey;
/// What a line says of a record.
mod lines;
/// With nothing else installed: standard input, files.
mod local;
/// Logs, whoever reads them or does not; the API beside them.
mod logs;
/// The rows of the fault matrix that no other test here is about.
mod matrix;
/// Kafka at one end, a generator or a file at the other.
mod mixed;
/// The queries of the benchmark Nexmark.
mod nexmark;
/// The operator's commands.
mod operator;
/// What the record contract says of keys, headers, timestamps and nulls.
mod records;
/// Two at once; state directories that do not belong, are corrupt or torn.
mod rivals;
/// Records that choose their topic.
mod routes;
/// Where to start, what to find, when to stop.
mod sources;
/// A running job is paused, resumed, stopped.
mod steer;
/// Numbers that are merged.
mod sums;
/// What is waited for is seen; what is endured is counted; who gives up says why.
mod supervision;
/// What others do to the topics and the group of a job.
mod surprises;
/// Versions that take over.
mod swap;
/// What a terminal shows.
mod terminal;
/// Timers of event time.
mod timers;
/// Bad arguments and bad pipeline files.
mod usage;
/// Windows, killed amid the stream.
mod window_kills;
/// Windows of event time.
mod windows;
