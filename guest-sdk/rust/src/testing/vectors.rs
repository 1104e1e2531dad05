//! The golden vectors of `wit/`.

use std::ops::Deref;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::message::from_hex;

/// Bytes written as hex.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(hex: String) -> Result<Self, String> {
        from_hex(&hex).map(Self)
    }
}

impl Deref for Hex {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads one file of `wit/golden/`.
pub(crate) fn read<T: DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/golden").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
