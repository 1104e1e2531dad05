//! HOT PATH. JSON pointers (RFC 6901), followed through a document without building it.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::value::{self, Unit};
use super::{Error, ParseError};

/// A place in a JSON document: `/event/ts`, `/list/0`; an empty text is the document itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    steps: Vec<String>,
}

impl Pointer {
    /// The time that stands there in `json`. Of a name that an object says twice, the last counts.
    pub fn read(&self, json: &[u8], unit: Unit) -> Result<i64, Error> {
        let mut document = serde_json::Deserializer::from_slice(json);
        let found = Walk { steps: &self.steps, unit }.deserialize(&mut document);
        found.and_then(|found| document.end().map(|()| found)).map_err(|why| Error::NotJson(why.to_string()))?
    }
}

impl FromStr for Pointer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refused = || ParseError::Pointer(text.to_owned());
        let Some(steps) = text.strip_prefix('/') else {
            return if text.is_empty() { Ok(Self { steps: Vec::new() }) } else { Err(refused()) };
        };
        let steps = steps.split('/').map(|step| unescaped(step).ok_or_else(refused));
        Ok(Self { steps: steps.collect::<Result<_, _>>()? })
    }
}

/// `~1` is a slash and `~0` a tilde; nothing else follows a tilde.
fn unescaped(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(1)?;
        name.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

/// Follows the steps that are left. What is found, or why it is no time, is the value; an error is that of the JSON.
#[derive(Clone, Copy)]
struct Walk<'a> {
    steps: &'a [String],
    unit: Unit,
}

/// What stands at the place, or why nothing does.
type Found = Result<i64, Error>;

const NOTHING: Error = Error::Missing("the value has nothing at that place");

impl<'a> Walk<'a> {
    /// The next step, and the walk from there.
    fn step(self) -> Option<(&'a str, Self)> {
        let (first, rest) = self.steps.split_first()?;
        Some((first, Self { steps: rest, ..self }))
    }

    /// A scalar, which is the time if no step is left.
    fn scalar(self, time: impl FnOnce(Unit) -> Found) -> Found {
        if self.steps.is_empty() { time(self.unit) } else { Err(NOTHING) }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Found, E> {
        Ok(self.scalar(|unit| value::from_integer(number.into(), unit)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Found, E> {
        Ok(self.scalar(|unit| value::from_integer(number.into(), unit)))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Found, E> {
        Ok(self.scalar(|unit| value::from_fraction(number, unit)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Found, E> {
        Ok(self.scalar(|unit| value::from_text(text.as_bytes(), unit)))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Found, E> {
        Ok(self.scalar(|_| Err(Error::Unparsable(truth.to_string()))))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Found, E> {
        Ok(Err(NOTHING))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let step = self.step();
        let mut found = if step.is_some() { Err(NOTHING) } else { Err(Error::Unparsable("an object".to_owned())) };
        while let Some(here) = map.next_key_seed(IsName(step.map(|(name, _)| name)))? {
            match step {
                Some((_, rest)) if here => found = map.next_value_seed(rest)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let step = self.step();
        let mut found = if step.is_some() { Err(NOTHING) } else { Err(Error::Unparsable("a list".to_owned())) };
        let wanted = step.and_then(|(name, rest)| Some((index(name)?, rest)));
        for at in 0.. {
            let is_last = match wanted {
                Some((index, rest)) if index == at => match list.next_element_seed(rest)? {
                    Some(element) => {
                        found = element;
                        false
                    }
                    None => true,
                },
                _ => list.next_element::<IgnoredAny>()?.is_none(),
            };
            if is_last {
                break;
            }
        }
        Ok(found)
    }
}

/// An index as RFC 6901 writes it: digits without a leading zero.
fn index(step: &str) -> Option<usize> {
    let is_plain = step == "0" || (!step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit()));
    step.parse().ok().filter(|_| is_plain)
}

/// Whether an object's key is the name looked for, without a copy of it.
struct IsName<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<bool, E> {
        Ok(self.0 == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pointer: &str, json: &str) -> Found {
        pointer.parse::<Pointer>().unwrap().read(json.as_bytes(), Unit::Milliseconds)
    }

    #[test]
    fn a_pointer_leads_to_its_place() {
        for (pointer, json, expected) in [
            ("/ts", r#"{"a": {"ts": 1}, "ts": 5, "z": [1, 2]}"#, 5),
            ("/ts", r#"{"ts": 1, "ts": 2}"#, 2),
            ("/ts", r#"{"\u0074s": 3}"#, 3),
            ("/ts", r#"{"ts": "1970-01-01T00:00:01Z"}"#, 1_000),
            ("/ts", r#"{"ts": 7.9}"#, 7),
            ("/a/1/b", r#"{"a": [1, {"b": "9"}, 3]}"#, 9),
            ("/0", r#"{"0": 4}"#, 4),
            ("/a~1b/m~0n", r#"{"a/b": {"m~n": 6}}"#, 6),
            ("/", r#"{"": 8}"#, 8),
            ("", "10", 10),
        ] {
            assert_eq!(read(pointer, json), Ok(expected), "{pointer} in {json}");
        }
    }

    #[test]
    fn what_is_not_there_is_missing_and_what_is_no_time_is_said() {
        for json in ["{}", "5", "[1]", r#"{"ts": null}"#, r#"{"TS": 1}"#, r#"{"a": {"ts": 1}}"#] {
            assert_eq!(read("/ts", json), Err(NOTHING), "{json}");
        }
        for pointer in ["/2", "/01", "/-", "/x"] {
            assert_eq!(read(pointer, "[1, 2]"), Err(NOTHING), "{pointer}");
        }
        for json in [r#"{"ts": true}"#, r#"{"ts": {}}"#, r#"{"ts": []}"#, r#"{"ts": "soon"}"#] {
            assert!(matches!(read("/ts", json), Err(Error::Unparsable(_))), "{json}");
        }
        assert!(matches!(read("/ts", r#"{"ts": -1}"#), Err(Error::OutOfRange(-1))));
    }

    #[test]
    fn what_is_no_json_is_refused_wherever_it_breaks() {
        let deep = "[".repeat(100_000);
        for json in ["", "{", r#"{"ts": 1"#, r#"{"ts": 1} x"#, r#"{"a": nope, "ts": 1}"#, "\u{0}", &deep] {
            assert!(matches!(read("/ts", json), Err(Error::NotJson(_))), "{:.20}", json);
        }
    }
}
