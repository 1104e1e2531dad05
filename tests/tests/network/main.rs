//! The network and the broker as enemies: between the program and a real Kafka stands a proxy that delays, swallows,
//! resets and keeps requests, or brokers die. The job goes on by itself, and the output is exact.
//!
//! All tests share one broker with several proxied listeners: each takes one for itself ([`lane`]).

/// A proxy of one's own before the shared broker.
mod lane;
/// A job behind it.
mod scene;

/// One of three brokers is killed, and the coordinators move.
mod cluster;
/// The client dies, or its connection does, while a commit is unanswered.
mod commit;
/// Whether two transactional ids suffice for ever.
mod ids;
/// Requests that arrive after the client has given them up: what they do to a client that goes on as if nothing was, and
/// that they do nothing to one that rotates.
mod late;
/// Resets, half-open connections, a cut cable.
mod line;
/// Answers that are slow, and what that costs.
mod slow;
/// What a source asks.
mod source;
