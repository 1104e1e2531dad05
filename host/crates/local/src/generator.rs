//! HOT PATH. Made-up records: the record at an offset is always the same, so the source can be read again from any
//! position, on any machine. Rate is the only thing that looks at the clock.

/// Its row of the registry.
pub(crate) mod connector;

use std::io::Write as _;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use weir_core::frame::NO_TIMESTAMP;
use weir_core::ports::{Poll, SourceConnector, SourceReader, SplitProgress};
use weir_core::{FrameWriter, PortError, Reading, RecordView, SplitId, SplitState};

use crate::lines::{BATCH_BYTES, BATCH_RECORDS, batch, only_split};

/// The least a click takes unless another size is asked for.
const CLICK_BYTES: usize = 300;
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
}

impl Generator {
    /// Every generator, with its name.
    pub const ALL: [(&'static str, Self); 2] = [("clicks", Self::Clicks), ("sequence", Self::Sequence)];

    /// Its name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Clicks => "clicks",
        }
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
        Ok(Box::new(GeneratorReader { options: self.options, split, pace, key: Vec::new(), value: Vec::new() }))
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
    options: GenerateOptions,
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
            self.options.record(offset, &mut self.key, &mut self.value);
            if !writer.is_empty() && writer.bytes() + self.value.len() > BATCH_BYTES {
                break;
            }
            writer.push(RecordView {
                timestamp_ms: NO_TIMESTAMP,
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
    /// The record at `offset`.
    fn record(&self, offset: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) {
        key.clear();
        value.clear();
        let wrote = match self.generator {
            Generator::Sequence => self.sequence(offset, key, value),
            Generator::Clicks => self.click(offset, key, value),
        };
        wrote.expect("a vector takes everything");
    }

    fn sequence(&self, offset: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) -> std::io::Result<()> {
        write!(key, "{}", offset % self.keys)?;
        write!(value, "{offset}")?;
        // Not by a width of `write!`: that ends at 65,535 in a panic.
        let (digits, wanted) = (value.len(), self.bytes.unwrap_or(0) as usize);
        if digits < wanted {
            value.resize(wanted, b'0');
            value.rotate_right(wanted - digits);
        }
        Ok(())
    }

    fn click(&self, offset: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) -> std::io::Result<()> {
        const PAGES: [&str; 4] = ["home", "search", "product", "cart"];
        const COUNTRIES: [&str; 4] = ["DE", "FR", "JP", "US"];
        const DEVICES: [&str; 4] = ["desktop", "mobile", "tablet", "tv"];
        let random = scramble(offset);
        let pick = |words: [&'static str; 4], shift: u32| {
            let [a, b, c, d] = words;
            match (random >> shift) & 3 {
                0 => a,
                1 => b,
                2 => c,
                _ => d,
            }
        };
        let (user, cents) = (random % self.keys, (random >> 32) % 10_000);
        write!(key, "user-{user}")?;
        write!(
            value,
            "{{\"user_id\":\"user-{user}\",\"session\":\"{:016x}\",\"sequence\":{offset},",
            scramble(random)
        )?;
        write!(
            value,
            "\"page\":\"/{}/{}\",\"price\":{}.{:02},",
            pick(PAGES, 20),
            random % 977,
            cents / 100,
            cents % 100
        )?;
        write!(
            value,
            "\"currency\":\"EUR\",\"quantity\":{},\"product\":\"p-{}\",",
            1 + (random >> 24) % 9,
            random % 9973
        )?;
        write!(value, "\"country\":\"{}\",\"device\":\"{}\",", pick(COUNTRIES, 22), pick(DEVICES, 26))?;
        write!(value, "\"referrer\":\"https://example.org/?q={}\",\"agent\":\"", random % 99_991)?;
        let wanted = self.bytes.map_or(CLICK_BYTES, |bytes| bytes as usize);
        value.resize(value.len().max(wanted.saturating_sub(2)), b'x');
        value.extend_from_slice(b"\"}");
        Ok(())
    }
}

/// SplitMix64: neighbouring offsets get numbers that have nothing in common.
fn scramble(offset: u64) -> u64 {
    let mut z = offset.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
