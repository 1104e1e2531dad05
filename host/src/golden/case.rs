//! The file of cases: read, and written anew with what was seen. Whoever reads it must find every mistake named, and whoever
//! has it under version control must see no line changed that says the same.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_core::frame::NO_TIMESTAMP;
use weir_core::{Fault, KeySpec, PortError, RecordView};
use weir_pipeline::spec::{Config, WindowTable};

use super::Seen;

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// What it shows.
    pub(crate) name: String,
    /// The plugin's configuration.
    pub(crate) config: Config,
    /// Its windows, where they are not the plugin's own.
    pub(crate) window: Option<WindowTable>,
    /// What state is kept by.
    pub(crate) key: KeySpec,
    /// What happens to it.
    pub(crate) steps: Vec<Step>,
    /// What must come of that.
    pub(crate) expected: Seen,
    /// As it is written.
    text: Map<String, Value>,
}

/// What happens to a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record comes in.
    Record {
        /// By this input.
        input: u32,
        /// The record.
        record: Record,
    },
    /// Event time has come so far.
    Watermark(i64),
    /// Processing time has.
    Clock(i64),
}

impl Step {
    /// The record that comes in.
    pub(crate) fn record(&self) -> Option<&Record> {
        match self {
            Self::Record { record, .. } => Some(record),
            Self::Watermark(_) | Self::Clock(_) => None,
        }
    }
}

/// A record that owns its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CaseForm {
    name: String,
    #[serde(default)]
    config: Config,
    window: Option<WindowTable>,
    key: Option<String>,
    #[serde(rename = "in")]
    steps: Vec<StepForm>,
    #[serde(rename = "out")]
    output: Vec<Expected>,
    #[serde(default)]
    failures: Vec<usize>,
    #[serde(default)]
    late: usize,
    #[serde(default)]
    due_failures: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepForm {
    watermark: Option<i64>,
    clock: Option<i64>,
    input: Option<u32>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Option<Vec<(Bytes, Option<Bytes>)>>,
    timestamp: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    output: u32,
    record: RecordForm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Option<Vec<(Bytes, Option<Bytes>)>>,
    timestamp: Option<i64>,
}

/// Text, or `{"hex": ".."}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex { hex: String },
}

impl Bytes {
    fn get(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Hex { hex } => from_hex(&hex).ok_or_else(|| format!("{hex:?} is no hex")),
        }
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok());
    bytes.collect::<Option<_>>().filter(|_| rest.is_empty())
}

impl RecordForm {
    fn record(self) -> Result<Record, String> {
        let optional = |bytes: Option<Bytes>| bytes.map(Bytes::get).transpose();
        let headers = self.headers.into_iter().flatten().map(|(name, value)| Ok((name.get()?, optional(value)?)));
        let headers = headers.collect::<Result<_, String>>()?;
        Ok(Record { timestamp: self.timestamp, key: optional(self.key)?, value: optional(self.value)?, headers })
    }
}

impl StepForm {
    fn step(self) -> Result<Step, String> {
        let Self { watermark, clock, input, key, value, headers, timestamp } = self;
        let is_record = input.is_some() || key.is_some() || value.is_some() || headers.is_some() || timestamp.is_some();
        match (watermark, clock) {
            (Some(_), Some(_)) => Err("a watermark and a clock are two steps".to_owned()),
            (Some(_), None) if is_record => Err("a watermark and a record are two steps".to_owned()),
            (None, Some(_)) if is_record => Err("a clock and a record are two steps".to_owned()),
            (Some(ms), None) => Ok(Step::Watermark(ms)),
            (None, Some(ms)) => Ok(Step::Clock(ms)),
            (None, None) => {
                let record = RecordForm { key, value, headers, timestamp }.record()?;
                Ok(Step::Record { input: input.unwrap_or(0), record })
            }
        }
    }
}

impl Case {
    /// How many records come in.
    pub(crate) fn records(&self) -> usize {
        self.steps.iter().filter(|step| step.record().is_some()).count()
    }

    fn new(form: CaseForm, text: Map<String, Value>) -> Result<Self, String> {
        let name = form.name;
        let at = |what: &str, index: usize, why: String| format!("case {name:?}: {what}[{index}]: {why}");
        let output = form.output.into_iter().enumerate().map(|(index, Expected { output, record })| {
            Ok((output, record.record().map_err(|why| at("out", index, why))?.to_string()))
        });
        let output = output.collect::<Result<_, String>>()?;
        let steps = form.steps.into_iter().enumerate();
        let steps = steps.map(|(index, step)| step.step().map_err(|why| at("in", index, why)));
        let steps = steps.collect::<Result<_, String>>()?;
        let key = form.key.as_deref().unwrap_or("key").parse();
        let key = key.map_err(|why| format!("case {name:?}: key: {why}"))?;
        let expected = Seen { output, failures: form.failures, late: form.late, failed_due: form.due_failures };
        Ok(Self { name, config: form.config, window: form.window, key, steps, expected, text })
    }
}

/// The cases of a file; of a folder those of its `cases.json`.
pub(crate) fn read(path: &Path) -> Result<Vec<Case>> {
    let shown = || format!("failed to read the cases of {}", path.display());
    let text =
        std::fs::read_to_string(path).map_err(|error| PortError::new(Fault::Config, error)).with_context(shown)?;
    parse(&text).map_err(|why| PortError::new(Fault::Config, why)).with_context(shown)
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    let forms: Vec<CaseForm> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let texts: Vec<Map<String, Value>> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if forms.is_empty() {
        return Err("there are none".to_owned());
    }
    forms.into_iter().zip(texts).map(|(form, text)| Case::new(form, text)).collect()
}

/// The file of these cases, with what was seen as what must come out.
pub(crate) fn written(cases: &[(Case, Seen)]) -> String {
    let cases: Vec<String> = cases.iter().map(|(case, seen)| case.written(seen)).collect();
    format!("[\n{}\n]\n", cases.join(",\n"))
}

impl Case {
    fn written(&self, seen: &Seen) -> String {
        let given = |name: &str| self.text.get(name).map(|value| (name.to_owned(), spaced(value)));
        let mut fields: Vec<(String, String)> =
            ["name", "config", "window", "key"].into_iter().filter_map(given).collect();
        let steps = self.text.get("in").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        fields.push(("in".to_owned(), listed(steps.iter().map(in_order).collect())));
        let out = seen.output.iter().map(|(output, record)| match output {
            0 => format!("{{ \"record\": {record} }}"),
            output => format!("{{ \"output\": {output}, \"record\": {record} }}"),
        });
        fields.push(("out".to_owned(), listed(out.collect())));
        if !seen.failures.is_empty() {
            fields.push(("failures".to_owned(), spaced(&json!(seen.failures))));
        }
        if seen.late > 0 {
            fields.push(("late".to_owned(), seen.late.to_string()));
        }
        if !seen.failed_due.is_empty() {
            fields.push(("due-failures".to_owned(), spaced(&json!(seen.failed_due))));
        }
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("    \"{name}\": {value}")).collect();
        format!("  {{\n{}\n  }}", fields.join(",\n"))
    }
}

/// One a line.
fn listed(lines: Vec<String>) -> String {
    if lines.is_empty() {
        return "[]".to_owned();
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("      {line}")).collect();
    format!("[\n{}\n    ]", lines.join(",\n"))
}

/// A step with its fields in the order in which people read them.
fn in_order(step: &Value) -> String {
    let names = ["watermark", "clock", "input", "key", "value", "timestamp", "headers"];
    let given = |name: &str| step.get(name).map(|value| format!("\"{name}\": {}", spaced(value)));
    let fields: Vec<String> = names.into_iter().filter_map(given).collect();
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}

/// JSON on one line, with room between its words.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{}: {}", json!(name), spaced(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

impl Record {
    /// A copy of what came out.
    pub(crate) fn of(view: &RecordView<'_>) -> Self {
        Self {
            timestamp: (view.timestamp_ms != NO_TIMESTAMP).then_some(view.timestamp_ms),
            key: view.key.map(<[u8]>::to_vec),
            value: view.value.map(<[u8]>::to_vec),
            headers: view.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        }
    }
}

/// As the file writes it.
impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = Vec::new();
        fields.extend(self.key.iter().map(|key| format!("\"key\": {}", text(key))));
        fields.extend(self.value.iter().map(|value| format!("\"value\": {}", text(value))));
        fields.extend(self.timestamp.iter().map(|timestamp| format!("\"timestamp\": {timestamp}")));
        if !self.headers.is_empty() {
            let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
                format!("[{}, {}]", text(name), value.as_deref().map_or_else(|| "null".to_owned(), text))
            };
            let headers: Vec<String> = self.headers.iter().map(header).collect();
            fields.push(format!("\"headers\": [{}]", headers.join(", ")));
        }
        if fields.is_empty() { f.write_str("{}") } else { write!(f, "{{ {} }}", fields.join(", ")) }
    }
}

fn text(bytes: &[u8]) -> String {
    let is_read = |text: &&str| !text.chars().any(|c| c.is_control() && !"\t\r\n".contains(c));
    match str::from_utf8(bytes).ok().filter(is_read) {
        Some(text) => Value::from(text).to_string(),
        None => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{{ \"hex\": \"{hex}\" }}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[
  {
    "name": "all there is",
    "config": { "a": [1, 2], "b": {} },
    "window": { "tumbling": "10s" },
    "key": "header:h",
    "in": [
      { "key": "a", "value": { "hex": "00ff" }, "timestamp": 7, "headers": [["h", null]] },
      { "input": 1, "key": null, "value": "ä\n" },
      { "watermark": 8 },
      { "clock": 9 },
      {}
    ],
    "out": [
      { "output": 1, "record": { "key": "", "headers": [["h", { "hex": "ff" }]] } },
      { "record": {} }
    ],
    "failures": [0, 4],
    "late": 2,
    "due-failures": ["plugin returned failure 100: why", "it trapped"]
  },
  {
    "name": "nothing",
    "in": [],
    "out": []
  }
]
"#;

    #[test]
    fn a_file_is_written_as_it_was_where_the_same_is_seen() {
        let cases = parse(FILE).unwrap();
        let seen: Vec<(Case, Seen)> = cases.into_iter().map(|case| (case.clone(), case.expected)).collect();
        assert_eq!(written(&seen), FILE);
        let Step::Record { input: 0, record } = &seen[0].0.steps[0] else { panic!("{:?}", seen[0].0) };
        assert_eq!((record.value.as_deref(), record.timestamp), (Some(&[0, 0xff][..]), Some(7)));
        assert_eq!(seen[0].0.steps[2..4], [Step::Watermark(8), Step::Clock(9)]);
    }

    #[test]
    fn so_are_the_files_of_the_plugins() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        let files = std::fs::read_dir(plugins).unwrap().map(|folder| folder.unwrap().path().join("golden/cases.json"));
        let files: Vec<_> = files.filter(|file| file.exists()).collect();
        assert!(files.len() > 5, "{files:?}");
        for file in files {
            let seen: Vec<(Case, Seen)> =
                read(&file).unwrap().into_iter().map(|case| (case.clone(), case.expected)).collect();
            assert_eq!(written(&seen), std::fs::read_to_string(&file).unwrap(), "{}", file.display());
        }
    }

    #[test]
    fn mistakes_are_named() {
        let case = |fields: &str| format!("[{{\"name\": \"n\", {fields}}}]");
        for (text, expected) in [
            ("[]".to_owned(), "there are none"),
            (case(r#""in": []"#), "missing field `out`"),
            (case(r#""in": [{"kye": "a"}], "out": []"#), "unknown field `kye`"),
            (case(r#""in": [{"watermark": 1, "key": "a"}], "out": []"#), "case \"n\": in[0]: a watermark and a record"),
            (case(r#""in": [{"clock": 1, "key": "a"}], "out": []"#), "case \"n\": in[0]: a clock and a record"),
            (case(r#""in": [{"clock": 1, "watermark": 2}], "out": []"#), "in[0]: a watermark and a clock"),
            (case(r#""in": [], "out": [{"record": {"key": {"hex": "0g"}}}]"#), "case \"n\": out[0]: \"0g\" is no hex"),
            (case(r#""in": [], "out": [{"record": {"key": {"hex": "0"}}}]"#), "is no hex"),
            (case(r#""key": "value", "in": [], "out": []"#), "neither key nor header:NAME"),
        ] {
            let why = parse(&text).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }
}
