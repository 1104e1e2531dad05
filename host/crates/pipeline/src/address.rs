//! Addresses as flags have them: `-`, `file:PATH`, `generate:NAME?rate=..`, `TOPIC`, `kafka:TOPIC`, `kafka:/REGEX/`.
//! What follows the last `?` of `-` and of `file:PATH` says how lines look.

use std::fmt;
use std::str::FromStr;

use weir_connector::{Error, closest};

use crate::lines::LinesSpec;
use crate::spec::{FileSpec, GenerateSpec, KafkaSinkSpec, KafkaSourceSpec};
use crate::spec::{SinkSpec, SourceSpec};

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceAddress {
    /// `-`
    Stdin(LinesSpec),
    /// `file:PATH`
    File(FileSpec),
    /// `generate:NAME?rate=N&..`
    Generate(GenerateSpec),
    /// `TOPIC`, `kafka:TOPIC`
    Topic(String),
    /// `kafka:/REGEX/`
    Pattern(String),
}

/// Where the records of one output go: `ADDR` (the first output), or `OUTPUT=ADDR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct To {
    /// Name of the output, as the plugin has it; `None` is its first one.
    pub output: Option<String>,
    /// Where its records go.
    pub address: SinkAddress,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkAddress {
    /// `-`
    Stdout(LinesSpec),
    /// `file:PATH`
    File(FileSpec),
    /// `TOPIC`, `kafka:TOPIC`
    Topic(String),
}

impl FromStr for SourceAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(lines) = standard(text) {
            return lines.map(Self::Stdin);
        }
        match text.split_once(':') {
            Some(("file", path)) => Ok(Self::File(file(text, path)?)),
            Some(("generate", what)) => Ok(Self::Generate(generate(text, what)?)),
            Some(("kafka", topic)) => match topic.strip_prefix('/').map(|t| t.strip_suffix('/')) {
                Some(Some(pattern)) if !pattern.is_empty() => Ok(Self::Pattern(pattern.to_owned())),
                Some(_) => Err(refused(text, "a pattern is kafka:/REGEX/")),
                None => Ok(Self::Topic(topic_name(text, topic)?)),
            },
            Some((scheme, _)) => Err(unknown_scheme(text, scheme)),
            None => Ok(Self::Topic(topic_name(text, text)?)),
        }
    }
}

impl FromStr for SinkAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(lines) = standard(text) {
            return lines.map(Self::Stdout);
        }
        match text.split_once(':') {
            Some(("file", path)) => Ok(Self::File(file(text, path)?)),
            Some(("generate", _)) => Err(refused(text, "a generator is a source; nothing can be written to it")),
            Some(("kafka", topic)) if topic.starts_with('/') => {
                Err(refused(text, "a pattern can be read, not written; name one topic"))
            }
            Some(("kafka", topic)) => Ok(Self::Topic(topic_name(text, topic)?)),
            Some((scheme, _)) => Err(unknown_scheme(text, scheme)),
            None => Ok(Self::Topic(topic_name(text, text)?)),
        }
    }
}

impl FromStr for To {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // No address has a `=` before a `:` or `?`, so the first one tells.
        match text.split_once('=') {
            Some((output, address)) if !output.contains([':', '?']) => match output {
                "" => Err(refused(text, "OUTPUT=ADDR needs the name of an output")),
                output => Ok(Self { output: Some(output.to_owned()), address: address.parse()? }),
            },
            _ => Ok(Self { output: None, address: text.parse()? }),
        }
    }
}

impl SourceAddress {
    /// The key of a source that says the same.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Stdin(_) => "stdin",
            Self::File(_) => "file",
            Self::Generate(_) => "generate",
            Self::Topic(_) | Self::Pattern(_) => "kafka",
        }
    }

    /// Lays the address over `source`: what it read before is replaced, its other settings stay.
    pub fn replace(self, source: &mut SourceSpec) {
        (source.kafka, source.file, source.generate, source.stdin) = (None, None, None, None);
        match self {
            Self::Stdin(lines) => source.stdin = Some(lines),
            Self::File(file) => source.file = Some(file),
            Self::Generate(generate) => source.generate = Some(generate),
            Self::Topic(topic) => {
                source.kafka = Some(KafkaSourceSpec { topic: Some(topic), ..KafkaSourceSpec::default() });
            }
            Self::Pattern(pattern) => {
                source.kafka = Some(KafkaSourceSpec { pattern: Some(pattern), ..KafkaSourceSpec::default() });
            }
        }
    }
}

impl SinkAddress {
    /// The key of a sink that says the same.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "stdout",
            Self::File(_) => "file",
            Self::Topic(_) => "kafka",
        }
    }

    /// Lays the address over `sink`: what it wrote before is replaced, its inputs stay.
    pub fn replace(self, sink: &mut SinkSpec) {
        (sink.kafka, sink.file, sink.stdout) = (None, None, None);
        match self {
            Self::Stdout(lines) => sink.stdout = Some(lines),
            Self::File(file) => sink.file = Some(file),
            Self::Topic(topic) => {
                sink.kafka = Some(KafkaSinkSpec::of(topic));
            }
        }
    }
}

fn refused(address: &str, reason: impl fmt::Display) -> Error {
    Error::Address { address: address.to_owned(), reason: reason.to_string() }
}

/// `-`, or `-?` and how its lines look; `None` for every other address.
fn standard(address: &str) -> Option<Result<LinesSpec, Error>> {
    let settings = address.strip_prefix('-')?;
    let settings = if settings.is_empty() { settings } else { settings.strip_prefix('?')? };
    Some(LinesSpec::parse(settings).map_err(|reason| refused(address, reason)))
}

/// A path that holds a `?` of its own ends with one more.
fn file(address: &str, path: &str) -> Result<FileSpec, Error> {
    let (path, settings) = path.rsplit_once('?').unwrap_or((path, ""));
    let LinesSpec { format, separator } = LinesSpec::parse(settings).map_err(|reason| {
        refused(address, format!("{reason}; a path with a '?' of its own ends with one more, as in file:PATH?"))
    })?;
    match path {
        "" => Err(refused(address, "a file is file:PATH")),
        path => Ok(FileSpec { path: path.into(), format, separator }),
    }
}

/// Kafka's own rule for topic names.
pub(crate) fn topic_name(address: &str, topic: &str) -> Result<String, Error> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !(1..=249).contains(&topic.len()) || !topic.bytes().all(legal) || topic == "." || topic == ".." {
        let hint = if topic.contains('/') { "; a file is file:PATH" } else { "" };
        return Err(refused(address, format!("a topic has 1 to 249 of the characters a-z A-Z 0-9 . _ -{hint}")));
    }
    Ok(topic.to_owned())
}

fn unknown_scheme(address: &str, scheme: &str) -> Error {
    const KNOWN: [&str; 3] = ["file", "generate", "kafka"];
    let close = closest(scheme, KNOWN).map(|c| format!("; did you mean {c}:?")).unwrap_or_default();
    refused(address, format!("it may be - or start with file:, generate: or kafka:{close}"))
}

/// What no record can hold is refused as what it is, whatever a number of the machine can hold.
pub(crate) const GENERATED_BYTES_TOO_MANY: &str = "bytes is at most 67108864 (64 MiB)";

fn generate(address: &str, what: &str) -> Result<GenerateSpec, Error> {
    const KNOWN: [&str; 4] = ["rate", "keys", "count", "bytes"];
    let (name, settings) = what.split_once('?').unwrap_or((what, ""));
    let mut spec = GenerateSpec { name: name.to_owned(), ..GenerateSpec::default() };
    for setting in settings.split('&').filter(|s| !s.is_empty()) {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        let number = |least: u64| match value.parse::<u64>() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(refused(address, format!("{key} needs a whole number from {least}, as in {key}=1000"))),
        };
        match key {
            "rate" => spec.rate = std::num::NonZeroU64::new(number(1)?),
            "keys" => spec.keys = std::num::NonZeroU64::new(number(1)?),
            "count" => spec.count = Some(number(0)?),
            "bytes" => {
                let bytes = u32::try_from(number(0)?).map_err(|_| refused(address, GENERATED_BYTES_TOO_MANY))?;
                spec.bytes = Some(bytes);
            }
            _ => {
                let close = closest(key, KNOWN).map(|c| format!("; did you mean {c}?")).unwrap_or_default();
                return Err(refused(
                    address,
                    format!("a generator has rate, keys, count and bytes, not {key:?}{close}"),
                ));
            }
        }
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::FormatSpec;

    fn file(path: &str, format: Option<FormatSpec>) -> SourceAddress {
        SourceAddress::File(FileSpec { path: path.into(), format, separator: None })
    }

    #[test]
    fn an_output_may_be_named() {
        let to = |output: Option<&str>, address: &str| {
            Ok(To { output: output.map(str::to_owned), address: address.parse().unwrap() })
        };
        for (text, wanted) in [
            ("late", to(None, "late")),
            ("late=-", to(Some("late"), "-")),
            ("late=file:a=b", to(Some("late"), "file:a=b")),
            ("late=-?format=json", to(Some("late"), "-?format=json")),
            ("-?format=json", to(None, "-?format=json")),
            ("file:a=b", to(None, "file:a=b")),
        ] {
            assert_eq!(text.parse::<To>(), wanted, "{text}");
        }
        for text in ["=x", "late=", "late=a b"] {
            assert!(text.parse::<To>().is_err(), "{text}");
        }
    }

    #[test]
    fn sources() {
        let generate = |rate: u64, count| GenerateSpec {
            name: "clicks".into(),
            rate: std::num::NonZeroU64::new(rate),
            count,
            ..GenerateSpec::default()
        };
        for (text, wanted) in [
            ("-", SourceAddress::Stdin(LinesSpec::default())),
            ("-?format=json", SourceAddress::Stdin(LinesSpec { format: Some(FormatSpec::Json), separator: None })),
            ("-?separator=:", SourceAddress::Stdin(LinesSpec { format: None, separator: Some(":".into()) })),
            ("file:a:b", file("a:b", None)),
            ("file:a=b", file("a=b", None)),
            ("file:a?format=json", file("a", Some(FormatSpec::Json))),
            ("file:what?.txt?", file("what?.txt", None)),
            ("file:what?.txt?format=value", file("what?.txt", Some(FormatSpec::Value))),
            ("clicks", SourceAddress::Topic("clicks".into())),
            ("kafka:file", SourceAddress::Topic("file".into())),
            ("kafka:/^a.*b$/", SourceAddress::Pattern("^a.*b$".into())),
            ("generate:clicks", SourceAddress::Generate(generate(0, None))),
            ("generate:clicks?rate=10&count=5", SourceAddress::Generate(generate(10, Some(5)))),
        ] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, wanted) in [
            ("", "1 to 249"),
            ("a/b", "a file is file:PATH"),
            ("fil:x", "did you mean file:?"),
            ("http://x", "may be - or start with"),
            ("file:", "file:PATH"),
            ("file:?format=json", "file:PATH"),
            ("file:what?.txt", "a path with a '?' of its own ends with one more"),
            ("file:a?format=jsn", "did you mean json?"),
            ("-?fromat=json", "did you mean format?"),
            ("kafka:", "1 to 249"),
            ("kafka://", "kafka:/REGEX/"),
            ("kafka:/a", "kafka:/REGEX/"),
            ("generate:clicks?rat=1", "did you mean rate?"),
            ("generate:clicks?rate=0", "rate needs a whole number from 1"),
            ("generate:clicks?bytes=5000000000", "at most 67108864"),
        ] {
            let error = text.parse::<SourceAddress>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        for (text, wanted) in [("generate:clicks", "is a source"), ("kafka:/a/", "name one topic")] {
            let error = text.parse::<SinkAddress>().unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
