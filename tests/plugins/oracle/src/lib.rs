//! `oracle`: for each key a chain of everything it has seen, so that a reader of the output can tell whether each input
//! is reflected exactly once, and in order. Record n of a key becomes
//! `{"key":KEY,"n":n,"prev":HASH_BEFORE,"hash":HASH_AFTER,"value":VALUE}`, where the hash after is FNV-1a (64 bit) over
//! the hash before (8 bytes, little endian) and the value, and the first hash before is 0. Hashes are 16 hex digits. Each
//! fifth record of a key goes to the side output `fifths`, too.

use serde_json::json;
use weir_sdk::{Context, Description, Failure, NoConfig, Operator, Record, ValueTable};

const SEEN: ValueTable<u64> = ValueTable::new("seen");
const HASH: ValueTable<u64> = ValueTable::new("hash");
/// The place of the side output among the outputs.
const FIFTHS: u32 = 1;

/// The operator.
pub struct Oracle;

impl Operator for Oracle {
    type Config = NoConfig;

    fn describe() -> Description {
        let description = Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        description.outputs(&["links", "fifths"]).table(SEEN).table(HASH)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let seen = ctx.value(SEEN).get()?.unwrap_or(0) + 1;
        let before = ctx.value(HASH).get()?.unwrap_or(0);
        let value = record.value().unwrap_or_default();
        let after = fnv1a(before.to_le_bytes().iter().chain(value));
        ctx.value(SEEN).set(&seen)?;
        ctx.value(HASH).set(&after)?;
        let out = json!({
            "key": String::from_utf8_lossy(record.key().unwrap_or_default()),
            "n": seen,
            "prev": format!("{before:016x}"),
            "hash": format!("{after:016x}"),
            "value": String::from_utf8_lossy(value),
        });
        let out = out.to_string();
        ctx.emit(record.with_value(out.as_bytes()));
        if seen % 5 == 0 {
            ctx.emit_to(FIFTHS, record.with_value(out.as_bytes()));
        }
        Ok(())
    }
}

fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

weir_sdk::operator!(Oracle);

#[cfg(test)]
mod tests {
    use weir_sdk::testing::{Harness, Message};

    #[test]
    fn a_chain_does_not_depend_on_batches() {
        let batch = [Message::new("a", "1"), Message::new("b", "2"), Message::new("a", "3")];
        let mut one = Harness::<super::Oracle>::new("{}").unwrap();
        let mut many = Harness::<super::Oracle>::new("{}").unwrap();
        let together: Vec<_> = one.process(&batch).unwrap().into_iter().map(|o| o.message).collect();
        let apart: Vec<_> =
            batch.iter().flat_map(|m| many.process(std::slice::from_ref(m)).unwrap()).map(|o| o.message).collect();
        assert_eq!(together, apart);
        let last = String::from_utf8(together[2].value.clone().unwrap()).unwrap();
        assert!(last.contains(r#""n":2"#) && last.contains(r#""value":"3""#), "{last}");
    }
}
