//! Manifests read back, and numbers stay with their names.
use super::*;

fn plugin(name: &str) -> PluginEntry {
    PluginEntry { name: name.into(), version: "1.0.0".into(), digest: Digest("00".repeat(32)) }
}

fn declared(name: &str, tables: &[&str]) -> Declared {
    let tables = tables.iter().map(|t| ((*t).to_owned(), TableKind::Value)).collect();
    Declared { name: name.into(), plugin: plugin(name), tables }
}

#[test]
fn numbers_stay_with_their_names() {
    let first = number(&[], &[declared("a", &["x"]), declared("b", &["y", "z"])]).unwrap();
    let later = number(&first, &[declared("c", &[]), declared("b", &["z", "w"])]).unwrap();
    let ids: Vec<_> = later.iter().map(|e| (e.name.as_str(), e.id.0)).collect();
    assert_eq!(ids, [("a", 0), ("b", 1), ("c", 2)], "a is gone and keeps its number");
    let tables: Vec<_> = later[1].tables.iter().map(|t| (t.name.as_str(), t.id.0)).collect();
    assert_eq!(tables, [("y", 0), ("z", 1), ("w", 2)]);
}

#[test]
fn another_format_is_named() {
    assert!(matches!(Manifest::decode(br#"{"format":9,"more":1}"#), Err(Error::Format(9))));
    assert!(matches!(Manifest::decode(b"{"), Err(Error::Json(_))));
}
