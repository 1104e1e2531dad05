//! Dead letters, read and sent again, beside any job.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_core::frame::{NO_SOURCE, encode_headers};
use weir_core::ports::{Commit, MarkerRead, Outputs, Poll, RecordCheck, SinkConnector as _, SourceConnector as _};
use weir_core::{
    Batch, Delivery, Epoch, Fault, FrameWriter, JobName, Origin, PortError, RecordView, SplitId, SplitState, Until,
    letter,
};
use weir_kafka::{
    ClientOptions, KafkaSink, KafkaSource, Properties, SinkSideOptions, SourceOptions, TopicOptions, Topics,
};
use weir_pipeline::REPLAY;

use super::SHARD;
use super::cluster::{Brokers, patiently};

const POLL_WAIT: Duration = Duration::from_millis(100);
/// Records that are handed over at once.
const BATCH_RECORDS: usize = 1_000;

/// Where a letter stands: `PARTITION:OFFSET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// A letter of a topic.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// Where it stands.
    pub spot: Spot,
    /// The record, with all headers.
    pub record: RecordView<'a>,
}

/// A topic of dead letters.
pub struct LetterTopic {
    name: String,
    client: ClientOptions,
    source: KafkaSource,
}

impl LetterTopic {
    /// Checks the options; touches no broker.
    pub fn new(brokers: &Brokers, name: &str) -> Result<Self> {
        let client = client(brokers)?;
        let options = SourceOptions {
            until: Some(Until::Latest),
            keeps_own_headers: true,
            ..SourceOptions::new(Topics::Named(vec![name.to_owned()]))
        };
        let source = KafkaSource::new(client.clone(), options).map_err(PortError::from)?;
        Ok(Self { name: name.to_owned(), client, source })
    }

    /// All of it as it is now.
    pub fn all(&self) -> Result<Vec<SplitState>> {
        patiently("look at the topic", || self.source.resolve())
    }

    /// The part of it that is one letter; `None` where nothing stands there.
    pub fn only(&self, spot: Spot) -> Result<Option<Vec<SplitState>>> {
        let mut splits = self.all()?;
        splits.retain(|split| split.split.number == spot.partition);
        let stands_there = |split: &SplitState| (split.position..split.end.unwrap_or(i64::MAX)).contains(&spot.offset);
        if !splits.iter().any(stands_there) {
            return Ok(None);
        }
        for split in &mut splits {
            (split.position, split.end) = (spot.offset, Some(spot.offset + 1));
        }
        Ok(Some(splits))
    }

    /// Shows `each` letter of a part of it, those of a partition in order.
    pub fn read(&self, part: Vec<SplitState>, mut each: impl FnMut(Letter<'_>) -> Result<()>) -> Result<()> {
        if part.iter().all(SplitState::is_finished) {
            return Ok(());
        }
        let partitions: Vec<i32> = part.iter().map(|split| split.split.number).collect();
        let spot = |origin: Origin| Spot {
            partition: partitions.get(origin.split as usize).copied().unwrap_or(-1),
            offset: origin.offset,
        };
        let mut reader = self.source.open(part)?;
        loop {
            match reader.poll(POLL_WAIT)? {
                Poll::Batch(batch) => {
                    let letters = batch.frame.records().zip(&batch.origins);
                    letters.map(|(record, origin)| Letter { spot: spot(*origin), record }).try_for_each(&mut each)?;
                }
                Poll::Unreadable(unreadable) => {
                    tracing::warn!(letter = %spot(unreadable.origin), "left out: it has {}", unreadable.why);
                }
                Poll::Pending => {}
                Poll::Finished => return Ok(()),
            }
        }
    }

    /// Opens `targets` for letters of this topic. Nothing of them can be read before [`Resending::commit`].
    pub fn resend(&self, targets: Vec<String>, within: Duration, part: &[SplitState]) -> Result<Resending> {
        let topic = targets.first().cloned().unwrap_or_default();
        let options = SinkSideOptions {
            sinks: vec![TopicOptions { topic, routes: targets }],
            delivery: Delivery::ExactlyOnce,
            transaction_timeout: within,
        };
        let sink = KafkaSink::new(self.client.clone(), options).map_err(PortError::from)?;
        patiently("prepare a transaction", || sink.fence())?;
        let marks = marks(&sink, part, MarkerRead::Stable)?;
        let identity = identity(part);
        let outputs = sink.open()?;
        let check = outputs.sinks.iter().find_map(|sink| sink.record_check());
        let writer = FrameWriter::new(Vec::new());
        Ok(Resending { _sink: sink, outputs, check, identity, marks, writer, sent: 0 })
    }

    /// What of `part` was not sent again by whoever sent all of it, as far as that shows now. Fences nobody.
    pub fn rest(&self, part: Vec<SplitState>) -> Result<Vec<SplitState>> {
        let transaction_timeout = Duration::from_secs(10);
        let options = SinkSideOptions { sinks: Vec::new(), delivery: Delivery::AtLeastOnce, transaction_timeout };
        let sink = KafkaSink::new(self.client.clone(), options).map_err(PortError::from)?;
        let marks = patiently("read what was sent again", || marks(&sink, &part, MarkerRead::Glance))?;
        Ok(rest(&marks, part))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Letters that are sent again: all of them with one transaction, or none.
pub struct Resending {
    /// What it was opened by; it closes what is left open.
    _sink: KafkaSink,
    outputs: Outputs,
    check: Option<RecordCheck>,
    /// Of the topic of letters.
    identity: String,
    /// How far each partition was sent again by those before that sent all.
    marks: Marks,
    writer: FrameWriter,
    sent: u64,
}

/// How far each partition was sent again by those who sent all.
type Marks = BTreeMap<SplitId, i64>;

/// Beside a position stands which topic it is of: one that was made anew has letters of its own.
fn marks(sink: &KafkaSink, part: &[SplitState], read: MarkerRead) -> Result<Marks, PortError> {
    let splits: Vec<SplitId> = part.iter().map(|split| split.split.clone()).collect();
    let marks = sink.read_marker(&splits, read)?.into_iter();
    let marks = marks.filter(|mark| mark.metadata == identity(part).as_bytes());
    Ok(marks.map(|mark| (mark.split, mark.position)).collect())
}

fn identity(part: &[SplitState]) -> String {
    part.iter().find_map(|split| split.identity.clone()).unwrap_or_default()
}

/// What of `part` comes behind the marks.
fn rest(marks: &Marks, mut part: Vec<SplitState>) -> Vec<SplitState> {
    for split in &mut part {
        let mark = marks.get(&split.split).copied().unwrap_or(0);
        split.position = split.position.max(mark).min(split.end.unwrap_or(i64::MAX));
    }
    part
}

/// Where a letter is sent.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition there; by the key where it is left out.
    pub partition: Option<&'a str>,
}

impl Resending {
    /// What of `part` was not sent again by whoever sent all of it.
    pub fn rest(&self, part: Vec<SplitState>) -> Vec<SplitState> {
        rest(&self.marks, part)
    }

    /// Sends the record that `letter` is of.
    pub fn send(&mut self, letter: Letter<'_>, target: Target<'_>) -> Result<()> {
        let is_own = |name: &[u8]| !name.starts_with(b"weir.");
        let route = [
            (&b"weir.route.topic"[..], Some(target.topic.as_bytes())),
            (b"weir.route.partition", target.partition.map(str::as_bytes)),
        ];
        let route = route.into_iter().filter(|(_, value)| value.is_some());
        let mut headers = Vec::new();
        encode_headers(letter.record.headers().filter(|(name, _)| is_own(name)).chain(route), &mut headers);
        let timestamp_ms = letter.number(letter::TIMESTAMP).unwrap_or(letter.record.timestamp_ms);
        let record = RecordView { timestamp_ms, source: NO_SOURCE, headers: &headers, ..letter.record };
        let now_ms = i64::try_from(weir_machine::wall().duration_since(std::time::UNIX_EPOCH)?.as_millis())?;
        let fits = self.check.iter().try_for_each(|check| check.check(&record, now_ms));
        fits.map_err(|unfit| PortError::new(Fault::User, unfit))
            .with_context(|| format!("letter {} cannot be sent to topic {:?}", letter.spot, target.topic))?;
        self.writer.push(record);
        self.sent += 1;
        if self.writer.len() >= BATCH_RECORDS { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<()> {
        let frame = std::mem::replace(&mut self.writer, FrameWriter::new(Vec::new())).finish();
        let batch = Batch { origins: vec![Origin::NONE; frame.len()], frame };
        Ok(self.outputs.sinks.iter_mut().try_for_each(|sink| sink.write(&batch))?)
    }

    /// How many there are so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// From here on they can be read, all at once. `through`: all of this part was sent, and need not be again.
    pub fn commit(mut self, part: &[SplitState], through: bool) -> Result<()> {
        self.hand_over()?;
        self.outputs.sinks.iter_mut().try_for_each(|sink| sink.flush())?;
        let position = |split: &SplitState| {
            let mark = self.marks.get(&split.split).copied().unwrap_or(0);
            let end = split.end.filter(|_| through).unwrap_or(mark);
            (split.split.clone(), mark.max(end))
        };
        let positions = part.iter().map(position).collect();
        let commit = Commit { epoch: Epoch(1), positions, marker: self.identity.clone() };
        Ok(self.outputs.committer.commit(&commit)?)
    }
}

impl<'a> Letter<'a> {
    /// What a header says; `None` where there is no such header.
    pub fn text(&self, name: &[u8]) -> Option<Cow<'a, str>> {
        self.record.header(name).flatten().map(String::from_utf8_lossy)
    }

    /// The same of a number.
    pub fn number(&self, name: &[u8]) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// Where its record was read: topic, partition and offset.
    pub fn origin(&self) -> Option<String> {
        let part = |name| self.text(name);
        Some(format!("{}[{}] offset {}", part(letter::STREAM)?, part(letter::PARTITION)?, part(letter::OFFSET)?))
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Spot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':');
        let spot = parts.and_then(|(partition, offset)| {
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            Some(Self { partition, offset })
        });
        let is_one = |spot: &Self| spot.partition >= 0 && spot.offset >= 0;
        spot.filter(is_one).ok_or_else(|| format!("{text:?} is not PARTITION:OFFSET, as in 0:17"))
    }
}

fn client(brokers: &Brokers) -> Result<ClientOptions> {
    let properties = Properties::new(&brokers.properties).map_err(PortError::from)?;
    let (brokers, job) = (brokers.addresses.clone(), JobName::new(REPLAY)?);
    let client = ClientOptions { brokers, properties, job, shard: SHARD };
    client.check().map_err(PortError::from)?;
    Ok(client)
}
