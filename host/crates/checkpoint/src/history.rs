//! What took over from what, for those who come later: people who ask, whoever goes back, and the next process, which must not
//! run again what failed on probation, and goes on with a probation that is not over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::manifest::PluginEntry;

/// So many turns of an operator are remembered.
const TURNS_MAX: usize = 200;

/// One version took over from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Turn {
    /// The operator.
    pub operator: String,
    /// From the end of this epoch on. Where a version failed on probation: the last epoch that held by then.
    pub epoch: u64,
    /// When it was noted, in milliseconds since 1970.
    pub at_ms: i64,
    /// What ran before.
    pub from: PluginEntry,
    /// What runs then.
    pub to: PluginEntry,
    /// Why it did, where nobody had asked for it: how the version before failed on probation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// For how long the version before waits to take over again, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub probation_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The turns of a job, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct History(Vec<Turn>);

impl History {
    /// With these, the oldest first.
    pub fn new(turns: Vec<Turn>) -> Self {
        let mut history = Self::default();
        turns.into_iter().for_each(|turn| history.add(turn));
        history
    }

    /// Adds the newest.
    pub fn add(&mut self, turn: Turn) {
        let is_full = self.of(&turn.operator).count() >= TURNS_MAX;
        let oldest = self.0.iter().position(|old| is_full && old.operator == turn.operator);
        oldest.into_iter().for_each(|oldest| drop(self.0.remove(oldest)));
        self.0.push(turn);
    }

    /// All of them, the oldest first.
    pub fn turns(&self) -> &[Turn] {
        &self.0
    }

    /// Whether it has this turn, or the failure that led to it.
    pub fn has(&self, operator: &str, (from, to): (&PluginEntry, &PluginEntry), epoch: u64) -> bool {
        self.of(operator).filter(|turn| turn.from.is(from) && turn.to.is(to)).any(|turn| match turn.failure {
            Some(_) => turn.epoch <= epoch,
            None => turn.epoch == epoch,
        })
    }

    fn of(&self, operator: &str) -> impl DoubleEndedIterator<Item = &Turn> {
        self.0.iter().filter(move |turn| turn.operator == operator)
    }

    /// How this version failed on probation, unless somebody asked for it again since.
    pub fn failed(&self, operator: &str, version: &PluginEntry) -> Option<&Turn> {
        let last = self.of(operator).rev().find(|turn| match turn.failure {
            Some(_) => turn.from.is(version),
            None => turn.to.is(version),
        });
        last.filter(|turn| turn.failure.is_some())
    }

    /// What is to run where this version is asked for: itself, unless it failed.
    pub fn heir<'a>(&'a self, operator: &str, version: &'a PluginEntry) -> &'a PluginEntry {
        let mut heir = version;
        // A version that failed may have been the one before another that did: as often as there are turns at most.
        for _ in &self.0 {
            match self.failed(operator, heir) {
                Some(turn) => heir = &turn.to,
                None => return heir,
            }
        }
        version
    }

    /// What can be gone back to from this version: what it took over from, unless that failed.
    pub fn before(&self, operator: &str, version: &PluginEntry) -> Option<&PluginEntry> {
        let turn = self.came(operator, version)?;
        Some(self.heir(operator, &turn.from)).filter(|before| !before.is(version))
    }

    /// How long the probation of this version still lasts at `now_ms`, if it is on one.
    pub fn probation(&self, operator: &str, version: &PluginEntry, now_ms: i64) -> Option<Duration> {
        let turn = self.came(operator, version)?;
        let lasts = i64::try_from(turn.probation_ms).unwrap_or(i64::MAX);
        // A clock that was set back makes it no longer than it was.
        let left = lasts.saturating_sub(now_ms.saturating_sub(turn.at_ms)).min(lasts);
        u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// How this version came to run when it was asked for last.
    fn came(&self, operator: &str, version: &PluginEntry) -> Option<&Turn> {
        let came = |turn: &&Turn| turn.failure.is_none() && turn.to.is(version) && !turn.from.is(version);
        self.of(operator).rev().find(came)
    }

    /// The version that took over at the end of this epoch, and what ran before it.
    pub fn turn_at(&self, operator: &str, epoch: u64) -> Option<&Turn> {
        self.of(operator).rev().find(|turn| turn.failure.is_none() && turn.epoch == epoch)
    }
}

#[cfg(test)]
mod tests {
    use weir_core::Digest;

    use super::*;
    use crate::manifest::TookOver;

    fn version(name: &str) -> PluginEntry {
        PluginEntry { name: "p".into(), version: name.into(), digest: Digest(name.into()), took_over: None }
    }

    fn turn(operator: &str, from: &str, to: &str, failure: Option<&str>) -> Turn {
        let failure = failure.map(str::to_owned);
        let (from, to) = (version(from), version(to));
        Turn { operator: operator.into(), epoch: 7, at_ms: 1_000, from, to, failure, probation_ms: 500 }
    }

    fn heir(history: &History, of: &str) -> String {
        history.heir("a", &version(of)).version.clone()
    }

    fn before(history: &History, of: &str) -> Option<String> {
        history.before("a", &version(of)).map(|before| before.version.clone())
    }

    #[test]
    fn what_failed_stays_so_until_somebody_asks_for_it_again() {
        let mut history = History::new(vec![turn("a", "1", "2", None), turn("a", "2", "1", Some("trapped"))]);
        assert_eq!(heir(&history, "2"), "1");
        history.add(turn("b", "1", "2", None));
        assert_eq!(heir(&history, "2"), "1", "of another operator");
        history.add(turn("a", "1", "3", None));
        assert_eq!((heir(&history, "2"), heir(&history, "3")), ("1".into(), "3".into()), "another version");
        history.add(turn("a", "3", "2", None));
        assert_eq!(heir(&history, "2"), "2");
    }

    #[test]
    fn nobody_goes_back_to_what_failed() {
        let mut history = History::new(vec![turn("a", "1", "2", None)]);
        assert_eq!((before(&history, "1"), before(&history, "2")), (None, Some("1".into())));
        history.add(turn("a", "2", "1", Some("trapped")));
        assert_eq!(before(&history, "1"), None, "only 2 ran since, which failed");
        // It failed while the next one was on its way already.
        history.add(turn("a", "2", "3", None));
        assert_eq!(before(&history, "3"), Some("1".into()));
        history.add(turn("a", "3", "1", None));
        assert_eq!(before(&history, "1"), Some("3".into()), "back and forth, as it was asked for");
    }

    #[test]
    fn versions_that_all_failed_end_no_search() {
        let history = History::new(vec![
            turn("a", "1", "2", None),
            turn("a", "2", "1", Some("trapped")),
            turn("a", "1", "2", Some("trapped")),
        ]);
        assert_eq!((heir(&history, "1"), heir(&history, "2")), ("1".into(), "2".into()));
    }

    #[test]
    fn a_probation_ends_with_its_time_and_not_with_the_process() {
        let history = History::new(vec![turn("a", "1", "2", None)]);
        let left = |version: &PluginEntry, now_ms| history.probation("a", version, now_ms).map(|left| left.as_millis());
        assert_eq!(left(&version("2"), 1_100), Some(400));
        assert_eq!(left(&version("2"), 0), Some(500), "a clock that was set back");
        assert_eq!((left(&version("2"), 1_500), left(&version("1"), 1_100)), (None, None));
    }

    #[test]
    fn a_version_is_its_file_and_configuration_whatever_it_took_over_from() {
        let with = |config: Option<&str>| {
            let took_over = TookOver { from: Digest("1".into()), config: config.map(str::to_owned) };
            PluginEntry { took_over: Some(took_over), ..version("2") }
        };
        let history = History::new(vec![Turn { to: with(None), ..turn("a", "1", "2", None) }]);
        assert_eq!(before(&history, "2"), Some("1".into()), "in a process that was started with it");
        assert!(history.probation("a", &version("2"), 1_100).is_some());
        assert!(history.before("a", &with(Some("{}"))).is_none());
    }

    #[test]
    fn a_turn_is_known_by_its_epoch_and_a_failure_by_what_came_of_it() {
        let failed = Turn { epoch: 8, ..turn("a", "2", "1", Some("trapped")) };
        let history = History::new(vec![turn("a", "1", "2", None), failed]);
        let has = |from: &str, to: &str, epoch| history.has("a", (&version(from), &version(to)), epoch);
        assert!(has("1", "2", 7) && has("2", "1", 9));
        assert!(!has("1", "2", 12), "asked for once more, and not noted");
    }

    #[test]
    fn a_long_history_loses_its_beginning() {
        let mut history = History::default();
        (0..TURNS_MAX + 5).for_each(|at| history.add(turn("a", &at.to_string(), &(at + 1).to_string(), None)));
        assert_eq!((history.0.len(), history.0[0].from.version.as_str()), (TURNS_MAX, "5"));
        history.add(turn("b", "1", "2", None));
        assert_eq!(history.0.len(), TURNS_MAX + 1, "of another operator");
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
