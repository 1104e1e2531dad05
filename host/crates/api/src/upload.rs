//! The body of a change: within a bound of bytes, which its head is held to, and within a bound of time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::Body as _;

use crate::gate::Refused;

/// What the body of a change may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How long it is, at most.
    pub(crate) bytes: u64,
    /// How long it may take to arrive.
    pub(crate) within: Duration,
}

impl Default for Bounds {
    /// A plugin may be as large as a file that is run; so much passes a slow line, 20 Mbit/s, in time.
    fn default() -> Self {
        Self { bytes: 256 << 20, within: Duration::from_secs(120) }
    }
}

/// Takes all of `body`.
pub(crate) async fn take(body: Body, bounds: Bounds) -> Result<Bytes, Refused> {
    // What the head says. A body that does not say its length is counted.
    if body.size_hint().lower() > bounds.bytes {
        return Err(Refused::TooLarge(bounds.bytes));
    }
    let taken = tokio::time::timeout(bounds.within, collect(body, bounds.bytes)).await;
    taken.unwrap_or_else(|_| Err(Refused::Slow(bounds.within.as_secs())))
}

async fn collect(mut body: Body, most: u64) -> Result<Bytes, Refused> {
    let mut taken = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // A frame without data holds trailers, which say nothing here.
        let Ok(bytes) = frame.map_err(|_| Refused::Cut)?.into_data() else { continue };
        if taken.len() as u64 + bytes.len() as u64 > most {
            return Err(Refused::TooLarge(most));
        }
        taken.extend_from_slice(&bytes);
    }
    Ok(taken.into())
}
