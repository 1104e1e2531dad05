//! How lines look, as a user writes it: in a file, or behind the `?` of an address.

use serde::Deserialize;
use weir_connector::{Error, Settings, closest};

use super::{LineFormat, SEPARATOR};

/// What a line says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FormatSpec {
    /// The line is the value.
    Value,
    /// Key, separator, value.
    KeyValue,
    /// An object with key, value, timestamp, headers.
    Json,
}

/// Lines of standard input or output: `{}`, or how they look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct LinesSpec {
    /// What a line says of a record: value, key-value, json. Default: value.
    pub(crate) format: Option<FormatSpec>,
    /// What stands between key and value. Default: a tabulator.
    pub(crate) separator: Option<String>,
}

const FORMATS: [(&str, FormatSpec); 3] =
    [("value", FormatSpec::Value), ("key-value", FormatSpec::KeyValue), ("json", FormatSpec::Json)];

impl Settings for LinesSpec {}

impl LinesSpec {
    /// Reads `format=..&separator=..`, as an address has it after its `?`.
    pub(crate) fn parse(settings: &str) -> Result<Self, String> {
        let mut spec = Self::default();
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
            match key {
                "format" => spec.format = Some(format(value)?),
                "separator" => spec.separator = Some(unescaped(value)?),
                _ => {
                    let close = closest(key, ["format", "separator"]);
                    let close = close.map(|close| format!("; did you mean {close}?")).unwrap_or_default();
                    return Err(format!("lines have format and separator, not {key:?}{close}"));
                }
            }
        }
        Ok(spec)
    }

    /// The format of the lines at `at`.
    pub(crate) fn plan(&self, at: &str) -> Result<LineFormat, Error> {
        let separator = self.separator.as_deref();
        match self.format.unwrap_or(FormatSpec::Value) {
            FormatSpec::KeyValue => match separator.map_or(SEPARATOR, str::as_bytes) {
                [] => Err(Error::invalid(format!("{at}.separator"), "it must not be empty")),
                separator if separator.contains(&b'\n') => {
                    Err(Error::invalid(format!("{at}.separator"), "a line end cannot stand within a line"))
                }
                separator => Ok(LineFormat::KeyValue { separator: separator.to_owned() }),
            },
            _ if separator.is_some() => {
                let reason = "only lines of format=key-value have a separator";
                Err(Error::conflict(format!("{at}.separator"), "the format", reason))
            }
            FormatSpec::Value => Ok(LineFormat::Value),
            FormatSpec::Json => Ok(LineFormat::Json),
        }
    }
}

fn format(word: &str) -> Result<FormatSpec, String> {
    let known = FORMATS.into_iter().find(|(name, _)| *name == word).map(|(_, format)| format);
    known.ok_or_else(|| {
        let close = closest(word, FORMATS.map(|(name, _)| name));
        let close = close.map(|close| format!("; did you mean {close}?")).unwrap_or_default();
        format!("format is value, key-value or json, not {word:?}{close}")
    })
}

/// What an address cannot hold or a shell cannot type: `\t`, `\\`, `\xHH`.
fn unescaped(text: &str) -> Result<String, String> {
    let refuse = || format!("separator={text}: a backslash begins \\t, \\\\ or \\xHH (a character of ASCII)");
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match chars.next() {
            Some('t') => '\t',
            Some('\\') => '\\',
            Some('x') => {
                let digits = [chars.next(), chars.next()].map(|digit| digit.and_then(|c| c.to_digit(16)));
                let code = match digits {
                    [Some(high), Some(low)] => u8::try_from(high * 16 + low).ok().filter(u8::is_ascii),
                    _ => None,
                };
                code.map(char::from).ok_or_else(refuse)?
            }
            _ => return Err(refuse()),
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_a_format() {
        let key_value = |separator: &str| LineFormat::KeyValue { separator: separator.into() };
        for (settings, wanted) in [
            ("", LineFormat::Value),
            ("format=value", LineFormat::Value),
            ("format=json", LineFormat::Json),
            ("format=key-value", key_value("\t")),
            ("format=key-value&separator=:", key_value(":")),
            ("separator==&format=key-value", key_value("=")),
            (r"format=key-value&separator=\x26\t\\", key_value("&\t\\")),
        ] {
            assert_eq!(LinesSpec::parse(settings).unwrap().plan("a"), Ok(wanted), "{settings}");
        }
    }

    #[test]
    fn what_is_no_format_says_why() {
        for (settings, wanted) in [
            ("format=jsn", "format is value, key-value or json, not \"jsn\"; did you mean json?"),
            ("fromat=json", "lines have format and separator, not \"fromat\"; did you mean format?"),
            ("json", "not \"json\""),
            (r"separator=\n", "a backslash begins"),
            (r"separator=\xe4", "a backslash begins"),
            (r"separator=\x+9", "a backslash begins"),
            (r"separator=\", "a backslash begins"),
        ] {
            let error = LinesSpec::parse(settings).unwrap_err();
            assert!(error.contains(wanted), "{settings}: {error}");
        }
        for (settings, wanted) in [
            ("separator=:", "only lines of format=key-value have a separator"),
            ("separator=:&format=json", "only lines of format=key-value"),
            ("separator=&format=key-value", "it must not be empty"),
            (r"separator=\x0a&format=key-value", "a line end cannot stand within a line"),
        ] {
            let error = LinesSpec::parse(settings).unwrap().plan("a").unwrap_err().to_string();
            assert!(error.contains(wanted), "{settings}: {error}");
        }
    }
}
