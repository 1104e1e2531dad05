//! Standard output and files to write to. Only whole lines reach the operating system, so a killed process leaves no
//! torn line behind; and they reach it before the epoch is committed, so a replay may repeat lines but never lose them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use weir_core::ports::{RecordCheck, Sink};
use weir_core::{Batch, PortError};

use crate::Error;
use crate::format::LineFormat;
use crate::standard;

/// Lines gathered before they are written.
const WRITE_BYTES: usize = 64 << 10;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalSink {
    /// Standard output.
    Stdout(LineFormat),
    /// The end of this file.
    File(PathBuf, LineFormat),
}

impl LocalSink {
    /// Opens it for one attempt.
    pub fn open(&self) -> Result<Box<dyn Sink>, PortError> {
        match self {
            Self::Stdout(format) => Ok(Box::new(LineSink::new(Stdout(standard::output()?), format.clone()))),
            Self::File(path, format) => {
                let file = append(path).map_err(|source| Error::Open { path: path.clone(), source })?;
                Ok(Box::new(LineSink::new(Appended { file, path: path.clone() }, format.clone())))
            }
        }
    }
}

/// What lines are written to.
trait Target: Send {
    /// Writes all of `lines`.
    fn push(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Makes what was written survive as much as the target can.
    fn settle(&mut self) -> io::Result<()>;

    /// What it is, for people.
    fn name(&self) -> String;

    /// Either failed. Only the end of stdout's reader is no failure of the job, so the two are never mixed up.
    fn failed(&self, source: io::Error) -> Error;
}

struct Stdout(File);

impl Target for Stdout {
    fn push(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)
    }

    /// Nothing is kept back, and nobody syncs a pipe.
    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn name(&self) -> String {
        "stdout".to_owned()
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Stdout(source)
    }
}

struct Appended {
    file: File,
    path: PathBuf,
}

impl Target for Appended {
    fn push(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    /// Synced like the epoch log, or positions could survive a power cut that the lines before them do not.
    fn settle(&mut self) -> io::Result<()> {
        if self.file.metadata()?.is_file() { self.file.sync_data() } else { Ok(()) }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { what: self.name(), source }
    }
}

struct LineSink<T> {
    target: T,
    format: LineFormat,
    lines: Vec<u8>,
    is_settled: bool,
}

impl<T: Target> LineSink<T> {
    fn new(target: T, format: LineFormat) -> Self {
        Self { target, format, lines: Vec::with_capacity(WRITE_BYTES), is_settled: true }
    }

    fn push_out(&mut self) -> Result<(), Error> {
        let written = self.target.push(&self.lines);
        self.lines.clear();
        written.map_err(|source| self.target.failed(source))
    }
}

impl<T: Target> Sink for LineSink<T> {
    fn record_check(&self) -> Option<RecordCheck> {
        self.format.form().map(|form| RecordCheck::Form { sink: self.target.name(), form })
    }

    /// A record without a line was to be found by [`Sink::record_check`]; it is refused here, too.
    fn write(&mut self, batch: &Batch) -> Result<(), PortError> {
        for record in batch.frame.records() {
            let written = self.format.write(record, &mut self.lines);
            written.map_err(|reason| Error::NoLine { what: self.target.name(), reason })?;
            self.lines.push(b'\n');
            if self.lines.len() >= WRITE_BYTES {
                self.push_out()?;
            }
        }
        self.is_settled &= batch.frame.is_empty();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PortError> {
        if !self.is_settled {
            self.push_out()?;
            self.target.settle().map_err(|source| self.target.failed(source))?;
            self.is_settled = true;
        }
        Ok(())
    }
}

/// Opens `path` to append whole lines: a last line that somebody left open is ended first.
fn append(path: &Path) -> io::Result<File> {
    // Read access only serves the look at the last byte; what can only be written to has no such byte.
    let is_file = path.metadata().is_ok_and(|m| m.is_file());
    let mut file = OpenOptions::new().append(true).create(true).read(is_file).open(path)?;
    if is_file && file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weir_core::{FrameWriter, RecordView};

    use super::*;
    use crate::lines::batch;

    fn values(values: &[Option<&[u8]>]) -> Batch {
        let mut writer = FrameWriter::new(Vec::new());
        for value in values {
            writer.push(RecordView { timestamp_ms: 0, source: 0, key: None, value: *value, headers: &[] });
        }
        batch(writer.finish(), |index| index as i64)
    }

    #[test]
    fn lines_are_appended_and_there_after_a_flush() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let file = LocalSink::File(path.clone(), LineFormat::Value);
        for round in 1..=2 {
            let mut sink = file.open().unwrap();
            sink.write(&values(&[Some(b"a"), None, Some(b"\xff")])).unwrap();
            sink.flush().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"a\n\n\xff\n".repeat(round));
        }
    }

    #[test]
    fn an_open_line_is_ended_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, b"torn").unwrap();
        let mut sink = LocalSink::File(path.clone(), LineFormat::Value).open().unwrap();
        sink.write(&values(&[Some(b"a")])).unwrap();
        sink.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"torn\na\n");
    }

    #[test]
    fn every_write_ends_with_a_whole_line() {
        struct Writes(std::sync::mpsc::SyncSender<Vec<u8>>);
        impl Target for Writes {
            fn push(&mut self, lines: &[u8]) -> io::Result<()> {
                self.0.send(lines.to_vec()).unwrap();
                Ok(())
            }
            fn settle(&mut self) -> io::Result<()> {
                Ok(())
            }
            fn name(&self) -> String {
                "stdout".to_owned()
            }
            fn failed(&self, source: io::Error) -> Error {
                Error::Stdout(source)
            }
        }
        let (sender, writes) = std::sync::mpsc::sync_channel(64);
        let mut sink = LineSink::new(Writes(sender), LineFormat::Value);
        let line = vec![b'l'; 40_000];
        sink.write(&values(&[Some(&line[..]); 5])).unwrap();
        sink.flush().unwrap();
        drop(sink);
        let writes: Vec<Vec<u8>> = writes.iter().collect();
        assert!(writes.len() > 1 && writes.iter().all(|w| w.ends_with(b"\n") && w.len() <= 2 * WRITE_BYTES));
        assert_eq!(writes.concat().len(), 5 * 40_001);
    }

    #[test]
    fn a_record_that_no_line_can_hold_is_refused_before_any_of_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let format = LineFormat::KeyValue { separator: b"\t".to_vec() };
        let mut sink = LocalSink::File(path.clone(), format).open().unwrap();
        let error = sink.write(&values(&[Some(b"a"), Some(b"b\nc")])).unwrap_err();
        let wanted = format!("a record does not fit a line of {}: key or value holds a line end", path.display());
        assert!(error.to_string().starts_with(&wanted), "{error}");
        let unfit = values(&[Some(b"b\nc")]).frame.records().find_map(|r| sink.record_check()?.check(&r, 0).err());
        let said = unfit.unwrap().to_string();
        assert!(said.starts_with(&format!("an output record does not fit {}: key or", path.display())), "{said}");
        assert_eq!((error.fault(), fs::read(&path).unwrap()), (weir_core::Fault::User, Vec::new()));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut sink = LocalSink::File("/dev/full".into(), LineFormat::Value).open().unwrap();
        sink.write(&values(&[Some(b"a")])).unwrap();
        let error = sink.flush().unwrap_err();
        assert_eq!(error.to_string(), "failed to write /dev/full");
    }
}
