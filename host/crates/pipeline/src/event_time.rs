//! Event time of a source, as written (in the file or behind `--watermark`) and as planned. What the words mean is decided
//! by `time`.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use weir_connector::{Error, Found, PlannedSource};
use weir_time::options::words;
use weir_time::{Options, TimestampSource};

/// Event time of a source, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WatermarkSpec {
    /// How far behind the latest record of a split others of it may be. Default: 5s; 0s where timestamps are the clock's.
    pub max_disorder: Option<String>,
    /// How long a split must be read to its end and silent until nobody waits for it, or `off`. Default: 30s.
    pub idle_after: Option<String>,
    /// How far a split may run ahead of the slowest, or `off`. Default: off.
    pub max_drift: Option<String>,
    /// How far ahead of the clock a timestamp may be, or `off`. Default: 1h.
    pub max_future: Option<String>,
    /// What becomes of a record that is further ahead: keep, clamp, fail. Default: keep.
    pub on_future: Option<String>,
    /// Where the time of a record comes from: record, ingestion, processing, header:NAME, json:/POINTER, plugin:FILE.wasm. Default: record;
    /// ingestion where records have no time of their own.
    pub timestamp: Option<String>,
    /// What numbers in headers and JSON count: s, ms, us, ns. Default: ms.
    pub timestamp_unit: Option<String>,
}

impl WatermarkSpec {
    /// Makes the file of a plugin that is relative one of `folder`.
    pub(crate) fn rebase(&mut self, folder: &Path) {
        let Some(timestamp) = &mut self.timestamp else { return };
        if let Ok(TimestampSource::Plugin(file)) = timestamp.parse() {
            *timestamp = TimestampSource::Plugin(folder.join(file)).to_string();
        }
    }

    fn places(&mut self) -> [(&'static str, &mut Option<String>); 7] {
        [
            ("max-disorder", &mut self.max_disorder),
            ("idle-after", &mut self.idle_after),
            ("max-drift", &mut self.max_drift),
            ("max-future", &mut self.max_future),
            ("on-future", &mut self.on_future),
            ("timestamp", &mut self.timestamp),
            ("timestamp-unit", &mut self.timestamp_unit),
        ]
    }

    /// The words that are there, with their texts.
    pub(crate) fn words(&self) -> BTreeMap<String, String> {
        let mut all = self.clone();
        let there = all.places().map(|(word, text)| Some((word.to_owned(), text.take()?)));
        there.into_iter().flatten().collect()
    }

    /// What it means for `source`; every word that is wrong is told.
    pub(crate) fn plan(&self, at: &str, source: &dyn PlannedSource, found: &mut Found) -> Option<Options> {
        let mut words = self.words();
        let before = found.count();
        for (word, text) in &words {
            let alone = BTreeMap::from([(word.clone(), text.clone())]);
            if let Err(why) = Options::from_table(&alone) {
                found.add(Error::invalid(format!("{at}.watermark"), why.to_string()));
            }
        }
        if !source.abilities().times {
            words.entry("timestamp".to_owned()).or_insert_with(|| TimestampSource::Ingestion.to_string());
        }
        let options = Options::from_table(&words).ok()?;
        check(at, &options, source, found);
        (found.count() == before).then_some(options)
    }
}

/// What does not go together with what is read.
fn check(at: &str, options: &Options, source: &dyn PlannedSource, found: &mut Found) {
    let what = format!("{at}.watermark.timestamp = {}", options.timestamp);
    let can = source.abilities();
    match &options.timestamp {
        TimestampSource::Record if !can.times => {
            let reason = "its records have no time of their own; use ingestion, or json:/POINTER into the value";
            found.add(Error::conflict(what, source.noun(), reason));
        }
        TimestampSource::Header(_) if !can.headers => {
            found.add(Error::conflict(what, source.noun(), "its records have no headers"));
        }
        _ => {}
    }
    if options.max_drift_ms.is_some() && !can.splits {
        let drift = format!("{at}.watermark.max-drift");
        found.add(Error::conflict(drift, source.noun(), "it has one split, which cannot run ahead of another"));
    }
}

/// The event time of a source that nobody has said anything of.
pub(crate) fn default(source: &dyn PlannedSource) -> Options {
    match source.abilities().times {
        true => Options::default(),
        false => Options { timestamp: TimestampSource::Ingestion, max_disorder_ms: 0, ..Options::default() },
    }
}

impl FromStr for WatermarkSpec {
    type Err = String;

    /// `max-disorder=5s,idle-after=30s`: the form of the flag.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = words(text).map_err(|why| why.to_string())?;
        Options::from_table(&words).map_err(|why| why.to_string())?;
        let mut spec = Self::default();
        for (word, place) in spec.places() {
            *place = words.remove(word);
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_and_a_table_say_the_same() {
        let table: WatermarkSpec = toml::from_str(
            "max-disorder = '1s'\nidle-after = 'off'\nmax-drift = '1min'\nmax-future = '2h'\non-future = 'clamp'\n\
             timestamp = 'json:/a=b'\ntimestamp-unit = 's'",
        )
        .unwrap();
        let flag = "max-disorder=1s, idle-after=off,max-drift=1min,max-future=2h,on-future=clamp,timestamp=json:/a=b,\
                    timestamp-unit=s";
        assert_eq!(flag.parse(), Ok(table.clone()));
        assert_eq!(Options::from_table(&table.words()).ok(), flag.parse().ok());
        assert!("max-disorder=1".parse::<WatermarkSpec>().is_err() && "disorder=1s".parse::<WatermarkSpec>().is_err());
    }
    #[test]
    fn the_file_of_a_plugin_lies_beside_the_file_that_names_it() {
        let rebased = |text: &str| {
            let mut spec: WatermarkSpec = text.parse().unwrap();
            spec.rebase(Path::new("/etc/weir"));
            spec.timestamp
        };
        assert_eq!(rebased("timestamp=plugin:a/b.wasm").as_deref(), Some("plugin:/etc/weir/a/b.wasm"));
        assert_eq!(rebased("timestamp=plugin:/b.wasm").as_deref(), Some("plugin:/b.wasm"));
        assert_eq!(rebased("timestamp=json:/a").as_deref(), Some("json:/a"));
        assert_eq!(rebased("max-disorder=1s"), None);
    }
}
