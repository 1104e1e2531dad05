//! `host test`: a plugin against its golden cases.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use weir_core::text::printable_lines;

use super::engine::{EngineArgs, Loader};
use crate::exit;
use crate::golden::{self, Case, Outcome, Seen, Stage, Way, difference, report};

/// Before what is said of a case.
const INDENT: &str = "    ";

/// What `host test` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin
    #[arg(value_name = "FILE.wasm")]
    plugin: PathBuf,
    /// The file of its cases, or a folder with a cases.json [default: golden]
    #[arg(value_name = "CASES")]
    cases: Option<PathBuf>,
    /// Also in batches of every size, and with a crash and a restore after every record
    #[arg(long)]
    thorough: bool,
    /// Write what comes out as what must come out, where all ways agree
    #[arg(long)]
    update: bool,
    /// Also write what became of each case as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// What a plugin made of a case.
enum Verdict {
    /// What the file says.
    Same,
    /// Something else, the same in all ways; what, and how it differs.
    Other(Seen, String),
    /// Nothing that a file could say; why.
    Nothing(String),
}

pub(super) fn execute(args: &Args, loader: impl Loader) -> Result<ExitCode> {
    let file = args.cases.clone().unwrap_or_else(|| PathBuf::from("golden"));
    let file = if file.is_dir() { file.join("cases.json") } else { file };
    let cases = golden::read(&file)?;
    let mut stage = Stage::new(&args.plugin, loader(&args.engine.cache())?.as_ref())?;
    let (mut said, mut failed, mut updated, mut written) = (String::new(), 0, 0, Vec::new());
    let mut outcomes = Vec::new();
    for case in cases {
        let began = weir_machine::now();
        let (word, why, seen) = match play(&mut stage, &case, args.thorough) {
            Verdict::Same => ("ok", None, None),
            Verdict::Other(seen, _) if args.update => ("updated", None, Some(seen)),
            Verdict::Other(_, why) | Verdict::Nothing(why) => ("FAILED", Some(why), None),
        };
        (failed, updated) = (failed + usize::from(why.is_some()), updated + usize::from(seen.is_some()));
        said += &format!("{word:<8}{}\n", case.name);
        said.extend(why.iter().flat_map(|why| why.lines()).flat_map(|line| [INDENT, line, "\n"]));
        outcomes.push(Outcome { name: case.name.clone(), took: weir_machine::since(began), why });
        let seen = seen.unwrap_or_else(|| case.expected.clone());
        written.push((case, seen));
    }
    if updated > 0 {
        let failed = || format!("failed to write the cases of {}", file.display());
        std::fs::write(&file, golden::written(&written)).with_context(failed)?;
    }
    if let Some(junit) = &args.junit {
        let plugin = args.plugin.file_stem().unwrap_or_default().to_string_lossy();
        let failed = || format!("failed to write the report {}", junit.display());
        std::fs::write(junit, report(&plugin, &outcomes)).with_context(failed)?;
    }
    said += &format!("{} cases, {failed} failed\n", written.len());
    super::print(&printable_lines(&said, ""))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { exit::FAILED.into() })
}

/// Plays a case in all ways, until one makes something else of it than the first.
fn play(stage: &mut Stage, case: &Case, is_thorough: bool) -> Verdict {
    let mut first: Option<Seen> = None;
    for way in Way::all(case.records(), is_thorough) {
        let seen = match stage.play(case, way) {
            Ok(seen) => seen,
            Err(error) => return Verdict::Nothing(format!("{way}: {error:#}")),
        };
        match &first {
            Some(first) if !seen.agrees(first) => {
                let difference = difference(first, &seen);
                return Verdict::Nothing(format!("{way} something else comes out {difference}"));
            }
            Some(_) => {}
            None => first = Some(seen),
        }
    }
    let seen = first.unwrap_or_default();
    if seen.agrees(&case.expected) {
        return Verdict::Same;
    }
    let difference = difference(&case.expected, &seen);
    Verdict::Other(seen, difference)
}
