//! From the text of a pipeline file to a [`Spec`]. A mistake names line and column, and a key that nothing reads comes
//! with the closest one that something does. What belongs to a connector is read by the connector.
//!
//! What cannot be read is noted, mended and read again until nothing is left that cannot: so every key and every value that is
//! wrong is told, and all else is looked at as if they were right.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use weir_connector::{Error, Registry, Settings, Side, Written, closest};

use self::mend::Mender;
use crate::places::Places;
use crate::spec::{SinkSpec, SourceSpec, Spec};

/// How what cannot be read is taken out of the way.
mod mend;

/// Reads the text of a pipeline file: what is wrong with it is told with whatever else is, once it is validated. Alone comes
/// what leaves nothing to trust: text that is no TOML, and another version.
pub fn read(text: &str, registry: Registry) -> Result<Spec, Error> {
    let mut file = DeTable::parse(text).map_err(|error| syntax(text, &error.into()))?;
    check_version(file.get_ref())?;
    let mut mender = Mender::default();
    let spec = loop {
        let unread = match parse(file.clone(), registry) {
            Ok(spec) => break spec,
            Err(unread) => unread,
        };
        let error = syntax(text, &unread);
        if !mender.mend(file.get_mut(), &unread, error.clone()) {
            return Err(error);
        }
    };
    let mut found = mender.found;
    if spec.version.is_none() {
        found.add(Error::missing("version", "write version = 1"));
    }
    Ok(Spec { places: Places::of(text, file.get_ref()), found, ..spec })
}

/// Of another version nothing is known, not even what is wrong with it.
fn check_version(file: &DeTable<'_>) -> Result<(), Error> {
    let Some(DeValue::Integer(version)) = file.get("version").map(Spanned::get_ref) else { return Ok(()) };
    match u32::from_str_radix(version.as_str(), version.radix()) {
        Ok(1) | Err(_) => Ok(()),
        Ok(other) => Err(Error::Version(other)),
    }
}

/// What `toml` says, and the keys besides that could have been meant.
struct Unread {
    error: toml::de::Error,
    keys: Vec<&'static str>,
}

impl Unread {
    /// Where it is, in bytes from the beginning.
    fn at(&self) -> Option<usize> {
        self.error.span().map(|span| span.start)
    }

    /// The word that nobody knows, where that is what is wrong, whether it is a key, and the one that it was most likely meant
    /// to be. Serde says ``unknown field `x`, expected one of `a`, `b` ``: the words between back ticks are all that is needed.
    fn unknown(&self) -> Option<Unknown<'_>> {
        let message = self.error.message();
        let is_key = !message.starts_with("unknown variant");
        let mut quoted = message.split('`').skip(1).step_by(2);
        let word = quoted.next().filter(|_| message.starts_with("unknown "))?;
        let keys = if is_key { self.keys.as_slice() } else { &[] };
        Some(Unknown { word, is_key, close: closest(word, keys.iter().copied().chain(quoted)) })
    }
}

struct Unknown<'a> {
    word: &'a str,
    is_key: bool,
    close: Option<String>,
}

impl From<toml::de::Error> for Unread {
    fn from(error: toml::de::Error) -> Self {
        Self { error, keys: Vec::new() }
    }
}

fn parse(mut file: Spanned<DeTable<'_>>, registry: Registry) -> Result<Spec, Unread> {
    let shared = shared(file.get_mut(), registry)?;
    let sources = nodes(file.get_mut(), "sources", (registry, Side::Source), |spec: &mut SourceSpec| &mut spec.reads)?;
    let sinks = nodes(file.get_mut(), "sinks", (registry, Side::Sink), |spec: &mut SinkSpec| &mut spec.writes)?;
    let keys = || ["sources", "sinks"].into_iter().chain(registry.shared().map(|(_, shared)| shared.key)).collect();
    let spec = Spec::deserialize(toml::de::Deserializer::from(file));
    let spec = spec.map_err(|error| Unread { error, keys: keys() })?;
    Ok(Spec { shared, sources, sinks, ..spec })
}

/// What the nodes of a connector share.
fn shared(
    file: &mut DeTable<'_>,
    registry: Registry,
) -> Result<BTreeMap<&'static str, Arc<dyn Settings>>, toml::de::Error> {
    let mut all = BTreeMap::new();
    for (_, shared) in registry.shared() {
        if let Some(table) = file.remove(shared.key) {
            all.insert(shared.key, (shared.table)(table.into())?);
        }
    }
    Ok(all)
}

/// The nodes of a section: of each the tables that connectors know, and in `S` what is left.
fn nodes<'de, S: Deserialize<'de>>(
    file: &mut DeTable<'de>,
    section: &str,
    (registry, side): (Registry, Side),
    place: impl Fn(&mut S) -> &mut Vec<Written>,
) -> Result<BTreeMap<String, S>, Unread> {
    let mut nodes = BTreeMap::new();
    let Some(section) = file.remove(section) else { return Ok(nodes) };
    for (name, mut node) in table(section)? {
        let mut written = Vec::new();
        if let DeValue::Table(node) = node.get_mut() {
            for (connector, kind) in registry.kinds(side) {
                if let Some(table) = node.remove(kind.key) {
                    written.push(Written { connector, key: kind.key, settings: (kind.table)(table.into())? });
                }
            }
        }
        let keys = || registry.kinds(side).map(|(_, kind)| kind.key).collect();
        let spec = S::deserialize(ValueDeserializer::from(node));
        let mut spec = spec.map_err(|error| Unread { error, keys: keys() })?;
        *place(&mut spec) = written;
        nodes.insert(name.into_inner().into_owned(), spec);
    }
    Ok(nodes)
}

fn table(value: Spanned<DeValue<'_>>) -> Result<DeTable<'_>, toml::de::Error> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(table),
        // Whoever wants a table says best that it is none.
        other => BTreeMap::<String, IgnoredAny>::deserialize(ValueDeserializer::from(Spanned::new(span, other)))
            .map(|_| DeTable::new()),
    }
}

fn syntax(text: &str, unread: &Unread) -> Error {
    let said = explained(unread);
    let at = unread.at().unwrap_or_default();
    let mut error = unread.error.clone();
    error.set_input(Some(text));
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    if may_be_secret(text, before, line) {
        let message = without_values(said);
        return Error::Syntax { line, column, message, shown: "\nthe line is not shown: it may hold a secret".into() };
    }
    Error::Syntax { line, column, message: said, shown: excerpt(&error) }
}

/// The line with the place marked, as `toml` draws it between its own head and the message.
fn excerpt(error: &toml::de::Error) -> String {
    let drawn = error.to_string();
    let drawn = drawn.split_once('\n').map_or("", |(_head, rest)| rest);
    let drawn = drawn.trim_end().strip_suffix(error.message().trim_end()).unwrap_or_default().trim_end();
    drawn.lines().map(|line| format!("\n{}", line.trim_end())).collect()
}

/// Whether line `line` of `text`, or the one above where a value may begin, is about a password or a key, or lies in a
/// text of several lines, as a key in PEM does.
fn may_be_secret(text: &str, before: &str, line: usize) -> bool {
    const WORDS: [&str; 6] = ["password", "secret", "jaas", "token", "credential", "key."];
    let is_about_one = |line: &str| {
        let line = line.to_ascii_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    };
    let in_long_text = ["\"\"\"", "'''"].iter().any(|quotes| before.matches(quotes).count() % 2 == 1);
    in_long_text || text.lines().skip(line.saturating_sub(2)).take(2.min(line)).any(is_about_one)
}

/// Serde says ``invalid type: integer `1234`, expected a string``: of a secret, what was expected is enough.
fn without_values(said: String) -> String {
    match said.rsplit_once(", expected ") {
        Some((given, expected)) if given.starts_with("invalid ") => {
            format!("the value does not fit, expected {expected}")
        }
        _ => said,
    }
}

/// What is wrong, in the words of this file. `toml` takes a word that begins like `true` for a misspelt one.
fn explained(unread: &Unread) -> String {
    let message = unread.error.message();
    match unread.unknown() {
        Some(Unknown { word, is_key, close: Some(close) }) => {
            format!("unknown {} `{word}`; did you mean `{close}`?", if is_key { "key" } else { "value" })
        }
        Some(Unknown { is_key: true, .. }) => {
            let more = unread.keys.iter().map(|key| format!(", `{key}`")).collect::<String>();
            message.replacen("unknown field", "unknown key", 1) + &more
        }
        _ if message.starts_with("invalid boolean") => format!("{message}; a text needs quotes"),
        // What a table is called in here, nobody else knows.
        _ => match message.split_once(", expected struct ") {
            Some((given, _)) => format!("{given}, expected a table"),
            None => message.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::CONNECTORS;

    /// What is wrong with a text; nothing but its form is looked at.
    fn refused(text: &str) -> String {
        match read(text, CONNECTORS) {
            Err(error) => error.to_string(),
            Ok(spec) => crate::settle::<()>(spec.found, None, &spec.places).unwrap_err().to_string(),
        }
    }

    #[test]
    fn the_place_is_shown() {
        for (text, wanted) in [
            (
                "version = 1\njob = t\n",
                "line 2, column 7: invalid boolean, expected `true`; a text needs quotes\n  |\n2 | job = t\n  |       ^",
            ),
            (
                "version = 1\n[kafka]\nbrokerz = \"a:1\"\n",
                "line 3, column 1: unknown key `brokerz`; did you mean `brokers`?\n  |\n3 | brokerz = \"a:1\"\n  | ^^^^^^^",
            ),
            ("version = 1\n[state]\n[state]\n", "line 3, column 2: duplicate key\n  |\n3 | [state]\n  |  ^^^^^"),
        ] {
            assert_eq!(refused(text), wanted);
        }
    }

    #[test]
    fn a_line_with_a_secret_is_not_shown() {
        let head = "version = 1\n[kafka]\nbrokers = \"a:1\"\n";
        for line in [
            "properties.\"sasl.password\" = hunter2",
            "properties.\"SASL.JAAS.config\" = \"a\" hunter2",
            "properties.\"ssl.key.password\" =\nhunter2",
            "properties.\"ssl.ca.pem\" = \"\"\"\nBEGIN \\q hunter2\n\"\"\"",
        ] {
            let error = refused(&format!("{head}{line}\n"));
            assert!(error.starts_with("line ") && error.contains("it may hold a secret"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_quoted_where_it_may_be_a_secret() {
        for (message, wanted) in [
            ("invalid type: integer `31337`, expected a string", "the value does not fit, expected a string"),
            ("invalid value: string \"a, expected b\", expected a size", "the value does not fit, expected a size"),
            ("duplicate key", "duplicate key"),
        ] {
            assert_eq!(without_values(message.to_owned()), wanted);
        }
    }

    /// The keys that are read in `table`, as serde lists them for a key that is not.
    fn keys_of(table: &str) -> Vec<String> {
        let text = match table {
            "" => "\"?\" = 1".to_owned(),
            table => format!("version = 1\n[{table}]\n\"?\" = 1"),
        };
        let file = DeTable::parse(&text).unwrap();
        let Err(Unread { error, keys }) = parse(file, CONNECTORS) else { panic!("{table} has a key `?`") };
        let mut quoted = error.message().split('`').skip(1).step_by(2).map(str::to_owned);
        assert_eq!(quoted.next().as_deref(), Some("?"), "{table}: {error}");
        quoted.chain(keys.into_iter().map(str::to_owned)).collect()
    }

    #[test]
    fn every_key_is_in_the_reference() {
        let reference = include_str!("../../../docs/reference.md");
        let mut tables = ["", "sources.a", "sources.a.watermark", "operators.a", "operators.a.limits", "sinks.a"]
            .into_iter()
            .chain(["epochs", "state", "restart"])
            .chain(CONNECTORS.shared().map(|(_, shared)| shared.key))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        for (section, side) in [("sources", Side::Source), ("sinks", Side::Sink)] {
            tables.extend(CONNECTORS.kinds(side).map(|(_, kind)| format!("{section}.a.{}", kind.key)));
        }
        for (table, key) in tables.iter().flat_map(|table| keys_of(table).into_iter().map(move |key| (table, key))) {
            assert!(reference.contains(&format!("`{key}`")), "`{key}` of [{table}] is not in the reference");
        }
    }

    #[test]
    fn the_example_of_the_reference_can_run() {
        let reference = include_str!("../../../docs/reference.md");
        let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let plan = crate::validate(&read(example, CONNECTORS).unwrap(), CONNECTORS).unwrap();
        assert_eq!(plan.job.as_str(), "orders");
    }
}
