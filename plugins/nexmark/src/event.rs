//! Events, as far as they are read: JSON objects whose field `type` says `person`, `auction` or `bid`.

use weir_sdk::{Context, Failure, Record, json};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    Auction,
    Bid,
}

/// By its field `type`.
pub(crate) fn kind_of(text: Option<&str>) -> Result<Kind, Failure> {
    match text {
        Some("\"bid\"") => Ok(Kind::Bid),
        Some("\"auction\"") => Ok(Kind::Auction),
        Some("\"person\"") => Ok(Kind::Person),
        _ => Err(Failure::new("no event: its type is not person, auction or bid")),
    }
}

/// These fields of a bid, of which the first is `type`; none of another event.
pub(crate) fn bid<'a, const N: usize>(event: &'a [u8], names: [&str; N]) -> Result<Option<[&'a str; N]>, Failure> {
    let found = json::pick(event, names)?;
    if kind_of(found.first().copied().flatten())? != Kind::Bid {
        return Ok(None);
    }
    let mut named = [(None, ""); N];
    for (named, pair) in named.iter_mut().zip(found.into_iter().zip(names)) {
        *named = pair;
    }
    need(named).map(Some)
}

/// Fields that an event cannot do without, with their names.
pub(crate) fn need<'a, const N: usize>(fields: [(Option<&'a str>, &str); N]) -> Result<[&'a str; N], Failure> {
    if let Some((_, name)) = fields.iter().find(|(field, _)| field.is_none()) {
        return Err(Failure::new(format!("an event without {name}")));
    }
    Ok(fields.map(|(field, _)| field.unwrap_or_default()))
}

/// A field that is a whole number.
pub(crate) fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::new(format!("{text} is no whole number")))
}

/// Emits `record` with these parts as its value.
pub(crate) fn put(record: Record<'_>, ctx: &mut Context<'_>, parts: &[&str]) {
    ctx.emit_with(record, |out| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes())));
}
