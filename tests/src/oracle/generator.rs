//! The input: (key, sequence) records, from a seed, at a rate, until told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::broker::Broker;
use crate::random::Random;
use crate::topics::Writer;

/// How often what is due is written.
const TICK: Duration = Duration::from_millis(5);

/// What is written where.
#[derive(Debug, Clone)]
pub struct Load {
    /// The topic, of any number of partitions: the key says which.
    pub topic: String,
    /// Says in which order keys come.
    pub seed: u64,
    /// Where keys and sequence numbers begin: of two loads no record is like another if they are far apart.
    pub first: u64,
    /// How many keys there are; half of the records belong to an eighth of them.
    pub keys: u64,
    /// Records a second.
    pub rate: u64,
}

/// Writes in the background.
#[derive(Debug)]
pub struct Generator {
    over: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Generator {
    /// Starts to write.
    pub fn start(broker: &Broker, load: Load) -> Result<Self> {
        let writer = Writer::new(broker)?;
        let (over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, count) = (Arc::clone(&over), Arc::clone(&written));
        let thread = std::thread::Builder::new().name("oracle-generator".into());
        let thread = thread.spawn(move || write(&writer, &load, &ends, &count))?;
        Ok(Self { over, written, thread: Some(thread) })
    }

    /// How many records were handed to the client so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Stops, waits until the broker has everything, and says how many records that were.
    pub fn stop(mut self) -> Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the generator was stopped already")?;
        thread.join().ok().context("the generator panicked")??;
        Ok(self.written())
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn write(writer: &Writer, load: &Load, over: &AtomicBool, written: &AtomicU64) -> Result<()> {
    let mut random = Random::seeded(load.seed);
    let (began, mut sequence) = (Instant::now(), 0_u64);
    while !over.load(Ordering::Relaxed) {
        let due = u64::try_from(began.elapsed().as_millis())? * load.rate / 1000;
        while sequence < due {
            let hot = random.below(2) == 0;
            let key = load.first + random.below(if hot { load.keys.div_ceil(8) } else { load.keys });
            sequence += 1;
            let value = (load.first + sequence).to_string();
            writer.write(&load.topic, format!("key-{key:06}").as_bytes(), value.as_bytes())?;
            written.store(sequence, Ordering::Relaxed);
        }
        writer.poll();
        std::thread::sleep(TICK);
    }
    writer.flush()
}
