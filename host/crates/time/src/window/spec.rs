//! Windows as users write them: `--window tumbling:10s,early-every=1s`, and in the pipeline file
//! `window = { tumbling = "10s", early-every = "1s" }`. Every text is the same in both.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use weir_core::ports::TimeDomain;

use super::calendar::CalendarUnit;
use super::count::Count;
use super::firing::Firing;
use super::fixed::next_multiple;
use super::{Calendar, Fixed, Panes, ShapeError, length};
use crate::span::{self, SpanError};

/// The windows of an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSpec {
    /// Which they are.
    pub kind: Kind,
    /// What time they are in: `time = "event"`, the records' timestamps, or `"processing"`, the clock when a record is
    /// processed: then nothing is late.
    pub domain: TimeDomain,
    /// When they fire: `allowed-lateness`, `early-every`.
    pub firing: Firing,
}

/// Which windows there are.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `tumbling:10s`
    Tumbling(Fixed),
    /// `tumbling:1day` with `zone = "Europe/Berlin"`
    Calendar(Calendar),
    /// `sliding:1h/1min`
    Sliding(Panes),
    /// `session:30s`
    Session {
        /// How long nothing comes until a session is over, in milliseconds.
        gap_ms: i64,
    },
    /// `count:100`
    Count(Count),
    /// `global:count=100`, `global:every=10s`: one window of all time, which fires and stays.
    Global(Trigger),
}

/// When the global window fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// With every so many records of a key.
    Count(Count),
    /// Every so often, in the window's own time, where there is news.
    Every {
        /// Milliseconds.
        ms: i64,
    },
}

impl Trigger {
    /// When the global window fires next by its own time, which has come to `time_ms`; `None` where it counts records.
    pub fn next_ms(self, time_ms: i64) -> Option<i64> {
        match self {
            Self::Count(_) => None,
            Self::Every { ms } => Some(next_multiple(time_ms, ms)),
        }
    }
}

/// Windows that cannot be understood, or cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not one of the known kinds.
    #[error(
        "{0:?} is none of tumbling:10s, sliding:1h/1min, session:30s, count:100, global:count=100, global:every=10s"
    )]
    Kind(String),
    /// Not one of the known words.
    #[error("{word:?} is none of {known}")]
    Word {
        /// What was written.
        word: String,
        /// What may be written.
        known: &'static str,
    },
    /// A table that names no kind, or more than one.
    #[error("a window is one of tumbling, sliding, session, count and global; here are {0}")]
    Kinds(usize),
    /// A span that cannot be used.
    #[error("{word}: {why}")]
    Span {
        /// Whose.
        word: &'static str,
        /// Why.
        why: SpanError,
    },
    /// Neither a kind nor an option.
    #[error("{0:?} is no WORD=TEXT, as in early-every=1s")]
    Pair(String),
    /// An option that is given twice.
    #[error("{0} is given twice")]
    Twice(String),
    /// Windows of which a record is in too many to fire them all early.
    #[error(
        "early-every is not for sliding windows: each record would have every window that covers it fire; let tumbling \
         windows, or sliding ones that begin more often, fire at their end"
    )]
    EarlySliding,
    /// Not a number of records.
    #[error("{0:?} is not a number of records")]
    Records(String),
    /// A month or a year is no span.
    #[error("{0:?} has no fixed length: say in which zone, as in zone = \"Europe/Berlin\"")]
    NeedsZone(String),
    /// A zone with a length that no calendar has.
    #[error("{0:?} with a zone must be whole days, weeks or months")]
    NotCalendar(String),
    /// An option that means nothing for this kind of window.
    #[error("{word} means nothing for {kind} windows")]
    Meaningless {
        /// The option.
        word: &'static str,
        /// The kind.
        kind: &'static str,
    },
    /// Windows that cannot be.
    #[error("{0}")]
    Shape(ShapeError),
}

impl From<ShapeError> for ParseError {
    fn from(why: ShapeError) -> Self {
        Self::Shape(why)
    }
}

const KINDS: [&str; 5] = ["tumbling", "sliding", "session", "count", "global"];
const WORDS: &str = "tumbling, sliding, session, count, global, zone, offset, time, allowed-lateness, early-every";

impl WindowSpec {
    /// A table of the pipeline file: words and their texts.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use weir_time::WindowSpec;
    ///
    /// let table = [("tumbling", "1day"), ("zone", "Europe/Berlin"), ("allowed-lateness", "1h")];
    /// let table = table.map(|(word, text)| (word.to_owned(), text.to_owned()));
    /// let spec = WindowSpec::from_table(&BTreeMap::from(table))?;
    /// assert_eq!(spec.to_string(), "tumbling:1day@Europe/Berlin");
    /// # Ok::<(), weir_time::window::spec::ParseError>(())
    /// ```
    pub fn from_table(table: &BTreeMap<String, String>) -> Result<Self, ParseError> {
        let is_known = |word: &str| WORDS.split(", ").any(|known| known == word);
        if let Some(word) = table.keys().find(|word| !is_known(word)) {
            return Err(ParseError::Word { word: word.clone(), known: WORDS });
        }
        let get = |word: &str| table.get(word).map(String::as_str);
        let kinds: Vec<_> = KINDS.iter().filter_map(|kind| Some((*kind, get(kind)?))).collect();
        let [(kind, text)] = kinds[..] else {
            return Err(ParseError::Kinds(kinds.len()));
        };
        let offset_ms = get("offset").map(|text| millis("offset", text)).transpose()?;
        let kind = Kind::new(kind, text, get("zone"), offset_ms)?;
        let spec = Self { domain: domain(get("time"))?, firing: firing(&get)?, kind };
        spec.check()?;
        Ok(spec)
    }

    /// What windows are kept of, for the tables that hold them: those of one are nothing to those of another.
    pub fn schema(&self) -> String {
        match self.domain {
            TimeDomain::Event => self.to_string(),
            TimeDomain::Processing => format!("{self} of processing time"),
        }
    }

    /// Options that would be without any effect are mistakes.
    fn check(&self) -> Result<(), ParseError> {
        let kind = self.kind.word();
        let meaningless = |word| Err(ParseError::Meaningless { word, kind });
        let is_timed = !matches!(self.kind, Kind::Count(_) | Kind::Global(_));
        if self.firing.lateness_ms > 0 && (!is_timed || self.domain == TimeDomain::Processing) {
            return meaningless("allowed-lateness");
        }
        match self.kind {
            _ if self.firing.early_every_ms.is_none() => Ok(()),
            Kind::Count(_) | Kind::Global(_) => meaningless("early-every"),
            Kind::Sliding(_) => Err(ParseError::EarlySliding),
            Kind::Tumbling(_) | Kind::Calendar(_) | Kind::Session { .. } => Ok(()),
        }
    }
}

impl Kind {
    /// The kind named `word`, of the length `text`.
    fn new(word: &str, text: &str, zone: Option<&str>, offset_ms: Option<i64>) -> Result<Self, ParseError> {
        let kind = match word {
            "tumbling" => return Self::tumbling(text, zone, offset_ms.unwrap_or(0)),
            "sliding" => Self::sliding(text, offset_ms.unwrap_or(0))?,
            "session" => Self::Session { gap_ms: length("the gap of a session", millis("session", text)?)? },
            "count" => Self::Count(count(text)?),
            "global" => Self::Global(trigger(text)?),
            _ => return Err(ParseError::Kind(format!("{word}:{text}"))),
        };
        if zone.is_some() {
            return Err(ParseError::Meaningless { word: "zone", kind: kind.word() });
        }
        if offset_ms.is_some() && !matches!(kind, Self::Sliding(_)) {
            return Err(ParseError::Meaningless { word: "offset", kind: kind.word() });
        }
        Ok(kind)
    }

    fn tumbling(text: &str, zone: Option<&str>, offset_ms: i64) -> Result<Self, ParseError> {
        let calendar = calendar_units(text);
        match zone {
            Some(zone) => {
                let (count, unit) = calendar.ok_or_else(|| ParseError::NotCalendar(text.to_owned()))?;
                Ok(Self::Calendar(Calendar::new(unit, count, zone, offset_ms)?))
            }
            None if matches!(calendar, Some((_, CalendarUnit::Month))) => Err(ParseError::NeedsZone(text.to_owned())),
            None => Ok(Self::Tumbling(Fixed::new(millis("tumbling", text)?, offset_ms)?)),
        }
    }

    fn sliding(text: &str, offset_ms: i64) -> Result<Self, ParseError> {
        let (size, slide) = text.split_once('/').ok_or_else(|| ParseError::Kind(format!("sliding:{text}")))?;
        Ok(Self::Sliding(Panes::new(millis("sliding", size)?, millis("sliding", slide)?, offset_ms)?))
    }

    /// Its name, as it is written.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tumbling(_) | Self::Calendar(_) => "tumbling",
            Self::Sliding(_) => "sliding",
            Self::Session { .. } => "session",
            Self::Count(_) => "count",
            Self::Global(_) => "global",
        }
    }
}

/// `1day`, `2 weeks`, `3months`: a number of calendar units.
fn calendar_units(text: &str) -> Option<(u32, CalendarUnit)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim() {
        "d" | "day" | "days" => CalendarUnit::Day,
        "w" | "week" | "weeks" => CalendarUnit::Week,
        "M" | "month" | "months" => CalendarUnit::Month,
        _ => return None,
    };
    Some((number.parse().ok()?, unit))
}

fn count(text: &str) -> Result<Count, ParseError> {
    Ok(Count::new(text.trim().parse().map_err(|_| ParseError::Records(text.to_owned()))?)?)
}

fn trigger(text: &str) -> Result<Trigger, ParseError> {
    match text.split_once('=') {
        Some(("count", records)) => count(records).map(Trigger::Count),
        Some(("every", span)) => Ok(Trigger::Every { ms: length("the span of a trigger", millis("global", span)?)? }),
        _ => Err(ParseError::Kind(format!("global:{text}"))),
    }
}

fn domain(text: Option<&str>) -> Result<TimeDomain, ParseError> {
    match text {
        None | Some("event") => Ok(TimeDomain::Event),
        Some("processing") => Ok(TimeDomain::Processing),
        Some(other) => Err(ParseError::Word { word: other.to_owned(), known: "event, processing" }),
    }
}

fn firing<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<Firing, ParseError> {
    let lateness_ms = get("allowed-lateness").map_or(Ok(0), |text| millis("allowed-lateness", text))?;
    let early = get("early-every").map(|text| millis("early-every", text)).transpose()?;
    let early_every_ms = early.map(|ms| length("early-every", ms)).transpose()?;
    Ok(Firing { lateness_ms, early_every_ms })
}

fn millis(word: &'static str, text: &str) -> Result<i64, ParseError> {
    span::millis(text).map_err(|why| ParseError::Span { word, why })
}

impl FromStr for WindowSpec {
    type Err = ParseError;

    /// The form of the flag: `KIND:LENGTH`, `tumbling:1day@Europe/Berlin` for calendar days, and behind it `,WORD=TEXT`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_table(&words(text)?)
    }
}

/// The flag as the table that says the same. What the words are is for [`WindowSpec`] to say.
pub fn words(text: &str) -> Result<BTreeMap<String, String>, ParseError> {
    let (first, options) = text.split_once(',').map_or((text, None), |(first, options)| (first, Some(options)));
    let kind = first.split_once(':').filter(|(kind, _)| KINDS.contains(kind));
    let (kind, length) = kind.ok_or_else(|| ParseError::Kind(first.to_owned()))?;
    let (length, zone) = length.split_once('@').map_or((length, None), |(length, zone)| (length, Some(zone)));
    let mut words = BTreeMap::from([(kind.to_owned(), length.to_owned())]);
    words.extend(zone.map(|zone| ("zone".to_owned(), zone.to_owned())));
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        let (word, text) = option.split_once('=').ok_or_else(|| ParseError::Pair(option.to_owned()))?;
        let (word, text) = (word.trim().to_owned(), text.trim().to_owned());
        if words.contains_key(&word) {
            return Err(ParseError::Twice(word));
        }
        words.insert(word, text);
    }
    Ok(words)
}

impl fmt::Display for WindowSpec {
    /// Kind and length, in the form of the flag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind.word())?;
        match &self.kind {
            Kind::Tumbling(fixed) => span::shown(fixed.size_ms()).fmt(f),
            Kind::Calendar(calendar) => calendar.fmt(f),
            Kind::Sliding(panes) => write!(f, "{}/{}", span::shown(panes.size_ms()), span::shown(panes.slide_ms())),
            Kind::Session { gap_ms } => span::shown(*gap_ms).fmt(f),
            Kind::Count(count) => count.records().fmt(f),
            Kind::Global(Trigger::Count(count)) => write!(f, "count={}", count.records()),
            Kind::Global(Trigger::Every { ms }) => write!(f, "every={}", span::shown(*ms)),
        }
    }
}

#[cfg(test)]
mod tests;
