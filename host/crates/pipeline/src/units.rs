//! Durations and sizes as people write them: `100ms`, `15s`, `64MiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration, written as `100ms`, `15s`, `2min`.
///
/// ```
/// use weir_pipeline::units::Span;
/// assert_eq!("2min".parse::<Span>().unwrap().0.as_secs(), 120);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes, written as `64MiB`, `1GB` or plain bytes.
///
/// ```
/// use weir_pipeline::units::Size;
/// assert_eq!("64MiB".parse::<Size>().unwrap(), Size(64 << 20));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A duration or a size that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("{0:?} is not a duration like 100ms, 15s or 2min")]
    Span(String),
    /// Not a size.
    #[error("{0:?} is not a size like 64MiB, 1GB or 4096")]
    Size(String),
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        humantime::parse_duration(text).map(Self).map_err(|_| UnitError::Span(text.to_owned()))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let size: bytesize::ByteSize = text.parse().map_err(|_| UnitError::Size(text.to_owned()))?;
        Ok(Self(size.as_u64()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize(self.0).display().iec().fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration like \"100ms\", \"15s\" or \"2min\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesOrWords;
        impl Visitor<'_> for BytesOrWords {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like \"64MiB\", \"1GB\" or 4096")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes).map(Size).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(BytesOrWords)
    }
}

/// Reads a string of the file by its `FromStr`, so that flags and file share one spelling and one error.
pub(crate) fn text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// [`text`] for a key that may be left out.
pub(crate) fn optional_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    text(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_units() {
        assert_eq!("100ms".parse(), Ok(Span(Duration::from_millis(100))));
        assert_eq!("64MiB".parse(), Ok(Size(64 << 20)));
        assert_eq!("1GB".parse(), Ok(Size(1_000_000_000)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
        assert_eq!(Size(128 << 20).to_string(), "128.0 MiB");
        assert_eq!(Span(Duration::from_millis(1500)).to_string(), "1s 500ms");
    }

    #[test]
    fn what_a_file_cannot_mean_is_said_in_words() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct File {
            size: Option<Size>,
            span: Option<Span>,
        }
        let read = |text| toml::from_str::<File>(text).map_err(|error| error.message().to_owned());
        assert_eq!(read("size = 4096"), Ok(File { size: Some(Size(4096)), span: None }));
        assert_eq!(read("size = '1KiB'"), Ok(File { size: Some(Size(1024)), span: None }));
        for (text, wanted) in [
            ("size = -1", "invalid value: integer `-1`, expected a size like \"64MiB\", \"1GB\" or 4096"),
            ("size = 1.5", "invalid type: floating point `1.5`, expected a size like \"64MiB\", \"1GB\" or 4096"),
            ("size = []", "invalid type: sequence, expected a size like \"64MiB\", \"1GB\" or 4096"),
            ("size = 'much'", "\"much\" is not a size like 64MiB, 1GB or 4096"),
            ("span = 5", "invalid type: integer `5`, expected a duration like \"100ms\", \"15s\" or \"2min\""),
            ("span = '5'", "\"5\" is not a duration like 100ms, 15s or 2min"),
        ] {
            assert_eq!(read(text), Err(wanted.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_without_sense_are_refused() {
        assert_eq!("100".parse::<Span>(), Err(UnitError::Span("100".into())));
        assert_eq!("-1MiB".parse::<Size>(), Err(UnitError::Size("-1MiB".into())));
        assert_eq!("".parse::<Size>(), Err(UnitError::Size("".into())));
    }
}
