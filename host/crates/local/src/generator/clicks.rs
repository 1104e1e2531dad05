//! HOT PATH. Clicks of a shop.

use std::io::Write as _;
use std::num::NonZeroU64;

/// The least a click takes unless another size is asked for.
pub(super) const BYTES: usize = 300;

/// Clicks of so many users, of at least so many bytes.
pub(super) struct Clicks {
    pub(super) keys: NonZeroU64,
    pub(super) bytes: Option<usize>,
}

impl Clicks {
    /// Writes key and value of the click at `offset`.
    pub(super) fn click(&self, offset: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) -> std::io::Result<()> {
        const PAGES: [&str; 4] = ["home", "search", "product", "cart"];
        const COUNTRIES: [&str; 4] = ["DE", "FR", "JP", "US"];
        const DEVICES: [&str; 4] = ["desktop", "mobile", "tablet", "tv"];
        let random = scramble(offset);
        let pick = |words: [&'static str; 4], shift: u32| {
            let [a, b, c, d] = words;
            match (random >> shift) & 3 {
                0 => a,
                1 => b,
                2 => c,
                _ => d,
            }
        };
        let (user, cents) = (random % self.keys, (random >> 32) % 10_000);
        write!(key, "user-{user}")?;
        write!(
            value,
            "{{\"user_id\":\"user-{user}\",\"session\":\"{:016x}\",\"sequence\":{offset},",
            scramble(random)
        )?;
        write!(
            value,
            "\"page\":\"/{}/{}\",\"price\":{}.{:02},",
            pick(PAGES, 20),
            random % 977,
            cents / 100,
            cents % 100
        )?;
        write!(
            value,
            "\"currency\":\"EUR\",\"quantity\":{},\"product\":\"p-{}\",",
            1 + (random >> 24) % 9,
            random % 9973
        )?;
        write!(value, "\"country\":\"{}\",\"device\":\"{}\",", pick(COUNTRIES, 22), pick(DEVICES, 26))?;
        write!(value, "\"referrer\":\"https://example.org/?q={}\",\"agent\":\"", random % 99_991)?;
        let wanted = self.bytes.unwrap_or(BYTES);
        value.resize(value.len().max(wanted.saturating_sub(2)), b'x');
        value.extend_from_slice(b"\"}");
        Ok(())
    }
}

/// SplitMix64: neighbouring offsets get numbers that have nothing in common.
fn scramble(offset: u64) -> u64 {
    let mut z = offset.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
