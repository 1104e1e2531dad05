//! What is known of a job when it is judged: plain data, so that the judge can be tested with planted faults.

use std::collections::BTreeMap;
use std::time::Duration;

/// A record of the input, in the order of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it was.
    pub partition: i32,
    /// What it is keyed by.
    pub key: String,
    /// Its sequence number: no two records have the same.
    pub sequence: u64,
}

/// A record of the output, in the order of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it was.
    pub partition: i32,
    /// Where it was.
    pub offset: i64,
    /// [`fingerprint`] of its key and value.
    pub print: u64,
    /// What it is keyed by.
    pub key: String,
    /// The how many-th of its key it says it is.
    pub n: u64,
    /// The chain before it.
    pub prev: u64,
    /// The chain after it.
    pub hash: u64,
    /// The sequence number of the input that it reflects.
    pub sequence: u64,
}

/// A record that the concurrent reader saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Where it was.
    pub offset: i64,
    /// [`fingerprint`] of its key and value.
    pub print: u64,
}

/// What the group had committed for one input partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub position: i64,
    /// The marker, as text.
    pub metadata: String,
}

/// What the group had committed at one moment, by partition.
pub type Observation = BTreeMap<i32, Committed>;

/// One entry of the exported state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The operator.
    pub operator: String,
    /// Its table.
    pub table: String,
    /// The user's key.
    pub key: Vec<u8>,
    /// As the plugin wrote it.
    pub value: Vec<u8>,
}

/// All that is known of a job which has read its whole input and stopped.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The input, partition by partition.
    pub input: Vec<Input>,
    /// The end of each input partition.
    pub ends: BTreeMap<i32, i64>,
    /// The output, partition by partition.
    pub output: Vec<Output>,
    /// The side output, where it is written.
    pub side: Option<Vec<Output>>,
    /// What the concurrent reader saw, by output partition.
    pub seen: BTreeMap<i32, Vec<Sight>>,
    /// What the group had committed, oldest first.
    pub markers: Vec<Observation>,
    /// The exported state.
    pub state: Vec<Entry>,
    /// The longest time without new output while there was input.
    pub longest_pause: Duration,
}

/// Each so many-th record of a key is in the side output, too.
pub(super) const SIDE_EVERY: u64 = 5;

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The next link of the plugin's chain: FNV-1a over the hash before (8 bytes, little endian) and the value.
pub fn chain(before: u64, value: &[u8]) -> u64 {
    fnv1a(fnv1a(FNV_BASIS, &before.to_le_bytes()), value)
}

/// Tells records apart.
pub fn fingerprint(key: &[u8], value: &[u8]) -> u64 {
    // The length keeps `ab`, `c` and `a`, `bc` apart.
    fnv1a(fnv1a(fnv1a(FNV_BASIS, &(key.len() as u64).to_le_bytes()), key), value)
}
