//! Bad arguments and pipeline files: exit code 2, and what was meant.

use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use weir_tests::host::{Ended, plugin, run};
use weir_tests::machine;

const PATIENCE: Duration = Duration::from_secs(60);

fn refused(args: &[&str], words: &[&str]) -> Result<()> {
    let _machine = machine::shared();
    run(args, PATIENCE)?.expect(2)?.says(words)?;
    Ok(())
}

fn file(text: &str) -> Result<Ended> {
    let home = TempDir::new()?;
    let path = home.path().join("pipeline.toml");
    std::fs::write(&path, text)?;
    run(&["run", &path.display().to_string()], PATIENCE)
}

#[test]
fn an_unknown_flag_names_the_one_that_was_meant() -> Result<()> {
    refused(&["run", "--plugin", &plugin("count")?, "--epoch-intervall", "1s"], &["--epoch-interval"])
}

#[test]
fn a_kafka_topic_needs_brokers() -> Result<()> {
    refused(&["run", "--plugin", &plugin("count")?, "--from", "clicks"], &["--brokers"])
}

#[test]
fn a_job_name_must_be_a_name() -> Result<()> {
    refused(&["run", "--plugin", &plugin("count")?, "--job", "Größe!"], &["job"])
}

#[test]
fn an_epoch_above_a_third_of_the_transaction_timeout_is_refused() -> Result<()> {
    let plugin = plugin("count")?;
    let args = ["run", "--plugin", &plugin, "--from", "a", "--to", "b", "--brokers", "127.0.0.1:1"];
    refused(
        &[&args[..], &["--epoch-interval", "6s", "--transaction-timeout", "15s"]].concat(),
        &["epoch", "transaction"],
    )
}

#[test]
fn what_correctness_depends_on_cannot_be_passed_through() -> Result<()> {
    let plugin = plugin("count")?;
    let args = ["run", "--plugin", &plugin, "--from", "a", "--to", "b", "--brokers", "127.0.0.1:1"];
    for property in ["enable.auto.commit=true", "isolation.level=read_uncommitted", "transactional.id=mine", "acks=1"] {
        let name = property.split('=').next().unwrap_or_default();
        refused(&[&args[..], &["--kafka", property]].concat(), &[name])?;
    }
    Ok(())
}

#[test]
fn exactly_once_needs_a_source_that_can_be_read_again() -> Result<()> {
    refused(&["run", "--plugin", &plugin("count")?, "--delivery", "exactly-once"], &["exactly-once"])
}

#[test]
fn neither_a_plugin_nor_a_file_is_refused() -> Result<()> {
    refused(&["run"], &["--plugin"])
}

#[test]
fn an_unknown_key_of_a_pipeline_file_names_the_one_that_was_meant() -> Result<()> {
    let _machine = machine::shared();
    let text = "version = 1\njob = \"a\"\n[kafka]\nbrokerz = \"localhost:9092\"\n";
    file(text)?.expect(2)?.says(&["brokerz", "brokers"])?;
    Ok(())
}

#[test]
fn a_pipeline_file_of_another_version_is_refused() -> Result<()> {
    let _machine = machine::shared();
    file("version = 7\n")?.expect(2)?.says(&["version", "7"])?;
    Ok(())
}

#[test]
fn an_api_port_that_is_taken_is_refused_when_asked_for() -> Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?.to_string();
    refused(&["run", "--plugin", &plugin("uppercase")?, "--api", &address], &[&address])
}

#[test]
fn json_stays_json_whatever_a_name_holds() -> Result<()> {
    let _machine = machine::shared();
    let to = "file:a\u{200d}b\u{202e}\u{9b}\u{e0041}";
    let ended = run(&["validate", "--json", "--plugin", &plugin("uppercase")?, "--to", to], PATIENCE)?.expect(0)?;
    let text = String::from_utf8(ended.stdout)?;
    ensure!(text.contains("a\\u200db\\u202e\\u009b\\udb40\\udc41"), "{text}");
    let plan: serde_json::Value = serde_json::from_str(&text)?;
    ensure!(plan.to_string().contains("a\u{200d}b\u{202e}\u{9b}\u{e0041}"), "{plan}");
    Ok(())
}

/// A property that the client does not know may hold a password all the same: the name and why, never the value.
#[test]
fn a_secret_is_shown_nowhere() -> Result<()> {
    let _machine = machine::shared();
    let plugin = plugin("uppercase")?;
    let given = ["--plugin", &plugin, "--from", "a", "--to", "b", "--brokers", "127.0.0.1:1"];
    let jaas = "sasl.jaas.config=org.apache.PlainLoginModule required username=\"u\" password=\"hunter2\";";
    let cases = [
        (jaas, "sasl.jaas.config"),
        ("ssl.truststore.password=hunter2", "ssl.truststore.password"),
        ("sasl.passwort=hunter2", "did you mean \"sasl.password\""),
        ("security.protocol=hunter2", "security.protocol"),
        ("plugin.library.paths=/tmp/hunter2", "plugin.library.paths"),
        ("sasl.password hunter2", "--kafka takes KEY=VALUE"),
        // The first `=` is in the secret.
        ("sasl.password hunter2==", "--kafka takes KEY=VALUE"),
        ("debug=broker,hunter2", "debug"),
    ];
    for (property, word) in cases {
        for verb in ["run", "validate"] {
            let args = [&[verb][..], &given, &["--kafka", property]].concat();
            let ended = run(&args, PATIENCE)?.expect(2)?.says(&[word])?;
            let said = [String::from_utf8_lossy(&ended.stdout), ended.stderr.as_str().into()].concat();
            ensure!(!said.contains("hunter2"), "{said}");
        }
    }
    let text = "version = 1\n[kafka]\nproperties = \"sasl.password=hunter2\"\n";
    let ended = file(text)?.expect(2)?;
    ensure!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    let kafka = ["--brokers", "127.0.0.1:1", "--kafka", "sasl.username=u"];
    for (verb, stray) in [
        (&[&["run"][..], &given].concat()[..], &["sasl.password=hunter2"][..]),
        (&["run", "p.toml", "--kafka", "sasl.username=u"], &["sasl.password=hunter2"]),
        (&["run"], &["sasl.username=hunter2", "sasl.password=hunter2"]),
        (&[&["txn", "abort", "--job", "a"][..], &kafka].concat(), &["sasl.password=hunter2"]),
        (&[&["reset", "--job", "a"][..], &kafka].concat(), &["sasl.password=hunter2"]),
        (&[&["inspect", "a"][..], &kafka].concat(), &["sasl.password=hunter2"]),
        (&[], &["sasl.password=hunter2"]),
    ] {
        let ended = run(&[verb, stray].concat(), PATIENCE)?.expect(2)?.says(&["KEY=VALUE"])?;
        ensure!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
    Ok(())
}
