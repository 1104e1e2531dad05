//! HOT PATH. Timers: an operator is called when event time, or processing time, has come to a moment that it named for a key.

use std::ops::RangeInclusive;

use crate::description::{Table, TableKind};
use crate::failure::Failure;
use crate::record::Record;
use crate::update::Queue;

/// What a timer can be set for: the years 1970 to 9899, as timestamps.
const LEGAL_MS: RangeInclusive<i64> = 0..=250_246_627_199_999;
const OP_SET_TIMER: u8 = 8;
const OP_CANCEL_TIMER: u8 = 9;

/// Which time a timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeDomain {
    /// That of the records.
    Event,
    /// That of the host's clock.
    Processing,
}

/// Of which time the timers of a table are, if it has any.
#[inline]
pub(crate) fn timers_in(table: &Table) -> Option<TimeDomain> {
    match table.kind {
        TableKind::Timer => Some(TimeDomain::Event),
        TableKind::ProcessingTimer => Some(TimeDomain::Processing),
        _ => None,
    }
}

/// A timer that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer<'a> {
    key: &'a [u8],
    timestamp: i64,
    time_ms: i64,
    domain: TimeDomain,
}

impl<'a> Timer<'a> {
    /// Its key.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// What it was set for: milliseconds since 1970.
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// Which time it waited for.
    pub fn domain(&self) -> TimeDomain {
        self.domain
    }

    /// A record with its key and `value`, at its time (of a timer of processing time at the watermark, where that is later):
    /// later operators find it there.
    pub fn record<'b>(&self, value: &'b [u8]) -> Record<'b>
    where
        'a: 'b,
    {
        Record::new(Some(self.key), Some(value)).with_timestamp(Some(self.timestamp))
    }

    /// The timer of a record of a due list.
    pub(crate) fn of(record: &Record<'a>, tables: &[Table]) -> Option<Self> {
        let (time, table) = record.value?.split_first_chunk()?;
        let table = tables.get(u32::from_le_bytes(table.try_into().ok()?) as usize)?;
        let (time_ms, domain) = (i64::from_le_bytes(*time), timers_in(table)?);
        Some(Self { key: record.key?, timestamp: record.timestamp, time_ms, domain })
    }
}

/// Sets a timer of the slot, in the table.
#[inline]
pub(crate) fn set(queue: &mut Queue, place: (u32, u32), at_ms: i64) -> Result<(), Failure> {
    push(queue, OP_SET_TIMER, place, at_ms)
}

/// Takes it back.
#[inline]
pub(crate) fn cancel(queue: &mut Queue, place: (u32, u32), at_ms: i64) -> Result<(), Failure> {
    push(queue, OP_CANCEL_TIMER, place, at_ms)
}

#[inline]
fn push(queue: &mut Queue, op: u8, place: (u32, u32), at_ms: i64) -> Result<(), Failure> {
    if !LEGAL_MS.contains(&at_ms) {
        return Err(no_time(at_ms));
    }
    queue.push(op, place, &at_ms.to_le_bytes());
    Ok(())
}

#[cold]
fn no_time(at_ms: i64) -> Failure {
    Failure::new(format!("a timer at {at_ms} ms lies outside of the years 1970 to 9899"))
}
