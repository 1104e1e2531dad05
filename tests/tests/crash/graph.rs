//! Two topics and a generator, counted together and written to two topics, by operators that are reached over ways of
//! different lengths: killed at any point, the whole is exact.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Host};
use weir_tests::judge::judge_union;
use weir_tests::reader::Observer;
use weir_tests::topics::{self, Writer};

use crate::job::{PATIENCE, TRANSACTION_TIMEOUT, expect_restarts, unique};
use crate::points::{Run, everywhere};

const KILLED: i32 = 137;
const KEYS: u64 = 20;
/// Records of each topic, and of the generator; and how many a second of each partition.
const RECORDS: u64 = 600;
const RATE: u64 = 100;
/// What kills a run amid the stream, where another start is what matters.
const AMID: &str = "commit-acknowledged=8*off->1*return(kill)";

/// A job with output topics and a state directory of its own.
struct Union {
    name: String,
    outputs: [String; 2],
    home: TempDir,
}

/// Both input topics, filled by whoever comes first.
fn inputs() -> Result<[&'static str; 2]> {
    static INPUTS: OnceLock<Result<[String; 2], String>> = OnceLock::new();
    let fill = |name: &str| -> Result<String> {
        let (broker, topic) = (Broker::shared(), unique(name));
        topics::create(broker, &topic, 2, &[])?;
        topics::fill(&Writer::new(broker)?, &topic, RECORDS, KEYS, 30)?;
        Ok(topic)
    };
    let made = || Ok([fill("union-a.in")?, fill("union-b.in")?]);
    let made = INPUTS.get_or_init(|| made().map_err(|error: anyhow::Error| format!("{error:#}")));
    let [first, second] = made.as_ref().map_err(|error| anyhow::anyhow!("failed to fill the inputs: {error}"))?;
    Ok([first, second])
}

impl Union {
    fn new(name: &str) -> Result<Self> {
        let name = unique(name);
        let outputs = [format!("{name}.one"), format!("{name}.two")];
        for output in &outputs {
            topics::create(Broker::shared(), output, 2, &[])?;
        }
        Ok(Self { name, outputs, home: TempDir::new()? })
    }

    fn file(&self, is_slow: bool) -> Result<PathBuf> {
        let ([a, b], [one, two]) = (inputs()?, &self.outputs);
        let (count, uppercase) = (host::plugin("count")?, host::plugin("uppercase")?);
        let (max_rate, rate) = match is_slow {
            true => (format!("max-rate = {RATE}"), format!("rate = {}, ", 2 * RATE)),
            false => (String::new(), String::new()),
        };
        let text = format!(
            r#"version = 1
job = "{job}"
kafka.brokers = "{brokers}"
epochs = {{ interval = "50ms", transaction-timeout = "{timeout}s" }}
[sources.a]
kafka = {{ topic = "{a}" }}
until = "latest"
{max_rate}
[sources.b]
kafka = {{ topic = "{b}" }}
until = "latest"
{max_rate}
[sources.made]
generate = {{ name = "sequence", keys = {KEYS}, {rate}count = {RECORDS} }}
[operators.upper]
plugin = "{uppercase}"
inputs = ["b"]
parallelism = 2
[operators.count]
plugin = "{count}"
inputs = ["a", "upper", "made"]
parallelism = 3
[sinks.one]
inputs = ["count"]
kafka = {{ topic = "{one}" }}
[sinks.two]
inputs = ["count"]
kafka = {{ topic = "{two}" }}
"#,
            job = self.name,
            brokers = Broker::shared().bootstrap(),
            timeout = TRANSACTION_TIMEOUT.as_secs(),
        );
        let path = self.home.path().join(if is_slow { "slow.toml" } else { "fast.toml" });
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts with `points` armed.
    fn start(&self, is_slow: bool, points: &str) -> Result<Host> {
        let (file, state) = (self.file(is_slow)?, self.home.path().join("state"));
        let args = ["run", &file.display().to_string(), "--state-dir", &state.display().to_string(), "--api", "off"];
        Host::start_program_with(&host::crash_program()?, &args, &[("FAILPOINTS", points)])
    }

    /// There is something to go on from, in both outputs, and something left to do.
    fn is_amid(&self) -> Result<()> {
        for output in &self.outputs {
            let written = Observer::new(Broker::shared(), output)?.stable()?;
            ensure!((1..i64::try_from(3 * RECORDS)?).contains(&written), "{written} records in {output}");
        }
        Ok(())
    }

    /// Runs undisturbed to the end of all inputs, and judges both outputs.
    fn finish(&self) -> Result<()> {
        let ended = self.start(false, "")?.wait(PATIENCE)?.expect(0)?;
        // A loaded machine may let a transaction of 4 s time out.
        expect_restarts(&ended, 0, 1)?;
        for output in &self.outputs {
            let made = (0..KEYS).map(|key| (key.to_string().into_bytes(), RECORDS / KEYS)).collect::<HashMap<_, _>>();
            let verdict = judge_union(Broker::shared(), &inputs()?, made, output)?.expect_exact()?;
            // The two topics have the same keys, the generator its own.
            ensure!((verdict.input, verdict.keys) == (3 * RECORDS, 2 * KEYS), "{verdict}");
        }
        Ok(())
    }
}

#[test]
fn a_union_of_topics_and_a_generator_is_exact_wherever_it_is_killed() -> Result<()> {
    everywhere(4, |moment| {
        let job = Union::new(&format!("union-{}", moment.point))?;
        if moment.run == Run::Restart {
            job.start(true, AMID)?
                .wait(PATIENCE)?
                .expect(KILLED)?
                .says(&["crash point \"commit-acknowledged\" reached: kill"])?;
            job.is_amid()?;
        }
        job.start(true, &moment.tell("kill"))?.wait(PATIENCE)?.expect(KILLED)?.says(&[&moment.says("kill")])?;
        job.finish()
    })
}
