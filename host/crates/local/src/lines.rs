//! HOT PATH. Batches, cut from a stream of bytes line by line.

use std::io::{self, BufRead, BufReader, Read};

use weir_core::frame::NO_TIMESTAMP;
use weir_core::ports::{Poll, Unreadable};
use weir_core::{Batch, Frame, FrameWriter, Origin, RecordView, SplitId, SplitState};

use crate::Error;
use crate::format::LineFormat;

/// Most records of a batch.
pub(crate) const BATCH_RECORDS: usize = 1024;
/// Most bytes of a batch; a larger line travels alone.
pub(crate) const BATCH_BYTES: usize = 1 << 20;
/// A longer line is no line.
const LINE_BYTES_MAX: usize = 64 << 20;
/// One read of the operating system.
const READ_BYTES: usize = 64 << 10;

/// Cuts what a reader gives into batches. Returns a batch as soon as the next line would have to be waited for, so that
/// a slow writer's lines are not held back.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    what: String,
    format: LineFormat,
    counting: Counting,
    line: Vec<u8>,
    consumed: u64,
    count: u64,
    /// A line that was read and is no record, with its bytes: what is wrong with it.
    refused: Option<(String, u64)>,
}

/// How a line is found again by a person.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counting {
    /// By its number from 1: all that a stream has.
    Lines,
    /// By the byte where it begins; the stream begins at this one.
    Bytes(u64),
}

/// What comes next.
pub(crate) enum Next {
    /// Some lines.
    Cut(Cut),
    /// A line that is no record.
    NoRecord(NoRecord),
    /// Nothing more.
    End,
}

/// Some lines.
pub(crate) struct Cut {
    /// Their records.
    pub frame: Frame,
    /// For each, the bytes of the stream that were consumed before it.
    pub starts: Vec<u64>,
}

/// A line that is no record.
pub(crate) struct NoRecord {
    /// The bytes of the stream that were consumed before it.
    pub start: u64,
    /// The rest of "the record has ..".
    pub why: String,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(what: String, reader: R, (format, counting): (LineFormat, Counting)) -> Self {
        let reader = BufReader::with_capacity(READ_BYTES, reader);
        Self { reader, what, format, counting, line: Vec::new(), consumed: 0, count: 0, refused: None }
    }

    /// Bytes of the stream that are in what was returned so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The next lines. Blocks for the first of them only. A line that is no record comes alone, after those before it.
    pub(crate) fn next(&mut self) -> Result<Next, Error> {
        let mut writer = FrameWriter::new(Vec::with_capacity(READ_BYTES));
        let mut starts = Vec::new();
        while self.refused.is_none()
            && (starts.is_empty() || (starts.len() < BATCH_RECORDS && self.fits(writer.bytes())))
        {
            let read = self.read_line()?;
            if read == 0 {
                break;
            }
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let source = starts.len() as u32;
            match &self.format {
                LineFormat::Value => {
                    let (timestamp_ms, value) = (NO_TIMESTAMP, Some(line));
                    writer.push(RecordView { timestamp_ms, source, key: None, value, headers: &[] });
                }
                other => {
                    if let Err(reason) = other.read(line, source, &mut writer) {
                        self.refused = Some((reason, read as u64));
                        continue;
                    }
                }
            }
            starts.push(self.consumed);
            self.consumed += read as u64;
            self.count += 1;
        }
        if !starts.is_empty() {
            return Ok(Next::Cut(Cut { frame: writer.finish(), starts }));
        }
        Ok(self.refused.take().map_or(Next::End, |(reason, read)| Next::NoRecord(self.no_record(&reason, read))))
    }

    /// True when a whole line is at hand that still fits a batch of `bytes`.
    fn fits(&self, bytes: usize) -> bool {
        let line = self.reader.buffer().iter().position(|b| *b == b'\n');
        line.is_some_and(|len| bytes + len + weir_core::frame::RECORD_BYTES <= BATCH_BYTES)
    }

    /// Reads one line into `self.line`, its `\n` included; 0 at the end.
    fn read_line(&mut self) -> Result<usize, Error> {
        self.line.clear();
        let limited = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.line);
        match limited {
            Ok(read) if read > LINE_BYTES_MAX => {
                Err(Error::LongLine { what: self.what.clone(), limit: LINE_BYTES_MAX })
            }
            Ok(read) => Ok(read),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Read { what: self.what.clone(), source }
    }

    fn no_record(&mut self, reason: &str, read: u64) -> NoRecord {
        let (start, what) = (self.consumed, &self.what);
        let place = match self.counting {
            Counting::Lines => format!("line {} of {what}", self.count + 1),
            Counting::Bytes(begin) => format!("the line at byte {} of {what}", begin + start),
        };
        self.consumed += read;
        self.count += 1;
        NoRecord { start, why: format!("no form of a record: {place}: {reason}") }
    }
}

impl NoRecord {
    /// For whoever decides what becomes of it.
    pub(crate) fn unreadable(self, offset: i64) -> Poll {
        Poll::Unreadable(Unreadable { origin: Origin::new(0, offset), why: self.why.into() })
    }
}

/// A batch of the only split; `offset` gives the origin of the record at an index.
pub(crate) fn batch(frame: Frame, offset: impl Fn(usize) -> i64) -> Batch {
    let origins = (0..frame.len()).map(|index| Origin::new(0, offset(index))).collect();
    Batch { frame, origins }
}

/// The one split that a local source can go on from.
pub(crate) fn only_split(wanted: &SplitId, splits: Vec<SplitState>) -> Result<SplitState, Error> {
    match splits.as_slice() {
        [split] if split.split == *wanted => Ok(split.clone()),
        others => {
            let found = others.iter().map(|s| s.split.to_string()).collect::<Vec<_>>().join(", ");
            Err(Error::Foreign { found, wanted: wanted.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(input: &[u8]) -> Vec<Vec<(u64, Vec<u8>)>> {
        let mut lines = Lines::new("test".into(), input, (LineFormat::Value, Counting::Lines));
        let mut all = Vec::new();
        while let Next::Cut(cut) = lines.next().unwrap() {
            let values = cut.frame.records().map(|r| r.value.unwrap().to_vec());
            all.push(cut.starts.iter().copied().zip(values).collect());
        }
        assert_eq!(lines.consumed(), input.len() as u64);
        all
    }

    #[test]
    fn lines_are_values() {
        for (input, wanted) in [
            (&b""[..], vec![]),
            (b"a\nb\n", vec![(0, &b"a"[..]), (2, b"b")]),
            (b"a\r\n\nlast", vec![(0, b"a\r"), (3, b""), (4, b"last")]),
            (b"\xff\x00\n", vec![(0, b"\xff\x00")]),
        ] {
            let flat: Vec<(u64, Vec<u8>)> = cuts(input).concat();
            assert_eq!(flat, wanted.into_iter().map(|(at, v)| (at, v.to_vec())).collect::<Vec<_>>());
        }
    }

    #[test]
    fn batches_have_bounds() {
        let many = cuts(&b"x\n".repeat(3000));
        assert!(many.iter().all(|batch| batch.len() <= BATCH_RECORDS));
        assert_eq!(many.concat().len(), 3000);
        let big = [vec![b'y'; 3 << 20], b"\nsmall\nsmall\n".to_vec()].concat();
        assert_eq!(cuts(&big).iter().map(Vec::len).collect::<Vec<_>>(), [1, 2], "a large line travels alone");
    }

    #[test]
    fn a_line_that_is_no_record_comes_alone_and_in_order() {
        let format = LineFormat::KeyValue { separator: b":".to_vec() };
        let input = &b"a:1\nbad\nworse\nb:2\n\n"[..];
        let mut lines = Lines::new("test".into(), input, (format, Counting::Lines));
        let mut seen = Vec::new();
        loop {
            match lines.next().unwrap() {
                Next::Cut(cut) => seen.push((cut.starts, "records".to_owned())),
                Next::NoRecord(bad) => seen.push((vec![bad.start], bad.why)),
                Next::End => break,
            }
            let after = seen.last().map(|(starts, _)| starts.iter().max().copied());
            assert!(after.flatten() < Some(lines.consumed()), "what was returned is consumed");
        }
        let starts: Vec<_> = seen.iter().map(|(starts, _)| starts.clone()).collect();
        assert_eq!(starts, [vec![0], vec![4], vec![8], vec![14], vec![18]]);
        for (at, wanted) in [(1, "line 2 of test"), (2, "line 3 of test"), (4, "line 5 of test")] {
            let why = &seen[at].1;
            assert!(why.contains(wanted) && why.contains("format=key-value wants KEY"), "{why}");
        }
        assert_eq!(lines.consumed(), input.len() as u64);
    }

    #[test]
    fn a_line_has_an_end() {
        let mut lines = Lines::new("zeros".into(), io::repeat(b'0'), (LineFormat::Value, Counting::Lines));
        let error = lines.next().map(drop).unwrap_err().to_string();
        assert!(error.contains("a line of zeros is longer than 67108864 bytes"), "{error}");
    }
}
