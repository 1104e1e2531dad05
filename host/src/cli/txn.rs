//! `host txn`: the transactions of a job.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use weir_core::{Fault, PortError};

use super::cluster::{ClusterArgs, JobArgs};
use crate::compose::cluster::Cluster;
use crate::compose::{SHARD, directory};
use crate::telemetry;

/// What `host txn` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Abort what a job left open, when its host is gone for good: its output topics are readable again at once
    ///
    /// A job has two transactional ids. Initialising them aborts what is open under them. Nothing is lost: what was not
    /// committed is read again when the job starts, anywhere. A job that runs elsewhere is fenced by this, recovers by
    /// itself and goes on. Without this, readers of the output wait until the transaction's own time-out (15 s unless
    /// the job says otherwise).
    Abort(Abort),
}

#[derive(Debug, clap::Args)]
struct Abort {
    #[command(flatten)]
    job: JobArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Fence the job even if it runs on this machine
    #[arg(long)]
    force: bool,
}

/// Does what was asked for.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    match &args.verb {
        Verb::Abort(args) => abort(args),
    }
}

fn abort(args: &Abort) -> Result<ExitCode> {
    let job = &args.job.job;
    let Some(brokers) = args.cluster.brokers()? else {
        return Err(
            PortError::new(Fault::Config, "--brokers is missing: the transactions of a job are in Kafka").into()
        );
    };
    let cluster = Cluster::new(&brokers, job, SHARD)?;
    let dir = args.job.dir();
    let owner = if args.force { None } else { directory::owner(&dir)? };
    if let Some(pid) = owner {
        let text = format!(
            "job {job} runs on this machine as process {pid}, with state directory {}: stop that process, which \
             commits or aborts by itself, or give --force to fence it (it would recover and go on)",
            dir.display()
        );
        return Err(PortError::new(Fault::Fenced, text).into());
    }
    let [first, second] = cluster.transactional_ids();
    super::print(&format!("fencing transactional ids {first} and {second}\n"))?;
    cluster.fence()?;
    super::print(
        "done: no transaction of the job is open; what was not committed will be read again when it starts\n",
    )?;
    Ok(ExitCode::SUCCESS)
}
