//! What is read: splits of generated records, with identity and verification.

use std::sync::Arc;
use std::time::Duration;

use weir_core::ports::*;
use weir_core::*;

use super::{Hang, Verifications, World};

/// One of its sources.
pub(super) struct Source {
    pub(super) world: Arc<World>,
    pub(super) topic: String,
}

impl Source {
    fn splits(&self) -> Vec<SplitState> {
        let position = self.world.lock().begin;
        let end = Some(self.world.limit_of(&self.topic));
        let split = |partition| SplitId::new(self.topic.as_str(), partition);
        let state = |p| SplitState { split: split(p), position, end, identity: Some("id".into()), term: None };
        let is_hidden =
            self.world.lock().hidden.as_ref().is_some_and(|(topic, looks)| *topic == self.topic && *looks > 0);
        let partitions = if is_hidden { 0 } else { self.world.partitions };
        (0..partitions).map(state).collect()
    }
}

impl SourceConnector for Source {
    fn discover(&self) -> Result<Vec<SplitState>, PortError> {
        self.world.pass(Hang::Discover);
        let mut splits = self.splits();
        // No bound is resolved by a look.
        splits.iter_mut().for_each(|split| split.end = None);
        if let Some((topic, looks)) = &mut self.world.lock().hidden {
            *looks -= u32::from(*topic == self.topic && *looks > 0);
        }
        Ok(splits)
    }
    fn resolve(&self) -> Result<Vec<SplitState>, PortError> {
        Ok(self.splits())
    }
    fn start(&self) -> String {
        format!("from {}", self.world.lock().begin)
    }
    fn resume(&self, mut splits: Vec<SplitState>) -> Result<Vec<SplitState>, PortError> {
        if splits.is_empty() {
            // What appeared meanwhile is read from its beginning.
            splits = self.splits().into_iter().map(|split| SplitState { position: 0, ..split }).collect();
        }
        splits.iter_mut().for_each(|s| s.end = Some(self.world.limit_of(&self.topic)));
        Ok(splits)
    }
    fn recognise(&self, split: &SplitId) -> Option<SplitId> {
        (*split.stream == *self.topic).then(|| split.clone())
    }
    fn open(&self, splits: Vec<SplitState>) -> Result<Box<dyn SourceReader>, PortError> {
        self.world.pass(Hang::OpenSource);
        // Opening verifies where the splits stand.
        self.world.verify(&splits);
        let (verified, alive) = (Arc::clone(&self.world.verified), Arc::default());
        let world = Arc::clone(&self.world);
        Ok(Box::new(Reader { splits, keys: self.world.keys, next: 0, world, verified, alive }))
    }
    fn is_replayable(&self) -> bool {
        true
    }
    fn may_find_nothing(&self) -> bool {
        self.world.lock().hidden.as_ref().is_some_and(|(topic, _)| *topic == self.topic)
    }
    fn is_bounded(&self) -> bool {
        self.world.lock().endless.as_ref() != Some(&self.topic)
    }
}

struct Reader {
    splits: Vec<SplitState>,
    keys: i64,
    next: usize,
    world: Arc<World>,
    verified: Verifications,
    /// Nobody else keeps it alive.
    alive: Arc<()>,
}

impl SourceReader for Reader {
    fn poll(&mut self, _: Duration) -> Result<Poll, PortError> {
        // Slow enough for a few epochs.
        std::thread::sleep(Duration::from_micros(300));
        let paused = self.world.lock().paused.clone();
        let mut is_paused = false;
        for _ in 0..self.splits.len() {
            self.next = (self.next + 1) % self.splits.len();
            let split = &mut self.splits[self.next];
            if split.is_finished() {
                continue;
            }
            let pause =
                paused.as_ref().filter(|(topic, _)| *split.split.stream == **topic).map_or(i64::MAX, |(_, at)| *at);
            if split.position >= pause {
                is_paused = true;
                continue;
            }
            let mut writer = FrameWriter::new(Vec::new());
            let mut origins = Vec::new();
            for offset in split.position..(split.position + 37).min(split.end.unwrap()).min(pause) {
                let key = format!("k{}", offset % self.keys);
                let key = Some(key.as_bytes());
                let source = writer.len() as u32;
                writer.push(RecordView { timestamp_ms: offset, source, key, value: Some(b"v"), headers: &[] });
                origins.push(Origin::new(self.next as u32, offset));
            }
            split.position += origins.len() as i64;
            return Ok(Poll::Batch(Batch { frame: writer.finish(), origins }));
        }
        Ok(if is_paused { Poll::Pending } else { Poll::Finished })
    }
    fn snapshot(&mut self) -> Vec<SplitState> {
        self.splits.clone()
    }
    /// From another thread, later, and not at all once the reader is gone.
    fn verify(&mut self, done: Verified) {
        let (splits, verified) = (self.splits.clone(), Arc::clone(&self.verified));
        let alive = Arc::downgrade(&self.alive);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(8));
            if alive.upgrade().is_some() {
                verified.lock().unwrap().extend(splits.into_iter().map(|s| (s.split, s.position)));
                done(Ok(()));
            }
        });
    }
    fn progress(&self) -> Vec<SplitProgress> {
        Vec::new()
    }
    fn readings(&mut self) -> Vec<Reading> {
        Vec::new()
    }
}
