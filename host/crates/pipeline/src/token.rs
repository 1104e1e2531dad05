//! Where the token of the API is kept. It is a secret, and a command line is none: so is never what is said of it here the
//! token itself, but `@FILE`.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The file that holds it, as it was said. What is said otherwise may be the token, and is forgotten at once; it is judged with all
/// else that is wrong, so that nobody repeats it.
///
/// ```
/// use weir_pipeline::TokenFile;
///
/// let kept: TokenFile = "@/run/secrets/weir".parse()?;
/// assert_eq!(kept.path(), Some(std::path::Path::new("/run/secrets/weir")));
/// let said: TokenFile = "hunter2".parse()?;
/// assert!(!format!("{said:?}").contains("hunter2"));
/// # Ok::<_, std::convert::Infallible>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile(Option<PathBuf>);

impl TokenFile {
    /// What to say of one that is none.
    pub const WRONG: &'static str = "it is kept in a file, not said: write @FILE, or set WEIR_API_TOKEN";

    /// The file; `None` where something else was said.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Relative to `folder`.
    pub(crate) fn rebase(&mut self, folder: &Path) {
        self.0.iter_mut().for_each(|path| *path = folder.join(&*path));
    }
}

impl FromStr for TokenFile {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.strip_prefix('@').filter(|path| !path.is_empty()).map(PathBuf::from)))
    }
}
