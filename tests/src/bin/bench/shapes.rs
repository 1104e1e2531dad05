//! How tasks, stages and the number of keys bear on `count`: each shape beside the one that it is compared with.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Host, plugin};
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

use crate::drain::wait_until_gone;
use crate::measure::{Run, watch};
use crate::table::Values;
use crate::{Size, say};

const PARTITIONS: i32 = 4;
const FEW_KEYS: u64 = 10_000;
const TO: &str = "shaped";

/// Where the records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// A topic with few keys, in no order.
    Few,
    /// One with as many as [`Size`] says, in no order.
    Many,
    /// A generator: as many, and they come round in an order. No Kafka takes part.
    Round,
    /// The same with few.
    RoundFew,
}

/// A job that is measured.
#[derive(Debug, Clone, Copy)]
struct Shape {
    name: &'static str,
    keys: Keys,
    /// The tasks of each operator: a stateless one and `count`, or `count` alone.
    stages: &'static [u32],
    memory: &'static str,
    /// The line that it is compared with.
    against: usize,
}

const fn shape(name: &'static str, keys: Keys, stages: &'static [u32], against: usize) -> Shape {
    Shape { name, keys, stages, memory: "128MiB", against }
}

const SHAPES: [Shape; 8] = [
    shape("few keys, P=1", Keys::Few, &[1], 0),
    shape("few keys, P=4", Keys::Few, &[4], 0),
    shape("few keys, parse P=2 -> count P=2", Keys::Few, &[2, 2], 0),
    Shape { memory: "512MiB", ..shape("many keys, memory for them", Keys::Many, &[1], 0) },
    shape("many keys, 128 MiB", Keys::Many, &[1], 0),
    shape("few keys in a cycle, P=1", Keys::RoundFew, &[1], 5),
    shape("many keys in a cycle, P=1", Keys::Round, &[1], 5),
    shape("many keys in a cycle, P=2", Keys::Round, &[2], 5),
];

/// Measures and prints.
pub(crate) fn run(broker: &Broker, size: &Size) -> Result<()> {
    let (records, many) = (size.shape_records, size.many_keys);
    say(&format!("\nloading {records} records of {FEW_KEYS} keys, and as many of {many}"))?;
    let writer = Writer::new(broker)?;
    for (topic, keys) in [("few", FEW_KEYS), ("many", many)] {
        topics::create(broker, topic, PARTITIONS, &[])?;
        topics::fill(&writer, topic, records, keys, 100)?;
    }
    let mut lines: Vec<(Shape, [Values; 3])> = SHAPES.into_iter().map(|shape| (shape, Default::default())).collect();
    for round in 0..size.rounds {
        for (shape, [speed, cpu, rss]) in &mut lines {
            say(&format!("round {}: {}", round + 1, shape.name))?;
            let run = measured(broker, shape, size)?;
            speed.add(run.records_per_second / 1000.0);
            cpu.add(run.cpu_seconds_per_million);
            rss.add(run.rss_megabytes);
        }
    }
    say(&format!(
        "\nCount of {FEW_KEYS} and of {many} keys, exactly-once from and to Kafka; in a cycle: generator to file"
    ))?;
    say("krec/s and CPU-seconds per million records, median (range); ratio to few keys, P=1; peak RSS in MB")?;
    for (shape, [speed, cpu, rss]) in &lines {
        let (_, [than_speed, than_cpu, _]) = lines.get(shape.against).context("a line of the table")?;
        let ratios = (speed.median() / than_speed.median(), cpu.median() / than_cpu.median());
        let figures = format!("{:>20} {:>5.2}x {:>20} {:>5.2}x", speed.show(0), ratios.0, cpu.show(2), ratios.1);
        say(&format!("{:34}{figures} {:>6.0}", shape.name, rss.max()))?;
    }
    topics::delete(broker, "few")?;
    topics::delete(broker, "many")
}

fn measured(broker: &Broker, shape: &Shape, size: &Size) -> Result<Run> {
    let directory = TempDir::new()?;
    let file = directory.path().join("pipeline.toml");
    std::fs::write(&file, shape.pipeline(broker, size, &directory)?)?;
    let start = || Host::start_program(&host::program()?, &["run", &file.display().to_string()]);
    if matches!(shape.keys, Keys::Round | Keys::RoundFew) {
        return watch(size.shape_records, start, || Ok(true), || Ok(()));
    }
    topics::create(broker, TO, PARTITIONS, &[])?;
    topics::delete_groups(broker, &[&format!("weir-{TO}")])?;
    let observer = Observer::new(broker, TO)?;
    let run = watch(size.shape_records, start, || Ok(observer.high()? > 0), || Ok(()));
    topics::delete(broker, TO)?;
    wait_until_gone(broker, TO)?;
    run
}

impl Shape {
    fn pipeline(&self, broker: &Broker, size: &Size, directory: &TempDir) -> Result<String> {
        let (brokers, state) = (broker.bootstrap(), directory.path().join("state"));
        let kafka = |topic: &str| format!("kafka = {{ topic = {topic:?}, brokers = {brokers:?} }}");
        let topic = |name: &str| (format!("{}\nuntil = \"latest\"", kafka(name)), kafka(TO));
        let round = |keys: u64| {
            let source = format!("generate = {{ name = \"sequence\", keys = {keys}, count = {} }}", size.shape_records);
            (source, "file = { path = \"/dev/null\" }".to_owned())
        };
        let (source, sink) = match self.keys {
            Keys::Few => topic("few"),
            Keys::Many => topic("many"),
            Keys::Round => round(size.many_keys),
            Keys::RoundFew => round(FEW_KEYS),
        };
        let mut text = format!("version = 1\njob = {TO:?}\napi = \"off\"\n");
        write!(text, "[state]\ndir = {state:?}\nmemory = {:?}\n[sources.in]\n{source}\n", self.memory)?;
        let mut before = "in";
        for (name, tasks) in ["parse", "count"].iter().skip(2 - self.stages.len()).zip(self.stages) {
            let plugin = plugin(if *name == "parse" { "uppercase" } else { name })?;
            write!(text, "[operators.{name}]\nplugin = {plugin:?}\ninputs = [{before:?}]\nparallelism = {tasks}\n")?;
            before = name;
        }
        write!(text, "[sinks.out]\ninputs = [{before:?}]\n{sink}\n")?;
        Ok(text)
    }
}
