//! Where compiled code is kept between starts. It is native code that the host runs unseen: who can write there is the
//! host. So it lies in a directory of this user's alone, and no directory above it may be changed by others.

use std::fs::{self, DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::unistd::geteuid;
use wasmtime::{Cache, CacheConfig};

use crate::error::Error;

/// Read, write or search by anybody but the owner.
const OTHERS: u32 = 0o077;
/// Write by anybody but the owner.
const OTHERS_WRITE: u32 = 0o022;
/// Entries can be renamed and removed by their owners only, as in /tmp.
const STICKY: u32 = 0o1000;
/// Who can write anywhere anyway.
const ROOT: u32 = 0;

/// Where compiled code is kept between starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CodeCache {
    /// In `weir/plugins` of the user's cache directory. If that is not the user's alone, nowhere, with a warning.
    #[default]
    Users,
    /// In this directory. If it is not the user's alone, that is an error.
    Directory(PathBuf),
    /// Nowhere: every start compiles.
    Off,
}

impl FromStr for CodeCache {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("it must be a directory, or off"),
            "off" => Ok(Self::Off),
            directory => Ok(Self::Directory(directory.into())),
        }
    }
}

impl CodeCache {
    /// Opens it; `None`: every start compiles, which is slower and otherwise the same.
    pub(crate) fn open(&self) -> Result<Option<Cache>, Error> {
        let users = match self {
            Self::Off => return Ok(None),
            Self::Directory(directory) => return open(directory).map(Some),
            Self::Users => users(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")),
        };
        let Some(directory) = users else {
            tracing::warn!("compiled plugins are not kept: set HOME or XDG_CACHE_HOME, or give --plugin-cache");
            return Ok(None);
        };
        match open(&directory) {
            Ok(cache) => Ok(Some(cache)),
            Err(error) => {
                tracing::warn!("{error}; every start compiles its plugins, unless --plugin-cache names another");
                Ok(None)
            }
        }
    }
}

/// The user's own cache directory. A relative one would follow the working directory, and is not meant.
fn users(cache: Option<std::ffi::OsString>, home: Option<std::ffi::OsString>) -> Option<PathBuf> {
    let cache = cache.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = home.map(PathBuf::from).filter(|path| path.is_absolute());
    Some(cache.or_else(|| Some(home?.join(".cache")))?.join("weir/plugins"))
}

fn open(directory: &Path) -> Result<Cache, Error> {
    let failed = |reason| Error::Cache { path: directory.to_owned(), reason };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    // Where links lead is what is checked, and what is used.
    let place = made.and_then(|()| fs::canonicalize(directory)).map_err(|e| failed(e.to_string()))?;
    check(&place).map_err(failed)?;
    let mut config = CacheConfig::new();
    config.with_directory(place);
    Cache::new(config).map_err(|e| failed(format!("{e:#}")))
}

/// Whether nobody but this user (and root) can put something into `place`, or something else in its place.
fn check(place: &Path) -> Result<(), String> {
    let user = geteuid().as_raw();
    for (above, path) in place.ancestors().enumerate() {
        let about = fs::symlink_metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let is_safe = if above == 0 { is_own(&about, user) } else { is_firm(about.uid(), about.mode(), user) };
        if !is_safe {
            let cure =
                if above == 0 { "it must belong to this user alone (chmod 700)" } else { "choose another place" };
            let (path, owner, mode) = (path.display(), about.uid(), about.mode() & 0o7777);
            return Err(format!("others can write {path} (owner {owner}, mode {mode:03o}); {cure}"));
        }
    }
    Ok(())
}

fn is_own(about: &Metadata, user: u32) -> bool {
    about.is_dir() && about.uid() == user && about.mode() & OTHERS == 0
}

/// True where no third party can move away or replace what `user` has in a directory.
fn is_firm(owner: u32, mode: u32, user: u32) -> bool {
    (owner == user || owner == ROOT) && (mode & OTHERS_WRITE == 0 || mode & STICKY != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn others_must_not_be_able_to_move_it_away() {
        for (owner, mode, expected) in [
            (7, 0o755, true),
            (ROOT, 0o755, true),
            (ROOT, 0o1777, true),
            (7, 0o775, false),
            (ROOT, 0o777, false),
            (8, 0o700, false),
        ] {
            assert_eq!(is_firm(owner, mode, 7), expected, "{owner} {mode:o}");
        }
    }

    #[test]
    fn it_is_made_for_its_user_alone() {
        let home = tempfile::TempDir::new().unwrap();
        let directory = home.path().join("a/plugins");
        open(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        open(&directory).unwrap();
        let link = home.path().join("link");
        symlink(&directory, &link).unwrap();
        open(&link).unwrap();
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let home = tempfile::TempDir::new().unwrap();
        let directory = home.path().join("a/plugins");
        open(&directory).unwrap();
        let link = home.path().join("link");
        symlink(&directory, &link).unwrap();
        for (path, mode) in [(&directory, 0o770), (&directory, 0o705), (&home.path().join("a"), 0o777)] {
            set_mode(path, mode);
            for given in [&directory, &link] {
                let error = open(given).expect_err("refused").to_string();
                assert!(error.contains("others can write") && error.contains(&format!("{mode:03o}")), "{error}");
            }
            set_mode(path, 0o700);
        }
        fs::write(home.path().join("file"), "").unwrap();
        assert!(open(&home.path().join("file")).is_err());
    }

    #[test]
    fn the_users_place_is_an_absolute_one() {
        let place = |cache: &str, home: &str| {
            let given = |text: &str| Some(text.into()).filter(|_| !text.is_empty());
            users(given(cache), given(home)).map(|path| path.display().to_string())
        };
        assert_eq!(place("/c", "/h").as_deref(), Some("/c/weir/plugins"));
        assert_eq!(place("c", "/h").as_deref(), Some("/h/.cache/weir/plugins"));
        assert_eq!(place("", "/h").as_deref(), Some("/h/.cache/weir/plugins"));
        assert_eq!(place("", ""), None);
    }
}
