//! Calls: what a guest hands over arrives, what it does wrong is named, and nothing of a failed call remains.

use std::time::{Duration, Instant};

use weir_core::frame::{NO_TIMESTAMP, NULL};
use weir_core::ports::{Call, CallError, CallTask, Effects, Operator, OperatorFactory};
use weir_core::{Fault, Frame, FrameWriter, RecordView, Watermark};
use weir_plugin::{Limits, Plugin};

use crate::module::{self, Shelf};

const ECHO: u32 = 0;
const FAIL: u32 = 1;
const PANIC: u32 = 2;
const SPIN: u32 = 3;
const GROW: u32 = 4;
const MALFORMED: u32 = 5;
const ELSEWHERE: u32 = 6;
const COUNT: u32 = 7;
const DEEP: u32 = 8;
const FLOOD: u32 = 9;
const KEYED: u32 = 10;

fn load(limits: Limits) -> Plugin {
    module::runtime().load(&Shelf::new().misbehaving(), limits).unwrap()
}

pub(crate) fn operator() -> Box<dyn Operator> {
    load(Limits::default()).instantiate("{}", "{}").unwrap()
}

pub(crate) fn frame(values: &[&[u8]]) -> Frame {
    let mut writer = FrameWriter::new(Vec::new());
    for (source, value) in values.iter().enumerate() {
        let source = source as u32;
        writer.push(RecordView { timestamp_ms: NO_TIMESTAMP, source, key: None, value: Some(value), headers: &[] });
    }
    writer.finish()
}

fn call(operator: &mut dyn Operator, input: u32) -> Result<Effects, CallError> {
    call_with(operator, input, &frame(&[b"one", b"two"]))
}

fn call_with(operator: &mut dyn Operator, input: u32, frame: &Frame) -> Result<Effects, CallError> {
    let mut effects = Effects::default();
    operator.process(
        Call {
            task: CallTask::Process(input),
            frame,
            slots: &[],
            values: &[],
            now_ms: 5,
            watermark: Watermark::NONE,
            state: &mut None,
        },
        &mut effects,
    )?;
    Ok(effects)
}

/// How many calls the instance that runs now has seen, this one included.
fn calls_seen(operator: &mut dyn Operator) -> u32 {
    u32::from_le_bytes(call(operator, COUNT).unwrap().updates.try_into().unwrap())
}

#[test]
fn frames_come_back_byte_for_byte() {
    let mut operator = operator();
    for values in [&[][..], &[&b"one"[..], b"", b"three"], &[&[0xff; 70_000][..]]] {
        let (frame, mut effects) = (frame(values), Effects::default());
        operator
            .process(
                Call {
                    task: CallTask::Process(ECHO),
                    frame: &frame,
                    slots: &[],
                    values: &[],
                    now_ms: 5,
                    watermark: Watermark::NONE,
                    state: &mut None,
                },
                &mut effects,
            )
            .unwrap();
        assert_eq!(effects.outputs, [(0, frame)]);
        assert!(effects.updates.is_empty());
    }
}

#[test]
fn slots_and_values_arrive() {
    let (frame, mut effects) = (frame(&[b"a", b"b"]), Effects::default());
    let call = Call {
        task: CallTask::Process(KEYED),
        frame: &frame,
        slots: &[0, NULL],
        values: &[3, 0, 0, 0, 7, 8, 9],
        now_ms: 5,
        watermark: Watermark::NONE,
        state: &mut None,
    };
    operator().process(call, &mut effects).unwrap();
    assert_eq!(effects.updates, [3, 0, 0, 0, 7, 8, 9, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
}

#[test]
fn a_component_runs_like_its_module() {
    let component = module::component(&module::module(&module::guest(module::DESCRIPTION), &module::contract()));
    let plugin = module::runtime().load(&Shelf::new().put(&component), Limits::default()).unwrap();
    assert_eq!(plugin.digest().to_string(), blake3::hash(&component).to_string());
    let mut operator = plugin.instantiate("{}", "{}").unwrap();
    assert_eq!(call(&mut *operator, ECHO).unwrap().outputs.len(), 1);
}

#[test]
fn the_description_is_the_plugins() {
    let plugin = load(Limits::default());
    let description = plugin.description();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("misbehaving", "1.2.3"));
    assert_eq!(description.outputs, ["a", "b"]);
    assert_eq!(description.tables[0].schema, "u32");
}

#[test]
fn a_failure_is_told_and_ends_the_instance() {
    let mut operator = operator();
    assert_eq!((calls_seen(&mut *operator), calls_seen(&mut *operator)), (1, 2), "one instance for all calls");
    match call(&mut *operator, FAIL) {
        Err(CallError::Failed { index, code, message }) => {
            assert_eq!((index, code, message.as_str()), (Some(1), 107, "bad record"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(calls_seen(&mut *operator), 1, "a new instance");
    operator.discard();
    assert_eq!(calls_seen(&mut *operator), 1, "the engine may ask for one");
}

#[test]
fn a_record_that_fails_alone_leaves_the_instance_and_a_panic_never_does() {
    let mut operator = operator();
    assert_eq!(calls_seen(&mut *operator), 1);
    for (input, records, seen) in [(FAIL, 1, 3), (FAIL, 2, 1), (PANIC, 1, 1)] {
        let records = vec![&b"bad"[..]; records];
        let error = call_with(&mut *operator, input, &frame(&records)).expect_err("it fails");
        assert_eq!(calls_seen(&mut *operator), seen, "{error}");
    }
}

#[test]
fn nothing_of_a_failed_call_remains() {
    let mut operator = operator();
    for input in [FAIL, PANIC, ELSEWHERE] {
        let (frame, mut effects) = (frame(&[b"lost"]), Effects::default());
        operator
            .process(
                Call {
                    task: CallTask::Process(input),
                    frame: &frame,
                    slots: &[],
                    values: &[],
                    now_ms: 5,
                    watermark: Watermark::NONE,
                    state: &mut None,
                },
                &mut effects,
            )
            .unwrap_err();
        assert!(effects.outputs.is_empty() && effects.updates.is_empty());
        assert_eq!(call(&mut *operator, ECHO).unwrap().outputs.len(), 1);
    }
}

#[test]
fn a_trap_tells_its_panic() {
    match call(&mut *operator(), PANIC) {
        Err(CallError::Trapped { message }) => {
            assert_eq!(message.lines().next(), Some("panic: boom, at src/lib.rs:3:5"));
            assert!(message.contains("in process"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    match call(&mut *operator(), DEEP) {
        Err(CallError::Trapped { message }) => assert!(message.contains("stack"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_has_a_deadline() {
    let plugin = load(Limits { call_deadline: Duration::from_millis(50), ..Limits::default() });
    let mut operator = plugin.instantiate("{}", "{}").unwrap();
    let started = Instant::now();
    let outcome = call(&mut *operator, SPIN);
    assert!(matches!(outcome, Err(CallError::Deadline { limit_ms: 50 })), "{outcome:?}");
    let words = outcome.unwrap_err().to_string();
    assert!(words.contains("limits.call-deadline (--call-deadline)"), "{words}");
    assert!(started.elapsed() >= Duration::from_millis(50), "not before its time: {:?}", started.elapsed());
    assert_eq!(calls_seen(&mut *operator), 1);
}

#[test]
fn memory_has_a_limit() {
    let limits = Limits { memory_bytes: 2 << 30, ..Limits::default() };
    assert!(call(&mut *load(limits).instantiate("{}", "{}").unwrap(), GROW).is_ok());
    let outcome = call(&mut *operator(), GROW);
    assert!(matches!(outcome, Err(CallError::Memory { limit_bytes: 67_108_864 })), "{outcome:?}");
    let words = outcome.unwrap_err().to_string();
    assert!(words.contains("limits.memory (--memory-limit)"), "{words}");
}

#[test]
fn tables_count_as_memory() {
    // 100 tables of a million functions are 800 MB, outside of linear memory; the same again in one that grows.
    let many = "(table 1000000 funcref)".repeat(100);
    let grows = "(table $t 1 funcref) (func $start (drop (table.grow $t (ref.null func) (i32.const 100000000))))
        (start $start)";
    for (what, more) in [("100 tables", many.as_str()), ("a table that grows", grows)] {
        let text = module::guest(module::DESCRIPTION).replacen("(memory ", &format!("{more} (memory "), 1);
        let load = |memory_bytes| {
            let file = Shelf::new();
            let path = file.put(module::module(&text, &module::contract()));
            // Filling 800 MB takes its time where others work.
            let limits = Limits { memory_bytes, call_deadline: Duration::from_secs(60) };
            module::runtime().load(&path, limits).map(drop)
        };
        let error = load(64 << 20).expect_err(what);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("more than its memory limit of 67108864 bytes"), "{what}: {error}: {cause}");
        load(1 << 30).expect(what);
    }
}

#[test]
fn malformed_output_is_refused() {
    for (input, expected) in [
        (MALFORMED, "frame ends inside record 1"),
        (ELSEWHERE, "there is no output 2, the plugin describes 2"),
        (FLOOD, "more than 67108864 bytes or 65536 frames"),
    ] {
        match call(&mut *operator(), input) {
            Err(CallError::Malformed { what: "frame", reason }) => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{input}: {other:?}"),
        }
    }
}

#[test]
fn a_plugin_that_does_not_open_is_the_users() {
    for (config, expected) in
        [("fail", "returned failure 107: bad record"), ("trap", "trapped: wasm `unreachable` instruction")]
    {
        let error = load(Limits::default()).instantiate("{}", config).err().unwrap();
        assert_eq!(error.fault(), Fault::User);
        assert_eq!(error.to_string(), "plugin misbehaving failed in open");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(expected), "{cause}");
        let checked = load(Limits::default()).check("{}", config).unwrap_err();
        assert_eq!(std::error::Error::source(&checked).unwrap().to_string(), cause, "known before anything starts");
    }
}
