//! Values and updates against the golden vectors of `wit/`, and what a batch sees of its own changes.
use serde::Deserialize;

use super::*;
use crate::testing::vectors::{Hex, read};
use crate::testing::wire;
use crate::timer;
use crate::update::{Queue, push_reject};

#[derive(Deserialize)]
struct Values {
    valid: Vec<ValidValues>,
    invalid: Vec<InvalidValues>,
}

#[derive(Deserialize)]
struct ValidValues {
    name: String,
    tables: usize,
    slots: Vec<Vec<Option<Hex>>>,
    hex: Hex,
}

#[derive(Deserialize)]
struct InvalidValues {
    name: String,
    tables: usize,
    hex: Hex,
}

const BYTES: ValueTable<Vec<u8>> = ValueTable::new("bytes");
const BOTH: [CellTable; 2] = [CellTable { index: 0, is_set: true }, CellTable { index: 1, is_set: true }];

#[test]
fn values_are_read_as_the_vectors_say() {
    let mut cells = Cells::default();
    for vector in read::<Values>("values.json").valid {
        cells.load(&vector.hex, vector.tables).unwrap();
        assert_eq!(cells.used, vector.slots.len() * vector.tables, "{}", vector.name);
        for (index, expected) in vector.slots.iter().flatten().enumerate() {
            let seen = cells.value(BYTES, Ok(index), &vector.hex).get().unwrap();
            assert_eq!(seen.as_deref(), expected.as_deref(), "{}", vector.name);
        }
        let beyond = cells.value(BYTES, Ok(cells.used), &vector.hex).get();
        assert_eq!(beyond.unwrap_err().code, failure::HOST, "{}", vector.name);
    }
    for vector in read::<Values>("values.json").invalid {
        assert_eq!(cells.load(&vector.hex, vector.tables).unwrap_err().code, failure::HOST, "{}", vector.name);
    }
}

#[derive(Deserialize)]
struct Updates {
    valid: Vec<ValidUpdates>,
    invalid: Vec<InvalidUpdates>,
}

#[derive(Deserialize)]
struct ValidUpdates {
    name: String,
    updates: Vec<Update>,
    hex: Hex,
}

#[derive(Deserialize)]
struct InvalidUpdates {
    name: String,
    hex: Hex,
}

#[derive(Deserialize)]
struct Update {
    op: String,
    table: u32,
    slot: u32,
    entry: Option<Hex>,
    value: Option<Hex>,
}

#[test]
fn updates_are_read_and_written_as_the_vectors_say() {
    let mut written = 0;
    for vector in read::<Updates>("updates.json").valid {
        let seen = wire::updates(&vector.hex).unwrap();
        assert_eq!(seen.len(), vector.updates.len(), "{}", vector.name);
        for (seen, expected) in seen.iter().zip(&vector.updates) {
            let op = match expected.op.as_str() {
                "set" => wire::Op::Set,
                "clear" => wire::Op::Clear,
                "reject" => wire::Op::Reject,
                "append" => wire::Op::Append,
                "put" => wire::Op::Put,
                "delete" => wire::Op::Delete,
                "merge" => wire::Op::Merge,
                "set-timer" => wire::Op::SetTimer,
                "cancel-timer" => wire::Op::CancelTimer,
                other => panic!("{other}"),
            };
            let (table, slot, value) = (expected.table, expected.slot, expected.value.as_deref());
            let entry = expected.entry.as_deref();
            assert_eq!(*seen, wire::Update { op, table, slot, entry, value }, "{}", vector.name);
        }
        // What the SDK writes has one update for each value; two tables and eight slots hold all of the vectors.
        if let [update] = vector.updates.as_slice() {
            if update.op == "reject" {
                let message = String::from_utf8(update.value.as_deref().unwrap().to_vec()).unwrap();
                let mut out = Vec::new();
                push_reject(&mut out, update.slot, &Failure::new(message).with_code(update.table));
                assert_eq!(out, *vector.hex, "{}", vector.name);
                written += 1;
                continue;
            }
            if let "append" | "put" | "delete" = update.op.as_str() {
                let (mut collections, mut out, place) =
                    (Collections::default(), Vec::new(), (update.slot, update.table));
                let value = update.value.as_deref().map(<[u8]>::to_vec);
                match &update.entry {
                    Some(entry) => collections.put(place, entry.to_vec(), value),
                    None => collections.append(place, value.unwrap()),
                }
                collections.push_updates(&mut out);
                assert_eq!(out, *vector.hex, "{}", vector.name);
                written += 1;
                continue;
            }
            if let "set-timer" | "cancel-timer" | "merge" = update.op.as_str() {
                let at_ms = i64::from_le_bytes(update.value.as_deref().unwrap().try_into().unwrap());
                let (mut queue, mut out, place) = (Queue::default(), Vec::new(), (update.slot, update.table));
                match update.op.as_str() {
                    "set-timer" => timer::set(&mut queue, place, at_ms).unwrap(),
                    "cancel-timer" => timer::cancel(&mut queue, place, at_ms).unwrap(),
                    _ => queue.push_value(7, place, &at_ms).unwrap(),
                }
                queue.push_updates(&mut out);
                assert_eq!(out, *vector.hex, "{}", vector.name);
                written += 1;
                continue;
            }
            let mut cells = Cells::default();
            cells.load(&[0xff; 2 * 8 * 4], 2).unwrap();
            let cell = cells.value(BYTES, Ok(update.slot as usize * 2 + update.table as usize), &[]);
            match &update.value {
                Some(value) => cell.set(&value.to_vec()).unwrap(),
                None => cell.clear().unwrap(),
            }
            assert_eq!(cells.updates(&BOTH, &[]), *vector.hex, "{}", vector.name);
            written += 1;
        }
    }
    assert_eq!(written, 13);
    for vector in read::<Updates>("updates.json").invalid {
        assert!(wire::updates(&vector.hex).is_err(), "{}", vector.name);
    }
}

#[test]
fn a_batch_sees_its_own_changes_and_sends_the_last() {
    let values = [&3u32.to_le_bytes()[..], b"old"].concat();
    let mut cells = Cells::default();
    cells.load(&values, 1).unwrap();
    assert_eq!(cells.updates(&BOTH[..1], &[]), b"");
    let mut value = |change: &dyn Fn(Value<'_, Vec<u8>>)| {
        change(cells.value(BYTES, Ok(0), &values));
        let seen = cells.value(BYTES, Ok(0), &values).get().unwrap();
        (seen, cells.updates(&BOTH[..1], &[]))
    };
    let set = |bytes: &[u8]| [&[1, 0, 0, 0, 0, 0, 0, 0, 0][..], &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    assert_eq!(value(&|v| v.set(&b"one".to_vec()).unwrap()), (Some(b"one".to_vec()), set(b"one")));
    assert_eq!(value(&|v| v.clear().unwrap()), (None, vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(value(&|v| v.set(&Vec::new()).unwrap()), (Some(Vec::new()), set(b"")));
    // The next batch starts from what the host says.
    cells.load(&values, 1).unwrap();
    assert_eq!(cells.value(BYTES, Ok(0), &values).get().unwrap().as_deref(), Some(&b"old"[..]));
}

#[test]
fn what_a_record_changed_is_taken_back_and_nothing_else() {
    let values = [&3u32.to_le_bytes()[..], b"old", &NULL.to_le_bytes()].concat();
    let mut cells = Cells::default();
    cells.load(&values, 2).unwrap();
    let set = |cells: &mut Cells, index, bytes: &[u8]| {
        cells.value(BYTES, Ok(index), &values).set(&bytes.to_vec()).unwrap();
    };
    let get = |cells: &mut Cells, index| cells.value(BYTES, Ok(index), &values).get().unwrap();
    // The first record sets twice, clears, and is undone.
    set(&mut cells, 0, b"lost");
    set(&mut cells, 0, b"lost too");
    cells.value(BYTES, Ok(1), &values).clear().unwrap();
    cells.undo(0, 2);
    assert_eq!((get(&mut cells, 0), get(&mut cells, 1)), (Some(b"old".to_vec()), None));
    assert_eq!(cells.updates(&BOTH, b""), b"");
    // What the second one sets stays when the third is undone, and when the fourth, which changed nothing, is.
    cells.next_record();
    set(&mut cells, 0, b"kept");
    cells.next_record();
    set(&mut cells, 0, b"lost");
    cells.value(BYTES, Ok(0), &values).clear().unwrap();
    set(&mut cells, 1, b"lost");
    cells.undo(0, 2);
    cells.next_record();
    cells.undo(0, 2);
    assert_eq!((get(&mut cells, 0), get(&mut cells, 1)), (Some(b"kept".to_vec()), None));
    // Other slots are not touched.
    set(&mut cells, 0, b"stays");
    cells.undo(1, 2);
    cells.undo(NULL, 2);
    assert_eq!(get(&mut cells, 0), Some(b"stays".to_vec()));
}

#[test]
fn values_of_every_type_are_read_back() {
    fn check<T: StateValue + PartialEq + std::fmt::Debug>(value: T, bytes: &[u8]) {
        let mut out = b"before".to_vec();
        value.encode(&mut out).unwrap();
        assert_eq!(out, [b"before", bytes].concat());
        assert_eq!(T::decode(bytes).unwrap(), value);
    }
    check(1u8, &[1]);
    check(0x0102_0304_0506_0708u64, &[8, 7, 6, 5, 4, 3, 2, 1]);
    check(-2i32, &[0xfe, 0xff, 0xff, 0xff]);
    check(1.5f64, &1.5f64.to_le_bytes());
    check(b"\xff".to_vec(), b"\xff");
    check("é".to_owned(), "é".as_bytes());
    check(Json(vec![1, 2]), b"[1,2]");
    for bad in [&b""[..], b"1234567", b"123456789"] {
        assert!(u64::decode(bad).is_err());
    }
    assert!(String::decode(b"\xff").is_err() && Json::<u8>::decode(b"[]").is_err());
}
