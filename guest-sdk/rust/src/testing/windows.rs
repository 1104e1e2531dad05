//! Runs an aggregate in memory, over tumbling windows. The host does more: lateness, calendars, state that survives. What it
//! asks of a plugin is the same.

use std::collections::BTreeMap;

use super::message::{Message, Output};
use super::wire;
use crate::frame::NULL;
use crate::{Aggregate, Failure, Host, Level, WindowInstance};

/// A window: its end and its key, in the order in which windows fire.
type Due = (i64, usize, Vec<u8>);

/// An aggregate over tumbling windows, with the part of the host that it needs.
pub struct Windows<Op: Aggregate> {
    instance: WindowInstance<Op>,
    size_ms: i64,
    accumulators: BTreeMap<Due, Vec<u8>>,
    log: Vec<(Level, String)>,
}

impl<Op: Aggregate> Windows<Op> {
    /// Opens the aggregate with its configuration, a JSON object, for windows of `size_ms`.
    pub fn tumbling(size_ms: i64, config: &str) -> Result<Self, Failure> {
        let (instance, accumulators, log) = (WindowInstance::open(config)?, BTreeMap::new(), Vec::new());
        Ok(Self { instance, size_ms, accumulators, log })
    }

    /// Folds `batch` in one call. All of it has a key and a timestamp: others never come so far.
    pub fn fold(&mut self, batch: &[Message]) -> Result<(), Failure> {
        let mut windows: Vec<Due> = Vec::new();
        let mut slots = Vec::new();
        for message in batch {
            let (Some(key), Some(at)) = (&message.key, message.timestamp) else {
                return Err(Failure::new("a record without key or timestamp is in no window"));
            };
            let due = (at - at.rem_euclid(self.size_ms) + self.size_ms, key.len(), key.clone());
            let slot = windows.iter().position(|known| *known == due).unwrap_or_else(|| {
                windows.push(due);
                windows.len() - 1
            });
            slots.push(slot as u32);
        }
        let updates = self.instance.fold(&wire::frame(batch), &slots, &self.values(&windows))?;
        for update in wire::updates(&updates)? {
            let window = windows.get(update.slot as usize).ok_or_else(|| Failure::new("a slot of no window"))?;
            let value = update.value.ok_or_else(|| Failure::new("an accumulator without a value"))?;
            self.accumulators.insert(window.clone(), value.to_vec());
        }
        Ok(())
    }

    /// Event time has come to `watermark`: what the windows send that end by then, in order.
    pub fn advance(&mut self, watermark: i64) -> Result<Vec<Output>, Failure> {
        let later = self.accumulators.split_off(&(watermark.saturating_add(1), 0, Vec::new()));
        let due: Vec<Due> = self.accumulators.keys().cloned().collect();
        let list = due.iter().map(|(end_ms, _, key)| {
            let span = [end_ms - self.size_ms, *end_ms].map(i64::to_le_bytes).concat();
            Message::new(key, span).with_timestamp(end_ms - 1)
        });
        let list: Vec<Message> = list.collect();
        let slots: Vec<u32> = (0..list.len() as u32).collect();
        let mut host = Collects { frames: Vec::new(), log: &mut self.log };
        let values = values(&self.accumulators, &due);
        let updates = self.instance.finish(&wire::frame(&list), &slots, &values, &mut host)?;
        if let Some(reject) = wire::updates(&updates)?.first() {
            let message = String::from_utf8_lossy(reject.value.unwrap_or_default()).into_owned();
            return Err(Failure { index: Some(reject.slot), code: reject.table, message });
        }
        let frames = host.frames;
        self.accumulators = later;
        wire::outputs(&frames, list.len())
    }

    /// Everything logged so far.
    pub fn log(&self) -> &[(Level, String)] {
        &self.log
    }

    fn values(&self, windows: &[Due]) -> Vec<u8> {
        values(&self.accumulators, windows)
    }
}

/// The accumulators of `windows`, as the host hands them over.
fn values(accumulators: &BTreeMap<Due, Vec<u8>>, windows: &[Due]) -> Vec<u8> {
    let mut out = Vec::new();
    for window in windows {
        match accumulators.get(window) {
            Some(value) => {
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value);
            }
            None => out.extend_from_slice(&NULL.to_le_bytes()),
        }
    }
    out
}

/// What a call emits and says.
struct Collects<'a> {
    frames: Vec<(u32, Vec<u8>)>,
    log: &'a mut Vec<(Level, String)>,
}

impl Host for Collects<'_> {
    fn emit(&mut self, output: u32, frame: &[u8]) {
        self.frames.push((output, frame.to_vec()));
    }

    fn log(&mut self, level: Level, message: &str) {
        self.log.push((level, message.to_owned()));
    }

    fn get_many(&mut self, _: u32, _: &[u8]) -> Vec<u8> {
        // An aggregate has no tables that could be read.
        Vec::new()
    }

    fn scan(&mut self, _: u32, _: u32, _: &[u8], _: u32) -> Vec<u8> {
        Vec::new()
    }
}
