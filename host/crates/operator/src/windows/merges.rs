//! HOT PATH. Accumulators that become part of others. The first of those that become one is moved there as it is; only what
//! comes behind it is the plugin's to merge.

use weir_core::ports::{Change, KeyedState};
use weir_core::{Batch, FrameWriter, Origin, PortError, RecordView};
use weir_time::Window;

use super::WindowTables;
use super::names::Names;

/// What the plugin is to merge, in order.
pub(crate) struct Merges {
    /// What each is merged into.
    names: Names,
    list: FrameWriter,
}

impl Default for Merges {
    fn default() -> Self {
        Self { names: Names::default(), list: FrameWriter::new(Vec::new()) }
    }
}

impl Merges {
    /// These accumulators of `key`, in order of time, become that of the window `into`, which is `slot` of what is entered.
    pub(super) fn add<'a>(
        &mut self,
        accumulators: impl IntoIterator<Item = &'a [u8]>,
        (key, into, slot): (&[u8], Window, u32),
        tables: WindowTables,
        state: &mut dyn KeyedState,
    ) -> Result<(), PortError> {
        let mut accumulators = accumulators.into_iter();
        let Some(first) = accumulators.next() else { return Ok(()) };
        state.change(slot, tables.accumulators, Change::Set(first))?;
        for accumulator in accumulators {
            self.names.push(key, into);
            self.list.push(RecordView {
                timestamp_ms: into.timestamp_ms(),
                source: self.list.len() as u32,
                key: Some(key),
                value: Some(accumulator),
                headers: &[],
            });
        }
        Ok(())
    }

    /// As the plugin is given them, with their names.
    pub(super) fn into_batch(self) -> (Names, Batch) {
        let origins = vec![Origin::NONE; self.list.len()];
        (self.names, Batch { frame: self.list.finish(), origins })
    }
}
