//! What users type. Flags say nothing that a pipeline file could not: both become the same `pipeline::Spec`.

/// The flags that say where a job's Kafka is.
mod cluster;
/// `host inspect`.
mod inspect;
/// The flags that describe a pipeline.
mod pipeline;
/// `host reset`.
mod reset;
/// `host run`.
mod run;
/// `host savepoint`.
mod savepoint;
/// `host txn`.
mod txn;
/// `host validate`.
mod validate;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::compose::LoadOperator;

const EXAMPLES: &str = "\
Examples:
  printf 'a\\nb\\n' | host run --plugin uppercase.wasm
  host run --plugin count.wasm --brokers localhost:9092 --from clicks --to counts
  host run --plugin clickstream.wasm --from 'generate:clicks?rate=1000' --to -
  host run orders.toml
  host validate orders.toml --dot | dot -Tsvg > orders.svg
  host inspect count.wasm
  host inspect .weir/orders --brokers localhost:9092
  host savepoint .weir/orders orders.savepoint
  host txn abort --job orders --brokers localhost:9092
  host reset --job orders --brokers localhost:9092

Exit codes:
  0        done, or stopped cleanly by a signal
  1        the job failed, or Kafka could not be reached for 30 s at the start
  2        wrong usage or configuration
  3        another instance owns the job
  4        refused to start: state and Kafka disagree, or the state is foreign or corrupt
  130/143  a bounded run (--until, a file, stdin) was cut short by SIGINT/SIGTERM";

/// Runs WebAssembly operators between Kafka topics: exactly once, with keyed state.
#[derive(Debug, Parser)]
#[command(name = "host", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a pipeline: one plugin by flags, or a pipeline file
    #[command(after_help = EXAMPLES)]
    Run(Box<run::Args>),
    /// Check a pipeline and print its plan, without running it
    Validate(Box<validate::Args>),
    /// Print what a plugin is, or what a state directory holds and whether it would start
    ///
    /// Of a state directory: epochs, attempts, positions, operators, tables and sizes. With --brokers also the marker that
    /// Kafka keeps, and whether a start would be refused, and why, by the very rules of a start. Nothing is written and
    /// nobody is fenced; the job may run meanwhile. Exit code 4: a start would be refused.
    Inspect(inspect::Args),
    /// Write all state of a stopped job to one directory, which can be moved and started from
    ///
    /// The job must not run: stop it with SIGTERM, after which it commits and leaves within 10 s. The savepoint holds log
    /// and store with a digest of every file; it has its name only once it is whole. Start from it on any machine with
    /// `host run .. --from-savepoint OUT-DIR`: under the same job name if nothing was committed since, under another one
    /// as a new job that begins with this state. --brokers asks for the marker: needed for a new job from the state of
    /// one that was killed.
    Savepoint(savepoint::Args),
    /// Tend the transactions of a job
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Txn(txn::Args),
    /// Make a job forget its state and its offsets, after saying what that costs
    ///
    /// Removes what is in the state directory, and the consumer group with its offsets and marker. The next start is a
    /// first start: what it reads again it writes again, beside what is in the outputs already. Refused while the job
    /// runs. Cut short, it leaves what no job starts with, and the same command finishes it.
    Reset(reset::Args),
}

impl Cli {
    /// Does what was asked for. `loader` is made only if operators are to run.
    pub fn execute(self, loader: impl FnOnce() -> Result<Box<dyn LoadOperator>>) -> Result<ExitCode> {
        match self.verb {
            Verb::Run(args) => run::execute(*args, loader),
            Verb::Validate(args) => validate::execute(*args),
            Verb::Inspect(args) => inspect::execute(&args),
            Verb::Savepoint(args) => savepoint::execute(&args),
            Verb::Txn(args) => txn::execute(&args),
            Verb::Reset(args) => reset::execute(&args),
        }
    }
}

/// Prints a result (not a log line) to standard output.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("failed to write stdout")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_in_the_reference() {
        let reference = include_str!("../docs/reference.md");
        for verb in Cli::command().get_subcommands() {
            assert!(reference.contains(&format!("`host {}", verb.get_name())), "{}", verb.get_name());
            for flag in verb.get_arguments().filter_map(|a| a.get_long()).filter(|f| *f != "help") {
                assert!(reference.contains(&format!("`--{flag}")), "--{flag} of {} is missing", verb.get_name());
            }
        }
    }

    #[test]
    fn the_examples_can_be_typed() {
        for line in EXAMPLES.lines().filter_map(|l| l.split_once("host ")).map(|(_, words)| words) {
            let words = line.split(" | ").next().unwrap_or_default().replace('\'', "");
            Cli::try_parse_from(["host"].into_iter().chain(words.split_whitespace())).unwrap();
        }
    }
}
