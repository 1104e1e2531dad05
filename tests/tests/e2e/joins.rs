//! A join of two topics: exact, whoever is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::producer::BaseRecord;
use weir_tests::host::{Host, plugin, run};
use weir_tests::machine;
use weir_tests::random::Random;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, Scene};

const KEYS: u64 = 20;
/// Records of each input and key.
const TICKS: i64 = 100;
const TICK_MS: i64 = 1_000;
/// The first moment of the records.
const BEGIN_MS: i64 = 1_760_000_000_000;
const DISORDER_MS: i64 = 4_000;
const KILLS: u32 = 3;

/// When the record of this number was made, in either input. Rows change every third tick, between the records.
fn record_ms(key: u64, tick: i64) -> i64 {
    BEGIN_MS + tick * TICK_MS + key as i64
}

fn row_ms(key: u64, tick: i64) -> i64 {
    BEGIN_MS + tick * TICK_MS + (key as i64 * 37 + tick * 13) % TICK_MS
}

fn has_row(key: u64, tick: i64) -> bool {
    (key as i64 + tick) % 3 == 0
}

/// Writes both inputs; each pair of neighbours may have changed places, so that they are out of order.
fn fill(scene: &Scene<'_>, rows: &str, random: &mut Random) -> Result<()> {
    let writer = Writer::new(scene.broker)?;
    let write = |topic: &str, key: u64, at_ms: i64, value: &str| {
        let key = format!("key-{key}");
        writer.send(BaseRecord::to(topic).key(key.as_bytes()).payload(value.as_bytes()).timestamp(at_ms))
    };
    for first in (0..TICKS).step_by(2) {
        let is_swapped = random.below(2) == 0;
        for tick in if is_swapped { [first + 1, first] } else { [first, first + 1] } {
            for key in 0..KEYS {
                write(&scene.input, key, record_ms(key, tick), &tick.to_string())?;
                if has_row(key, tick) {
                    write(rows, key, row_ms(key, tick), &format!("row {tick}"))?;
                }
            }
        }
    }
    writer.flush()
}

/// What must come out for a key, each with its time.
fn wanted(key: u64) -> Vec<(i64, String)> {
    let record = |tick: i64| {
        let at_ms = record_ms(key, tick);
        let rows = (0..TICKS).filter(|row| has_row(key, *row) && row_ms(key, *row) <= at_ms);
        let row = rows.max_by_key(|row| row_ms(key, *row)).map(|row| format!("row {row}")).unwrap_or_default();
        (at_ms, format!("{tick}\t{row}"))
    };
    (0..TICKS).map(record).collect()
}

/// The pipeline, with this many tasks of the join and so many records a second of each partition.
fn pipeline(scene: &Scene<'_>, rows: &str, parallelism: u32, pace: &str) -> Result<String> {
    let (broker, job, plugin) = (scene.broker.bootstrap(), &scene.job, plugin("enrich")?);
    let source = |name: &str, topic: &str| {
        format!(
            "[sources.{name}]\nkafka = {{ topic = '{topic}' }}\nuntil = 'latest'\n{pace}\nwatermark = {{ max-disorder = '{DISORDER_MS}ms' }}\n"
        )
    };
    let (records, table) = (source("records", &scene.input), source("table", rows));
    let text = format!(
        "version = 1\njob = '{job}'\n[kafka]\nbrokers = '{broker}'\n{records}{table}\
         [operators.join]\nplugin = '{plugin}'\ninputs = {{ records = ['records'], table = ['table'] }}\n\
         parallelism = {parallelism}\n[sinks.out]\ninputs = ['join']\nkafka = {{ topic = '{}' }}\n\
         [state]\ndir = '{}'\n",
        scene.output,
        scene.state_dir().join("state").display()
    );
    let path = scene.state_dir().join(format!("join-{parallelism}-{}.toml", pace.len()));
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

#[test]
fn every_record_is_joined_once_with_the_row_of_its_time_whoever_is_killed() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("join")?;
    let (rows, mut random) = (format!("{}.rows", scene.input), Random::new());
    topics::create(scene.broker, &rows, 4, &[])?;
    fill(&scene, &rows, &mut random)?;
    let observer = Observer::new(scene.broker, &scene.output)?;
    for kill in 0..KILLS {
        let paced = pipeline(&scene, &rows, kill % 2 + 1, "max-rate = 100")?;
        let mut host = Host::start(&["run", &paced, "--api", "off"])?;
        let before = observer.high()?;
        host.wait_until(&format!("output, before kill {kill}"), PATIENCE, |_| Ok(observer.high()? > before))?;
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(300)));
        ensure!(!host.is_over()?, "it was through before kill {kill}: {}", host.log()?);
        host.kill()?;
    }
    let whole = pipeline(&scene, &rows, 2, "")?;
    run(&["run", &whole, "--drain", "--api", "off"], PATIENCE)?.expect(0)?;
    judge(&scene).with_context(|| format!("WEIR_SEED={}", random.seed()))
}

fn judge(scene: &Scene<'_>) -> Result<()> {
    let mut seen: BTreeMap<Vec<u8>, Vec<(i64, String)>> = BTreeMap::new();
    for record in read_all(scene.broker, &scene.output)? {
        let value = String::from_utf8(record.value.context("a value")?)?;
        seen.entry(record.key.context("a key")?).or_default().push((record.timestamp.context("a timestamp")?, value));
    }
    for key in 0..KEYS {
        let of_key = seen.remove(format!("key-{key}").as_bytes()).unwrap_or_default();
        ensure!(of_key == wanted(key), "key {key}: {of_key:?}\ninstead of {:?}", wanted(key));
    }
    ensure!(seen.is_empty(), "nobody knows {seen:?}");
    Ok(())
}
