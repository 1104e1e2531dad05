//! What tells a file from another one of the same name: a digest of the first and the last bytes of what was to be read
//! of it. Device and number of the file stand beside it for the eye only: they change when a file is copied to another
//! machine, and stay the same when it is written anew, so the bytes decide.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// How much of either end is looked at; all of a file that is no longer than twice that.
const WINDOW_BYTES: u64 = 64 << 10;
const FORM: &str = "blake3";
/// Hexadecimal digits of the digest that are kept: 128 bits.
const DIGEST_CHARS: usize = 32;

/// The beginning of a file, up to some byte, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    digest: String,
    place: Place,
}

/// Where a file lies: no path, so that two names of one file are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
}

impl Place {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Whether both paths lead to one file that is there.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.metadata().map(|found| Place::of(&found));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

impl Fingerprint {
    /// Of the first `end` bytes of `file`, which has them.
    pub(crate) fn take(file: &File, end: u64) -> io::Result<Self> {
        let head_end = end.min(WINDOW_BYTES);
        let tail_begin = end.saturating_sub(WINDOW_BYTES).max(head_end);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&end.to_le_bytes());
        for (from, to) in [(0, head_end), (tail_begin, end)] {
            let mut window = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
            file.read_exact_at(&mut window, from)?;
            hasher.update(&window);
        }
        let mut digest = hasher.finalize().to_hex().to_string();
        digest.truncate(DIGEST_CHARS);
        Ok(Self { digest, place: Place::of(&file.metadata()?) })
    }

    /// Reads what `Display` wrote; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (form, digest) = (parts.next()?, parts.next()?);
        let (device, inode) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_whole = form == FORM && digest.len() == DIGEST_CHARS && parts.next().is_none();
        is_whole.then(|| Self { digest: digest.to_owned(), place: Place { device, inode } })
    }

    /// Whether the bytes are the same, wherever they lie.
    pub(crate) fn has_bytes_of(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether it is the same file on the same disk.
    pub(crate) fn lies_where(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM}:{}:{}:{}", self.digest, self.place.device, self.place.inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_end_counts_and_the_text_says_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let take = |bytes: &[u8], end: u64| {
            std::fs::write(&path, bytes).unwrap();
            Fingerprint::take(&File::open(&path).unwrap(), end).unwrap()
        };
        for len in [0, 1, WINDOW_BYTES, WINDOW_BYTES + 1, 2 * WINDOW_BYTES, 3 * WINDOW_BYTES] {
            let mut bytes = vec![b'a'; len as usize + 5];
            let first = take(&bytes, len);
            assert_eq!(Fingerprint::parse(&first.to_string()), Some(first.clone()), "{len}");
            bytes.push(b'b');
            assert!(take(&bytes, len).has_bytes_of(&first), "{len}: what comes later does not count");
            for at in [0, len.saturating_sub(1)].map(|at| at as usize).into_iter().filter(|at| *at < len as usize) {
                bytes[at] = b'x';
                assert!(!take(&bytes, len).has_bytes_of(&first), "{len}: byte {at}");
                bytes[at] = b'a';
            }
        }
        for text in ["", "blake3", "AbCdEf:1:2", "blake3:00:1:2", "blake3:00000000000000000000000000000000:1:2:3"] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_has_many_names() {
        let dir = tempfile::tempdir().unwrap();
        let [one, hard, soft, other] = ["one", "hard", "soft", "other"].map(|name| dir.path().join(name));
        for path in [&one, &other] {
            std::fs::write(path, "x\n").unwrap();
        }
        std::fs::hard_link(&one, &hard).unwrap();
        std::os::unix::fs::symlink(&one, &soft).unwrap();
        for same in [&one, &hard, &soft, &dir.path().join("./one")] {
            assert!(is_same_file(&one, same), "{}", same.display());
        }
        assert!(!is_same_file(&one, &other) && !is_same_file(&one, &dir.path().join("missing")));
    }
}
