//! What is accepted, against serde_json; what is picked, by hand.
use serde::de::IgnoredAny;

use super::*;

const SAMPLE: &str = r#" {"a": "x\"\\\u00e9 longer than eight é bytes", "b": [-0.5e+10, 0, {"a": null}, [], {}],
    "c" :true,"d":false , "e":1E2, "": -1} "#;

#[test]
fn fields_are_picked_as_they_stand() {
    let picked = pick(SAMPLE.as_bytes(), ["b", "a", "c", "", "missing", "e"]).unwrap();
    let a = r#""x\"\\\u00e9 longer than eight é bytes""#;
    assert_eq!(
        picked,
        [Some(r#"[-0.5e+10, 0, {"a": null}, [], {}]"#), Some(a), Some("true"), Some("-1"), None, Some("1E2")]
    );
    assert_eq!(pick(br#"{"a":1,"\u0061":2,"b\\":3}"#, ["a", "b\\", "b"]).unwrap(), [Some("2"), Some("3"), None]);
    assert_eq!(pick(b"{}", ["a"]).unwrap(), [None]);
}

/// serde_json and `pick` must agree whether this is an object.
fn agree(json: &[u8]) -> bool {
    let is_object = json.trim_ascii_start().starts_with(b"{") && str::from_utf8(json).is_ok();
    let expected = is_object && serde_json::from_slice::<IgnoredAny>(json).is_ok();
    let picked = pick(json, ["a"]);
    assert_eq!(picked.is_ok(), expected, "{}: {picked:?}", String::from_utf8_lossy(json));
    expected
}

#[test]
fn every_change_of_one_byte_and_every_cut_is_judged_as_serde_json_does() {
    assert!(agree(SAMPLE.as_bytes()));
    let mut refused = 0;
    for at in 0..SAMPLE.len() {
        agree(&SAMPLE.as_bytes()[..at]);
        for byte in 0..=255 {
            let mut changed = SAMPLE.as_bytes().to_vec();
            changed[at] = byte;
            refused += u32::from(!agree(&changed));
            changed.insert(at, byte);
            refused += u32::from(!agree(&changed));
        }
    }
    assert!(refused > 1000);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(pick(nested(128).as_bytes(), ["a"]).is_ok());
    assert!(pick(nested(100_000).as_bytes(), ["a"]).unwrap_err().message.contains("less nesting"));
}
