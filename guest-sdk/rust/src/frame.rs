//! HOT PATH. The packed layout of records, as `wit/FRAME.md` specifies it.

use crate::failure::{self, Failure};
use crate::record::Record;

/// A length that means null, or absent; also the slot of a null key.
pub(crate) const NULL: u32 = u32::MAX;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;
const RECORD_BYTES: usize = 24;

/// Reads lengths and bytes from a position onwards; `None` where bytes are missing.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let out = *self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(out)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes of a length that was read before; `Some(None)` for null.
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

    /// A length and its bytes.
    #[inline]
    pub(crate) fn sized(&mut self) -> Option<Option<&'a [u8]>> {
        let len = self.u32()?;
        self.take(len)
    }
}

/// Iterates over the records of a frame. The host is trusted to send well-formed ones, so this only makes sure that
/// nothing is read out of bounds, while it goes.
pub(crate) struct Frame<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Failure> {
        match bytes.first_chunk::<HEADER_BYTES>() {
            Some([VERSION, 0, 0, 0, c0, c1, c2, c3]) => {
                let left = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
                Ok(Self { cursor: Cursor::new(bytes, HEADER_BYTES), left })
            }
            _ => Err(malformed("batch: unknown version or flags")),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.left as usize
    }

    /// The next record; a failure if it is cut short.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Record<'a>>, Failure> {
        Ok(self.next_with_source()?.map(|(_, record)| record))
    }

    /// The same with the record's `source`, which on input says nothing new.
    #[inline]
    pub(crate) fn next_with_source(&mut self) -> Result<Option<(u32, Record<'a>)>, Failure> {
        if self.left == 0 {
            return if self.cursor.is_at_end() {
                Ok(None)
            } else {
                Err(malformed("batch: bytes after its last record"))
            };
        }
        self.left -= 1;
        self.record().map(Some).ok_or_else(|| malformed("batch: it ends inside a record"))
    }

    #[inline]
    fn record(&mut self) -> Option<(u32, Record<'a>)> {
        let fixed: [u8; RECORD_BYTES] = self.cursor.array()?;
        let [t0, t1, t2, t3, t4, t5, t6, t7, s0, s1, s2, s3, k0, k1, k2, k3, v0, v1, v2, v3, h0, h1, h2, h3] = fixed;
        let timestamp = i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        let key = self.cursor.take(u32::from_le_bytes([k0, k1, k2, k3]))?;
        let value = self.cursor.take(u32::from_le_bytes([v0, v1, v2, v3]))?;
        let headers = self.cursor.take(u32::from_le_bytes([h0, h1, h2, h3]))??;
        Some((u32::from_le_bytes([s0, s1, s2, s3]), Record { timestamp, key, value, headers }))
    }
}

/// What the host handed over is not what the contract says.
pub(crate) fn malformed(what: &str) -> Failure {
    Failure::new(format!("host handed over a malformed {what}")).with_code(failure::HOST)
}

/// A length as it is written.
#[inline]
pub(crate) fn length(bytes: Option<&[u8]>) -> u32 {
    bytes.map_or(NULL, |b| b.len() as u32)
}

/// Builds a frame record by record; the buffer is kept from batch to batch.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
    count: u32,
    /// The input record that wrote last, and bytes and count before it did.
    begun: (u32, usize, u32),
}

impl Default for FrameWriter {
    fn default() -> Self {
        Self { bytes: Vec::new(), count: 0, begun: (NULL, 0, 0) }
    }
}

impl FrameWriter {
    /// The input record `source` is about to write.
    #[inline]
    pub(crate) fn begin(&mut self, source: u32) {
        if !self.has_begun(source) {
            self.begun = (source, self.len(), self.count);
        }
    }

    /// Whether the input record `source` has written.
    #[inline]
    pub(crate) fn has_begun(&self, source: u32) -> bool {
        self.begun.0 == source
    }

    /// Takes back what the input record `source` has written since the last frame ended.
    pub(crate) fn undo(&mut self, source: u32) {
        let (begun, bytes, count) = self.begun;
        if begun == source {
            self.bytes.truncate(bytes);
            self.count = count;
        }
    }

    /// Appends a record.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>, source: u32) {
        let value = record.value.unwrap_or_default();
        self.start(record, source, length(record.value), value.len());
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(record.headers);
    }

    /// Appends a record whose value `write` appends to the buffer it gets.
    #[inline]
    pub(crate) fn push_with(&mut self, record: &Record<'_>, source: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let len_at = self.start(record, source, 0, record.value.map_or(0, <[u8]>::len));
        let value_at = self.bytes.len();
        write(&mut self.bytes);
        let value_len = (self.bytes.len() - value_at) as u32;
        if let Some(field) = self.bytes.get_mut(len_at..).and_then(|b| b.first_chunk_mut()) {
            *field = value_len.to_le_bytes();
        }
        self.bytes.extend_from_slice(record.headers);
    }

    /// Writes all before the value; returns where the value's length stands.
    #[inline]
    fn start(&mut self, record: &Record<'_>, source: u32, value_len: u32, value_bytes: usize) -> usize {
        if self.count == 0 {
            self.bytes.clear();
            self.bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0]);
        }
        self.count += 1;
        let key = record.key.unwrap_or_default();
        self.bytes.reserve(RECORD_BYTES + key.len() + value_bytes + record.headers.len());
        let at = self.bytes.len();
        let mut fixed = [0u8; RECORD_BYTES];
        fixed[0..8].copy_from_slice(&record.timestamp.to_le_bytes());
        fixed[8..12].copy_from_slice(&source.to_le_bytes());
        fixed[12..16].copy_from_slice(&length(record.key).to_le_bytes());
        fixed[16..20].copy_from_slice(&value_len.to_le_bytes());
        fixed[20..24].copy_from_slice(&(record.headers.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&fixed);
        self.bytes.extend_from_slice(key);
        at + 16
    }

    /// Bytes so far; 0 while there is no record.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        if self.count == 0 { 0 } else { self.bytes.len() }
    }

    /// Ends the frame: the writer is then ready for the next, and the bytes stay until its first record.
    pub(crate) fn finish(&mut self) -> Option<&[u8]> {
        if self.count == 0 {
            return None;
        }
        let count = std::mem::take(&mut self.count);
        if let Some(field) = self.bytes.get_mut(4..).and_then(|b| b.first_chunk_mut()) {
            *field = count.to_le_bytes();
        }
        Some(&self.bytes)
    }

    /// Begins a call: forgets what was written in one that failed, and who wrote last.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.begun = (NULL, 0, 0);
    }
}

#[cfg(test)]
mod tests;
