//! The table of pipelines that meet recorded state: what is gone on with, what is refused, and what leave changes.
use weir_core::{Digest, Fault};

use super::*;

fn plugin(name: &str) -> PluginEntry {
    PluginEntry { name: name.into(), version: "1.0.0".into(), digest: Digest("00".repeat(32)), took_over: None }
}

/// An operator with tables as `name` or `name:schema`.
fn declared(name: &str, tables: &[&str]) -> Declared {
    let table = |text: &&str| {
        let (name, schema) = text.split_once(':').unwrap_or((text, ""));
        DeclaredTable { name: name.into(), kind: TableKind::Value, schema: schema.into(), expires: None }
    };
    let tables = tables.iter().map(table).collect();
    Declared { name: name.into(), key: KeySpec::Key, plugin: plugin(name), tables }
}

fn keyed(name: &str, key: &str, tables: &[&str]) -> Declared {
    Declared { key: key.parse().unwrap(), ..declared(name, tables) }
}

/// `drop X`, `keep X`, `rename X=Y`.
fn consent(words: &[&str]) -> Consent {
    let mut consent = Consent::default();
    for word in words {
        match word.split_once(' ').unwrap() {
            ("drop", name) => consent.drop.push(name.parse().unwrap()),
            ("keep", name) => consent.keep.push(name.parse().unwrap()),
            ("rename", rename) => consent.rename.push(rename.parse().unwrap()),
            other => panic!("{other:?}"),
        }
    }
    consent
}

fn first(declared: &[Declared]) -> Numbered {
    inherit(&Numbered::default(), declared, &Consent::default()).unwrap().0
}

/// Every operator and table with its number: `count.0 n.0`.
fn numbers(numbered: &Numbered) -> String {
    let tables = |e: &OperatorEntry| e.tables.iter().map(|t| format!(" {}.{}", t.name, t.id)).collect::<String>();
    let entries: Vec<_> = numbered.operators.iter().map(|e| format!("{}.{}{}", e.name, e.id, tables(e))).collect();
    entries.join(", ")
}

#[test]
fn numbers_stay_with_their_names() {
    let before = first(&[declared("a", &[]), declared("b", &["y", "z"])]);
    let (later, notes) =
        inherit(&before, &[declared("c", &[]), declared("b", &["z", "y", "w"])], &Consent::default()).unwrap();
    assert_eq!(numbers(&later), "b.1 y.0 z.1 w.2, c.2", "an operator without state goes without a word");
    assert_eq!(notes, []);
}

#[test]
fn what_is_not_found_again_or_misread_is_refused_with_the_way_out() {
    let before = [declared("count", &["n:u64", "m"]), declared("plain", &[])];
    let renamed = "--rename-state count=operator";
    for (now, wanted) in [
        (vec![declared("operator", &["n"])], vec!["\"count\"", "n, m", renamed, "--drop-state count"]),
        (vec![declared("count", &["n"])], vec!["\"m\"", "\"count\"", "--drop-state count.m"]),
        (vec![declared("count", &["n", "k"])], vec!["--rename-state count.m=.k", "--drop-state count.m"]),
        (vec![declared("count", &[])], vec!["\"n\"", "; also, ", "\"m\""]),
        (vec![declared("count", &["n:f64", "m"])], vec!["u64", "f64", "--keep-state count.n", "--drop-state count.n"]),
        (
            vec![keyed("count", "header:user", &["n", "m"])],
            vec!["keyed by key", "header:user", "--key key", "--drop-state count", "--keep-state count"],
        ),
        (vec![declared("plain", &["p"]), declared("x", &["q"])], vec!["--rename-state count=NEW", "plain, x"]),
    ] {
        let mismatch = inherit(&first(&before), &now, &Consent::default()).unwrap_err();
        assert_eq!(mismatch.fault(), Fault::Corrupt);
        for wanted in wanted {
            assert!(mismatch.to_string().contains(wanted), "{wanted}: {mismatch}");
        }
    }
}

#[test]
fn what_fits_starts() {
    let before = first(&[declared("count", &["n:u64", "m"]), keyed("plain", "key", &[])]);
    for (now, why) in [
        (vec![declared("count", &["n", "m"])], "a plugin that says nothing of its values is believed"),
        (vec![declared("count", &["m:text", "n:u64"])], "and so is the first that says something"),
        (
            vec![declared("count", &["n", "m"]), keyed("plain", "header:h", &[])],
            "who keeps nothing is keyed by anything",
        ),
    ] {
        let (later, notes) = inherit(&before, &now, &Consent::default()).expect(why);
        assert_eq!((numbers(&later).get(..15), notes), (Some("count.0 n.0 m.1"), vec![]), "{why}");
        assert_eq!(later.operators[0].tables[0].schema, "u64", "what was said once is kept");
    }
}

#[test]
fn windows_that_fire_early_no_more_leave_nothing_to_be_asked() {
    let windows = |tables: &[&str]| {
        let mut declared = declared("count", &[&["windows"], tables].concat());
        declared.tables.iter_mut().skip(1).for_each(|table| table.kind = TableKind::WindowTimer);
        declared
    };
    let before = first(&[windows(&["window-timers", WINDOW_NEWS])]);
    let (later, notes) = inherit(&before, &[windows(&["window-timers"])], &Consent::default()).unwrap();
    assert_eq!((numbers(&later).as_str(), notes), ("count.0 windows.0 window-timers.1", vec![]));
    let (again, _) = inherit(&later, &[windows(&["window-timers", WINDOW_NEWS])], &Consent::default()).unwrap();
    assert_eq!(numbers(&again), "count.0 windows.0 window-timers.1 window-news.3", "what it held is not read again");
    assert!(inherit(&before, &[windows(&[WINDOW_NEWS])], &Consent::default()).is_err());
}

/// Before, the pipeline now, what is said; what comes of it.
fn check(before: &[Declared], now: &[Declared], words: &[&str], wanted: &str) {
    let consent = consent(words);
    let (later, notes) =
        inherit(&first(before), now, &consent).unwrap_or_else(|mismatch| panic!("{words:?}: {mismatch}"));
    assert_eq!(numbers(&later), wanted, "{words:?}");
    assert!(notes.iter().any(|note| !matches!(note, Note::NotNeeded { .. })), "{words:?}: {notes:?}");
    // A supervisor starts it again with the same words: nothing more is given up.
    let (again, notes) =
        inherit(&later, now, &consent).unwrap_or_else(|mismatch| panic!("{words:?} again: {mismatch}"));
    assert_eq!((&again, numbers(&again).as_str()), (&later, wanted), "{words:?} again");
    assert!(notes.iter().all(|note| matches!(note, Note::NotNeeded { .. })), "{words:?} again: {notes:?}");
}

#[test]
fn leave_is_taken_once_and_never_costs_more() {
    let count = || declared("count", &["n:1", "m"]);
    check(&[count()], &[declared("operator", &["n"])], &["drop count"], "operator.1 n.0");
    check(&[count()], &[declared("operator", &["n"])], &["drop count.n", "drop count.m"], "operator.1 n.0");
    check(&[count()], &[declared("operator", &["n", "m"])], &["rename count=operator"], "operator.0 n.0 m.1");
    check(&[count()], &[declared("count", &["n"])], &["drop count.m"], "count.0 n.0");
    check(&[count()], &[declared("count", &["n", "k"])], &["rename count.m=.k"], "count.0 n.0 k.1");
    check(&[count()], &[declared("count", &["n:2", "m"])], &["drop count.n"], "count.0 m.1 n.2");
    check(&[count()], &[declared("count", &["n:2", "m"])], &["drop count"], "count.0 n.2 m.3");
    check(&[count()], &[declared("count", &["n:2", "m"])], &["keep count.n"], "count.0 n.0 m.1");
    check(&[count()], &[keyed("count", "header:h", &["n", "m"])], &["drop count"], "count.0 n.2 m.3");
    check(&[count()], &[keyed("count", "header:h", &["n", "m"])], &["keep count"], "count.0 n.0 m.1");
    check(&[count()], &[declared("op", &["n", "k"])], &["rename count=op", "rename op.m=.k"], "op.0 n.0 k.1");
    let both = [count(), declared("operator", &["n", "m"])];
    check(
        &both,
        &[declared("operator", &["n", "m"])],
        &["drop operator", "rename count=operator"],
        "operator.0 n.0 m.1",
    );
}

#[test]
fn what_is_dropped_does_not_come_back_under_its_name() {
    let before = first(&[declared("count", &["n", "m"])]);
    let without = [declared("count", &["n"])];
    let (later, notes) = inherit(&before, &without, &consent(&["drop count.m"])).unwrap();
    assert_eq!(notes, [Note::Dropped(StateName::table("count", "m"))]);
    let (again, _) = inherit(&later, &[declared("count", &["n", "m"])], &Consent::default()).unwrap();
    assert_eq!(numbers(&again), "count.0 n.0 m.2");
    let (gone, _) = inherit(&again, &[declared("x", &[])], &consent(&["drop count"])).unwrap();
    let (back, _) = inherit(&gone, &[declared("count", &["n"])], &Consent::default()).unwrap();
    assert_eq!(numbers(&back), "count.2 n.0");
}

#[test]
fn words_that_cannot_be_meant_are_refused() {
    let before = first(&[declared("count", &["n", "m"]), declared("sum", &["s"])]);
    let now = [declared("count", &["n", "m"]), declared("sum", &["s"])];
    for (words, wanted, fault) in [
        ("rename count=other", "has nothing of the new name", Fault::Config),
        ("rename count.n=.k", "has nothing of the new name", Fault::Config),
        ("rename other.n=.k", "has nothing of the new name", Fault::Config),
        ("rename count=sum", "still uses the old name", Fault::Config),
        ("rename count.n=.m", "still uses the old name", Fault::Config),
    ] {
        let mismatch = inherit(&before, &now, &consent(&[words])).unwrap_err();
        assert!(mismatch.to_string().contains(wanted) && mismatch.fault() == fault, "{words}: {mismatch}");
    }
    let mismatch = inherit(&before, &[declared("sum", &["s"])], &consent(&["rename count=sum"])).unwrap_err();
    assert!(mismatch.to_string().contains("--drop-state sum"), "{mismatch}");
    assert_eq!(mismatch.fault(), Fault::Corrupt);
}

#[test]
fn there_are_so_many_numbers() {
    let full = Numbered { operators: Vec::new(), next: u16::MAX };
    let mismatch = inherit(&full, &[declared("a", &[])], &Consent::default()).unwrap_err();
    assert_eq!(mismatch.0, [Misfit::TooMany]);
}

#[test]
fn values_that_expire_are_not_read_as_others() {
    let expiring = |expires| {
        let mut declared = declared("count", &["n"]);
        declared.tables.iter_mut().for_each(|table| table.expires = expires);
        [declared]
    };
    let all = [None, Some(TimeDomain::Event), Some(TimeDomain::Processing)];
    for (was, now) in all.into_iter().flat_map(|was| all.map(|now| (was, now))) {
        let before = first(&expiring(was));
        let kept = inherit(&before, &expiring(now), &consent(&["keep count.n"]));
        assert_eq!(kept.is_ok(), was == now, "{was:?} {now:?}: keeping it does not make it readable");
        inherit(&before, &expiring(now), &consent(&["drop count.n"])).unwrap();
    }
    let said = inherit(&first(&expiring(None)), &expiring(all[1]), &Consent::default()).unwrap_err().to_string();
    assert!(said.contains("kept with values that stay, and now they expire by event time"), "{said}");
}
