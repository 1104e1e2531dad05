//! One connector: everything that the rest has to know of it.

use std::fmt;
use std::sync::Arc;

use toml::de::ValueDeserializer;

use crate::found::Found;
use crate::nodes::{Nodes, Part};
use crate::settings::Settings;

/// A connector. Its row is a constant in the connector's own folder.
pub struct Connector {
    /// What it is called in sentences.
    pub title: &'static str,
    /// How its addresses begin.
    pub scheme: Scheme,
    /// What can be read from it, or why nothing can.
    pub source: Result<Kind, &'static str>,
    /// What can be written to it, or why nothing can.
    pub sink: Result<Kind, &'static str>,
    /// What all its nodes of a job share, where a user may say something of it.
    pub shared: Option<Shared>,
    /// Whether output and positions can be committed in one transaction: what exactly-once takes.
    pub transactional: bool,
    /// Checks all its nodes of a job, the ones against the others, too.
    pub plan: fn(&Nodes<'_>, &mut Found) -> Part,
}

/// One of the two sides of a connector.
pub struct Kind {
    /// The key of its table in `[sources.NAME]` or `[sinks.NAME]`.
    pub key: &'static str,
    /// Its addresses, for the help of flags.
    pub usage: &'static str,
    /// Reads an address; an error says what would be right.
    pub address: fn(Address<'_>) -> Result<Arc<dyn Settings>, String>,
    /// Reads the table.
    pub table: for<'de> fn(ValueDeserializer<'de>) -> Result<Arc<dyn Settings>, toml::de::Error>,
}

/// An address of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<'a> {
    /// What stands behind the scheme.
    pub rest: &'a str,
    /// Whether the scheme is there.
    pub is_named: bool,
}

/// How addresses begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `-`, perhaps with settings behind a `?`.
    Dash,
    /// `NAME:`.
    Named(&'static str),
    /// `NAME:`, or nothing at all: an address without a colon.
    Implied(&'static str),
}

/// What all nodes of a connector share: a table of its own at the top of the file, and flags.
pub struct Shared {
    /// The key of the table.
    pub key: &'static str,
    /// Reads the table.
    pub table: for<'de> fn(ValueDeserializer<'de>) -> Result<Arc<dyn Settings>, toml::de::Error>,
    /// Lays what flags say over the table and over the connector's nodes.
    pub lay_over: LayOver,
}

/// Lays `flags`, settings of the type of `table`, over that and over all nodes of the connector. Returns which places they
/// say from now on, and the flag that says each.
pub type LayOver = fn(
    flags: &(dyn Settings + 'static),
    table: &mut Option<Arc<dyn Settings>>,
    nodes: Vec<&mut Arc<dyn Settings>>,
) -> Vec<(String, String)>;

/// A side of a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is read.
    Source,
    /// What is written.
    Sink,
}

impl Connector {
    /// What it has on that side, or why it has nothing there.
    pub fn kind(&self, side: Side) -> Result<&Kind, &'static str> {
        match side {
            Side::Source => self.source.as_ref().map_err(|why| *why),
            Side::Sink => self.sink.as_ref().map_err(|why| *why),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.title).finish()
    }
}

impl Scheme {
    /// Its name, where it has one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Dash => None,
            Self::Named(name) | Self::Implied(name) => Some(name),
        }
    }

    /// What stands behind it in `address`, where that begins so.
    pub(crate) fn rest(self, address: &str) -> Option<&str> {
        match self.name() {
            Some(name) => address.strip_prefix(name)?.strip_prefix(':'),
            None if address == "-" => Some(""),
            None => address.strip_prefix("-?"),
        }
    }
}
