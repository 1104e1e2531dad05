//! Stored bytes as what they are: by the type that a table's schema begins with, else as text where they are text.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Number, Value, json};
use weir_core::ports::TableKind;
use weir_core::window_key::time_of;
use weir_time::Window;
use weir_time::window::List;

/// A stored value. Bytes that are not what the schema says are shown as any others.
pub(super) fn value(schema: &str, bytes: &[u8]) -> Value {
    let kind = schema.split_whitespace().next().unwrap_or_default();
    number(kind, bytes).or_else(|| json_text(kind, bytes)).unwrap_or_else(|| any(bytes))
}

/// Which of the values of a key: the name of what tells it, and what it is. The keys of a map's entries have the type that
/// follows the word `by` in the schema; numbers are in big endian there, so that they are in order.
pub(super) fn entry(kind: TableKind, schema: &str, bytes: &[u8]) -> Option<(&'static str, Value)> {
    let by = schema.split_whitespace().skip_while(|word| *word != "by").nth(1).unwrap_or_default();
    let number = |kind| number(kind, &bytes.iter().rev().copied().collect::<Vec<_>>());
    match kind {
        TableKind::Value | TableKind::Reducing => None,
        TableKind::List => Some(("index", number("u64").unwrap_or_else(|| any(bytes)))),
        TableKind::Map | TableKind::Broadcast => Some(("entry", number(by).unwrap_or_else(|| any(bytes)))),
        // A list is of all windows.
        TableKind::Window if is_global(bytes) => None,
        TableKind::Window => Some(("window", span(bytes).unwrap_or_else(|| any(bytes)))),
        TableKind::Timer | TableKind::ProcessingTimer | TableKind::WindowTimer => {
            Some(("time", bytes.try_into().map_or_else(|_| any(bytes), |at| time_of(at).into())))
        }
    }
}

/// First millisecond of a window, and the first after it.
fn span(bytes: &[u8]) -> Option<Value> {
    window(bytes).map(|window| json!([window.start_ms, window.end_ms]))
}

fn window(bytes: &[u8]) -> Option<Window> {
    let (start, end) = bytes.split_first_chunk::<8>()?;
    Some(Window::new(time_of(*start), time_of(end.try_into().ok()?)))
}

fn is_global(bytes: &[u8]) -> bool {
    window(bytes) == Some(Window::GLOBAL)
}

/// The windows that a key has, and when something is due for it.
pub(super) fn list(bytes: &[u8]) -> Value {
    let Some(list) = List::decode(bytes) else { return any(bytes) };
    let windows: Vec<Value> = list.windows.iter().map(|window| json!([window.start_ms, window.end_ms])).collect();
    json!({ "due": list.due_ms, "records": list.records, "windows": windows })
}

/// Text where it is UTF-8.
pub(super) fn any(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
    }
}

/// Little endian. What JSON has no number for (more than 64 bits, NaN, infinity) is a text of digits.
fn number(kind: &str, bytes: &[u8]) -> Option<Value> {
    let float = |value: f64| Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number);
    Some(match kind {
        "u8" => u8::from_le_bytes(bytes.try_into().ok()?).into(),
        "u16" => u16::from_le_bytes(bytes.try_into().ok()?).into(),
        "u32" => u32::from_le_bytes(bytes.try_into().ok()?).into(),
        "u64" => u64::from_le_bytes(bytes.try_into().ok()?).into(),
        "u128" => u128::from_le_bytes(bytes.try_into().ok()?).to_string().into(),
        "i8" => i8::from_le_bytes(bytes.try_into().ok()?).into(),
        "i16" => i16::from_le_bytes(bytes.try_into().ok()?).into(),
        "i32" => i32::from_le_bytes(bytes.try_into().ok()?).into(),
        "i64" => i64::from_le_bytes(bytes.try_into().ok()?).into(),
        "i128" => i128::from_le_bytes(bytes.try_into().ok()?).to_string().into(),
        "f32" => float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        "f64" => float(f64::from_le_bytes(bytes.try_into().ok()?)),
        _ => return None,
    })
}

fn json_text(kind: &str, bytes: &[u8]) -> Option<Value> {
    (kind == "json").then(|| serde_json::from_slice(bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use weir_core::window_key::time_bytes;

    use super::*;

    #[test]
    fn a_value_is_what_its_schema_says() {
        for (schema, bytes, expected) in [
            ("u64", &7u64.to_le_bytes()[..], json!(7)),
            ("u64 per-minute", &u64::MAX.to_le_bytes(), json!(u64::MAX)),
            ("i8", &[0xff], json!(-1)),
            ("u128", &(1u128 << 100).to_le_bytes(), json!("1267650600228229401496703205376")),
            ("f64", &1.5f64.to_le_bytes(), json!(1.5)),
            ("f32", &f32::NAN.to_le_bytes(), json!("NaN")),
            ("json 2", br#"{"a":[1]}"#, json!({"a": [1]})),
            ("text", "ä".as_bytes(), json!("ä")),
            ("bytes", &[0xff], json!({"base64": "/w=="})),
        ] {
            assert_eq!(value(schema, bytes), expected, "{schema}");
        }
    }

    #[test]
    fn which_value_of_a_key_it_is() {
        for (kind, schema, bytes, expected) in [
            (TableKind::Value, "u64", &b""[..], None),
            (TableKind::List, "text", &7u64.to_be_bytes(), Some(("index", json!(7)))),
            (TableKind::Map, "u64 by text", b"ada", Some(("entry", json!("ada")))),
            (TableKind::Map, "json by u32 2", &7u32.to_be_bytes(), Some(("entry", json!(7)))),
            (TableKind::Window, "u64", &[time_bytes(-5), time_bytes(10)].concat(), Some(("window", json!([-5, 10])))),
            (TableKind::Window, "session:30s", &[time_bytes(i64::MIN), time_bytes(i64::MAX)].concat(), None),
            (TableKind::WindowTimer, "tumbling:10s", &time_bytes(7), Some(("time", json!(7)))),
            (TableKind::Timer, "", &time_bytes(-7), Some(("time", json!(-7)))),
            (TableKind::Map, "json", &[0xff], Some(("entry", json!({"base64": "/w=="})))),
        ] {
            assert_eq!(entry(kind, schema, bytes), expected, "{kind} {schema}");
        }
    }

    #[test]
    fn the_list_of_a_key_is_shown_as_its_windows() {
        let kept = List { due_ms: Some(20), records: 3, windows: vec![Window::new(-5, 20), Window::new(30, 40)] };
        assert_eq!(list(&kept.encode()), json!({ "due": 20, "records": 3, "windows": [[-5, 20], [30, 40]] }));
        assert_eq!(list(b"\xff"), json!({"base64": "/w=="}));
    }

    #[test]
    fn what_it_does_not_say_is_text_or_bytes() {
        for (schema, bytes, expected) in [
            ("", &b"text"[..], json!("text")),
            ("mine 2", b"\xff", json!({"base64": "/w=="})),
            ("u64", b"seven", json!("seven")),
            ("json", b"{", json!("{")),
            ("text", b"\xff", json!({"base64": "/w=="})),
        ] {
            assert_eq!(value(schema, bytes), expected, "{schema}");
        }
    }
}
