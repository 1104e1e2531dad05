//! What the harness promises, and with it what an instance does.
use super::*;
use crate::{
    Context, Description, ListTable, MapTable, NoConfig, Record, ReducingTable, Timer, Ttl, ValueTable, failure,
};

const SEEN: ValueTable<u64> = ValueTable::new("seen");
const LAST: ValueTable<Vec<u8>> = ValueTable::new("last").with_schema("2");
const OTHER: ValueTable<u64> = ValueTable::new("other");

/// Does what the value says.
struct Obey {
    calls: u32,
}

impl Operator for Obey {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new("obey", "1.2.3").table(SEEN).table(LAST).outputs(&["main", "side"]).with_routes()
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self { calls: 0 })
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.calls += 1;
        match record.value() {
            Some(b"count") => {
                let seen = ctx.value(SEEN).get()?.unwrap_or(0) + 1;
                ctx.value(SEEN).set(&seen)?;
                ctx.emit(record.with_value(seen.to_string().as_bytes()));
            }
            Some(b"last") => {
                let last = ctx.value(LAST).get()?;
                ctx.emit(last.as_deref().map_or(record.tombstone(), |last| record.with_value(last)));
            }
            Some(b"clear") => ctx.value(LAST).clear()?,
            Some(b"side") => ctx.emit_to(1, *record),
            Some(b"lost") => ctx.emit_to(2, *record),
            Some(b"other") => ctx.value(OTHER).set(&1)?,
            Some(b"calls") => ctx.emit(record.with_value(self.calls.to_string().as_bytes())),
            Some(b"input") => ctx.emit(record.with_value(ctx.input().to_string().as_bytes())),
            Some(b"large") => (0..3).for_each(|_| ctx.emit(record.with_value(&vec![b'x'; 700_000]))),
            Some(b"half") => return half(record, ctx),
            Some(b"flood") => {
                (0..3).for_each(|_| ctx.emit(record.with_value(&vec![b'x'; 700_000])));
                return half(record, ctx);
            }
            Some(b"log") => ctx.log(Level::Warn, "logged"),
            Some(b"fail") => return Err("x".parse::<u8>().map_err(Failure::from).unwrap_err().with_code(123)),
            Some(value) => ctx.value(LAST).set(&value.to_vec())?,
            None => {}
        }
        Ok(())
    }
}

fn harness() -> Harness<Obey> {
    Harness::new("{}").unwrap()
}

fn values(outputs: Vec<Output>) -> Vec<(u32, u32, String)> {
    let text = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap_or_else(|| b"null".to_vec())).unwrap();
    outputs.into_iter().map(|o| (o.output, o.source, text(o.message.value))).collect()
}

/// Does this and that, and then fails.
fn half(record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
    ctx.emit_to(1, *record);
    ctx.value(SEEN).set(&77)?;
    ctx.value(LAST).clear()?;
    ctx.emit(*record);
    Err(Failure::new("half way").with_code(124))
}

#[test]
fn state_is_kept_by_key_within_and_between_calls() {
    let mut harness = harness();
    let batch = [Message::new("a", "count"), Message::new("b", "count"), Message::new("a", "count")];
    let seen = values(harness.process(&batch).unwrap());
    assert_eq!(seen, [(0, 0, "1".into()), (0, 1, "1".into()), (0, 2, "2".into())]);
    assert_eq!(values(harness.process(&batch).unwrap())[2], (0, 2, "4".into()));
    assert_eq!(harness.state("seen", b"a"), Some(&4u64.to_le_bytes()[..]));
    assert_eq!(harness.state("last", b"a"), None);
    let batch =
        [Message::new("a", "x"), Message::new("a", "last"), Message::new("a", "clear"), Message::new("a", "last")];
    assert_eq!(values(harness.process(&batch).unwrap()), [(0, 1, "x".into()), (0, 3, "null".into())]);
    assert_eq!(harness.state("last", b"a"), None);
}

#[test]
fn a_failure_names_its_record_and_undoes_the_batch() {
    let check = |bad: Message, code: u32, message: &str| {
        let mut harness = harness();
        let failure = harness.process(&[Message::new("a", "count"), bad, Message::new("a", "count")]).unwrap_err();
        assert_eq!((failure.index, failure.code), (Some(1), code), "{failure:?}");
        assert!(failure.message.contains(message), "{failure:?}");
        assert_eq!(harness.state("seen", b"a"), None);
        // A new instance took over.
        assert_eq!(values(harness.process(&[Message::new("a", "calls")]).unwrap()), [(0, 0, "1".into())]);
    };
    check(Message::new("a", "fail"), 123, "invalid digit");
    check(Message::without_key("count"), failure::NO_KEY, "no key");
    check(Message::new("a", "other"), failure::UNDECLARED, "`other`");
    check(Message::new("a", "lost"), failure::UNDECLARED, "output 2");
}

#[test]
fn a_record_that_fails_is_undone_alone() {
    let mut harness = harness();
    let text = |text: &str| Message::new("a", text);
    let batch =
        [text("count"), text("half"), text("count"), text("lost"), Message::without_key("count"), text("calls")];
    let (outputs, failures) = harness.process_skipping(&batch).unwrap();
    // One instance saw them all; what `half` had set and emitted is gone.
    assert_eq!(values(outputs), [(0, 0, "1".into()), (0, 2, "2".into()), (0, 5, "6".into())]);
    let seen: Vec<_> = failures.iter().map(|failure| (failure.index, failure.code)).collect();
    assert_eq!(seen, [(Some(1), 124), (Some(3), failure::UNDECLARED), (Some(4), failure::NO_KEY)]);
    assert_eq!(harness.state("seen", b"a"), Some(&2u64.to_le_bytes()[..]));
    assert_eq!(values(harness.process(&[text("calls")]).unwrap()), [(0, 0, "7".into())], "the instance lives on");
}

#[test]
fn output_that_the_host_has_already_undoes_the_call() {
    let batch = [Message::new("a", "count"), Message::new("a", "flood"), Message::new("a", "count")];
    let mut harness = harness();
    let failure = harness.process_skipping(&batch).unwrap_err();
    assert_eq!((failure.index, failure.code), (Some(1), 124));
    assert_eq!(harness.state("seen", b"a"), None);
    // Output of the records before it may go, and need not come back.
    let large = [Message::new("a", "large"), Message::new("a", "half"), Message::new("a", "side")];
    let (outputs, failures) = harness.process_skipping(&large).unwrap();
    let sources: Vec<_> = outputs.iter().map(|output| (output.output, output.source)).collect();
    assert_eq!((sources, failures.len()), (vec![(0, 0), (0, 0), (0, 0), (1, 2)], 1));
}

#[test]
fn state_that_cannot_be_read_is_a_failure() {
    let mut harness = harness();
    harness.put_state("seen", b"a", b"seven");
    let failure = harness.process(&[Message::new("a", "count")]).unwrap_err();
    assert_eq!((failure.code, failure.index), (failure::STATE, Some(0)));
    assert_eq!(failure.message, "failed to read table `seen`: 5 bytes are no u64");
}

#[test]
fn outputs_keep_their_order_also_when_they_are_large() {
    let out = harness().process(&[Message::new("a", "side"), Message::new("a", "large"), Message::new("b", "large")]);
    let out: Vec<_> = out.unwrap().into_iter().map(|o| (o.output, o.source)).collect();
    assert_eq!(out, [(0, 1), (0, 1), (0, 1), (0, 2), (0, 2), (0, 2), (1, 0)]);
}

#[test]
fn input_log_configuration_and_description() {
    let mut harness = harness();
    let seen = values(harness.process_input(3, &[Message::new("a", "input"), Message::new("a", "log")]).unwrap());
    assert_eq!(seen, [(0, 0, "3".into())]);
    assert_eq!(harness.log(), [(Level::Warn, "logged".to_owned())]);
    assert_eq!(harness.process(&[]).unwrap(), []);
    let failure = Harness::<Obey>::new(r#"{"x":1}"#).err().unwrap();
    assert_eq!(failure.code, failure::CONFIG);
    assert!(failure.message.contains("unknown field `x`"), "{failure:?}");
    assert_eq!(
        Obey::describe().to_json(),
        r#"{"name":"obey","version":"1.2.3","outputs":["main","side"],"tables":[{"name":"seen","kind":"value","schema":"u64"},{"name":"last","kind":"value","schema":"bytes 2"}],"origin":false,"routes":true}"#
    );
}

const EVERY: ValueTable<u64> = ValueTable::new("every");

/// Due lists as they are in the vectors, read by a plugin's side.
#[derive(serde::Deserialize)]
struct DueLists {
    timers: Vec<DueTimers>,
}

#[derive(serde::Deserialize)]
struct DueTimers {
    name: String,
    table: u32,
    timers: Vec<DueTimer>,
    hex: super::vectors::Hex,
}

#[derive(serde::Deserialize)]
struct DueTimer {
    key: super::vectors::Hex,
    time: i64,
    timestamp: i64,
}

#[test]
fn due_lists_are_read_as_the_vectors_say() {
    let tables = Description::new("clock", "1").table(EVERY).with_timers().with_processing_timers().tables;
    let domains = [None, Some(TimeDomain::Event), Some(TimeDomain::Processing)];
    for list in super::vectors::read::<DueLists>("due.json").timers {
        let mut frame = crate::frame::Frame::new(&list.hex).unwrap();
        assert_eq!(frame.len(), list.timers.len(), "{}", list.name);
        for expected in list.timers {
            let record = frame.next().unwrap().unwrap();
            let timer = Timer::of(&record, &tables).unwrap();
            assert_eq!((timer.key(), timer.time_ms()), (&expected.key[..], expected.time), "{}", list.name);
            assert_eq!(Some(timer.domain()), domains[list.table as usize], "{}", list.name);
            assert_eq!(timer.record(b"").timestamp(), Some(expected.timestamp), "{}", list.name);
            assert_eq!(Timer::of(&record, &tables[..1]), None, "it is of no table");
        }
    }
}

#[test]
fn timers_of_processing_time_wait_for_the_clock_alone() {
    let mut alarm = alarm(&[("a", "wake 30"), ("a", "every 15"), ("a", "set 10")]);
    assert_eq!(times(&alarm.advance(20).unwrap()), [10]);
    assert_eq!((alarm.timers(b"a"), alarm.processing_timers(b"a")), (vec![25], vec![30]));
    // What they send is not late where event time has gone on.
    assert_eq!(times(&alarm.advance(39).unwrap()), [25]);
    assert_eq!(times(&alarm.wake(45).unwrap()), [39, 45]);
    assert_eq!((alarm.timers(b"a"), alarm.processing_timers(b"a")), (vec![40], vec![60]));
    assert_eq!(alarm.process(&[Message::new("a", "now")]).unwrap()[0].message.value.as_deref(), Some(&b"45 39"[..]));
}

/// Sets the timers that values name, and each again after what its key has in `every`.
struct Alarm;

impl Operator for Alarm {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new("alarm", "1").table(EVERY).with_timers().with_processing_timers()
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let text = str::from_utf8(record.value().unwrap_or_default())?;
        match text.split_once(' ') {
            None if text == "now" => {
                let times = format!("{} {}", ctx.processing_time(), ctx.watermark().unwrap_or_default());
                ctx.emit(record.with_value(times.as_bytes()));
                Ok(())
            }
            Some(("wake", at)) => ctx.set_processing_timer(at.parse()?),
            Some(("set", at)) => ctx.set_timer(at.parse()?),
            Some(("cancel", at)) => ctx.cancel_timer(at.parse()?),
            Some(("every", by)) => ctx.value(EVERY).set(&by.parse()?),
            _ => ctx.set_timer(1).and(Err(Failure::new("what?"))),
        }
    }

    fn on_timer(&mut self, timer: &Timer<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        if timer.key() == b"bad" {
            ctx.set_timer(timer.time_ms() + 1)?;
            return Err(Failure::new("bad"));
        }
        if let Some(by) = ctx.value(EVERY).get()? {
            let next_ms = timer.time_ms() + i64::try_from(by)?;
            match timer.domain() {
                TimeDomain::Event => ctx.set_timer(next_ms)?,
                TimeDomain::Processing => ctx.set_processing_timer(next_ms)?,
            }
        }
        ctx.emit(timer.record(b"due"));
        Ok(())
    }
}

fn alarm(says: &[(&str, &str)]) -> Harness<Alarm> {
    let mut harness = Harness::new("{}").unwrap();
    let says: Vec<Message> = says.iter().map(|(key, what)| Message::new(key, what)).collect();
    assert_eq!(harness.process_skipping(&says).unwrap().0, []);
    harness
}

fn times(outputs: &[Output]) -> Vec<i64> {
    outputs.iter().filter_map(|output| output.message.timestamp).collect()
}

#[test]
fn timers_fire_in_order_and_may_set_the_next() {
    let mut alarm = alarm(&[("a", "set 30"), ("b", "set 20"), ("a", "set 10"), ("b", "cancel 20"), ("a", "every 15")]);
    let due = |at| Message::new("a", "due").with_timestamp(at);
    let seen: Vec<Message> = alarm.advance(30).unwrap().into_iter().map(|output| output.message).collect();
    assert_eq!(seen, [due(10), due(25), due(30)]);
    assert_eq!((alarm.timers(b"a"), alarm.timers(b"b")), (vec![40, 45], vec![]));
    let storm = alarm.advance(i64::MAX).unwrap_err();
    assert!(storm.message.contains("timers have set each other"), "{storm:?}");
}

#[test]
fn a_record_that_fails_sets_no_timer_and_a_timer_that_fails_neither() {
    let mut alarm = alarm(&[("a", "set 7"), ("a", "nonsense"), ("a", "set -1"), ("a", "set 250246627200000")]);
    assert_eq!(alarm.timers(b"a"), [7]);
    assert_eq!(times(&alarm.advance(7).unwrap()), [7]);
    alarm.process(&[Message::new("bad", "set 9")]).unwrap();
    assert_eq!(alarm.advance(9).unwrap_err().message, "bad");
    assert_eq!(alarm.timers(b"bad"), [9], "nothing has happened");
    let nobody = alarm.process(&[Message::without_key("set 9")]).unwrap_err();
    assert_eq!(nobody.code, failure::NO_KEY);
}

#[test]
fn timers_that_are_not_described_are_refused() {
    let refused = Harness::<Undescribed>::new("{}").unwrap().process(&[Message::new("a", "x")]).unwrap_err();
    assert_eq!(refused.code, failure::UNDECLARED);
    assert!(refused.message.contains(".with_timers()"), "{refused:?}");
}

/// Sets a timer that it does not describe.
struct Undescribed;

impl Operator for Undescribed {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new("undescribed", "1").table(SEEN)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, _: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        ctx.set_timer(1)
    }
}

const TOTAL: ReducingTable<i64> = ReducingTable::sum("total");
const LARGEST: ReducingTable<f64> = ReducingTable::max("largest").prefetched();

/// Merges what values say; shows the largest so far.
struct Sums;

impl Operator for Sums {
    type Config = NoConfig;

    fn describe() -> Description {
        Description::new("sums", "1").table(TOTAL).table(SEEN).table(LARGEST)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        match record.value().unwrap_or_default() {
            b"clear" => {
                ctx.reducing(TOTAL).clear()?;
                ctx.reducing(LARGEST).clear()
            }
            b"read" => ctx.reducing(TOTAL).get().map(drop),
            number => {
                let number: i64 = str::from_utf8(number)?.parse()?;
                ctx.reducing(TOTAL).merge(number)?;
                ctx.reducing(LARGEST).merge(number as f64)?;
                let largest = ctx.reducing(LARGEST).get()?.unwrap_or_default();
                ctx.emit(record.with_value(largest.to_string().as_bytes()));
                if number == 13 { Err(Failure::new("unlucky")) } else { Ok(()) }
            }
        }
    }
}

#[test]
fn what_is_merged_is_combined_wherever_batches_end() {
    let inputs = ["3", "5", "13", "1", "clear", "4", "2"];
    for size in 1..=inputs.len() {
        let mut sums = Harness::<Sums>::new("{}").unwrap();
        let mut shown = Vec::new();
        for chunk in inputs.chunks(size) {
            let batch: Vec<_> = chunk.iter().map(|value| Message::new("k", *value)).collect();
            let (out, failures) = sums.process_skipping(&batch).unwrap();
            assert_eq!(failures.len(), usize::from(chunk.contains(&"13")));
            shown.extend(out.iter().map(|output| output.message.value.clone().unwrap()));
        }
        assert_eq!(shown, [&b"3"[..], b"5", b"5", b"4", b"4"], "batches of {size}");
        assert_eq!(sums.state("total", b"k"), Some(&6i64.to_le_bytes()[..]));
        assert_eq!(sums.state("largest", b"k"), Some(&4f64.to_le_bytes()[..]));
    }
}

#[test]
fn what_cannot_be_merged_or_read_is_said() {
    let mut sums = Harness::<Sums>::new("{}").unwrap();
    let unread = sums.process(&[Message::new("k", "read")]).unwrap_err();
    assert!(unread.message.contains("lacks `.prefetched()`"), "{unread:?}");
    let max = i64::MAX.to_string();
    let over = sums.process(&[Message::new("k", &*max), Message::new("k", "1")]).unwrap_err();
    assert!(over.message.contains("table `total`: the merge overflows"), "{over:?}");
    assert_eq!(sums.state("total", b"k"), None, "nothing has happened");
}

#[test]
fn a_reducing_table_says_what_it_does() {
    let described = Sums::describe().to_json();
    for words in [
        r#"{"name":"total","kind":"reducing","schema":"i64 sum"}"#,
        r#"{"name":"largest","kind":"reducing","schema":"f64 max","prefetch":true}"#,
    ] {
        assert!(described.contains(words), "{described}");
    }
}

const RECENT: ListTable<String> = ListTable::new("recent");
const COUNTS: MapTable<String, u64> = MapTable::new("counts");

/// Keeps what it is told for ten milliseconds of event time, and says what it has.
struct Forgets;

impl Operator for Forgets {
    type Config = NoConfig;

    fn describe() -> Description {
        let ttl = Ttl::Event(10);
        Description::new("forgets", "1").expiring(SEEN, ttl).expiring(RECENT, ttl).expiring(COUNTS, ttl)
    }

    fn open(_: NoConfig) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let name = str::from_utf8(record.value().unwrap_or_default())?.to_owned();
        let seen = ctx.value(SEEN).get()?.unwrap_or(0) + 1;
        let (recent, counts) = (ctx.list(RECENT).all()?, ctx.map(COUNTS).all()?.len());
        ctx.emit(record.with_value(format!("{seen} {} {counts}", recent.join(",")).as_bytes()));
        ctx.value(SEEN).set(&seen)?;
        ctx.map(COUNTS).put(&name, &1)?;
        ctx.list(RECENT).push(&name)
    }
}

#[test]
fn what_expires_is_not_there_any_more() {
    let described = Forgets::describe().to_json();
    assert!(described.contains(r#""name":"seen","kind":"value","schema":"u64","ttl":{"event":10}"#), "{described}");
    let mut forgets = Harness::<Forgets>::new("{}").unwrap();
    let mut says = |at_ms: Option<i64>, name: &str| {
        at_ms.map(|at_ms| forgets.advance(at_ms).unwrap());
        let out = forgets.process(&[Message::new("k", name).with_timestamp(3)]).unwrap();
        String::from_utf8(out[0].message.value.clone().unwrap()).unwrap()
    };
    assert_eq!(says(None, "a"), "1  0");
    assert_eq!(says(Some(5), "b"), "2 a 1");
    assert_eq!(says(Some(12), "c"), "3 a,b 2");
    assert_eq!(says(Some(13), "c"), "4 b,c 2", "of the first the time is over");
    assert_eq!(says(Some(22), "d"), "5 c 1", "what is written again begins anew");
    assert_eq!(says(Some(99), "d"), "1  0");
}
