//! HOT PATH. Made-up records: the record at an offset is always the same, so the source can be read again from any
//! position, on any machine. Rate is the only thing that looks at the clock.

/// Clicks of a shop.
mod clicks;
/// Its row of the registry.
pub(crate) mod connector;
/// Events of the benchmark Nexmark.
mod nexmark;

use std::io::Write as _;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use weir_core::frame::NO_TIMESTAMP;
use weir_core::ports::{Poll, SourceConnector, SourceReader, SplitProgress};
use weir_core::{FrameWriter, PortError, Reading, RecordView, SplitId, SplitState};

use self::clicks::Clicks;
use self::nexmark::Events;
use crate::lines::{BATCH_BYTES, BATCH_RECORDS, batch, only_split};

/// How long a rated generator may gather a batch.
const GATHER: Duration = Duration::from_millis(2);

/// What is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generator {
    /// Key `offset % keys`, value the offset, both in decimal; the value is filled with leading zeros up to `bytes`.
    Sequence,
    /// A JSON object of a dozen fields, among them `user_id` (also the key) and `price` (0.00 to 99.99, evenly); the
    /// field `agent` is filled up to `bytes`, 300 unless given.
    Clicks,
    /// Persons, auctions and bids of the benchmark Nexmark, 1 : 3 : 46, as JSON objects: the field `type` is `person`,
    /// `auction` or `bid`. The key is the number of the person or of the auction; the time is that of the event, 10,000 a
    /// second from a fixed moment on.
    Nexmark,
}

impl Generator {
    /// Every generator, with its name.
    pub const ALL: [(&'static str, Self); 3] =
        [("clicks", Self::Clicks), ("nexmark", Self::Nexmark), ("sequence", Self::Sequence)];

    /// Its name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Clicks => "clicks",
            Self::Nexmark => "nexmark",
        }
    }

    /// Whether its records are given: their times, their keys and their sizes.
    pub(crate) fn is_given(self) -> bool {
        self == Self::Nexmark
    }
}

/// What a user chooses about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerateOptions {
    /// What is made up.
    pub generator: Generator,
    /// Records per second; unlimited if `None`.
    pub rate: Option<NonZeroU64>,
    /// How many distinct keys.
    pub keys: NonZeroU64,
    /// How many records in all; endless if `None`.
    pub count: Option<u64>,
    /// Least size of a value.
    pub bytes: Option<u32>,
}

/// Opens a generator at any offset.
pub struct GeneratorSource {
    options: GenerateOptions,
    split: SplitId,
}

impl GeneratorSource {
    /// A source of what `options` say.
    pub fn new(options: GenerateOptions) -> Self {
        Self { options, split: SplitId::new(options.generator.name(), 0) }
    }

    fn start(&self) -> SplitState {
        let end = self.options.count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        SplitState { split: self.split.clone(), position: 0, end, identity: None, term: None }
    }
}

impl SourceConnector for GeneratorSource {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        Ok(vec![SplitState { end: None, ..self.start() }])
    }

    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        Ok(vec![self.start()])
    }

    fn resume(&self, mut splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        if !SplitState::is_bound_pending(&splits) {
            let end = self.resolve()?.first().and_then(|s| s.end);
            splits.iter_mut().for_each(|s| s.end = end);
        }
        Ok(splits)
    }

    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        (*split == self.split).then(|| split.clone())
    }

    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        let split = only_split(&self.split, splits)?;
        let pace = self.options.rate.map(|rate| Pace { rate, since: weir_machine::now(), given: 0 });
        let records = self.options.records();
        Ok(Box::new(GeneratorReader { records, split, pace, key: Vec::new(), value: Vec::new() }))
    }

    fn is_replayable(&self) -> bool {
        true
    }

    fn is_bounded(&self) -> bool {
        self.options.count.is_some()
    }
}

/// How many records are due by now.
struct Pace {
    rate: NonZeroU64,
    since: Instant,
    given: u64,
}

impl Pace {
    fn due(&self, elapsed: Duration) -> u64 {
        let due = elapsed.as_nanos() * u128::from(self.rate.get()) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.given)
    }

    /// Time from `elapsed` until the next record is due.
    fn until_next(&self, elapsed: Duration) -> Duration {
        let nanos = (u128::from(self.given) + 1) * 1_000_000_000 / u128::from(self.rate.get()) + 1;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).saturating_sub(elapsed)
    }
}

struct GeneratorReader {
    records: Records,
    split: SplitState,
    pace: Option<Pace>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl GeneratorReader {
    /// How many records may be given now; waits a little where there are none.
    fn allowance(&mut self, wait: Duration) -> u64 {
        let Some(pace) = &mut self.pace else { return u64::MAX };
        let elapsed = weir_machine::since(pace.since);
        if pace.due(elapsed) == 0 {
            // Gathers for a moment, so that a fast generator does not make batches of one.
            weir_machine::sleep(pace.until_next(elapsed).max(GATHER).min(wait));
        }
        pace.due(weir_machine::since(pace.since))
    }

    fn fill(&mut self, count: u64) -> FrameWriter {
        let mut writer = FrameWriter::new(Vec::new());
        for index in 0..count {
            let offset = self.split.position as u64 + index;
            let timestamp_ms = self.records.make(offset, &mut self.key, &mut self.value);
            if !writer.is_empty() && writer.bytes() + self.value.len() > BATCH_BYTES {
                break;
            }
            writer.push(RecordView {
                timestamp_ms,
                source: index as u32,
                key: Some(&self.key),
                value: Some(&self.value),
                headers: &[],
            });
        }
        writer
    }
}

impl SourceReader for GeneratorReader {
    fn poll(&mut self, wait: Duration) -> Result<Poll, PortError> {
        let left = self.split.end.map_or(u64::MAX, |end| end.saturating_sub(self.split.position).max(0) as u64);
        if left == 0 {
            return Ok(Poll::Finished);
        }
        let count = self.allowance(wait).min(left).min(BATCH_RECORDS as u64);
        if count == 0 {
            return Ok(Poll::Pending);
        }
        let frame = self.fill(count).finish();
        let (first, given) = (self.split.position, frame.len());
        self.split.position += given as i64;
        if let Some(pace) = &mut self.pace {
            pace.given += given as u64;
        }
        Ok(Poll::Batch(batch(frame, |index| first + index as i64)))
    }

    fn snapshot(&mut self) -> Vec<SplitState> {
        vec![self.split.clone()]
    }

    fn progress(&self) -> Vec<SplitProgress> {
        vec![SplitProgress { end: self.split.end }]
    }

    fn readings(&mut self) -> Vec<Reading> {
        vec![if self.split.is_finished() { Reading::Ended } else { Reading::Flowing }]
    }
}

impl GenerateOptions {
    fn records(&self) -> Records {
        let (keys, bytes) = (self.keys, self.bytes.map(|bytes| bytes as usize));
        match self.generator {
            Generator::Sequence => Records::Sequence { keys, bytes: bytes.unwrap_or(0) },
            Generator::Clicks => Records::Clicks(Clicks { keys, bytes }),
            Generator::Nexmark => Records::Nexmark(Box::default()),
        }
    }
}

/// Makes the record at any offset.
enum Records {
    Sequence { keys: NonZeroU64, bytes: usize },
    Clicks(Clicks),
    Nexmark(Box<Events>),
}

impl Records {
    /// Writes key and value of the record at `offset`; returns its time.
    fn make(&mut self, offset: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) -> i64 {
        key.clear();
        value.clear();
        let wrote = match self {
            Self::Sequence { keys, bytes } => sequence(offset, *keys, *bytes, key, value).map(|()| NO_TIMESTAMP),
            Self::Clicks(clicks) => clicks.click(offset, key, value).map(|()| NO_TIMESTAMP),
            Self::Nexmark(events) => events.event(offset, key, value),
        };
        wrote.expect("a vector takes everything")
    }
}

fn sequence(
    offset: u64,
    keys: NonZeroU64,
    bytes: usize,
    key: &mut Vec<u8>,
    value: &mut Vec<u8>,
) -> std::io::Result<()> {
    write!(key, "{}", offset % keys)?;
    write!(value, "{offset}")?;
    // Not by a width of `write!`: that ends at 65,535 in a panic.
    let digits = value.len();
    if digits < bytes {
        value.resize(bytes, b'0');
        value.rotate_right(bytes - digits);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
