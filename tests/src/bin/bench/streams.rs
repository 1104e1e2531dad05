//! What goes by time or by other keys: windows, ShuffleBench and the queries of Nexmark. From and to Kafka, exactly once, beside the
//! bare client on the same records; Nexmark also from a generator, with what comes out thrown away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::producer::BaseRecord;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::broker::{Broker, free_port};
use weir_tests::chain::{Chain, keyed, plain};
use weir_tests::host::{self, Host, job};
use weir_tests::nexmark::{BEGIN_MS, QUERIES, events, key, value};
use weir_tests::random::Random;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

use crate::contender::{System, Task};
use crate::drain::{forget, wait_until_gone};
use crate::measure::{Run, watch};
use crate::table::Values;
use crate::{Size, say};

const PARTITIONS: i32 = 4;
const TO: &str = "streamed";
/// What the host commits at, unless it is told otherwise.
const INTERVAL_MS: u32 = 100;
/// The epoch behind the one that a job begins with: something was committed.
const FIRST_EPOCH: u64 = 2;
/// Of the records of windows: how many keys, and how many a millisecond.
const KEYS: u64 = 10_000;
const PER_MS: u64 = 100;
/// How far behind its place a record of windows is, at most.
const DISORDER_MS: u64 = 1_000;
const IN_DISORDER: &str = "watermark = { max-disorder = '1s' }";
/// The value of a record of ShuffleBench.
const KILOBYTE: usize = 1_024;
/// What Nexmark has.
const EVENTS_PER_SECOND: usize = 10_000;

/// Where records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The topic of the group.
    Topic,
    /// The generator.
    Generator,
}

/// What is measured: the bare client, or a pipeline with a line of its source.
struct Row {
    name: String,
    from: From,
    pipeline: Option<(Chain, &'static str)>,
    speed: Values,
    cpu: Values,
    rss: Values,
    state: Values,
}

impl Row {
    fn new(name: impl Into<String>, from: From, pipeline: Option<(Chain, &'static str)>) -> Self {
        let (speed, cpu, rss, state) = Default::default();
        Self { name: name.into(), from, pipeline, speed, cpu, rss, state }
    }

    fn bare() -> Self {
        Self::new("bare client", From::Topic, None)
    }
}

/// Windows, and what it costs to know the time.
pub(crate) fn windows(broker: &Broker, size: &Size) -> Result<()> {
    const UPPERCASE: Chain = Chain::new("uppercase", &[plain("uppercase", "")]);
    const COUNT: Chain = Chain::new("count", &[keyed("count", "")]);
    const WINDOW_COUNT: Chain = Chain::new("window-count", &[keyed("window-count", "")]);
    let row = |name: &str, chain, line| Row::new(name, From::Topic, Some((chain, line)));
    let rows = vec![
        Row::bare(),
        row("uppercase", UPPERCASE, ""),
        row("uppercase, watermark", UPPERCASE, IN_DISORDER),
        row("count", COUNT, ""),
        row("count, watermark", COUNT, IN_DISORDER),
        row("window-count", WINDOW_COUNT, IN_DISORDER),
    ];
    let fill = |writer: &Writer, topic: &str| -> Result<()> {
        let (mut random, value) = (Random::seeded(1), [b'x'; 100]);
        for number in 0..size.records {
            let key = format!("key-{:012}", random.below(KEYS));
            let at = BEGIN_MS + DISORDER_MS + number / PER_MS - random.below(DISORDER_MS);
            let record = BaseRecord::<[u8], [u8]>::to(topic).timestamp(i64::try_from(at)?);
            writer.send(record.key(key.as_bytes()).payload(&value[..]))?;
        }
        writer.flush()
    };
    measure(broker, size, "Windows of 10 s, 1 s of disorder", size.records, fill, rows)
}

/// ShuffleBench with its defaults.
pub(crate) fn shuffle(broker: &Broker, size: &Size) -> Result<()> {
    const SHUFFLE: Chain = Chain::new("shuffle", &[plain("shuffle", ""), keyed("shuffle-consumer", "")]);
    let rows = vec![Row::bare(), Row::new("shuffle, consumer", From::Topic, Some((SHUFFLE, "")))];
    let records = size.records / 4;
    let fill = |writer: &Writer, topic: &str| -> Result<()> {
        let mut random = Random::seeded(2);
        for _ in 0..records {
            let value: Vec<u8> = (0..KILOBYTE / 8).flat_map(|_| random.number().to_le_bytes()).collect();
            writer.send(BaseRecord::<[u8], [u8]>::to(topic).payload(&value))?;
        }
        writer.flush()
    };
    measure(broker, size, "ShuffleBench: 1 KiB, 1,000 rules, selectivity 0.2", records, fill, rows)
}

/// The queries of Nexmark.
pub(crate) fn nexmark(broker: &Broker, size: &Size) -> Result<()> {
    let of_topic = QUERIES.map(|query| Row::new(query.name, From::Topic, Some((query, IN_DISORDER))));
    let generated = QUERIES
        .map(|query| Row::new(format!("{}, generated", query.name), From::Generator, Some((query, IN_DISORDER))));
    let rows = [Row::bare()].into_iter().chain(of_topic).chain(generated).collect();
    let records = size.records / 2;
    let fill = |writer: &Writer, topic: &str| -> Result<()> {
        for event in events(EVENTS_PER_SECOND).take(usize::try_from(records)?) {
            let (key, value) = (key(&event), value(&event).to_string());
            let record = BaseRecord::<[u8], [u8]>::to(topic).timestamp(i64::try_from(event.timestamp())?);
            writer.send(record.key(key.as_bytes()).payload(value.as_bytes()))?;
        }
        writer.flush()
    };
    measure(broker, size, "Nexmark", records, fill, rows)
}

/// Fills a topic, lets the rows take turns, and prints them.
fn measure(
    broker: &Broker,
    size: &Size,
    title: &str,
    records: u64,
    fill: impl Fn(&Writer, &str) -> Result<()>,
    mut rows: Vec<Row>,
) -> Result<()> {
    say(&format!("\nloading {records} records: {title}"))?;
    let topic = "streams";
    topics::create(broker, topic, PARTITIONS, &[])?;
    fill(&Writer::new(broker)?, topic)?;
    for round in 0..size.rounds {
        for row in &mut rows {
            say(&format!("round {}: {}", round + 1, row.name))?;
            let (run, state) = measured(broker, row, topic, records)?;
            row.speed.add(run.records_per_second / 1000.0);
            row.cpu.add(run.cpu_seconds_per_million);
            row.rss.add(run.rss_megabytes);
            row.state.add(state as f64 / 1e6);
        }
    }
    print(title, &rows)?;
    topics::delete(broker, topic)?;
    wait_until_gone(broker, topic)
}

fn print(title: &str, rows: &[Row]) -> Result<()> {
    say(&format!(
        "\n{title}: krec/s and CPU-seconds per million records, median (range); ratio to the bare client; peak RSS"
    ))?;
    say("and peak state in MB")?;
    let bare = rows.first().context("the bare client takes part")?;
    for row in rows {
        let (speed, cpu) = (row.speed.median() / bare.speed.median(), row.cpu.median() / bare.cpu.median());
        let figures = format!("{:>20} {speed:>5.2}x {:>20} {cpu:>5.2}x", row.speed.show(0), row.cpu.show(2));
        say(&format!("{:24}{figures} {:>6.0} {:>7.1}", row.name, row.rss.max(), row.state.max()))?;
    }
    Ok(())
}

/// What a run takes, and how many bytes of state it had at most.
fn measured(broker: &Broker, row: &Row, from: &str, records: u64) -> Result<(Run, u64)> {
    topics::create(broker, TO, PARTITIONS, &[])?;
    let run = match &row.pipeline {
        None => bare(broker, from, records).map(|run| (run, 0)),
        Some((chain, line)) => streamed(broker, chain, &source(row.from, line, from, records), row.from, records),
    };
    topics::delete(broker, TO)?;
    wait_until_gone(broker, TO)?;
    run
}

fn bare(broker: &Broker, from: &str, records: u64) -> Result<Run> {
    let (system, operator, delivery) = (System::Pipe, "none", "exactly-once");
    let task = Task { system, operator, delivery, interval_ms: INTERVAL_MS, from, to: TO, bounded: true, api: false };
    forget(broker, &task)?;
    let (state, observer) = (TempDir::new()?, Observer::new(broker, TO)?);
    watch(records, || task.start(broker, &state), || Ok(observer.high()? > 0), || Ok(()))
}

fn source(from: From, line: &str, topic: &str, records: u64) -> String {
    match from {
        From::Topic => format!("kafka = {{ topic = '{topic}' }}\nuntil = 'latest'\n{line}"),
        From::Generator => format!("generate = {{ name = 'nexmark', count = {records} }}\n{line}"),
    }
}

fn streamed(broker: &Broker, chain: &Chain, source: &str, from: From, records: u64) -> Result<(Run, u64)> {
    topics::delete_groups(broker, &[&format!("weir-{TO}")])?;
    let (home, port) = (TempDir::new()?, free_port()?);
    let file = home.path().join("pipeline.toml");
    let sink = match from {
        From::Topic => format!("kafka = {{ topic = '{TO}' }}"),
        From::Generator => "file = { path = '/dev/null' }".to_owned(),
    };
    let (brokers, state) = (broker.bootstrap(), home.path().join("state").display().to_string());
    let kafka = if from == From::Topic { format!("[kafka]\nbrokers = '{brokers}'\n") } else { String::new() };
    let head = format!("version = 1\njob = '{TO}'\napi = '127.0.0.1:{port}'\n{kafka}[state]\ndir = '{state}'\n");
    std::fs::write(&file, format!("{head}{}", chain.pipeline(source, 1, &sink)?))?;
    let args = ["run", &file.display().to_string(), "--drain"];
    let start = || Host::start_program(&host::program()?, &args);
    let epoch = |job: Value| job.get("epoch").and_then(Value::as_u64);
    let has_begun = || Ok(job(port).is_ok_and(|job| epoch(job) >= Some(FIRST_EPOCH)));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let peak = scope.spawn(|| peak_state(port, &over));
        let run = watch(records, start, has_begun, || Ok(()));
        over.store(true, Ordering::Relaxed);
        Ok((run?, peak.join().ok().context("the look at the state panicked")?))
    })
}

/// The most bytes of state that the API shows until it is over.
fn peak_state(port: u16, over: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        // There is none before the start, and after the end.
        let Ok(job) = job(port) else { continue };
        let operators = job.get("operators").and_then(Value::as_array).into_iter().flatten();
        peak = peak.max(operators.filter_map(|operator| operator.get("state_bytes")?.as_u64()).sum());
    }
    peak
}
