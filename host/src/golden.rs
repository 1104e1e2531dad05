//! Golden cases: what goes into a plugin and what must come out, played on its wasm by the operator code of a run, without
//! Kafka. `plugins/README.md` describes the file, which is the same for all languages.

/// The file.
mod case;
/// What differs, as text.
mod difference;
/// A report that build servers read.
mod junit;
/// A plugin on a stage: state, and no job around it.
mod play;

pub(crate) use case::{Case, read, written};
pub(crate) use difference::difference;
pub(crate) use junit::{Outcome, report};
pub(crate) use play::{Stage, Way};

/// What a case makes of its input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What came out: the output, and the record as the file writes it. In order for each output.
    pub(crate) output: Vec<(u32, String)>,
    /// Which steps of `in` failed.
    pub(crate) failures: Vec<usize>,
    /// How many records were late.
    pub(crate) late: usize,
    /// What timers and windows failed with.
    pub(crate) failed_due: Vec<String>,
}

impl Seen {
    /// Whether the other is the same, with what came out in order for each output.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let sorted = |seen: &Self| {
            let mut seen = seen.clone();
            seen.output.sort_by_key(|(output, _)| *output);
            seen
        };
        sorted(self) == sorted(other)
    }
}
