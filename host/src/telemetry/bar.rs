//! The progress bar on standard error. Only the thread that writes there draws it: neither a line nor a terminal that
//! was stopped (Ctrl-S) gets in the way of what the bar tells of.

use std::fmt::Write;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// Of a bounded run.
    Records,
    /// Of a copy.
    Bytes,
}

impl Counts {
    fn template(self) -> &'static str {
        match self {
            Self::Records => "{bar:40} {percent:>3} %  {human_pos} of {human_len}  {speed}  {eta} left",
            Self::Bytes => "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
        }
    }
}

/// What a bar should show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    /// Of what.
    pub(crate) counts: Counts,
    /// How much is done.
    pub(crate) done: u64,
    /// Of how much.
    pub(crate) total: u64,
}

/// The bar that is on the screen, if there is one.
#[derive(Default)]
pub(super) struct Drawn(Option<ProgressBar>);

impl Drawn {
    /// Draws it, or takes it away. A terminal that cannot be drawn on is passed over in silence.
    pub(super) fn show(&mut self, bar: Option<Bar>) {
        let Some(Bar { counts, done, total }) = bar else {
            if let Some(drawn) = self.0.take() {
                drawn.finish_and_clear();
            }
            return;
        };
        let drawn = self.0.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(counts.template());
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            // A bar has nobody to complain to.
            let speed = |state: &ProgressState, out: &mut dyn Write| {
                write!(out, "{}", speed(state.per_sec())).unwrap_or_default();
            };
            ProgressBar::no_length().with_style(style.with_key("speed", speed))
        });
        drawn.set_length(total);
        drawn.set_position(done);
    }

    /// Does `work`, which writes to the same screen, without running through the bar.
    pub(super) fn beside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(drawn) => drawn.suspend(work),
            None => work(),
        }
    }
}

/// Nobody counts in parts of records.
fn speed(per_second: f64) -> String {
    format!("{}/s", HumanCount(per_second.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_whole() {
        for (per_second, wanted) in [(4.9747, "5/s"), (0.2, "0/s"), (289_528.4, "289,528/s"), (f64::NAN, "0/s")] {
            assert_eq!(speed(per_second), wanted);
        }
    }
}
