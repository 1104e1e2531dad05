//! HOT PATH. Where a record asks to be written: the headers `weir.route.topic` and `weir.route.partition`, by which a plugin
//! that declares `routes` chooses among the topics that its sink allows.

use std::sync::Arc;

use super::limit::{RecordLimit, Unfit};
use crate::frame::RecordView;

/// Names of all routing headers begin so.
pub const ROUTE_PREFIX: &[u8] = b"weir.route.";
const TOPIC: &[u8] = b"weir.route.topic";
const PARTITION: &[u8] = b"weir.route.partition";

/// What a record asks for. The last header of a name counts, as everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// A topic; the sink's own where it is left out.
    pub topic: Option<&'a [u8]>,
    /// A partition, as text; chosen by the key where it is left out.
    pub partition: Option<&'a [u8]>,
    /// The name of a routing header that this host does not know.
    pub unknown: Option<&'a [u8]>,
}

impl<'a> Route<'a> {
    /// That of `record`, if it asks for anything.
    #[inline]
    pub fn of(record: &RecordView<'a>) -> Option<Self> {
        if record.headers.is_empty() { None } else { Self::among(record) }
    }

    fn among(record: &RecordView<'a>) -> Option<Self> {
        let mut route = None;
        for (name, value) in record.headers().filter(|(name, _)| name.starts_with(ROUTE_PREFIX)) {
            let route = route.get_or_insert(Self { topic: None, partition: None, unknown: None });
            match name {
                TOPIC => route.topic = Some(value.unwrap_or_default()),
                PARTITION => route.partition = Some(value.unwrap_or_default()),
                name => route.unknown = Some(name),
            }
        }
        route
    }
}

/// A topic that records may be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTopic {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub limit: RecordLimit,
    /// How many partitions it has.
    pub partitions: i32,
}

/// The topics that a sink's records may be routed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTable {
    /// The sink's own first: records that ask for no topic go there.
    topics: Arc<[RouteTopic]>,
}

impl RouteTable {
    /// `own` is where records go that ask for nothing.
    pub fn new(own: RouteTopic, others: Vec<RouteTopic>) -> Self {
        Self { topics: std::iter::once(own).chain(others).collect() }
    }

    /// Every topic, the sink's own first.
    pub fn topics(&self) -> &[RouteTopic] {
        &self.topics
    }

    /// The sink's own topic.
    pub(super) fn own(&self) -> Option<&RouteTopic> {
        self.topics.first()
    }

    /// The place of the topic in [`Self::topics`] and the partition that `record` is to be written to; `None` for the one
    /// that its key says.
    #[inline]
    pub fn find(&self, record: &RecordView<'_>) -> Result<(usize, Option<i32>), Unfit> {
        Route::of(record).map_or(Ok((0, None)), |route| self.resolve(route))
    }

    fn resolve(&self, route: Route<'_>) -> Result<(usize, Option<i32>), Unfit> {
        let unfit = |reason: String| Unfit::Route { sink: self.sink(), reason };
        if let Some(name) = route.unknown {
            return Err(unfit(format!("this host knows no header {:?}", String::from_utf8_lossy(name))));
        }
        let at = match route.topic {
            None => Some(0),
            Some(name) => self.topics.iter().position(|topic| topic.name.as_bytes() == name),
        };
        let found = at.and_then(|at| Some((at, self.topics.get(at)?)));
        let Some((at, topic)) = found else {
            let name = String::from_utf8_lossy(route.topic.unwrap_or_default()).into_owned();
            return Err(unfit(format!("weir.route.topic is {name:?}, which `routes` of the sink does not allow")));
        };
        let Some(text) = route.partition else { return Ok((at, None)) };
        let partition = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        match partition.filter(|partition| (0..topic.partitions).contains(partition)) {
            Some(partition) => Ok((at, Some(partition))),
            None => Err(unfit(format!(
                "weir.route.partition is {:?}, and topic {:?} had the partitions 0 to {} when the job started",
                String::from_utf8_lossy(text),
                topic.name,
                topic.partitions - 1
            ))),
        }
    }

    /// Whether `record` may go where it asks to, at `now_ms` by this machine's clock.
    #[inline]
    pub(super) fn check(&self, record: &RecordView<'_>, now_ms: i64) -> Result<(), Unfit> {
        let (at, _) = self.find(record)?;
        self.topics.get(at).map_or(Ok(()), |topic| topic.limit.check(record, now_ms))
    }

    fn sink(&self) -> String {
        self.own().map(|topic| topic.limit.sink.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::encode_headers;

    fn topic(name: &str, bytes: usize, partitions: i32) -> RouteTopic {
        let (sink, setting) = (format!("topic {name:?}"), String::new());
        let limit = RecordLimit { sink, bytes, setting, needs_key: false, timestamps: None };
        RouteTopic { name: name.to_owned(), limit, partitions }
    }

    fn find(headers: &[(&str, &str)]) -> Result<(usize, Option<i32>), String> {
        let table = RouteTable::new(topic("out", 1_000, 1), vec![topic("big", 1_000, 3), topic("tiny", 2, 3)]);
        let mut encoded = Vec::new();
        encode_headers(headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))), &mut encoded);
        let record = RecordView { timestamp_ms: 0, source: 0, key: None, value: Some(b"value"), headers: &encoded };
        let found = table.find(&record).map_err(|unfit| unfit.to_string())?;
        table.check(&record, 0).map(|()| found).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn only_who_declares_it_routes() {
        let table = RouteTable::new(topic("out", 8, 1), vec![topic("big", 1_000, 3)]);
        let check = super::super::RecordCheck::Routes(table).without_routes();
        let said = |headers: &[(&str, &str)], value: &[u8]| {
            let mut encoded = Vec::new();
            encode_headers(headers.iter().map(|(n, v)| (n.as_bytes(), Some(v.as_bytes()))), &mut encoded);
            let record = RecordView { timestamp_ms: 0, source: 0, key: None, value: Some(value), headers: &encoded };
            check.check(&record, 0).map_err(|unfit| unfit.to_string()).err().unwrap_or_default()
        };
        assert_eq!(said(&[], b"value"), "");
        assert!(said(&[], b"a value").is_empty() && said(&[], b"a long value").contains("too large"));
        for header in ["weir.route.topic", "weir.route.partition", "weir.route.other"] {
            let said = said(&[(header, "big")], b"v");
            assert!(said.contains("does not declare that it routes records to topic \"out\""), "{said}");
        }
    }

    #[test]
    fn a_record_goes_where_it_asks_to_if_that_is_allowed() {
        let (topic, partition) = ("weir.route.topic", "weir.route.partition");
        assert_eq!(find(&[]), Ok((0, None)));
        assert_eq!(find(&[("other", "x")]), Ok((0, None)));
        assert_eq!(find(&[(topic, "big")]), Ok((1, None)));
        assert_eq!(find(&[(partition, "0")]), Ok((0, Some(0))));
        assert_eq!(find(&[(topic, "big"), (partition, "2")]), Ok((1, Some(2))));
        assert_eq!(find(&[(topic, "nowhere"), (topic, "big")]), Ok((1, None)), "the last one counts");
        let refused = [
            (&[(topic, "elsewhere")][..], "weir.route.topic is \"elsewhere\", which `routes` of the sink"),
            (&[(partition, "1")], "weir.route.partition is \"1\", and topic \"out\" had the partitions 0 to 0"),
            (&[(topic, "big"), (partition, "-1")], "weir.route.partition is \"-1\""),
            (&[(topic, "big"), (partition, "two")], "weir.route.partition is \"two\""),
            (&[("weir.route.key", "x")], "this host knows no header \"weir.route.key\""),
            (&[(topic, "tiny")], "topic \"tiny\" has"),
        ];
        for (headers, wanted) in refused {
            let said = find(headers).unwrap_err();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
