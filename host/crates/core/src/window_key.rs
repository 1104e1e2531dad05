//! The key of a window: what a slot is where slots are windows. `len:u32be | user key | start:u64be | end:u64be`, the times
//! in the order of time. Its hash has the key group of the user's key, so that all windows of a key are of one task.

use crate::key_group::{KEY_GROUPS, key_hash};

/// Bytes of a time.
const TIME: usize = 8;

/// A window of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowKey<'a> {
    /// The user's key.
    pub key: &'a [u8],
    /// The window's first millisecond.
    pub start_ms: i64,
    /// The first millisecond after it.
    pub end_ms: i64,
}

impl<'a> WindowKey<'a> {
    /// Appends its bytes.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.key.len() as u32).to_be_bytes());
        out.extend_from_slice(self.key);
        out.extend_from_slice(&time_bytes(self.start_ms));
        out.extend_from_slice(&time_bytes(self.end_ms));
    }

    /// What these bytes are the key of, if they are of a window.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (key, times) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let (start, end) = times.split_first_chunk::<TIME>()?;
        Some(Self { key, start_ms: time_of(*start), end_ms: time_of(end.try_into().ok()?) })
    }

    /// The hash by which its slot is found: of the key group of the user's key.
    ///
    /// ```
    /// use weir_core::key_group::{KeyGroup, key_hash};
    /// use weir_core::WindowKey;
    ///
    /// let window = WindowKey { key: b"ada", start_ms: 0, end_ms: 10_000 };
    /// assert_eq!(KeyGroup::of_hash(window.hash()), KeyGroup::of_hash(key_hash(b"ada")));
    /// ```
    pub fn hash(&self) -> u64 {
        const GROUP: u64 = KEY_GROUPS as u64 - 1;
        let hash = key_hash(self.key);
        let window = self.start_ms.cast_unsigned() ^ self.end_ms.cast_unsigned().rotate_left(32);
        let mixed = (hash ^ window.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        // The key group is the hash modulo a power of two.
        ((mixed ^ (mixed >> 32)) & !GROUP) | (hash & GROUP)
    }
}

/// The bytes by which tables keep a time: in the order of time, also before 1970.
///
/// ```
/// use weir_core::window_key::{time_bytes, time_of};
///
/// assert!(time_bytes(-1) < time_bytes(0) && time_bytes(255) < time_bytes(256));
/// assert_eq!(time_of(time_bytes(-5)), -5);
/// ```
pub fn time_bytes(time_ms: i64) -> [u8; 8] {
    (time_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time that [`time_bytes`] made these of.
pub fn time_of(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_pinned_and_read_back() {
        let window = WindowKey { key: b"ab", start_ms: 10, end_ms: 20 };
        let mut bytes = Vec::new();
        window.push(&mut bytes);
        assert_eq!(bytes, b"\0\0\0\x02ab\x80\0\0\0\0\0\0\x0a\x80\0\0\0\0\0\0\x14");
        assert_eq!(WindowKey::parse(&bytes), Some(window));
        for cut in 0..bytes.len() {
            assert_eq!(WindowKey::parse(&bytes[..cut]), None);
        }
        assert_eq!(WindowKey::parse(&[&bytes[..], b"x"].concat()), None);
    }

    #[test]
    fn the_windows_of_a_key_do_not_share_their_hash() {
        let hashes: std::collections::HashSet<u64> =
            (0..10_000).map(|n| WindowKey { key: b"k", start_ms: n * 10, end_ms: n * 10 + 10 }.hash()).collect();
        assert_eq!(hashes.len(), 10_000);
    }
}
