//! The host's side of the bytes: builds what a call takes, checks what it gives.

use std::collections::HashMap;

use super::message::{Message, Output};
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
pub(crate) fn values(tables: &[String], keys: &[Vec<u8>], state: &HashMap<(String, Vec<u8>), Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for key in keys {
        for table in tables {
            let value = state.get(&(table.clone(), key.clone())).map(Vec::as_slice);
            out.extend_from_slice(&length(value).to_le_bytes());
            out.extend_from_slice(value.unwrap_or_default());
        }
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
    /// The value, or the message; `None` for a clear.
    pub(crate) value: Option<&'a [u8]>,
}

/// What an update does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Set,
    Clear,
    Reject,
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
    match (op, bytes) {
        (1, value) => Ok(Update { op: Op::Set, table, slot, value: Some(value) }),
        (2, []) => Ok(Update { op: Op::Clear, table, slot, value: None }),
        (2, _) => Err(Failure::new("clear with a value")),
        (3, message) if str::from_utf8(message).is_err() => Err(Failure::new("a message that is not UTF-8")),
        (3, message) => Ok(Update { op: Op::Reject, table, slot, value: Some(message) }),
        _ => Err(Failure::new(format!("unknown update {op}"))),
    }
}
