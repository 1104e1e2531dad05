//! `api`: what a job shows over HTTP: `GET /healthz`, `/livez`, `/readyz`, `/metrics`, `/v1/job`; and what may be
//! asked of it ([`control`]). It knows no engine: a closure gives it the job as it stands, in the words of [`model`].
#![expect(clippy::disallowed_methods, reason = "HTTP runs on the threads and the clock of tokio, beside the engine")]

/// Who may change the job.
mod access;
/// What was asked for, in the log.
mod audit;
/// Connections and their limits.
mod connections;
/// What may be asked of a job.
pub mod control;
/// What a change has to say in its head.
mod gate;
/// Whose requests are answered.
mod hosts;
/// The recorder behind `/metrics`.
pub mod metrics;
/// What is sent, field by field.
pub mod model;
/// What the API is, for programs.
mod openapi;
/// The routes.
mod routes;
/// The listening socket and the server on it.
mod server;
/// The bodies of changes.
mod upload;

pub use access::Access;
pub use hosts::Hosts;
pub use routes::{JobView, router};
pub use server::{Error, Listen, bind, serve};
