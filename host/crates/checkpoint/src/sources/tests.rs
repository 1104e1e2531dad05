//! What is read on, what needs a word, and whose split is whose where there are several sources.
use super::*;

fn split(topic: &str, identity: &str) -> SplitState {
    let identity = Some(identity.to_owned());
    SplitState { split: SplitId::new(topic, 0), position: 5, end: None, identity, term: None }
}

fn of(source: &str, split: SplitState) -> Recorded {
    Recorded { source: Some(SourceName::new(source)), split }
}

/// One source, which reads topics that begin with `a`.
fn go_on(recorded: &[SplitState], found: Option<&[SplitState]>, dropped: &[&str]) -> Result<Vec<String>, Unread> {
    let recognise = |split: &SplitId| split.stream.starts_with('a').then(|| split.clone());
    let drop_sources = dropped.iter().map(|name| (*name).to_owned()).collect();
    let (consent, name) = (&Consent { drop_sources, ..Consent::default() }, SourceName::new("in"));
    let readers = vec![Reader { name: &name, recognise: &recognise, found }];
    let recorded: Vec<_> = recorded.iter().map(|split| of("in", split.clone())).collect();
    let (splits, notes) = Reading { readers, consent }.go_on(&recorded)?;
    let splits = splits.iter().flatten().map(|s| format!("{} at {}", s.split.stream, s.position));
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
    assert_eq!(go_on(&recorded, None, &["in"]), Ok(vec!["a1 at 5".into(), idle("in")]));
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

/// Sources by name, with what each reads; what each goes on with.
fn several(sources: &[(&str, &[&str])], recorded: &[Recorded], dropped: &[&str]) -> Result<Vec<String>, Unread> {
    let names: Vec<_> = sources.iter().map(|(name, _)| SourceName::new(*name)).collect();
    let recognise: Vec<_> = sources
        .iter()
        .map(|(_, topics)| move |split: &SplitId| topics.contains(&&*split.stream).then(|| split.clone()))
        .collect();
    let readers = names.iter().zip(&recognise).map(|(name, recognise)| Reader { name, recognise, found: None });
    let drop_sources = dropped.iter().map(|name| (*name).to_owned()).collect();
    let consent = &Consent { drop_sources, ..Consent::default() };
    let (splits, _) = Reading { readers: readers.collect(), consent }.go_on(recorded)?;
    let all = splits.iter().zip(sources).flat_map(|(splits, (name, _))| {
        splits.iter().map(move |s| format!("{name}: {} at {}", s.split.stream, s.position))
    });
    Ok(all.collect())
}

#[test]
fn a_split_stays_with_the_source_of_its_name() {
    let at = |position| SplitState { position, ..split("sequence", "") };
    let recorded = [of("one", at(10)), of("two", at(20))];
    // Two generators are told apart by their names alone, in whatever order.
    let reads: &[&str] = &["sequence"];
    let both = |one: &str, two: &str| Ok(vec![one.to_owned(), two.to_owned()]);
    assert_eq!(
        several(&[("one", reads), ("two", reads)], &recorded, &[]),
        both("one: sequence at 10", "two: sequence at 20")
    );
    assert_eq!(
        several(&[("two", reads), ("one", reads)], &recorded, &[]),
        both("two: sequence at 20", "one: sequence at 10")
    );
    // One of them is gone: the other does not take its place, and its position is not lost without a word.
    assert_eq!(several(&[("two", reads)], &recorded, &[]), Err(Unread(vec!["one".into()])));
    assert_eq!(several(&[("two", reads)], &recorded, &["one"]), Ok(vec!["two: sequence at 20".into()]));
}

#[test]
fn a_source_with_another_name_is_found_by_what_it_alone_reads() {
    let recorded = [of("old", split("a", "x")), of("b", split("b", "y"))];
    let found = several(&[("new", &["a"]), ("b", &["b"])], &recorded, &[]);
    assert_eq!(found, Ok(vec!["new: a at 5".into(), "b: b at 5".into()]));
    // A topic may move to a source that reads others as well.
    let found = several(&[("b", &["a", "b"])], &recorded, &[]);
    assert_eq!(found, Ok(vec!["b: b at 5".into(), "b: a at 5".into()]));
    let found = several(&[("n1", &["a"]), ("n2", &["a", "b"])], &recorded, &[]);
    assert_eq!(found, Err(Unread(vec!["a".into()])), "which of the two is it?");
    // Kafka alone knows of it.
    let unnamed = [Recorded { source: None, split: split("b", "y") }];
    assert_eq!(several(&[("n1", &["a"]), ("n2", &["b"])], &unnamed, &[]), Ok(vec!["n2: b at 5".into()]));
}

#[test]
fn the_words_of_a_refusal_are_enough() {
    let recorded = [
        of("one", split("f", "x")),
        of("two", split("f", "x")),
        of("three", split("t", "y")),
        of("three", split("u", "z")),
    ];
    let pipelines: [&[(&str, &[&str])]; 4] = [
        &[("two", &["f"])],
        &[("three", &["f", "t"])],
        &[("new", &["f", "u"])],
        &[("one", &["t"]), ("x", &["f"]), ("y", &["f"])],
    ];
    for sources in pipelines {
        let Unread(words) = several(sources, &recorded, &[]).unwrap_err();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        several(sources, &recorded, &words).unwrap_or_else(|refused| panic!("{sources:?}, {words:?}: {refused}"));
    }
}
