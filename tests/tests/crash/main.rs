//! What Weir promises at every crash point, on a real Kafka, with an independent judge: the process is killed there,
//! killed again while it recovers, told that the step failed, or stopped past the transaction time-out and continued as
//! a zombie while a second instance runs on a copy of its state directory. And that the suite can see: with one rule of
//! exactly-once broken on purpose it fails.
//!
//! Needs the program of `make crash-host`.

/// What happens at a point, and what must come of it.
mod faults;
/// A first start that did not get to its first commit.
mod first;
/// Pipelines of more than one source and sink.
mod graph;
/// A disk that does not answer.
mod hangs;
/// A job on topics of its own, and how it is run.
mod job;
/// Every point, and when it acts.
mod points;
/// The input is another topic of the same name, from any point on.
mod recreated;
/// One rule broken on purpose.
mod sabotage;
/// That the product has no crash points, and that a wrong name is no silence.
mod surface;
