//! Every change that is asked for leaves a line in the log: who asked, for what, and what came of it. Those that are turned away
//! leave a bounded number: whoever knocks all day fills no disk.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Lines of changes that were turned away, at once; and how long until there may be as many again.
const LINES: u32 = 10;
const EVERY: Duration = Duration::from_secs(60);
/// What of a path is repeated, and of an error.
const CHARS: usize = 300;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What came of a change. Its answer carries it here.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// From the end of this epoch on, or in it; `None` where nothing was to be changed.
    Done(Option<u64>),
    /// Whoever may ask for it asked, and it cannot be.
    Refused(String),
    /// It was turned away.
    TurnedAway(String),
}

/// Writes the lines.
#[derive(Clone)]
pub(crate) struct Audit {
    /// By what changes are let in.
    by: &'static str,
    quota: Arc<Mutex<Quota>>,
}

impl Audit {
    pub(crate) fn new(by: &'static str) -> Self {
        Self { by, quota: Arc::default() }
    }

    fn write(&self, peer: Option<Peer>, change: &str, status: StatusCode, outcome: Option<Outcome>) {
        let peer = peer.map(|Peer(address)| tracing::field::display(address));
        let (status, by) = (status.as_u16(), self.by);
        match outcome {
            Some(Outcome::Done(epoch)) => tracing::info!(peer, by, change, status, epoch, "changed by the API"),
            Some(Outcome::Refused(why)) => {
                tracing::info!(
                    peer,
                    by,
                    change,
                    status,
                    why = clip(&why),
                    "the API was asked for a change that cannot be"
                );
            }
            // Without a word it was turned away by the router: a query that says nothing, an encoding that is none.
            Some(Outcome::TurnedAway(_)) | None => {
                let why = match &outcome {
                    Some(Outcome::TurnedAway(why)) => clip(why),
                    _ => "the request is malformed",
                };
                let taken = self.quota.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
                if let Some(unsaid) = taken {
                    tracing::info!(peer, change, status, why, unsaid, "a change was turned away by the API");
                }
            }
        }
    }
}

/// How much is said of what was turned away.
#[derive(Debug, Default)]
struct Quota {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Quota {
    /// Whether one more is said now, and how many were not since the last one.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= EVERY) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said == LINES {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn clip(text: &str) -> &str {
    text.char_indices().nth(CHARS).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Has what changes something leave its line. It goes on, and leaves it, also where whoever asked does not wait for the answer.
pub(crate) async fn note(State(audit): State<Audit>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    // What a query says is configuration, perhaps with secrets.
    let change = clip(request.uri().path()).to_owned();
    let answer = tokio::spawn(async move {
        let mut response = next.run(request).await;
        let outcome = response.extensions_mut().remove::<Outcome>();
        audit.write(peer, &change, response.status(), outcome);
        response
    });
    answer.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knocks_all_day_fills_no_log() {
        let (mut quota, began) = (Quota::default(), Instant::now());
        let mut at = |seconds: u64| quota.take(began + Duration::from_secs(seconds));
        assert_eq!((0..10).map(|_| at(0)).collect::<Vec<_>>(), [Some(0); 10]);
        assert_eq!((0..500).filter_map(|_| at(59)).count(), 0);
        assert_eq!((at(60), at(60)), (Some(500), Some(0)), "it is said how many were not");
        assert_eq!((0..500).filter_map(|_| at(61)).count(), 8);
    }

    #[test]
    fn what_is_long_is_cut_between_two_characters() {
        assert_eq!(clip("ä"), "ä");
        assert_eq!(clip(&"ä".repeat(CHARS + 1)), "ä".repeat(CHARS));
    }
}
