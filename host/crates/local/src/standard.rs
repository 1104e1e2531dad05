//! Standard input and standard output, as this process was given them.
//!
//! A stream that whoever started the process has closed (`>&-`) is opened by Rust's runtime before `main`: as `/dev/null`,
//! which takes everything and gives nothing. Later nothing tells it from a `/dev/null` that was meant: Python's `DEVNULL`
//! and daemons open theirs in the same way. So each is looked at before that, by a function that the loader calls.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

/// Links that are followed on the way to a stream; `/dev/stdout` has two.
const LINKS_MAX: usize = 8;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What is read.
    Input,
    /// What is written to.
    Output,
}

static INPUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);
static OUTPUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look;

extern "C" fn look() {
    INPUT_WAS_CLOSED.store(is_closed(&io::stdin()), Ordering::Relaxed);
    OUTPUT_WAS_CLOSED.store(is_closed(&io::stdout()), Ordering::Relaxed);
}

fn is_closed(stream: &impl AsFd) -> bool {
    stream.as_fd().try_clone_to_owned().is_err()
}

impl Stream {
    /// Refuses one that was closed when the process began.
    pub fn check(self) -> Result<(), Error> {
        let was_closed = match self {
            Self::Input => &INPUT_WAS_CLOSED,
            Self::Output => &OUTPUT_WAS_CLOSED,
        };
        if was_closed.load(Ordering::Relaxed) { Err(Error::Closed(self)) } else { Ok(()) }
    }

    /// Which one `path` leads to, if any, as `/dev/stdout` and `/dev/fd/1` do.
    pub fn at(path: &Path) -> Option<Self> {
        let descriptors = Path::new("/proc/self/fd").canonicalize().ok()?;
        let mut path = PathBuf::from(path);
        for _ in 0..LINKS_MAX {
            let parent = path.parent()?;
            if parent.canonicalize().ok()? == descriptors {
                return match path.file_name()?.to_str()? {
                    "0" => Some(Self::Input),
                    "1" => Some(Self::Output),
                    _ => None,
                };
            }
            path = parent.join(path.read_link().ok()?);
        }
        None
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "stdin",
            Self::Output => "stdout",
        })
    }
}

/// Standard output, to write to: the descriptor itself, for `io::stdout` takes one that cannot be written to for one that
/// swallows everything.
pub fn output() -> Result<File, Error> {
    Stream::Output.check()?;
    let own = io::stdout().as_fd().try_clone_to_owned().map_err(Error::Stdout)?;
    Ok(own.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_lead_to_a_stream() {
        let home = tempfile::tempdir().unwrap();
        let link = |name: &str, to: &str| {
            let path = home.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            path.display().to_string()
        };
        std::fs::write(home.path().join("1"), "").unwrap();
        for (path, wanted) in [
            ("/dev/stdin", Some(Stream::Input)),
            ("/dev/stdout", Some(Stream::Output)),
            ("/dev/stderr", None),
            ("/dev/fd/1", Some(Stream::Output)),
            ("/proc/self/fd/../fd/1", Some(Stream::Output)),
            (&link("link", "/dev/stdout"), Some(Stream::Output)),
            (&link("own", "own"), None),
            (&home.path().join("1").display().to_string(), None),
            ("1", None),
            ("/", None),
        ] {
            assert_eq!(Stream::at(Path::new(path)), wanted, "{path}");
        }
    }
}
