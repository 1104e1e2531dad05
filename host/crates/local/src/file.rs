//! Lines of a file, which can be read again: the position is a byte offset. The read is bounded by the size that the
//! file has at the first start; what is appended later belongs to another job.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_core::ports::{Poll, SourceConnector, SourceReader, SplitProgress};
use weir_core::{PortError, SplitId, SplitState};

use crate::Error;
use crate::format::LineFormat;
use crate::lines::{Counting, Lines, batch, only_split};

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

    fn start(&self, end: Option<i64>) -> SplitState {
        SplitState { split: self.split.clone(), position: 0, end, identity: None }
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error {
        |source| Error::Read { what: self.path.display().to_string(), source }
    }

    /// The file and its size.
    fn open_file(&self) -> Result<(File, i64), Error> {
        let open = |source| Error::Open { path: self.path.clone(), source };
        // Looked at first: to open a named pipe blocks until somebody writes.
        let metadata = std::fs::metadata(&self.path).map_err(open)?;
        if !metadata.is_file() {
            return Err(Error::NotRegular(self.path.clone()));
        }
        Ok((File::open(&self.path).map_err(open)?, metadata.len() as i64))
    }

    /// Refuses a file that is no longer what the state was built from, as far as that shows.
    fn check(&self, file: &mut File, size: i64, position: i64, end: i64) -> Result<(), Error> {
        let path = self.path.clone();
        let changed = |found: String| Error::Changed { path, position, end, found };
        if size < end {
            return Err(changed(format!("it now has {size} bytes")));
        }
        if position > 0 && position < end && byte_before(file, position).map_err(self.failed())? != b'\n' {
            return Err(changed("no line begins there any more".to_owned()));
        }
        Ok(())
    }
}

fn byte_before(file: &mut File, position: i64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(position as u64 - 1))?;
    file.read_exact(&mut byte)?;
    let [byte] = byte;
    Ok(byte)
}

impl SourceConnector for FileSource {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        self.open_file()?;
        Ok(vec![self.start(None)])
    }

    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        let (_, size) = self.open_file()?;
        Ok(vec![self.start(Some(size))])
    }

    fn resume(&self, mut splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        if !SplitState::is_bound_pending(&splits) {
            // What was appended since the last run.
            let (_, size) = self.open_file()?;
            splits.iter_mut().for_each(|s| s.end = Some(size));
        }
        Ok(splits)
    }

    /// Its path may be written in another way now.
    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        let is_same = || {
            let [then, now] = [Path::new(&*split.topic), &self.path].map(std::fs::canonicalize);
            matches!((then, now), (Ok(then), Ok(now)) if then == now)
        };
        (*split == self.split || (split.partition == 0 && is_same())).then(|| self.split.clone())
    }

    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        let split = only_split(&self.split, splits)?;
        let (mut file, size) = self.open_file()?;
        let end = split.end.unwrap_or(size);
        self.check(&mut file, size, split.position, end)?;
        file.seek(SeekFrom::Start(split.position as u64)).map_err(self.failed())?;
        let lines = Lines::new(
            self.path.display().to_string(),
            file.take((end - split.position).max(0) as u64),
            (self.format.clone(), Counting::Bytes(split.position as u64)),
        );
        let (path, begin) = (self.path.clone(), split.position);
        Ok(Box::new(FileReader { path, split: SplitState { end: Some(end), ..split }, lines, begin }))
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
    split: SplitState,
    lines: Lines<Take<File>>,
    begin: i64,
}

impl FileReader {
    /// The file ended: where it should, or because somebody cut it while it was read.
    fn ended(&self) -> Result<Poll, Error> {
        let end = self.split.end.unwrap_or_default();
        if self.split.position >= end {
            return Ok(Poll::Finished);
        }
        let (path, position) = (self.path.clone(), self.split.position);
        Err(Error::Changed { path, position, end, found: "it ends here now".to_owned() })
    }
}

impl SourceReader for FileReader {
    fn poll(&mut self, _wait: Duration) -> Result<Poll, PortError> {
        let Some(cut) = self.lines.next_cut()? else {
            return Ok(self.ended()?);
        };
        self.split.position = self.begin + self.lines.consumed() as i64;
        let begin = self.begin;
        Ok(Poll::Batch(batch(cut.frame, |index| begin + cut.starts.get(index).copied().unwrap_or_default() as i64)))
    }

    fn snapshot(&mut self) -> Vec<SplitState> {
        vec![self.split.clone()]
    }

    fn progress(&self) -> Vec<SplitProgress> {
        vec![SplitProgress { end: self.split.end }]
    }
}

impl AsRef<Path> for FileSource {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weir_core::Fault;

    use super::*;

    fn source(content: &[u8]) -> (tempfile::TempDir, FileSource) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines.txt");
        fs::write(&path, content).unwrap();
        (dir, FileSource::new(path, LineFormat::Value))
    }

    /// Every (offset, value) from `splits` on, and where that ends.
    fn read(source: &FileSource, splits: Vec<SplitState>) -> (Vec<(i64, Vec<u8>)>, SplitState) {
        let mut reader = source.open(splits).unwrap();
        let mut all = Vec::new();
        while let Poll::Batch(batch) = reader.poll(Duration::ZERO).unwrap() {
            let values = batch.frame.records().map(|r| r.value.unwrap().to_vec());
            all.extend(batch.origins.iter().map(|o| o.offset).zip(values));
        }
        (all, reader.snapshot().remove(0))
    }

    #[test]
    fn any_position_can_be_read_from_again() {
        let content = b"one\n\nthree\nlast";
        let (_dir, source) = source(content);
        let first = source.resolve().unwrap();
        let (all, end) = read(&source, first.clone());
        assert_eq!(all.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 4, 5, 11]);
        assert!(end.is_finished() && end.position == content.len() as i64);
        for (index, (position, _)) in all.iter().enumerate() {
            let split = SplitState { position: *position, ..first[0].clone() };
            assert_eq!(read(&source, vec![split]).0, all[index..]);
        }
        assert_eq!(read(&source, vec![end]).0, []);
    }

    #[test]
    fn what_is_appended_later_is_not_read() {
        let (_dir, source) = source(b"a\n");
        let first = source.resolve().unwrap();
        fs::write(&source, b"a\nb\n").unwrap();
        assert_eq!(read(&source, first).0, [(0, b"a".to_vec())]);
    }

    #[test]
    fn a_file_that_changed_is_refused() {
        let (_dir, source) = source(b"aa\nbb\n");
        let split = |position| vec![SplitState { position, ..source.resolve().unwrap().remove(0) }];
        let (middle, all) = (split(2), split(0));
        for (content, splits, wanted) in
            [(&b"aa\nbb\n"[..], middle, "no line begins there"), (b"aa\n", all, "it now has 3 bytes")]
        {
            fs::write(&source, content).unwrap();
            let error = source.open(splits).map(drop).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
            assert_eq!(error.fault(), Fault::Corrupt);
        }
    }

    #[test]
    fn a_path_is_known_however_it_is_written() {
        let (dir, source) = source(b"a\n");
        let path = |path: PathBuf| SplitId::new(path.to_string_lossy().as_ref(), 0);
        let own = source.resolve().unwrap().remove(0).split;
        assert_eq!(source.recognise(&own), Some(own.clone()));
        assert_eq!(source.recognise(&path(dir.path().join(".").join("lines.txt"))), Some(own));
        fs::write(dir.path().join("other.txt"), "").unwrap();
        assert_eq!(source.recognise(&path(dir.path().join("other.txt"))), None);
        assert_eq!(source.recognise(&path(dir.path().join("missing.txt"))), None);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = FileSource::new(dir.path().join("missing"), LineFormat::Value).discover().unwrap_err();
        assert!(missing.to_string().contains("missing; check its path"), "{missing}");
        let folder = FileSource::new(dir.path(), LineFormat::Value).resolve().unwrap_err();
        assert!(folder.to_string().contains("is no regular file"), "{folder}");
        let foreign = vec![SplitState { split: SplitId::new("x", 0), position: 0, end: None, identity: None }];
        let (_dir, source) = source(b"");
        assert_eq!(source.open(foreign).map(drop).unwrap_err().fault(), Fault::Corrupt);
    }
}
