//! A batch sees its own changes over what the host has, a record that fails takes back its own, and what goes to the host
//! makes of it what the batch saw.
use serde::Deserialize;

use super::*;
use crate::testing::vectors::{Hex, read};
use crate::testing::{Harness, Message};
use crate::{Context, Description, NoConfig, Operator, Record};

#[derive(Deserialize)]
struct Vectors {
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct Valid {
    name: String,
    more: bool,
    entries: Vec<(Hex, Hex)>,
    hex: Hex,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    hex: Hex,
}

#[test]
fn entries_are_read_as_the_vectors_say() {
    let vectors: Vectors = read("entries.json");
    for Valid { name, more, entries: expected, hex } in vectors.valid {
        let expected: Entries = expected.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        assert_eq!(entries(&hex), Ok((expected, more)), "{name}");
    }
    for Invalid { name, hex } in vectors.invalid {
        assert!(entries(&hex).is_err(), "{name}");
    }
}

const WORDS: ListTable<String> = ListTable::new("words");
const COUNTS: MapTable<u32, u64> = MapTable::new("counts").with_schema("2");

/// Does what the value says, and then emits all of both.
struct Obey;

impl Operator for Obey {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new("obey", "1").table(WORDS).table(COUNTS)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some((key, "")) => ctx.map(COUNTS).remove(&key.parse()?)?,
                Some((key, value)) => ctx.map(COUNTS).put(&key.parse()?, &value.parse()?)?,
                None if word == "clear" => {
                    ctx.list(WORDS).clear()?;
                    ctx.map(COUNTS).clear()?;
                }
                None if word == "fail" => return Err(Failure::new("told to")),
                None => ctx.list(WORDS).push(&word.to_owned())?,
            }
        }
        let counts = ctx.map(COUNTS).all()?;
        for (key, value) in &counts {
            assert_eq!(ctx.map(COUNTS).get(key)?, Some(*value));
        }
        assert_eq!(ctx.map(COUNTS).get(&9_999)?, None);
        let counts: Vec<String> = counts.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let all = format!("{} {}", ctx.list(WORDS).all()?.join(","), counts.join(","));
        ctx.emit(record.with_value(all.as_bytes()));
        Ok(())
    }
}

/// What each record sees, whether they come in one batch or in several.
fn check(records: &[&str], expected: &[&str]) {
    for batch_len in [records.len(), 1] {
        let mut harness = Harness::<Obey>::new("{}").unwrap();
        let messages: Vec<Message> = records.iter().map(|value| Message::new("k", value)).collect();
        let mut seen = Vec::new();
        for batch in messages.chunks(batch_len) {
            let (outputs, _) = harness.process_skipping(batch).unwrap();
            seen.extend(outputs.into_iter().map(|o| String::from_utf8(o.message.value.unwrap()).unwrap()));
        }
        assert_eq!(seen, expected, "in batches of {batch_len}");
    }
}

#[test]
fn a_batch_sees_its_own_changes_in_order() {
    check(&["a 7=1", "b 300=2 2=3", "7=4 300="], &["a 7=1", "a,b 2=3,7=1,300=2", "a,b 2=3,7=4"]);
    check(&["a b 1=1", "clear c 2=2", "1=3"], &["a,b 1=1", "c 2=2", "c 1=3,2=2"]);
    check(&["a 1=1", "clear", "b"], &["a 1=1", " ", "b "]);
}

#[test]
fn a_record_that_fails_takes_back_its_own_changes() {
    check(&["a 1=1 2=2", "b 1=9 2= 3=3 1=8 fail", "c"], &["a 1=1,2=2", "a,c 1=1,2=2"]);
    check(&["a 1=1", "b clear c 1=9 5=5 fail", "d 2=2"], &["a 1=1", "a,d 1=1,2=2"]);
}

#[test]
fn long_ones_are_read_part_by_part() {
    let mut harness = Harness::<Obey>::new("{}").unwrap();
    let all: String = (0..1_000).map(|n| format!("w{n} {n}={n} ")).collect();
    harness.process(&[Message::new("k", all)]).unwrap();
    let out = harness.process(&[Message::new("k", "500= 1500=1"), Message::new("other", "")]).unwrap();
    let words: Vec<String> = (0..1_000).map(|n| format!("w{n}")).collect();
    let mut counts: Vec<String> = (0..1_000).filter(|n| *n != 500).map(|n| format!("{n}={n}")).collect();
    counts.push("1500=1".into());
    let expected = format!("{} {}", words.join(","), counts.join(","));
    assert_eq!(out[0].message.value.as_deref(), Some(expected.as_bytes()));
    assert_eq!(out[1].message.value.as_deref(), Some(&b" "[..]), "keys do not see each other");
    assert_eq!((harness.list("words", b"k").len(), harness.map("counts", b"k").len()), (1_000, 1_000));
}

#[test]
fn a_part_of_them_is_read_from_a_key_on() {
    struct Part;
    impl Operator for Part {
        type Config = NoConfig;
        fn describe() -> Description {
            Obey::describe()
        }
        fn open(_: NoConfig) -> Result<Self, Failure> {
            Ok(Self)
        }
        fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
            for n in 0..5 {
                ctx.map(COUNTS).put(&(n * 10), &u64::from(n))?;
                ctx.list(WORDS).push(&n.to_string())?;
            }
            ctx.map(COUNTS).remove(&20)?;
            assert_eq!(ctx.map(COUNTS).scan(Some(&10), 2)?, [(10, 1), (30, 3)]);
            assert_eq!(ctx.map(COUNTS).scan(Some(&11), 9)?, [(30, 3), (40, 4)]);
            assert_eq!(ctx.list(WORDS).first(2)?, ["0", "1"]);
            ctx.emit(*record);
            Ok(())
        }
    }
    let mut harness = Harness::<Part>::new("{}").unwrap();
    assert_eq!(harness.process(&[Message::new("k", "x")]).unwrap().len(), 1);
    let failure = harness.process(&[Message::without_key("x")]).unwrap_err();
    assert_eq!(failure.code, crate::failure::NO_KEY);
}

#[test]
fn the_description_says_kinds_and_types() {
    let json = Obey::describe().to_json();
    assert!(json.contains(r#"{"name":"words","kind":"list","schema":"text"}"#), "{json}");
    assert!(json.contains(r#"{"name":"counts","kind":"map","schema":"u64 by u32 2"}"#), "{json}");
}
