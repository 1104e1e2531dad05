//! What an epoch was read from: which broker gave out records of which split. Whoever gave them out is who must be asked
//! whether their topic is what it was, see `gate.rs`.

use std::collections::BTreeMap;

use weir_core::SplitState;

/// What is asked of each broker (`None`: of any): topics, with the id that each should have.
pub(super) type Questions = BTreeMap<Option<i32>, BTreeMap<String, Option<String>>>;

/// Collects until it is asked about.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// Each split with a broker, mostly once.
    noted: Vec<(u32, i32)>,
    /// The broker that was noted last for each split, to note it once.
    last: Vec<Option<i32>>,
}

impl Served {
    /// There are `count` splits from now on. Where a new one begins has not been verified either.
    pub(super) fn begin(&mut self, count: usize) {
        let known = self.last.len();
        self.last.resize(count.max(known), None);
        for split in known..count {
            self.note(split as u32, -1);
        }
    }

    /// Records of `split`, or its end, came from `broker`; negative where that is not known.
    pub(super) fn note(&mut self, split: u32, broker: i32) {
        let Some(last) = self.last.get_mut(split as usize) else { return };
        if last.replace(broker) != Some(broker) {
            self.noted.push((split, broker));
        }
    }

    /// Whom to ask what about everything since the last call.
    pub(super) fn take(&mut self, splits: &[SplitState]) -> Questions {
        let mut questions = Questions::new();
        for (split, broker) in self.noted.drain(..) {
            let Some(state) = splits.get(split as usize) else { continue };
            let topics = questions.entry(u32::try_from(broker).is_ok().then_some(broker)).or_default();
            if !topics.contains_key(&*state.split.stream) {
                topics.insert(state.split.stream.to_string(), state.identity.clone());
            }
        }
        self.last.fill(None);
        questions
    }
}

#[cfg(test)]
mod tests {
    use weir_core::SplitId;

    use super::*;

    fn splits() -> Vec<SplitState> {
        let state = |(topic, partition): (&str, i32)| SplitState {
            split: SplitId::new(topic, partition),
            position: 0,
            end: None,
            identity: Some(format!("id of {topic}")),
            term: None,
        };
        [("a", 0), ("a", 1), ("b", 0)].map(state).into()
    }

    fn asked(served: &mut Served) -> Vec<(Option<i32>, Vec<String>)> {
        let questions = served.take(&splits());
        assert!(questions.values().flatten().all(|(topic, id)| id.as_deref() == Some(&*format!("id of {topic}"))));
        questions.into_iter().map(|(broker, topics)| (broker, topics.into_keys().collect())).collect()
    }

    #[test]
    fn every_broker_is_asked_about_what_it_gave_out_and_once() {
        let mut served = Served::default();
        served.begin(3);
        assert_eq!(asked(&mut served), [(None, vec!["a".to_owned(), "b".to_owned()])], "where a split begins, too");
        assert_eq!(asked(&mut served), [], "nothing was read since");
        for (split, broker) in [(0, 1), (0, 1), (1, 1), (2, 2), (0, 1)] {
            served.note(split, broker);
        }
        assert_eq!(asked(&mut served), [(Some(1), vec!["a".to_owned()]), (Some(2), vec!["b".to_owned()])]);
        served.note(0, 1);
        assert_eq!(asked(&mut served), [(Some(1), vec!["a".to_owned()])], "again in the next epoch");
    }

    #[test]
    fn a_split_that_moved_is_asked_of_both_brokers() {
        let mut served = Served::default();
        served.begin(3);
        served.take(&splits());
        for broker in [1, 2, 1] {
            served.note(0, broker);
        }
        assert_eq!(asked(&mut served), [(Some(1), vec!["a".to_owned()]), (Some(2), vec!["a".to_owned()])]);
    }
}
