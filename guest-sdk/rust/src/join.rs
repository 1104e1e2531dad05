//! Joins and their kin, out of tables and timers: blocks that an operator is put together from.
//!
//! Each block is a constant with its tables, named in `describe` like a table ([`crate::Description::table`]), and is called from
//! `process` and `on_timer`. What a block keeps is state like any other: it is found again by the names of its tables.
//!
//! | block | it joins |
//! |---|---|
//! | [`IntervalJoin`] | records of two inputs whose times are near each other: inner, left, outer |
//! | [`AsOfJoin`] | each record with what a table said **at its time**, in whatever order both came |
//! | [`LatestTable`] | each record with what a table says when the record comes |
//! | [`BroadcastJoin`] | the same, by any key: every task has the whole table |
//! | [`First`] | a key's first record in some time, and not those that follow |
//! | [`TopN`] | the items of a key with the greatest scores |
//!
//! Times are those of records: one without a timestamp fails. Joined records have values and times; keys are those that
//! state is kept by, and headers are not kept.

mod as_of;
mod broadcast;
mod first;
mod interval;
mod latest;
mod top;

pub use as_of::AsOfJoin;
pub use broadcast::BroadcastJoin;
pub use first::First;
pub use interval::IntervalJoin;
pub use latest::LatestTable;
pub use top::TopN;

use std::ops::RangeInclusive;

use crate::description::{Declare, Description};
use crate::failure::Failure;
use crate::frame::Cursor;
use crate::record::Record;
use crate::state::{MapTable, StateValue};

/// Records that belong together, one of each side, or one that nothing belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    key: &'a [u8],
    timestamp: i64,
    left: Option<Option<&'a [u8]>>,
    right: Option<Option<&'a [u8]>>,
}

impl<'a> Pair<'a> {
    /// The key of both.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The time of the pair, in milliseconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The value of the record of the first input: `None` where there is no record, `Some(None)` where its value is null.
    pub fn left(&self) -> Option<Option<&'a [u8]>> {
        self.left
    }

    /// The same of the second input.
    pub fn right(&self) -> Option<Option<&'a [u8]>> {
        self.right
    }

    /// A record with the pair's key and time, and `value`.
    pub fn record<'b>(&self, value: &'b [u8]) -> Record<'b>
    where
        'a: 'b,
    {
        Record::new(Some(self.key), Some(value)).with_timestamp(Some(self.timestamp))
    }
}

/// So many entries of a table are read at once.
const SCAN_ENTRIES: usize = 64;

/// What a timer can be set for, and so the times that can be joined: the years 1970 to 9899.
const LEGAL_MS: RangeInclusive<i64> = 0..=250_246_627_199_999;

/// When a record was made; fails where it does not say so.
fn time_of(record: &Record<'_>) -> Result<i64, Failure> {
    match record.timestamp() {
        Some(ms) if LEGAL_MS.contains(&ms) => Ok(ms),
        Some(ms) => Err(Failure::new(format!("the record's timestamp {ms} lies outside of the years 1970 to 9899"))),
        None => Err(Failure::new("the record has no timestamp, and it is joined by it")),
    }
}

/// A time as the key of an entry: entries are in order of time.
fn entry(ms: i64) -> u64 {
    ms.max(0).unsigned_abs()
}

/// When something may be over that is over at `ms`: as near as a timer can be set.
fn timer(ms: i64) -> i64 {
    ms.clamp(*LEGAL_MS.start(), *LEGAL_MS.end())
}

/// Tables whose entries go by timers.
fn declare(tables: [MapTable<u64, Bundle>; 2], description: &mut Description) {
    tables.into_iter().for_each(|table| table.declare(description));
    description.needs_timers();
}

/// Values of records of one key and one time, in the order in which they came, and whether each has found another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bundle(Vec<Kept>);

#[derive(Debug, PartialEq, Eq)]
struct Kept {
    is_matched: bool,
    value: Option<Vec<u8>>,
}

impl Bundle {
    fn push(&mut self, value: Option<&[u8]>, is_matched: bool) {
        self.0.push(Kept { is_matched, value: value.map(<[u8]>::to_vec) });
    }
}

/// `{ flags:u8, len:u32, bytes }*`, little endian: bit 0 is set where it has found another, bit 1 where it has a value.
impl StateValue for Bundle {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        for Kept { is_matched, value } in &self.0 {
            out.push(u8::from(*is_matched) | u8::from(value.is_some()) << 1);
            let value = value.as_deref().unwrap_or_default();
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let wrong = || Failure::new("these bytes are no records that were kept");
        let (mut cursor, mut all) = (Cursor::new(bytes, 0), Vec::new());
        while !cursor.is_at_end() {
            let flags = cursor.u8().filter(|flags| *flags < 4).ok_or_else(wrong)?;
            let value = cursor.sized().flatten().ok_or_else(wrong)?;
            all.push(Kept { is_matched: flags & 1 == 1, value: (flags & 2 == 2).then(|| value.to_vec()) });
        }
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests;
