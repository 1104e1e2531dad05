//! A first start that dies before its first commit has promised nothing yet: the same command goes on from where it began,
//! and another `--start` counts.

use anyhow::{Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Host};
use weir_tests::reader::read_all;
use weir_tests::topics::{self, Writer};

use crate::job::{PATIENCE, unique};

const KILLED: i32 = 137;

/// A job on a topic that holds `before` records; it dies before its first commit, asked to begin at `first`. After 5 more
/// records it starts again, at `then`. Returns how many records came out.
fn records_after_a_death(before: u64, first: &str, then: &str) -> Result<usize> {
    let broker = Broker::shared();
    let (name, state, writer) = (unique("first"), TempDir::new()?, Writer::new(broker)?);
    let (input, output) = (format!("{name}.in"), format!("{name}.out"));
    for topic in [&input, &output] {
        topics::create(broker, topic, 2, &[])?;
    }
    let (plugin, dir) = (host::plugin("uppercase")?, state.path().display().to_string());
    let start = |at: &str, env: &[(&str, &str)]| {
        let mut args = vec!["run", "--plugin", &plugin, "--brokers", broker.bootstrap(), "--api", "off"];
        args.extend(["--from", &input, "--to", &output, "--job", &name, "--state-dir", &dir]);
        args.extend(["--until", "latest", "--start", at]);
        Host::start_program_with(&host::crash_program()?, &args, env)
    };
    topics::fill(&writer, &input, before, 10, 30)?;
    start(first, &[("FAILPOINTS", "offsets-sent=1*return(kill)")])?.wait(PATIENCE)?.expect(KILLED)?;
    topics::fill(&writer, &input, 5, 10, 30)?;
    start(then, &[])?.wait(PATIENCE)?.expect(0)?;
    Ok(read_all(broker, &output)?.len())
}

#[test]
fn a_first_start_that_committed_nothing_decides_nothing_for_another() -> Result<()> {
    let kept = records_after_a_death(20, "latest", "latest")?;
    ensure!(kept == 5, "{kept} records instead of those since the first start");
    let anew = records_after_a_death(20, "latest", "earliest")?;
    ensure!(anew == 25, "{anew} records instead of all, as the second start asks for");
    Ok(())
}
