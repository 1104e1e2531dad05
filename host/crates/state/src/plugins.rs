//! The plugins that a job runs or has run, beside its state: each by the BLAKE3 of its file, which its records have, and the
//! history of what took over from what. A directory that is copied or restored has them, too.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;
use weir_core::Digest;

use crate::error::Error;
use crate::files;
use crate::format::PLUGINS;

/// So many are kept: those that were used last, and whatever is in use.
const KEPT: usize = 16;
const SUFFIX: &str = ".wasm";
/// What took over when, and why; a line each.
const HISTORY: &str = "history";
/// Of so many bytes the older half is forgotten.
const HISTORY_BYTES_MAX: u64 = 256 << 10;

/// Whether it is a file of this folder.
pub(crate) fn is_part(name: &str) -> bool {
    name == HISTORY || name.ends_with(SUFFIX)
}

/// The folder.
#[derive(Debug, Clone)]
pub struct PluginFiles(PathBuf);

impl PluginFiles {
    pub(crate) fn of(dir: &Path) -> Self {
        Self(dir.join(PLUGINS))
    }

    /// Where the file of this digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{digest}{SUFFIX}"))
    }

    /// Keeps a file, durably: a record may name it from now on. Gives its digest, and whether it is new here. One at a time.
    pub fn keep(&self, bytes: &[u8]) -> Result<(Digest, bool), Error> {
        let digest = Digest(blake3::hash(bytes).to_hex().to_string());
        let path = self.path(&digest);
        let is_whole = fs::read(&path).is_ok_and(|kept| kept == bytes);
        if is_whole {
            // It was used now.
            let now = TimeSpec::UTIME_NOW;
            let touched = File::open(&path).and_then(|file| Ok(futimens(&file, &now, &now)?));
            touched.map_err(Error::io("touch", &path))?;
        } else {
            files::create_dirs(&self.0)?;
            files::put(&self.0, &format!("{digest}{SUFFIX}"), bytes)?;
        }
        Ok((digest, !is_whole))
    }

    /// Keeps the file at `from`, which had this digest when it was loaded. One that is here with its length is believed; one
    /// that is another file by now is not kept, which `false` says.
    pub fn keep_loaded(&self, from: &Path, digest: &Digest) -> Result<bool, Error> {
        let len = fs::metadata(from).map_err(Error::io("look at", from))?.len();
        if fs::metadata(self.path(digest)).is_ok_and(|kept| kept.len() == len) {
            return Ok(true);
        }
        let bytes = fs::read(from).map_err(Error::io("read", from))?;
        let is_itself = digest.0 == blake3::hash(&bytes).to_hex().as_str();
        Ok(is_itself && self.keep(&bytes).map(|_| true)?)
    }

    /// Removes one that nothing came of.
    pub fn forget(&self, digest: &Digest) -> Result<(), Error> {
        files::remove_file(&self.path(digest))
    }

    /// Removes what was used longest ago, and is none of those `in_use`.
    pub fn trim(&self, in_use: &[Digest]) -> Result<(), Error> {
        let mut used = Vec::new();
        for name in files::names(&self.0)? {
            let Some(digest) = name.strip_suffix(SUFFIX) else { continue };
            let path = self.0.join(&name);
            let at = fs::metadata(&path).and_then(|file| file.modified()).map_err(Error::io("look at", &path))?;
            used.push((at, in_use.iter().any(|used| used.0 == digest), path));
        }
        used.sort();
        let surplus = used.len().saturating_sub(KEPT);
        let unused = used.iter().filter(|(_, in_use, _)| !in_use).take(surplus);
        unused.map(|(_, _, path)| path).try_for_each(|path| files::remove_file(path))
    }

    /// Adds a line to the history, durably.
    pub fn note(&self, line: &str) -> Result<(), Error> {
        files::create_dirs(&self.0)?;
        let path = self.0.join(HISTORY);
        if fs::metadata(&path).is_ok_and(|file| file.len() > HISTORY_BYTES_MAX) {
            let lines = self.history()?;
            let newer: String = lines.iter().skip(lines.len() / 2).map(|line| format!("{line}\n")).collect();
            files::put(&self.0, HISTORY, newer.as_bytes())?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
        // In one write: what a crash cut short is no line.
        let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data());
        written.map_err(Error::io("write", &path))?;
        files::sync_dir(&self.0)
    }

    /// The history, the oldest first; a line that a crash cut short is left out.
    pub fn history(&self) -> Result<Vec<String>, Error> {
        let path = self.0.join(HISTORY);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        Ok(text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, PluginFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = PluginFiles::of(dir.path());
        (dir, files)
    }

    #[test]
    fn a_file_is_found_by_what_is_in_it_and_mended_when_it_is_not() {
        let (_dir, files) = files();
        let (digest, is_new) = files.keep(b"one").unwrap();
        assert_eq!((fs::read(files.path(&digest)).unwrap().as_slice(), is_new), (&b"one"[..], true));
        fs::write(files.path(&digest), b"on").unwrap();
        assert_eq!(files.keep(b"one").unwrap(), (digest.clone(), true));
        assert_eq!(files.keep(b"one").unwrap(), (digest.clone(), false));
        assert_eq!(fs::read(files.path(&digest)).unwrap(), b"one");
        files.forget(&digest).unwrap();
        assert!(!files.path(&digest).exists());
    }

    #[test]
    fn a_file_that_was_loaded_is_kept_unless_it_is_another_by_now() {
        let (dir, files) = files();
        let from = dir.path().join("p.wasm");
        fs::write(&from, b"one").unwrap();
        let digest = Digest(blake3::hash(b"one").to_hex().to_string());
        assert!(files.keep_loaded(&from, &digest).unwrap());
        assert_eq!(fs::read(files.path(&digest)).unwrap(), b"one");
        fs::write(&from, b"other").unwrap();
        files.forget(&digest).unwrap();
        assert!(!files.keep_loaded(&from, &digest).unwrap());
        assert!(!files.path(&digest).exists());
    }

    #[test]
    fn only_those_used_last_are_kept_and_those_in_use() {
        let (_dir, files) = files();
        let (runs, _) = files.keep(b"runs").unwrap();
        let (first, _) = files.keep(b"first").unwrap();
        for number in 0..2 * KEPT {
            files.keep(format!("{number}").as_bytes()).unwrap();
            // Used again and again, it stays.
            files.keep(b"first").unwrap();
        }
        files.trim(std::slice::from_ref(&runs)).unwrap();
        assert_eq!(files::names(&files.0).unwrap().len(), KEPT);
        assert!(files.path(&first).exists() && files.path(&runs).exists());
        assert!(!files.path(&Digest(blake3::hash(b"0").to_hex().to_string())).exists());
    }

    #[test]
    fn the_history_is_bounded_and_a_line_that_was_cut_is_none() {
        let (_dir, files) = files();
        assert_eq!(files.history().unwrap(), Vec::<String>::new());
        let line = "x".repeat(64 << 10);
        for number in 0..8 {
            files.note(&format!("{number}{line}")).unwrap();
        }
        let lines = files.history().unwrap();
        assert!(lines.len() < 8 && lines.last().unwrap().starts_with('7'), "{}", lines.len());
        let mut file = OpenOptions::new().append(true).open(files.0.join(HISTORY)).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(files.history().unwrap(), lines);
    }
}
