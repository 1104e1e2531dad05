//! An operator of windows in memory, put together from the parts as the engine is to do it: source time, windows, firing,
//! timers. An accumulator is the list of what was folded into it.

use std::collections::{BTreeMap, BTreeSet};

use crate::timers::{Firing as DueTimers, Limits, Timers};
use crate::window::firing::{Arrival, Firing};
use crate::window::panes::Block;
use crate::window::spec::Kind;
use crate::window::{Sessions, Window};
use crate::{Progress, SourceTime, Watermark, WindowSpec};

/// A record: its split, timestamp, key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) split: usize,
    pub(super) timestamp_ms: i64,
    pub(super) key: u8,
    pub(super) value: u32,
}

/// What each window of each key has sent last.
pub(super) type Sent = BTreeMap<(u8, Window), Vec<u32>>;

/// The state of one key.
#[derive(Debug, Default)]
struct Key {
    windows: BTreeMap<Window, Vec<u32>>,
    sessions: Sessions,
    blocks: BTreeMap<Block, Vec<u32>>,
}

#[derive(Debug)]
pub(super) struct Engine {
    kind: Kind,
    firing: Firing,
    keys: BTreeMap<u8, Key>,
    timers: Timers,
    watermark: Watermark,
    pub(super) sent: Sent,
    pub(super) late: Vec<Record>,
    /// How often a record was folded into an accumulator.
    pub(super) folds: usize,
}

impl Engine {
    pub(super) fn new(spec: &WindowSpec) -> Self {
        Self {
            kind: spec.kind.clone(),
            firing: spec.firing,
            keys: BTreeMap::new(),
            timers: Timers::new(Limits::default()),
            watermark: Watermark::NONE,
            sent: Sent::new(),
            late: Vec::new(),
            folds: 0,
        }
    }

    /// A batch with what its source says around it.
    pub(super) fn batch(&mut self, time: &mut SourceTime, records: &[Record]) {
        let around = time.records(records.iter().map(|record| (record.split, Some(record.timestamp_ms))));
        self.progress(around.before);
        records.iter().for_each(|record| self.record(*record));
        self.progress(around.after);
    }

    pub(super) fn progress(&mut self, progress: Option<Progress>) {
        let Some(progress) = progress else { return };
        assert!(progress.watermark >= self.watermark, "time never goes back");
        self.watermark = progress.watermark;
        let now = if progress.watermark == Watermark::END { i64::MAX } else { progress.watermark.as_ms().unwrap() };
        while let DueTimers::Now(due) = self.timers.due(now, 3) {
            for due in due {
                let key = due.timer.key[0];
                match &self.kind {
                    Kind::Sliding(panes) => {
                        let end = due.timer.time_ms;
                        let window = panes.window_to(end);
                        self.fire_panes(key, window);
                        self.set_next_pane_timer(key, end, due.next_round);
                    }
                    _ => self.fire(key, decoded(&due.timer.key)),
                }
            }
        }
        self.expire();
    }

    fn record(&mut self, record: Record) {
        let at = record.timestamp_ms;
        match self.kind.clone() {
            Kind::Tumbling(fixed) => self.fold(record, fixed.window(at).unwrap()),
            Kind::Calendar(calendar) => self.fold(record, calendar.window(at).unwrap()),
            Kind::Session { gap_ms } => self.join(record, gap_ms),
            Kind::Sliding(_) => self.fold_pane(record),
            Kind::Count(_) | Kind::Global(_) => panic!("windows of time"),
        }
    }

    fn fold(&mut self, record: Record, window: Window) {
        let arrival = self.firing.arrival(window, self.watermark);
        if arrival == Arrival::Late {
            return self.late.push(record);
        }
        self.folds += 1;
        self.keys.entry(record.key).or_default().windows.entry(window).or_default().push(record.value);
        match arrival {
            Arrival::Again => self.fire(record.key, window),
            _ => self.timers.set(window.end_ms, &encoded(record.key, window), 0).unwrap(),
        }
    }

    fn join(&mut self, record: Record, gap_ms: i64) {
        let key = self.keys.entry(record.key).or_default();
        let preview = key.sessions.preview(record.timestamp_ms, gap_ms).unwrap();
        if self.firing.arrival(preview, self.watermark) == Arrival::Late {
            return self.late.push(record);
        }
        let joined = key.sessions.join(record.timestamp_ms, gap_ms).unwrap();
        for gone in joined.absorbed {
            let values = key.windows.remove(&gone).expect("an open session has an accumulator");
            key.windows.entry(joined.session).or_default().extend(values);
            self.timers.cancel(gone.end_ms, &encoded(record.key, gone));
            // What it has sent is void: it was part of a session.
            self.sent.remove(&(record.key, gone));
        }
        self.fold(record, joined.session);
    }

    fn fire(&mut self, key: u8, window: Window) {
        let values = self.keys[&key].windows[&window].clone();
        self.sent.insert((key, window), values);
    }

    fn fold_pane(&mut self, record: Record) {
        let Kind::Sliding(panes) = self.kind else { panic!("sliding windows") };
        let windows: Vec<Window> = panes.windows(record.timestamp_ms).unwrap().collect();
        let last = *windows.last().unwrap();
        if self.firing.arrival(last, self.watermark) == Arrival::Late {
            return self.late.push(record);
        }
        let pane = panes.pane(record.timestamp_ms).unwrap();
        let key = self.keys.entry(record.key).or_default();
        for block in panes.blocks_of(pane) {
            if block == pane || key.blocks.contains_key(&block) {
                self.folds += 1;
                key.blocks.entry(block).or_default().push(record.value);
            }
        }
        for window in windows {
            if self.firing.arrival(window, self.watermark) == Arrival::Again {
                self.fire_panes(record.key, window);
            }
        }
        let fired = self.watermark.as_ms().unwrap_or(i64::MIN);
        let end = panes.first_end_ms(record.timestamp_ms, fired).unwrap();
        self.timers.set(end, &[record.key], 0).unwrap();
    }

    fn fire_panes(&mut self, key: u8, window: Window) {
        let Kind::Sliding(panes) = self.kind else { panic!("sliding windows") };
        let Some(state) = self.keys.get_mut(&key) else { return };
        let values: Vec<u32> =
            panes.cover(window).into_iter().flat_map(|block| merged(&mut state.blocks, block)).collect();
        if !values.is_empty() {
            self.sent.insert((key, window), values);
        }
    }

    /// The next window of `key` that has something in it.
    fn set_next_pane_timer(&mut self, key: u8, fired_ms: i64, round: u32) {
        let Kind::Sliding(panes) = self.kind else { panic!("sliding windows") };
        let live =
            self.keys[&key].blocks.keys().filter(|block| block.level == 0 && panes.last_end_ms(**block) > fired_ms);
        let next = live.map(|block| panes.first_end_ms(panes.span(*block).start_ms.max(0), fired_ms).unwrap()).min();
        if let Some(next) = next {
            self.timers.set(next, &[key], round).unwrap();
        }
    }

    fn expire(&mut self) {
        let (firing, watermark) = (self.firing, self.watermark);
        for key in self.keys.values_mut() {
            key.windows.retain(|window, _| !watermark.has_reached(firing.expires_ms(*window)));
            key.sessions.expire(watermark, firing.lateness_ms);
            if let Kind::Sliding(panes) = self.kind {
                let last_end_ms = |block: &Block| panes.last_end_ms(*block).saturating_add(firing.lateness_ms);
                key.blocks.retain(|block, _| !watermark.has_reached(last_end_ms(block)));
            }
        }
    }

    /// How many accumulators are kept.
    pub(super) fn kept(&self) -> usize {
        self.keys.values().map(|key| key.windows.len() + key.blocks.len() + key.sessions.windows().len()).sum()
    }
}

/// What `block` holds, merged from its halves once.
fn merged(blocks: &mut BTreeMap<Block, Vec<u32>>, block: Block) -> Vec<u32> {
    if let Some(values) = blocks.get(&block) {
        return values.clone();
    }
    let halves = block.halves().into_iter().flatten();
    let values: Vec<u32> = halves.flat_map(|half| merged(blocks, half)).collect();
    if !values.is_empty() {
        blocks.insert(block, values.clone());
    }
    values
}

fn encoded(key: u8, window: Window) -> Vec<u8> {
    [&[key][..], &window.start_ms.to_be_bytes(), &window.end_ms.to_be_bytes()].concat()
}

fn decoded(bytes: &[u8]) -> Window {
    let number = |from: usize| i64::from_be_bytes(bytes[from..from + 8].try_into().unwrap());
    Window::new(number(1), number(9))
}

/// What a batch computation of all records at once sends.
pub(super) fn batch(spec: &WindowSpec, records: &[Record]) -> Sent {
    let mut sent = Sent::new();
    for record in records {
        for window in windows_of(&spec.kind, *record, records) {
            sent.entry((record.key, window)).or_default().push(record.value);
        }
    }
    sent
}

fn windows_of(kind: &Kind, record: Record, all: &[Record]) -> Vec<Window> {
    let at = record.timestamp_ms;
    match kind {
        Kind::Tumbling(fixed) => vec![fixed.window(at).unwrap()],
        Kind::Calendar(calendar) => vec![calendar.window(at).unwrap()],
        Kind::Sliding(panes) => panes.windows(at).unwrap().collect(),
        Kind::Session { gap_ms } => {
            let mine = all.iter().filter(|other| other.key == record.key);
            let times: BTreeSet<i64> = mine.map(|other| other.timestamp_ms).collect();
            let times: Vec<i64> = times.into_iter().collect();
            let run = times.chunk_by(|a, b| b - a < *gap_ms).find(|run| run.contains(&at)).unwrap();
            vec![Window::new(run[0], run[run.len() - 1] + gap_ms)]
        }
        Kind::Count(_) | Kind::Global(_) => panic!("windows of time"),
    }
}

/// The same, with the values of each window in order of value: which came first is not what windows promise.
pub(super) fn sorted(mut sent: Sent) -> Sent {
    sent.values_mut().for_each(|values| values.sort_unstable());
    sent
}
