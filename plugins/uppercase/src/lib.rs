//! `uppercase`: the value in ASCII upper case. Key, headers, timestamp and tombstones stay as they came.

use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record};

/// The operator.
pub struct Uppercase;

impl Operator for Uppercase {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        match record.value() {
            Some(value) => ctx.emit_with(*record, |out| {
                out.extend_from_slice(value);
                out.as_mut_slice().make_ascii_uppercase();
            }),
            None => ctx.emit(*record),
        }
        Ok(())
    }
}

weir_sdk::operator!(Uppercase);
