//! A topic that loses its end while nobody reads it, as after an unclean election: other records stand where read ones
//! stood.

use std::fs::OpenOptions;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use weir_tests::broker::Broker;
use weir_tests::host::{self, Ended};
use weir_tests::machine;
use weir_tests::reader::read_all;
use weir_tests::topics::{self, Writer};

use crate::scene::{PATIENCE, unique};

/// A job that copies one partition to another topic, up to the end.
struct Copy {
    name: String,
    from: String,
    to: String,
    state: TempDir,
}

impl Copy {
    fn new(broker: &Broker, from: &str) -> Result<Self> {
        let name = unique("cut");
        let to = format!("{name}.out");
        topics::create(broker, &to, 1, &[])?;
        Ok(Self { name, from: from.to_owned(), to, state: TempDir::new()? })
    }

    fn run(&self, broker: &Broker) -> Result<Ended> {
        let (plugin, state) = (host::plugin("uppercase")?, self.state.path().display().to_string());
        let mut args = vec!["run", "--plugin", &plugin, "--brokers", broker.bootstrap(), "--job", &self.name];
        args.extend(["--from", &self.from, "--to", &self.to, "--state-dir", &state, "--api", "off"]);
        args.extend(["--until", "latest"]);
        host::run(&args, PATIENCE)
    }

    fn copied(&self, broker: &Broker) -> Result<usize> {
        Ok(read_all(broker, &self.to)?.len())
    }
}

fn write(broker: &Broker, topic: &str, count: u64) -> Result<()> {
    topics::fill(&Writer::new(broker)?, topic, count, 5, 20)
}

#[test]
fn a_topic_that_lost_its_end_is_refused_and_a_new_leader_alone_is_not() -> Result<()> {
    let _machine = machine::shared();
    let mut broker = Broker::start_own()?;
    let input = unique("cut.in");
    topics::create(&broker, &input, 1, &[])?;
    // What the second job reads was written in transactions: control records end it.
    let first = Copy::new(&broker, &input)?;
    let second = Copy::new(&broker, &first.to)?;
    let both = |broker: &Broker, copied: usize| {
        for job in [&first, &second] {
            job.run(broker)?.expect(0)?;
            ensure!(job.copied(broker)? == copied, "{} instead of {copied}", job.copied(broker)?);
        }
        anyhow::Ok(())
    };
    write(&broker, &input, 60)?;
    both(&broker, 60)?;

    // Another term, the same records.
    broker.kill()?;
    broker.restart()?;
    both(&broker, 60)?;
    let segment = broker.segments(&input, 0)?.pop().context("a partition has a segment")?;
    let whole = std::fs::metadata(&segment)?.len();
    write(&broker, &input, 40)?;
    both(&broker, 100)?;

    // The last 40 records go, 80 others come.
    broker.kill()?;
    OpenOptions::new().write(true).open(&segment)?.set_len(whole)?;
    broker.restart()?;
    write(&broker, &input, 80)?;
    first.run(&broker)?.expect(4)?.says(&[&input, "lost records below offset 100", "host reset"])?;
    ensure!(first.copied(&broker)? == 100, "records of another time are committed");
    second.run(&broker)?.expect(0)?;
    Ok(())
}
