//! What a reducing table does with what is merged into it.

use std::fmt;

/// Combines numbers, as a table's schema says: `i64 sum`, `f64 max`, ..
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduce {
    number: Number,
    fold: Fold,
}

/// Little endian, eight bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    I64,
    F64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Sum,
    Min,
    Max,
}

/// Why a merge is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreduced {
    /// It, or what the table has, is no number of the table's type.
    #[error("{len} bytes are no {reduce}")]
    Length {
        /// How many bytes it has.
        len: usize,
        /// What the table does.
        reduce: Reduce,
    },
    /// NaN or an infinity: it would be what the table has from then on.
    #[error("a number that is not finite in a table of {0}")]
    NotFinite(Reduce),
    /// The sum is too large, or too small.
    #[error("the {0} overflows")]
    Overflow(Reduce),
}

impl Reduce {
    /// What a schema of a reducing table says: the type of its numbers and what becomes of two of them. More words are the
    /// plugin's own.
    pub fn of_schema(schema: &str) -> Option<Self> {
        let mut words = schema.split_whitespace();
        let number = match words.next()? {
            "i64" => Number::I64,
            "f64" => Number::F64,
            _ => return None,
        };
        let fold = match words.next()? {
            "sum" => Fold::Sum,
            "min" => Fold::Min,
            "max" => Fold::Max,
            _ => return None,
        };
        Some(Self { number, fold })
    }

    /// What a key has once `addend` is merged into what it `has`; nothing is there before the first.
    pub fn merge(self, has: Option<[u8; 8]>, addend: &[u8]) -> Result<[u8; 8], Unreduced> {
        let addend = self.number(addend)?;
        match self.number {
            Number::I64 => {
                let (has, addend) = (has.map(i64::from_le_bytes), i64::from_le_bytes(addend));
                let merged = has.map_or(Some(addend), |has| match self.fold {
                    Fold::Sum => has.checked_add(addend),
                    Fold::Min => Some(has.min(addend)),
                    Fold::Max => Some(has.max(addend)),
                });
                merged.map(i64::to_le_bytes).ok_or(Unreduced::Overflow(self))
            }
            Number::F64 => {
                let (has, addend) = (has.map(f64::from_le_bytes), f64::from_le_bytes(addend));
                if !addend.is_finite() {
                    return Err(Unreduced::NotFinite(self));
                }
                let merged = has.map_or(addend, |has| match self.fold {
                    Fold::Sum => has + addend,
                    Fold::Min => has.min(addend),
                    Fold::Max => has.max(addend),
                });
                if merged.is_finite() { Ok(merged.to_le_bytes()) } else { Err(Unreduced::Overflow(self)) }
            }
        }
    }

    /// Bytes of a number of the table.
    pub fn number(self, bytes: &[u8]) -> Result<[u8; 8], Unreduced> {
        bytes.try_into().map_err(|_| Unreduced::Length { len: bytes.len(), reduce: self })
    }
}

impl fmt::Display for Reduce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self.number {
            Number::I64 => "i64",
            Number::F64 => "f64",
        };
        let fold = match self.fold {
            Fold::Sum => "sum",
            Fold::Min => "min",
            Fold::Max => "max",
        };
        write!(f, "{number} {fold}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged<const N: usize>(schema: &str, numbers: [[u8; 8]; N]) -> Result<[u8; 8], Unreduced> {
        let reduce = Reduce::of_schema(schema).unwrap();
        let all = numbers.into_iter().try_fold(None, |has, number| reduce.merge(has, &number).map(Some));
        all.map(|has| has.expect("one at least"))
    }

    #[test]
    fn numbers_are_combined_as_the_schema_says() {
        for (schema, expected) in [("i64 sum", 4), ("i64 min 2", -3), ("i64 max", 7)] {
            assert_eq!(merged(schema, [7, -3, 0].map(i64::to_le_bytes)), Ok(i64::to_le_bytes(expected)), "{schema}");
        }
        for (schema, expected) in [("f64 sum", 4.5), ("f64 min", -3.0), ("f64 max", 7.5)] {
            assert_eq!(merged(schema, [7.5, -3.0].map(f64::to_le_bytes)), Ok(f64::to_le_bytes(expected)), "{schema}");
        }
        for schema in ["", "i64", "u64 sum", "i64 mean", "sum i64"] {
            assert_eq!(Reduce::of_schema(schema), None, "{schema}");
        }
    }

    #[test]
    fn what_cannot_be_combined_is_named() {
        let (sum, real) = (Reduce::of_schema("i64 sum").unwrap(), Reduce::of_schema("f64 sum").unwrap());
        for (seen, expected) in [
            (merged("i64 sum", [i64::MAX, 1].map(i64::to_le_bytes)), Unreduced::Overflow(sum)),
            (merged("i64 sum", [i64::MIN, -1].map(i64::to_le_bytes)), Unreduced::Overflow(sum)),
            (merged("f64 sum", [f64::MAX, f64::MAX].map(f64::to_le_bytes)), Unreduced::Overflow(real)),
            (merged("f64 sum", [f64::NAN].map(f64::to_le_bytes)), Unreduced::NotFinite(real)),
            (sum.merge(None, b"7"), Unreduced::Length { len: 1, reduce: sum }),
        ] {
            assert_eq!(seen, Err(expected));
        }
        assert_eq!(Unreduced::Overflow(sum).to_string(), "the i64 sum overflows");
    }
}
