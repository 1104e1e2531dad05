//! The queries of the benchmark Nexmark, each compared with a batch computation of the same events, with disorder and late ones.

/// What each query makes of all events at once.
mod batch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nexmark::event::{Auction, Bid, Event};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::chain::Chain;
use weir_tests::host::{Host, run};
use weir_tests::machine;
use weir_tests::nexmark::{BEGIN_MS, QUERIES, disordered, events, key, value};
use weir_tests::random::Random;
use weir_tests::reader::{Observer, read_all};
use weir_tests::topics::Writer;

use self::batch::{Came, Out};
use crate::scene::{PATIENCE, Scene};

const EVENTS: usize = 20_000;
const PER_SECOND: usize = 250;
const DISORDER_MS: u64 = 1_000;
/// Late events come when this part of the others has.
const LATE_AFTER: usize = EVENTS * 3 / 4;
const LATE: usize = 20;
const WATERMARK: &str = "watermark = { max-disorder = '2s' }";
/// Events of a run that is killed, and how often it is.
const KILLED_EVENTS: usize = 16_000;
const KILLS: u32 = 3;

/// Events of the first second, which come when all windows of that time are gone: bids of a price that nobody else bids, and
/// auctions of persons who came then.
fn late() -> Vec<Event> {
    let at = |number: usize| BEGIN_MS + number as u64;
    let bid = |number: usize| {
        let (channel, url, extra) = Default::default();
        let (bidder, price) = (9_000_000 + number, 1_000_000_000);
        Event::Bid(Bid { auction: 1_000 + number % 3, bidder, price, channel, url, date_time: at(number), extra })
    };
    let auction = |number: usize| {
        let (item_name, description, extra) = Default::default();
        let (id, seller, expires) = (9_000_000 + number, 1_000 + number % 5, at(number) + 5_000);
        let (initial_bid, reserve, date_time, category) = (1, 2, at(number), 10);
        Event::Auction(Auction {
            id,
            item_name,
            description,
            initial_bid,
            reserve,
            date_time,
            expires,
            seller,
            category,
            extra,
        })
    };
    (0..LATE).flat_map(|number| [bid(number), auction(number)]).collect()
}

#[test]
fn queries_find_what_a_batch_computation_finds() -> Result<()> {
    let _machine = machine::shared();
    let (mut random, home) = (Random::new(), TempDir::new()?);
    let came = Came { in_time: disordered(events(PER_SECOND).take(EVENTS), DISORDER_MS, &mut random), late: late() };
    let (before, after) = came.in_time.split_at(LATE_AFTER);
    let lines = before.iter().chain(&came.late).chain(after).map(|event| {
        let (key, value, timestamp) = (key(event), value(event).to_string(), event.timestamp());
        json!({ "key": key, "value": value, "timestamp": timestamp }).to_string() + "\n"
    });
    std::fs::write(home.path().join("events"), lines.collect::<String>())?;
    for query in QUERIES {
        for parallelism in [1, 2] {
            let found = found(&query, parallelism, home.path());
            let checked = found.and_then(|found| compare(&query, found, &came));
            checked.with_context(|| format!("{}, {parallelism} tasks, WEIR_SEED={}", query.name, random.seed()))?;
        }
    }
    Ok(())
}

#[test]
fn the_average_of_winning_bids_is_exact_wherever_it_is_killed() -> Result<()> {
    exact("q4")
}

#[test]
fn the_hottest_auctions_are_exact_wherever_they_are_killed() -> Result<()> {
    exact("q5")
}

#[test]
fn new_sellers_are_exact_wherever_they_are_killed() -> Result<()> {
    exact("q8")
}

/// Runs a query on a real Kafka, killed again and again, and compares what an independent reader finds.
fn exact(query: &str) -> Result<()> {
    let _machine = machine::shared();
    let (scene, mut random) = (Scene::new(&format!("nexmark-{query}"))?, Random::new());
    let in_time = disordered(events(PER_SECOND).take(KILLED_EVENTS), DISORDER_MS, &mut random);
    let writer = Writer::new(scene.broker)?;
    for event in &in_time {
        let (key, value) = (key(event), value(event).to_string());
        let record = BaseRecord::<[u8], [u8]>::to(&scene.input).timestamp(event.timestamp() as i64);
        writer.send(record.key(key.as_bytes()).payload(value.as_bytes()))?;
    }
    writer.flush()?;
    let query = QUERIES.into_iter().find(|known| known.name == query).context("a query that there is")?;
    let output = Observer::new(scene.broker, &scene.output)?;
    for kill in 0..KILLS {
        let before = output.stable()?;
        let mut host = Host::start(&["run", &pipeline(&scene, &query, kill % 2 + 1, "max-rate = 700")?, "--drain"])?;
        host.wait_until(&format!("output, before kill {kill}"), PATIENCE, |_| Ok(output.stable()? > before))?;
        std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(300)));
        ensure!(!host.is_over()?, "it was through before kill {kill}: {}", host.log()?);
        host.kill()?;
    }
    run(&["run", &pipeline(&scene, &query, 2, "")?, "--drain"], PATIENCE)?.expect(0)?;
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default());
    let found = read_all(scene.broker, &scene.output)?.into_iter().map(|record| {
        Ok((text(record.key)?, record.timestamp.context("a timestamp")?.unsigned_abs(), text(record.value)?))
    });
    let found = found.collect::<Result<_>>()?;
    compare(&query, found, &Came { in_time, late: vec![] }).with_context(|| format!("WEIR_SEED={}", random.seed()))
}

/// The file of a pipeline of `query` on the topics of `scene`, with this line in its source.
fn pipeline(scene: &Scene<'_>, query: &Chain, parallelism: u32, line: &str) -> Result<String> {
    let source = format!("kafka = {{ topic = '{}' }}\nuntil = 'latest'\n{WATERMARK}\n{line}", scene.input);
    let sink = format!("kafka = {{ topic = '{}' }}", scene.output);
    let (job, brokers, home) = (&scene.job, scene.broker.bootstrap(), scene.state_dir());
    let state = home.join("state").display().to_string();
    let head =
        format!("version = 1\njob = '{job}'\napi = 'off'\n[kafka]\nbrokers = '{brokers}'\n[state]\ndir = '{state}'\n");
    let path = home.join(format!("pipeline-{parallelism}-{}.toml", line.len()));
    std::fs::write(&path, head + &query.pipeline(&source, parallelism, &sink)?)?;
    Ok(path.display().to_string())
}

/// What the host writes of the events in the folder `home`.
fn found(query: &Chain, parallelism: u32, home: &Path) -> Result<Vec<Out>> {
    let (pipeline, written) = (home.join("pipeline.toml"), home.join(format!("{}-{parallelism}", query.name)));
    let sink = format!("file = {{ path = '{}', format = 'json' }}", written.display());
    let source = format!("file = {{ path = 'events', format = 'json' }}\n{WATERMARK}");
    std::fs::write(&pipeline, format!("version = 1\n{}", query.pipeline(&source, parallelism, &sink)?))?;
    run(&["run", &pipeline.display().to_string(), "--api", "off"], PATIENCE)?.expect(0)?;
    let text = std::fs::read_to_string(&written)?;
    text.lines().map(|line| out(&serde_json::from_str(line)?)).collect()
}

fn out(line: &Value) -> Result<Out> {
    let text = |name: &str| line[name].as_str().map(str::to_owned).with_context(|| format!("a {name} in {line}"));
    Ok((text("key")?, line["timestamp"].as_u64().context("a timestamp")?, text("value")?))
}

/// Each record once, and no others; of what is for a compacted topic the last of each key.
fn compare(query: &Chain, found: Vec<Out>, came: &Came) -> Result<()> {
    let (mut found, mut wanted) = (comparable(query.name, found)?, came.output(query.name));
    found.sort();
    wanted.sort();
    ensure!(!wanted.is_empty(), "nothing is to be found");
    let missing: Vec<_> = wanted.iter().filter(|out| found.binary_search(out).is_err()).take(5).collect();
    let more: Vec<_> = found.iter().filter(|out| wanted.binary_search(out).is_err()).take(5).collect();
    ensure!(found == wanted, "{} instead of {}; missing {missing:?}, more {more:?}", found.len(), wanted.len());
    Ok(())
}

fn comparable(query: &str, found: Vec<Out>) -> Result<Vec<Out>> {
    match query {
        "q12" => {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for (bidder, _, value) in found {
                let (start, count) = value.split_once(',').context("START,COUNT")?;
                ensure!(start.parse::<u64>()? % 10_000 == 0, "no window begins at {start}");
                *counts.entry(bidder).or_default() += count.parse::<u64>()?;
            }
            Ok(counts.into_iter().map(|(bidder, count)| (bidder, 0, count.to_string())).collect())
        }
        "q18" => {
            let last: BTreeMap<String, (u64, String)> =
                found.into_iter().map(|(key, at, value)| (key, (at, value))).collect();
            Ok(last.into_iter().map(|(key, (at, value))| (key, at, value)).collect())
        }
        _ => Ok(found),
    }
}
