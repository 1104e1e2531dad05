//! Windows on a real Kafka, killed amid the stream: four partitions with disorder, and an independent reader that finds what a
//! batch computation of the same records makes of them, each window exactly once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rdkafka::producer::BaseRecord;
use weir_tests::host;
use weir_tests::random::Random;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::Writer;

use crate::scene::{PATIENCE, Scene, is_full};

/// What is written: how many records, of how many keys, how long from one to the next.
#[derive(Clone, Copy)]
struct Stream {
    records: i64,
    keys: u64,
    step_ms: i64,
}

/// To be killed in.
const SLOW: Stream = Stream { records: 12_000, keys: 50, step_ms: 10 };
const SMALL: Stream = Stream { records: 50_000, keys: 1_000, step_ms: 1 };
/// That of the promise.
const LARGE: Stream = Stream { records: 1_000_000, ..SMALL };
/// How far a record may be behind its place.
const DISORDER_MS: u64 = 1_000;
const PARTITIONS: i32 = 4;
const KILLS: usize = 3;

/// What came in: a key, a timestamp, a number.
type Came = (String, i64, i64);
/// What comes out: a key, a timestamp, a value.
type Out = (String, i64, String);

#[test]
fn tumbling_windows_are_exact_wherever_they_are_killed() -> Result<()> {
    exact("window-count", "tumbling:10s", by_ten_seconds)
}

#[test]
fn windows_that_fire_early_grow_to_what_they_are_at_their_end_wherever_they_are_killed() -> Result<()> {
    let (records, found) = killed("window-count", "tumbling:10s,early-every=100ms")?;
    let mut sent: BTreeMap<(&str, i64), Vec<u64>> = BTreeMap::new();
    for (key, at, value) in &found {
        let (start, count) = value.split_once(',').context("START,COUNT")?;
        ensure!(start.parse::<i64>()? == at - 9_999, "{value} at {at}");
        sent.entry((key, *at)).or_default().push(count.parse()?);
    }
    ensure!(sent.values().all(|counts| counts.is_sorted()), "what is sent later holds more: {sent:?}");
    let last = sent.iter().map(|((key, at), counts)| ((*key).to_owned(), *at, counts.last().copied().unwrap_or(0)));
    let last: Vec<Out> = last.map(|(key, at, count)| (key, at, format!("{},{count}", at - 9_999))).collect();
    ensure!(found.len() > last.len(), "none has fired early");
    same(last, by_ten_seconds(&records))
}

#[test]
fn sliding_windows_are_exact_wherever_they_are_killed() -> Result<()> {
    exact("window-count", "sliding:20s/4s", |records| {
        let windows = |(key, at, _): &'_ Came| {
            let (key, at) = (key.clone(), *at);
            (0..5).map(move |step| (key.clone(), at - at % 4_000 - step * 4_000))
        };
        let windows: Vec<(String, i64)> = records.iter().flat_map(windows).collect();
        counted(windows.iter().map(|(key, start)| (key, *start, start + 20_000)))
    })
}

#[test]
fn sessions_are_exact_wherever_they_are_killed() -> Result<()> {
    exact("sessionize", "session:2s", |records| {
        let mut by_key: BTreeMap<&str, Vec<(i64, String)>> = BTreeMap::new();
        for (key, at, number) in records {
            by_key.entry(key).or_default().push((*at, number.to_string()));
        }
        let mut out = Vec::new();
        for (key, mut pages) in by_key {
            pages.sort();
            for visit in pages.chunk_by(|one, next| next.0 - one.0 < 2_000) {
                let [(start, entry), .., (last, exit)] = visit else {
                    let (at, page) = &visit[0];
                    out.push((key.to_owned(), at + 1_999, format!("{at},{at},1,{page},{page}")));
                    continue;
                };
                let value = format!("{start},{last},{},{entry},{exit}", visit.len());
                out.push((key.to_owned(), last + 1_999, value));
            }
        }
        out
    })
}

#[test]
fn windows_of_so_many_records_have_each_record_once_wherever_they_are_killed() -> Result<()> {
    let (records, found) = killed("window-count", "count:7")?;
    let mut came: BTreeMap<&str, u64> = BTreeMap::new();
    records.iter().for_each(|(key, ..)| *came.entry(key).or_default() += 1);
    let mut counts: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (key, _, value) in &found {
        let (_, count) = value.split_once(',').context("START,COUNT")?;
        counts.entry(key).or_default().push(count.parse()?);
    }
    ensure!(came.len() == counts.len(), "{} of {} keys", counts.len(), came.len());
    for (key, counts) in &mut counts {
        // What is not full fires at the end of time.
        counts.sort_unstable();
        let all = came.get(key).copied().unwrap_or_default();
        let rest = (all % 7 > 0).then_some(all % 7);
        let wanted: Vec<u64> = rest.into_iter().chain((0..all / 7).map(|_| 7)).collect();
        ensure!(*counts == wanted, "{key}: {all} records in {counts:?}");
    }
    Ok(())
}

#[test]
fn open_sessions_are_shown_and_gone_on_with() -> Result<()> {
    let _machine = weir_tests::machine::shared();
    let (scene, begin) = (Scene::new("visits")?, now_ms()? - 600_000);
    let write = |at: i64, page: &str| -> Result<()> {
        let writer = Writer::new(scene.broker)?;
        let record = BaseRecord::<[u8], [u8]>::to(&scene.input).partition(0).timestamp(begin + at);
        writer.send(record.key(b"ada").payload(page.as_bytes()))?;
        writer.flush()
    };
    write(0, "/")?;
    write(20_000, "/shoes")?;
    scene.run("sessionize", &[])?.expect(0)?;
    ensure!(read_all(scene.broker, &scene.output)?.is_empty(), "nobody knows that the visit is over");
    let state = scene.state_dir().display().to_string();
    let shown = host::run(&["inspect", &state, "--entries", "--brokers", scene.broker.bootstrap()], PATIENCE)?;
    let shown = String::from_utf8(shown.expect(0)?.stdout)?;
    let lines: Vec<serde_json::Value> = shown.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let of = |table: &str| lines.iter().filter(|line| line["table"] == table).collect::<Vec<_>>();
    let (span, due) = (serde_json::json!([begin, begin + 50_000]), begin + 50_000);
    let [list] = of("window-lists")[..] else { anyhow::bail!("{shown}") };
    ensure!(list["key"] == "ada" && list["value"]["windows"] == serde_json::json!([span]), "{shown}");
    let [visit] = of("windows")[..] else { anyhow::bail!("{shown}") };
    ensure!(visit["key"] == "ada" && visit["window"] == span && visit["value"]["count"] == 2, "{shown}");
    let [timer] = of("window-timers")[..] else { anyhow::bail!("{shown}") };
    ensure!(timer["key"] == "ada" && timer["time"].as_i64() <= Some(due), "{shown}");
    write(45_000, "/checkout")?;
    scene.run("sessionize", &["--drain"])?.expect(0)?;
    let values: Vec<_> = read_all(scene.broker, &scene.output)?.into_iter().filter_map(|record| record.value).collect();
    let wanted = format!("{begin},{},3,/,/checkout", begin + 45_000);
    ensure!(values == [wanted.as_bytes()], "{values:?}");
    Ok(())
}

fn now_ms() -> Result<i64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis() as i64)
}

#[test]
fn every_window_is_counted_exactly_once() -> Result<()> {
    let _machine = weir_tests::machine::shared();
    let scene = Scene::new("windows")?;
    let records = fill(&scene, if is_full() { LARGE } else { SMALL })?;
    let began = Instant::now();
    scene.run("window-count", &["--watermark", "max-disorder=1s", "--drain"])?.expect(0)?;
    let took = began.elapsed();
    let found = written(&scene)?;
    eprintln!("{} records in {} windows, in {took:?} with its start", records.len(), found.len());
    same(found, by_ten_seconds(&records))
}

fn by_ten_seconds(records: &[Came]) -> Vec<Out> {
    counted(records.iter().map(|(key, at, _)| (key, at - at % 10_000, at - at % 10_000 + 10_000)))
}

/// What `window-count` sends of records in these windows: key, begin, end.
fn counted<'a>(windows: impl Iterator<Item = (&'a String, i64, i64)>) -> Vec<Out> {
    let mut counts: BTreeMap<(&str, i64, i64), u64> = BTreeMap::new();
    windows.for_each(|(key, start, end)| *counts.entry((key, start, end)).or_default() += 1);
    counts.into_iter().map(|((key, start, end), count)| (key.to_owned(), end - 1, format!("{start},{count}"))).collect()
}

/// Runs `plugin` with `window`, killed again and again, and compares what it writes with what `batch` computes.
fn exact(plugin: &str, window: &str, batch: impl Fn(&[Came]) -> Vec<Out>) -> Result<()> {
    let (records, found) = killed(plugin, window)?;
    same(found, batch(&records))
}

/// What came in and what was written by `plugin` with `window`, killed again and again.
fn killed(plugin: &str, window: &str) -> Result<(Vec<Came>, Vec<Out>)> {
    let _machine = weir_tests::machine::shared();
    let scene = Scene::new(&plugin.replace("window-", "windows-"))?;
    let records = fill(&scene, SLOW)?;
    let more = ["--window", window, "--watermark", "max-disorder=1s", "--drain"];
    let slow = [&more[..], &["--until", "latest", "--max-rate", "700", "--transaction-timeout", "6s"]].concat();
    let (output, mut random) = (Observer::new(scene.broker, &scene.output)?, Random::new());
    for _ in 0..KILLS {
        let before = output.stable()?;
        let mut host = scene.start(plugin, &slow)?;
        host.wait_until("windows", PATIENCE, |_| Ok(output.stable()? > before))?;
        std::thread::sleep(Duration::from_millis(random.below(300)));
        ensure!(!host.is_over()?, "the run is too short to be killed: {}", host.log()?);
        host.kill()?;
    }
    scene.run(plugin, &more)?.expect(0)?;
    Ok((records, written(&scene)?))
}

/// What an independent reader finds.
fn written(scene: &Scene<'_>) -> Result<Vec<Out>> {
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default());
    let found = read_all(scene.broker, &scene.output)?.into_iter().map(|record| {
        Ok((text(record.key)?, record.timestamp.context("a window has a timestamp")?, text(record.value)?))
    });
    found.collect()
}

/// Each once, and no others.
fn same(mut found: Vec<Out>, mut wanted: Vec<Out>) -> Result<()> {
    found.sort();
    wanted.sort();
    let (missing, extra) = (not_in(&wanted, &found), not_in(&found, &wanted));
    ensure!(found == wanted, "{} of {} windows; missing {missing:?}, more {extra:?}", found.len(), wanted.len());
    Ok(())
}

/// The first few of `all` that are not in `others`.
fn not_in<'a>(all: &'a [Out], others: &[Out]) -> Vec<&'a Out> {
    all.iter().filter(|one| others.binary_search(one).is_err()).take(5).collect()
}

/// Records in time, but for the disorder within each partition.
fn fill(scene: &Scene<'_>, Stream { records: count, keys, step_ms }: Stream) -> Result<Vec<Came>> {
    let (writer, mut random) = (Writer::new(scene.broker)?, Random::new());
    let begin_ms = now_ms()? - count * step_ms - 60_000;
    let mut records = Vec::new();
    for number in 0..count {
        let key = format!("key-{}", random.below(keys));
        let at = begin_ms + number * step_ms - random.below(DISORDER_MS) as i64;
        let value = number.to_string();
        let record = BaseRecord::<[u8], [u8]>::to(&scene.input).partition(number as i32 % PARTITIONS).timestamp(at);
        writer.send(record.key(key.as_bytes()).payload(value.as_bytes()))?;
        records.push((key, at, number));
    }
    writer.flush()?;
    Ok(records)
}
