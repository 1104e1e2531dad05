//! Which recorded splits a start goes on reading. Nothing is read that the pipeline does not name; nothing that the
//! state was built from is left unread without the user's word.

use std::fmt;

use weir_core::{Consent, SplitId, SplitState};

use crate::inherit::Note;

/// The state was built from these, and the pipeline does not read them any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread(pub Vec<String>);

/// What the source of this pipeline says of recorded splits.
pub struct Reading<'a> {
    /// Which of its splits a recorded one is; `None`: it does not read it.
    pub recognise: &'a dyn Fn(&SplitId) -> Option<SplitId>,
    /// What there is now, where that was asked.
    pub found: Option<&'a [SplitState]>,
    /// What the user said.
    pub consent: &'a Consent,
}

impl Reading<'_> {
    /// Whether `split` is not to be read any more, with the user's leave: the pipeline does not read it, or it is not
    /// there any more as it was.
    pub fn is_dropped(&self, split: &SplitState) -> bool {
        let name = &*split.split.topic;
        if !self.consent.drop_sources.iter().any(|dropped| dropped == name) {
            return false;
        }
        // Who does not know an identity cannot say that it is another one.
        let is_other = |found: &SplitState| found.identity.is_some() && split.identity.is_some();
        let is_itself =
            |found: &SplitState| found.split == split.split && (found.identity == split.identity || !is_other(found));
        let is_there = self.found.is_none_or(|found| found.iter().any(is_itself));
        !is_there || (self.recognise)(&split.split).is_none()
    }

    /// The splits to go on with.
    pub fn go_on(&self, recorded: &[SplitState]) -> Result<(Vec<SplitState>, Vec<Note>), Unread> {
        let (mut splits, mut notes, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for state in recorded {
            let name = state.split.topic.to_string();
            let note = Note::SourceDropped(name.clone());
            match (self.is_dropped(state), (self.recognise)(&state.split)) {
                (true, _) if notes.contains(&note) => {}
                (true, _) => notes.push(note),
                (false, Some(split)) => splits.push(SplitState { split, ..state.clone() }),
                (false, None) if unread.contains(&name) => {}
                (false, None) => unread.push(name),
            }
        }
        if !unread.is_empty() {
            return Err(Unread(unread));
        }
        for name in &self.consent.drop_sources {
            if !notes.contains(&Note::SourceDropped(name.clone())) {
                notes.push(Note::NotNeeded { flag: "--drop-source", name: name.clone() });
            }
        }
        Ok((splits, notes))
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let flags = self.0.iter().map(|name| format!("--drop-source {name}")).collect::<Vec<_>>().join(" ");
        write!(
            f,
            "the state of this job was built from {names}, which this pipeline does not read (--from, or the sources of \
             its file); read it again, give {flags} to go on without what is left in it, or another --job to start from \
             nothing"
        )
    }
}

impl std::error::Error for Unread {}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(topic: &str, identity: &str) -> SplitState {
        let identity = Some(identity.to_owned());
        SplitState { split: SplitId::new(topic, 0), position: 5, end: None, identity, term: None }
    }

    /// Reads topics that begin with `a`.
    fn go_on(recorded: &[SplitState], found: Option<&[SplitState]>, dropped: &[&str]) -> Result<Vec<String>, Unread> {
        let recognise = |split: &SplitId| split.topic.starts_with('a').then(|| split.clone());
        let drop_sources = dropped.iter().map(|name| (*name).to_owned()).collect();
        let consent = &Consent { drop_sources, ..Consent::default() };
        let (splits, notes) = Reading { recognise: &recognise, found, consent }.go_on(recorded)?;
        let splits = splits.iter().map(|s| format!("{} at {}", s.split.topic, s.position));
        Ok(splits.chain(notes.iter().map(ToString::to_string)).collect())
    }

    #[test]
    fn what_the_pipeline_does_not_read_needs_a_word() {
        let recorded = [split("a1", "x"), split("b", "y"), split("a2", "z")];
        assert_eq!(go_on(&recorded, None, &[]), Err(Unread(vec!["b".into()])));
        let refusal = go_on(&recorded, None, &["a1"]).unwrap_err().to_string();
        assert!(refusal.contains("\"b\"") && refusal.contains("--drop-source b"), "{refusal}");
        let dropped = "b is not read any more, as --drop-source says";
        assert_eq!(go_on(&recorded, None, &["b"]), Ok(vec!["a1 at 5".into(), "a2 at 5".into(), dropped.into()]));
    }

    #[test]
    fn what_is_read_is_not_dropped() {
        let idle = |name| format!("--drop-source {name} has nothing to do: what is recorded fits");
        let recorded = [split("a1", "x")];
        assert_eq!(go_on(&recorded, Some(&recorded), &["a1"]), Ok(vec!["a1 at 5".into(), idle("a1")]));
        assert_eq!(go_on(&recorded, None, &["a1", "c"]), Ok(vec!["a1 at 5".into(), idle("a1"), idle("c")]));
    }

    #[test]
    fn what_is_gone_or_another_now_may_be_dropped() {
        let dropped = || Ok(vec!["a1 is not read any more, as --drop-source says".to_owned()]);
        assert_eq!(go_on(&[split("a1", "x")], Some(&[]), &["a1"]), dropped());
        assert_eq!(go_on(&[split("a1", "x")], Some(&[split("a1", "new")]), &["a1"]), dropped());
        assert_eq!(go_on(&[split("a1", "x")], Some(&[]), &[]), Ok(vec!["a1 at 5".into()]), "the source will refuse it");
        let unknown = SplitState { identity: None, ..split("a1", "x") };
        for (recorded, found) in [(unknown.clone(), split("a1", "new")), (split("a1", "x"), unknown)] {
            assert_eq!(go_on(&[recorded], Some(&[found]), &["a1"]).map(|said| said[0].clone()), Ok("a1 at 5".into()));
        }
    }
}
