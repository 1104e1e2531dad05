//! Lists and maps are read while a call runs; what is asked for is checked, and the state comes back whatever happens.

use std::ops::Range;

use weir_core::ports::{
    Call, CallError, CallState, CallTask, Change, Delta, Effects, KeyRef, KeyedState, Now, Operator, Table, TableKind,
};
use weir_core::{Epoch, Fault, PortError, TableId, Watermark};

use crate::calls::{frame, operator};

const PANIC: u32 = 2;
const SCAN: u32 = 11;
const GET: u32 = 12;

/// Answers with what it was asked.
struct Echo {
    fails: bool,
}

impl KeyedState for Echo {
    fn set_time(&mut self, _: Now, _: &[Table]) {}
    fn follow(&mut self) {}
    fn enter(&mut self, _: &[KeyRef<'_>]) {}
    fn prefetch(&mut self, _: &[Table], _: Range<u32>, _: &mut Vec<u8>) -> Result<(), PortError> {
        Ok(())
    }
    fn get_many(&mut self, table: Table, wanted: &[(u32, &[u8])], out: &mut Vec<u8>) -> Result<(), PortError> {
        wanted.iter().for_each(|wanted| out.extend_from_slice(format!("{table:?} {wanted:?};").as_bytes()));
        Ok(())
    }
    fn scan(&mut self, _: Table, slot: u32, start: &[u8], limit: u32, out: &mut Vec<u8>) -> Result<bool, PortError> {
        if self.fails {
            return Err(PortError::new(Fault::Transient, "the disk is gone"));
        }
        out.extend_from_slice(format!("slot {slot} from {start:?}, {limit}").as_bytes());
        Ok(true)
    }
    fn timers(&mut self, _: Table, _: Range<u16>, _: &[u8], _: usize, _: &mut Vec<Vec<u8>>) -> Result<(), PortError> {
        Ok(())
    }
    fn change(&mut self, _: u32, _: Table, _: Change<'_>) -> Result<(), PortError> {
        Ok(())
    }
    fn seal(&mut self, _: Epoch) -> Delta {
        Delta::default()
    }
    fn commit(&mut self, _: Epoch) {}
    fn bytes(&self) -> u64 {
        0
    }
    fn is_full(&mut self) -> bool {
        false
    }
}

fn state(kind: TableKind, fails: bool) -> Option<CallState> {
    let table = |id, kind| Table { id: TableId(id), kind, ttl: None };
    let mut state = CallState::new(Box::new(Echo { fails }), vec![table(7, TableKind::Value), table(8, kind)]);
    state.begin(2);
    Some(state)
}

/// A call whose first record has this slot; what it answers.
fn call(
    operator: &mut dyn Operator,
    input: u32,
    (slot, values): (u32, &[u8]),
    state: &mut Option<CallState>,
) -> Result<Vec<u8>, CallError> {
    let (frame, mut effects) = (frame(&[b"a"]), Effects::default());
    let had = state.is_some();
    let outcome = operator.process(
        Call {
            task: CallTask::Process(input),
            frame: &frame,
            slots: &[slot],
            values,
            now_ms: 5,
            watermark: Watermark::NONE,
            state,
        },
        &mut effects,
    );
    assert_eq!(state.is_some(), had, "it comes back");
    outcome.map(|()| effects.updates)
}

/// `{slot, key_len, key}`.
fn wanted(slot: u32, key: &[u8]) -> Vec<u8> {
    [&slot.to_le_bytes()[..], &(key.len() as u32).to_le_bytes(), key].concat()
}

#[test]
fn reads_reach_the_state_and_answers_the_guest() {
    let mut operator = operator();
    let mut list = state(TableKind::List, false);
    let answer = call(&mut *operator, SCAN, (1, b"k"), &mut list).unwrap();
    assert_eq!(answer, b"\x01slot 1 from [107], 2", "the first byte says that there is more");
    let asked = [wanted(1, b"k"), wanted(0, b"")].concat();
    let answer = call(&mut *operator, GET, (0, &asked), &mut state(TableKind::Map, false)).unwrap();
    let table = "Table { id: TableId(8), kind: Map, ttl: None }";
    assert_eq!(String::from_utf8(answer).unwrap(), format!("{table} (1, [107]);{table} (0, []);"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let cut = wanted(0, b"key")[..9].to_vec();
    let cases: [(u32, u32, Vec<u8>, TableKind, &str); 6] = [
        (SCAN, 2, vec![], TableKind::Map, "slot 2; the batch has 2 keys"),
        (SCAN, u32::MAX, vec![], TableKind::Map, "slot 4294967295"),
        (SCAN, 0, vec![], TableKind::Value, "a scan of table 1, which is a value"),
        (GET, 0, wanted(0, b"k"), TableKind::List, "get-many of table 1, which is a list"),
        (GET, 0, wanted(9, b"k"), TableKind::Map, "slot 9"),
        (GET, 0, cut, TableKind::Map, "cut"),
    ];
    let mut operator = operator();
    for (input, slot, values, kind, says) in cases {
        let error = call(&mut *operator, input, (slot, &values), &mut state(kind, false)).unwrap_err();
        assert!(matches!(error, CallError::Malformed { what: "read", .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error} should say {says}");
    }
    let error = call(&mut *operator, SCAN, (0, &[]), &mut None).unwrap_err().to_string();
    assert!(error.contains("by a plugin without tables"), "{error}");
    let error = call(&mut *operator, SCAN, (0, &[]), &mut state(TableKind::Map, true)).unwrap_err();
    assert!(matches!(&error, CallError::Host(_)) && error.to_string().contains("the disk is gone"), "{error:?}");
    let mut kept = state(TableKind::Map, false);
    assert!(call(&mut *operator, PANIC, (0, &[]), &mut kept).is_err());
    call(&mut *operator, SCAN, (0, &[]), &mut kept).unwrap();
}
