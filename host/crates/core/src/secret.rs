//! Text that is shown to nobody.

use std::fmt;

/// A text that may be a password: neither `Debug` nor `Display` shows it, so that no error, log line or page can, however
/// it is put together. Whoever needs the text says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What is shown instead.
const HIDDEN: &str = "(hidden)";
/// A text of so many bytes is no part of a word by chance.
const TELLING: usize = 8;

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one that it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `said` without this text in it, in case that somebody repeats what they were told. A short one, which may be part of
    /// any word, is hidden where it is a word of its own.
    ///
    /// ```
    /// let secret = weir_core::Secret::new("hunter2");
    /// assert_eq!(secret.remove_from("login failed: hunter2"), "login failed: (hidden)");
    /// ```
    pub fn remove_from(&self, said: &str) -> String {
        if self.0.is_empty() {
            return said.to_owned();
        }
        let is_word = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
        let (mut left, mut end) = (String::with_capacity(said.len()), 0);
        for (at, found) in said.match_indices(&self.0) {
            let (before, after) =
                (said.get(..at).unwrap_or_default(), said.get(at + found.len()..).unwrap_or_default());
            let is_part = is_word(before.chars().next_back()) || is_word(after.chars().next());
            if self.0.len() >= TELLING || !is_part {
                left.push_str(said.get(end..at).unwrap_or_default());
                left.push_str(HIDDEN);
                end = at + found.len();
            }
        }
        left.push_str(said.get(end..).unwrap_or_default());
        left
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_itself_to_nobody() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret} {secret:?} {:?} {:#?}", Some(&secret), [&secret]);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(secret.remove_from("no hunter2 here"), "no (hidden) here");
        assert_eq!(Secret::new("").remove_from("as it was"), "as it was");
        let short = Secret::new("u");
        assert_eq!(short.remove_from("u: user \"u\" but you, u"), "(hidden): user \"(hidden)\" but you, (hidden)");
        assert_eq!(Secret::new("correct-horse").remove_from("xcorrect-horsex"), "x(hidden)x");
    }
}
