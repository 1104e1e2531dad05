//! Drain of a topic that is full: records a second, CPU-seconds per million records, peak memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

use crate::contender::{System, Task, native};
use crate::measure::{PATIENCE, Run, watch};
use crate::table::Values;
use crate::{Size, say};

const KEYS: u64 = 10_000;
const PARTITIONS: i32 = 4;
const OPERATORS: [&str; 3] = ["uppercase", "count", "clickstream"];

/// A line of the table.
struct Line {
    system: System,
    operator: &'static str,
    delivery: &'static str,
    speed: Values,
    cpu: Values,
    rss: Values,
}

/// Measures and prints.
pub(crate) fn run(broker: &Broker, size: &Size) -> Result<()> {
    say(&format!("loading {} records, and as many clicks", size.records))?;
    topics::create(broker, "plain", PARTITIONS, &[])?;
    topics::create(broker, "clicks", PARTITIONS, &[])?;
    let writer = Writer::new(broker)?;
    topics::fill(&writer, "plain", size.records, KEYS, 100)?;
    fill_clicks(&writer, size.records)?;
    let mut lines = lines(size);
    for round in 0..size.rounds {
        for line in &mut lines {
            say(&format!("round {}: {} {} {}", round + 1, line.system, line.operator, line.delivery))?;
            let run = drain(broker, line, size.records, None)?;
            line.speed.add(run.records_per_second / 1000.0);
            line.cpu.add(run.cpu_seconds_per_million);
            line.rss.add(run.rss_megabytes);
        }
    }
    print(&lines)?;
    if let Some(stall) = size.stall {
        let line = Line { system: System::Wasm, operator: "count", ..empty() };
        let run = drain(broker, &line, size.records, Some(stall))?;
        say(&format!("count, broker stalled for {stall:?} meanwhile: peak RSS {:.0} MB", run.rss_megabytes))?;
    }
    topics::delete(broker, "plain")?;
    topics::delete(broker, "clicks")
}

fn empty() -> Line {
    let (speed, cpu, rss) = Default::default();
    Line { system: System::Pipe, operator: "none", delivery: "exactly-once", speed, cpu, rss }
}

/// What is measured, in the order in which it takes turns.
fn lines(size: &Size) -> Vec<Line> {
    let deliveries: &[&str] = if size.at_least_once { &["exactly-once", "at-least-once"] } else { &["exactly-once"] };
    let mut lines = Vec::new();
    for &delivery in deliveries {
        lines.push(Line { delivery, ..empty() });
        for operator in OPERATORS {
            if native().is_some() {
                lines.push(Line { system: System::Native, operator, delivery, ..empty() });
            }
            lines.push(Line { system: System::Wasm, operator, delivery, ..empty() });
        }
    }
    lines
}

fn drain(broker: &Broker, line: &Line, records: u64, stall: Option<Duration>) -> Result<Run> {
    let (from, to) = (if line.operator == "clickstream" { "clicks" } else { "plain" }, "drained");
    topics::create(broker, to, PARTITIONS, &[])?;
    let state = TempDir::new()?;
    let task = Task {
        api: false,
        system: line.system,
        operator: line.operator,
        delivery: line.delivery,
        interval_ms: 100,
        from,
        to,
        bounded: true,
    };
    // Each run is a job of its own: the groups of earlier runs are at the end of the topic.
    let run = measured(broker, &task, &state, records, stall);
    topics::delete(broker, to)?;
    wait_until_gone(broker, to)?;
    run
}

fn measured(broker: &Broker, task: &Task<'_>, state: &TempDir, records: u64, stall: Option<Duration>) -> Result<Run> {
    forget(broker, task)?;
    let observer = Observer::new(broker, task.to)?;
    let has_begun = || Ok(observer.high()? > 0);
    watch(
        records,
        || task.start(broker, state),
        has_begun,
        || {
            if let Some(stall) = stall {
                std::thread::sleep(Duration::from_secs(1));
                broker.pause()?;
                std::thread::sleep(stall);
                broker.resume()?;
            }
            Ok(())
        },
    )
}

/// Deletes what groups of an earlier run with the same name have committed.
pub(crate) fn forget(broker: &Broker, task: &Task<'_>) -> Result<()> {
    topics::delete_groups(broker, &[&format!("pipe-{}", task.to), &format!("weir-{}", task.to)])
}

/// Waits until the brokers know `topic` no more.
pub(crate) fn wait_until_gone(broker: &Broker, topic: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Observer::new(broker, topic)?.high().is_ok() {
        ensure!(Instant::now() < deadline, "topic {topic} does not go");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Clicks of about 300 bytes; half of them cost 50 or more.
fn fill_clicks(writer: &Writer, count: u64) -> Result<()> {
    for number in 0..count {
        let user = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS;
        let key = format!("key-{user:012}");
        let click = format!(
            r#"{{"user_id":"user-{user:08}","session":"s-{number:012}","page":"/shop/category/{}","referrer":"https://example.org/search?q=shoes","agent":"Mozilla/5.0 (X11; Linux x86_64)","country":"DE","currency":"EUR","price":{}.5,"quantity":{},"campaign":null,"timestamp":{},"ok":true}}"#,
            number % 97,
            number % 100,
            number % 5,
            1_700_000_000_000 + number
        );
        writer.write("clicks", key.as_bytes(), click.as_bytes())?;
    }
    writer.flush()
}

fn print(lines: &[Line]) -> Result<()> {
    say(
        "\nDrain: krec/s and CPU-seconds per million records, median (range); ratio to the bare client; peak RSS in MB",
    )?;
    for line in lines {
        let is_bare = |other: &&Line| other.system == System::Pipe && other.delivery == line.delivery;
        let bare = lines.iter().find(is_bare).context("the bare client takes part")?;
        let name = format!("{:14}{:12}{:13}", line.delivery, line.operator, line.system);
        let (speed, cpu) = (line.speed.median() / bare.speed.median(), line.cpu.median() / bare.cpu.median());
        let figures = format!("{:>20} {speed:>5.2}x {:>20} {cpu:>5.2}x", line.speed.show(0), line.cpu.show(2));
        say(&format!("{name}{figures} {:>6.0}", line.rss.max()))?;
    }
    if native().is_none() {
        say("(no native operators: native-host is not built)")?;
    }
    Ok(())
}
