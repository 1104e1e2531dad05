//! `malformed`: passes batches on, except those that hold the text `bad`: then it hands over bytes that are not what
//! `wit/FRAME.md` says. The configuration `mode` says which: `truncated`, `version`, `trailing`, `headers`, `source`,
//! `output` (frames), `op`, `table`, `slot`, `cut`, `clear`, `rejected-and-emitted`, `rejected-elsewhere` (updates). Or, as
//! `failed`, nothing: the call returns a failure that names its first record.
//!
//! Written against the bare WIT: the SDK does not let anybody do this.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

wit_bindgen::generate!({ path: "../../../wit", world: "operator-packed" });

use exports::weir::operator::{operator, plugin};
use weir::operator::output::emit;
use weir::operator::types::Failure;

struct Malformed;

thread_local! {
    static CONFIG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// True if the configuration names this mode.
fn mode(name: &str) -> bool {
    CONFIG.with_borrow(|config| config.contains(&format!("\"{name}\"")))
}

impl plugin::Guest for Malformed {
    fn describe() -> String {
        r#"{"name":"malformed","version":"0.1.0","tables":[{"name":"t","kind":"value"}]}"#.to_owned()
    }
}

impl operator::Guest for Malformed {
    fn open(_task: String, config: String) -> Result<(), Failure> {
        CONFIG.set(config);
        Ok(())
    }

    fn process(_: u32, mut batch: Vec<u8>, _: Vec<u32>, _: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if !batch.windows(3).any(|bytes| bytes == b"bad") {
            emit(0, &batch);
            return Ok(Vec::new());
        }
        if mode("failed") {
            return Err(Failure { index: Some(0), code: 100, message: "told to fail".to_owned() });
        }
        match batch.as_mut_slice() {
            [version, ..] if mode("version") => *version = 9,
            // The first record's source, and the length of its headers.
            bytes if mode("source") => bytes[16..20].copy_from_slice(&1_000_000u32.to_le_bytes()),
            bytes if mode("headers") => bytes[28..32].copy_from_slice(&3u32.to_le_bytes()),
            _ if mode("truncated") => drop(batch.pop()),
            _ if mode("trailing") => batch.push(0),
            _ => {}
        }
        emit(if mode("output") { 7 } else { 0 }, &batch);
        Ok(updates())
    }
}

/// Updates `{op, table, slot, value}` that are wrong in the configured way, or right.
fn updates() -> Vec<u8> {
    let (op, table, slot, value): (u8, u32, u32, &[u8]) = match () {
        () if mode("op") => (9, 0, 0, b"v"),
        () if mode("table") => (1, 5, 0, b"v"),
        () if mode("slot") => (1, 0, 1_000_000, b"v"),
        () if mode("clear") => (2, 0, 0, b"v"),
        () if mode("rejected-and-emitted") => (3, 0, 0, b"v"),
        () if mode("rejected-elsewhere") => (3, 0, 1_000_000, b"v"),
        () => (1, 0, 0, b"v"),
    };
    let mut bytes = vec![op];
    for number in [table, slot, value.len() as u32] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(value);
    if mode("cut") {
        bytes.pop();
    }
    bytes
}

export!(Malformed);
