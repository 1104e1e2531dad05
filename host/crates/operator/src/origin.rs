//! The headers `weir.origin.*`: where each record was read, for plugins that ask.

use weir_core::frame::{RECORD_BYTES, encode_headers};
use weir_core::{Batch, FrameWriter, Origin};

use crate::splits::SplitTable;

/// Names of the source's own headers; an operator before this one may have passed on its own.
pub(crate) const OWN: &[u8] = b"weir.origin.";

/// What a record gains at most, beside the topic's name: three names, two numbers, lengths.
const HEADERS_BYTES: usize = 128;

/// `batch` with the headers `weir.origin.topic`, `weir.origin.partition` and `weir.origin.offset` on each record, as
/// text; `splits` is what origins count in. They replace those of an operator before.
pub(crate) fn with_origin(batch: &Batch, splits: &SplitTable) -> Batch {
    let room = batch.frame.as_bytes().len() + batch.frame.len() * (RECORD_BYTES + HEADERS_BYTES);
    let mut writer = FrameWriter::new(Vec::with_capacity(room));
    let mut headers = Vec::new();
    for (mut record, origin) in batch.frame.records().zip(&batch.origins) {
        let split = splits.get(*origin);
        let partition = split.map(|split| split.number.to_string()).unwrap_or_default();
        let offset = origin.offset.to_string();
        let own: [(&[u8], Option<&[u8]>); 3] = [
            (b"weir.origin.topic", split.map(|split| split.stream.as_bytes())),
            (b"weir.origin.partition", split.map(|_| partition.as_bytes())),
            (b"weir.origin.offset", (*origin != Origin::NONE).then_some(offset.as_bytes())),
        ];
        let others = record.headers().filter(|(name, _)| !name.starts_with(OWN));
        encode_headers(others.chain(own), &mut headers);
        record.headers = &headers;
        writer.push(record);
    }
    Batch { frame: writer.finish(), origins: batch.origins.clone() }
}

#[cfg(test)]
mod tests {
    use weir_core::{RecordView, SourceName, SplitId, SplitState};

    use super::*;

    #[test]
    fn each_record_says_where_it_was_read() {
        let split = |topic, partition| {
            let split = SplitId::new(topic, partition);
            SplitState { split, position: 0, end: None, identity: None, term: None }
        };
        let mut splits = SplitTable::new(["clicks", "views"].map(SourceName::new));
        splits.name(0, &[split("a", 0)]);
        splits.name(1, &[split("b", 7)]);
        let mut headers = Vec::new();
        let old: [(&[u8], Option<&[u8]>); 2] = [(b"h", None), (b"weir.origin.topic", Some(b"forged"))];
        encode_headers(old, &mut headers);
        let mut writer = FrameWriter::new(Vec::new());
        for source in 0..2 {
            writer.push(RecordView { timestamp_ms: 1, source, key: None, value: Some(b"v"), headers: &headers });
        }
        let origins = vec![Origin { source: 1, split: 0, offset: 42 }, Origin::new(0, 0)];
        let stamped = with_origin(&Batch { frame: writer.finish(), origins: origins.clone() }, &splits);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found: Vec<Vec<(String, Option<String>)>> =
            stamped.frame.records().map(|r| r.headers().map(|(n, v)| (text(n), v.map(text))).collect()).collect();
        let wanted = |topic: &str, partition: &str, offset: &str| {
            let own = [("topic", topic), ("partition", partition), ("offset", offset)];
            let mut all = vec![("h".to_owned(), None)];
            all.extend(own.map(|(name, value)| (format!("weir.origin.{name}"), Some(value.to_owned()))));
            all
        };
        assert_eq!(found, [wanted("b", "7", "42"), wanted("a", "0", "0")]);
        assert_eq!(stamped.origins, origins);
    }
}
