//! What an instance of an operator is told of its task when it is opened.

use weir_core::ports::Operator;
use weir_core::{JobName, PortError, ShardId};

use crate::job::OperatorSetup;

impl OperatorSetup {
    /// Opens an instance as the job's first task will, and drops it: whatever the plugin has against its configuration
    /// is known before anything starts. It will have so many `tasks`.
    pub fn check(&self, job: &JobName, shard: ShardId, tasks: u16) -> Result<(), PortError> {
        self.factory.check(&self.about(job, shard, (0, tasks)), &self.config)
    }

    /// Opens the instance of each of so many `tasks`.
    pub(crate) fn open_all(
        &self,
        job: &JobName,
        shard: ShardId,
        tasks: u16,
    ) -> Result<Vec<Box<dyn Operator>>, PortError> {
        (0..tasks).map(|task| self.open(job, shard, (task, tasks))).collect()
    }

    /// Opens the instance of a task: which one, and of how many.
    pub fn open(&self, job: &JobName, shard: ShardId, task: (u16, u16)) -> Result<Box<dyn Operator>, PortError> {
        self.factory.instantiate(&self.about(job, shard, task), &self.config)
    }

    /// The task, of so many, as JSON.
    fn about(&self, job: &JobName, shard: ShardId, (index, tasks): (u16, u16)) -> String {
        let operator = quoted(&self.name);
        format!(r#"{{"job":"{job}","shard":{shard},"operator":{operator},"index":{index},"parallelism":{tasks}}}"#)
    }
}

/// A JSON string. Operator names come from the user's file.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
