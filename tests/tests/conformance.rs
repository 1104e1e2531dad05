//! Every plugin of `plugins/`, as wasm, on its golden cases: through Kafka, the host and back. `plugins/README.md`
//! describes the cases; the plugin's own tests run the same ones natively.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{checkout, plugin, run};
use weir_tests::random::Random;
use weir_tests::reader::{Record, read_all};
use weir_tests::topics::{self, Writer};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    config: serde_json::Map<String, Value>,
    #[serde(rename = "in")]
    input: Vec<Step>,
    #[serde(rename = "out")]
    output: Vec<Expected>,
    #[serde(default)]
    failures: Vec<usize>,
}

/// A record, or a moment that event time comes to: that is the host's own business where records come from Kafka.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Step {
    Time {
        #[serde(rename = "watermark")]
        _watermark: i64,
    },
    Record(Message),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    output: u32,
    record: Message,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Message {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Option<Vec<(String, Option<Bytes>)>>,
    timestamp: Option<i64>,
    /// The input that it comes in by.
    input: u32,
}

/// Text, or `{"hex": ..}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Hex { hex: String },
}

impl Bytes {
    fn get(&self) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Hex { hex } => (0..hex.len())
                .step_by(2)
                .map(|at| Ok(u8::from_str_radix(hex.get(at..at + 2).context("half a byte")?, 16)?))
                .collect(),
        }
    }
}

fn optional(bytes: Option<&Bytes>) -> Result<Option<Vec<u8>>> {
    bytes.map(Bytes::get).transpose()
}

/// Folders of plugins with the name of what is built from them.
fn plugins() -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(checkout().join("plugins"))? {
        let folder = entry?.path();
        let name = folder.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        if folder.join("Cargo.toml").exists() {
            found.push((folder, name));
        } else if folder.join("tally.c").exists() {
            found.push((folder, "tally".to_owned()));
        }
    }
    ensure!(found.len() >= 6, "only {found:?}");
    Ok(found)
}

#[test]
fn golden_cases_hold_for_the_wasm_in_the_host() -> Result<()> {
    for (folder, name) in plugins()? {
        let file = folder.join("golden/cases.json");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("{} has no golden cases", folder.display()))?;
        let cases: Vec<Case> = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        ensure!(!cases.is_empty(), "{} has no cases", file.display());
        for case in &cases {
            // In Kafka there is one topic, and time goes on by what is read: of others `host test` has the say.
            let records = case.input.iter().map(|step| match step {
                Step::Record(record) if record.input == 0 => Some(record),
                Step::Record(_) | Step::Time { .. } => None,
            });
            let Some(records) = records.collect::<Option<Vec<_>>>() else { continue };
            check(&name, case, &records).with_context(|| format!("{name}: {}", case.name))?;
        }
    }
    Ok(())
}

fn check(name: &str, case: &Case, records: &[&Message]) -> Result<()> {
    let broker = Broker::shared();
    let job = format!("golden-{:08x}", Random::new().number() as u32);
    let (from, to) = (format!("{job}.in"), format!("{job}.out"));
    // One partition keeps the order, which the cases ask for.
    topics::create(broker, &from, 1, &[])?;
    topics::create(broker, &to, 1, &[])?;
    write(broker, &from, records)?;
    let state = TempDir::new()?;
    let config = state.path().join("config.json");
    std::fs::write(&config, serde_json::to_string(&case.config)?)?;
    let (plugin, state_dir) = (plugin(name)?, state.path().join("state").display().to_string());
    let args = [
        &["run", "--plugin", &plugin, "--brokers", broker.bootstrap(), "--from", &from, "--to", &to, "--job", &job][..],
        &["--state-dir", &state_dir, "--until", "latest", "--on-error", "skip", "--api", "off"],
        // The records of windows are as old as the cases say, and time ends with them.
        &["--config", &format!("@{}", config.display()), "--drain"],
    ];
    let ended = run(&args.concat(), PATIENCE)?.expect(0)?;
    // The first few have a line each; no case has more.
    let skipped = ended.stderr.matches("record skipped").count();
    ensure!(skipped == case.failures.len(), "{skipped} records failed; it said:\n{}", ended.stderr);
    compare(&read_all(broker, &to)?, &case.output)
}

fn write(broker: &Broker, topic: &str, messages: &[&Message]) -> Result<()> {
    let writer = Writer::new(broker)?;
    for message in messages {
        let (key, value) = (optional(message.key.as_ref())?, optional(message.value.as_ref())?);
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.key = key.as_deref();
        record.payload = value.as_deref();
        // Kafka has no timestamps before 1970.
        record.timestamp = message.timestamp.filter(|timestamp| *timestamp >= 0);
        let mut headers = OwnedHeaders::new();
        for (name, value) in message.headers.iter().flatten() {
            let value = optional(value.as_ref())?;
            headers = headers.insert(Header { key: name, value: value.as_ref() });
        }
        writer.send(record.headers(headers))?;
    }
    writer.flush()
}

fn compare(found: &[Record], expected: &[Expected]) -> Result<()> {
    let expected: Vec<_> = expected.iter().filter(|expected| expected.output == 0).collect();
    ensure!(found.len() == expected.len(), "{} records came out instead of {}", found.len(), expected.len());
    for (found, Expected { record, .. }) in found.iter().zip(expected) {
        let headers: Vec<_> = record.headers.iter().flatten().collect();
        let headers = headers.into_iter().map(|(name, value)| Ok((name.clone(), optional(value.as_ref())?)));
        let timestamp = record.timestamp.filter(|timestamp| *timestamp >= 0).or(found.timestamp);
        let expected = Record {
            partition: found.partition,
            offset: found.offset,
            timestamp,
            key: optional(record.key.as_ref())?,
            value: optional(record.value.as_ref())?,
            headers: headers.collect::<Result<_>>()?,
        };
        ensure!(*found == expected, "expected {expected:?}\n but saw {found:?}");
    }
    Ok(())
}

#[test]
fn golden_cases_hold_for_the_wasm_alone() -> Result<()> {
    for (folder, name) in plugins()? {
        let plugin = plugin(&name)?;
        for cases in std::fs::read_dir(folder.join("golden"))? {
            let cases = cases?.path().display().to_string();
            let ended = run(&["test", &plugin, &cases, "--thorough"], PATIENCE)?.expect(0).context(cases)?;
            ensure!(String::from_utf8(ended.stdout)?.ends_with(" 0 failed\n"));
        }
    }
    Ok(())
}

/// Of tables that combine and forget, and of timers of both times, with a restart after every record.
#[test]
fn what_is_merged_what_expires_and_what_waits_is_the_same_whoever_is_restarted() -> Result<()> {
    for name in ["ledger", "alarm"] {
        let cases = checkout().join(format!("tests/plugins/{name}/golden")).display().to_string();
        run(&["test", &plugin(name)?, &cases, "--thorough"], PATIENCE)?.expect(0)?;
    }
    Ok(())
}

#[test]
fn a_build_server_reads_what_became_of_the_cases() -> Result<()> {
    let dir = TempDir::new()?;
    let (cases, report) = (dir.path().join("cases.json"), dir.path().join("report.xml").display().to_string());
    let case = |name: &str, value: &str| {
        format!(
            r#"{{ "name": "{name}", "in": [{{ "value": "a" }}], "out": [{{ "record": {{ "value": "{value}" }} }}] }}"#
        )
    };
    std::fs::write(&cases, format!("[{}, {}]", case("right", "A"), case("wrong", "B")))?;
    let args = ["test", &plugin("uppercase")?, &cases.display().to_string(), "--junit", &report];
    run(&args, PATIENCE)?.expect(1)?;
    let text = std::fs::read_to_string(&report)?;
    ensure!(text.contains("<testsuite name=\"uppercase\" tests=\"2\" failures=\"1\""), "{text}");
    ensure!(text.contains("name=\"right\"") && text.matches("<failure ").count() == 1, "{text}");
    Ok(())
}

#[test]
fn every_plugin_stays_small() -> Result<()> {
    for (folder, _) in plugins()? {
        let source = |path: &Path| path.extension().is_some_and(|extension| extension == "rs" || extension == "c");
        for place in [folder.clone(), folder.join("src")].into_iter().filter(|place| place.exists()) {
            for entry in std::fs::read_dir(place)? {
                let path = entry?.path();
                let lines = if source(&path) { std::fs::read_to_string(&path)?.lines().count() } else { 0 };
                ensure!(lines < 200, "{} has {lines} lines", path.display());
            }
        }
    }
    Ok(())
}
