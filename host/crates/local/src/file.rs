//! Lines of a file, which can be read again: the position is a byte offset. The read is bounded by the size that the
//! file has at the first start; what is appended later is read by the next start.
//!
//! The bytes up to that bound must stay what they were (see `fingerprint`): another file of the same name, or one that was
//! written anew, is refused, for its lines up to the position would be left out without a word.

/// Its row of the registry.
pub(crate) mod connector;

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Take};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};
use weir_core::ports::{Poll, SourceConnector, SourceReader, SplitProgress, Verified};
use weir_core::{PortError, Reading, SplitId, SplitState};

use crate::Error;
use crate::fingerprint::{Fingerprint, is_same_file};
use crate::format::LineFormat;
use crate::lines::{Counting, Lines, Next, batch, only_split};

/// How much is read at once on the way back to the beginning of a line.
const BACK_BYTES: u64 = 64 << 10;

/// Opens the file for each attempt.
pub struct FileSource {
    path: PathBuf,
    split: SplitId,
    format: LineFormat,
}

impl FileSource {
    /// A source of the lines of `path`.
    pub fn new(path: impl Into<PathBuf>, format: LineFormat) -> Self {
        let path = path.into();
        let split = SplitId::new(path.to_string_lossy().as_ref(), 0);
        Self { path, split, format }
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error {
        |source| Error::Read { what: self.path.display().to_string(), source }
    }

    fn open_file(&self) -> Result<Opened, Error> {
        let open = |source| Error::Open { path: self.path.clone(), source };
        // Looked at first: to open a named pipe blocks until somebody writes.
        if !std::fs::metadata(&self.path).map_err(open)?.is_file() {
            return Err(Error::NotRegular(self.path.clone()));
        }
        let file = File::open(&self.path).map_err(open)?;
        let size = file.metadata().map_err(open)?.len() as i64;
        Ok(Opened { file, size })
    }

    /// Everything that the file has now.
    fn whole(&self, Opened { file, size }: &Opened, split: SplitId, position: i64) -> Result<SplitState, Error> {
        let fingerprint = Fingerprint::take(file, *size as u64).map_err(self.failed())?;
        Ok(SplitState { split, position, end: Some(*size), identity: Some(fingerprint.to_string()), term: None })
    }

    /// Refuses a file that is no longer what the state was built from.
    fn check(&self, Opened { file, size }: &Opened, split: &SplitState) -> Result<(), Error> {
        let (position, end) = (split.position, split.end.unwrap_or(*size));
        let changed = |found: String| Error::Changed { path: self.path.clone(), position, end, found };
        if *size < end {
            return Err(changed(format!("it now has {size} bytes")));
        }
        if !matches!(is_unchanged(file, split).map_err(self.failed())?, Bytes::Same) {
            return Err(changed(
                "other bytes stand there now: it is another file of that name, or written anew".into(),
            ));
        }
        if position > 0 && position < end && byte_at(file, position - 1).map_err(self.failed())? != b'\n' {
            return Err(changed("no line begins there any more".to_owned()));
        }
        Ok(())
    }

    /// Where to go on once everything up to `position` was read. A last line that had no end then was taken as it was:
    /// if it only got its end, it is done; if it grew, it is read once more, as a whole.
    fn next_line(&self, Opened { file, size }: &Opened, position: i64) -> io::Result<i64> {
        if position == 0 || position >= *size || byte_at(file, position - 1)? == b'\n' {
            return Ok(position);
        }
        if byte_at(file, position)? == b'\n' {
            return Ok(position + 1);
        }
        let begin = line_begin(file, position as u64)? as i64;
        warn!(path = %self.path.display(), begin, "the last line was read before it was complete; it is read again, whole");
        Ok(begin)
    }
}

/// A file and its size.
struct Opened {
    file: File,
    size: i64,
}

/// What the bytes of a file are to those that were recorded.
enum Bytes {
    Same,
    Others,
}

/// Compares the bytes up to the bound of `split`, which the file has, with those that it was made for.
fn is_unchanged(file: &File, split: &SplitState) -> io::Result<Bytes> {
    let (Some(end), Some(identity)) = (split.end, &split.identity) else { return Ok(Bytes::Same) };
    let now = Fingerprint::take(file, end as u64)?;
    match Fingerprint::parse(identity) {
        Some(then) if now.has_bytes_of(&then) => {
            if !now.lies_where(&then) {
                info!(file = %split.split.stream, "another file than before, which begins with the same bytes");
            }
            Ok(Bytes::Same)
        }
        _ => Ok(Bytes::Others),
    }
}

fn byte_at(file: &File, position: i64) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, position as u64)?;
    let [byte] = byte;
    Ok(byte)
}

/// Where the line begins that holds the byte before `position`.
fn line_begin(file: &File, position: u64) -> io::Result<u64> {
    let mut end = position;
    let mut bytes = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(BACK_BYTES);
        bytes.resize(usize::try_from(end - begin).map_err(io::Error::other)?, 0);
        file.read_exact_at(&mut bytes, begin)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

impl SourceConnector for FileSource {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        self.open_file()?;
        Ok(vec![SplitState { split: self.split.clone(), position: 0, end: None, identity: None, term: None }])
    }

    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        let opened = self.open_file()?;
        Ok(vec![self.whole(&opened, self.split.clone(), 0)?])
    }

    fn resume(&self, splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        if SplitState::is_bound_pending(&splits) {
            return Ok(splits);
        }
        // What was appended since the last run.
        let (split, opened) = (only_split(&self.split, splits)?, self.open_file()?);
        self.check(&opened, &split)?;
        let position = self.next_line(&opened, split.position).map_err(self.failed())?;
        Ok(vec![self.whole(&opened, split.split, position)?])
    }

    /// Its path may be written in another way now.
    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        let is_same = || split.number == 0 && is_same_file(Path::new(&*split.stream), &self.path);
        (*split == self.split || is_same()).then(|| self.split.clone())
    }

    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        let (mut split, mut opened) = (only_split(&self.split, splits)?, self.open_file()?);
        self.check(&opened, &split)?;
        if split.end.is_none() {
            split = self.whole(&opened, split.split, split.position)?;
        }
        let (begin, end) = (split.position, split.end.unwrap_or(opened.size));
        opened.file.seek(SeekFrom::Start(begin as u64)).map_err(self.failed())?;
        let bounded = io::Read::take(opened.file.try_clone().map_err(self.failed())?, (end - begin).max(0) as u64);
        let what = self.path.display().to_string();
        let lines = Lines::new(what, bounded, (self.format.clone(), Counting::Bytes(begin as u64)));
        Ok(Box::new(FileReader { path: self.path.clone(), file: opened.file, split, lines, begin }))
    }

    fn is_replayable(&self) -> bool {
        true
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

struct FileReader {
    path: PathBuf,
    /// The same open file as in `lines`, to look at.
    file: File,
    split: SplitState,
    lines: Lines<Take<File>>,
    begin: i64,
}

impl FileReader {
    fn changed(&self, found: String) -> Error {
        let (position, end) = (self.split.position, self.split.end.unwrap_or_default());
        Error::Changed { path: self.path.clone(), position, end, found }
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error {
        |source| Error::Read { what: self.path.display().to_string(), source }
    }

    /// Somebody may cut the file while it is read, as log rotation does that copies and truncates.
    fn check_size(&self) -> Result<(), Error> {
        let size = self.file.metadata().map_err(self.failed())?.len() as i64;
        if size < self.split.end.unwrap_or_default() {
            return Err(self.changed(format!("it now has {size} bytes")));
        }
        Ok(())
    }

    /// The file ended; whether where it should, and still as the one that was to be read, shows now.
    fn ended(&self) -> Result<Poll, Error> {
        if self.split.position < self.split.end.unwrap_or_default() {
            return Err(self.changed("it ends here now".to_owned()));
        }
        self.check_bytes()?;
        Ok(Poll::Finished)
    }

    fn check_bytes(&self) -> Result<(), Error> {
        match is_unchanged(&self.file, &self.split).map_err(self.failed())? {
            Bytes::Same => Ok(()),
            Bytes::Others => Err(self.changed("it was written anew while it was read".to_owned())),
        }
    }
}

impl SourceReader for FileReader {
    fn poll(&mut self, _wait: Duration) -> Result<Poll, PortError> {
        let next = self.lines.next()?;
        // After the read: what came from a file that was long enough then is what was to be read.
        self.check_size()?;
        let begin = self.begin;
        self.split.position = begin + self.lines.consumed() as i64;
        match next {
            Next::Cut(cut) => {
                let offset = |index| begin + cut.starts.get(index).copied().unwrap_or_default() as i64;
                Ok(Poll::Batch(batch(cut.frame, offset)))
            }
            Next::NoRecord(line) => {
                let offset = begin + line.start as i64;
                Ok(line.unreadable(offset))
            }
            Next::End => Ok(self.ended()?),
        }
    }

    fn snapshot(&mut self) -> Vec<SplitState> {
        vec![self.split.clone()]
    }

    /// Whoever wrote the file anew while it was read is found out before any of it holds.
    fn verify(&mut self, done: Verified) {
        done(self.check_size().and_then(|()| self.check_bytes()).map_err(PortError::from));
    }

    fn progress(&self) -> Vec<SplitProgress> {
        vec![SplitProgress { end: self.split.end }]
    }

    fn readings(&mut self) -> Vec<Reading> {
        vec![if self.split.is_finished() { Reading::Ended } else { Reading::Flowing }]
    }
}

impl AsRef<Path> for FileSource {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests;
