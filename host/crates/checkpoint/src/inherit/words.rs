//! What a start says it did with recorded state, and why there is no start: old, new, and the flag that says it is
//! meant.

use std::fmt;

use weir_core::ports::{TableKind, TimeDomain};
use weir_core::{Digest, Fault, KeySpec, Rename, StateName};

/// What was done with the user's leave, or what was left alone in spite of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// This state is forgotten.
    Dropped(StateName),
    /// This state is read although its schema or its key changed.
    Kept(StateName),
    /// State has a new name.
    Renamed(Rename),
    /// This source is not read any more.
    SourceDropped(String),
    /// Everything fits without it.
    NotNeeded {
        /// The flag.
        flag: &'static str,
        /// Its value.
        name: String,
    },
}

impl Note {
    /// Whether something is given up.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Dropped(_) | Self::SourceDropped(_))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped(name) => write!(f, "the state of {name} is dropped, as --drop-state says"),
            Self::Kept(name) => write!(f, "the state of {name} is kept as it is, as --keep-state says"),
            Self::Renamed(rename) => write!(f, "state is renamed: {rename}"),
            Self::SourceDropped(name) => write!(f, "{name} is not read any more, as --drop-source says"),
            Self::NotNeeded { flag, name } => write!(f, "{flag} {name} has nothing to do: what is recorded fits"),
        }
    }
}

/// Why the pipeline cannot go on with the recorded state as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// An operator with state is not there any more.
    #[error(
        "operator {operator:?} has state (table {}), and this pipeline has no operator of that name; {}give \
         --drop-state {operator} to go on without it", .tables.join(", "), rename_cure(operator, "", .heirs)
    )]
    Operator {
        /// The operator.
        operator: String,
        /// What it has.
        tables: Vec<String>,
        /// Operators of the pipeline that declare tables and have no state.
        heirs: Vec<String>,
    },
    /// A table is not there any more.
    #[error(
        "table {table:?} of operator {operator:?} has state, and the plugin declares no such table any more; {}give \
         --drop-state {operator}.{table} to go on without it",
        rename_cure(&format!("{operator}.{table}"), ".", .heirs)
    )]
    Table {
        /// The operator.
        operator: String,
        /// The table.
        table: String,
        /// Tables that the plugin declares and that have no state.
        heirs: Vec<String>,
    },
    /// A table is of another kind.
    #[error(
        "table {table:?} of operator {operator:?} was kept as {was} and is now declared as {now}, which cannot read it; \
         run the earlier plugin, or give --drop-state {operator}.{table} to go on without it"
    )]
    Kind {
        /// The operator.
        operator: String,
        /// The table.
        table: String,
        /// As the state has it.
        was: TableKind,
        /// As the plugin declares it.
        now: TableKind,
    },
    /// The values of a table expire by another time, or do so at all only before or now.
    #[error(
        "table {table:?} of operator {operator:?} was kept with values that {}, and now they {}: each has its time before it \
         where it expires, so that one kind cannot be read as the other; give it the ttl that it had (operators.{operator}.ttl; \
         how long may change), or --drop-state {operator}.{table} to go on without it", expire(*.was), expire(*.now)
    )]
    Expires {
        /// The operator.
        operator: String,
        /// The table.
        table: String,
        /// As the state has it.
        was: Option<TimeDomain>,
        /// As it is declared.
        now: Option<TimeDomain>,
    },
    /// The values of a table are of another schema.
    #[error(
        "table {table:?} of operator {operator:?} holds values of schema {was:?}, and the plugin now declares {now:?}; \
         give --keep-state {operator}.{table} if it reads the old ones too, or --drop-state {operator}.{table} to go on \
         without them"
    )]
    Schema {
        /// The operator.
        operator: String,
        /// The table.
        table: String,
        /// As recorded.
        was: String,
        /// As declared.
        now: String,
    },
    /// The state is keyed by something else.
    #[error(
        "the state of operator {operator:?} is keyed by {was}, and this pipeline keys it by {now}: it would not be found \
         again; run it with --key {was}, or give --drop-state {operator} to go on without it (--keep-state {operator} \
         if both are the same for every record)"
    )]
    Key {
        /// The operator.
        operator: String,
        /// As recorded.
        was: KeySpec,
        /// As in the pipeline.
        now: KeySpec,
    },
    /// What took over from the file while the job ran is not there any more.
    #[error(
        "operator {operator:?} was running version {version} ({digest}), which took over while the job ran, and its file is \
         not in the state directory any more; put it back as plugins/{digest}.wasm, or start with that file as the \
         operator's plugin"
    )]
    Version {
        /// The operator.
        operator: String,
        /// The version of its plugin.
        version: String,
        /// Digest of its file.
        digest: Digest,
    },
    /// A rename to a name that the pipeline does not have.
    #[error(
        "--rename-state {0}: this pipeline has nothing of the new name; write it as the pipeline or the plugin has it"
    )]
    NoSuchName(Rename),
    /// A rename of what the pipeline has under the old name.
    #[error(
        "--rename-state {0}: this pipeline still uses the old name, so the state belongs there; leave the flag out"
    )]
    StillUsed(Rename),
    /// Both names have state.
    #[error(
        "--rename-state {rename}: {target} has state of its own; give --drop-state {target} as well to replace it, or \
         leave the flag out"
    )]
    Taken {
        /// The rename.
        rename: Rename,
        /// What has state under the new name.
        target: StateName,
    },
    /// More than there are numbers.
    #[error(
        "a job has at most 65535 operators, an operator 65535 tables, those that are gone included; start a new job"
    )]
    TooMany,
}

impl Misfit {
    /// Whether `--keep-state` may be meant.
    pub(super) fn may_be_kept(&self) -> bool {
        matches!(self, Self::Schema { .. })
    }

    /// Names the operators that could have been meant.
    pub(super) fn name_heirs(&mut self, without_state: &[String]) {
        if let Self::Operator { heirs, .. } = self {
            *heirs = without_state.to_vec();
        }
    }

    fn is_usage(&self) -> bool {
        matches!(self, Self::NoSuchName(_) | Self::StillUsed(_))
    }
}

fn expire(by: Option<TimeDomain>) -> &'static str {
    match by {
        Some(TimeDomain::Event) => "expire by event time",
        Some(TimeDomain::Processing) => "expire by processing time",
        None => "stay",
    }
}

fn rename_cure(old: &str, dot: &str, heirs: &[String]) -> String {
    match heirs {
        [] => String::new(),
        [heir] => format!("give --rename-state {old}={dot}{heir} if that is the same one under a new name, or "),
        several => {
            format!("give --rename-state {old}={dot}NEW if it is one of {} under a new name, or ", several.join(", "))
        }
    }
}

/// Everything that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch(pub Vec<Misfit>);

impl Mismatch {
    /// Who must act: words that mean nothing here are wrong usage; all else is state that would be lost or misread.
    pub fn fault(&self) -> Fault {
        if self.0.iter().all(Misfit::is_usage) { Fault::Config } else { Fault::Corrupt }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, misfit) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "; also, " };
            write!(f, "{between}{misfit}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mismatch {}
