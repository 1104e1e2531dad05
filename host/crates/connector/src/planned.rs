//! Sources and sinks, checked and ready to be opened: everything that the rest asks of them.

use std::any::Any;
use std::fmt::Debug;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_core::ports::{Committed, Sink, SinkConnector, SourceConnector};
use weir_core::{Delivery, JobName, KeySpec, PortError, ShardId, SplitId, Start, Until};

/// A source, checked.
pub trait PlannedSource: Debug + Send + Sync {
    /// What it is, in sentences: `a file`.
    fn noun(&self) -> &'static str;

    /// What is read, for people: kind and name.
    fn words(&self) -> String;

    /// Its part of the name of a job that was given none.
    fn name(&self) -> String;

    /// What else a plan shows of it: a word and a text each. What is the default goes without saying.
    fn details(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What can be done with it.
    fn abilities(&self) -> Abilities;

    /// The rest of "an operator keeps state by `key`, and ..", where no record has one.
    fn lacks(&self, key: &KeySpec) -> Option<&'static str> {
        let _has_all = key;
        None
    }

    /// Where it is on this machine, if it is a file or may be one.
    fn place(&self) -> Option<Place<'_>> {
        None
    }

    /// Makes what opens its readers. Checks the options as far as that needs nothing outside.
    fn open(&self, job: &JobFacts, range: &Range) -> Result<Arc<dyn SourceConnector>, PortError>;
}

/// What can be done with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// What was read can be read again. What cannot leaves no position that the next run could use.
    pub replays: bool,
    /// It ends by itself.
    pub ends: bool,
    /// Its positions are committed in the cluster that it is of, and can carry the marker.
    pub commits_positions: bool,
    /// It has several splits, of which one may run ahead of another.
    pub splits: bool,
    /// Its records have a time of their own.
    pub times: bool,
    /// Its records have headers.
    pub headers: bool,
    /// Why nobody can say an offset for each of its splits, where its start and its end may be chosen; `None`: that can be said.
    pub no_offsets: Option<&'static str>,
    /// Why nobody can choose where its reading starts and ends, and how fast it is; `None`: that can be chosen.
    pub fixed: Option<Fixed>,
}

/// A source that is read in one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// Where it ends, or how that is chosen.
    pub ends: &'static str,
    /// Whether that is the end that it has when the job starts, and may be said so.
    pub ends_at_latest: bool,
    /// How its pace is chosen, or why it has none.
    pub pace: &'static str,
}

impl Fixed {
    /// The pace of a source that has none of its own.
    pub const NO_PACE: &'static str = "it is read as fast as the job goes; leave it out";
}

/// Which part of a source is read, and how.
#[derive(Debug, Clone)]
pub struct Range {
    /// Where a first start begins.
    pub start: Start,
    /// Where it ends.
    pub until: Option<Until>,
    /// Records per second of a split, at most.
    pub max_rate: Option<NonZeroU64>,
    /// How often new splits are looked for.
    pub discovery_interval: Duration,
    /// Whether a split may be held back while others are read.
    pub holds: bool,
}

/// The job that something is opened for.
#[derive(Debug, Clone)]
pub struct JobFacts {
    /// Its name.
    pub name: JobName,
    /// The shard.
    pub shard: ShardId,
    /// What it promises.
    pub delivery: Delivery,
    /// How long what is not committed may be kept open outside.
    pub commit_within: Duration,
}

/// Where a node is on this machine. Whether two are one place, only a look at the machine tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A file.
    File(&'a Path),
    /// Whatever standard input is.
    Stdin,
    /// Whatever standard output is.
    Stdout,
}

/// A sink, checked.
pub trait PlannedSink: Debug + Send + Sync {
    /// What is written, for people: kind and name.
    fn words(&self) -> String;

    /// Its part of the name of a job that was given none.
    fn name(&self) -> String;

    /// Where it writes, for people and metrics.
    fn target(&self) -> String;

    /// What else a plan shows of it: a word and a text each. What is the default goes without saying.
    fn details(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The key below the sink that lets records choose among several targets, where it does.
    fn routes(&self) -> Option<&'static str> {
        None
    }

    /// Where it is on this machine, if it is a file or may be one.
    fn place(&self) -> Option<Place<'_>> {
        None
    }

    /// Opens it for one attempt; `None`: its cluster does, for all its sinks at once ([`Cluster::sinks`]).
    fn open(&self) -> Result<Option<Box<dyn Sink>>, PortError>;
}

/// What commits for a job: the output of its sinks, and the positions of its sources with the marker beside them. A job has
/// one at most, also where only its sources, or only its sinks, are of it.
pub trait Cluster: Any + Debug + Send + Sync {
    /// What it is called in a plan.
    fn key(&self) -> &'static str;

    /// What it is called in sentences.
    fn title(&self) -> &'static str;

    /// Where it is, as the user says it.
    fn address(&self) -> &str;

    /// Whether missing targets are created.
    fn creates(&self) -> bool;

    /// Where the marker stands if no source has its positions committed; `None`: nowhere.
    fn home(&self) -> Option<SplitId>;

    /// The name under which it keeps what the job commits: what rights are given to.
    fn group(&self, job: &JobFacts) -> String;

    /// Makes what looks around there beside the job. Touches nothing outside.
    fn lookout(&self, job: &JobFacts) -> Result<Arc<dyn Lookout>, PortError>;

    /// Makes what opens its sinks, in the order of the pipeline, reads the marker and commits. Touches nothing outside.
    fn sinks(&self, job: &JobFacts) -> Result<Arc<dyn SinkConnector>, PortError>;
}

/// Looks around in a cluster beside a job. For the eye only: the job needs nothing of what is found. Every call may block, on a
/// thread that nobody waits for.
pub trait Lookout: Send + Sync {
    /// What other jobs have committed there, by name; of so many as can be asked in a moment.
    fn others(&self) -> Result<Vec<(String, Vec<Committed>)>, PortError>;

    /// Settings that work against what the job promises.
    fn examine(&self) -> Result<Findings, PortError>;

    /// The targets of the job that are others than at the last look, under the same names; none at the first.
    fn replaced(&self) -> Result<Vec<String>, PortError>;
}

/// What was found out about a cluster.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Each setting that should be another: what it is, what it does to the job, what it should be.
    pub advice: Vec<String>,
    /// What may not be seen.
    pub unseen: Vec<String>,
    /// It is a single machine, which nobody takes for one that lasts.
    pub is_alone: bool,
}

impl dyn Cluster {
    /// The cluster as what it is; `None` where it is another's. For tests, which break rules inside of it.
    pub fn of<T: Cluster>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
