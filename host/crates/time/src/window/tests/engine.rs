//! An operator of windows in memory, put together from the parts as the engine is to do it: source time, windows, firing,
//! timers. An accumulator is the list of what was folded into it.

use std::collections::{BTreeMap, BTreeSet};

use crate::timers::{Firing as DueTimers, Limits, Timers};
use crate::window::firing::{Arrival, Firing};
use crate::window::spec::Kind;
use crate::window::{Assign, List, Listed, Tumbling, Window};
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
    accumulators: BTreeMap<Window, Vec<u32>>,
    list: List,
}

#[derive(Debug)]
pub(super) struct Engine {
    assign: Assign,
    firing: Firing,
    keys: BTreeMap<u8, Key>,
    timers: Timers,
    watermark: Watermark,
    pub(super) sent: Sent,
    pub(super) late: Vec<Record>,
    /// How often a record was folded into an accumulator.
    pub(super) folds: usize,
    /// How often an accumulator was merged into another.
    pub(super) merges: usize,
}

impl Engine {
    pub(super) fn new(spec: &WindowSpec) -> Self {
        Self {
            assign: Assign::of(spec),
            firing: spec.firing,
            keys: BTreeMap::new(),
            timers: Timers::new(Limits::default()),
            watermark: Watermark::NONE,
            sent: Sent::new(),
            late: Vec::new(),
            folds: 0,
            merges: 0,
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
        while let DueTimers::Now(due) = self.timers.due(progress.watermark.number(), 3) {
            for due in due {
                let (at_ms, key) = (due.timer.time_ms, due.timer.key[0]);
                match self.assign {
                    Assign::Tumbling(_) => self.fire(key, decoded(&due.timer.key)),
                    Assign::Listed(listed) => self.due(listed, key, at_ms, due.next_round),
                    Assign::Global(_) => panic!("windows of time"),
                }
            }
        }
        let (firing, watermark) = (self.firing, self.watermark);
        if let Assign::Tumbling(_) = self.assign {
            let is_kept = |window: &Window| !watermark.has_reached(firing.expires_ms(*window));
            self.keys.values_mut().for_each(|key| key.accumulators.retain(|window, _| is_kept(window)));
        }
    }

    fn record(&mut self, record: Record) {
        match self.assign.clone() {
            Assign::Tumbling(tumbling) => self.tumble(record, &tumbling),
            Assign::Listed(listed) => self.note(record, listed),
            Assign::Global(_) => panic!("windows of time"),
        }
    }

    fn tumble(&mut self, record: Record, tumbling: &Tumbling) {
        let window = tumbling.window(record.timestamp_ms).unwrap();
        let arrival = self.firing.arrival(window, self.watermark);
        if arrival == Arrival::Late {
            return self.late.push(record);
        }
        self.folds += 1;
        self.keys.entry(record.key).or_default().accumulators.entry(window).or_default().push(record.value);
        match arrival {
            Arrival::Again => self.fire(record.key, window),
            _ => self.timers.set(window.end_ms, &encoded(record.key, window), 0).unwrap(),
        }
    }

    fn note(&mut self, record: Record, listed: Listed) {
        let (at, firing, watermark) = (record.timestamp_ms, self.firing, self.watermark);
        let key = self.keys.entry(record.key).or_default();
        let before = key.list.windows.clone();
        let Some(gone) = listed.note(&mut key.list, at, firing, watermark).unwrap() else {
            assert_eq!(key.list.windows, before, "it leaves no trace");
            return self.late.push(record);
        };
        for gone in gone {
            let values = key.accumulators.remove(&gone).expect("what is listed has an accumulator");
            if let Some(heir) = listed.heir(&key.list, gone) {
                key.accumulators.entry(heir).or_default().extend(values);
                // What it has sent is void: it was part of a session.
                self.sent.remove(&(record.key, gone));
            }
        }
        self.folds += 1;
        key.accumulators.entry(listed.holder(&key.list, at).unwrap()).or_default().push(record.value);
        let listed_now: BTreeSet<_> = key.list.windows.iter().copied().collect();
        assert_eq!(key.accumulators.keys().copied().collect::<BTreeSet<_>>(), listed_now);
        for window in listed.again(&key.list.clone(), at, firing, watermark) {
            self.send(listed, record.key, window);
        }
        self.set_timer(listed, record.key, watermark.number(), 0);
    }

    fn fire(&mut self, key: u8, window: Window) {
        let values = self.keys[&key].accumulators[&window].clone();
        self.sent.insert((key, window), values);
    }

    /// What is due for a key: windows fire, and what no window needs any more goes.
    fn due(&mut self, listed: Listed, number: u8, at_ms: i64, round: u32) {
        let list = self.keys[&number].list.clone();
        if list.due_ms != Some(at_ms) {
            return;
        }
        listed.fires(&list, at_ms).into_iter().for_each(|window| self.send(listed, number, window));
        let key = self.keys.get_mut(&number).unwrap();
        for gone in listed.expire(&mut key.list, at_ms, self.firing) {
            key.accumulators.remove(&gone).expect("what is listed has an accumulator");
        }
        key.list.due_ms = None;
        self.set_timer(listed, number, at_ms, round);
    }

    fn send(&mut self, listed: Listed, number: u8, window: Window) {
        let key = self.keys.get_mut(&number).unwrap();
        let pieces = listed.pieces(&key.list, window);
        pieces.blocks.iter().for_each(|(block, _)| listed.keep(&mut key.list, *block));
        let values =
            |range: &[Window]| range.iter().flat_map(|piece| key.accumulators[piece].clone()).collect::<Vec<_>>();
        let sent = values(&pieces.all);
        let blocks: Vec<_> =
            pieces.blocks.iter().map(|(block, range)| (*block, values(&pieces.all[range.clone()]))).collect();
        self.merges += pieces.all.len() + pieces.blocks.iter().map(|(_, range)| range.len()).sum::<usize>();
        key.accumulators.extend(blocks);
        assert!(!sent.is_empty(), "only windows with records fire");
        self.sent.insert((number, window), sent);
    }

    /// One timer for a key, at the first moment that something is due.
    fn set_timer(&mut self, listed: Listed, number: u8, after_ms: i64, round: u32) {
        let list = &mut self.keys.get_mut(&number).unwrap().list;
        let next_ms = listed.next_ms(list, after_ms, self.firing);
        if let Some(next_ms) = next_ms.filter(|next_ms| list.due_ms.is_none_or(|due_ms| *next_ms < due_ms)) {
            list.due_ms = Some(next_ms);
            self.timers.set(next_ms, &[number], round).unwrap();
        }
    }

    /// How many accumulators are kept.
    pub(super) fn kept(&self) -> usize {
        self.keys.values().map(|key| key.accumulators.len() + key.list.windows.len()).sum()
    }
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
