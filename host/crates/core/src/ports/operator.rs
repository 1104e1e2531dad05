//! What runs a plugin (or native code) on a batch.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::PortError;
use crate::frame::Frame;
use crate::ids::Digest;
use crate::ports::{CallState, Ttl, Unfit, Unreduced};
use crate::watermark::Watermark;

/// One call: a frame, and the state of its keys.
#[derive(Debug)]
pub struct Call<'a> {
    /// What the plugin is to do.
    pub task: CallTask,
    /// The records; `source` of each is its own index. For [`CallTask::Timers`] and [`CallTask::Finish`] a due list: a record
    /// for each timer or window; for [`CallTask::Merge`] a record for each accumulator that is merged into another.
    pub frame: &'a Frame,
    /// Index of each record's distinct key in this batch, or of its key and window; [`crate::frame::NULL`] for a null
    /// key.
    pub slots: &'a [u32],
    /// For each slot, for each prefetched table in order: `len:u32, bytes`; [`crate::frame::NULL`] = absent.
    pub values: &'a [u8],
    /// Processing time as the call begins, in milliseconds since 1970.
    pub now_ms: i64,
    /// How far event time has come.
    pub watermark: Watermark,
    /// The other tables, to be read while the call runs; `None` for an operator without tables. Whoever takes it for the
    /// time of the call puts it back.
    pub state: &'a mut Option<CallState>,
}

/// Which function of the plugin a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTask {
    /// `operator.process`, of what came in by this input.
    Process(u32),
    /// `timers.on-timers`: timers that are due.
    Timers,
    /// `aggregate.fold`: the records, which came in by this input, into the accumulators of their windows.
    Fold(u32),
    /// `aggregate.merge`: accumulators, which the records are, become part of others.
    Merge,
    /// `aggregate.finish`: windows that fire become output.
    Finish,
}

/// Which time something goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeDomain {
    /// That of the records: a watermark says how far it has come.
    Event,
    /// That of the clock on the wall.
    Processing,
}

/// Which interface a plugin exports, and so what a node may ask of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `operator`: records become records.
    Operator,
    /// `aggregate`: records become accumulators of windows, and these become records.
    Aggregate,
}

/// What a call wants to happen. It happens only if the call returned `Ok`.
#[derive(Debug, Default)]
pub struct Effects {
    /// (output, records), in order of emission. Checked.
    pub outputs: Vec<(u32, Frame)>,
    /// `{op:u8, table:u32, slot:u32, len:u32, bytes}*`, as the guest returned them: the engine checks them. Records that
    /// the plugin rejects are among them.
    pub updates: Vec<u8>,
}

impl Effects {
    /// Empties it for the next call.
    pub fn clear(&mut self) {
        self.outputs.clear();
        self.updates.clear();
    }
}

/// Why a call did not succeed. Its effects are dropped, and so is the instance, unless it returned a failure of a record
/// that was alone in its call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The plugin returned a failure.
    #[error("plugin returned failure {code}: {message}")]
    Failed {
        /// The record of the batch at fault, where the plugin knows.
        index: Option<u32>,
        /// The plugin's own number for it.
        code: u32,
        /// The plugin's own words.
        message: String,
    },
    /// The plugin trapped: a panic (its message and place are in `message`), an unreachable, an overflow of its stack.
    #[error("plugin trapped: {message}")]
    Trapped {
        /// What is known of it.
        message: String,
    },
    /// The call took longer than its deadline.
    #[error("plugin call exceeded its deadline of {limit_ms} ms, which limits.call-deadline (--call-deadline) sets")]
    Deadline {
        /// The deadline.
        limit_ms: u64,
    },
    /// The plugin wanted more memory than its limit.
    #[error(
        "plugin needs more than its memory limit of {limit_bytes} bytes, which limits.memory (--memory-limit) sets"
    )]
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// An output record is one that a sink it goes to does not take.
    #[error("{unfit}")]
    Unfit {
        /// The record of the batch that it was made from.
        index: u32,
        /// Why.
        unfit: Box<Unfit>,
    },
    /// A record that no window holds.
    #[error("the record is in no window: {0}")]
    NoWindow(String),
    /// What it merged into a reducing table.
    #[error("the merge into table {table}: {why}")]
    Unreduced {
        /// Index of the table in the plugin's description.
        table: u32,
        /// Why.
        why: Unreduced,
    },
    /// What the plugin handed over is malformed.
    #[error("plugin handed over malformed {what}: {reason}")]
    Malformed {
        /// `frame`, `updates`, or `read`: what it asked of its state.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Not the plugin's doing.
    #[error(transparent)]
    Host(#[from] PortError),
}

impl CallError {
    /// The record of the batch at fault, where it is known.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Failed { index, .. } => index.map(|index| index as usize),
            Self::Unfit { index, .. } => Some(*index as usize),
            Self::Trapped { .. }
            | Self::Deadline { .. }
            | Self::Memory { .. }
            | Self::NoWindow(_)
            | Self::Unreduced { .. }
            | Self::Malformed { .. }
            | Self::Host(_) => None,
        }
    }
}

/// One running instance on one task's thread. It keeps no state of its own that matters: after an error the adapter
/// drops what it had and makes a new instance on the next call. Nothing sees a record twice, so that what an instance
/// remembers is what has happened: only a failure of a record alone, which is never called again, leaves it running.
pub trait Operator: Send {
    /// Processes one batch; fills `effects` (cleared by the caller).
    fn process(&mut self, call: Call<'_>, effects: &mut Effects) -> Result<(), CallError>;

    /// Drops what runs: the engine refused what it handed over. Native code without an instance has nothing to do.
    fn discard(&mut self) {}
}

/// A compiled plugin, ready to be instantiated in any task.
pub trait OperatorFactory: Send + Sync {
    /// What the plugin says of itself.
    fn description(&self) -> &PluginDescription;

    /// Which interface it exports.
    fn role(&self) -> Role {
        Role::Operator
    }

    /// Digest of the plugin's file.
    fn digest(&self) -> &Digest;

    /// A new instance, opened. `task` and `config` are JSON. A plugin that fails or traps in `open` is `Fault::User`.
    fn instantiate(&self, task: &str, config: &str) -> Result<Box<dyn Operator>, PortError>;

    /// Whether an instance opens, before anything has started. Nothing outside of the instance may show that one did.
    fn check(&self, task: &str, config: &str) -> Result<(), PortError> {
        self.instantiate(task, config).map(drop)
    }
}

/// What `describe` returns, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginDescription {
    /// The plugin's name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// Names of its inputs; one when left out.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// Those of its inputs whose records go to all of its tasks, and change its broadcast tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broadcast: Vec<String>,
    /// Names of its outputs; one when left out.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// Its keyed tables.
    #[serde(default)]
    pub tables: Vec<TableDescription>,
    /// True when it wants `weir.origin.*` headers.
    #[serde(default)]
    pub origin: bool,
    /// True when it may route records by `weir.route.*` headers.
    #[serde(default)]
    pub routes: bool,
    /// The windows of an aggregate where the pipeline names none, as `--window` takes them; empty is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub window: String,
}

impl PluginDescription {
    /// How many outputs it has: one unnamed when it names none.
    pub fn output_count(&self) -> u32 {
        // At most a few hundred, or it is refused.
        self.outputs.len().max(1) as u32
    }

    /// The indices of the inputs whose records go to all of its tasks.
    pub fn broadcast_inputs(&self) -> Vec<u32> {
        let numbered = (0..).zip(&self.inputs);
        numbered.filter(|(_, input)| self.broadcast.contains(input)).map(|(index, _)| index).collect()
    }

    /// Whether it folds the records of windows: only such a plugin has a table of them.
    pub fn is_aggregate(&self) -> bool {
        self.tables.iter().any(|table| table.kind == TableKind::Window)
    }
}

/// One keyed table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TableDescription {
    /// Unique within the plugin; state is found again by it.
    pub name: String,
    /// What it holds.
    pub kind: TableKind,
    /// Version or schema of the values, in the plugin's own words; empty says nothing about them.
    #[serde(default)]
    pub schema: String,
    /// Whether a call is given what its keys have in a table of kind `reducing`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefetch: bool,
    /// How long what is written stays; for ever when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
}

impl TableDescription {
    /// Whether a call is given what its keys have.
    pub fn is_prefetched(&self) -> bool {
        self.prefetch || matches!(self.kind, TableKind::Value | TableKind::Window)
    }
}

/// The name of the table of an aggregate that the host adds: when its windows are due.
pub const WINDOW_TIMERS: &str = "window-timers";

/// The name of a table of an aggregate that the host adds, where windows fire early: of which of them there is news, and the
/// moment that they wait for.
pub const WINDOW_NEWS: &str = "window-news";

/// The name of a table of an aggregate that the host adds, where a key has a list of its windows: these lists. Each is kept
/// under its key and all of time.
pub const WINDOW_LISTS: &str = "window-lists";

/// The name of the output of an aggregate that the host adds, behind the plugin's own: records whose windows are gone.
pub const LATE: &str = "late";

/// The name of the output that the host adds, behind all others, where an operator has a topic for records that it fails on.
/// There its plugin has no output named so.
pub const DEAD_LETTER: &str = "dead-letter";

/// The kinds of tables this host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// One value per key, prefetched.
    Value,
    /// One number per key, which the host combines with what is merged into it.
    Reducing,
    /// Values in the order in which they were appended.
    List,
    /// Values under keys of their own, in the order of these.
    Map,
    /// The same, and not for each key but once: every task has all of it.
    Broadcast,
    /// When a key's timers are due, in event time. One table of a plugin that exports `timers`.
    Timer,
    /// The same in processing time. One more.
    ProcessingTimer,
    /// The accumulator of a key's window, prefetched. A slot is a key and a window.
    Window,
    /// When a key's windows are due. The host's own.
    WindowTimer,
}

impl TableKind {
    /// Whether a key has one value at most.
    pub fn has_one_value(self) -> bool {
        match self {
            Self::Value | Self::Reducing | Self::Window => true,
            Self::List | Self::Map | Self::Broadcast | Self::Timer | Self::ProcessingTimer | Self::WindowTimer => false,
        }
    }

    /// Whether what is written can be made to expire.
    pub fn can_expire(self) -> bool {
        match self {
            Self::Value | Self::Reducing | Self::List | Self::Map => true,
            Self::Broadcast | Self::Timer | Self::ProcessingTimer | Self::Window | Self::WindowTimer => false,
        }
    }

    /// Whether its entries are times, in their order.
    pub fn is_timer(self) -> bool {
        match self {
            Self::Timer | Self::ProcessingTimer | Self::WindowTimer => true,
            Self::Value | Self::Reducing | Self::List | Self::Map | Self::Broadcast | Self::Window => false,
        }
    }

    /// Of which time the timers are that a plugin sets in it; `None` for what is no table of such.
    pub fn timers_of(self) -> Option<TimeDomain> {
        match self {
            Self::Timer => Some(TimeDomain::Event),
            Self::ProcessingTimer => Some(TimeDomain::Processing),
            Self::Value | Self::Reducing | Self::List | Self::Map | Self::Broadcast => None,
            Self::Window | Self::WindowTimer => None,
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "value",
            Self::Reducing => "reducing",
            Self::List => "list",
            Self::Map => "map",
            Self::Broadcast => "broadcast",
            Self::Timer => "timer",
            Self::ProcessingTimer => "processing-timer",
            Self::Window => "window",
            Self::WindowTimer => "window-timer",
        })
    }
}
