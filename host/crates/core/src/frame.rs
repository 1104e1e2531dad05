//! HOT PATH. The packed layout of records; the same in guests, exchange and host, so that nothing is transcoded.
//!
//! `wit/FRAME.md` is the specification; the golden vectors beside it are tested here and in every SDK. Little endian:
//! ```text
//! version:u8 = 1, flags:u8 = 0, reserved:u16 = 0, count:u32, then per record:
//! timestamp_ms:i64, source:u32, key_len:u32, value_len:u32, headers_len:u32, key, value, headers
//! headers: count:u32, {name_len:u32, name, value_len:u32, value}*
//! ```
//! On input `source` is the record's own index; on output it is the index of the input record it came from.

/// Layout version written and accepted.
pub const VERSION: u8 = 1;
/// A length that means null (or, in values: absent).
pub const NULL: u32 = u32::MAX;
/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = i64::MIN;
/// The source of a record that comes from no input record (a timer).
pub const NO_SOURCE: u32 = u32::MAX;
/// Bytes before the first record.
pub const HEADER_BYTES: usize = 8;
/// Bytes of a record before its key.
pub const RECORD_BYTES: usize = 24;

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer bytes than the layout needs.
    #[error("frame ends inside record {record}, at byte {at} of {len}")]
    Truncated {
        /// Index of the record that is cut.
        record: u32,
        /// Where more bytes were needed.
        at: usize,
        /// Length of the frame.
        len: usize,
    },
    /// Bytes left after the last record.
    #[error("frame has {0} bytes after its last record")]
    Trailing(usize),
    /// Another version, or flags this version does not know.
    #[error("frame has version {version}, flags {flags}, reserved {reserved}; only 1, 0, 0 is known")]
    Unknown {
        /// First byte.
        version: u8,
        /// Second byte.
        flags: u8,
        /// Third and fourth byte.
        reserved: u16,
    },
    /// Headers that do not fill exactly the bytes they claim, or an empty list not written as length 0.
    #[error("record {0} has malformed headers")]
    Headers(u32),
}

/// Bytes known to be a well-formed frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Vec<u8>,
    count: u32,
}

/// One record, borrowed from its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Milliseconds since 1970, or [`NO_TIMESTAMP`].
    pub timestamp_ms: i64,
    /// See the module's head.
    pub source: u32,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers as they stand in the frame; empty when there are none.
    pub headers: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Key, value and headers, in bytes.
    pub fn bytes(&self) -> usize {
        self.key.unwrap_or_default().len() + self.value.unwrap_or_default().len() + self.headers.len()
    }

    /// The headers, in order; names may repeat.
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.headers.get(4..).unwrap_or_default() }
    }

    /// The last header named `name` (Kafka's own rule for a repeated name); the value may be null.
    pub fn header(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.headers().filter(|(n, _)| *n == name).last().map(|(_, v)| v)
    }
}

/// Iterator over (name, value).
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut cursor = Cursor { bytes: self.rest, at: 0 };
        let name = cursor.sized()?.unwrap_or_default();
        let value = cursor.sized()?;
        self.rest = self.rest.get(cursor.at..).unwrap_or_default();
        Some((name, value))
    }
}

#[derive(Debug, Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let out = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(out)
    }

    #[inline]
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    fn take(&mut self, len: u32) -> Option<Option<&'a [u8]>> {
        if len == NULL {
            return Some(None);
        }
        let end = self.at.checked_add(len as usize)?;
        let out = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(Some(out))
    }

    #[inline]
    fn sized(&mut self) -> Option<Option<&'a [u8]>> {
        let len = self.u32()?;
        self.take(len)
    }

    #[expect(clippy::indexing_slicing, reason = "constants within a fixed array")]
    #[inline]
    fn record(&mut self) -> Option<RecordView<'a>> {
        let fixed: [u8; RECORD_BYTES] = self.array()?;
        let word = |i: usize| u32::from_le_bytes([fixed[i], fixed[i + 1], fixed[i + 2], fixed[i + 3]]);
        let timestamp_ms = i64::from(word(4) as i32) << 32 | i64::from(word(0));
        let (source, key_len, value_len, headers_len) = (word(8), word(12), word(16), word(20));
        let key = self.take(key_len)?;
        let value = self.take(value_len)?;
        let headers = self.take(headers_len)??;
        Some(RecordView { timestamp_ms, source, key, value, headers })
    }
}

fn headers_are_well_formed(headers: &[u8]) -> bool {
    if headers.is_empty() {
        return true;
    }
    let mut cursor = Cursor { bytes: headers, at: 0 };
    let Some(count) = cursor.u32() else { return false };
    // A name may not be null; the list must fill its bytes exactly; length 0 is the only form of no headers.
    let walked = (0..count).try_for_each(|_| {
        cursor.sized()??;
        cursor.sized().map(drop)
    });
    count > 0 && walked.is_some() && cursor.at == headers.len()
}

impl Frame {
    /// Checks `bytes` from end to end; everything a guest hands over passes here before anything is used.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FrameError> {
        let len = bytes.len();
        let truncated = |record, at| FrameError::Truncated { record, at, len };
        let head: [u8; HEADER_BYTES] =
            bytes.get(..HEADER_BYTES).and_then(|b| b.try_into().ok()).ok_or_else(|| truncated(0, len))?;
        let [version, flags, r0, r1, c0, c1, c2, c3] = head;
        let reserved = u16::from_le_bytes([r0, r1]);
        if version != VERSION || flags != 0 || reserved != 0 {
            return Err(FrameError::Unknown { version, flags, reserved });
        }
        let count = u32::from_le_bytes([c0, c1, c2, c3]);
        let mut cursor = Cursor { bytes: &bytes, at: HEADER_BYTES };
        for index in 0..count {
            let at = cursor.at;
            let record = cursor.record().ok_or_else(|| truncated(index, at))?;
            if !headers_are_well_formed(record.headers) {
                return Err(FrameError::Headers(index));
            }
        }
        match len - cursor.at {
            0 => Ok(Self { bytes, count }),
            rest => Err(FrameError::Trailing(rest)),
        }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True when there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes, as a guest gets them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records, in order.
    pub fn records(&self) -> Records<'_> {
        Records { cursor: Cursor { bytes: &self.bytes, at: HEADER_BYTES }, left: self.count }
    }

    /// Gives back the buffer, to be filled again.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Gives each record one of `timestamps`, in order.
    pub fn stamp(&mut self, timestamps: impl IntoIterator<Item = i64>) {
        let mut at = HEADER_BYTES;
        for timestamp_ms in timestamps.into_iter().take(self.len()) {
            let mut cursor = Cursor { bytes: &self.bytes, at };
            if cursor.record().is_none() {
                break;
            }
            let next = cursor.at;
            if let Some(field) = self.bytes.get_mut(at..at + 8) {
                field.copy_from_slice(&timestamp_ms.to_le_bytes());
            }
            at = next;
        }
    }

    /// Makes every record's `source` its own index, as an input frame has it, and shows `each` the record as it was.
    pub fn number_sources(&mut self, mut each: impl FnMut(&RecordView<'_>)) {
        let mut at = HEADER_BYTES;
        for index in 0..self.count {
            let mut cursor = Cursor { bytes: &self.bytes, at };
            let Some(record) = cursor.record() else { break };
            let next = cursor.at;
            each(&record);
            if let Some(field) = self.bytes.get_mut(at + 8..at + 12) {
                field.copy_from_slice(&index.to_le_bytes());
            }
            at = next;
        }
    }
}

/// Iterator over the records of a frame. A clone goes on from the same record.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl Records<'_> {
    /// Copies the next `count` records into a frame of their own, in `buffer`, which is cleared and keeps its capacity.
    pub fn take_frame(&mut self, count: usize, buffer: Vec<u8>) -> Frame {
        let mut writer = FrameWriter::new(buffer);
        for mut record in self.by_ref().take(count) {
            record.source = writer.len() as u32;
            writer.push(record);
        }
        writer.finish()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordView<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordView<'a>> {
        self.left = self.left.checked_sub(1)?;
        self.cursor.record()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

/// Builds a frame record by record in one buffer.
#[derive(Debug)]
pub struct FrameWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl FrameWriter {
    /// An empty frame in `buffer`, which is cleared and keeps its capacity.
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0]);
        Self { bytes: buffer, count: 0 }
    }

    /// How many records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// True while there is no record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record; `headers` as [`RecordView::headers`] has it.
    #[inline]
    pub fn push(&mut self, record: RecordView<'_>) {
        let mut fixed = [0u8; RECORD_BYTES];
        fixed[0..8].copy_from_slice(&record.timestamp_ms.to_le_bytes());
        fixed[8..12].copy_from_slice(&record.source.to_le_bytes());
        fixed[12..16].copy_from_slice(&length(record.key).to_le_bytes());
        fixed[16..20].copy_from_slice(&length(record.value).to_le_bytes());
        fixed[20..24].copy_from_slice(&(record.headers.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&fixed);
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        self.bytes.extend_from_slice(record.headers);
        self.count += 1;
    }

    /// The frame.
    pub fn finish(mut self) -> Frame {
        if let Some(count) = self.bytes.get_mut(4..HEADER_BYTES) {
            count.copy_from_slice(&self.count.to_le_bytes());
        }
        Frame { bytes: self.bytes, count: self.count }
    }
}

fn length(bytes: Option<&[u8]>) -> u32 {
    bytes.map_or(NULL, |b| b.len() as u32)
}

/// Writes headers in the frame's form into `out` (cleared first); no headers leave it empty.
pub fn encode_headers<'a>(headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>, out: &mut Vec<u8>) {
    out.clear();
    let mut count = 0u32;
    for (name, value) in headers {
        if count == 0 {
            out.extend_from_slice(&[0; 4]);
        }
        count += 1;
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(&length(value).to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    }
    if let Some(head) = out.get_mut(..4) {
        head.copy_from_slice(&count.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
