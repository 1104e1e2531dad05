//! `api`: what a job shows over HTTP: `GET /healthz`, `GET /metrics`, `GET /v1/job`. It knows no engine: a closure
//! gives it the job as it stands, in the words of [`model`].

/// The recorder behind `/metrics`.
pub mod metrics;
/// What is sent, field by field.
pub mod model;
/// The routes.
mod routes;
/// The listening socket and the server on it.
mod server;

pub use routes::{JobView, router};
pub use server::{Error, Listen, bind, serve};
