//! HOT PATH. Windows that are full after so many records of a key. They know no time: which record falls where depends on
//! the order of arrival, and nothing is late.

use super::ShapeError;

/// The most records of a window.
pub const RECORDS_MAX: u64 = 1 << 40;

/// Windows of so many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    records: u64,
}

impl Count {
    /// Windows of `records` records, at least one.
    pub fn new(records: u64) -> Result<Self, ShapeError> {
        match records {
            0 => Err(ShapeError::Zero("a window")),
            records if records > RECORDS_MAX => Err(ShapeError::Long("a window")),
            records => Ok(Self { records }),
        }
    }

    /// Whether a window that holds so many is full.
    ///
    /// ```
    /// use weir_time::window::count::Count;
    ///
    /// let pairs = Count::new(2)?;
    /// assert_eq!([1, 2].map(|held| pairs.is_full(held)), [false, true]);
    /// # Ok::<(), weir_time::window::ShapeError>(())
    /// ```
    #[inline]
    pub fn is_full(self, held: u64) -> bool {
        held >= self.records
    }

    /// How many records fill a window.
    pub fn records(self) -> u64 {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_nothing_and_of_too_much_are_refused() {
        assert_eq!(Count::new(0), Err(ShapeError::Zero("a window")));
        assert_eq!(Count::new(u64::MAX), Err(ShapeError::Long("a window")));
        assert_eq!(Count::new(1).map(|one| one.is_full(1)), Ok(true));
    }
}
