//! Records that choose their topic, within what the sink allows; whatever else they ask for goes by the policy.

use anyhow::{Context as _, Result, ensure};
use rdkafka::producer::BaseRecord;
use weir_tests::host::{self, Ended};
use weir_tests::machine;
use weir_tests::reader::read_all;
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, Scene};

/// Runs the plugin `router` to the end of the input, with `side` beside the sink's own topic.
fn run(scene: &Scene<'_>, side: &str, on_error: &str) -> Result<Ended> {
    let text = format!(
        r#"version = 1
job = "{job}"
kafka.brokers = "{brokers}"
[sources.in]
kafka = {{ topic = "{input}" }}
until = "latest"
[operators.router]
plugin = "{router}"
inputs = ["in"]
on-error = "{on_error}"
[sinks.out]
inputs = ["router"]
kafka = {{ topic = "{output}", routes = ["{side}"] }}
"#,
        job = scene.job,
        brokers = scene.broker.bootstrap(),
        input = scene.input,
        output = scene.output,
        router = host::plugin("router")?,
    );
    let file = scene.state_dir().join("pipeline.toml");
    std::fs::write(&file, text)?;
    let (file, state) = (file.display().to_string(), scene.state_dir().join("state").display().to_string());
    host::run(&["run", &file, "--state-dir", &state, "--api", "off"], PATIENCE)
}

#[test]
fn a_record_goes_to_the_topic_it_asks_for_or_by_the_policy() -> Result<()> {
    let _machine = machine::shared();
    let scene = Scene::new("routes")?;
    let side = format!("{}.side", scene.job);
    topics::create(scene.broker, &side, 2, &[])?;
    let writer = Writer::new(scene.broker)?;
    let to_side = format!("{side}/1");
    let too_far = format!("{side}/2");
    let asked = ["", &to_side, "elsewhere", &too_far, &scene.output];
    for value in asked {
        writer.send(BaseRecord::to(&scene.input).partition(0).key(&b"k"[..]).payload(value.as_bytes()))?;
    }
    writer.flush()?;
    let third = format!("{}[0] offset 2", scene.input);
    run(&scene, &side, "fail")?.expect(1)?.says(&[&third, "elsewhere", "does not allow"])?;
    run(&scene, &side, "skip")?.expect(0)?.says(&[&third, "elsewhere", "weir.route.partition"])?;
    let found = |topic: &str| -> Result<Vec<(i32, String, usize)>> {
        let records = read_all(scene.broker, topic)?.into_iter().map(|record| {
            let value = String::from_utf8(record.value.context("a null value")?)?;
            Ok((record.partition, value, record.headers.len()))
        });
        records.collect()
    };
    let own: Vec<_> = found(&scene.output)?.into_iter().map(|(_, value, headers)| (value, headers)).collect();
    ensure!(own == [(String::new(), 0), (scene.output.clone(), 0)], "{own:?}");
    let routed = found(&side)?;
    ensure!(routed == [(1, to_side.clone(), 0)], "{routed:?}");
    Ok(())
}
