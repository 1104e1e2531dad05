//! HOT PATH. Typed records over the bytes of a frame.

use crate::frame::{Cursor, length};

/// The timestamp of a record that has none, in a frame.
pub(crate) const NO_TIMESTAMP: i64 = i64::MIN;

/// One record. Borrowed, cheap to copy; the `with_` methods make changed copies to emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record without timestamp and headers.
    pub fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { timestamp: NO_TIMESTAMP, key, value, headers: &[] }
    }

    /// The key; `None` is null.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` is null, a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// Milliseconds since 1970, where the record has a timestamp.
    pub fn timestamp(&self) -> Option<i64> {
        (self.timestamp != NO_TIMESTAMP).then_some(self.timestamp)
    }

    /// The headers, in order; names may repeat, a value may be null.
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.headers.get(4..).unwrap_or_default() }
    }

    /// The last header of that name, as Kafka has it.
    pub fn header(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.headers().filter(|(n, _)| *n == name.as_bytes()).last().map(|(_, value)| value)
    }

    /// This record with another key.
    pub fn with_key<'b>(&self, key: Option<&'b [u8]>) -> Record<'b>
    where
        'a: 'b,
    {
        Record { key, ..*self }
    }

    /// This record with another value.
    pub fn with_value<'b>(&self, value: &'b [u8]) -> Record<'b>
    where
        'a: 'b,
    {
        Record { value: Some(value), ..*self }
    }

    /// This record with a null value.
    pub fn tombstone(&self) -> Self {
        Self { value: None, ..*self }
    }

    /// This record with another timestamp.
    pub fn with_timestamp(&self, timestamp: Option<i64>) -> Self {
        Self { timestamp: timestamp.unwrap_or(NO_TIMESTAMP), ..*self }
    }

    /// This record with other headers.
    pub fn with_headers<'b>(&self, headers: &'b HeaderList) -> Record<'b>
    where
        'a: 'b,
    {
        Record { headers: &headers.bytes, ..*self }
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
        let mut cursor = Cursor::new(self.rest, 0);
        let name = cursor.sized()?.unwrap_or_default();
        let value = cursor.sized()?;
        self.rest = self.rest.get(cursor.at()..).unwrap_or_default();
        Some((name, value))
    }
}

/// Headers to emit. Keep one in the operator and clear it for each record to save its allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderList {
    bytes: Vec<u8>,
}

impl HeaderList {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        self.push_bytes(name.as_bytes(), value);
    }

    /// Adds one whose name need not be UTF-8.
    pub fn push_bytes(&mut self, name: &[u8], value: Option<&[u8]>) {
        let count = self.bytes.first_chunk().map_or(0, |count| u32::from_le_bytes(*count)) + 1;
        match self.bytes.first_chunk_mut() {
            Some(head) => *head = count.to_le_bytes(),
            None => self.bytes.extend_from_slice(&count.to_le_bytes()),
        }
        self.bytes.extend_from_slice(&length(Some(name)).to_le_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(&length(value).to_le_bytes());
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl<'a> FromIterator<(&'a [u8], Option<&'a [u8]>)> for HeaderList {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>>(headers: I) -> Self {
        let mut list = Self::new();
        headers.into_iter().for_each(|(name, value)| list.push_bytes(name, value));
        list
    }
}
