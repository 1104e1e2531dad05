//! Lines of standard input, which cannot be read again. One thread reads, because a read of a pipe may block for ever
//! and the source task must not; it hands over at most two batches ahead. The position is the number of the next line,
//! from 0.

/// Its row of the registry, and that of standard output.
pub(crate) mod connector;

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_core::ports::{Poll, SourceConnector, SourceReader, SplitProgress};
use weir_core::{PortError, Reading, SplitId, SplitState};
use weir_machine::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::Error;
use crate::format::LineFormat;
use crate::lines::{Counting, Lines, Next, batch, only_split};

const HANDOVER_BATCHES: usize = 2;

/// Opens standard input, once.
pub struct StdinSource {
    split: SplitId,
    format: LineFormat,
    input: Mutex<Option<Box<dyn Read + Send>>>,
}

impl StdinSource {
    /// The process's own standard input.
    pub fn new(format: LineFormat) -> Self {
        Self::from_reader(Box::new(std::io::stdin()), format)
    }

    /// Anything that can be read, in its place.
    pub fn from_reader(input: Box<dyn Read + Send>, format: LineFormat) -> Self {
        Self { split: SplitId::new("stdin", 0), format, input: Mutex::new(Some(input)) }
    }

    fn start(&self) -> SplitState {
        SplitState { split: self.split.clone(), position: 0, end: None, identity: None, term: None }
    }
}

impl SourceConnector for StdinSource {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        Ok(vec![self.start()])
    }

    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        Ok(vec![self.start()])
    }

    /// Never asked for: what was read from stdin means nothing to another run.
    fn resume(&self, splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        Ok(splits)
    }

    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        (*split == self.split).then(|| split.clone())
    }

    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        let split = only_split(&self.split, splits)?;
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::ReadTwice)?;
        let (sender, receiver) = bounded(HANDOVER_BATCHES);
        // Never joined: it may sit in a read until the process ends.
        let lines = Lines::new("stdin".to_owned(), input, (self.format.clone(), Counting::Lines));
        weir_machine::spawn("weir-stdin", move || read_all(lines, &sender)).map_err(Error::Thread)?;
        Ok(Box::new(StdinReader { split, receiver, begin: weir_machine::now(), empty: None }))
    }

    fn is_replayable(&self) -> bool {
        false
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

/// Reads to the end, or until nobody listens any more.
fn read_all(mut lines: Lines<Box<dyn Read + Send>>, sender: &Sender<Result<Next, Error>>) {
    loop {
        let next = lines.next();
        if matches!(next, Ok(Next::End)) {
            return;
        }
        let is_last = next.is_err();
        if sender.send(next).is_err() || is_last {
            return;
        }
    }
}

struct StdinReader {
    split: SplitState,
    receiver: Receiver<Result<Next, Error>>,
    /// From when on confirmations count.
    begin: Instant,
    /// Where the last look found the pipe empty, when that was.
    empty: Option<Instant>,
}

impl StdinReader {
    fn take(&mut self, next: Next) -> Poll {
        let first = self.split.position;
        match next {
            Next::Cut(cut) => {
                self.split.position += cut.frame.len() as i64;
                Poll::Batch(batch(cut.frame, |index| first + index as i64))
            }
            Next::NoRecord(line) => {
                self.split.position += 1;
                line.unreadable(first)
            }
            Next::End => {
                self.split.end = Some(first);
                Poll::Finished
            }
        }
    }
}

impl SourceReader for StdinReader {
    fn poll(&mut self, wait: Duration) -> Result<Poll, PortError> {
        let received = self.receiver.recv_timeout(wait);
        self.empty = matches!(received, Err(RecvTimeoutError::Timeout)).then(weir_machine::now);
        match received {
            Ok(next) => Ok(self.take(next?)),
            Err(RecvTimeoutError::Timeout) => Ok(Poll::Pending),
            Err(RecvTimeoutError::Disconnected) => Ok(self.take(Next::End)),
        }
    }

    fn snapshot(&mut self) -> Vec<SplitState> {
        vec![self.split.clone()]
    }

    fn progress(&self) -> Vec<SplitProgress> {
        vec![SplitProgress { end: self.split.end }]
    }

    fn readings(&mut self) -> Vec<Reading> {
        vec![match self.empty {
            _ if self.split.is_finished() => Reading::Ended,
            Some(at) => Reading::CaughtUp { at: at.saturating_duration_since(self.begin) },
            None => Reading::Flowing,
        }]
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn open(input: impl Read + Send + 'static) -> (StdinSource, Box<dyn SourceReader>) {
        let source = StdinSource::from_reader(Box::new(input), LineFormat::Value);
        let reader = source.open(source.resolve().unwrap()).unwrap();
        (source, reader)
    }

    fn next(reader: &mut dyn SourceReader) -> Option<Vec<(i64, Vec<u8>)>> {
        match reader.poll(WAIT).unwrap() {
            Poll::Batch(batch) => {
                let values = batch.frame.records().map(|r| r.value.unwrap().to_vec());
                Some(batch.origins.iter().map(|o| o.offset).zip(values).collect())
            }
            Poll::Finished => None,
            Poll::Unreadable(record) => panic!("{record:?}"),
            Poll::Pending => panic!("ten seconds are enough"),
        }
    }

    #[test]
    fn lines_come_as_they_are_written() {
        let (output, mut input) = io::pipe().unwrap();
        let (_, mut reader) = open(output);
        assert!(matches!(reader.poll(Duration::ZERO).unwrap(), Poll::Pending), "a silent pipe blocks nobody");
        input.write_all(b"a\nb\nc").unwrap();
        assert_eq!(next(reader.as_mut()), Some(vec![(0, b"a".to_vec()), (1, b"b".to_vec())]));
        drop(input);
        assert_eq!(next(reader.as_mut()), Some(vec![(2, b"c".to_vec())]));
        assert_eq!(next(reader.as_mut()), None);
        assert!(reader.snapshot().iter().all(|s| s.is_finished() && s.position == 3));
    }

    #[test]
    fn it_is_read_once() {
        let (source, _reader) = open(io::empty());
        assert!(source.open(source.resolve().unwrap()).is_err());
        assert!(!source.is_replayable());
    }

    #[test]
    fn a_failing_read_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let (_, mut reader) = open(Broken);
        let error = reader.poll(WAIT).unwrap_err();
        assert_eq!(error.to_string(), "failed to read stdin");
    }
}
