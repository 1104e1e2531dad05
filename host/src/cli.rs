//! What users type. Flags say nothing that a pipeline file could not: both become the same `pipeline::Spec`.

/// The flags that say where a job's Kafka is.
mod cluster;
/// The flags that give leave.
mod consent;
/// `host dead-letters`.
mod dead_letters;
/// The flags of the machine that plugins run on.
mod engine;
/// `host inspect`.
mod inspect;
/// A running job, and how it is asked.
mod job;
/// `--kafka`.
mod kafka;
/// The flags that describe a pipeline.
mod pipeline;
/// `host reset`.
mod reset;
/// `host run`.
mod run;
/// `host savepoint`.
mod savepoint;
/// `host state`.
mod state;
/// `host status`.
mod status;
/// `host pause`, `host resume`, `host stop`.
mod steer;
/// `host swap`.
mod swap;
/// `host test`.
mod test;
/// `host txn`.
mod txn;
/// `host validate`.
mod validate;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use weir_core::PortError;
use weir_core::text::printable_json;
use weir_local::standard;

use crate::compose::operators::{CodeCache, LoadOperator};
use crate::{exit, telemetry};
use steer::Steer;

const EXAMPLES: &str = "\
Examples:
  printf 'a\\nb\\n' | host run --plugin uppercase.wasm
  host run --plugin count.wasm --brokers localhost:9092 --from clicks --to counts
  host run --plugin clickstream.wasm --from 'generate:clicks?rate=1000' --to -
  host run orders.toml
  host validate orders.toml --dot | dot -Tsvg > orders.svg
  host inspect count.wasm
  host test count.wasm golden/cases.json
  host inspect .weir/orders --brokers localhost:9092
  host status --job orders
  host swap count count-1.1.wasm --job orders
  host dead-letters list clicks-dlq --brokers localhost:9092
  host state check .weir/orders count-1.1.wasm
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
    /// Check a pipeline, its plugins and their configuration, and print the plan, without running it
    Validate(Box<validate::Args>),
    /// Print what a plugin is, or what a state directory holds and whether it would start
    ///
    /// Of a state directory: epochs, attempts, positions, operators, tables and sizes. With --brokers also the marker that
    /// Kafka keeps, and whether a start would be refused, and why, by the very rules of a start. Nothing is written and
    /// nobody is fenced; the job may run meanwhile. Exit code 4: a start would be refused.
    Inspect(inspect::Args),
    /// Play a plugin's golden cases on its wasm, without Kafka, and show what differs
    ///
    /// A case says what goes in and what must come out; the file is described in plugins/README.md. Each is played as one
    /// batch, record by record, and with a new instance for each record, by the operator code of `host run`: where batches end
    /// must not show, nor what a plugin keeps outside of its tables. At the end of a case time ends: windows and timers fire.
    /// Log lines of the plugin are not shown. Exit code 1: a case differs.
    Test(test::Args),
    /// Show a running job on one screen: where it stands, what it has read, keeps and has written
    Status(status::Args),
    /// Have a running job read nothing more, until it is resumed
    ///
    /// What was read is processed and committed; epochs, swaps and a stop work as ever, and operators that wait for processing
    /// time are woken. Nothing is taken for idle that is not read. It lasts as long as the process: a recovery in place keeps it, a
    /// start does not. /readyz says 503 meanwhile.
    Pause(job::JobArgs),
    /// Have a paused job read on
    Resume(job::JobArgs),
    /// Have a running job commit and leave, as SIGTERM does, and wait until it is gone
    Stop(job::JobArgs),
    /// Have another version of a plugin take over in a running job, without a stop
    ///
    /// The file is sent to the job's API, compiled and opened beside the job, and checked against its state. It takes over
    /// between two batches, in all tasks of the operator with one epoch; nothing is read or written twice. The job's next
    /// start goes on with it, whatever the file that its command line names holds by then; a start with a file of another
    /// content is asked for that. Exit code 4: state would be lost or misread, and the version before goes on.
    Swap(swap::Args),
    /// Ask about the keyed state of a job
    #[command(subcommand_required = true, arg_required_else_help = true)]
    State(state::Args),
    /// Write all state of a stopped job to one directory, which can be moved and started from
    ///
    /// The job must not run: `host stop` has it commit and leave. The savepoint holds log
    /// and store with a digest of every file; it has its name only once it is whole. Start from it on any machine with
    /// `host run .. --from-savepoint OUT-DIR`: under the same job name if nothing was committed since, under another one
    /// as a new job that begins with this state. --brokers asks for the marker: needed for a new job from the state of
    /// one that was killed.
    Savepoint(savepoint::Args),
    /// Look at records that operators failed on, and send them through the pipeline again
    ///
    /// For topics that `--on-error dead-letter:TOPIC` has filled.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    DeadLetters(dead_letters::Args),
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
    /// Does what was asked for. The loader is made only if operators are to run, or to be checked.
    pub fn execute(self, loader: impl Fn(&CodeCache) -> Result<Arc<dyn LoadOperator>>) -> Result<ExitCode> {
        match self.verb {
            Verb::Run(args) => run::execute(*args, loader),
            Verb::Validate(args) => validate::execute(*args, loader),
            Verb::Inspect(args) => inspect::execute(&args),
            Verb::Status(args) => status::execute(&args),
            Verb::Pause(args) => steer::execute(&args, Steer::Pause),
            Verb::Resume(args) => steer::execute(&args, Steer::Resume),
            Verb::Stop(args) => steer::execute(&args, Steer::Stop),
            Verb::Swap(args) => swap::execute(args),
            Verb::State(args) => state::execute(args, loader),
            Verb::Test(args) => test::execute(&args, loader),
            Verb::Savepoint(args) => savepoint::execute(&args),
            Verb::DeadLetters(args) => dead_letters::execute(&args),
            Verb::Txn(args) => txn::execute(&args),
            Verb::Reset(args) => reset::execute(&args),
        }
    }
}

/// Reads the command line. What needs no program to run (help, version, mistakes) is said here: then, the exit code.
pub fn read() -> Result<Cli, ExitCode> {
    let wants_json = wants_json(std::env::args_os());
    Cli::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // Help and version.
            return print_styled(&error.render()).map_or_else(|error| exit::report(&error), |()| ExitCode::SUCCESS);
        }
        if wants_json {
            telemetry::choose(telemetry::Format::Json);
        }
        let usage = hint_at_run(without_values(error)).render();
        let is_colored = !wants_json && telemetry::has_colors();
        let usage = if is_colored { usage.ansi().to_string() } else { usage.to_string() };
        exit::report_usage(&usage, exit::USAGE)
    })
}

/// Of a command line that cannot be read nothing is known for certain, but this can be seen.
fn wants_json(args: impl Iterator<Item = OsString>) -> bool {
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let mut next_is_json = || args.peek().is_some_and(|next| next == "json");
        if arg == "--log-format=json" || (arg == "--log-format" && next_is_json()) {
            return true;
        }
    }
    false
}

/// A KEY=VALUE that clap does not expect may be a secret that a --kafka was forgotten before, and where its `=` is says
/// nothing (base64 ends with it): so none of it is repeated, nor what clap would suggest, which repeats it. Of a flag that
/// it does not know clap itself shows the name only.
fn without_values(mut error: clap::Error) -> clap::Error {
    let place = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(word)) = error.get(place) else { return error };
    if !word.contains('=') {
        return error;
    }
    let tip = StyledStr::from("each KEY=VALUE needs its own flag, as in --kafka KEY=VALUE".to_owned());
    error.insert(place, ContextValue::String("KEY=VALUE".to_owned()));
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::SuggestedSubcommand);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    error
}

/// `host count.wasm` and `host orders.toml` lack a verb.
fn hint_at_run(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let verb = match Path::new(word).extension().and_then(OsStr::to_str) {
        Some("wasm") => "run --plugin",
        Some("toml") => "run",
        _ => return error,
    };
    let tip = StyledStr::from(format!("to run it: host {verb} {word}"));
    error.remove(ContextKind::SuggestedSubcommand);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    error
}

/// Prints a result (not a log line) to standard output.
fn print(text: &str) -> Result<()> {
    Ok(stdout()?.write_all(text.as_bytes()).map_err(stdout_failed)?)
}

/// The same for what looks better with colors.
fn print_styled(text: &StyledStr) -> Result<()> {
    let is_colored = telemetry::may_color(&io::stdout());
    print(&if is_colored { text.ansi().to_string() } else { text.to_string() })
}

/// Prints JSON, which may hold the words of others and is read on a terminal, too.
fn print_json(json: &str) -> Result<()> {
    print(&(printable_json(json) + "\n"))
}

/// Where results go.
fn stdout() -> Result<File> {
    Ok(standard::output().map_err(PortError::from)?)
}

/// What was to be written there is not; a reader that went away is told from everything else by this very error.
fn stdout_failed(error: io::Error) -> PortError {
    weir_local::Error::Stdout(error).into()
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
    fn a_file_without_a_verb_is_run_with_run() {
        for (word, tip) in [
            ("count.wasm", Some("to run it: host run --plugin count.wasm")),
            ("./a/orders.toml", Some("to run it: host run ./a/orders.toml")),
            ("rum", Some("'run'")),
            ("count", None),
        ] {
            let shown = hint_at_run(Cli::try_parse_from(["host", word]).unwrap_err()).to_string();
            assert_eq!(shown.contains("tip:"), tip.is_some(), "{shown}");
            assert!(shown.contains(tip.unwrap_or_default()), "{shown}");
        }
    }

    #[test]
    fn of_a_word_that_is_not_expected_no_value_is_repeated() {
        for line in [
            "host run p.toml --kafka sasl.username=u sasl.password=hunter2",
            "host run a=hunter2 sasl.password=hunter2",
            "host run p.toml --sasl.password=hunter2",
            "host run p.toml -psasl.password=hunter2",
            "host run p.toml c2VjcmV0hunter2==",
            "host txn abort --job a --brokers b --kafka sasl.username=u sasl.password=hunter2",
            "host txn sasl.password=hunter2",
            "host reset --job a --brokers b --kafka sasl.username=u sasl.password=hunter2",
            "host inspect a --brokers b --kafka sasl.username=u sasl.password=hunter2",
            "host savepoint a b --brokers b --kafka sasl.username=u sasl.password=hunter2",
            "host sasl.password=hunter2",
        ] {
            let error = hint_at_run(without_values(Cli::try_parse_from(line.split(' ')).unwrap_err()));
            let shown = format!("{error} {}", error.render().ansi());
            assert!(!shown.contains("hunter2"), "{line}: {shown}");
            assert_eq!(
                shown.contains("as in --kafka KEY=VALUE"),
                !line.contains(" -p") && !line.contains("--sasl"),
                "{shown}"
            );
        }
        let error = Cli::try_parse_from(["host", "run", "--plugn", "x"]).unwrap_err();
        assert!(without_values(error).to_string().contains("similar argument exists: '--plugin'"));
    }

    #[test]
    fn json_is_seen_in_a_command_line_that_cannot_be_read() {
        for (line, wanted) in [
            ("host run --log-format json --plugn x", true),
            ("host run --log-format=json --plugn x", true),
            ("host run --log-format text --config json", false),
            ("host run --log-format", false),
        ] {
            assert_eq!(wants_json(line.split(' ').map(OsString::from)), wanted, "{line}");
        }
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
