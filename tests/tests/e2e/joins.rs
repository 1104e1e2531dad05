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
    let source = |name: &str, topic: &str| {
        format!(
            "[sources.{name}]\nkafka = {{ topic = '{topic}' }}\nuntil = 'latest'\n{pace}\nwatermark = {{ max-disorder = '{DISORDER_MS}ms' }}\n"
        )
    };
    let (records, table) = (source("records", &scene.input), source("table", rows));
    let join = "inputs = { records = ['records'], table = ['table'] }";
    written(scene, &format!("{records}{table}"), ("enrich", join), (parallelism, pace))
}

/// Writes the pipeline of one plugin with this many tasks, which reads these sources at this pace; gives its path.
fn written(
    scene: &Scene<'_>,
    sources: &str,
    (name, inputs): (&str, &str),
    (parallelism, pace): (u32, &str),
) -> Result<String> {
    let (broker, job, plugin) = (scene.broker.bootstrap(), &scene.job, plugin(name)?);
    let text = format!(
        "version = 1\njob = '{job}'\n[kafka]\nbrokers = '{broker}'\n{sources}\
         [operators.join]\nplugin = '{plugin}'\n{inputs}\n\
         parallelism = {parallelism}\n[sinks.out]\ninputs = ['join']\nkafka = {{ topic = '{}' }}\n\
         [state]\ndir = '{}'\n",
        scene.output,
        scene.state_dir().join("state").display()
    );
    let path = scene.state_dir().join(format!("{name}-{parallelism}-{}.toml", pace.len()));
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// Starts `paced`, and kills it at some moment after it has written something, before it is through.
fn kill_amid(observer: &Observer, paced: &str, random: &mut Random) -> Result<()> {
    let mut host = Host::start(&["run", paced, "--api", "off"])?;
    let before = observer.high()?;
    host.wait_until("output, before a kill", PATIENCE, |_| Ok(observer.high()? > before))?;
    std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(300)));
    ensure!(!host.is_over()?, "it was through before it was killed: {}", host.log()?);
    host.kill()
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
        kill_amid(&observer, &paced, &mut random).with_context(|| format!("kill {kill}"))?;
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

/// Amounts of the table that every task has.
const AMOUNTS: u64 = 4_000;
const CURRENCIES: [(&str, f64); 3] = [("EUR", 1.5), ("CHF", 2.0), ("SEK", 0.25)];

/// The pipeline of `convert`, which keys amounts by whom they are of.
fn conversion(scene: &Scene<'_>, rates: &str, parallelism: u32, pace: &str) -> Result<String> {
    let sources = format!(
        "[sources.amounts]\nkafka = {{ topic = '{}' }}\nuntil = 'latest'\n{pace}\n\
         [sources.rates]\nkafka = {{ topic = '{rates}' }}\nuntil = 'latest'\n",
        scene.input
    );
    let join = "inputs = { amounts = ['amounts'], rates = ['rates'] }";
    written(scene, &sources, ("convert", join), (parallelism, pace))
}

#[test]
fn a_table_that_every_task_has_is_there_for_any_number_of_tasks_whoever_is_killed() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("worth")?;
    let (rates, mut random) = (format!("{}.rates", scene.input), Random::new());
    topics::create(scene.broker, &rates, 2, &[])?;
    let writer = Writer::new(scene.broker)?;
    let rate = |currency: &str, value: &str, at_ms: i64| {
        let record = BaseRecord::to(&rates).key(currency.as_bytes()).payload(value.as_bytes());
        writer.send(record.timestamp(BEGIN_MS + at_ms))
    };
    CURRENCIES.iter().try_for_each(|(currency, worth)| rate(currency, &worth.to_string(), 1_000))?;
    writer.flush()?;
    // All rates are there before the first amount: who has them is what is to be seen.
    run(&["run", &conversion(&scene, &rates, 2, "")?, "--api", "off"], PATIENCE)?.expect(0)?;
    for number in 0..AMOUNTS {
        let (currency, _) = CURRENCIES[number as usize % CURRENCIES.len()];
        let (key, value) = (format!("key-{number}"), format!("{number} {currency}"));
        writer.send(BaseRecord::to(&scene.input).key(key.as_bytes()).payload(value.as_bytes()).timestamp(BEGIN_MS))?;
    }
    writer.flush()?;
    let observer = Observer::new(scene.broker, &scene.output)?;
    for kill in 0..KILLS {
        // Rates that are none of them, and older ones that must not count.
        (0..50).try_for_each(|other| rate(&format!("X{kill}-{other}"), "1", 2_000))?;
        CURRENCIES.iter().try_for_each(|(currency, _)| rate(currency, "7", 500 + i64::from(kill)))?;
        writer.flush()?;
        let paced = conversion(&scene, &rates, kill % 3 + 1, "max-rate = 100")?;
        kill_amid(&observer, &paced, &mut random).with_context(|| format!("kill {kill}"))?;
    }
    // The first ends where the first of those that were killed was to end.
    for parallelism in [3, 1] {
        run(&["run", &conversion(&scene, &rates, parallelism, "")?, "--api", "off"], PATIENCE)?.expect(0)?;
    }
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in read_all(scene.broker, &scene.output)? {
        let (key, value) = (record.key.context("a key")?, record.value.context("a value")?);
        seen.entry(String::from_utf8(key)?).or_default().push(String::from_utf8(value)?);
    }
    for number in 0..AMOUNTS {
        let (_, worth) = CURRENCIES[number as usize % CURRENCIES.len()];
        let found = seen.remove(&format!("key-{number}")).unwrap_or_default();
        let wanted = format!("{:.2}", number as f64 * worth);
        ensure!(found == [wanted.as_str()], "{number}: {found:?}, not {wanted} (WEIR_SEED={})", random.seed());
    }
    ensure!(seen.is_empty(), "nobody knows {seen:?}");
    // It is kept once, and under no key.
    let state = scene.state_dir().join("state").display().to_string();
    let ended = run(&["inspect", &state, "--entries", "--brokers", scene.broker.bootstrap()], PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    let lines: Vec<serde_json::Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let kept: Vec<&str> = lines.iter().filter_map(|line| line["entry"].as_str()).collect();
    ensure!(kept.len() == 50 * KILLS as usize + 3 && kept.is_sorted(), "{text}");
    ensure!(lines.iter().all(|line| line["table"] == "rates" && line.get("key").is_none()), "{text}");
    Ok(())
}
