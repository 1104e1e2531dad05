//! Sources that do what a test says, record by record: what is read, how the reading stands, and when it ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use weir_core::ports::*;
use weir_core::*;

use crate::world::World;

/// What one source gives. Whoever holds it writes the script while the job runs.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<Written>>);

struct Written {
    topic: String,
    /// Every record there ever was: split and timestamp.
    records: Vec<(u32, i64)>,
    /// How the reading of each split stands once all is read.
    readings: Vec<Reading>,
    /// How often the engine has seen that of each.
    noted: Vec<u32>,
    /// Which splits the engine holds back.
    held: Vec<bool>,
    has_ended: bool,
    /// Where what was read is verified.
    world: Option<Arc<World>>,
}

impl Script {
    pub(crate) fn new(topic: &str, splits: usize) -> Self {
        let (records, held, has_ended, world) = Default::default();
        let (topic, readings, noted) = (topic.to_owned(), vec![Reading::Flowing; splits], vec![0; splits]);
        let written = Written { topic, records, readings, noted, held, has_ended, world };
        Self(Arc::new(Mutex::new(written)))
    }

    /// Its positions are committed in `world`.
    pub(crate) fn belongs_to(&self, world: &Arc<World>) {
        self.lock().world = Some(Arc::clone(world));
    }

    fn verify(&self, splits: &[SplitState]) {
        let world = self.lock().world.clone();
        world.unwrap().verify(splits);
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap()
    }

    /// There is a record of `split` at `timestamp_ms`.
    pub(crate) fn record(&self, split: u32, timestamp_ms: i64) {
        self.lock().records.push((split, timestamp_ms));
    }

    /// From now on the reading of `split` stands so.
    pub(crate) fn read(&self, split: usize, reading: Reading) {
        let mut written = self.lock();
        (written.readings[split], written.noted[split]) = (reading, 0);
    }

    /// Whether the engine has seen how the reading of `split` stands since that was said last.
    pub(crate) fn is_noted(&self, split: usize) -> bool {
        // What follows from the first look has happened when the second begins.
        self.lock().noted[split] > 1
    }

    /// Whether the engine holds `split` back.
    pub(crate) fn is_held(&self, split: usize) -> bool {
        self.lock().held.get(split) == Some(&true)
    }

    /// Nothing more will come in this run.
    pub(crate) fn end(&self) {
        self.lock().has_ended = true;
    }

    /// The same to be read again by a later run.
    pub(crate) fn resume(&self) {
        self.lock().has_ended = false;
    }
}

impl SourceConnector for Script {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        self.resolve()
    }
    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        let written = self.lock();
        let split = |partition: usize| SplitState {
            split: SplitId::new(written.topic.as_str(), partition as i32),
            position: 0,
            end: None,
            identity: None,
            term: None,
        };
        Ok((0..written.readings.len()).map(split).collect())
    }
    fn resume(&self, splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        Ok(splits)
    }
    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        (*split.stream == self.lock().topic).then(|| split.clone())
    }
    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        self.verify(&splits);
        Ok(Box::new(Reader { script: self.clone(), splits, waiting: VecDeque::new(), seen: 0 }))
    }
    fn is_replayable(&self) -> bool {
        true
    }
    fn is_bounded(&self) -> bool {
        true
    }
}

struct Reader {
    script: Script,
    splits: Vec<SplitState>,
    /// Split, offset and timestamp of what is not given out yet.
    waiting: VecDeque<(u32, i64, i64)>,
    seen: usize,
}

impl Reader {
    /// Offsets count the records of a split; those before the position were read by an earlier attempt.
    fn fetch(&mut self) {
        let written = self.script.lock();
        for at in self.seen..written.records.len() {
            let (split, timestamp_ms) = written.records[at];
            let offset = written.records[..at].iter().filter(|(other, _)| *other == split).count() as i64;
            if offset >= self.splits[split as usize].position {
                self.waiting.push_back((split, offset, timestamp_ms));
            }
        }
        self.seen = written.records.len();
    }
}

impl SourceReader for Reader {
    fn poll(&mut self, wait: Duration) -> Result<Poll, PortError> {
        self.fetch();
        let held = self.script.lock().held.clone();
        let free = |(split, ..): &(u32, i64, i64)| held.get(*split as usize) != Some(&true);
        if let Some(at) = self.waiting.iter().position(free) {
            let (split, offset, timestamp_ms) = self.waiting.remove(at).unwrap();
            self.splits[split as usize].position = offset + 1;
            let mut writer = FrameWriter::new(Vec::new());
            let (key, value) = (Some(&b"k"[..]), Some(&b"1"[..]));
            writer.push(RecordView { timestamp_ms, source: 0, key, value, headers: &[] });
            return Ok(Poll::Batch(Batch { frame: writer.finish(), origins: vec![Origin::new(split, offset)] }));
        }
        if self.waiting.is_empty() && self.script.lock().has_ended {
            return Ok(Poll::Finished);
        }
        std::thread::sleep(wait);
        Ok(Poll::Pending)
    }
    fn snapshot(&mut self) -> Vec<SplitState> {
        self.splits.clone()
    }
    fn verify(&mut self, done: Verified) {
        self.script.verify(&self.splits);
        done(Ok(()));
    }
    fn progress(&self) -> Vec<SplitProgress> {
        Vec::new()
    }
    /// What waits to be given out is not read to its end, whatever the script says.
    fn readings(&mut self) -> Vec<Reading> {
        self.fetch();
        let mut written = self.script.lock();
        let readings = written.readings.clone();
        let waits = |split: usize| self.waiting.iter().any(|(other, ..)| *other as usize == split);
        let told = |(split, reading): (usize, Reading)| {
            if waits(split) {
                return Reading::Flowing;
            }
            written.noted[split] += 1;
            reading
        };
        readings.into_iter().enumerate().map(told).collect()
    }
    fn hold(&mut self, held: &[bool]) {
        self.script.lock().held = held.to_vec();
    }
}
