//! HOT PATH. Tumbling windows of a fixed length.

use super::{OutOfRange, ShapeError, Window, legal, length, offset};

/// Windows of `size_ms` each, of which one begins at `offset_ms` after 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    size_ms: i64,
    offset_ms: i64,
}

impl Fixed {
    /// Windows of `size_ms`, which begin `offset_ms` later than multiples of it.
    pub fn new(size_ms: i64, offset_ms: i64) -> Result<Self, ShapeError> {
        let size_ms = length("a window", size_ms)?;
        Ok(Self { size_ms, offset_ms: offset(offset_ms, size_ms)? })
    }

    /// The window of a record.
    ///
    /// ```
    /// use weir_time::window::{Fixed, Window};
    ///
    /// let tens = Fixed::new(10_000, 0)?;
    /// assert_eq!(tens.window(19_999), Ok(Window::new(10_000, 20_000)));
    /// assert_eq!(tens.window(20_000), Ok(Window::new(20_000, 30_000)));
    /// # Ok::<(), weir_time::window::ShapeError>(())
    /// ```
    #[inline]
    pub fn window(&self, timestamp_ms: i64) -> Result<Window, OutOfRange> {
        let start_ms = floor(legal(timestamp_ms)?, self.size_ms, self.offset_ms);
        Ok(Window::new(start_ms, start_ms + self.size_ms))
    }

    /// How long a window is, in milliseconds.
    pub fn size_ms(&self) -> i64 {
        self.size_ms
    }
}

/// The last multiple of `step`, `offset` later, that is not after `at`. All are within the bounds of [`super`].
#[inline]
pub(super) fn floor(at: i64, step: i64, offset: i64) -> i64 {
    at - (at - offset).rem_euclid(step)
}

/// The first multiple of `step` after `at`, which is any number.
pub(super) fn next_multiple(at: i64, step: i64) -> i64 {
    at.saturating_add(step - at.rem_euclid(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::SPAN_MAX_MS;
    use crate::timestamp::LEGAL_MS;

    #[test]
    fn a_window_holds_its_record_and_its_begin_is_a_multiple() {
        for (size, offset) in [(1, 0), (7, 3), (10_000, 9_999), (SPAN_MAX_MS, 0), (SPAN_MAX_MS, SPAN_MAX_MS - 1)] {
            let fixed = Fixed::new(size, offset).unwrap();
            for timestamp in [0, 1, 9_999, 10_000, 1_700_000_000_000, *LEGAL_MS.end()] {
                let window = fixed.window(timestamp).unwrap();
                assert!(window.contains(timestamp), "{timestamp} in {window:?}");
                assert_eq!(window.end_ms - window.start_ms, size);
                assert_eq!((window.start_ms - offset).rem_euclid(size), 0);
            }
        }
        assert_eq!(Fixed::new(10, 0).unwrap().window(-1), Err(OutOfRange(-1)));
    }

    #[test]
    fn the_next_multiple_lies_ahead() {
        for (at, expected) in [(0, 10), (9, 10), (10, 20), (-1, 0), (-10, 0), (i64::MAX, i64::MAX)] {
            assert_eq!(next_multiple(at, 10), expected, "{at}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        assert_eq!(Fixed::new(0, 0), Err(ShapeError::Zero("a window")));
        assert_eq!(Fixed::new(-5, 0), Err(ShapeError::Zero("a window")));
        assert_eq!(Fixed::new(i64::MAX, 0), Err(ShapeError::Long("a window")));
        assert_eq!(Fixed::new(10, 10), Err(ShapeError::Offset { offset_ms: 10, step_ms: 10 }));
        assert_eq!(Fixed::new(10, -1), Err(ShapeError::Offset { offset_ms: -1, step_ms: 10 }));
    }
}
