//! What was said lately: an attempt makes several clients, and each finds out for itself that there is no broker.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const REST: Duration = Duration::from_secs(60);
/// Different reasons that are remembered.
const REASONS_MAX: usize = 32;

/// For the whole process: it has one log.
static SAID: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());

/// Says `reason`, unless it was said within the last minute. Times and numbers in brackets at its end do not count.
pub(crate) fn once_a_minute(reason: &str, say: impl FnOnce(&str)) {
    let reason = reason.rsplit_once(" (after ").map_or(reason, |(reason, _)| reason);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.retain(|(_, at)| weir_machine::since(*at) < REST);
    if said.len() < REASONS_MAX && !said.iter().any(|(other, _)| other == reason) {
        said.push((reason.to_owned(), weir_machine::now()));
        drop(said);
        say(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once() {
        let mut lines = Vec::new();
        for text in
            ["said-test: refused (after 1ms in state CONNECT)", "said-test: refused (after 2ms in state CONNECT)"]
        {
            once_a_minute(text, |reason| lines.push(reason.to_owned()));
        }
        assert_eq!(lines, ["said-test: refused"]);
    }
}
