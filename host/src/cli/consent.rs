//! The flags that give leave: what a start may do with state that its pipeline does not use as it is recorded.

use weir_core::{Consent, Rename, StateName};

/// Said of state that does not fit; of what fits they say nothing, and may stay in the command line.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ConsentArgs {
    /// Go on without this state, if the pipeline does not use it or would misread it; repeat it for more
    #[arg(long, value_name = "OPERATOR[.TABLE]")]
    drop_state: Vec<StateName>,
    /// Read this state as it is, though the plugin declares another schema for it or the key is another one
    #[arg(long, value_name = "OPERATOR[.TABLE]")]
    keep_state: Vec<StateName>,
    /// This state has another name now: an operator (old=new), or a table of one (operator.old=.new)
    #[arg(long, value_name = "OLD=NEW")]
    rename_state: Vec<Rename>,
    /// Go on without this topic (or file, or generator), if the pipeline does not read it any more
    #[arg(long, value_name = "TOPIC")]
    drop_source: Vec<String>,
}

impl From<ConsentArgs> for Consent {
    fn from(args: ConsentArgs) -> Self {
        let ConsentArgs { drop_state, keep_state, rename_state, drop_source } = args;
        Self { drop: drop_state, keep: keep_state, rename: rename_state, drop_sources: drop_source }
    }
}
