//! What the tests, the demo and the benchmark share: a real Kafka, the program under test as a process, and an
//! independent judge of what it did. It knows Weir only from outside: the command line, HTTP and Kafka.

/// A real Apache Kafka in a JVM.
pub mod broker;
/// Pipelines whose operators stand one behind the other.
pub mod chain;
/// `host` as a user runs it.
pub mod host;
/// Whether the output is exact.
pub mod judge;
/// Who may use the machine.
pub mod machine;
/// The benchmark Nexmark.
pub mod nexmark;
/// The proof of exactly once: what is written, what is watched meanwhile, and the verdict.
pub mod oracle;
/// Child processes that cannot outlive this one.
pub mod process;
/// A network that misbehaves on purpose.
pub mod proxy;
/// Random moments.
pub mod random;
/// What is committed in a topic.
pub mod reader;
/// Topics and what is written to them.
pub mod topics;
