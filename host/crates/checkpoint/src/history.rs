//! What took over from what, for those who come later: people who ask, and the next process, which must not run again what
//! failed on probation.

use serde::{Deserialize, Serialize};

use crate::manifest::PluginEntry;

/// One version took over from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Turn {
    /// The operator.
    pub operator: String,
    /// From the end of this epoch on, where its number is known.
    pub epoch: u64,
    /// When it was written down, in milliseconds since 1970.
    pub at_ms: i64,
    /// What ran before.
    pub from: PluginEntry,
    /// What runs then.
    pub to: PluginEntry,
    /// Why it did, where nobody had asked for it: how the version before failed on probation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// For each version that failed on probation, and that nobody asked for again since: what ran before it.
pub fn condemned(history: &[Turn]) -> Vec<&Turn> {
    let mut condemned: Vec<&Turn> = Vec::new();
    for turn in history {
        condemned.retain(|other| other.operator != turn.operator || other.from != turn.to);
        if turn.failure.is_some() {
            condemned.push(turn);
        }
    }
    condemned
}

#[cfg(test)]
mod tests {
    use weir_core::Digest;

    use super::*;

    fn version(name: &str) -> PluginEntry {
        PluginEntry { name: "p".into(), version: name.into(), digest: Digest(name.into()), took_over: None }
    }

    fn turn(operator: &str, from: &str, to: &str, failure: Option<&str>) -> Turn {
        let failure = failure.map(str::to_owned);
        Turn { operator: operator.into(), epoch: 7, at_ms: 1, from: version(from), to: version(to), failure }
    }

    #[test]
    fn what_failed_stays_condemned_until_somebody_asks_for_it_again() {
        let mut history = vec![turn("a", "1", "2", None), turn("a", "2", "1", Some("trapped"))];
        assert_eq!(condemned(&history), [&history[1]]);
        history.push(turn("b", "1", "2", None));
        assert_eq!(condemned(&history), [&history[1]], "of another operator");
        history.push(turn("a", "1", "3", None));
        assert_eq!(condemned(&history), [&history[1]], "another version");
        history.push(turn("a", "3", "2", None));
        assert!(condemned(&history).is_empty());
    }

    #[test]
    fn a_turn_is_a_line_that_is_read_again() {
        for turn in [turn("a", "1", "2", None), turn("a", "2", "1", Some("a\nb"))] {
            let line = serde_json::to_string(&turn).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Turn>(&line).unwrap(), turn);
        }
    }
}
