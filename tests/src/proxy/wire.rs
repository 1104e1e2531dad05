//! What the proxy reads of Kafka's protocol: where a frame ends, the head of a request, the transactional id that some
//! requests begin with, and the error in the answers that tests ask about.

use anyhow::{Context as _, Result, ensure};

/// The kind of a request, by Kafka's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Api(pub i16);

impl Api {
    /// Records to write.
    pub const PRODUCE: Self = Self(0);
    /// Records to read.
    pub const FETCH: Self = Self(1);
    /// First and last offsets.
    pub const LIST_OFFSETS: Self = Self(2);
    /// Topics, partitions, leaders.
    pub const METADATA: Self = Self(3);
    /// What a group has committed.
    pub const OFFSET_FETCH: Self = Self(9);
    /// Who coordinates a group or a transactional id.
    pub const FIND_COORDINATOR: Self = Self(10);
    /// The first request of a connection.
    pub const API_VERSIONS: Self = Self(18);
    /// Fences a transactional id.
    pub const INIT_PRODUCER_ID: Self = Self(22);
    /// Takes partitions into the transaction.
    pub const ADD_PARTITIONS: Self = Self(24);
    /// Takes the group's offsets into the transaction.
    pub const ADD_OFFSETS: Self = Self(25);
    /// Commits or aborts.
    pub const END_TXN: Self = Self(26);
    /// The offsets of the transaction.
    pub const TXN_OFFSET_COMMIT: Self = Self(28);

    /// From which version on the body of this request is in the flexible format, where the body begins with the
    /// transactional id; `None` where it begins with something else.
    fn flexible_from(self, version: i16) -> Option<i16> {
        match self {
            Self::PRODUCE if version >= 3 => Some(9),
            Self::INIT_PRODUCER_ID => Some(2),
            // Later versions are between brokers.
            Self::ADD_PARTITIONS if version <= 3 => Some(3),
            Self::ADD_OFFSETS | Self::END_TXN | Self::TXN_OFFSET_COMMIT => Some(3),
            _ => None,
        }
    }
}

/// The largest frame a broker takes, unless told otherwise. What is longer is no Kafka.
const FRAME_MAX: usize = 100 << 20;

/// Cuts a stream of bytes into frames, however they arrive.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, with its length in front; `None` until there is one.
    pub(super) fn cut(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let len = usize::try_from(i32::from_be_bytes(*head)).ok().filter(|len| *len <= FRAME_MAX);
        let end = 4 + len.context("no Kafka: a frame of impossible length")?;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let rest = self.buffer.split_off(end);
        Ok(Some(std::mem::replace(&mut self.buffer, rest)))
    }
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) api: Api,
    pub(super) version: i16,
    pub(super) correlation: i32,
    pub(super) transactional_id: Option<String>,
}

impl Request {
    /// Of a frame with its length in front.
    pub(super) fn parse(frame: &[u8]) -> Result<Self> {
        let mut reader = Reader(frame);
        reader.i32()?;
        let (api, version, correlation) = (Api(reader.i16()?), reader.i16()?, reader.i32()?);
        let _client_id = reader.string()?;
        let transactional_id = match api.flexible_from(version) {
            None => None,
            Some(flexible) if version >= flexible => {
                reader.tags()?;
                reader.compact_string()?
            }
            Some(_) => reader.string()?,
        };
        Ok(Self { api, version, correlation, transactional_id })
    }
}

/// To which request a frame from the broker is the answer.
pub(super) fn correlation(frame: &[u8]) -> Result<i32> {
    let mut reader = Reader(frame);
    reader.i32()?;
    reader.i32()
}

/// A broker's answer to a request that was delivered late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(super) request: (Api, i16),
    pub(super) frame: Vec<u8>,
}

impl Answer {
    /// The broker's error code, 0 for none: of EndTxn, or of the first partition of TxnOffsetCommit.
    pub fn error(&self) -> Result<i16> {
        let mut reader = Reader(&self.frame);
        // Length, correlation, and (before or after the tags) the throttle time.
        reader.i32()?;
        reader.i32()?;
        let (api, version) = self.request;
        let is_flexible = version >= 3;
        if is_flexible {
            reader.tags()?;
        }
        reader.i32()?;
        ensure!([Api::END_TXN, Api::TXN_OFFSET_COMMIT].contains(&api), "the answers of {api:?} are not read");
        if api == Api::TXN_OFFSET_COMMIT {
            reader.first_partition(is_flexible)?;
        }
        reader.i16()
    }
}

/// Reads from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).context("no Kafka: a frame ends in the middle of a field")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn varint(&mut self) -> Result<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        anyhow::bail!("no Kafka: a number without end")
    }

    /// Skips tagged fields.
    fn tags(&mut self) -> Result<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let len = self.varint()?;
            self.take(len)?;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Option<String>> {
        let len = self.i16()?;
        usize::try_from(len).ok().map(|len| self.text(len)).transpose()
    }

    fn compact_string(&mut self) -> Result<Option<String>> {
        self.varint()?.checked_sub(1).map(|len| self.text(len)).transpose()
    }

    fn text(&mut self, len: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// Skips to the error code of the first partition of the first topic.
    fn first_partition(&mut self, is_flexible: bool) -> Result<()> {
        if is_flexible {
            self.varint()?;
            self.compact_string()?;
            self.varint()?;
        } else {
            self.i32()?;
            self.string()?;
            self.i32()?;
        }
        self.i32().map(drop)
    }
}
