//! What a table says now.

use super::time_of;
use crate::context::Context;
use crate::description::{Declare, Description};
use crate::failure::Failure;
use crate::record::Record;
use crate::state::{StateValue, ValueTable};

/// The latest row of each key of a table that comes in as records: for joins that need not be repeatable to the record, and need
/// not wait. A row replaces those that are not younger, so that disorder within a table does not show; which row a record of
/// another input finds depends on which of both came first ([`super::AsOfJoin`] does not).
/// ```
/// use weir_sdk::join::LatestTable;
/// use weir_sdk::testing::{Harness, Message};
/// use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record};
///
/// const NAMES: LatestTable = LatestTable::new("names");
///
/// struct Named;
///
/// impl Operator for Named {
///     type Config = NoConfig;
///
///     fn describe() -> Description {
///         Description::new("named", "1.0.0").inputs(&["visits", "names"]).table(NAMES)
///     }
///
///     fn open(_: NoConfig) -> Result<Self, Failure> {
///         Ok(Self)
///     }
///
///     fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
///         if ctx.input() == 1 {
///             return NAMES.update(record, ctx);
///         }
///         let name = NAMES.get(ctx)?.unwrap_or_else(|| b"somebody".to_vec());
///         ctx.emit(record.with_value(&name));
///         Ok(())
///     }
/// }
///
/// let mut join = Harness::<Named>::new("{}")?;
/// let at = |value: &str, ms| Message::new("7", value).with_timestamp(ms);
/// join.process_input(1, &[at("Ada", 20), at("Eve", 10)])?;
/// assert_eq!(join.process_input(0, &[at("/", 15)])?[0].message, at("Ada", 15));
/// # Ok::<(), Failure>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LatestTable(ValueTable<Row>);

/// The time of a row, and its value; none: it was taken away.
#[derive(Debug)]
pub(super) struct Row(pub(super) i64, pub(super) Option<Vec<u8>>);

impl LatestTable {
    /// By the name of its table.
    pub const fn new(table: &'static str) -> Self {
        Self(ValueTable::new(table))
    }

    /// A row has come in: it is the row of its key, unless there is a younger one. A null value takes the row away. Fails for a
    /// record without a key or a timestamp.
    pub fn update(&self, row: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let at_ms = time_of(row)?;
        match ctx.value(self.0).get()? {
            Some(Row(before_ms, _)) if before_ms > at_ms => Ok(()),
            _ => ctx.value(self.0).set(&Row(at_ms, row.value().map(<[u8]>::to_vec))),
        }
    }

    /// The row of the key of the current record, if it has one. Fails for a record without a key.
    pub fn get(&self, ctx: &mut Context<'_>) -> Result<Option<Vec<u8>>, Failure> {
        Ok(ctx.value(self.0).get()?.and_then(|Row(_, value)| value))
    }
}

/// `time_ms:i64, is_there:u8, value`, little endian.
impl StateValue for Row {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        out.extend_from_slice(&self.0.to_le_bytes());
        out.push(u8::from(self.1.is_some()));
        out.extend_from_slice(self.1.as_deref().unwrap_or_default());
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        match bytes.split_first_chunk().map(|(at, rest)| (i64::from_le_bytes(*at), rest)) {
            Some((at_ms, [0])) => Ok(Self(at_ms, None)),
            Some((at_ms, [1, value @ ..])) => Ok(Self(at_ms, Some(value.to_vec()))),
            _ => Err(Failure::new("these bytes are no row that was kept")),
        }
    }
}

impl Declare for LatestTable {
    fn declare(self, description: &mut Description) {
        self.0.declare(description);
    }
}
