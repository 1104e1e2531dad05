//! What no compiler checks: who may depend on whom, that files say what they are, that docs name what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use regex::Regex;
use weir_tests::host::checkout;

/// Which crates of this workspace each crate may use. `host` puts everything together, and may use all.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("weir-failpoint", &[]),
    ("weir-machine", &[]),
    ("weir-core", &["weir-failpoint"]),
    ("weir-time", &["weir-core"]),
    ("weir-plan", &["weir-core"]),
    ("weir-checkpoint", &["weir-core", "weir-plan"]),
    ("weir-connector", &["weir-core"]),
    ("weir-pipeline", &["weir-core", "weir-connector", "weir-plan", "weir-time"]),
    ("weir-kafka", &["weir-core", "weir-connector", "weir-machine"]),
    ("weir-local", &["weir-core", "weir-connector", "weir-machine"]),
    ("weir-state", &["weir-core", "weir-machine"]),
    ("weir-plugin", &["weir-core", "weir-machine"]),
    ("weir-operator", &["weir-core", "weir-machine", "weir-time"]),
    ("weir-runtime", &["weir-core", "weir-machine", "weir-plan", "weir-time", "weir-checkpoint", "weir-operator"]),
    ("weir-api", &["weir-core", "weir-plan"]),
];

/// Where each heavy dependency may be used.
const HEAVY: [(&str, &[&str]); 9] = [
    ("rdkafka", &["weir-kafka", "weir-tests"]),
    ("rocksdb", &["weir-state"]),
    ("wasmtime", &["weir-plugin"]),
    ("wit-component", &["weir-plugin"]),
    ("axum", &["weir-api"]),
    ("jiff", &["weir-time"]),
    ("crossbeam-channel", &["weir-machine"]),
    ("uuid", &["weir-machine"]),
    ("clap", &["host", "weir-pipeline", "weir-tests"]),
];

/// The dependencies of each crate of this workspace, those of its tests left out.
fn dependencies() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(checkout());
    let output = command.output().context("failed to run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let mut crates = BTreeMap::new();
    for package in list(&metadata, "packages")? {
        let name = text(package, "name").context("a name")?.to_owned();
        let uses = list(package, "dependencies")?.iter();
        let uses = uses.filter(|dependency| text(dependency, "kind") != Some("dev"));
        crates.insert(name, uses.filter_map(|dependency| Some(text(dependency, "name")?.to_owned())).collect());
    }
    Ok(crates)
}

fn list<'a>(value: &'a serde_json::Value, name: &'static str) -> Result<&'a Vec<serde_json::Value>> {
    value.get(name).and_then(|list| list.as_array()).context(name)
}

fn text<'a>(value: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

#[test]
fn crates_use_only_what_they_may() -> Result<()> {
    let crates = dependencies()?;
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).chain(["host", "weir-tests"]).collect();
    let found: BTreeSet<&str> = crates.keys().map(String::as_str).collect();
    ensure!(known == found, "crates in the table {known:?}, in the workspace {found:?}");
    for (name, may_use) in MAY_USE {
        let uses = crates.get(name).with_context(|| format!("there is no crate {name}"))?;
        for used in uses.iter().filter(|used| known.contains(used.as_str())) {
            ensure!(may_use.contains(&used.as_str()), "{name} may not use {used}");
        }
    }
    Ok(())
}

#[test]
fn heavy_dependencies_stay_where_they_are() -> Result<()> {
    let crates = dependencies()?;
    for (heavy, places) in HEAVY {
        let users: Vec<_> = crates.iter().filter(|(_, uses)| uses.contains(heavy)).map(|(name, _)| name).collect();
        ensure!(!users.is_empty(), "nothing uses {heavy}: take it off the list");
        for user in users {
            ensure!(places.contains(&user.as_str()), "{user} may not use {heavy}; only {places:?} may");
        }
    }
    Ok(())
}

/// All files of the repository that end with one of `endings`, whether committed or not yet.
fn files(endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(checkout());
    let output = git.output().context("failed to run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout)?;
    let wanted = list.lines().filter(|path| endings.iter().any(|ending| path.ends_with(ending)));
    let found: Vec<PathBuf> = wanted.map(|path| checkout().join(path)).filter(|path| path.is_file()).collect();
    ensure!(!found.is_empty(), "there is no file that ends with {endings:?}");
    Ok(found)
}

#[test]
fn every_source_file_says_what_it_is() -> Result<()> {
    for file in files(&[".rs"])? {
        let text = std::fs::read_to_string(&file)?;
        ensure!(text.starts_with("//! ") || text.starts_with("// @generated"), "{} has no //! header", file.display());
    }
    Ok(())
}

#[test]
fn nothing_is_left_to_do_without_a_number() -> Result<()> {
    let loose = Regex::new(r"\b(TODO|FIXME|XXX)\b(?:\(#\d+\))?")?;
    for file in files(&[".rs", ".wit", ".toml", "Makefile", ".sh"])? {
        let text = std::fs::read_to_string(&file)?;
        for (number, line) in text.lines().enumerate().filter(|_| !file.ends_with("tidy.rs")) {
            let numbered = loose.find(line).is_none_or(|found| found.as_str().contains('#'));
            ensure!(numbered, "{}:{}: {line}", file.display(), number + 1);
        }
    }
    Ok(())
}

#[test]
fn hot_paths_stay_hot() -> Result<()> {
    // Not `format!`: what to say of a failure is made where it is found.
    let banned = ["info!(", "Mutex<", "println!("];
    let mut hot = 0;
    for file in files(&[".rs"])?.into_iter().filter(|file| file.starts_with(checkout().join("host"))) {
        let text = std::fs::read_to_string(&file)?;
        if !text.lines().take(3).any(|line| line.starts_with("//!") && line.contains("HOT PATH")) {
            continue;
        }
        hot += 1;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let found = banned.iter().find(|word| line.contains(**word));
            ensure!(found.is_none(), "{}:{}: {found:?} on a hot path", file.display(), number + 1);
        }
    }
    ensure!(hot > 0, "no file is marked as HOT PATH");
    Ok(())
}

#[test]
fn paths_that_docs_name_exist() -> Result<()> {
    // `a/b.rs` or `a/b/` in backquotes, without blanks or placeholders; seen from the root or from the document.
    let quoted = Regex::new(r"`([A-Za-z0-9_.][A-Za-z0-9_./-]*/[A-Za-z0-9_./-]*)`")?;
    let top = ["host/", "guest-sdk/", "plugins/", "wit/", "tests/"];
    for document in files(&[".md"])? {
        let text = std::fs::read_to_string(&document)?;
        for found in quoted.captures_iter(&text).filter_map(|captures| captures.get(1)) {
            let path = found.as_str();
            // What a build leaves is not there before it.
            if path.split('/').any(|part| part == "target") {
                continue;
            }
            let exists = |base: &Path| base.join(path).exists();
            let beside = document.parent().is_some_and(exists);
            ensure!(
                beside || exists(checkout()) || !top.iter().any(|folder| path.starts_with(folder)),
                "{} names {path}, which does not exist",
                document.display()
            );
        }
    }
    Ok(())
}

#[test]
fn make_goals_that_docs_name_exist() -> Result<()> {
    let named = Regex::new(r"`make ([a-z-]+)")?;
    let makefile = std::fs::read_to_string(checkout().join("Makefile"))?;
    for document in files(&[".md"])? {
        let text = std::fs::read_to_string(&document)?;
        for goal in named.captures_iter(&text).filter_map(|captures| captures.get(1)) {
            let goal = format!("\n{}:", goal.as_str());
            ensure!(makefile.contains(&goal), "{} names make {}", document.display(), goal.trim());
        }
    }
    Ok(())
}

#[test]
fn tests_that_the_fault_matrix_names_exist() -> Result<()> {
    let text = std::fs::read_to_string(checkout().join("host/docs/fault-matrix.md"))?;
    let named = Regex::new(r"`([a-z0-9_/.-]+\.rs)` `([a-z0-9_]+)`")?;
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |")).collect();
    ensure!(rows.len() > 20, "the fault matrix has {} rows", rows.len());
    for row in rows {
        let elsewhere = row.contains("the crash suite") || row.contains("the network suite");
        ensure!(elsewhere || named.is_match(row), "no test is named in: {row}");
        for found in named.captures_iter(row) {
            let [file, name] = [1, 2].map(|group| found.get(group).map_or("", |found| found.as_str()));
            let source = std::fs::read_to_string(checkout().join(file)).with_context(|| file.to_owned())?;
            ensure!(
                source.contains(&format!("#[test]\n    fn {name}("))
                    || source.contains(&format!("#[test]\nfn {name}(")),
                "{file} has no test {name}, which the fault matrix names"
            );
        }
    }
    Ok(())
}

#[test]
fn no_wall_clock_decides_anything() -> Result<()> {
    // Where people are told a time, where they write one, and where a record's timestamp is compared as the broker would.
    let shown = [
        "view.rs",
        "telemetry.rs",
        "cli/dead_letters.rs",
        "compose/letters.rs",
        "crates/core/src/start.rs",
        "crates/machine/src/lib.rs",
        "crates/runtime/src/clock.rs",
    ];
    let shown = shown.map(|file| format!("host/{}{file}", if file.starts_with("crates") { "" } else { "src/" }));
    let wall =
        Regex::new(r"\b(SystemTime|weir_machine::wall|UNIX_EPOCH|Utc::now|Local::now|CLOCK_REALTIME|gettimeofday)\b")?;
    for file in files(&[".rs"])?.into_iter().filter(|file| file.starts_with(checkout().join("host"))) {
        let name = file.strip_prefix(checkout())?.display().to_string();
        if shown.contains(&name) || name.split('/').any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            ensure!(!wall.is_match(line), "{name}:{}: a wall clock may jump; use Instant: {line}", number + 1);
        }
    }
    for file in &shown {
        ensure!(wall.is_match(&std::fs::read_to_string(checkout().join(file))?), "{file} needs no exception any more");
    }
    Ok(())
}

/// The engine is the same for every connector (ADR 28). What users and plugins were promised keeps its names.
#[test]
fn neutral_crates_speak_no_connectors_words() -> Result<()> {
    const NEUTRAL: [&str; 7] = ["core", "plan", "time", "checkpoint", "operator", "state", "runtime"];
    let promised =
        ["core/src/ports/route.rs", "core/src/letter.rs", "operator/src/origin.rs", "runtime/src/metrics.rs"];
    let words = Regex::new("(?i)kafka|broker|topic|transaction")?;
    for file in files(&["rs"])? {
        let shown = file.strip_prefix(checkout())?.to_string_lossy().into_owned();
        let is_neutral = NEUTRAL.iter().any(|name| shown.starts_with(&format!("host/crates/{name}/src/")));
        let is_test = shown.ends_with("tests.rs") || shown.ends_with("samples.rs") || shown.contains("/tests/");
        if !is_neutral || is_test || promised.iter().any(|file| shown.ends_with(file)) {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            let is_promised = line.contains("weir.route.") || line.contains("RouteTopic") || line.contains("rename = ");
            ensure!(is_comment || is_promised || !words.is_match(line), "{shown}:{}: {line}", number + 1);
        }
    }
    Ok(())
}

/// What a connector is, its own crate and the list of the host say (ADR 40); the description of a job knows rows.
#[test]
fn descriptions_name_no_connector() -> Result<()> {
    let words = Regex::new("(?i)kafka|generate")?;
    for file in files(&[".rs"])? {
        let shown = file.strip_prefix(checkout())?.to_string_lossy().into_owned();
        let is_one =
            ["connector", "pipeline"].iter().any(|name| shown.starts_with(&format!("host/crates/{name}/src/")));
        let is_test = shown.ends_with("tests.rs") || shown.ends_with("samples.rs");
        if !is_one || is_test {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            ensure!(!words.is_match(line), "{shown}:{}: {line}", number + 1);
        }
    }
    Ok(())
}
