//! At 10,000 records a second: read_committed latency, and the time to new output after kill -9.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::random::Random;
use weir_tests::reader::{Isolation, consumer};
use weir_tests::topics::{self, Writer};

use crate::contender::{System, Task};
use crate::table::Values;
use crate::{Size, say};

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(60);
const FILL_PATIENCE: Duration = Duration::from_secs(900);
/// How long a key is that is to make the state large.
pub(crate) const STATE_KEY: usize = 450;
/// What is left over from before a kill is read within this time; nothing new can come as early.
const LEFT_OVER: Duration = Duration::from_millis(150);

/// How a system under observation is fed and set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Records a millisecond.
    pub(crate) per_ms: u64,
    pub(crate) interval_ms: u32,
    /// Whether the host's API listens.
    pub(crate) api: bool,
}

/// 10,000 records a second.
const PACE: Pace = Pace { per_ms: 10, interval_ms: 100, api: false };

/// One system at the pace, observed.
pub(crate) struct Paced<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) task: Task<'a>,
    reader: BaseConsumer,
    clock: Instant,
    /// Whether no more is to be written, and none is.
    over: &'a AtomicBool,
    written: &'a AtomicBool,
}

/// Latency of the bare client and of the host, with both commit intervals.
pub(crate) fn latency(broker: &Broker, size: &Size) -> Result<()> {
    say("\nLatency at 10,000 records/s, read_committed, ms")?;
    for interval_ms in [100, 20] {
        for system in [System::Pipe, System::Wasm] {
            let mut latencies = Values::default();
            observe(
                broker,
                system,
                "uppercase",
                Pace { interval_ms, ..PACE },
                |_| Ok(()),
                |paced| {
                    let state = TempDir::new()?;
                    let host = paced.task.start(paced.broker, &state)?;
                    paced.first_after(Duration::ZERO)?;
                    paced.collect(Duration::from_secs(2), |_| {})?;
                    let mut all = Vec::new();
                    paced.collect(size.paced, |latency| all.push(latency))?;
                    all.sort_by(f64::total_cmp);
                    for latency in all.iter().step_by(10) {
                        latencies.add(*latency);
                    }
                    host.kill()
                },
            )?;
            let (median, high) = (latencies.quantile(0.5), latencies.quantile(0.99));
            say(&format!("commits each {interval_ms:>3} ms   {system:14} p50 {median:>6.0}   p99 {high:>6.0}"))?;
        }
    }
    Ok(())
}

/// From kill -9 and a restart at once to the first new committed output.
pub(crate) fn restart(broker: &Broker, size: &Size) -> Result<()> {
    say("\nFrom kill -9 and restart to the first new committed output, at 10,000 records/s, s")?;
    restarts(broker, size, 0)
}

/// The same with a state that was there before: keys of 450 bytes, each with its count.
pub(crate) fn restart_with_state(broker: &Broker, size: &Size) -> Result<()> {
    let megabytes = size.state_bytes / 1_000_000;
    say(&format!("\nThe same with {megabytes} MB of keyed state on the same disk, s"))?;
    restarts(broker, size, size.state_bytes / STATE_KEY as u64)
}

fn restarts(broker: &Broker, size: &Size, keys: u64) -> Result<()> {
    for (system, operator) in [(System::Pipe, "none"), (System::Wasm, "count")] {
        let mut times = Values::default();
        let state = TempDir::new()?;
        let before = |task: &Task<'_>| fill_state(broker, task, &state, keys);
        observe(broker, system, operator, PACE, before, |paced| {
            let mut host = paced.task.start(paced.broker, &state)?;
            paced.first_after(Duration::ZERO)?;
            let mut random = Random::new();
            for _ in 0..size.kills {
                paced.collect(random.between(Duration::from_secs(2), Duration::from_secs(3)), |_| {})?;
                host.kill()?;
                let killed = paced.clock.elapsed();
                host = paced.task.start(paced.broker, &state)?;
                times.add((paced.first_after(killed + LEFT_OVER)? - killed).as_secs_f64());
            }
            host.kill()
        })?;
        let (median, high, most) = (times.quantile(0.5), times.quantile(0.9), times.max());
        let figures = format!("p50 {median:>5.2}   p90 {high:>5.2}   most {most:>5.2}   ({} kills)", size.kills);
        say(&format!("{system:14} {operator:10} {figures}"))?;
    }
    Ok(())
}

/// Has the host count `keys` large keys, once each, and leave in good order. The bare client has no state to fill.
pub(crate) fn fill_state(broker: &Broker, task: &Task<'_>, state: &TempDir, keys: u64) -> Result<()> {
    if task.system == System::Pipe || keys == 0 {
        return Ok(());
    }
    let writer = Writer::new(broker)?;
    let padding = "k".repeat(STATE_KEY - 20);
    for number in 0..keys {
        writer.write(task.from, format!("{number:020}{padding}").as_bytes(), b"value")?;
    }
    writer.flush()?;
    let host = Task { bounded: true, ..task.clone() }.start(broker, state)?;
    host.wait(FILL_PATIENCE)?.expect(0)?;
    let bytes = bytes_in(state.path())?;
    say(&format!("(the state directory holds {} MB)", bytes / 1_000_000))
}

pub(crate) fn bytes_in(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Gives `look` a system whose input is written at the pace until it returns. What `before` does, is over by then.
pub(crate) fn observe(
    broker: &Broker,
    system: System,
    operator: &str,
    pace: Pace,
    before: impl FnOnce(&Task<'_>) -> Result<()>,
    look: impl FnOnce(&Paced<'_>) -> Result<()>,
) -> Result<()> {
    let interval_ms = pace.interval_ms;
    let run = format!("paced-{:08x}", Random::new().number() as u32);
    let (from, to) = (format!("{run}.in"), format!("{run}.out"));
    topics::create(broker, &from, PARTITIONS, &[])?;
    topics::create(broker, &to, PARTITIONS, &[])?;
    let (delivery, api) = ("exactly-once", pace.api);
    let task = Task { system, operator, delivery, interval_ms, from: &from, to: &to, bounded: false, api };
    before(&task)?;
    let reader = consumer(broker, Isolation::Committed)?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        // What came before is nobody's concern here.
        let (_, end) = reader.fetch_watermarks(&to, partition, PATIENCE)?;
        assignment.add_partition_offset(&to, partition, Offset::Offset(end))?;
    }
    reader.assign(&assignment)?;
    let (over, is_written) = (AtomicBool::new(false), AtomicBool::new(false));
    let paced = Paced { broker, task, reader, clock: Instant::now(), over: &over, written: &is_written };
    let clock = paced.clock;
    let (looked, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let written = write(broker, &from, pace.per_ms, clock, &over);
            is_written.store(true, Ordering::Release);
            written
        });
        let looked = look(&paced);
        over.store(true, Ordering::Relaxed);
        (looked, writer.join())
    });
    topics::delete(broker, &from)?;
    topics::delete(broker, &to)?;
    written.ok().context("the writer panicked")??;
    looked
}

/// Writes `per_ms` records a millisecond until it is over. Each value starts with the time since `clock`, in microseconds.
pub(crate) fn write(broker: &Broker, topic: &str, per_ms: u64, clock: Instant, over: &AtomicBool) -> Result<()> {
    let writer = Writer::new(broker)?;
    let (began, mut number) = (Instant::now(), 0_u64);
    while !over.load(Ordering::Relaxed) {
        let due = u64::try_from(began.elapsed().as_millis())? * per_ms;
        while number < due {
            let key = format!("key-{:012}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 10_000);
            let value = format!("{:020}{:80}", clock.elapsed().as_micros(), "");
            writer.write(topic, key.as_bytes(), value.as_bytes())?;
            number += 1;
        }
        writer.poll();
        std::thread::sleep(Duration::from_millis(1));
    }
    writer.flush()
}

impl Paced<'_> {
    /// Reads for `time`; `see` gets each record's latency in milliseconds.
    pub(crate) fn collect(&self, time: Duration, mut see: impl FnMut(f64)) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            match self.reader.poll(Duration::from_millis(20)) {
                Some(Ok(message)) => {
                    let now = self.clock.elapsed().as_micros() as f64;
                    let value = message.payload().unwrap_or_default();
                    // The counts of `count` carry no time; whoever asks for latencies runs `uppercase`.
                    if let Some(sent) = value.get(..20).and_then(|digits| std::str::from_utf8(digits).ok()) {
                        see((now - sent.parse::<f64>()?) / 1000.0);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => return Err(error).context("failed to read the output"),
            }
        }
        Ok(())
    }

    /// Nothing more is written; what was is in the topic.
    pub(crate) fn stop_writing(&self) {
        self.over.store(true, Ordering::Relaxed);
        while !self.written.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Reads until it `is_over`; gives the longest time in which nothing new came.
    pub(crate) fn longest_gap(&self, mut is_over: impl FnMut() -> bool) -> Result<Duration> {
        let (mut longest, mut last) = (Duration::ZERO, self.clock.elapsed());
        while !is_over() {
            match self.reader.poll(Duration::from_millis(5)) {
                Some(Ok(_)) => {
                    let now = self.clock.elapsed();
                    longest = longest.max(now - last);
                    last = now;
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => return Err(error).context("failed to read the output"),
            }
        }
        Ok(longest.max(self.clock.elapsed() - last))
    }

    /// When the first record came that is read later than `moment`.
    pub(crate) fn first_after(&self, moment: Duration) -> Result<Duration> {
        loop {
            let message = self.reader.poll(Duration::from_millis(20));
            let now = self.clock.elapsed();
            ensure!(now < moment + PATIENCE + PATIENCE, "no output for {PATIENCE:?}");
            match message {
                Some(Ok(_)) if now > moment => return Ok(now),
                Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => return Err(error).context("failed to read the output"),
            }
        }
    }
}
