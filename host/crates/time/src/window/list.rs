//! HOT PATH. What a key has where a timestamp alone does not tell its windows: the list of its accumulators, and when
//! something is due for it next. A table keeps it as bytes.
//!
//! ```text
//! list = due + 1 (0: nothing is due), records, { start - end of the one before, length, how many in a row }*
//! ```
//! All are varints, due and the first two of each row with their sign in the lowest bit. A row is windows of one length without a gap: the
//! panes of a busy key are one row.

use super::Window;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// When something is due for the key; its one timer.
    pub due_ms: Option<i64>,
    /// How many records came since the window of all time fired; 0 for other windows.
    pub records: u64,
    /// What its accumulators are of, in the order of their kind.
    pub windows: Vec<Window>,
}

/// More windows in a row than any key has.
const COUNT_MAX: u64 = 1 << 20;

impl List {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, self.due_ms.map_or(0, |due_ms| folded(due_ms).saturating_add(1)));
        push(&mut out, self.records);
        let mut end_ms = 0;
        for row in self.windows.chunk_by(|one, next| one.end_ms == next.start_ms && length(*one) == length(*next)) {
            let Some(first) = row.first() else { continue };
            push(&mut out, folded(first.start_ms.wrapping_sub(end_ms)));
            push(&mut out, length(*first).cast_unsigned());
            push(&mut out, row.len() as u64);
            end_ms = row.last().unwrap_or(first).end_ms;
        }
        out
    }

    /// What these are the bytes of; `None` where they are of none.
    ///
    /// ```
    /// use weir_time::Window;
    /// use weir_time::window::List;
    ///
    /// let list = List { due_ms: Some(30), records: 0, windows: vec![Window::new(10, 20), Window::new(20, 30), Window::new(0, 20)] };
    /// assert_eq!(List::decode(&list.encode()), Some(list));
    /// ```
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let due_ms = pull(&mut rest)?.checked_sub(1).map(unfolded);
        let records = pull(&mut rest)?;
        let (mut windows, mut end_ms) = (Vec::new(), 0_i64);
        while !rest.is_empty() {
            let start_ms = end_ms.wrapping_add(unfolded(pull(&mut rest)?));
            let length_ms = pull(&mut rest)?.cast_signed();
            end_ms = start_ms;
            for _ in 0..pull(&mut rest).filter(|count| *count <= COUNT_MAX)? {
                let window = Window::new(end_ms, end_ms.checked_add(length_ms)?);
                windows.push(window);
                end_ms = window.end_ms;
            }
        }
        Some(Self { due_ms, records, windows })
    }
}

pub(super) fn length(window: Window) -> i64 {
    window.end_ms - window.start_ms
}

/// A number near zero, of either sign, as a small one.
fn folded(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unfolded(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_pinned() {
        for (due_ms, records, windows, bytes) in [
            (None, 0, &[][..], &[0, 0][..]),
            (Some(-1), 0, &[(10, 20), (20, 30), (0, 20)], &[2, 0, 20, 10, 2, 59, 20, 1]),
            (Some(i64::MAX), 300, &[], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0xac, 2]),
        ] {
            let windows = windows.iter().map(|(start, end)| Window::new(*start, *end)).collect();
            let list = List { due_ms, records, windows };
            assert_eq!(list.encode(), bytes, "{list:?}");
            assert_eq!(List::decode(bytes), Some(list));
        }
    }

    #[test]
    fn the_panes_of_a_busy_hour_take_few_bytes() {
        let windows =
            (0..3_600).map(|pane| Window::new(1_700_000_000_000 + pane * 1_000, 1_700_000_001_000 + pane * 1_000));
        let list = List { due_ms: Some(1_700_003_600_000), records: 0, windows: windows.collect() };
        assert!(list.encode().len() < 20);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_anything_else_is_refused_without_harm(
            due_ms: Option<i32>,
            records: u64,
            windows in proptest::collection::vec((-1_000_000_000_000i64..1_000_000_000_000, 1i64..100_000), 0..50),
            noise: Vec<u8>,
        ) {
            let windows = windows.into_iter().map(|(start, length)| Window::new(start, start + length)).collect();
            let list = List { due_ms: due_ms.map(i64::from), records, windows };
            prop_assert_eq!(List::decode(&list.encode()), Some(list));
            let noise: Vec<u8> = noise.into_iter().take(9).collect();
            drop(List::decode(&noise));
        }
    }
}
