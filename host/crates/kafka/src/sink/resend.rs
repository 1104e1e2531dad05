//! When a request of a transaction may have been sent twice, and how long a client waits before it sends one again. Pure.
//!
//! librdkafka does not tell of a resend, but it waits before one: `retry.backoff.ms` for an EndTxn, 500 ms for a
//! TxnOffsetCommit, both with 20 % jitter. A call that took less was sent once; any other leaves its producer in doubt.
//! Where the way to the broker alone takes that long, every commit would be in doubt, and every epoch would cost an id.
//! So clients that are opened later wait longer, by what commits took before ([`Ends`]): a multiple of it is no doubt.
//! Once commits are fast again, clients that wait so long are opened anew ([`is_outdated`]).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Librdkafka's own default.
const SHORTEST: Duration = Duration::from_millis(100);
/// Its `retry.backoff.max.ms`.
const LONGEST: Duration = Duration::from_secs(1);
/// The offset commit of a transaction has no sequence number; it is resent after 500 ms, with 20 % jitter.
const OFFSETS_DOUBT: Duration = Duration::from_millis(400);
/// So many commits are remembered.
const REMEMBERED: usize = 9;
/// Fewer tell nothing: one may have met a broker that was busy.
const ENOUGH: usize = 3;

/// `retry.backoff.ms` of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    /// As the client takes it.
    pub(crate) fn ms(self) -> u128 {
        self.0.as_millis()
    }

    /// Whether the broker is so far away that the client's own choice would not do.
    pub(crate) fn is_long(self) -> bool {
        self.0 > SHORTEST
    }

    /// An EndTxn that was resent took at least 80 % of the wait.
    fn end_doubt(self) -> Duration {
        self.0 * 7 / 10
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

/// How long the last commits took, over all attempts and both ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends(Arc<Mutex<VecDeque<Duration>>>);

impl Ends {
    /// A commit took this long.
    pub(crate) fn note(&self, took: Duration) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.truncate(REMEMBERED - 1);
        ends.push_front(took);
    }

    /// For a client that is opened now: four times what a commit usually takes.
    pub(crate) fn backoff(&self) -> Backoff {
        let mut ends: Vec<Duration> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        ends.sort_unstable();
        match ends.get(ends.len() / 2) {
            Some(usual) if ends.len() >= ENOUGH => Backoff((*usual * 4).clamp(SHORTEST, LONGEST)),
            _ => Backoff::default(),
        }
    }
}

/// Whether a client that waits for its turn is better opened anew: one that is opened `now` would wait half as long at
/// most. Between that and twice as long, as where commits take now more and now less, it would be an id for nothing.
pub(crate) fn is_outdated(opened: Backoff, now: Backoff) -> bool {
    opened.is_long() && now.0 <= opened.0 / 2
}

/// One call, until its outcome was known.
pub(crate) struct Took {
    pub(crate) time: Duration,
    /// It had to be made more than once.
    pub(crate) resumed: bool,
}

/// Why a producer must not serve another transaction after these calls, if so.
pub(crate) fn doubt(sent: &Took, ended: &Took, backoff: Backoff) -> Option<&'static str> {
    match () {
        () if ended.resumed || sent.resumed => Some("resumed"),
        () if ended.time >= backoff.end_doubt() => Some("slow-end"),
        () if sent.time >= OFFSETS_DOUBT => Some("slow-offsets"),
        () => None,
    }
}

/// Which id the next transaction uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The same as the last one.
    Same,
    /// The other one: the broker may still be at the end of the last transaction.
    Other,
    /// The other one, also if that has to be waited for; the one in use must not serve again as it is, for this reason.
    Renew(&'static str),
}

/// Decides it: of `doubt` about the one in use, and whether the other `can_serve` without a wait.
pub type Rotation = fn(doubt: Option<&'static str>, can_serve: bool) -> Turn;

/// As it is right.
pub(crate) fn rotate(doubt: Option<&'static str>, can_serve: bool) -> Turn {
    match doubt {
        Some(reason) => Turn::Renew(reason),
        None if can_serve => Turn::Other,
        None => Turn::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(ms: u64, resumed: bool) -> Took {
        Took { time: Duration::from_millis(ms), resumed }
    }

    fn after(commits: &[u64]) -> Backoff {
        let ends = Ends::default();
        commits.iter().for_each(|ms| ends.note(Duration::from_millis(*ms)));
        ends.backoff()
    }

    #[test]
    fn a_commit_that_may_have_been_resent_is_in_doubt() {
        let near = Backoff::default();
        assert_eq!(doubt(&took(399, false), &took(69, false), near), None);
        assert_eq!(doubt(&took(400, false), &took(1, false), near), Some("slow-offsets"));
        assert_eq!(doubt(&took(1, false), &took(70, false), near), Some("slow-end"));
        assert_eq!(doubt(&took(1, true), &took(1, false), near), Some("resumed"));
        assert_eq!(doubt(&took(1, false), &took(1, true), near), Some("resumed"));
    }

    #[test]
    fn a_broker_that_is_far_away_is_no_doubt_for_a_client_that_waits_longer() {
        let far = after(&[165, 160, 170]);
        assert_eq!(far, Backoff(Duration::from_millis(660)));
        assert_eq!(doubt(&took(330, false), &took(170, false), far), None);
        assert_eq!(doubt(&took(330, false), &took(462, false), far), Some("slow-end"));
    }

    #[test]
    fn a_client_that_waits_too_long_is_opened_anew_once_commits_are_fast() {
        let backoff = |ms| Backoff(Duration::from_millis(ms));
        assert!(is_outdated(backoff(1_000), backoff(500)) && is_outdated(backoff(1_000), Backoff::default()));
        assert!(is_outdated(backoff(200), Backoff::default()));
        assert!(!is_outdated(backoff(1_000), backoff(501)) && !is_outdated(backoff(199), Backoff::default()));
        assert!(!is_outdated(backoff(500), backoff(1_000)), "slower is the business of a doubt");
        assert!(!is_outdated(Backoff::default(), Backoff::default()), "there is no shorter one");
        let recovered: Vec<u64> = [250; 9].into_iter().chain([5; 5]).collect();
        assert!(
            !is_outdated(after(&[250; 9]), after(&recovered[..13])) && is_outdated(after(&[250; 9]), after(&recovered))
        );
    }

    #[test]
    fn an_id_in_doubt_never_serves_again_as_it_is() {
        assert_eq!([true, false].map(|can_serve| rotate(Some("slow-end"), can_serve)), [Turn::Renew("slow-end"); 2]);
        assert_eq!([true, false].map(|can_serve| rotate(None, can_serve)), [Turn::Other, Turn::Same]);
    }

    #[test]
    fn the_wait_follows_what_commits_usually_take() {
        assert_eq!(after(&[]), Backoff(SHORTEST));
        assert_eq!(after(&[900, 900]), Backoff(SHORTEST), "too few");
        assert_eq!(after(&[3, 900, 4]), Backoff(SHORTEST), "one that was slow");
        assert_eq!(after(&[3_000; 5]), Backoff(LONGEST));
        let recovered: Vec<u64> = [200; 9].into_iter().chain([5; 5]).collect();
        assert_eq!(after(&recovered), Backoff(SHORTEST), "only the last nine count");
    }
}
