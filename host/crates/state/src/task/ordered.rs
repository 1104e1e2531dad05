//! HOT PATH. Reads of lists and maps: the overlay merged with RocksDB, the overlay being the younger.

use std::ops::ControlFlow;

use super::overlay::Overlay;
use crate::error::Error;
use crate::store::Shared;

/// Bytes of the number of a list's element.
const INDEX: usize = size_of::<u64>();

/// All entries of one key in one table: what they begin with, and the first key behind them.
pub(super) struct Extent {
    prefix: Vec<u8>,
    end: Vec<u8>,
}

impl Extent {
    /// Of the keys that begin with `prefix`.
    pub(super) fn new(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        // A key group is below 0xFFFF, so there always is one.
        while let Some(last) = end.pop() {
            if let Some(next) = last.checked_add(1) {
                end.push(next);
                break;
            }
        }
        Self { prefix: prefix.to_vec(), end }
    }

    /// What all of them begin with.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The state key of an entry.
    pub(super) fn key(&self, entry: &[u8]) -> Vec<u8> {
        [&self.prefix, entry].concat()
    }
}

/// Shows the entries of `extent` from `start` on, in order, until `each` breaks off.
pub(super) fn scan(
    (overlay, shared): (&Overlay, &Shared),
    extent: &Extent,
    start: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), Error> {
    let start = extent.key(start);
    let mut each = |key: &[u8], value: &[u8]| each(key.strip_prefix(extent.prefix()).unwrap_or_default(), value);
    let mut changed = overlay.from(&start).take_while(|(key, _)| *key < extent.end.as_slice()).peekable();
    let mut stored = shared.cursor(&start, &extent.end);
    loop {
        let order = match (changed.peek(), stored.entry()?) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((changed, _)), Some((stored, _))) => (*changed).cmp(stored),
        };
        let flow = match (order, stored.entry()?) {
            (std::cmp::Ordering::Greater, Some((key, value))) => each(key, value),
            _ => match changed.next() {
                Some((key, Some(value))) => each(key, value),
                _ => ControlFlow::Continue(()),
            },
        };
        if order.is_ge() {
            stored.advance();
        }
        if flow.is_break() {
            return Ok(());
        }
    }
}

/// The number of a list's next element. An element is only ever added behind all others, and all of a list goes at once:
/// so the last of the overlay, there or gone, is the last of all.
pub(super) fn next_index((overlay, shared): (&Overlay, &Shared), extent: &Extent) -> Result<u64, Error> {
    let after = |key: &[u8]| index(key).map(|last| last + 1);
    if let Some(last) = overlay.last(&extent.prefix, &extent.end) {
        return after(last);
    }
    shared.last_key(&extent.prefix, &extent.end)?.map_or(Ok(0), |last| after(&last))
}

/// The number of the first element of a list that is there, which `is_live` says of what is stored.
pub(super) fn first_index(
    source: (&Overlay, &Shared),
    extent: &Extent,
    is_live: impl Fn(&[u8]) -> bool,
) -> Result<u64, Error> {
    let mut first = Ok(0);
    scan(source, extent, &[], |key, stored| {
        if !is_live(stored) {
            return ControlFlow::Continue(());
        }
        first = index(key);
        ControlFlow::Break(())
    })?;
    first
}

/// The number of a list's element, of its key or its entry.
pub(super) fn index(key: &[u8]) -> Result<u64, Error> {
    let index = key.last_chunk::<INDEX>().map(|index| u64::from_be_bytes(*index));
    index.ok_or_else(|| Error::Invariant(format!("an element of a list with a key of {} bytes", key.len())))
}
