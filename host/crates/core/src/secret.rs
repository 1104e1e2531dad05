//! Text that is shown to nobody.

use std::fmt;

/// A text that may be a password: neither `Debug` nor `Display` shows it, so that no error, log line or page can, however
/// it is put together. Whoever needs the text says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What is shown instead.
const HIDDEN: &str = "(hidden)";

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one that it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `said` without this text in it, in case that somebody repeats what they were told.
    pub fn remove_from(&self, said: &str) -> String {
        match self.0.is_empty() {
            true => said.to_owned(),
            false => said.replace(&self.0, HIDDEN),
        }
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
    }
}
