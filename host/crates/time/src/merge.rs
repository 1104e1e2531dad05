//! One watermark out of many inputs: the splits of a source, the senders of a task.
//!
//! ```text
//! inputs that are waited for    their least watermark
//! none of those, some idle      the greatest of the idle ones: whichever of them fell silent last, the result is the same
//! all at the end of time        the end of time
//! ```
//! An input at the end of time is none of these: it says nothing about the others. The result never goes back: an input that
//! wakes up, or is added, behind it holds it where it is.

use weir_core::{Progress, Rising, Watermark};

/// Merges the progress of inputs, known by their index.
///
/// ```
/// use weir_time::{Merge, Progress, Watermark};
///
/// let mut merge = Merge::new(2, Watermark::NONE);
/// let at = |ms, idle| Progress { watermark: Watermark::at(ms), idle };
/// merge.set(0, at(70, false));
/// assert_eq!(merge.step(), None, "the other has said nothing yet");
/// merge.set(1, at(50, false));
/// assert_eq!(merge.step(), Some(at(50, false)));
/// merge.set(1, at(50, true));
/// assert_eq!(merge.step(), Some(at(70, false)), "an idle input holds nothing back");
/// ```
#[derive(Debug, Clone)]
pub struct Merge {
    inputs: Vec<Progress>,
    /// Where they all stand, as it was said last.
    time: Rising,
    idle: bool,
}

impl Merge {
    /// For `inputs` inputs that have said nothing yet; `floor` is where the last epoch left the result, below which it
    /// never goes.
    pub fn new(inputs: usize, floor: Watermark) -> Self {
        Self { inputs: vec![Progress::NONE; inputs], time: Rising::new(floor), idle: false }
    }

    /// One more input, which is waited for at once. Returns its index.
    pub fn add(&mut self) -> usize {
        self.inputs.push(Progress::NONE);
        self.inputs.len() - 1
    }

    /// `input` has said `progress`. A watermark less than it said before counts as that one.
    pub fn set(&mut self, input: usize, progress: Progress) {
        if let Some(known) = self.inputs.get_mut(input) {
            *known = Progress { watermark: known.watermark.max(progress.watermark), idle: progress.idle };
        }
    }

    /// The progress of all together, where it is another than last time.
    pub fn step(&mut self) -> Option<Progress> {
        let (before, merged) = (self.progress(), self.merged());
        self.time.raise(merged.watermark);
        self.idle = merged.idle;
        let progress = self.progress();
        (progress != before).then_some(progress)
    }

    /// What [`Self::step`] said last: where the time of all together stands.
    pub fn progress(&self) -> Progress {
        Progress { watermark: self.time.get(), idle: self.idle }
    }

    /// What an epoch keeps: where the time of all together stands, or stood before the end of time.
    pub fn floor(&self) -> Watermark {
        self.time.floor()
    }

    fn merged(&self) -> Progress {
        let lasting = || self.inputs.iter().filter(|input| input.watermark != Watermark::END);
        let awaited = lasting().filter(|input| !input.idle).map(|input| input.watermark).min();
        let idle = lasting().filter(|input| input.idle).map(|input| input.watermark).max();
        match (awaited, idle) {
            (Some(watermark), _) => Progress { watermark, idle: false },
            (None, Some(watermark)) => Progress { watermark, idle: true },
            // Without inputs nothing can come, and nothing is known.
            (None, None) if self.inputs.is_empty() => Progress { watermark: Watermark::NONE, idle: true },
            (None, None) => Progress { watermark: Watermark::END, idle: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `5`, `5i` for idle, `end`, `-` for nothing said.
    fn progress(text: &str) -> Progress {
        let (number, idle) = text.strip_suffix('i').map_or((text, false), |number| (number, true));
        let watermark = match number {
            "-" => Watermark::NONE,
            "end" => Watermark::END,
            ms => Watermark::at(ms.parse().unwrap()),
        };
        Progress { watermark, idle }
    }

    #[test]
    fn inputs_merge_as_the_table_says() {
        let table: &[(&[&str], &str)] = &[
            (&["5", "7"], "5"),
            (&["5i", "7"], "7"),
            (&["5i", "7i"], "7i"),
            (&["-", "7"], "-"),
            (&["-i", "7"], "7"),
            (&["-i", "-i"], "-i"),
            (&["end", "7"], "7"),
            (&["end", "7i"], "7i"),
            (&["end", "-"], "-"),
            (&["end", "end"], "end"),
            (&[], "-i"),
        ];
        for (inputs, expected) in table {
            let mut merge = Merge::new(inputs.len(), Watermark::NONE);
            for (input, text) in inputs.iter().enumerate() {
                merge.set(input, progress(text));
            }
            merge.step();
            assert_eq!(merge.progress(), progress(expected), "{inputs:?}");
        }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut merge = Merge::new(1, Watermark::at(10));
        assert_eq!(merge.step(), None);
        merge.set(0, progress("10"));
        assert_eq!(merge.step(), None);
        merge.set(0, progress("10i"));
        assert_eq!(merge.step(), Some(progress("10i")));
        assert_eq!(merge.step(), None);
    }

    #[test]
    fn an_input_that_goes_back_counts_as_before() {
        let mut merge = Merge::new(2, Watermark::NONE);
        merge.set(0, progress("10"));
        merge.set(1, progress("5"));
        merge.step();
        merge.set(0, progress("7"));
        merge.set(1, progress("20"));
        assert_eq!(merge.step(), Some(progress("10")));
    }

    #[test]
    fn an_added_input_holds_the_watermark_and_does_not_set_it_back() {
        let mut merge = Merge::new(1, Watermark::NONE);
        merge.set(0, progress("10"));
        merge.step();
        let late = merge.add();
        merge.set(0, progress("20"));
        assert_eq!(merge.step(), None);
        merge.set(late, progress("15"));
        assert_eq!(merge.step(), Some(progress("15")));
    }

    proptest! {
        #[test]
        fn the_result_never_goes_back_and_does_not_depend_on_order(
            says in proptest::collection::vec((0usize..4, -50i64..50, any::<bool>()), 0..60),
            floor in -50i64..50,
        ) {
            let mut merge = Merge::new(4, Watermark::at(floor));
            let mut last = merge.progress().watermark;
            for &(input, ms, idle) in &says {
                merge.set(input, Progress { watermark: Watermark::at(ms), idle });
                merge.step();
                prop_assert!(merge.progress().watermark >= last);
                last = merge.progress().watermark;
            }
            // A merge that hears only how each input stands at last, in any order, comes to the same, if it was not ahead.
            let mut anew = Merge::new(4, Watermark::NONE);
            for (input, stands) in merge.inputs.iter().enumerate().rev() {
                anew.set(input, *stands);
            }
            anew.step();
            prop_assert!(anew.progress().watermark <= merge.progress().watermark);
            prop_assert_eq!(anew.progress().idle, merge.progress().idle);
        }
    }
}
