//! The bytes of one log record, little endian:
//!
//! ```text
//! magic:[u8;4] = "WEIR"  version:u16 = 2  flags:u16 = 0  epoch:u64  entries:u64  plan_len:u32  manifest_len:u32
//! payload_len:u64  body_crc:u32  header_crc:u32  plan  manifest  payload
//! ```
//!
//! A record without a plan has that of the one before it in its segment; the first of a segment has its own.
//! `body_crc` covers plan, manifest and payload, `header_crc` everything before it, both CRC-32C. The header has its own,
//! so that a length can be believed before the body is read: that tells a torn tail from damage.

use weir_core::ports::Delta;

/// Bytes of a header.
pub(super) const HEADER: usize = 48;
const MAGIC: [u8; 4] = *b"WEIR";
const VERSION: u16 = 2;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u64,
    pub(super) entries: u64,
    pub(super) plan_len: u32,
    pub(super) manifest_len: u32,
    pub(super) payload_len: u64,
    pub(super) body_crc: u32,
}

impl Header {
    /// The header of a record.
    pub(super) fn of(epoch: u64, (plan, manifest): (&[u8], &[u8]), deltas: &[Delta]) -> Self {
        Self {
            epoch,
            entries: deltas.iter().map(|delta| delta.entries).sum(),
            plan_len: plan.len() as u32,
            manifest_len: manifest.len() as u32,
            payload_len: deltas.iter().map(|delta| delta.payload.len() as u64).sum(),
            body_crc: deltas.iter().fold(crc32c::crc32c_append(crc32c::crc32c(plan), manifest), |crc, delta| {
                crc32c::crc32c_append(crc, &delta.payload)
            }),
        }
    }

    /// Bytes of the whole record; `None` where they cannot be counted.
    pub(super) fn record_len(&self) -> Option<u64> {
        self.payload_len.checked_add(HEADER as u64 + self.text_len())
    }

    /// Bytes of plan and manifest.
    pub(super) fn text_len(&self) -> u64 {
        u64::from(self.plan_len) + u64::from(self.manifest_len)
    }

    /// As bytes.
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC);
        put(&VERSION.to_le_bytes());
        put(&0u16.to_le_bytes());
        put(&self.epoch.to_le_bytes());
        put(&self.entries.to_le_bytes());
        put(&self.plan_len.to_le_bytes());
        put(&self.manifest_len.to_le_bytes());
        put(&self.payload_len.to_le_bytes());
        put(&self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[..HEADER - 4]);
        out[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header, or says what does not check.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Result<Self, &'static str> {
        let mut at = 0;
        if take::<4>(bytes, &mut at) != MAGIC {
            return Err("no record begins here");
        }
        let version = u16::from_le_bytes(take(bytes, &mut at));
        let flags = u16::from_le_bytes(take(bytes, &mut at));
        let header = Self {
            epoch: u64::from_le_bytes(take(bytes, &mut at)),
            entries: u64::from_le_bytes(take(bytes, &mut at)),
            plan_len: u32::from_le_bytes(take(bytes, &mut at)),
            manifest_len: u32::from_le_bytes(take(bytes, &mut at)),
            payload_len: u64::from_le_bytes(take(bytes, &mut at)),
            body_crc: u32::from_le_bytes(take(bytes, &mut at)),
        };
        if crc32c::crc32c(&bytes[..HEADER - 4]) != u32::from_le_bytes(take(bytes, &mut at)) {
            return Err("the checksum of the record's header does not match");
        }
        if version != VERSION || flags != 0 {
            return Err(UNKNOWN_VERSION);
        }
        Ok(header)
    }
}

/// Not damage, and never a torn tail: the header checks.
pub(super) const UNKNOWN_VERSION: &str = "the record was written by a Weir with another log format";

/// The next `N` bytes of a header; the callers together take [`HEADER`] of them.
fn take<const N: usize>(bytes: &[u8; HEADER], at: &mut usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[*at..*at + N]);
    *at += N;
    out
}
