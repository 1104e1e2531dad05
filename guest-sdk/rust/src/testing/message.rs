//! Records that own their bytes, to write tests with.

use serde::Deserialize;

use crate::record::{HeaderList, Record};

/// Bytes in a file of cases: text where they are UTF-8, else `{"hex": ".."}`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex { hex: String },
}

impl TryFrom<Bytes> for Vec<u8> {
    type Error = String;

    fn try_from(bytes: Bytes) -> Result<Self, String> {
        match bytes {
            Bytes::Text(text) => Ok(text.into_bytes()),
            Bytes::Hex { hex } => from_hex(&hex),
        }
    }
}

/// A record in a file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    key: Option<Bytes>,
    value: Option<Bytes>,
    #[serde(default)]
    headers: Vec<(Bytes, Option<Bytes>)>,
    timestamp: Option<i64>,
}

impl TryFrom<Form> for Message {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let bytes = |bytes: Option<Bytes>| bytes.map(Vec::try_from).transpose();
        let header = |(name, value): (Bytes, Option<Bytes>)| Ok::<_, String>((Vec::try_from(name)?, bytes(value)?));
        let headers = form.headers.into_iter().map(header).collect::<Result<_, _>>()?;
        Ok(Self { key: bytes(form.key)?, value: bytes(form.value)?, headers, timestamp: form.timestamp })
    }
}

/// Reads `"00ff"`.
pub(crate) fn from_hex(hex: &str) -> Result<Vec<u8>, String> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap_or_default());
    pairs.map(|pair| u8::from_str_radix(pair, 16).map_err(|e| format!("hex `{pair}`: {e}"))).collect()
}

/// A record that owns its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Form")]
pub struct Message {
    /// The key; null by default.
    pub key: Option<Vec<u8>>,
    /// The value; null by default.
    pub value: Option<Vec<u8>>,
    /// The headers; none by default.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Milliseconds since 1970; none by default.
    pub timestamp: Option<i64>,
}

impl Message {
    /// A record with key and value.
    pub fn new(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self { key: Some(key.as_ref().to_vec()), value: Some(value.as_ref().to_vec()), ..Self::default() }
    }

    /// A record without a key.
    pub fn without_key(value: impl AsRef<[u8]>) -> Self {
        Self { value: Some(value.as_ref().to_vec()), ..Self::default() }
    }

    /// A record without a value.
    pub fn tombstone(key: impl AsRef<[u8]>) -> Self {
        Self { key: Some(key.as_ref().to_vec()), ..Self::default() }
    }

    /// The same with one more header.
    pub fn with_header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.as_bytes().to_vec(), value.map(<[u8]>::to_vec)));
        self
    }

    /// The same with a timestamp.
    pub fn with_timestamp(self, timestamp: i64) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }

    /// This record as it should come out of an output, made from the first record of the batch.
    pub fn into_output(self, output: u32) -> Output {
        Output { output, source: 0, message: self }
    }

    /// As an operator sees it. `headers` is where the headers are put.
    pub(crate) fn as_record<'a>(&'a self, headers: &'a mut HeaderList) -> Record<'a> {
        headers.clear();
        self.headers.iter().for_each(|(name, value)| headers.push_bytes(name, value.as_deref()));
        let record = Record::new(self.key.as_deref(), self.value.as_deref());
        record.with_timestamp(self.timestamp).with_headers(headers)
    }

    /// A copy of what an operator emitted.
    pub(crate) fn of_record(record: &Record<'_>) -> Self {
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: record.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
            timestamp: record.timestamp(),
        }
    }
}

/// A record that came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Index of the output.
    pub output: u32,
    /// Index of the record of the batch it was made from.
    pub source: u32,
    /// The record.
    pub message: Message,
}
