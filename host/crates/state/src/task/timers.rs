//! Which timers come first. They are in order within a key group; a task has many groups, which are read one after the
//! other, and few enough timers are kept to be sure.

use std::collections::BinaryHeap;
use std::ops::{ControlFlow, Range};

use weir_core::OperatorId;
use weir_core::key_group::KeyGroup;
use weir_core::ports::Table;

use super::ordered::{self, Extent};
use super::overlay::Overlay;
use crate::delta;
use crate::error::Error;
use crate::store::Shared;

/// Appends the first `limit` timers from `start` on, each its time and its key, in order.
pub(super) fn first(
    source: (&Overlay, &Shared),
    (operator, table): (OperatorId, Table),
    groups: Range<u16>,
    (start, limit): (&[u8], usize),
    out: &mut Vec<Vec<u8>>,
) -> Result<(), Error> {
    // The last of those that come first is on top.
    let mut first: BinaryHeap<Vec<u8>> = BinaryHeap::new();
    let mut prefix = Vec::new();
    for group in groups.map(KeyGroup) {
        prefix.clear();
        delta::push_table(&mut prefix, operator, table, group);
        ordered::scan(source, &Extent::new(&prefix), start, |timer, _| {
            if first.len() >= limit && first.peek().is_none_or(|last| last.as_slice() <= timer) {
                return ControlFlow::Break(());
            }
            first.push(timer.to_vec());
            if first.len() > limit {
                first.pop();
            }
            ControlFlow::Continue(())
        })?;
    }
    out.extend(first.into_sorted_vec());
    Ok(())
}
