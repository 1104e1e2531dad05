//! Manifests read back, and numbers stay with their names.
use super::*;

/// Written by an earlier build; the digest is what markers of that time hold.
#[test]
fn the_golden_manifest_reads_back_to_the_byte() {
    let golden = include_bytes!("../../tests/golden/manifest.json");
    let (manifest, digest) = Manifest::decode(golden).unwrap();
    assert_eq!((manifest.epoch, manifest.delivery), (Epoch(8), Delivery::ExactlyOnce));
    assert_eq!((manifest.marker.clone(), manifest.next_operator), (MarkerPlace::Splits, 2));
    let operator = &manifest.operators[0];
    assert_eq!((&operator.key, operator.next_table), (&KeySpec::Header("user".into()), 3));
    assert_eq!((operator.tables[0].kind, operator.tables[0].schema.as_str()), (TableKind::Value, "u64"));
    let [clicks, made_up] = &manifest.sources[..] else { panic!("two sources") };
    assert_eq!((&*clicks.name.0, clicks.marked, &*made_up.name.0, made_up.marked), ("clicks", true, "made-up", false));
    assert_eq!((manifest.marked().count(), manifest.splits().count()), (2, 3));
    let split = &clicks.splits[0];
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
