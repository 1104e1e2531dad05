//! What a plugin says of itself: parsed and checked.

use std::collections::BTreeSet;

use weir_core::ports::PluginDescription;

/// The longest description.
const BYTES_MAX: usize = 64 << 10;
/// Tables, inputs or outputs of one plugin.
const COUNT_MAX: usize = 256;

/// Reads the JSON that `describe` returned. Keys that this host does not know are passed over: they are how the contract
/// grows.
pub(crate) fn parse(json: &str) -> Result<PluginDescription, String> {
    if json.len() > BYTES_MAX {
        return Err(format!("describe returns {} bytes, more than {BYTES_MAX}", json.len()));
    }
    let description: PluginDescription =
        serde_json::from_str(json).map_err(|e| format!("describe returns no valid description: {e}"))?;
    for (what, text) in [("name", &description.name), ("version", &description.version)] {
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            return Err(format!("its {what} {text:?} is empty or has control characters"));
        }
    }
    check_names("input", description.inputs.iter())?;
    check_names("output", description.outputs.iter())?;
    check_names("table", description.tables.iter().map(|table| &table.name))?;
    Ok(description)
}

/// How many outputs a plugin has: one unnamed when it names none.
pub(crate) fn outputs(description: &PluginDescription) -> u32 {
    // At most `COUNT_MAX`.
    description.outputs.len().max(1) as u32
}

fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() {
            return Err(format!("one {what} has no name"));
        }
        if name.chars().any(char::is_control) {
            // Names are printed on terminals.
            return Err(format!("{what} {name:?} has control characters in its name"));
        }
        if !seen.insert(name) {
            return Err(format!("two {what}s are named {name:?}"));
        }
    }
    if seen.len() > COUNT_MAX {
        return Err(format!("{} {what}s, more than {COUNT_MAX}", seen.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_description_has_one_output() {
        let description = parse(r#"{"name":"n","version":"1","later":{"keys":"are ignored"}}"#).unwrap();
        assert_eq!((description.name.as_str(), outputs(&description)), ("n", 1));
    }

    #[test]
    fn wrong_descriptions_are_named() {
        for (json, expected) in [
            ("", "EOF"),
            (r#"{"name":"n"}"#, "missing field `version`"),
            (r#"{"name":" ","version":"1"}"#, "its name \" \" is empty"),
            (r#"{"name":"n","version":"1","outputs":["a","a"]}"#, "two outputs are named \"a\""),
            (r#"{"name":"n","version":"1","tables":[{"name":"","kind":"value"}]}"#, "one table has no name"),
            (r#"{"name":"n","version":"1","tables":[{"name":"t","kind":"heap"}]}"#, "unknown variant `heap`"),
            (r#"{"name":"n","version":"1","inputs":["\u001b[31m"]}"#, "input \"\\u{1b}[31m\" has control characters"),
        ] {
            let reason = parse(json).unwrap_err();
            assert!(reason.contains(expected), "{json}: {reason}");
        }
    }
}
