//! HOT PATH. Builds batches from messages: one copy from the client's buffers into the frame, no allocation per record.

use weir_core::frame::encode_headers;
use weir_core::ports::OWN_HEADERS;
use weir_core::{Batch, FrameWriter, Origin, RecordView};

/// Records in a batch, at most.
pub(super) const RECORDS_MAX: usize = 1024;
/// Bytes of a frame, at most; a larger record travels alone.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// A batch in the making.
pub(super) struct Batching {
    writer: FrameWriter,
    origins: Vec<Origin>,
    headers: Vec<u8>,
    keeps_own_headers: bool,
    /// Size of the last frame: the next one will be about as large.
    bytes_expected: usize,
}

impl Batching {
    pub(super) fn new(keeps_own_headers: bool) -> Self {
        let (origins, headers) = (Vec::new(), Vec::new());
        Self { writer: FrameWriter::new(Vec::new()), origins, headers, keeps_own_headers, bytes_expected: 0 }
    }

    /// Takes the headers of the record that is added next.
    #[inline]
    pub(super) fn take_headers<'a>(&mut self, headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) {
        let is_given = |name: &[u8]| self.keeps_own_headers || !name.starts_with(OWN_HEADERS);
        encode_headers(headers.filter(|(name, _)| is_given(name)), &mut self.headers);
    }

    /// Adds a record. Returns the batch before it, if that had no room left for it.
    #[inline]
    pub(super) fn push(
        &mut self,
        origin: Origin,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Option<Batch> {
        let bytes = weir_core::frame::RECORD_BYTES
            + key.map_or(0, <[u8]>::len)
            + value.map_or(0, <[u8]>::len)
            + self.headers.len();
        let before = if self.writer.bytes() + bytes > BYTES_MAX { self.finish() } else { None };
        let source = self.writer.len() as u32;
        self.writer.push(RecordView { timestamp_ms, source, key, value, headers: &self.headers });
        self.origins.push(origin);
        before
    }

    /// True when nothing more may be added.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.writer.len() >= RECORDS_MAX || self.writer.bytes() >= BYTES_MAX
    }

    /// What there is, unless there is nothing.
    pub(super) fn finish(&mut self) -> Option<Batch> {
        if self.writer.is_empty() {
            return None;
        }
        self.bytes_expected = self.writer.bytes();
        let buffer = Vec::with_capacity(self.bytes_expected + self.bytes_expected / 8);
        let frame = std::mem::replace(&mut self.writer, FrameWriter::new(buffer)).finish();
        let capacity = self.origins.len();
        let origins = std::mem::replace(&mut self.origins, Vec::with_capacity(capacity));
        Some(Batch { frame, origins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Header<'a> = (&'a [u8], Option<&'a [u8]>);

    fn push(batching: &mut Batching, offset: i64, value: &[u8], headers: &[Header<'_>]) -> Option<Batch> {
        batching.take_headers(headers.iter().copied());
        batching.push(Origin::new(3, offset), offset, Some(b"k"), Some(value))
    }

    fn offsets(batch: &Batch) -> Vec<i64> {
        let sources: Vec<u32> = batch.frame.records().map(|r| r.source).collect();
        assert_eq!(sources, (0..batch.frame.len() as u32).collect::<Vec<_>>(), "the source is the record's own index");
        assert_eq!(batch.origins.len(), batch.frame.len());
        batch.origins.iter().map(|o| o.offset).collect()
    }

    #[test]
    fn a_batch_is_cut_at_its_number_of_records() {
        let mut batching = Batching::new(false);
        for offset in 0..RECORDS_MAX as i64 - 1 {
            assert!(push(&mut batching, offset, b"v", &[]).is_none());
        }
        assert!(!batching.is_full());
        push(&mut batching, 1023, b"v", &[]);
        assert!(batching.is_full());
        assert_eq!(offsets(&batching.finish().unwrap()), (0..1024).collect::<Vec<_>>());
        assert!(batching.finish().is_none());
    }

    #[test]
    fn a_large_record_travels_alone() {
        let mut batching = Batching::new(false);
        assert!(push(&mut batching, 0, b"small", &[]).is_none());
        let before = push(&mut batching, 1, &vec![7; BYTES_MAX], &[]).unwrap();
        assert_eq!(offsets(&before), [0]);
        assert!(batching.is_full());
        let alone = push(&mut batching, 2, b"small", &[]).unwrap();
        assert_eq!(offsets(&alone), [1]);
        assert_eq!(offsets(&batching.finish().unwrap()), [2]);
    }

    #[test]
    fn every_frame_but_a_lone_one_keeps_the_bound() {
        let mut batching = Batching::new(false);
        let mut seen = Vec::new();
        for offset in 0..100 {
            let batch = push(&mut batching, offset, &vec![1; 40_000 * (offset as usize % 5)], &[]);
            if let Some(batch) = batch {
                assert!(batch.frame.as_bytes().len() <= BYTES_MAX);
                seen.extend(offsets(&batch));
            }
        }
        seen.extend(offsets(&batching.finish().unwrap()));
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn own_headers_are_stripped_and_null_values_kept() {
        let mut batching = Batching::new(false);
        push(&mut batching, 0, b"v", &[(b"a", None), (b"weir.origin.topic", Some(b"x")), (b"b", Some(b""))]);
        push(&mut batching, 1, b"v", &[(b"weir.route.topic", Some(b"x"))]);
        let batch = batching.finish().unwrap();
        let headers: Vec<Vec<Header<'_>>> = batch.frame.records().map(|r| r.headers().collect()).collect();
        assert_eq!(headers, [vec![(&b"a"[..], None), (&b"b"[..], Some(&b""[..]))], vec![]]);
        assert!(batch.frame.records().nth(1).unwrap().headers.is_empty());
    }
}
