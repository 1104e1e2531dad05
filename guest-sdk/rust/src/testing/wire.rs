//! The host's side of the bytes: builds what a call takes, checks what it gives.

use std::collections::HashMap;

use super::message::{Message, Output};
use super::stored::Stored;
use crate::Failure;
use crate::frame::{Cursor, Frame, FrameWriter, NULL, length};
use crate::record::HeaderList;

/// The frame of a batch.
pub(crate) fn frame(batch: &[Message]) -> Vec<u8> {
    let mut writer = FrameWriter::default();
    let mut headers = HeaderList::new();
    for (source, message) in (0..).zip(batch) {
        writer.push(&message.as_record(&mut headers), source);
    }
    writer.finish().map_or_else(|| vec![1, 0, 0, 0, 0, 0, 0, 0], <[u8]>::to_vec)
}

/// The slot of each record, and the key of each slot.
pub(crate) fn slots(batch: &[Message]) -> (Vec<u32>, Vec<Vec<u8>>) {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut slot_of: HashMap<&[u8], u32> = HashMap::new();
    let slots = batch
        .iter()
        .map(|message| match message.key.as_deref() {
            None => NULL,
            Some(key) => *slot_of.entry(key).or_insert_with(|| {
                keys.push(key.to_vec());
                (keys.len() - 1) as u32
            }),
        })
        .collect();
    (slots, keys)
}

/// The values of `tables` for each of `keys`.
pub(crate) fn values(tables: &[&'static str], keys: &[Vec<u8>], stored: &Stored) -> Vec<u8> {
    let mut out = Vec::new();
    for key in keys {
        tables.iter().for_each(|table| push_value(&mut out, stored.value(table, key)));
    }
    out
}

/// The records of the frames an instance emitted for a batch of `batch_len` records, output by output.
pub(crate) fn outputs(frames: &[(u32, Vec<u8>)], batch_len: usize) -> Result<Vec<Output>, Failure> {
    let mut out = Vec::new();
    for (output, bytes) in frames {
        let mut frame = Frame::new(bytes)?;
        while let Some((source, record)) = frame.next_with_source()? {
            if source as usize >= batch_len {
                return Err(Failure::new(format!("record with source {source}, in a batch of {batch_len}")));
            }
            out.push(Output { output: *output, source, message: Message::of_record(&record) });
        }
    }
    out.sort_by_key(|o| o.output);
    Ok(out)
}

/// One update of state, or a record that is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Update<'a> {
    pub(crate) op: Op,
    /// The table, or the code of the failure.
    pub(crate) table: u32,
    /// The slot, or the record.
    pub(crate) slot: u32,
    /// The key of a map's entry, for a put or a delete.
    pub(crate) entry: Option<&'a [u8]>,
    /// The value, or the message; `None` for a clear or a delete.
    pub(crate) value: Option<&'a [u8]>,
}

/// What an update does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Set,
    Clear,
    Reject,
    Append,
    Put,
    Delete,
    Merge,
    SetTimer,
    CancelTimer,
}

/// Reads updates as strictly as the host does.
pub(crate) fn updates(bytes: &[u8]) -> Result<Vec<Update<'_>>, Failure> {
    let mut cursor = Cursor::new(bytes, 0);
    let mut out: Vec<Update<'_>> = Vec::new();
    let mut reject_next = 0;
    while !cursor.is_at_end() {
        let update = update(&mut cursor)?;
        if update.op == Op::Reject {
            if update.slot < reject_next {
                return Err(Failure::new(format!("record {} is rejected twice or out of order", update.slot)));
            }
            reject_next = update.slot.saturating_add(1);
        }
        out.push(update);
    }
    Ok(out)
}

fn update<'a>(cursor: &mut Cursor<'a>) -> Result<Update<'a>, Failure> {
    let cut = || Failure::new("updates end inside an update");
    let op = cursor.u8().ok_or_else(cut)?;
    let table = cursor.u32().ok_or_else(cut)?;
    let slot = cursor.u32().ok_or_else(cut)?;
    let bytes = cursor.sized().ok_or_else(cut)?.ok_or_else(|| Failure::new("update with a null length"))?;
    let (op, entry, value) = match (op, bytes) {
        (1, value) => (Op::Set, None, Some(value)),
        (2, []) => (Op::Clear, None, None),
        (2, _) => return Err(Failure::new("clear with a value")),
        (3, message) if str::from_utf8(message).is_err() => return Err(Failure::new("a message that is not UTF-8")),
        (3, message) => (Op::Reject, None, Some(message)),
        (4, value) => (Op::Append, None, Some(value)),
        (5, bytes) => {
            let mut put = Cursor::new(bytes, 0);
            let entry = put.sized().flatten().ok_or_else(cut)?;
            (Op::Put, Some(entry), bytes.get(put.at()..))
        }
        (6, entry) => (Op::Delete, Some(entry), None),
        (7, addend) => (Op::Merge, None, Some(addend)),
        (8, time) if time.len() == 8 => (Op::SetTimer, None, Some(time)),
        (9, time) if time.len() == 8 => (Op::CancelTimer, None, Some(time)),
        (8 | 9, _) => return Err(Failure::new("a timer without a time of 8 bytes")),
        _ => return Err(Failure::new(format!("unknown update {op}"))),
    };
    Ok(Update { op, table, slot, entry, value })
}

/// The value of each entry that get-many is asked for.
pub(crate) fn get_many<'a>(wanted: &[u8], mut get: impl FnMut(u32, &[u8]) -> Option<&'a [u8]>) -> Option<Vec<u8>> {
    let (mut cursor, mut out) = (Cursor::new(wanted, 0), Vec::new());
    while !cursor.is_at_end() {
        push_value(&mut out, get(cursor.u32()?, cursor.sized()??));
    }
    Some(out)
}

/// The answer of a scan over `entries`, which are in order.
pub(crate) fn scan<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>, limit: u32) -> Vec<u8> {
    let (mut entries, mut answer) = (entries.peekable(), Vec::new());
    for (key, value) in entries.by_ref().take(limit as usize) {
        push_value(&mut answer, Some(key));
        push_value(&mut answer, Some(value));
    }
    answer.insert(0, u8::from(entries.peek().is_some()));
    answer
}

fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.extend_from_slice(&length(value).to_le_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}
