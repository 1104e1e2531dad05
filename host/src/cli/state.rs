//! `host state`: questions about the keyed state of a job.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use weir_checkpoint::OperatorEntry;
use weir_checkpoint::inherit::{Mismatch, Numbered, inherit};
use weir_core::{Consent, Fault, PortError};
use weir_pipeline::plan::OperatorPlan;
use weir_time::WindowSpec;

use super::engine::{EngineArgs, Loader};
use crate::compose::directory::Survey;
use crate::compose::operators::{self, alone};
use crate::{exit, telemetry};

/// What `host state` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, clap::Subcommand)]
enum Question {
    /// Say whether a plugin could go on with the state of an operator, by the rules of a start and a swap
    ///
    /// Compares the tables that the plugin declares with those that the job's newest epoch has: name, kind, schema, and the
    /// time by which values expire. Nothing is written; the job may run meanwhile. Exit code 4: state would be lost or
    /// misread.
    Check(Check),
}

/// What `host state check` takes.
#[derive(Debug, clap::Args)]
struct Check {
    /// The state directory of a job, running or not
    #[arg(value_name = "STATE-DIR")]
    state: PathBuf,
    /// The plugin that is to go on with it
    #[arg(value_name = "FILE.wasm")]
    plugin: PathBuf,
    /// The operator that it is to run [default: the only one]
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// The windows that it is to have, where the plugin aggregates [default: as it says itself]
    #[arg(long, value_name = "WINDOWS")]
    window: Option<WindowSpec>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Asks it.
pub(super) fn execute(args: Args, loader: impl Loader) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    let Question::Check(check) = args.question;
    let entry = recorded(&check)?;
    let plan = OperatorPlan { name: entry.name.clone(), window: check.window.clone(), ..alone(&check.plugin) };
    let factory = loader(&check.engine.cache())?.load(&plan)?;
    let setup = operators::setup(&plan, factory).map_err(|error| PortError::new(Fault::Config, error))?;
    let declared = setup.declared(entry.key.clone());
    let next = entry.id.0.saturating_add(1);
    let kept = Numbered { operators: vec![entry.clone()], next };
    let (outcome, code) = match inherit(&kept, &[declared], &Consent::default()) {
        Ok((numbered, _)) => (tables(&entry, numbered.operators.first()), ExitCode::SUCCESS),
        Err(mismatch) => (misfits(&mismatch), exit::code(Fault::Corrupt).into()),
    };
    let plugin = setup.factory.description();
    let verdict = if code == ExitCode::SUCCESS { "can" } else { "cannot" };
    let head = format!(
        "{} {} {verdict} go on with the state of operator {}, which {} {} has written\n",
        plugin.name, plugin.version, entry.name, entry.plugin.name, entry.plugin.version
    );
    super::print(&(head + &outcome))?;
    Ok(code)
}

/// What the newest epoch of the directory has of the operator.
fn recorded(check: &Check) -> Result<OperatorEntry> {
    let wrong = |text: String| PortError::new(Fault::Config, text);
    let survey = Survey::of(&check.state, None)?;
    let (_, records) = survey.log?;
    let Some((last, _)) = records.last() else {
        let text = format!("{} has no epoch yet, and no state that something must fit", check.state.display());
        return Err(wrong(text).into());
    };
    let known = &last.plan.operators;
    let names = known.iter().map(|operator| operator.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match (&check.operator, known.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("which operator is it to run? Give --operator; there are: {names}")),
        (Some(name), _) => known
            .iter()
            .find(|operator| operator.name == *name)
            .ok_or_else(|| format!("there is no operator {name:?}; there are: {names}")),
    };
    Ok(found.map_err(wrong)?.clone())
}

/// A line for each table, with what becomes of it.
fn tables(was: &OperatorEntry, is: Option<&OperatorEntry>) -> String {
    let mut text = String::new();
    for table in is.iter().flat_map(|is| &is.tables) {
        let fate = if was.tables.iter().any(|was| was.id == table.id) { "goes on" } else { "is new" };
        let schema = if table.schema.is_empty() { String::new() } else { format!(", schema {:?}", table.schema) };
        text += &format!("  {} ({}{schema}) {fate}\n", table.name, table.kind);
    }
    if text.is_empty() { "  it keeps no state\n".to_owned() } else { text }
}

fn misfits(Mismatch(misfits): &Mismatch) -> String {
    misfits.iter().map(|misfit| format!("  {misfit}\n")).collect()
}
