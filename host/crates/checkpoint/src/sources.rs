//! Which recorded splits each source of a pipeline goes on reading. Nothing is read that the pipeline does not name;
//! nothing that the state was built from is left unread without the user's word.
//!
//! A split is found again by the name of its source. A source that has another name now is found by what it reads, if
//! one source alone reads that.

use std::fmt;

use weir_core::{Consent, SourceName, SplitId, SplitState};

use crate::inherit::Note;
use crate::manifest::Manifest;

/// The state was built from these, and the pipeline does not read them any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread(pub Vec<String>);

/// A split as a start finds it recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its source; `None` where only the marker knows of the split.
    pub source: Option<SourceName>,
    /// Where it stands.
    pub split: SplitState,
}

impl Recorded {
    /// All of `manifest`.
    pub fn all(manifest: &Manifest) -> Vec<Self> {
        let recorded = |(source, split): (&SourceName, SplitState)| Self { source: Some(source.clone()), split };
        manifest.splits().map(recorded).collect()
    }
}

/// What a source of this pipeline says.
pub struct Reader<'a> {
    /// Its name.
    pub name: &'a SourceName,
    /// Which of its splits a recorded one is; `None`: it does not read it.
    pub recognise: &'a dyn Fn(&SplitId) -> Option<SplitId>,
    /// What there is now, where that was asked.
    pub found: Option<&'a [SplitState]>,
}

/// The sources of this pipeline, in its order, and what the user said of those it does not have.
pub struct Reading<'a> {
    /// The sources.
    pub readers: Vec<Reader<'a>>,
    /// What the user said.
    pub consent: &'a Consent,
}

/// What each source goes on reading, in the order of the readers, and what there is to tell.
pub type GoneOn = (Vec<Vec<SplitState>>, Vec<Note>);

impl Reading<'_> {
    /// Whether `split` is not to be read any more, with the user's leave: the pipeline does not read it, or it is not
    /// there any more as it was.
    pub fn is_dropped(&self, source: Option<&SourceName>, split: &SplitState) -> bool {
        self.dropped_as(source, split).is_some()
    }

    /// Which source reads `split` now, and as which of its splits.
    pub fn reader_of(&self, source: Option<&SourceName>, split: &SplitId) -> Option<(usize, SplitId)> {
        let mut readers = self.readers.iter().enumerate();
        let recognises = |(at, reader): (usize, &Reader<'_>)| Some((at, (reader.recognise)(split)?));
        let named = readers.clone().filter(|(_, reader)| Some(reader.name) == source).find_map(recognises);
        named.or_else(|| {
            let only = readers.find_map(recognises)?;
            readers.find_map(recognises).is_none().then_some(only)
        })
    }

    /// The splits to go on with.
    pub fn go_on(&self, recorded: &[Recorded]) -> Result<GoneOn, Unread> {
        let mut splits: Vec<Vec<SplitState>> = self.readers.iter().map(|_| Vec::new()).collect();
        let (mut notes, mut unread): (Vec<Note>, Vec<String>) = (Vec::new(), Vec::new());
        // Those that keep their source come first: nobody takes their place.
        let keeps = |recorded: &&Recorded| {
            let reader = self.reader_of(recorded.source.as_ref(), &recorded.split.split);
            let reader = reader.and_then(|(at, _)| self.readers.get(at));
            reader.is_some_and(|reader| Some(reader.name) == recorded.source.as_ref())
        };
        let (kept, moved): (Vec<&Recorded>, Vec<&Recorded>) = recorded.iter().partition(keeps);
        for Recorded { source, split: state } in kept.into_iter().chain(moved) {
            if let Some(name) = self.dropped_as(source.as_ref(), state) {
                let note = Note::SourceDropped(name.to_owned());
                if !notes.contains(&note) {
                    notes.push(note);
                }
                continue;
            }
            let reader = self.reader_of(source.as_ref(), &state.split);
            let place = reader.and_then(|(at, split)| Some((splits.get_mut(at)?, split)));
            match place.filter(|(known, split)| !known.iter().any(|known| known.split == *split)) {
                Some((known, split)) => known.push(SplitState { split, ..state.clone() }),
                None => {
                    let word = self.word_for(source.as_ref(), state);
                    if !unread.iter().any(|known| known == word) {
                        unread.push(word.to_owned());
                    }
                }
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

    /// The word by which `split` can be dropped: what was read, or its source, where another one reads something of the same
    /// name.
    fn word_for<'s>(&self, source: Option<&'s SourceName>, split: &'s SplitState) -> &'s str {
        let is_taken = self.reader_of(source, &split.split).is_some();
        source.filter(|_| is_taken).map_or(&*split.split.stream, |source| &*source.0)
    }

    /// The word of the user by which `split` is not read any more: its own name, or that of a source which is no more.
    fn dropped_as(&self, source: Option<&SourceName>, split: &SplitState) -> Option<&str> {
        let said = |name: &str| self.consent.drop_sources.iter().find(|said| *said == name).map(String::as_str);
        let of_source = source.and_then(|source| said(&source.0));
        if of_source.is_some() && !self.readers.iter().any(|reader| Some(reader.name) == source) {
            return of_source;
        }
        let said = of_source.or_else(|| said(&split.split.stream))?;
        let reader = self.reader_of(source, &split.split).and_then(|(at, _)| self.readers.get(at));
        let is_there = reader.is_some_and(|reader| reader.has(split));
        (!is_there).then_some(said)
    }
}

impl Reader<'_> {
    /// Whether `split` is still there, as far as that is known.
    fn has(&self, split: &SplitState) -> bool {
        // Who does not know an identity cannot say that it is another one.
        let is_other = |found: &SplitState| found.identity.is_some() && split.identity.is_some();
        let is_itself =
            |found: &SplitState| found.split == split.split && (found.identity == split.identity || !is_other(found));
        self.found.is_none_or(|found| found.iter().any(is_itself))
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
mod tests;
