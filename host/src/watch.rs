//! `--watch`: a plugin whose file changes takes over.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use weir_api::control::{PROBATION, SwapRequest};
use weir_api::model::{Refusal, RefusalKind};
use weir_pipeline::Plan;

use crate::control::JobControl;

/// How often files are looked at. A tool chain writes in bursts: a file is taken once it looks the same twice.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a file looks from outside: when it was changed, to the nanosecond, and its length.
type Looks = Option<(i64, i64, u64)>;

/// The plugin of an operator.
struct Watched {
    operator: String,
    path: PathBuf,
    /// What was looked at last.
    looks: Looks,
    /// What was taken last, or what the job was started with.
    taken: Looks,
    /// Whether it was told that what it is now has to wait.
    has_told: bool,
}

/// Watches the plugins of `plan` for as long as the process lives.
pub(crate) fn start(plan: &Plan, control: JobControl) -> Result<()> {
    let mut watched: Vec<Watched> =
        plan.operators.iter().map(|operator| Watched::new(operator.name.clone(), operator.plugin.clone())).collect();
    let watch = move || loop {
        weir_machine::sleep(LOOK_EVERY);
        for file in &mut watched {
            if file.has_settled() {
                take_over(file, &control);
            }
        }
    };
    weir_machine::spawn("weir-watch", watch).map(drop).context("failed to watch the plugins")
}

fn looks(path: &Path) -> Looks {
    let file = fs::metadata(path).ok()?;
    Some((file.mtime(), file.mtime_nsec(), file.len()))
}

impl Watched {
    fn new(operator: String, path: PathBuf) -> Self {
        let looks = looks(&path);
        Self { operator, path, looks, taken: looks, has_told: false }
    }

    /// Nothing more is to be done with it as it is.
    fn take(&mut self) {
        (self.taken, self.has_told) = (self.looks, false);
    }

    /// Whether it is another file than was taken, and nobody writes it any more.
    fn has_settled(&mut self) -> bool {
        let now = looks(&self.path);
        let is_settled = now.is_some() && now == self.looks && now != self.taken;
        self.looks = now;
        is_settled
    }
}

/// Where the job cannot be changed just now, it is tried again.
fn take_over(file: &mut Watched, control: &JobControl) {
    let Watched { operator, path, .. } = &*file;
    let plugin = match fs::read(path) {
        Ok(bytes) => bytes.into(),
        Err(error) => {
            tracing::warn!(operator, path = %path.display(), %error, "the plugin cannot be read");
            return file.take();
        }
    };
    let request = SwapRequest { plugin, config: None, probation: PROBATION, dry_run: false };
    match control.take_over(operator, request) {
        Err(Refusal { kind: RefusalKind::Busy, error }) => {
            if !file.has_told {
                tracing::info!(operator, path = %path.display(), "the plugin has changed, and waits: {error}");
            }
            file.has_told = true;
        }
        Err(Refusal { error, .. }) => {
            tracing::warn!(operator, path = %path.display(), "the plugin has changed, and does not take over: {error}");
            file.take();
        }
        // The job has logged it.
        Ok(_) => file.take(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_once_it_rests() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.wasm");
        fs::write(&path, b"1").unwrap();
        let mut file = Watched::new("o".into(), path.clone());
        assert!(!file.has_settled(), "it is what the job was started with");
        fs::write(&path, b"12").unwrap();
        assert!(!file.has_settled(), "it is perhaps being written");
        fs::write(&path, b"123").unwrap();
        assert!(!file.has_settled());
        assert!(file.has_settled() && file.has_settled(), "until it is taken");
        file.take();
        assert!(!file.has_settled());
        fs::remove_file(&path).unwrap();
        assert!(!file.has_settled() && !file.has_settled());
        fs::write(&path, b"1234").unwrap();
        assert!(!file.has_settled() && file.has_settled());
    }
}
