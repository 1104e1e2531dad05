//! HOT PATH. Numbers that the host combines: an operator sends what is to be merged, and need not have read what is there.

use super::{Cells, StateValue, ValueTable, schema};
use crate::failure::{self, Failure};
use crate::update::Queue;
use sealed::Fold;

const OP_CLEAR: u8 = 2;
const OP_MERGE: u8 = 7;

/// A table that holds one number for each key, which the host combines with those that are merged into it. A constant;
/// `describe` must name it.
#[derive(Debug)]
pub struct ReducingTable<T> {
    table: ValueTable<T>,
    fold: Fold,
    is_prefetched: bool,
}

impl<T> Clone for ReducingTable<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ReducingTable<T> {}

impl<T: Number> ReducingTable<T> {
    /// A table by its name that adds. State is found again by the name, so it must not change from version to version.
    pub const fn sum(name: &'static str) -> Self {
        Self { table: ValueTable::new(name), fold: Fold::Sum, is_prefetched: false }
    }

    /// One that keeps the least number.
    pub const fn min(name: &'static str) -> Self {
        Self { fold: Fold::Min, ..Self::sum(name) }
    }

    /// One that keeps the greatest number.
    pub const fn max(name: &'static str) -> Self {
        Self { fold: Fold::Max, ..Self::sum(name) }
    }
}

impl<T> ReducingTable<T> {
    /// The same, and its numbers come with a batch, to be read by [`Reducing::get`].
    pub const fn prefetched(self) -> Self {
        Self { is_prefetched: true, ..self }
    }

    /// The table's name.
    pub const fn name(&self) -> &'static str {
        self.table.name()
    }

    pub(crate) fn is_prefetched(&self) -> bool {
        self.is_prefetched
    }
}

impl<T: Number> ReducingTable<T> {
    pub(crate) fn schema(&self) -> String {
        let fold = match self.fold {
            Fold::Sum => "sum",
            Fold::Min => "min",
            Fold::Max => "max",
        };
        schema(&[T::TYPE, fold], "")
    }
}

/// What a reducing table can hold: `i64` and `f64`, as the host knows no others.
pub trait Number: StateValue + Copy + sealed::Number {}

impl Number for i64 {}
impl Number for f64 {}

/// Nobody outside can name these, and so nobody can add a number that the host does not know.
mod sealed {
    /// What becomes of two numbers.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fold {
        /// They are added.
        Sum,
        /// The lesser stays.
        Min,
        /// The greater stays.
        Max,
    }

    /// As the host combines numbers; `None` where they cannot be.
    pub trait Number: Sized {
        /// What `addend` makes of what there is.
        fn merge(has: Option<Self>, addend: Self, fold: Fold) -> Option<Self>;
    }
}

impl sealed::Number for i64 {
    #[inline]
    fn merge(has: Option<Self>, addend: Self, fold: Fold) -> Option<Self> {
        has.map_or(Some(addend), |has| match fold {
            Fold::Sum => has.checked_add(addend),
            Fold::Min => Some(has.min(addend)),
            Fold::Max => Some(has.max(addend)),
        })
    }
}

impl sealed::Number for f64 {
    #[inline]
    fn merge(has: Option<Self>, addend: Self, fold: Fold) -> Option<Self> {
        let merged = has.map_or(addend, |has| match fold {
            Fold::Sum => has + addend,
            Fold::Min => has.min(addend),
            Fold::Max => has.max(addend),
        });
        (addend.is_finite() && merged.is_finite()).then_some(merged)
    }
}

/// Merges `addend` into what is stored of a table with this schema, as the host does.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn merge_stored(schema: &str, has: Option<&[u8]>, addend: &[u8]) -> Result<Vec<u8>, Failure> {
    fn of<T: Number>(has: Option<&[u8]>, addend: &[u8], fold: Fold) -> Result<Vec<u8>, Failure> {
        let (has, mut out) = (has.map(T::decode).transpose()?, Vec::new());
        let merged = T::merge(has, T::decode(addend)?, fold).ok_or_else(|| Failure::new("the merge overflows"))?;
        merged.encode(&mut out)?;
        Ok(out)
    }
    let fold = match schema.split_whitespace().nth(1) {
        Some("min") => Fold::Min,
        Some("max") => Fold::Max,
        _ => Fold::Sum,
    };
    if schema.starts_with("f64") { of::<f64>(has, addend, fold) } else { of::<i64>(has, addend, fold) }
}

/// Handle to the number of the current record's key; see [`crate::Context::reducing`].
pub struct Reducing<'a, T> {
    pub(crate) table: ReducingTable<T>,
    /// Slot and table.
    pub(crate) place: Result<(u32, u32), Failure>,
    /// Where the number is among those that were handed over, if it was.
    pub(crate) cell: Option<usize>,
    pub(crate) cells: &'a mut Cells,
    pub(crate) loaded: &'a [u8],
    pub(crate) queue: &'a mut Queue,
}

impl<T: Number> Reducing<'_, T> {
    /// Merges `addend` into the number; it is the number where there is none. Fails for a record without a key, and where it is
    /// seen at once that the host cannot: for a float that is not finite, and for a sum that overflows of a prefetched table.
    /// Of another table the host sees it, and the record fails then.
    #[inline]
    pub fn merge(self, addend: T) -> Result<(), Failure> {
        let place = self.place?;
        let mut has = None;
        if let Some(cell) = self.cell {
            has = self.cells.value(self.table.table, Ok(cell), self.loaded).get()?;
        }
        let merged = T::merge(has, addend, self.table.fold).ok_or_else(|| overflow(self.table.name()))?;
        if let Some(cell) = self.cell {
            self.cells.value(self.table.table, Ok(cell), self.loaded).set(&merged)?;
        }
        self.queue.push_value(OP_MERGE, place, &addend)
    }

    /// The number, with all that this batch has merged so far; `None` if there is none. Fails for a record without a key, and
    /// for a table that is not [`ReducingTable::prefetched`].
    #[inline]
    pub fn get(self) -> Result<Option<T>, Failure> {
        self.place?;
        let cell = self.cell.ok_or_else(|| not_prefetched(self.table.name()))?;
        self.cells.value(self.table.table, Ok(cell), self.loaded).get()
    }

    /// Removes it: the next merge begins anew. Fails for a record without a key.
    #[inline]
    pub fn clear(self) -> Result<(), Failure> {
        let place = self.place?;
        if let Some(cell) = self.cell {
            self.cells.value(self.table.table, Ok(cell), self.loaded).clear()?;
        }
        self.queue.push(OP_CLEAR, place, &[]);
        Ok(())
    }
}

#[cold]
fn overflow(table: &str) -> Failure {
    Failure::new(format!("a merge into table `{table}` overflows, or is not finite")).with_code(failure::STATE)
}

#[cold]
fn not_prefetched(table: &str) -> Failure {
    Failure::new(format!("the numbers of table `{table}` do not come with a batch: it lacks `.prefetched()`"))
        .with_code(failure::UNDECLARED)
}
