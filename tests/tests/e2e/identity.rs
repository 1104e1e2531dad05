//! A start compares the directory with the pipeline, not only with the job's name: what is not found again, would be
//! misread, or is not read any more, is exit 4 with the way out; a name of a file is no name of state.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use tempfile::TempDir;
use weir_tests::broker::{Broker, USER, credentials};
use weir_tests::host::{self, Ended};
use weir_tests::machine;
use weir_tests::reader::read_all;
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, Scene, unique};

/// What `count` wrote for `key`, in order.
fn counts(scene: &Scene<'_>, key: &str) -> Result<Vec<u64>> {
    let mut counts = Vec::new();
    for record in read_all(scene.broker, &scene.output)? {
        if record.key.as_deref() == Some(key.as_bytes()) {
            counts.push(String::from_utf8(record.value.context("a null value")?)?.parse()?);
        }
    }
    Ok(counts)
}

/// `count` more records of key `k`, with header `h` = `header`.
fn add(scene: &Scene<'_>, topic: &str, count: usize, header: &str) -> Result<()> {
    let writer = Writer::new(scene.broker)?;
    for _ in 0..count {
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some(header) });
        writer.send(BaseRecord::to(topic).partition(0).key(&b"k"[..]).payload(&b"v"[..]).headers(headers))?;
    }
    writer.flush()
}

/// Runs the plugin in `file` to the end of the input.
fn run_file(scene: &Scene<'_>, file: &Path, more: &[&str]) -> Result<Ended> {
    let mut args = scene.args("count", &[more, &["--until", "latest"]].concat())?;
    let at = args.iter().position(|arg| arg == "--plugin").context("a plugin")? + 1;
    *args.get_mut(at).context("a plugin's file")? = file.display().to_string();
    host::run(&args, PATIENCE)
}

#[test]
fn a_renamed_plugin_file_goes_on_counting() -> Result<()> {
    let _machine = machine::shared();
    let (scene, home) = (Scene::new("renamed-file")?, TempDir::new()?);
    for file in ["count-1.0.0.wasm", "count-1.0.1.wasm", "renamed.wasm"] {
        let path = home.path().join(file);
        fs::copy(host::plugin("count")?, &path)?;
        add(&scene, &scene.input, 2, "x")?;
        run_file(&scene, &path, &[])?.expect(0)?;
    }
    let found = counts(&scene, "k")?;
    ensure!(found == [1, 2, 3, 4, 5, 6], "{found:?}");
    Ok(())
}

/// A pipeline file with one operator of this name.
fn pipeline(scene: &Scene<'_>, home: &Path, operator: &str) -> Result<String> {
    let (brokers, plugin, path) = (scene.broker.bootstrap(), host::plugin("count")?, home.join("pipeline.toml"));
    let text = format!(
        "version = 1\njob = {:?}\napi = \"off\"\n[kafka]\nbrokers = {brokers:?}\n[sources.in]\nkafka = {{ topic = {:?} }}\n\
         until = \"latest\"\n[operators.{operator}]\nplugin = {plugin:?}\ninputs = [\"in\"]\n[sinks.out]\n\
         inputs = [{operator:?}]\nkafka = {{ topic = {:?} }}\n[state]\ndir = {:?}\n",
        scene.job,
        scene.input,
        scene.output,
        scene.state_dir().display().to_string(),
    );
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

#[test]
fn a_renamed_operator_is_refused_until_somebody_says_what_is_meant() -> Result<()> {
    let _machine = machine::shared();
    let (scene, home) = (Scene::new("renamed-operator")?, TempDir::new()?);
    let start = |operator: &str, more: &[&str]| -> Result<Ended> {
        let file = pipeline(&scene, home.path(), operator)?;
        host::run(&[&["run", &file], more].concat(), PATIENCE)
    };
    add(&scene, &scene.input, 2, "x")?;
    start("first", &[])?.expect(0)?;
    add(&scene, &scene.input, 2, "x")?;
    let refused = start("second", &[])?.expect(4)?;
    refused.says(&["\"first\"", "--rename-state first=second", "--drop-state first"])?;
    ensure!(counts(&scene, "k")? == [1, 2], "something was written all the same");
    start("second", &["--rename-state", "first=third"])?.expect(4)?.says(&["has nothing of the new name"])?;
    // The same words again are no error, as a supervisor repeats them.
    for _ in 0..2 {
        start("second", &["--rename-state", "first=second"])?.expect(0)?;
        add(&scene, &scene.input, 1, "x")?;
    }
    start("third", &["--drop-state", "second"])?.expect(0)?.says(&["the state of second is dropped"])?;
    let found = counts(&scene, "k")?;
    ensure!(found == [1, 2, 3, 4, 5, 1], "{found:?}");
    Ok(())
}

#[test]
fn a_changed_key_is_refused_and_what_was_dropped_stays_gone() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("changed-key")?;
    add(&scene, &scene.input, 3, "k")?;
    scene.run("count", &[])?.expect(0)?;
    add(&scene, &scene.input, 1, "k")?;
    let refused = scene.run("count", &["--key", "header:h"])?.expect(4)?;
    refused.says(&["keyed by key", "header:h", "--drop-state operator"])?;
    let drop = ["--key", "header:h", "--drop-state", "operator"];
    for _ in 0..2 {
        scene.run("count", &drop)?.expect(0)?;
        add(&scene, &scene.input, 1, "k")?;
    }
    // The header says what the key says, so the old counts would be found under the old number.
    scene.run("count", &["--drop-state", "operator"])?.expect(0)?;
    let found = counts(&scene, "k")?;
    ensure!(found == [1, 2, 3, 1, 2, 1], "{found:?}");
    let state = scene.state_dir().display().to_string();
    let entries = host::run(&["inspect", &state, "--entries"], PATIENCE)?.expect(0)?;
    let entries = String::from_utf8(entries.stdout)?;
    ensure!(entries.lines().count() == 1, "what was dropped is shown: {entries}");
    let shown = String::from_utf8(host::run(&["inspect", &state], PATIENCE)?.expect(0)?.stdout)?;
    ensure!(shown.contains("keyed by key") && shown.contains("table count ("), "{shown}");
    Ok(())
}

/// Values that came out, in order of partitions and offsets.
fn values(scene: &Scene<'_>) -> Result<Vec<String>> {
    let text = |record: weir_tests::reader::Record| Ok(String::from_utf8(record.value.context("a null value")?)?);
    read_all(scene.broker, &scene.output)?.into_iter().map(text).collect()
}

fn write(scene: &Scene<'_>, topic: &str, value: &str) -> Result<()> {
    let writer = Writer::new(scene.broker)?;
    writer.send(BaseRecord::to(topic).partition(0).key(&b"k"[..]).payload(value.as_bytes()))?;
    writer.flush()
}

#[test]
fn a_source_that_nobody_asked_for_is_not_read() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("changed-source")?;
    let (old, new) = (scene.input.clone(), format!("{}.new", scene.input));
    topics::create(scene.broker, &new, 2, &[])?;
    write(&scene, &old, "a1")?;
    write(&scene, &new, "b1")?;
    scene.run("uppercase", &[])?.expect(0)?;
    write(&scene, &old, "a2")?;
    let scene = Scene { input: new, ..scene };
    scene.run("uppercase", &[])?.expect(4)?.says(&[&format!("{old:?}"), &format!("--drop-source {old}")])?;
    ensure!(values(&scene)? == ["A1"], "something was read all the same");
    let drop = ["--drop-source", &old];
    for round in 1..3 {
        scene.run("uppercase", &drop)?.expect(0)?;
        write(&scene, &scene.input, &format!("b{}", round + 1))?;
    }
    // Without the word: it is not needed any more, and the old marker on the old topic disturbs nobody.
    scene.run("uppercase", &[])?.expect(0)?;
    let mut found = values(&scene)?;
    found.sort();
    ensure!(found == ["A1", "B1", "B2", "B3"], "{found:?}");
    Ok(())
}

#[test]
fn a_lost_directory_does_not_hide_what_was_read() -> Result<()> {
    let _machine = machine::shared();
    for (plugin, wanted) in [("count", "the marker says epoch"), ("uppercase", "--drop-source")] {
        let scene = Scene::new("lost-and-changed")?;
        let (old, new) = (scene.input.clone(), format!("{}.new", scene.input));
        topics::create(scene.broker, &new, 2, &[])?;
        write(&scene, &old, "a1")?;
        write(&scene, &new, "b1")?;
        scene.run(plugin, &[])?.expect(0)?;
        let scene = Scene { input: new, state: TempDir::new()?, ..scene };
        scene.run(plugin, &[])?.expect(4)?.says(&[wanted])?;
        ensure!(values(&scene)?.len() == 1, "{plugin} wrote all the same");
        if plugin == "uppercase" {
            for _ in 0..2 {
                scene.run(plugin, &["--drop-source", &old])?.expect(0)?;
            }
            let found = values(&scene)?;
            ensure!(found == ["A1", "B1"], "{found:?}");
        }
    }
    Ok(())
}

#[test]
fn a_right_that_is_gone_is_no_missing_marker() -> Result<()> {
    let _machine = machine::shared();
    let broker = Broker::start_secured()?;
    let scene = Scene { input: "generate:sequence?count=100".into(), ..Scene::on(&broker, "right-gone")? };
    // Its marker stands there: to commit an offset takes the right to read.
    let on_output = ["Read", "Write", "Describe", "DescribeConfigs"];
    broker.allow(&on_output, "--topic", &scene.output)?;
    broker.allow(&["Read", "Describe"], "--group", &format!("weir-{}", scene.job))?;
    for slot in 0..2 {
        broker.allow(&["Write", "Describe"], "--transactional-id", &format!("weir-{}-0-{slot}", scene.job))?;
    }
    let login: Vec<String> = credentials(USER).iter().map(|(key, value)| format!("{key}={value}")).collect();
    let login: Vec<&str> = login.iter().flat_map(|property| ["--kafka", property]).collect();
    let run = || host::run(&scene.args("uppercase", &login)?, PATIENCE);
    run()?.expect(0)?;
    broker.disallow(&on_output, "--topic", &scene.output)?;
    run()?.expect(1)?.says(&[&scene.output])?;
    broker.allow(&on_output, "--topic", &scene.output)?;
    run()?.expect(0)?;
    ensure!(read_all(&broker, &scene.output)?.len() == 100, "it was written twice");
    Ok(())
}

#[test]
fn a_source_that_is_gone_can_be_dropped() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("gone-source")?;
    let (old, new) = (scene.input.clone(), format!("{}.new", scene.input));
    topics::create(scene.broker, &new, 2, &[])?;
    write(&scene, &old, "a1")?;
    write(&scene, &new, "b1")?;
    scene.run("uppercase", &[])?.expect(0)?;
    topics::delete(scene.broker, &old)?;
    scene.run("uppercase", &["--drop-source", &old])?.expect(4)?.says(&[&old])?;
    let scene = Scene { input: new, ..scene };
    scene.run("uppercase", &[])?.expect(4)?.says(&[&format!("--drop-source {old}")])?;
    for _ in 0..2 {
        scene.run("uppercase", &["--drop-source", &old])?.expect(0)?;
    }
    let found = values(&scene)?;
    ensure!(found == ["A1", "B1"], "{found:?}");
    Ok(())
}

#[test]
fn a_topic_of_a_pattern_that_was_created_again_can_be_dropped_and_read_anew() -> Result<()> {
    let _machine = machine::shared();
    let prefix = unique("family");
    let scene = Scene::new("pattern-anew")?;
    let scene = Scene { input: format!("kafka:/{prefix}-[0-9]/"), ..scene };
    let (stays, goes) = (format!("{prefix}-0"), format!("{prefix}-1"));
    for topic in [&stays, &goes] {
        topics::create(scene.broker, topic, 1, &[])?;
        write(&scene, topic, "a")?;
    }
    scene.run("count", &[])?.expect(0)?;
    topics::replace(scene.broker, &goes, 1)?;
    write(&scene, &goes, "b")?;
    // A start that is refused creates no topic.
    let other = format!("{}.other", scene.output);
    let refused = Scene { output: other.clone(), state: scene.state, ..scene };
    refused.run("count", &["--create-topics"])?.expect(4)?.says(&[&goes])?;
    ensure!(topics::delete(refused.broker, &other).is_err(), "it was created");
    let scene = Scene { output: refused.output.replace(".other", ""), ..refused };
    for _ in 0..2 {
        scene.run("count", &["--drop-source", &goes])?.expect(0)?;
    }
    let found = counts(&scene, "k")?;
    ensure!(found == [1, 2, 3], "{found:?}");
    Ok(())
}

#[test]
fn another_sink_costs_a_generated_stream_nothing() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("changed-sink")?;
    let generated = |count: u32| format!("generate:sequence?count={count}&keys=7");
    let scene = Scene { input: generated(1_000), ..scene };
    host::run(&scene.args("uppercase", &[])?, PATIENCE)?.expect(0)?;
    let (first, second) = (scene.output.clone(), format!("{}.second", scene.output));
    topics::create(scene.broker, &second, 2, &[])?;
    let scene = Scene { input: generated(2_000), output: second, ..scene };
    for _ in 0..2 {
        host::run(&scene.args("uppercase", &[])?, PATIENCE)?.expect(0)?;
    }
    let (before, after) = (read_all(scene.broker, &first)?.len(), read_all(scene.broker, &scene.output)?.len());
    ensure!((before, after) == (1_000, 1_000), "{before} and {after} records");
    // Back at the first place there is an old marker.
    let scene = Scene { input: generated(3_000), output: first, ..scene };
    host::run(&scene.args("uppercase", &[])?, PATIENCE)?.expect(0)?;
    let back = read_all(scene.broker, &scene.output)?.len();
    ensure!(back == 2_000, "{back} records");
    // Another generator is another source.
    let other = Scene { input: "generate:clicks?count=10".into(), ..scene };
    host::run(&other.args("uppercase", &[])?, PATIENCE)?
        .expect(4)?
        .says(&["\"sequence\"", "--drop-source sequence"])?;
    Ok(())
}

#[test]
fn a_second_job_on_the_same_topic_is_told_of_the_first() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("kin")?;
    // Who writes the topic keeps the marker there, as a generator has no positions that Kafka could keep.
    let [from, writer] = ["generate:sequence?count=9".to_owned(), unique("kin-writer")];
    let written =
        Scene { input: from, output: scene.input.clone(), job: writer.clone(), state: TempDir::new()?, ..scene };
    host::run(&written.args("uppercase", &[])?, PATIENCE)?.expect(0)?;
    scene.run("uppercase", &[])?.expect(0)?;
    let second = Scene { job: unique("kin-second"), state: TempDir::new()?, ..scene };
    let first = scene.job.clone();
    let mut host = second.start("uppercase", &[])?;
    host.wait_for_log(&format!("give --job {first}"), PATIENCE)?;
    ensure!(!host.is_over()?, "it is a warning");
    host.signal(Signal::SIGTERM)?;
    let said = host.wait(PATIENCE)?.expect(0)?.stderr;
    ensure!(!said.contains(&format!("job {writer} reads the same")), "{said}");
    Ok(())
}

#[test]
fn state_is_its_owners_alone() -> Result<()> {
    let home = TempDir::new()?;
    let (lines, state) = (home.path().join("lines"), home.path().join("deep/state"));
    fs::write(&lines, "a\nb\n")?;
    let (from, out) = (format!("file:{}", lines.display()), home.path().join("savepoints/one"));
    let plugin = host::plugin("uppercase")?;
    let dir = state.display().to_string();
    let args = ["run", "--plugin", &plugin, "--from", &from, "--job", "a", "--state-dir", &dir, "--api", "off"];
    host::run(&args, PATIENCE)?.expect(0)?;
    host::run(&["savepoint", &dir, &out.display().to_string()], PATIENCE)?.expect(0)?;
    let parents = [state.parent(), out.parent()].into_iter().flatten();
    for path in parents.chain([state.as_path(), &state.join("log"), &state.join("store"), &out]) {
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        ensure!(mode == 0o700, "{} has mode {mode:o}", path.display());
    }
    // Of another file the same job does not go on.
    let other = home.path().join("other");
    fs::write(&other, "c\n")?;
    let from = format!("file:{}", other.display());
    let args = ["run", "--plugin", &plugin, "--from", &from, "--job", "a", "--state-dir", &dir, "--api", "off"];
    host::run(&args, PATIENCE)?.expect(4)?.says(&["--drop-source"])?;
    let old = lines.display().to_string();
    let ended = host::run(&[&args[..], &["--drop-source", &old]].concat(), PATIENCE)?.expect(0)?;
    ensure!(ended.stdout == b"C\n", "{:?}", ended.stdout);
    Ok(())
}
