//! Numbers and dates as milliseconds since 1970.
//!
//! A number counts the [`Unit`] that the user names: none is guessed from its size. What is finer than a millisecond is cut
//! off. A text that is no number is RFC 3339 with its offset from UTC: a local time names no moment.

use std::fmt;
use std::str::FromStr;

use super::{Error, legal};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// `s`
    Seconds,
    /// `ms`
    #[default]
    Milliseconds,
    /// `us`
    Microseconds,
    /// `ns`
    Nanoseconds,
}

impl Unit {
    /// How many decimal places lie between this unit and nanoseconds.
    fn places(self) -> u32 {
        match self {
            Self::Seconds => 9,
            Self::Milliseconds => 6,
            Self::Microseconds => 3,
            Self::Nanoseconds => 0,
        }
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            "us" => Ok(Self::Microseconds),
            "ns" => Ok(Self::Nanoseconds),
            _ => Err(format!("{text:?} is none of s, ms, us, ns")),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        })
    }
}

const NANOS_PER_MS: i128 = 1_000_000;

/// The time of a whole number of `unit`s.
pub(crate) fn from_integer(number: i128, unit: Unit) -> Result<i64, Error> {
    let nanos = number.saturating_mul(10_i128.pow(unit.places()));
    legal(nanos.div_euclid(NANOS_PER_MS))
}

/// The time of a number with a fraction: exactly that of its shortest decimal text, which is how it was written.
pub(crate) fn from_fraction(number: f64, unit: Unit) -> Result<i64, Error> {
    from_text(number.to_string().as_bytes(), unit)
}

/// The time that `text` says: a decimal number of `unit`s, or a date.
///
/// ```
/// use weir_time::timestamp::value::{Unit, from_text};
///
/// assert_eq!(from_text(b"1700000000.0019", Unit::Seconds), Ok(1_700_000_000_001));
/// assert_eq!(from_text(b"2023-11-14T22:13:20Z", Unit::Seconds), Ok(1_700_000_000_000));
/// ```
pub fn from_text(text: &[u8], unit: Unit) -> Result<i64, Error> {
    let shown = || Error::Unparsable(String::from_utf8_lossy(text.get(..80).unwrap_or(text)).into_owned());
    let text = std::str::from_utf8(text).map_err(|_| shown())?.trim();
    if let Some(nanos) = decimal_nanos(text, unit) {
        return legal(nanos.div_euclid(NANOS_PER_MS));
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| shown())?;
    legal(time.as_nanosecond().div_euclid(NANOS_PER_MS))
}

/// The nanoseconds of `[-]DIGITS[.DIGITS]`; `None` if `text` is of another form. Too many digits become too large a number.
fn decimal_nanos(text: &str, unit: Unit) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let places = unit.places();
    let mut nanos = whole.parse::<i128>().unwrap_or(i128::MAX).saturating_mul(10_i128.pow(places));
    for (digit, place) in fraction.bytes().zip((0..places).rev()) {
        nanos = nanos.saturating_add(i128::from(digit - b'0') * 10_i128.pow(place));
    }
    Some(if negative { -nanos } else { nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_the_unit_and_are_cut_to_milliseconds() {
        for (text, unit, expected) in [
            ("1700000000123", Unit::Milliseconds, 1_700_000_000_123),
            (" 1700000000 ", Unit::Seconds, 1_700_000_000_000),
            ("1700000000.123999", Unit::Seconds, 1_700_000_000_123),
            ("1700000000123456", Unit::Microseconds, 1_700_000_000_123),
            ("1700000000123456789", Unit::Nanoseconds, 1_700_000_000_123),
            ("1.9999999999999999999", Unit::Milliseconds, 1),
            ("0", Unit::Seconds, 0),
            ("-0", Unit::Seconds, 0),
        ] {
            assert_eq!(from_text(text.as_bytes(), unit), Ok(expected), "{text}");
        }
        assert_eq!(from_fraction(1_700_000_000.123, Unit::Seconds), Ok(1_700_000_000_123));
        assert_eq!(from_fraction(1.7e12, Unit::Milliseconds), Ok(1_700_000_000_000));
        assert_eq!(from_integer(1_700_000_000, Unit::Seconds), Ok(1_700_000_000_000));
        assert_eq!(from_integer(1_999_999, Unit::Nanoseconds), Ok(1));
        assert_eq!(from_integer(i128::MAX, Unit::Seconds), Err(Error::OutOfRange(i128::MAX / NANOS_PER_MS)));
    }

    #[test]
    fn dates_have_an_offset() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-31T12:00:00.123456789Z", 1_769_860_800_123),
            ("2026-01-31T13:00:00+01:00", 1_769_860_800_000),
            ("2026-01-31 12:00:00z", 1_769_860_800_000),
        ] {
            assert_eq!(from_text(text.as_bytes(), Unit::Seconds), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_and_other_centuries_are_refused() {
        for text in ["", "-", ".5", "5.", "1e5", "0x5", "1_000", "NaN", "now", "2026-01-31", "2026-01-31T12:00:00", "١"]
        {
            assert!(matches!(from_text(text.as_bytes(), Unit::Seconds), Err(Error::Unparsable(_))), "{text:?}");
        }
        assert!(matches!(from_text(b"\xff", Unit::Seconds), Err(Error::Unparsable(_))));
        let long = "9".repeat(100);
        for text in ["-1", "1969-12-31T23:59:59.9999Z", "250246627200000", &long] {
            assert!(matches!(from_text(text.as_bytes(), Unit::Milliseconds), Err(Error::OutOfRange(_))), "{text:?}");
        }
        for number in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(from_fraction(number, Unit::Seconds).is_err(), "{number}");
        }
    }
}
