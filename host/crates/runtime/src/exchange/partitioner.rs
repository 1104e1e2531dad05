//! HOT PATH. Which task a record goes to: by key group, so that a key is always with the task that has its state.

use weir_core::key_group::{KeyGroup, key_hash};
use weir_core::{Batch, FrameWriter, KeySpec, Origin};
use weir_operator::key_of;

/// Splits batches over the tasks of one operator.
pub(crate) struct Partitioner {
    key: KeySpec,
    writers: Vec<(FrameWriter, Vec<Origin>)>,
}

impl Partitioner {
    /// For `tasks` tasks of an operator that is keyed by `key`.
    pub(crate) fn new(key: KeySpec, tasks: u16) -> Self {
        let writers = (0..tasks).map(|_| (FrameWriter::new(Vec::new()), Vec::new())).collect();
        Self { key, writers }
    }

    /// The parts of `batch`, as (task, part); order within a key is kept.
    pub(crate) fn split(&mut self, batch: &Batch) -> Vec<(usize, Batch)> {
        let tasks = self.writers.len() as u16;
        for (mut record, origin) in batch.frame.records().zip(&batch.origins) {
            // A record without a key has no state: its split decides, so that its order is kept too.
            let task = match key_of(&record, &self.key) {
                Some(key) => KeyGroup::of_hash(key_hash(key)).task_of(tasks),
                None => (origin.source.wrapping_add(origin.split) % u32::from(tasks)) as u16,
            };
            if let Some((writer, origins)) = self.writers.get_mut(usize::from(task)) {
                record.source = writer.len() as u32;
                writer.push(record);
                origins.push(*origin);
            }
        }
        let mut parts = Vec::with_capacity(self.writers.len());
        for (task, (writer, origins)) in self.writers.iter_mut().enumerate() {
            if !writer.is_empty() {
                // The next part is likely to be as large: grown from nothing it would be copied about once more.
                let (bytes, records) = (writer.bytes(), origins.len());
                let next = FrameWriter::new(Vec::with_capacity(bytes));
                let frame = std::mem::replace(writer, next).finish();
                parts.push((task, Batch { frame, origins: std::mem::replace(origins, Vec::with_capacity(records)) }));
            }
        }
        parts
    }
}
