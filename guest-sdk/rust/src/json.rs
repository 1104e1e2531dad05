//! HOT PATH. A few fields of a JSON object, as the text they came with: faster than reading it into a
//! type, because strings are scanned sixteen bytes at a time and nothing is copied. All of the object is checked.

use crate::failure::Failure;

/// Nesting beyond this is refused, so that no input exhausts the stack.
const DEPTH_MAX: u32 = 128;

/// The values of `fields` in a JSON object, as JSON text; `None` for a field that is not there. Of a repeated field the
/// last counts. Fails if `json` is no JSON object (RFC 8259) from end to end.
/// ```
/// let click = br#"{"user": "u1", "page": ["x"], "price": 1.50}"#;
/// assert_eq!(weir_sdk::json::pick(click, ["price", "user", "x"])?, [Some("1.50"), Some("\"u1\""), None]);
/// # Ok::<(), weir_sdk::Failure>(())
/// ```
pub fn pick<'a, const N: usize>(json: &'a [u8], fields: [&str; N]) -> Result<[Option<&'a str>; N], Failure> {
    let mut picked = [None; N];
    let mut scanner = Scanner { text: str::from_utf8(json)?, at: 0, escaped: false, expected: "" };
    let scanned = scanner.document(|key, value| {
        for (field, slot) in fields.iter().zip(&mut picked) {
            if key.says(field) {
                *slot = Some(value);
            }
        }
    });
    match scanned {
        Some(()) => Ok(picked),
        None => Err(Failure::new(format!("not JSON: expected {} at byte {}", scanner.expected, scanner.at))),
    }
}

/// A JSON string in quotes.
#[derive(Clone, Copy)]
struct Key<'a> {
    quoted: &'a str,
    escaped: bool,
}

impl Key<'_> {
    #[inline]
    fn says(self, name: &str) -> bool {
        if self.escaped {
            return serde_json::from_str::<String>(self.quoted).is_ok_and(|key| key == name);
        }
        // Most keys differ in length, and a comparison is a call.
        self.quoted.len() == name.len() + 2 && self.quoted.get(1..=name.len()) == Some(name)
    }
}

/// Its methods go over what they name, and return `None` where it is something else: one bit, in a register.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Whether an escape was passed since this was last reset.
    escaped: bool,
    /// What should have stood at the position, once a method has returned `None`.
    expected: &'static str,
}

impl<'a> Scanner<'a> {
    /// The byte at the position; at the end 0, which stands nowhere in JSON.
    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[cold]
    fn refuse(&mut self, expected: &'static str) -> Option<()> {
        self.expected = expected;
        None
    }

    #[inline]
    fn take(&mut self, byte: u8, what: &'static str) -> Option<()> {
        if self.byte() != byte {
            return self.refuse(what);
        }
        self.at += 1;
        Some(())
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn document(&mut self, each: impl FnMut(Key<'a>, &'a str)) -> Option<()> {
        self.space();
        self.object(0, each)?;
        self.space();
        if self.at == self.text.len() { Some(()) } else { self.refuse("nothing after the object") }
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        match self.byte() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.object(depth + 1, |_, _| ()),
            b'[' => self.array(depth + 1),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.refuse("a value"),
        }
    }

    /// Tells `each` the key, in quotes, and the value of every field.
    fn object(&mut self, depth: u32, mut each: impl FnMut(Key<'a>, &'a str)) -> Option<()> {
        self.take(b'{', "an object")?;
        self.list(depth, b'}', |scanner| {
            let key_at = scanner.at;
            scanner.escaped = false;
            scanner.string()?;
            let key = Key { quoted: scanner.since(key_at), escaped: scanner.escaped };
            scanner.space();
            scanner.take(b':', "a colon")?;
            scanner.space();
            let value_at = scanner.at;
            scanner.value(depth)?;
            each(key, scanner.since(value_at));
            Some(())
        })
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        self.take(b'[', "an array")?;
        self.list(depth, b']', |scanner| scanner.value(depth))
    }

    /// Items between commas, up to `end`.
    #[inline]
    fn list(&mut self, depth: u32, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if depth > DEPTH_MAX {
            return self.refuse("less nesting");
        }
        self.space();
        if self.byte() == end {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            self.space();
            match self.byte() {
                b',' => self.at += 1,
                byte if byte == end => {
                    self.at += 1;
                    return Some(());
                }
                _ => return self.refuse("a comma or the end"),
            }
            self.space();
        }
    }

    #[inline]
    fn string(&mut self) -> Option<()> {
        self.take(b'"', "a string")?;
        loop {
            self.plain();
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                0x20.. => self.at += 1,
                _ => return self.refuse("a string without control characters, and its end"),
            }
        }
    }

    /// Goes on to the next quote, backslash or control character, or to where fewer than 16 bytes are left.
    #[inline]
    fn plain(&mut self) {
        while let Some(bytes) = self.text.as_bytes().get(self.at..).and_then(|rest| rest.first_chunk()) {
            let plain = plain_bytes(bytes);
            self.at += plain;
            if plain < LANE {
                return;
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Option<()> {
        self.escaped = true;
        self.at += 1;
        match self.byte() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.byte().is_ascii_hexdigit() {
                        return self.refuse("four hex digits");
                    }
                    self.at += 1;
                }
            }
            _ => return self.refuse("an escape"),
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        match self.byte() {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    #[inline]
    fn digits(&mut self) -> Option<()> {
        if !self.byte().is_ascii_digit() {
            return self.refuse("a digit");
        }
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        Some(())
    }

    fn literal(&mut self, literal: &'static str) -> Option<()> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            return self.refuse(literal);
        }
        self.at += literal.len();
        Some(())
    }
}

/// How many bytes are looked at together.
const LANE: usize = 16;

/// How many bytes come before the first that is a quote, a backslash or a control character.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline]
fn plain_bytes(bytes: &[u8; LANE]) -> usize {
    use core::arch::wasm32::{i8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};
    let all = u128::from_le_bytes(*bytes);
    let lanes = u64x2(all as u64, (all >> 64) as u64);
    let marks = v128_or(u8x16_eq(lanes, u8x16_splat(b'"')), u8x16_eq(lanes, u8x16_splat(b'\\')));
    let stops = i8x16_bitmask(v128_or(marks, u8x16_lt(lanes, u8x16_splat(0x20))));
    (u32::from(stops) | 1 << LANE).trailing_zeros() as usize
}

/// The same, where there is no wasm: in a plugin's own tests.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline]
fn plain_bytes(bytes: &[u8; LANE]) -> usize {
    const ONES: u128 = u128::from_le_bytes([1; LANE]);
    let all = u128::from_le_bytes(*bytes);
    // The lowest high bit that is set marks the first byte that is zero; higher ones may be wrong.
    let zeros = |word: u128| word.wrapping_sub(ONES) & !word;
    let control = all.wrapping_sub(ONES * 0x20) & !all;
    let stops = control | zeros(all ^ (ONES * u128::from(b'"'))) | zeros(all ^ (ONES * u128::from(b'\\')));
    (stops & (ONES * 0x80)).trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests;
