//! HOT PATH. Sliding windows out of panes.
//!
//! A record is folded once, into its **pane**: the longest piece that every window holds whole or not at all. A window that
//! fires is merged from its panes. So that a window of 600 panes is not 599 merges each time, panes form **blocks** of 2, 4,
//! 8, .. aligned panes: a window is at most some 2 log₂ n blocks (`cover`), a block is merged once from its two halves
//! (`halves`) and serves every later window.
//!
//! ```text
//! panes     0  1  2  3  4  5  6  7  8  9  10 11
//! blocks    [0 1][2 3][4 5][6 7][8 9][10 11]
//!           [0 . . 3][4 . . 7][8 . . . 11]
//!           window of panes 1 to 10:  1 [2 3] [4 . . 7] [8 9] 10
//! ```
//! A record that comes when its pane has ended takes back the blocks above it: they are merged anew when a window needs them.
//! A key needs one timer, for its next window that has a pane.

use super::fixed::floor;
use super::{OutOfRange, ShapeError, Window, legal, length, offset};

/// The most panes of a window.
pub const PANES_MAX: i64 = 100_000;

/// Windows of one length that begin every so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panes {
    size_ms: i64,
    slide_ms: i64,
    pane_ms: i64,
    offset_ms: i64,
}

/// Some panes in a row: `2^level` of them, from number `index * 2^level` on. A pane is a block of level 0. What is kept for
/// a key is kept under its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The power of two.
    pub level: u8,
    /// Its number among the blocks of its level.
    pub index: i64,
}

impl Panes {
    /// Windows of `size_ms` that begin every `slide_ms`, one of them `offset_ms` after 1970.
    pub fn new(size_ms: i64, slide_ms: i64, offset_ms: i64) -> Result<Self, ShapeError> {
        let size_ms = length("a window", size_ms)?;
        let slide_ms = length("the span between two windows", slide_ms)?;
        if slide_ms > size_ms {
            return Err(ShapeError::Gaps { size_ms, slide_ms });
        }
        let offset_ms = offset(offset_ms, slide_ms)?;
        let pane_ms = common_divisor(size_ms, slide_ms);
        let panes = size_ms / pane_ms;
        if panes > PANES_MAX {
            return Err(ShapeError::Panes { panes });
        }
        Ok(Self { size_ms, slide_ms, pane_ms, offset_ms })
    }

    /// The pane that a record is folded into.
    ///
    /// ```
    /// use weir_time::window::{Panes, Window};
    ///
    /// let hours = Panes::new(3_600_000, 60_000, 0)?;
    /// let pane = hours.pane(90_000)?;
    /// assert_eq!(hours.span(pane), Window::new(60_000, 120_000));
    /// let window = hours.windows(90_000)?.last();
    /// assert_eq!(window, Some(Window::new(60_000, 3_660_000)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn pane(&self, timestamp_ms: i64) -> Result<Block, OutOfRange> {
        let at = legal(timestamp_ms)? - self.offset_ms;
        Ok(Block { level: 0, index: at.div_euclid(self.pane_ms) })
    }

    /// The time that a block covers.
    pub fn span(&self, block: Block) -> Window {
        let start_ms = (block.index << block.level) * self.pane_ms + self.offset_ms;
        Window::new(start_ms, start_ms + (self.pane_ms << block.level))
    }

    /// The windows that a record is in, in order.
    pub fn windows(&self, timestamp_ms: i64) -> Result<impl Iterator<Item = Window> + use<>, OutOfRange> {
        let Self { size_ms, slide_ms, offset_ms, .. } = *self;
        let last = floor(legal(timestamp_ms)?, slide_ms, offset_ms);
        let first = floor(timestamp_ms - size_ms, slide_ms, offset_ms) + slide_ms;
        let starts = (0..=(last - first) / slide_ms).map(move |step| first + step * slide_ms);
        Ok(starts.map(move |start_ms| Window::new(start_ms, start_ms + size_ms)))
    }

    /// The end of the first window that holds a record and has not fired yet: it ends after `fired_ms`, the watermark (or the
    /// least number, where there is none).
    pub fn first_end_ms(&self, timestamp_ms: i64, fired_ms: i64) -> Result<i64, OutOfRange> {
        Ok(self.first_end_of(legal(timestamp_ms)?, fired_ms))
    }

    /// The same for a pane that begins at `start_ms`.
    pub(super) fn first_end_of(&self, start_ms: i64, fired_ms: i64) -> i64 {
        let first = floor(start_ms - self.size_ms, self.slide_ms, self.offset_ms) + self.slide_ms;
        let end = first + self.size_ms;
        if fired_ms < end { end } else { self.next_end_ms(fired_ms) }
    }

    /// The end of the last window that holds all of `span`, a pane or a block: then nothing needs it any more.
    pub(super) fn gone_ms(&self, span: Window) -> i64 {
        floor(span.start_ms, self.slide_ms, self.offset_ms) + self.size_ms
    }

    /// The window that ends at `end_ms`, if one does.
    pub(super) fn ending_at(&self, end_ms: i64) -> Option<Window> {
        let window = self.window_to(end_ms);
        (floor(window.start_ms, self.slide_ms, self.offset_ms) == window.start_ms).then_some(window)
    }

    /// How long a pane is, in milliseconds.
    pub(super) fn pane_ms(&self) -> i64 {
        self.pane_ms
    }

    /// The end of the first window that ends after `end_ms`.
    pub fn next_end_ms(&self, end_ms: i64) -> i64 {
        let last_begin = floor(end_ms.saturating_sub(self.size_ms), self.slide_ms, self.offset_ms);
        last_begin.saturating_add(self.slide_ms + self.size_ms)
    }

    /// The window that ends at `end_ms`.
    pub fn window_to(&self, end_ms: i64) -> Window {
        Window::new(end_ms - self.size_ms, end_ms)
    }

    /// The fewest blocks that together are `window`, in order of time.
    pub fn cover(&self, window: Window) -> Vec<Block> {
        let mut from = (window.start_ms - self.offset_ms).div_euclid(self.pane_ms);
        let to = (window.end_ms - self.offset_ms).div_euclid(self.pane_ms);
        let mut blocks = Vec::new();
        while from < to {
            let aligned = from.trailing_zeros();
            let fits = (to - from).ilog2();
            let level = aligned.min(fits).min(self.level_max());
            blocks.push(Block { level: level.try_into().unwrap_or(0), index: from >> level });
            from += 1 << level;
        }
        blocks
    }

    /// How long a window is, in milliseconds.
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }

    /// How far apart windows begin, in milliseconds.
    pub fn slide_ms(&self) -> i64 {
        self.slide_ms
    }

    /// The level of the largest block that can be part of a window.
    fn level_max(&self) -> u32 {
        (self.size_ms / self.pane_ms).ilog2()
    }
}

impl Block {
    /// The two blocks it is merged from, the earlier first; `None` for a pane.
    pub fn halves(self) -> Option<[Self; 2]> {
        let level = self.level.checked_sub(1)?;
        Some([self.index * 2, self.index * 2 + 1].map(|index| Self { level, index }))
    }
}

fn common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::span::SPAN_MAX_MS;

    #[test]
    fn an_hour_each_minute_is_a_dozen_blocks_and_not_sixty_panes() {
        let panes = Panes::new(600_000, 1_000, 0).unwrap();
        let most = (0..600).map(|second| panes.cover(panes.window_to(600_000 + second * 1_000)).len()).max();
        assert!(most <= Some(17), "{most:?} blocks for 600 panes");
        assert_eq!(panes.windows(1_000_000).unwrap().count(), 600);
    }

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        assert_eq!(Panes::new(0, 1, 0), Err(ShapeError::Zero("a window")));
        assert_eq!(Panes::new(1, 0, 0), Err(ShapeError::Zero("the span between two windows")));
        assert_eq!(Panes::new(5, 10, 0), Err(ShapeError::Gaps { size_ms: 5, slide_ms: 10 }));
        assert_eq!(Panes::new(SPAN_MAX_MS, 1, 0), Err(ShapeError::Panes { panes: SPAN_MAX_MS }));
        assert_eq!(Panes::new(i64::MAX, i64::MAX, 0), Err(ShapeError::Long("a window")));
        assert_eq!(Panes::new(10, 5, 5), Err(ShapeError::Offset { offset_ms: 5, step_ms: 5 }));
    }

    fn shapes() -> impl Strategy<Value = Panes> {
        (1i64..200, 1i64..200, any::<u16>()).prop_map(|(a, b, offset)| {
            let (size, slide) = (a.max(b), a.min(b));
            Panes::new(size, slide, i64::from(offset) % slide).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_record_is_in_exactly_the_windows_that_hold_it(panes in shapes(), at in 0i64..10_000) {
            let windows: Vec<Window> = panes.windows(at).unwrap().collect();
            // By brute force: every begin of a window near enough.
            let starts = (at - 1_000..=at).filter(|start| (start - panes.offset_ms).rem_euclid(panes.slide_ms) == 0);
            let all = starts.map(|start| Window::new(start, start + panes.size_ms));
            prop_assert_eq!(&windows, &all.filter(|window| window.contains(at)).collect::<Vec<_>>());
            let pane = panes.pane(at).unwrap();
            prop_assert!(panes.span(pane).contains(at));
            prop_assert_eq!(panes.first_end_ms(at, i64::MIN).ok(), windows.first().map(|window| window.end_ms));
            prop_assert_eq!(Some(panes.gone_ms(panes.span(pane))), windows.last().map(|window| window.end_ms));
            for window in &windows {
                prop_assert_eq!(panes.ending_at(window.end_ms), Some(*window));
                prop_assert_eq!(panes.ending_at(window.end_ms + 1).is_some(), panes.slide_ms == 1);
            }
            // From one end to the next, all are visited.
            for pair in windows.windows(2) {
                prop_assert_eq!(panes.next_end_ms(pair[0].end_ms), pair[1].end_ms);
                prop_assert_eq!(panes.first_end_ms(at, pair[0].end_ms), Ok(pair[1].end_ms));
            }
        }

        #[test]
        fn a_window_is_covered_without_gap_or_overlap(panes in shapes(), at in 0i64..10_000) {
            for window in panes.windows(at).unwrap() {
                let cover = panes.cover(window);
                let mut reached = window.start_ms;
                for block in &cover {
                    prop_assert_eq!(panes.span(*block).start_ms, reached);
                    reached = panes.span(*block).end_ms;
                }
                prop_assert_eq!(reached, window.end_ms);
                let mine = cover.iter().filter(|block| panes.span(**block).contains(at)).collect::<Vec<_>>();
                prop_assert_eq!(mine.len(), 1, "{:?}", mine);
            }
        }

        #[test]
        fn a_block_is_its_halves(panes in shapes(), level in 1u8..10, index in -50i64..50) {
            let block = Block { level, index };
            let [first, second] = block.halves().unwrap().map(|half| panes.span(half));
            let span = panes.span(block);
            prop_assert_eq!((first.start_ms, first.end_ms, second.end_ms), (span.start_ms, second.start_ms, span.end_ms));
        }
    }
}
