//! `shuffle`: the first half of ShuffleBench, as its authors have it: sends each record to the consumers whose rules it matches, under
//! their names as keys. There are 1,000 rules which a fifth of all records match, or as many as the configuration says: `{ "rules":
//! 1000, "selectivity": 0.2, "zipf": 0 }`. `shuffle-consumer` is the other half.

use std::fmt::Write as _;

use serde::Deserialize;
use weir_sdk::{Context, Description, Failure, Operator, Record};

/// Where rules match is decided by hashes of this and their numbers, whether a record does by the hash of its first bytes.
const RULES_SEED: u64 = 0x2e3f_ac4f_58fc_98b4;
const RECORDS_SEED: u64 = 0x81c1_f2b6_8968_424d;
/// Hashes are compared in a circle of so many.
const CIRCLE: u64 = 1 << 63;

/// What the user may configure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many rules there are.
    pub rules: u32,
    /// The part of all records that they match together, if none matches two.
    pub selectivity: f64,
    /// How unequal they are: 0 is not at all.
    pub zipf: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { rules: 1_000, selectivity: 0.2, zipf: 0.0 }
    }
}

/// The operator.
pub struct Shuffle {
    /// From which hash on which rules match, in order; before the first those of the last.
    spans: Vec<(u64, Vec<u32>)>,
    key: String,
}

impl Operator for Shuffle {
    type Config = Config;

    fn describe() -> Description {
        Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
    }

    fn open(config: Config) -> Result<Self, Failure> {
        if !(config.selectivity >= 0.0 && config.zipf >= 0.0) {
            return Err(Failure::new("selectivity and zipf are not below zero"));
        }
        Ok(Self { spans: spans(&rules(&config)), key: String::new() })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let head = record.value().and_then(|value| value.first_chunk::<16>());
        let hash = record_hash(*head.ok_or_else(|| Failure::new("the value has fewer than 16 bytes"))?) % CIRCLE;
        let Self { spans, key } = self;
        for rule in matching(spans, hash) {
            key.clear();
            write!(key, "consumer_{rule}")?;
            ctx.emit(record.with_key(Some(key.as_bytes())));
        }
        Ok(())
    }
}

/// The rules that a hash matches.
fn matching(spans: &[(u64, Vec<u32>)], hash: u64) -> &[u32] {
    let at = spans.partition_point(|(from, _)| *from <= hash);
    let span = at.checked_sub(1).map_or(spans.last(), |at| spans.get(at));
    span.map(|(_, rules)| rules.as_slice()).unwrap_or_default()
}

/// From where on each rule matches, and how far.
fn rules(config: &Config) -> Vec<(u64, u64)> {
    let weight = |rule: u32| 1.0 / f64::from(rule + 1).powf(config.zipf);
    let total: f64 = (0..config.rules).map(weight).sum();
    let width = |rule: u32| {
        let part = weight(rule) / total * config.selectivity;
        if part >= 1.0 { CIRCLE } else { (part * CIRCLE as f64) as u64 }
    };
    (0..config.rules).map(|rule| (rule_hash(rule) % CIRCLE, width(rule))).collect()
}

/// The same the other way round: at which hashes others match than before.
fn spans(rules: &[(u64, u64)]) -> Vec<(u64, Vec<u32>)> {
    let mut cuts: Vec<u64> = rules.iter().flat_map(|(from, width)| [*from, (from + width) % CIRCLE]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let matching = |hash: u64| {
        let matches = |(from, width): &(u64, u64)| hash.wrapping_sub(*from) % CIRCLE < *width;
        (0..).zip(rules).filter(|(_, rule)| matches(rule)).map(|(number, _)| number).collect()
    };
    cuts.into_iter().map(|cut| (cut, matching(cut))).collect()
}

/// komihash 4.3 of the seed and the number of a rule: 12 bytes.
fn rule_hash(rule: u32) -> u64 {
    let (one, other) = begin(0);
    // A bit behind the last byte, as long as that is below 0x80.
    end(one ^ RULES_SEED, other ^ (1 << 32 | u64::from(rule)), other)
}

/// komihash 5.0 of 16 bytes.
fn record_hash(bytes: [u8; 16]) -> u64 {
    let (low, high) = (u128::from_le_bytes(bytes) as u64, (u128::from_le_bytes(bytes) >> 64) as u64);
    let (one, other) = begin(RECORDS_SEED);
    let (one, other) = round(one ^ low, other ^ high, other);
    end(one ^ 1, other, other)
}

/// What a hash with this seed begins with.
fn begin(seed: u64) -> (u64, u64) {
    let one = 0x243f_6a88_85a3_08d3 ^ (seed & 0x5555_5555_5555_5555);
    let other = 0x4528_21e6_38d0_1377 ^ (seed & 0xaaaa_aaaa_aaaa_aaaa);
    round(one, other, other)
}

fn end(one: u64, other: u64, sum: u64) -> u64 {
    let (one, other) = round(one, other, sum);
    round(one, other, other).0
}

/// Folds a product into `sum`.
fn round(one: u64, other: u64, sum: u64) -> (u64, u64) {
    let product = u128::from(one) * u128::from(other);
    let sum = sum.wrapping_add((product >> 64) as u64);
    (product as u64 ^ sum, sum)
}

weir_sdk::operator!(Shuffle);

#[cfg(test)]
mod tests;
