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

/// Written by an earlier build; the digest is what markers of that time hold.
#[test]
fn the_golden_manifest_reads_back_to_the_byte() {
    let golden = include_bytes!("../../tests/golden/manifest.json");
    let (manifest, digest) = Manifest::decode(golden).unwrap();
    assert_eq!((manifest.epoch, manifest.delivery), (Epoch(8), Delivery::ExactlyOnce));
    assert_eq!(manifest.operators[0].tables[0].kind, TableKind::Value);
    let split = &manifest.splits[0];
    assert_eq!(
        (split.position, split.end, split.identity.as_deref()),
        (1000, Some(2000), Some("2CgXeYzvQsmYhY7tLXvcaA"))
    );
    let (bytes, again) = manifest.encode();
    assert_eq!(std::str::from_utf8(&bytes), std::str::from_utf8(golden));
    assert_eq!(again, digest);
    let marker = include_str!("../../tests/golden/marker.txt");
    let read = crate::marker::Marker::parse(marker.as_bytes()).unwrap();
    assert_eq!(read.encode(), marker);
    assert_eq!((read.epoch, read.digest), (manifest.epoch, digest), "the marker of that manifest");
}

#[test]
fn another_format_is_named() {
    assert!(matches!(Manifest::decode(br#"{"format":9,"more":1}"#), Err(Error::Format(9))));
    assert!(matches!(Manifest::decode(b"{"), Err(Error::Json(_))));
}
