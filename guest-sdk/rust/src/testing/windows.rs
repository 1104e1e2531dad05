//! Runs an aggregate in memory, over tumbling windows or sessions. The host does more: other windows, lateness, state that
//! survives. What it asks of a plugin is the same.

use std::collections::BTreeMap;

use super::message::{Message, Output};
use super::wire;
use crate::frame::NULL;
use crate::{Aggregate, Failure, Host, Level, WindowInstance};

/// An open window; in the order in which windows fire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    end_ms: i64,
    key_len: usize,
    key: Vec<u8>,
    start_ms: i64,
}

/// Which windows there are.
#[derive(Debug, Clone, Copy)]
pub enum WindowKind {
    /// Of so many milliseconds each.
    Tumbling(i64),
    /// A session is over when nothing came for so many milliseconds.
    Session(i64),
}

/// An aggregate over windows, with the part of the host that it needs.
pub struct Windows<Op: Aggregate> {
    instance: WindowInstance<Op>,
    kind: WindowKind,
    accumulators: BTreeMap<Open, Vec<u8>>,
    log: Vec<(Level, String)>,
}

impl<Op: Aggregate> Windows<Op> {
    /// Opens the aggregate with its configuration, a JSON object.
    pub fn new(kind: WindowKind, config: &str) -> Result<Self, Failure> {
        let (instance, accumulators, log) = (WindowInstance::open(config)?, BTreeMap::new(), Vec::new());
        Ok(Self { instance, kind, accumulators, log })
    }

    /// Folds `batch`, into tumbling windows in one call. All of it has a key and a timestamp: others never come so far.
    pub fn fold(&mut self, batch: &[Message]) -> Result<(), Failure> {
        match self.kind {
            WindowKind::Tumbling(size_ms) => {
                let window = |(key, at): (&[u8], i64)| {
                    let start_ms = at - at.rem_euclid(size_ms);
                    Open { end_ms: start_ms + size_ms, key_len: key.len(), key: key.to_vec(), start_ms }
                };
                let windows: Result<Vec<Open>, Failure> =
                    batch.iter().map(|message| Ok(window(place(message)?))).collect();
                self.fold_into(batch, &windows?)
            }
            WindowKind::Session(gap_ms) => batch.iter().try_for_each(|message| {
                let (key, at) = place(message)?;
                let session = self.join(key, (at, at + gap_ms))?;
                self.fold_into(std::slice::from_ref(message), &[session])
            }),
        }
    }

    /// Each of `batch` into the accumulator of its window.
    fn fold_into(&mut self, batch: &[Message], windows: &[Open]) -> Result<(), Failure> {
        let mut distinct: Vec<Open> = Vec::new();
        let slots = windows.iter().map(|window| {
            let slot = distinct.iter().position(|known| known == window).unwrap_or_else(|| {
                distinct.push(window.clone());
                distinct.len() - 1
            });
            slot as u32
        });
        let slots: Vec<u32> = slots.collect();
        let updates = self.instance.fold(&wire::frame(batch), &slots, &values(&self.accumulators, &distinct))?;
        self.update(&updates, &distinct)
    }

    /// The session of a record, in which all that it touches are merged.
    fn join(&mut self, key: &[u8], (start_ms, end_ms): (i64, i64)) -> Result<Open, Failure> {
        let touches = |open: &Open| open.key == key && open.start_ms < end_ms && start_ms < open.end_ms;
        let mut joined: Vec<Open> = self.accumulators.keys().filter(|open| touches(open)).cloned().collect();
        joined.sort_by_key(|open| open.start_ms);
        let start_ms = joined.iter().map(|open| open.start_ms).chain([start_ms]).min().unwrap_or(start_ms);
        let end_ms = joined.iter().map(|open| open.end_ms).chain([end_ms]).max().unwrap_or(end_ms);
        let session = Open { end_ms, key_len: key.len(), key: key.to_vec(), start_ms };
        let mut parts = joined.iter().filter_map(|open| self.accumulators.remove(open)).collect::<Vec<_>>().into_iter();
        let Some(first) = parts.next() else { return Ok(session) };
        self.accumulators.insert(session.clone(), first);
        let list: Vec<Message> = parts.map(|part| Message::new(key, part).with_timestamp(end_ms - 1)).collect();
        if !list.is_empty() {
            let distinct = [session.clone()];
            let (slots, values) = (vec![0; list.len()], values(&self.accumulators, &distinct));
            let updates = self.instance.merge(&wire::frame(&list), &slots, &values)?;
            self.update(&updates, &distinct)?;
        }
        Ok(session)
    }

    fn update(&mut self, updates: &[u8], windows: &[Open]) -> Result<(), Failure> {
        for update in wire::updates(updates)? {
            let window = windows.get(update.slot as usize).ok_or_else(|| Failure::new("a slot of no window"))?;
            let value = update.value.ok_or_else(|| Failure::new("an accumulator without a value"))?;
            self.accumulators.insert(window.clone(), value.to_vec());
        }
        Ok(())
    }

    /// Event time has come to `watermark`: what the windows send that end by then, in order.
    pub fn advance(&mut self, watermark: i64) -> Result<Vec<Output>, Failure> {
        let later = Open { end_ms: watermark.saturating_add(1), key_len: 0, key: Vec::new(), start_ms: i64::MIN };
        let later = self.accumulators.split_off(&later);
        let due: Vec<Open> = self.accumulators.keys().cloned().collect();
        let list = due.iter().map(|Open { end_ms, key, start_ms, .. }| {
            Message::new(key, [*start_ms, *end_ms].map(i64::to_le_bytes).concat()).with_timestamp(end_ms - 1)
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
}

fn place(message: &Message) -> Result<(&[u8], i64), Failure> {
    let place = message.key.as_deref().zip(message.timestamp);
    place.ok_or_else(|| Failure::new("a record without key or timestamp is in no window"))
}

/// The accumulators of `windows`, as the host hands them over.
fn values(accumulators: &BTreeMap<Open, Vec<u8>>, windows: &[Open]) -> Vec<u8> {
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

    fn processing_time(&mut self) -> i64 {
        i64::MIN
    }

    fn watermark(&mut self) -> i64 {
        i64::MIN
    }

    fn get_many(&mut self, _: u32, _: &[u8]) -> Vec<u8> {
        // An aggregate has no tables that could be read.
        Vec::new()
    }

    fn scan(&mut self, _: u32, _: u32, _: &[u8], _: u32) -> Vec<u8> {
        Vec::new()
    }
}
