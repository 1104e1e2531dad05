//! All connectors of a host: which one an address or a table is of.

use crate::error::{Error, closest};
use crate::row::{Address, Connector, Kind, Scheme, Shared, Side};
use crate::settings::Written;

/// All connectors of a host, a row each.
#[derive(Debug, Clone, Copy)]
pub struct Registry(&'static [&'static [&'static Connector]]);

impl Registry {
    /// The rows of several crates; where people are told of all, they are in this order.
    pub const fn new(rows: &'static [&'static [&'static Connector]]) -> Self {
        Self(rows)
    }

    /// Every connector.
    pub fn rows(self) -> impl Iterator<Item = &'static Connector> {
        self.0.iter().flat_map(|rows| rows.iter().copied())
    }

    /// Everything that can be read, or written.
    pub fn kinds(self, side: Side) -> impl Iterator<Item = (&'static Connector, &'static Kind)> {
        self.rows().filter_map(move |row| Some((row, row.kind(side).ok()?)))
    }

    /// Every table that nodes share.
    pub fn shared(self) -> impl Iterator<Item = (&'static Connector, &'static Shared)> {
        self.rows().filter_map(|row| Some((row, row.shared.as_ref()?)))
    }

    /// How those are called that commit output and positions in one transaction.
    pub fn transactional(self) -> String {
        self.rows().filter(|row| row.transactional).map(|row| row.title).collect::<Vec<_>>().join(" or ")
    }

    /// What the addresses of a side look like, for the help of a flag.
    pub fn usage(self, side: Side) -> String {
        self.kinds(side).map(|(_, kind)| kind.usage).collect::<Vec<_>>().join(", ")
    }

    /// Reads an address.
    pub fn address(self, side: Side, text: &str) -> Result<Written, Error> {
        let refused = |reason: String| Error::Address { address: text.to_owned(), reason };
        let named = || {
            let rest = |row: &Connector| Some(Address { rest: row.scheme.rest(text)?, is_named: true });
            self.rows().find_map(|row| Some((row, rest(row)?)))
        };
        let implied = || {
            let row = self.rows().find(|row| matches!(row.scheme, Scheme::Implied(_)));
            row.filter(|_| !text.contains(':')).map(|row| (row, Address { rest: text, is_named: false }))
        };
        let (connector, address) = named().or_else(implied).ok_or_else(|| refused(self.known(text)))?;
        let kind = connector.kind(side).map_err(|why| refused(why.to_owned()))?;
        let settings = (kind.address)(address).map_err(refused)?;
        Ok(Written { connector, key: kind.key, settings })
    }

    /// What an address may begin with, and what `text` most likely was meant to.
    fn known(self, text: &str) -> String {
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
        let mut names: Vec<&str> = self.rows().filter_map(|row| row.scheme.name()).collect();
        names.sort_unstable();
        let close = closest(scheme, names.iter().copied()).map(|c| format!("; did you mean {c}:?")).unwrap_or_default();
        let all = match names.split_last() {
            Some((last, [])) => format!("{last}:"),
            Some((last, others)) => format!("{}: or {last}:", others.join(":, ")),
            None => String::new(),
        };
        format!("it may be - or start with {all}{close}")
    }
}
