//! An epoch log that survives its process.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use weir_core::ports::*;
use weir_core::*;

use super::{Hang, World};

struct Record {
    id: RecordId,
    plan: Bytes,
    manifest: Bytes,
    deltas: Vec<Delta>,
}

/// A log that survives its process: clones share it.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog {
    shared: Arc<Mutex<Vec<Record>>>,
    seen: Vec<RecordId>,
    plan: Bytes,
    /// Whose disk it is on.
    world: Option<Arc<World>>,
}

impl MemoryLog {
    /// On the disk of `world`.
    pub(crate) fn on(world: &Arc<World>) -> Self {
        Self { world: Some(Arc::clone(world)), ..Self::default() }
    }

    /// As the next process reads it.
    pub(crate) fn reopened(mut self) -> Self {
        self.look();
        self
    }

    fn look(&mut self) {
        self.seen = self.shared.lock().unwrap().iter().map(|record| record.id.clone()).collect();
    }
}

impl EpochLog for MemoryLog {
    fn records(&self) -> &[RecordId] {
        &self.seen
    }
    fn manifest(&self, index: usize) -> Result<Bytes, PortError> {
        Ok(self.shared.lock().unwrap()[index].manifest.clone())
    }
    fn plan(&self, index: usize) -> Result<Bytes, PortError> {
        Ok(self.shared.lock().unwrap()[index].plan.clone())
    }
    fn set_plan(&mut self, plan: &Bytes) {
        self.plan = plan.clone();
    }
    fn append(&mut self, epoch: Epoch, manifest: &[u8], deltas: &[Delta], _: bool) -> Result<(), PortError> {
        if let Some(world) = &self.world {
            world.pass(Hang::Log);
        }
        let (plan, manifest) = (self.plan.clone(), Bytes::copy_from_slice(manifest));
        let mut reader = weir_checkpoint::manifest::Reader::default();
        let read = reader.read(&manifest, || Ok::<_, weir_checkpoint::manifest::Error>(plan.clone()));
        let (_, digest) = read.expect("a manifest and its plan");
        let (id, deltas) = (RecordId { epoch, digest }, deltas.to_vec());
        self.shared.lock().unwrap().push(Record { id, plan, manifest, deltas });
        self.look();
        Ok(())
    }
    fn cut_after(&mut self, index: usize) -> Result<(), PortError> {
        self.shared.lock().unwrap().truncate(index + 1);
        self.look();
        Ok(())
    }
    fn replace(&mut self, epoch: Epoch, manifest: &[u8]) -> Result<(), PortError> {
        self.shared.lock().unwrap().clear();
        self.append(epoch, manifest, &[], true)
    }
    fn replay(
        &self,
        applied: Option<&RecordId>,
        index: usize,
        each: &mut dyn FnMut(&RecordId, Delta) -> Result<(), PortError>,
    ) -> Result<(), PortError> {
        let records = self.shared.lock().unwrap();
        let find = |applied: &RecordId| records.iter().position(|record| record.id == *applied);
        let done = applied.map_or(0, |applied| find(applied).expect("the store holds a record of its log") + 1);
        for Record { id, deltas, .. } in records.iter().take(index + 1).skip(done) {
            let payload: Vec<u8> = deltas.iter().flat_map(|d| d.payload.to_vec()).collect();
            each(id, Delta { entries: 0, payload: payload.into() })?;
        }
        Ok(())
    }
    fn trim(&mut self, durable: Epoch) -> Result<(), PortError> {
        let mut records = self.shared.lock().unwrap();
        let keep = records.iter().position(|record| record.id.epoch >= durable).unwrap_or(records.len());
        let keep = keep.min(records.len().saturating_sub(1));
        records.drain(..keep);
        drop(records);
        self.look();
        Ok(())
    }
    fn bytes(&self) -> u64 {
        0
    }
}
