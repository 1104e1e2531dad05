//! What nodes must leave to each other: nothing may be written where it is read, nor twice to one file, nor read twice
//! under one position.

use weir_connector::{Error, Found};

use crate::name::plain;
use crate::plan::{SinkKind, SinkPlan, SourceKind, SourcePlan, Topics};

pub(super) fn check(sources: &[SourcePlan], sinks: &[SinkPlan], found: &mut Found) {
    for (index, source) in sources.iter().enumerate() {
        let before = sources.iter().take(index);
        before.for_each(|other| check_sources(other, source, found));
    }
    for (index, sink) in sinks.iter().enumerate() {
        let at = format!("sinks.{}", sink.name);
        for source in sources.iter().filter(|source| is_read(&source.kind, &sink.kind)) {
            let source = format!("sources.{}", source.name);
            found.add(Error::conflict(&at, source, "the job would read its own output, for ever"));
        }
        let before = || sinks.iter().take(index);
        if let Some(other) =
            before().find(|other| other.creation != sink.creation && share_topic(&other.kind, &sink.kind))
        {
            let other = format!("sinks.{}", other.name);
            found.add(Error::conflict(&at, other, "they make the same topic in two ways"));
        }
        if let Some(other) = before().find(|other| is_one_place(&other.kind, &sink.kind)) {
            found.add(Error::conflict(&at, format!("sinks.{}", other.name), "they would mix their lines"));
        }
    }
}

/// The positions of all Kafka sources are those of one consumer group, which has one for each partition.
fn check_sources(one: &SourcePlan, other: &SourcePlan, found: &mut Found) {
    let reason = match (&one.kind, &other.kind) {
        (SourceKind::Stdin { .. }, SourceKind::Stdin { .. }) => "there is one standard input".to_owned(),
        (SourceKind::Kafka { topics, .. }, SourceKind::Kafka { topics: others, .. }) => match shared(topics, others) {
            Some(topic) => format!(
                "both read {topic}, and a job has one position in each of its partitions; keep one of the two, and \
                 name it in the inputs of everything that reads it"
            ),
            None => return,
        },
        (SourceKind::Stdin { .. }, SourceKind::Kafka { .. }) | (SourceKind::Kafka { .. }, SourceKind::Stdin { .. }) => {
            "what comes from stdin keeps no state for a later start, and the positions of Kafka need one; write stdin \
             into a topic by a job of its own, or read a file"
                .to_owned()
        }
        _ => return,
    };
    found.add(Error::conflict(format!("sources.{}", other.name), format!("sources.{}", one.name), reason));
}

/// A topic that both select. What two patterns have in common only the cluster knows, unless they are the same.
fn shared(one: &Topics, other: &Topics) -> Option<String> {
    match (one, other) {
        (Topics::Named(names), topics) | (topics, Topics::Named(names)) => {
            names.iter().find(|name| topics.select(name)).map(|name| format!("the topic {name:?}"))
        }
        (Topics::Pattern(one), Topics::Pattern(other)) => {
            (one == other).then(|| format!("the topics of the pattern {one:?}"))
        }
    }
}

fn is_read(source: &SourceKind, sink: &SinkKind) -> bool {
    match (source, sink) {
        (SourceKind::Kafka { topics, .. }, SinkKind::Kafka { .. }) => sink.topics().any(|topic| topics.select(topic)),
        (SourceKind::File { path, .. }, SinkKind::File { path: other, .. }) => plain(path) == plain(other),
        _ => false,
    }
}

/// Whether both may write one topic, by its name or by their routes: then either of them may be the one that makes it.
fn share_topic(one: &SinkKind, other: &SinkKind) -> bool {
    one.topics().any(|topic| other.topics().any(|name| name == topic))
}

fn is_one_place(one: &SinkKind, other: &SinkKind) -> bool {
    match (one, other) {
        (SinkKind::Stdout { .. }, SinkKind::Stdout { .. }) => true,
        (SinkKind::File { path: one, .. }, SinkKind::File { path: other, .. }) => plain(one) == plain(other),
        _ => false,
    }
}

impl Topics {
    /// Whether a topic is among them.
    fn select(&self, topic: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name == topic),
            // Checked before; the whole name must match.
            Self::Pattern(pattern) => {
                regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(topic))
            }
        }
    }
}
