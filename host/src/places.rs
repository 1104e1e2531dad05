//! Whether the files of a job are apart, and the streams that it uses are there. A path is no file: `a`, `./a`, a link and a
//! redirection may all lead to the same one, so the files themselves are compared, before anything is opened.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use weir_connector::Place as Planned;
use weir_local::standard::Stream;
use weir_pipeline::plan::{Plan, StateDir};
use weir_pipeline::{Error, Found};

/// A regular file that is there, or where one would be made. Devices and pipes are none: nobody minds two lines in one
/// terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    There { device: u64, inode: u64 },
    Absent(PathBuf),
}

/// A place and what it is to the job.
struct Used {
    what: String,
    place: Place,
}

/// Notes where a plan writes where it reads, twice to one file, into its own state, or over what it is made of:
/// its plugins and `settings`, the files that describe it.
pub(crate) fn check(plan: &Plan, settings: &[PathBuf], found: &mut Found) {
    let read = plan.sources.iter().filter_map(|source| {
        Some(Used { what: format!("sources.{}", source.name), place: source.reads.place().and_then(place)? })
    });
    let read: Vec<Used> = read.collect();
    let plugins =
        plan.operators.iter().map(|operator| (format!("operators.{}.plugin", operator.name), &operator.plugin));
    let timestamps = plan
        .sources
        .iter()
        .filter_map(|source| Some((format!("sources.{}.watermark.timestamp", source.name), source.timestamps()?)));
    let plugins = plugins.map(|(what, path)| (what, path.as_path())).chain(timestamps);
    let settings = settings.iter().map(PathBuf::as_path).map(|path| ("a file that describes the job".to_owned(), path));
    let parts = plugins.chain(settings).filter_map(|(what, path)| Some(Used { what, place: at(path)? }));
    let parts: Vec<Used> = parts.collect();
    let mut written: Vec<Used> = Vec::new();
    for sink in &plan.sinks {
        let what = format!("sinks.{}", sink.name);
        let planned = sink.writes.place();
        if let Some(Planned::File(path)) = planned {
            found.keep(check_state(&what, path, plan));
        }
        let place = planned.and_then(place);
        let Some(place) = place else { continue };
        for (others, reason) in [
            (&read, "the job would read its own output"),
            (&written, "they are one file and would mix their lines"),
            (&parts, "the output would be written into that file"),
        ] {
            if let Some(other) = others.iter().find(|other| other.place == place) {
                found.add(Error::conflict(&what, &other.what, reason));
            }
        }
        written.push(Used { what, place });
    }
}

/// Refuses a plan that uses a standard stream which was closed when the process began, by whatever name. Only a job that is to
/// run minds.
pub(crate) fn check_streams(plan: &Plan) -> Result<(), weir_local::Error> {
    let read = plan.sources.iter().filter_map(|source| source.reads.place());
    let written = plan.sinks.iter().filter_map(|sink| sink.writes.place());
    let mut streams = read.chain(written).filter_map(|place| match place {
        Planned::Stdin => Some(Stream::Input),
        Planned::Stdout => Some(Stream::Output),
        Planned::File(path) => Stream::at(path),
    });
    streams.try_for_each(Stream::check)
}

fn check_state(what: &str, path: &Path, plan: &Plan) -> Result<(), Error> {
    match &plan.state.dir {
        StateDir::Kept(dir) if resolved(path).starts_with(resolved(dir)) => {
            Err(Error::conflict(what, "state.dir", "the state directory holds nothing but state"))
        }
        StateDir::Kept(_) | StateDir::Temporary { .. } => Ok(()),
    }
}

/// What lies there now, or would.
fn place(planned: Planned<'_>) -> Option<Place> {
    match planned {
        Planned::File(path) => at(path),
        Planned::Stdin => stream(io::stdin()),
        Planned::Stdout => stream(io::stdout()),
    }
}

fn of(metadata: &Metadata) -> Option<Place> {
    metadata.is_file().then(|| Place::There { device: metadata.dev(), inode: metadata.ino() })
}

fn at(path: &Path) -> Option<Place> {
    match path.metadata() {
        Ok(found) => of(&found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Place::Absent(resolved(path))),
        // Whoever opens it says why.
        Err(_) => None,
    }
}

/// Where a shell has redirected a standard stream to.
fn stream(stream: impl AsFd) -> Option<Place> {
    let own = stream.as_fd().try_clone_to_owned().ok()?;
    of(&File::from(own).metadata().ok()?)
}

/// `path` without links and `..`, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    match there {
        Some((part, canonical)) => canonical.join(absolute.strip_prefix(part).unwrap_or(Path::new(""))),
        None => absolute,
    }
}

#[cfg(test)]
mod tests {
    use weir_connector::Side;
    use weir_pipeline::{Keys, Overrides, To, settle};

    use super::*;
    use crate::connectors::CONNECTORS;

    fn said(plan: &Plan, settings: &[PathBuf]) -> Option<String> {
        let mut found = Found::default();
        check(plan, settings, &mut found);
        settle(found, Some(()), &plan.places).err().map(|mistakes| mistakes.to_string())
    }

    fn plan(dir: &Path, from: &str, to: &[&str], state: Option<&str>) -> Plan {
        let [plugin, state] = [Some("p.wasm"), state].map(|path| path.map(|path| dir.join(path).display().to_string()));
        let keys = [("--plugin", plugin), ("--state-dir", state)];
        let keys: Vec<String> = keys.into_iter().filter_map(|(flag, path)| Some(format!("{flag}={}", path?))).collect();
        let flags = Overrides {
            keys: Keys::parse(&keys.iter().map(String::as_str).collect::<Vec<_>>()).unwrap(),
            from: Some(CONNECTORS.address(Side::Source, &format!("file:{}", dir.join(from).display())).unwrap()),
            to: to
                .iter()
                .map(|to| To::parse(&to.replace('@', &format!("{}/", dir.display())), CONNECTORS).unwrap())
                .collect(),
            ..Overrides::default()
        };
        weir_pipeline::validate(&flags.into_spec(CONNECTORS).unwrap(), CONNECTORS).unwrap()
    }

    #[test]
    fn files_are_compared_not_paths() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        for name in ["in", "out", "p.wasm", "p.toml"] {
            std::fs::write(dir.join(name), "x\n").unwrap();
        }
        std::fs::create_dir(dir.join("sub")).unwrap();
        std::fs::create_dir(dir.join("state")).unwrap();
        std::fs::hard_link(dir.join("in"), dir.join("hard")).unwrap();
        std::os::unix::fs::symlink("in", dir.join("soft")).unwrap();
        std::os::unix::fs::symlink("sub", dir.join("door")).unwrap();
        let own = "the job would read its own output";
        let mixed = "they are one file and would mix their lines";
        let settings = [dir.join("p.toml")];
        for (to, wanted) in [
            (&["file:@new"][..], None),
            (&["file:@out", "late=file:@new"], None),
            (&["file:@sub/../in"], Some(own)),
            (&["file:@hard"], Some(own)),
            (&["file:@soft?format=json"], Some(own)),
            (&["file:@out", "late=file:@sub/../out"], Some(mixed)),
            (&["file:@sub/new", "late=file:@door/new"], Some(mixed)),
            (&["file:@p.wasm"], Some("the output would be written into that file")),
            (&["file:@sub/../p.toml"], Some("the output would be written into that file")),
            (&["file:@state/log"], Some("the state directory holds nothing but state")),
            (&["file:@sub/../state/x/y"], Some("the state directory holds nothing but state")),
            (&["file:/dev/null", "late=file:/dev/../dev/null"], None),
        ] {
            let plan = plan(dir, "in", to, Some("state"));
            let said = said(&plan, &settings);
            match wanted {
                None => assert_eq!(said, None, "{to:?}"),
                Some(wanted) => assert!(said.as_ref().is_some_and(|said| said.contains(wanted)), "{to:?}: {said:?}"),
            }
        }
        let absent = plan(dir, "in", &["file:@new/x"], Some("door/../new"));
        assert!(said(&absent, &[]).unwrap().contains("holds nothing but state"));
    }

    #[test]
    fn every_output_that_is_not_apart_is_told_with_its_line() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        std::fs::write(dir.join("in"), "x\n").unwrap();
        std::fs::write(dir.join("p.wasm"), "").unwrap();
        let text = "version = 1\n[sources.s]\nfile = { path = 'in' }\n[operators.o]\nplugin = 'p.wasm'\ninputs = ['s']\n\
            [sinks.b]\ninputs = ['o']\nfile = { path = 'd/../in' }\n\
            [sinks.c]\ninputs = ['o']\nfile = { path = 'p.wasm' }\n[sinks.d]\ninputs = ['o']\nfile = { path = 'state/x' }\n\
            [state]\ndir = 'state'\n";
        std::fs::create_dir(dir.join("d")).unwrap();
        let mut spec = weir_pipeline::read(text, CONNECTORS).unwrap();
        spec.rebase(dir);
        let plan = weir_pipeline::validate(&spec, CONNECTORS).unwrap();
        let said = said(&plan, &[]).unwrap();
        let wanted = "3 mistakes\n\
            line 7: sinks.b conflicts with sources.s: the job would read its own output\n\
            line 10: sinks.c conflicts with operators.o.plugin: the output would be written into that file\n\
            line 13: sinks.d conflicts with state.dir: the state directory holds nothing but state";
        assert_eq!(said, wanted);
    }
}
