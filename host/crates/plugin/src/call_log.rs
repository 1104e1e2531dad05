//! What a guest says: kept until its call has ended, then handed to the host's log or dropped with the call.

use std::time::{Duration, Instant};

/// Bytes of a message that are kept.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Lines of one call that are kept.
const CALL_LINES_MAX: usize = 256;
/// Lines of one operator that reach the host's log in a second.
const LINES_PER_SECOND: u32 = 200;

/// The levels of `wit/log.wit`.
const TRACE: u32 = 0;
const DEBUG: u32 = 1;
const INFO: u32 = 2;
const WARN: u32 = 3;
const ERROR: u32 = 4;
/// The last words before a trap.
const PANIC: u32 = 5;

/// The lines of one call.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    lines: Vec<(u32, String)>,
    dropped: u64,
    last_words: Option<String>,
}

impl CallLog {
    /// Keeps a line, whose message is [`clip`]ped already.
    pub(crate) fn push(&mut self, level: u32, message: String) {
        match level {
            PANIC => self.last_words = Some(message),
            _ if self.lines.len() >= CALL_LINES_MAX => self.dropped += 1,
            _ => self.lines.push((level.min(ERROR), message)),
        }
    }

    /// What it said before it trapped.
    pub(crate) fn take_last_words(&mut self) -> Option<String> {
        self.last_words.take()
    }

    /// The call did not happen: only what explains why is kept.
    pub(crate) fn keep_errors(&mut self) {
        self.lines.retain(|(level, _)| *level == ERROR);
    }

    /// Hands the lines over to the host's log, and last words that no trap followed.
    pub(crate) fn flush(&mut self, plugin: &str, budget: &mut LineBudget) {
        self.lines.extend(self.last_words.take().map(|words| (ERROR, words)));
        if self.lines.is_empty() {
            return;
        }
        budget.refill(plugin);
        budget.dropped += self.dropped;
        self.dropped = 0;
        for (level, message) in self.lines.drain(..) {
            let is_wanted = level == ERROR || !budget.only_errors;
            if is_wanted && budget.take() {
                write(plugin, level, &message);
            }
        }
    }
}

/// How many lines an operator may still write in this second. It outlives instances, so that a plugin that fails on
/// every record does not fill a disk.
#[derive(Debug, Default)]
pub(crate) struct LineBudget {
    second: Option<Instant>,
    used: u32,
    dropped: u64,
    only_errors: bool,
}

impl LineBudget {
    /// One for errors alone; other lines are not said.
    pub(crate) fn for_errors() -> Self {
        Self { only_errors: true, ..Self::default() }
    }

    fn refill(&mut self, plugin: &str) {
        let now = weir_machine::now();
        if self.second.is_none_or(|second| now - second >= Duration::from_secs(1)) {
            if self.dropped > 0 {
                tracing::warn!(plugin, lines = self.dropped, "plugin writes too much, lines were dropped");
            }
            *self = Self { second: Some(now), used: 0, dropped: 0, ..*self };
        }
    }

    fn take(&mut self) -> bool {
        if self.used < LINES_PER_SECOND {
            self.used += 1;
            true
        } else {
            self.dropped += 1;
            false
        }
    }
}

fn write(plugin: &str, level: u32, message: &str) {
    match level {
        TRACE => tracing::trace!(plugin, "{message}"),
        DEBUG => tracing::debug!(plugin, "{message}"),
        INFO => tracing::info!(plugin, "{message}"),
        WARN => tracing::warn!(plugin, "{message}"),
        _ => tracing::error!(plugin, "{message}"),
    }
}

/// The first 4 KiB.
pub(crate) fn clip(message: &str) -> &str {
    message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_and_last_words_outlive_a_failed_call() {
        let mut log = CallLog::default();
        for level in [TRACE, INFO, ERROR, 77, PANIC] {
            log.push(level, "said".to_owned());
        }
        log.keep_errors();
        assert_eq!(log.lines, [(ERROR, "said".to_owned()), (ERROR, "said".to_owned())], "an unknown level is an error");
        assert_eq!(log.take_last_words().as_deref(), Some("said"));
    }

    #[test]
    fn last_words_do_not_wait_for_the_next_call() {
        let (mut log, mut budget) = (CallLog::default(), LineBudget::default());
        log.push(PANIC, "caught by the guest itself".to_owned());
        log.flush("talker", &mut budget);
        assert_eq!((budget.used, log.take_last_words()), (1, None));
    }

    #[test]
    fn talk_is_bounded() {
        let mut log = CallLog::default();
        let mut budget = LineBudget::default();
        (0..CALL_LINES_MAX + 5).for_each(|_| log.push(TRACE, clip(&"ä".repeat(MESSAGE_BYTES_MAX)).to_owned()));
        assert!(log.lines.iter().all(|(_, message)| message.len() == MESSAGE_BYTES_MAX));
        log.flush("talker", &mut budget);
        let dropped = (CALL_LINES_MAX + 5) as u64 - u64::from(LINES_PER_SECOND);
        assert_eq!((budget.used, budget.dropped), (LINES_PER_SECOND, dropped));
    }
}
