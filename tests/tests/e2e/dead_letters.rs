//! Records that a plugin fails on go to a topic of their own, in the transaction of everything else; from there they are looked at
//! and sent again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use tempfile::TempDir;
use weir_tests::host::{self, Ended, Host};
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::{Observer, Record, read_all};
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, Scene};

const RECORDS: usize = 10_000;
const KILLS: usize = 3;

/// A scene with a topic of dead letters.
struct Letters {
    scene: Scene<'static>,
    topic: String,
    policy: String,
}

impl Letters {
    fn new(name: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let scene = Scene::new(name)?;
        let topic = format!("{}.dlq", scene.job);
        topics::create(scene.broker, &topic, 2, settings)?;
        let policy = format!("dead-letter:{topic}");
        Ok(Self { scene, topic, policy })
    }

    fn more(&self) -> [&str; 6] {
        ["--on-error", &self.policy, "--call-deadline", "300ms", "--memory-limit", "16MiB"]
    }

    fn read(&self) -> Result<Vec<Record>> {
        read_all(self.scene.broker, &self.topic)
    }

    /// `host dead-letters VERB TOPIC ..`.
    fn tend(&self, verb: &str, more: &[&str]) -> Result<Ended> {
        let brokers = self.scene.broker.bootstrap();
        host::run(&[&["dead-letters", verb, &self.topic, "--brokers", brokers], more].concat(), PATIENCE)
    }

    fn tells(&self, verb: &str, more: &[&str]) -> Result<String> {
        Ok(String::from_utf8(self.tend(verb, more)?.expect(0)?.stdout)?)
    }
}

fn said<'a>(letter: &'a Record, name: &str) -> Result<&'a str> {
    let name = format!("weir.dead-letter.{name}");
    let mut named = letter.headers.iter().filter(|(header, _)| *header == name);
    let (_, value) = named.next().with_context(|| format!("{letter:?} has no header {name}"))?;
    ensure!(named.next().is_none(), "{letter:?} has it twice: {name}");
    Ok(std::str::from_utf8(value.as_deref().context("null")?)?)
}

/// What asks `misbehave` for trouble, and what kind of failure that is.
const POISON: [(&str, &str); 7] = [
    ("boom", "trap"),
    ("fail: not a number", "failed"),
    ("alloc", "memory"),
    ("deep", "trap"),
    ("big", "unfit"),
    ("lost", "failed"),
    ("spin", "deadline"),
];

#[test]
fn each_poison_record_is_one_dead_letter_wherever_the_job_is_killed() -> Result<()> {
    let letters = Letters::new("letters-kills", &[])?;
    let scene = &letters.scene;
    let writer = Writer::new(scene.broker)?;
    let mut random = Random::new();
    for number in 0..RECORDS {
        let value = match number {
            // Takes its deadline, again and again until the record is found.
            4_500 | 9_000 => "spin".to_owned(),
            _ if number % 50 == 0 => POISON[number / 50 % (POISON.len() - 1)].0.to_owned(),
            _ => number.to_string(),
        };
        let key = format!("key-{}", random.number() % 100);
        let headers = OwnedHeaders::new().insert(Header { key: "number", value: Some(&number.to_string()) });
        writer.send(BaseRecord::to(&scene.input).key(key.as_bytes()).payload(value.as_bytes()).headers(headers))?;
    }
    writer.flush()?;
    let observer = Observer::new(scene.broker, &scene.output)?;
    for kill in 1..=KILLS {
        let mut host = scene.start("misbehave", &[&letters.more()[..], &["--max-rate", "1500"]].concat())?;
        let (enough, deadline) = ((RECORDS * kill / 5) as i64, Instant::now() + PATIENCE);
        host.wait_until("some output", PATIENCE, |_| {
            ensure!(Instant::now() < deadline, "too slow");
            Ok(observer.high()? >= enough)
        })?;
        std::thread::sleep(Duration::from_millis(random.number() % 100));
        host.kill()?;
    }
    scene.run("misbehave", &letters.more())?.expect(0)?;

    let (mut good, mut bad) = (Vec::new(), BTreeMap::new());
    for record in read_all(scene.broker, &scene.input)? {
        let value = String::from_utf8(record.value.clone().context("a value")?)?;
        match POISON.iter().find(|(poison, _)| *poison == value) {
            Some((_, kind)) => drop(bad.insert((record.partition, record.offset), (*kind, record))),
            None => good.push(value),
        }
    }
    let out = read_all(scene.broker, &scene.output)?;
    let mut out: Vec<String> =
        out.into_iter().map(|r| Ok(String::from_utf8(r.value.context("a value")?)?)).collect::<Result<_>>()?;
    good.sort();
    out.sort();
    ensure!(out == good, "{} good records came out, of {}", out.len(), good.len());

    let found = letters.read()?;
    ensure!(found.len() == bad.len(), "{} letters of {} bad records", found.len(), bad.len());
    for letter in &found {
        let at = (said(letter, "partition")?.parse()?, said(letter, "offset")?.parse()?);
        let (kind, record) = bad.remove(&at).with_context(|| format!("twice, or of no bad record: {letter:?}"))?;
        ensure!(said(letter, "kind")? == kind, "{letter:?} should be {kind}");
        ensure!((&letter.key, &letter.value, letter.timestamp) == (&record.key, &record.value, record.timestamp));
        let own: Vec<_> = letter.headers.iter().filter(|(name, _)| !name.starts_with("weir.")).cloned().collect();
        ensure!(own == record.headers, "{letter:?} lost headers");
        ensure!(said(letter, "topic")? == scene.input && said(letter, "operator")? == "operator");
        ensure!(said(letter, "plugin")?.starts_with("misbehave ") && said(letter, "digest")?.len() == 64);
        ensure!(said(letter, "of")? == "record" && said(letter, "job")? == scene.job);
    }
    Ok(())
}

#[test]
fn dead_letters_are_listed_shown_and_sent_again_once() -> Result<()> {
    let letters = Letters::new("letters-replay", &[])?;
    let scene = &letters.scene;
    let writer = Writer::new(scene.broker)?;
    let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("t1") });
    let bad = |key: &'static str, value: &'static str| {
        BaseRecord::to(&scene.input).key(key.as_bytes()).payload(value.as_bytes()).timestamp(1_700_000_000_000)
    };
    writer.send(bad("a", "fail \u{1b}[31mnow").headers(headers))?;
    writer.send(bad("b", "boom"))?;
    writer.write(&scene.input, b"c", b"good")?;
    writer.flush()?;
    scene.run("misbehave", &letters.more())?.expect(0)?.says(&["record became a dead letter"])?;

    let listed = letters.tells("list", &[])?;
    for wanted in ["LETTER", "operator  failed", "operator  trap", "plugin returned failure 100: fail \\u{1b}[31mnow"] {
        ensure!(listed.contains(wanted), "{wanted:?} is not in\n{listed}");
    }
    let json: serde_json::Value = serde_json::from_str(&letters.tells("list", &["--json", "--kind", "failed"])?)?;
    ensure!(json["all"] == 1, "{json}");
    let spot = format!("{}:{}", json["letters"][0]["partition"], json["letters"][0]["offset"]);
    let shown = letters.tells("show", &[&spot])?;
    for wanted in
        ["key        a\n", "value      fail \\u{1b}[31mnow\n", "header     trace: t1\n", "2023-11-14T22:13:20.000Z"]
    {
        ensure!(shown.contains(wanted), "{wanted:?} is not in\n{shown}");
    }
    letters.tend("show", &["0:4711"])?.expect(2)?.says(&["no letter at 0:4711"])?;

    let input = || -> Result<Vec<Record>> {
        let mut records = read_all(scene.broker, &scene.input)?;
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    };
    let before = input()?;
    let told = letters.tells("replay", &["--all", "--dry-run"])?;
    ensure!(told == format!("2 would be sent to topic {}\n", scene.input), "{told}");
    ensure!(input()? == before, "a dry run sends nothing");
    letters.tend("replay", &["--offsets", "0:4711"])?.expect(2)?.says(&["no letter at 0:4711; nothing was sent"])?;
    letters.tells("replay", &["--offsets", &spot])?;
    let mut sent: Vec<Record> = input()?.into_iter().filter(|record| !before.contains(record)).collect();
    ensure!(sent.len() == 1, "{sent:?}");
    let (again, first) = (sent.remove(0), before.iter().find(|r| r.key.as_deref() == Some(b"a")).context("a")?);
    let whole = |record: &Record| {
        let Record { partition, timestamp, key, value, headers, .. } = record.clone();
        (partition, timestamp, key, value, headers)
    };
    ensure!(whole(&again) == whole(first), "{again:?} is not {first:?}");

    let told = letters.tells("replay", &["--all"])?;
    ensure!(told.starts_with("2 sent to topic "), "{told}");
    ensure!(letters.tells("replay", &["--all", "--dry-run"])? == "0 would be sent\n", "all were sent before");
    ensure!(letters.tells("replay", &["--all"])? == "0 sent\n", "all were sent before");
    ensure!(letters.tells("replay", &["--all", "--again"])?.starts_with("2 sent to topic "));
    ensure!(input()?.len() == before.len() + 5);
    letters.tells("replay", &["--all", "--kind", "trap", "--to", &scene.output])?;
    ensure!(read_all(scene.broker, &scene.output)?.iter().any(|record| record.value.as_deref() == Some(b"boom")));

    // With a plugin that copes, what is sent again goes through.
    scene.run("uppercase", &["--on-error", &letters.policy])?.expect(0)?;
    let out = read_all(scene.broker, &scene.output)?;
    ensure!(out.iter().filter(|record| record.value.as_deref() == Some(b"BOOM")).count() == 2, "{out:?}");
    Ok(())
}

#[test]
fn what_cannot_be_a_topic_of_dead_letters_is_refused_in_words() -> Result<()> {
    let _machine = machine::shared();
    let plugin = host::plugin("uppercase")?;
    let run = |more: &[&str]| host::run(&[&["run", "--plugin", &plugin, "--on-error"], more].concat(), PATIENCE);
    run(&["dead-letter:dlq"])?.expect(2)?.says(&["--on-error: the address of the Kafka brokers is missing"])?;
    run(&["dead-letter:file:dlq"])?.expect(2)?.says(&["--on-error: dead letters go to Kafka"])?;
    run(&["dead-letter:a b"])?.expect(2)?.says(&["--on-error", "a topic has 1 to 249"])?;
    run(&["dead-letter"])?.expect(2)?.says(&["it needs a topic, as in dead-letter:"])?;
    let nobody = ["--brokers", "127.0.0.1:1", "--from", "clicks", "--to", "counts"];
    run(&[&["dead-letter:clicks"][..], &nobody].concat())?.expect(2)?.says(&["would read its own output"])?;
    let nobody = ["--brokers", "127.0.0.1:1", "--from", "kafka:/clicks.*/", "--to", "counts"];
    run(&[&["dead-letter:clicks-dlq"][..], &nobody].concat())?.expect(2)?.says(&["would read its own output"])?;
    Ok(())
}

#[test]
fn a_topic_of_dead_letters_is_as_any_that_is_written() -> Result<()> {
    let scene = Scene::new("letters-missing")?;
    let writer = Writer::new(scene.broker)?;
    writer.write(&scene.input, b"k", b"fail")?;
    writer.flush()?;
    let topic = format!("{}.dlq", scene.job);
    let policy = format!("dead-letter:{topic}");
    let missing = scene.run("misbehave", &["--on-error", &policy])?.expect(2)?;
    missing.says(&[&topic, "--create-topics"])?;
    scene.run("misbehave", &["--on-error", &policy, "--create-topics"])?.expect(0)?;
    ensure!(read_all(scene.broker, &topic)?.len() == 1);

    // What it does not take is not lost: the job ends, and goes on where it was once the topic takes it.
    let small = Letters::new("letters-large", &[("max.message.bytes", "400")])?;
    let writer = Writer::new(small.scene.broker)?;
    writer.write(&small.scene.input, b"k", b"fail")?;
    writer.flush()?;
    let ended = small.scene.run("misbehave", &small.more())?.expect(1)?;
    ended.says(&["its dead letter cannot be written", "max.message.bytes = 400"])?;
    ensure!(small.read()?.is_empty());
    small.scene.run("misbehave", &["--on-error", "skip"])?.expect(0)?;
    Ok(())
}

#[test]
fn an_endless_run_of_bad_records_takes_little_log() -> Result<()> {
    let letters = Letters::new("letters-many", &[])?;
    let scene = &letters.scene;
    let writer = Writer::new(scene.broker)?;
    for number in 0..20_000_u32 {
        writer.write(&scene.input, &number.to_le_bytes(), b"fail")?;
    }
    writer.flush()?;
    let ended = scene.run("misbehave", &letters.more())?.expect(0)?;
    let lines = ended.stderr.lines().filter(|line| line.contains("dead letter")).count();
    ensure!((10..60).contains(&lines), "{lines} lines:\n{}", ended.stderr);
    ensure!(letters.read()?.len() == 20_000);
    Ok(())
}

#[test]
fn a_side_output_and_dead_letters_live_together() -> Result<()> {
    let letters = Letters::new("letters-side", &[])?;
    let scene = &letters.scene;
    let writer = Writer::new(scene.broker)?;
    for value in ["a", "side", "fail"] {
        writer.write(&scene.input, b"k", value.as_bytes())?;
    }
    writer.flush()?;
    let home = TempDir::new()?;
    let side_file = home.path().join("side.txt");
    let side = format!("side=file:{}", side_file.display());
    let args = scene.args("misbehave", &[&letters.more()[..], &["--until", "latest"]].concat())?;
    let args: Vec<String> = args.into_iter().chain(["--to".to_owned(), side]).collect();
    Host::start(&args)?.wait(PATIENCE)?.expect(0)?;
    ensure!(std::fs::read_to_string(&side_file)? == "side\n");
    ensure!(letters.read()?.len() == 1 && read_all(scene.broker, &scene.output)?.len() == 1);
    Ok(())
}
