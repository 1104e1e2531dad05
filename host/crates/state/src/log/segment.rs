//! One file of the epoch log: reading it back, and telling a torn tail from damage.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use weir_core::Digest;

use super::digest_of;
use super::record::{HEADER, Header, UNKNOWN_VERSION};
use crate::error::Error;
use crate::files;

/// A segment on disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Bytes of whole records.
    pub(super) len: u64,
    /// Bytes of the file; more than `len` while a torn tail is still there.
    pub(super) file_len: u64,
    pub(super) records: usize,
}

/// A record found in a segment.
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) header: Header,
    pub(super) digest: Digest,
}

/// What follows the last whole record.
enum End {
    /// Nothing.
    Clean,
    /// Less than a record: its header is cut short, or checks and promises more than there is.
    Short,
    /// Bytes that do not check; `search_from` is where another record may begin.
    Bad { reason: &'static str, search_from: u64 },
}

impl Segment {
    /// Where segment `number` is.
    pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number:010}.log"))
    }

    /// Reads the segment, handing each record to `each`. A tail that never became a whole record is left out, if this
    /// is the `last` segment; anything else that does not check is an error.
    pub(super) fn scan(dir: &Path, number: u64, last: bool, mut each: impl FnMut(Found)) -> Result<Self, Error> {
        let path = Self::path(dir, number);
        let read = Error::io("read", &path);
        let mut count = 0;
        let scanned = scan_file(&path, |found| {
            count += 1;
            each(found);
        })
        .and_then(|(len, file_len, end)| {
            let follows = match end {
                End::Bad { search_from, .. } if last => record_follows(&path, search_from)?,
                _ => false,
            };
            Ok((len, file_len, end, follows))
        });
        let (len, file_len, end, follows) = scanned.map_err(read)?;
        let reason = match end {
            End::Clean => None,
            End::Short if last => None,
            End::Short => Some("the file ends within a record, but a later segment exists"),
            End::Bad { reason, .. } if reason == UNKNOWN_VERSION || !last || follows => Some(reason),
            End::Bad { .. } => None,
        };
        if let Some(reason) = reason {
            return Err(Error::Damaged { path, offset: len, reason });
        }
        if file_len > len {
            tracing::warn!(segment = %path.display(), offset = len, bytes = file_len - len, "torn tail left out");
        }
        Ok(Self { number, path, len, file_len, records: count })
    }
}

/// Reads records until the end or until one does not check: (bytes of whole records, bytes of the file, what follows).
fn scan_file(path: &Path, mut each: impl FnMut(Found)) -> std::io::Result<(u64, u64, End)> {
    let file = File::open(path)?;
    let file_len = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut offset = 0;
    loop {
        let left = file_len - offset;
        if left == 0 {
            return Ok((offset, file_len, End::Clean));
        }
        if left < HEADER as u64 {
            return Ok((offset, file_len, End::Short));
        }
        let mut bytes = [0; HEADER];
        reader.read_exact(&mut bytes)?;
        let header = match Header::decode(&bytes) {
            Ok(header) => header,
            Err(reason) => return Ok((offset, file_len, End::Bad { reason, search_from: offset + 1 })),
        };
        let Some(len) = header.record_len().filter(|&len| len <= left) else {
            return Ok((offset, file_len, End::Short));
        };
        let crc = crc_of_next(&mut reader, u64::from(header.plan_len), 0)?;
        let mut manifest = vec![0; header.manifest_len as usize];
        reader.read_exact(&mut manifest)?;
        let crc = crc_of_next(&mut reader, header.payload_len, crc32c::crc32c_append(crc, &manifest))?;
        if crc != header.body_crc {
            let reason = "the checksum of the record's body does not match";
            return Ok((offset, file_len, End::Bad { reason, search_from: offset + len }));
        }
        each(Found { offset, header, digest: digest_of(&manifest) });
        offset += len;
    }
}

/// Continues `crc` over the next `left` bytes, without keeping them.
fn crc_of_next(reader: &mut impl BufRead, mut left: u64, mut crc: u32) -> std::io::Result<u32> {
    while left > 0 {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let used = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        crc = crc32c::crc32c_append(crc, &chunk[..used]);
        reader.consume(used);
        left -= used as u64;
    }
    Ok(crc)
}

/// Whether a whole record lies anywhere at or behind `from`: then what is before it was whole once, too, and is damaged
/// rather than torn. Bounded by the size of a segment, and only read when something does not check.
fn record_follows(path: &Path, from: u64) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((0..bytes.len()).any(|at| is_record(&bytes[at..])))
}

/// Whether `bytes` begin with a whole record.
fn is_record(bytes: &[u8]) -> bool {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return false };
    let Ok(header) = Header::decode(header) else { return false };
    let body = header.payload_len.checked_add(header.text_len()).and_then(|len| usize::try_from(len).ok());
    body.and_then(|len| rest.get(..len)).is_some_and(|body| crc32c::crc32c(body) == header.body_crc)
}

/// The numbers of the segments in `dir`, in order.
pub(super) fn numbers(dir: &Path) -> Result<Vec<u64>, Error> {
    Ok(files::names(dir)?.iter().filter_map(|name| number(name)).collect())
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 10)?.parse().ok()
}

/// Whether a file of this name is part of a log.
pub(crate) fn is_segment(name: &str) -> bool {
    number(name).is_some()
}
