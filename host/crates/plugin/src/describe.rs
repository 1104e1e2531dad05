//! What a plugin says of itself: parsed and checked.

use std::collections::BTreeSet;

use weir_core::ports::{
    LATE, PluginDescription, Reduce, Role, TableDescription, TableKind, TimeDomain, WINDOW_LISTS, WINDOW_NEWS,
    WINDOW_TIMERS,
};

/// The longest description.
const BYTES_MAX: usize = 64 << 10;
/// Tables, inputs or outputs of one plugin.
const COUNT_MAX: usize = 256;

/// Reads the JSON that `describe` returned. Keys that this host does not know are passed over: they are how the contract
/// grows. `has_timers`: whether the plugin exports `timers`.
pub(crate) fn parse(json: &str, role: Role, has_timers: bool) -> Result<PluginDescription, String> {
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
    check_names("broadcast input", description.broadcast.iter())?;
    check_names("output", description.outputs.iter())?;
    check_names("table", description.tables.iter().map(|table| &table.name))?;
    check_role(&description, role)?;
    check_timers(&description, has_timers)?;
    check_broadcast(&description)?;
    description.tables.iter().try_for_each(check_reducing)?;
    description.tables.iter().try_for_each(check_ttl)?;
    Ok(description)
}

/// An aggregate has its accumulators and nothing else; an operator has no windows.
fn check_role(description: &PluginDescription, role: Role) -> Result<(), String> {
    let of_windows = |kind| matches!(kind, TableKind::Window | TableKind::WindowTimer);
    if role == Role::Aggregate && description.outputs.iter().any(|output| output == LATE) {
        return Err(format!("an output of an aggregate named {LATE:?} is the host's own"));
    }
    match (role, description.tables.as_slice()) {
        (Role::Aggregate, [table]) if [WINDOW_LISTS, WINDOW_NEWS, WINDOW_TIMERS].contains(&table.name.as_str()) => {
            Err(format!("a table named {:?} is the host's own", table.name))
        }
        (Role::Aggregate, [table]) if table.kind == TableKind::Window => Ok(()),
        (Role::Aggregate, _) => Err("an aggregate has one table, of kind window: its accumulators".to_owned()),
        (Role::Operator, _) if !description.window.is_empty() => {
            Err("it has a window, and exports operator: an aggregate has windows".to_owned())
        }
        (Role::Operator, tables) => match tables.iter().find(|table| of_windows(table.kind)) {
            Some(table) => Err(format!("table {:?} is a {}: only an aggregate has such", table.name, table.kind)),
            None => Ok(()),
        },
    }
}

/// What goes to all tasks changes the tables that all of them have, and nothing else does.
fn check_broadcast(description: &PluginDescription) -> Result<(), String> {
    let PluginDescription { inputs, broadcast, tables, .. } = description;
    let table = tables.iter().find(|table| table.kind == TableKind::Broadcast);
    match (broadcast.iter().find(|name| !inputs.contains(name)), table) {
        (Some(name), _) => Err(format!("broadcast names {name:?}, which is none of its inputs")),
        (None, Some(table)) if broadcast.is_empty() => {
            Err(format!("table {:?} is a broadcast, and none of its inputs is: nothing could change it", table.name))
        }
        (None, None) if !broadcast.is_empty() => {
            Err(format!("its input {:?} is broadcast, and it has no table of that kind to change", broadcast.concat()))
        }
        (None, Some(_)) if inputs.iter().all(|input| broadcast.contains(input)) => {
            Err("all of its inputs are broadcast: nothing could read its broadcast tables".to_owned())
        }
        (None, _) => Ok(()),
    }
}

/// Who sets timers is called for them; and one table is enough for all timers of a plugin that wait for the same time.
fn check_timers(description: &PluginDescription, has_timers: bool) -> Result<(), String> {
    let check = |domain| check_timers_of(domain, description, has_timers);
    [TimeDomain::Event, TimeDomain::Processing].into_iter().try_for_each(check)
}

fn check_timers_of(domain: TimeDomain, description: &PluginDescription, has_timers: bool) -> Result<(), String> {
    let mut tables = description.tables.iter().filter(|table| table.kind.timers_of() == Some(domain));
    match (tables.next(), tables.next()) {
        (Some(table), None) if !has_timers => Err(format!(
            "table {:?} is a {}, and it does not export weir:operator/timers, which is called for timers that are due",
            table.name, table.kind
        )),
        (Some(one), Some(other)) => Err(format!(
            "tables {:?} and {:?} are both of kind {}, and it may have one",
            one.name, other.name, one.kind
        )),
        (Some(_), None) | (None, _) => Ok(()),
    }
}

/// A reducing table says how numbers are combined, and it alone says whether a call is given what its keys have.
fn check_reducing(table: &TableDescription) -> Result<(), String> {
    let TableDescription { name, kind, schema, prefetch, .. } = table;
    match kind {
        TableKind::Reducing if Reduce::of_schema(schema).is_none() => Err(format!(
            "table {name:?} is a {kind} with the schema {schema:?}, which begins with i64 or f64, and sum, min or max: \
             \"i64 sum\""
        )),
        TableKind::Reducing => Ok(()),
        _ if *prefetch => {
            Err(format!("table {name:?} is a {kind} and says prefetch, which is for one of kind reducing"))
        }
        _ => Ok(()),
    }
}

/// What the host itself keeps for windows and timers goes when they do.
fn check_ttl(table: &TableDescription) -> Result<(), String> {
    match table.ttl {
        Some(_) if !table.kind.can_expire() => {
            Err(format!("table {:?} is a {} and has a ttl: what is in it goes by itself", table.name, table.kind))
        }
        _ => Ok(()),
    }
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
        let description =
            parse(r#"{"name":"n","version":"1","later":{"keys":"are ignored"}}"#, Role::Operator, false).unwrap();
        assert_eq!((description.name.as_str(), description.output_count()), ("n", 1));
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
            (
                r#"{"name":"n","version":"1","tables":[{"name":"t","kind":"reducing","schema":"u64 sum"}]}"#,
                "table \"t\" is a reducing with the schema \"u64 sum\", which begins with i64 or f64",
            ),
            (
                r#"{"name":"n","version":"1","tables":[{"name":"t","kind":"map","prefetch":true}]}"#,
                "table \"t\" is a map and says prefetch",
            ),
            (
                r#"{"name":"n","version":"1","tables":[{"name":"t","kind":"value","ttl":{"event":0}}]}"#,
                "expected a nonzero u64",
            ),
            (
                r#"{"name":"n","version":"1","tables":[{"name":"t","kind":"window-timer","ttl":{"event":1}}]}"#,
                "table \"t\" is a window-timer",
            ),
            (r#"{"name":"n","version":"1","inputs":["\u001b[31m"]}"#, "input \"\\u{1b}[31m\" has control characters"),
        ] {
            let reason = parse(json, Role::Operator, false).unwrap_err();
            assert!(reason.contains(expected), "{json}: {reason}");
        }
    }

    #[test]
    fn what_goes_to_all_tasks_has_a_table_that_all_of_them_have() {
        let described = |more: &str| format!(r#"{{"name":"n","version":"1",{more}}}"#);
        let (inputs, table) = (r#""inputs":["a","b"]"#, r#""tables":[{"name":"t","kind":"broadcast"}]"#);
        for (more, expected) in [
            (format!(r#"{inputs},{table},"broadcast":["c"]"#), "broadcast names \"c\", which is none of its inputs"),
            (format!(r#"{inputs},{table}"#), "table \"t\" is a broadcast, and none of its inputs is"),
            (format!(r#"{inputs},"broadcast":["b"]"#), "its input \"b\" is broadcast, and it has no table"),
            (format!(r#"{inputs},{table},"broadcast":["b","a"]"#), "all of its inputs are broadcast"),
            (format!(r#"{inputs},{table},"broadcast":["b","b"]"#), "two broadcast inputs are named \"b\""),
        ] {
            let reason = parse(&described(&more), Role::Operator, false).unwrap_err();
            assert!(reason.contains(expected), "{more}: {reason}");
        }
        let good = described(&format!(r#"{inputs},{table},"broadcast":["b"]"#));
        assert_eq!(parse(&good, Role::Operator, false).unwrap().broadcast_inputs(), [1]);
    }

    #[test]
    fn windows_are_for_aggregates_and_nothing_else_is() {
        let described = |more: &str| format!(r#"{{"name":"n","version":"1",{more}}}"#);
        for (role, more, expected) in [
            (Role::Operator, r#""tables":[{"name":"t","kind":"window"}]"#, "table \"t\" is a window"),
            (Role::Operator, r#""tables":[{"name":"t","kind":"window-timer"}]"#, "is a window-timer"),
            (Role::Operator, r#""window":"tumbling:10s""#, "an aggregate has windows"),
            (Role::Aggregate, r#""tables":[]"#, "an aggregate has one table"),
            (Role::Aggregate, r#""tables":[{"name":"t","kind":"value"}]"#, "an aggregate has one table"),
            (Role::Aggregate, r#""tables":[{"name":"window-timers","kind":"window"}]"#, "the host's own"),
            (
                Role::Aggregate,
                r#""outputs":["counts","late"],"tables":[{"name":"t","kind":"window"}]"#,
                "an output of an aggregate named \"late\" is the host's own",
            ),
        ] {
            let reason = parse(&described(more), role, false).unwrap_err();
            assert!(reason.contains(expected), "{more}: {reason}");
        }
        let good = described(r#""window":"tumbling:10s","tables":[{"name":"t","kind":"window","schema":"u64"}]"#);
        assert_eq!(parse(&good, Role::Aggregate, false).unwrap().window, "tumbling:10s");
    }

    #[test]
    fn timers_have_one_table_and_what_is_called_for_them() {
        let described = |tables: &str| format!(r#"{{"name":"n","version":"1","tables":[{tables}]}}"#);
        let (one, other) = (r#"{"name":"t","kind":"timer"}"#, r#"{"name":"u","kind":"timer"}"#);
        let both = format!("{one},{other}");
        for (role, has_timers, tables, expected) in [
            (Role::Operator, false, one, "does not export weir:operator/timers"),
            (Role::Operator, true, both.as_str(), "tables \"t\" and \"u\" are both of kind timer"),
            (Role::Aggregate, false, one, "an aggregate has one table"),
        ] {
            let reason = parse(&described(tables), role, has_timers).unwrap_err();
            assert!(reason.contains(expected), "{tables}: {reason}");
        }
        let clock = r#"{"name":"c","kind":"processing-timer"}"#;
        let reason = parse(&described(clock), Role::Operator, false).unwrap_err();
        assert!(reason.contains("table \"c\" is a processing-timer, and it does not export"), "{reason}");
        // One of each time; and it exports what it does not use.
        for tables in [format!("{one},{clock}").as_str(), one, "", r#"{"name":"v","kind":"value"}"#] {
            parse(&described(tables), Role::Operator, true).unwrap();
        }
    }
}
