//! Records of two inputs whose times are near each other.

use super::{Bundle, Pair, SCAN_ENTRIES, declare, entry, time_of, timer};
use crate::context::Context;
use crate::description::{Declare, Description};
use crate::failure::Failure;
use crate::record::Record;
use crate::state::MapTable;
use crate::timer::{TimeDomain, Timer};

/// Joins records of the first input, the left side, with those of the second, the right side, of the same key and near in
/// time. Records are kept until event time has passed all that they could be joined with.
/// ```
/// use weir_sdk::join::{IntervalJoin, Pair};
/// use weir_sdk::testing::{Harness, Message};
/// use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, Timer};
///
/// /// A payment belongs to an order if it comes within ten seconds of it.
/// const PAID: IntervalJoin = IntervalJoin::left("orders", "payments").between(0, 10_000);
///
/// struct Paid;
///
/// fn paid(pair: &Pair<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///     let by = pair.right().flatten().unwrap_or(b"nobody");
///     ctx.emit(pair.record(&[pair.left().flatten().unwrap_or_default(), b" by ", by].concat()));
///     Ok(())
/// }
///
/// impl Operator for Paid {
///     type Config = NoConfig;
///
///     fn describe() -> Description {
///         Description::new("paid", "1.0.0").inputs(&["orders", "payments"]).table(PAID)
///     }
///
///     fn open(_: NoConfig) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         PAID.process(record, ctx, paid)
///     }
///
///     fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         PAID.on_timer(timer, ctx, paid)
///     }
/// }
///
/// let mut join = Harness::<Paid>::new("{}")?;
/// join.process_input(0, &[Message::new("a", "book").with_timestamp(1_000), Message::new("b", "cup").with_timestamp(2_000)])?;
/// let out = join.process_input(1, &[Message::new("a", "ada").with_timestamp(9_000)])?;
/// assert_eq!(out[0].message, Message::new("a", "book by ada").with_timestamp(9_000));
/// // Once event time is past all payments for it, an order is told of that has none.
/// let out = join.advance(12_001)?;
/// assert_eq!(out[0].message, Message::new("b", "cup by nobody").with_timestamp(12_001));
/// # Ok::<(), Failure>(())
/// ```
/// A pair has the later of both times. A record that is alone in a left or outer join is told of once nothing can come that
/// belongs to it, with the time at which that is known: to those who read it, it is not late.
#[derive(Debug, Clone, Copy)]
pub struct IntervalJoin {
    left: MapTable<u64, Bundle>,
    right: MapTable<u64, Bundle>,
    /// Whether records of a side are told of that are alone.
    tells_left: bool,
    tells_right: bool,
    lower_ms: i64,
    upper_ms: i64,
}

impl IntervalJoin {
    /// Pairs alone. `left` and `right` are the names of the tables that records of the two inputs are kept in.
    pub const fn inner(left: &'static str, right: &'static str) -> Self {
        let (left, right) = (MapTable::new(left), MapTable::new(right));
        Self { left, right, tells_left: false, tells_right: false, lower_ms: 0, upper_ms: 0 }
    }

    /// Pairs, and records of the left side that are alone.
    pub const fn left(left: &'static str, right: &'static str) -> Self {
        Self { tells_left: true, ..Self::inner(left, right) }
    }

    /// Pairs, and records of both sides that are alone.
    pub const fn outer(left: &'static str, right: &'static str) -> Self {
        Self { tells_left: true, tells_right: true, ..Self::inner(left, right) }
    }

    /// What is near: the time of a right record is that of the left one and from `lower_ms` to `upper_ms` more, both
    /// included. Less than nothing is before it. Where it is not said, both have the same time.
    pub const fn between(self, lower_ms: i64, upper_ms: i64) -> Self {
        assert!(lower_ms <= upper_ms, "the interval is empty");
        Self { lower_ms, upper_ms, ..self }
    }

    /// A record has come in: hands over the pairs that it makes with those of the other side, in order of their times. Fails for
    /// a record without a key or a timestamp, and where `pair` does.
    pub fn process(
        &self,
        record: &Record<'_>,
        ctx: &mut Context<'_>,
        mut pair: impl FnMut(&Pair<'_>, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let at_ms = time_of(record)?;
        let is_left = ctx.input() == 0;
        let (own, others, from_ms, to_ms) = match is_left {
            true => (self.left, self.right, at_ms.saturating_add(self.lower_ms), at_ms.saturating_add(self.upper_ms)),
            false => (self.right, self.left, at_ms.saturating_sub(self.upper_ms), at_ms.saturating_sub(self.lower_ms)),
        };
        let mut is_matched = false;
        let mut next = (to_ms >= 0).then(|| entry(from_ms));
        while let Some(start) = next {
            let near = ctx.map(others).scan(Some(&start), SCAN_ENTRIES)?;
            next = near.last().filter(|_| near.len() == SCAN_ENTRIES).map(|(at, _)| at + 1);
            for (other_at, mut bundle) in near {
                if other_at > entry(to_ms) {
                    next = None;
                    break;
                }
                is_matched |= !bundle.0.is_empty();
                for kept in &bundle.0 {
                    let (own, other) = (Some(record.value()), Some(kept.value.as_deref()));
                    let (left, right) = if is_left { (own, other) } else { (other, own) };
                    let timestamp = at_ms.max(other_at.cast_signed());
                    pair(&Pair { key: record.key().unwrap_or_default(), timestamp, left, right }, ctx)?;
                }
                let tells_other = if is_left { self.tells_right } else { self.tells_left };
                if tells_other && bundle.0.iter().any(|kept| !kept.is_matched) {
                    bundle.0.iter_mut().for_each(|kept| kept.is_matched = true);
                    ctx.map(others).put(&other_at, &bundle)?;
                }
            }
        }
        let mut bundle = ctx.map(own).get(&entry(at_ms))?.unwrap_or_default();
        bundle.push(record.value(), is_matched);
        ctx.map(own).put(&entry(at_ms), &bundle)?;
        ctx.set_timer(timer(at_ms.saturating_add(self.kept_ms(is_left))))
    }

    /// A timer has fired, which may be of this join or not: forgets what it was for, and hands over what is alone.
    pub fn on_timer(
        &self,
        due: &Timer<'_>,
        ctx: &mut Context<'_>,
        mut pair: impl FnMut(&Pair<'_>, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if due.domain() != TimeDomain::Event {
            return Ok(());
        }
        for (table, is_left, tells) in [(self.left, true, self.tells_left), (self.right, false, self.tells_right)] {
            let at_ms = due.time_ms().saturating_sub(self.kept_ms(is_left));
            if at_ms < 0 {
                continue;
            }
            let Some(bundle) = ctx.map(table).get(&entry(at_ms))? else { continue };
            ctx.map(table).remove(&entry(at_ms))?;
            for kept in bundle.0.iter().filter(|kept| tells && !kept.is_matched) {
                let alone = Some(kept.value.as_deref());
                let (left, right) = if is_left { (alone, None) } else { (None, alone) };
                pair(&Pair { key: due.key(), timestamp: due.time_ms(), left, right }, ctx)?;
            }
        }
        Ok(())
    }

    /// How long a record is kept: until everything has come that can be near it, and itself.
    fn kept_ms(&self, is_left: bool) -> i64 {
        let reach_ms = if is_left { self.upper_ms } else { self.lower_ms.saturating_neg() };
        reach_ms.max(0).saturating_add(1)
    }
}

impl Declare for IntervalJoin {
    fn declare(self, description: &mut Description) {
        declare([self.left, self.right], description);
    }
}
