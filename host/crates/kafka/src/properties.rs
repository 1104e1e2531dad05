//! librdkafka's properties: which there are, by which names, which cannot be passed through, and what is wrong with one.
//! An error names the property and says why, and never shows a value: it may be a password, also of a name that is none.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::OnceLock;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use weir_core::Secret;

use crate::error::Error;
use crate::ffi;

mod refused;

pub use refused::refused_properties;

/// What a user sets, under librdkafka's own names, each checked by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, Secret>);

impl Properties {
    /// Checks what was `given`: known names, values that the client takes, nothing that correctness depends on, nothing
    /// that would load code, and nothing twice.
    pub fn new(given: &BTreeMap<String, Secret>) -> Result<Self, Error> {
        let mut checked = BTreeMap::<String, Secret>::new();
        for (key, value) in given {
            if !is_name(key) {
                let reason = "a name has only the characters a-z A-Z 0-9 . _ - (the one that was given is not shown)";
                return Err(Error::property("?", reason));
            }
            refused::check(key, value)?;
            let known = known(key)?;
            refused::check(known, value)?;
            match checked.entry(known.to_owned()) {
                Entry::Occupied(other) if other.get() != value => {
                    let reason =
                        format!("it is another name of {known:?}, which is set to something else; leave one out");
                    return Err(Error::property(key, reason));
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => drop(free.insert(value.clone())),
            }
            check_value(key, value)?;
        }
        Ok(Self(checked))
    }

    /// The value of a property, under any of its names.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(canonical(key)).map(Secret::expose)
    }

    /// Whether a property is set, under any of its names.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All of them, for a client.
    pub(crate) fn apply(&self, config: &mut ClientConfig) {
        for (key, value) in &self.0 {
            config.set(key, value.expose());
        }
    }

    /// `said` without what was set: by a client or a broker that repeats what it was told.
    pub(crate) fn hide_in(&self, said: &str) -> String {
        let telling = |(key, value): &(&String, &Secret)| is_secret(key) || value.expose().len() >= TELLING;
        self.0.iter().filter(telling).fold(said.to_owned(), |said, (_, value)| value.remove_from(&said))
    }
}

/// Shorter values of properties that hold no secret are words of the language: `ssl`, `true`, `100`.
const TELLING: usize = 12;

fn is_secret(key: &str) -> bool {
    ["password", "secret", "pem", "username", "config", "key"].iter().any(|word| key.contains(word))
}

/// Whether `key` could name a property. What could not may be a name with its value, and is not to be shown.
pub fn is_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// librdkafka's own name of a property that it knows by several; any other name as it is.
pub fn canonical(key: &str) -> &str {
    match table().get(key) {
        Some(Kind::Alias(of)) => of,
        _ => key,
    }
}

/// The other names of a property.
pub(crate) fn aliases(key: &str) -> String {
    let others = table().iter().filter(|(_, kind)| matches!(kind, Kind::Alias(of) if of == key));
    others.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Set as text.
    Text,
    /// Another name of this one.
    Alias(String),
    /// Set by code only.
    Code,
}

/// Every property of the librdkafka that is built in, as it lists them itself.
fn table() -> &'static BTreeMap<String, Kind> {
    static TABLE: OnceLock<BTreeMap<String, Kind>> = OnceLock::new();
    TABLE.get_or_init(|| parse(&ffi::conf::all_properties()))
}

/// Lines of `name | C/P | range | default | importance | description`, under two heads.
fn parse(listing: &str) -> BTreeMap<String, Kind> {
    let property = |line: &str| {
        let (name, rest) = line.split_once('|')?;
        let name = name.trim();
        if name.is_empty() || name == "Property" || name.starts_with('-') {
            return None;
        }
        let alias = rest.split_once("Alias for `").and_then(|(_, rest)| Some(rest.split_once('`')?.0.to_owned()));
        let kind = match alias {
            Some(of) => Kind::Alias(of),
            None if rest.contains("*Type: see dedicated API*") => Kind::Code,
            None => Kind::Text,
        };
        Some((name.to_owned(), kind))
    };
    let mut table = BTreeMap::new();
    for (name, kind) in listing.lines().filter_map(property) {
        // A client looks among the global ones first.
        table.entry(name).or_insert(kind);
    }
    table
}

/// The name under which the client keeps `key`, or what it could have been meant for.
fn known(key: &str) -> Result<&str, Error> {
    match table().get(key) {
        Some(Kind::Text) => Ok(key),
        Some(Kind::Alias(of)) => Ok(of),
        Some(Kind::Code) => Err(Error::property(key, "it is for programs, not for users")),
        None => {
            let known = table().iter().filter(|(_, kind)| **kind != Kind::Code).map(|(name, _)| name.as_str());
            let reason = match closest(key, known) {
                Some(close) => format!("librdkafka has no such property; did you mean {close:?}?"),
                None => "librdkafka has no such property; its CONFIGURATION.md lists them".to_owned(),
            };
            Err(Error::property(key, reason))
        }
    }
}

fn check_value(key: &str, value: &Secret) -> Result<(), Error> {
    let reason = match ClientConfig::new().set(key, value.expose()).create_native_config() {
        Ok(_) => return Ok(()),
        Err(KafkaError::ClientConfig(_, said, ..)) => {
            // A value of many words, or a list, may be repeated in part.
            let is_plain =
                value.expose().len() <= 40 && !value.expose().contains(|c: char| c.is_whitespace() || c == ',');
            let said = is_plain.then(|| value.remove_from(&said));
            said.map_or_else(|| "its value is not one that it takes".to_owned(), |said| said.trim().to_owned())
        }
        Err(_) => "its value is not text".to_owned(),
    };
    Err(Error::property(key, reason))
}

/// The known word that `word` most likely was meant to be: with the fewest letters to change, and not too many.
fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, close) = known.map(|k| (distance(word, k), k)).min()?;
    (distance <= 1 + word.len() / 6).then_some(close)
}

/// How many letters must be added, removed or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = changed.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        row.first_mut().into_iter().for_each(|first| *first = i + 1);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
