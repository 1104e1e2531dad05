//! `file:PATH`: lines of a file, and to the end of one.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use weir_connector::{
    Abilities, Address, Connector, Error, Fixed, Found, JobFacts, Kind, Nodes, Part, Place, PlannedSink, PlannedSource,
    Range, Scheme, Settings, table,
};
use weir_core::ports::{Sink, SourceConnector};
use weir_core::{KeySpec, PortError};

use super::FileSource;
use crate::format::{FormatSpec, LineFormat, LinesSpec};
use crate::sink::LocalSink;

/// The row of the registry.
pub(crate) static CONNECTOR: Connector = Connector {
    title: "files",
    scheme: Scheme::Named("file"),
    source: Ok(Kind { key: "file", usage: "file:PATH", address, table: table::<FileSpec> }),
    sink: Ok(Kind { key: "file", usage: "file:PATH", address, table: table::<FileSpec> }),
    shared: None,
    transactional: false,
    plan,
};

/// A file of lines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileSpec {
    /// Its path; empty is a mistake.
    #[serde(default)]
    path: PathBuf,
    /// What a line says of a record: value, key-value, json. Default: value.
    format: Option<FormatSpec>,
    /// What stands between key and value. Default: a tabulator.
    separator: Option<String>,
}

impl Settings for FileSpec {
    fn rebased(&self, folder: &Path) -> Option<Arc<dyn Settings>> {
        let is_given = !self.path.as_os_str().is_empty();
        is_given.then(|| Arc::new(Self { path: folder.join(&self.path), ..self.clone() }) as Arc<dyn Settings>)
    }
}

/// A path that holds a `?` of its own ends with one more.
fn address(Address { rest, .. }: Address<'_>) -> Result<Arc<dyn Settings>, String> {
    let (path, settings) = rest.rsplit_once('?').unwrap_or((rest, ""));
    let LinesSpec { format, separator } = LinesSpec::parse(settings)
        .map_err(|reason| format!("{reason}; a path with a '?' of its own ends with one more, as in file:PATH?"))?;
    match path {
        "" => Err("a file is file:PATH".to_owned()),
        path => Ok(Arc::new(FileSpec { path: path.into(), format, separator })),
    }
}

/// One file, checked: the same whether it is read or written.
#[derive(Debug, Clone)]
struct Planned {
    path: PathBuf,
    format: LineFormat,
}

fn plan(nodes: &Nodes<'_>, found: &mut Found) -> Part {
    Part {
        sources: nodes.plan_sources(found, |at, spec, found| Some(Arc::new(planned(at, spec, found)?))),
        sinks: nodes.plan_sinks(found, |at, spec, found| Some(Arc::new(planned(at, spec, found)?))),
        cluster: None,
    }
}

fn planned(at: &str, FileSpec { path, format, separator }: &FileSpec, found: &mut Found) -> Option<Planned> {
    let lines = LinesSpec { format: *format, separator: separator.clone() };
    let lines = found.keep(lines.plan(&format!("{at}.file")));
    if path.as_os_str().is_empty() {
        found.add(Error::missing(format!("{at}.file.path"), "write the path of a file"));
        return None;
    }
    Some(Planned { path: path.clone(), format: lines? })
}

/// A path without `./` and doubled slashes: two spellings of it are one path. What links and `..` lead to, only a look at
/// the disk tells.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

impl Planned {
    fn words(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn name(&self) -> String {
        plain(&self.path).to_string_lossy().into_owned()
    }
}

impl PlannedSource for Planned {
    fn noun(&self) -> &'static str {
        "a file"
    }

    fn words(&self) -> String {
        self.words()
    }

    fn name(&self) -> String {
        self.name()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.format.details()
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            replays: true,
            ends: true,
            commits_positions: false,
            splits: false,
            times: self.format.is_whole(),
            headers: self.format.is_whole(),
            no_offsets: None,
            fixed: Some(Fixed {
                ends: "it is read to the end that it has at the first start",
                ends_at_latest: true,
                pace: Fixed::NO_PACE,
            }),
        }
    }

    fn lacks(&self, key: &KeySpec) -> Option<&'static str> {
        self.format.lacks(key)
    }

    fn place(&self) -> Option<Place<'_>> {
        Some(Place::File(&self.path))
    }

    fn open(&self, _job: &JobFacts, _range: &Range) -> Result<Arc<dyn SourceConnector>, PortError> {
        Ok(Arc::new(FileSource::new(&self.path, self.format.clone())))
    }
}

impl PlannedSink for Planned {
    fn words(&self) -> String {
        self.words()
    }

    fn name(&self) -> String {
        self.name()
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.format.details()
    }

    fn place(&self) -> Option<Place<'_>> {
        Some(Place::File(&self.path))
    }

    fn open(&self) -> Result<Option<Box<dyn Sink>>, PortError> {
        LocalSink::File(self.path.clone(), self.format.clone()).open().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_last_question_mark() {
        let address = |rest| address(Address { rest, is_named: true });
        for (text, path, format) in [
            ("a:b", "a:b", None),
            ("a=b", "a=b", None),
            ("a?format=json", "a", Some(FormatSpec::Json)),
            ("what?.txt?", "what?.txt", None),
            ("what?.txt?format=value", "what?.txt", Some(FormatSpec::Value)),
        ] {
            let written = address(text).unwrap();
            let wanted = FileSpec { path: path.into(), format, separator: None };
            assert_eq!(written.of::<FileSpec>(), Some(&wanted), "{text}");
        }
        for (text, wanted) in [
            ("", "a file is file:PATH"),
            ("?format=json", "a file is file:PATH"),
            ("what?.txt", "a path with a '?' of its own ends with one more"),
            ("a?format=jsn", "did you mean json?"),
        ] {
            let error = address(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
