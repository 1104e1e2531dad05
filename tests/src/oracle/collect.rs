//! Both topics, read again from the start when the job has stopped: read_committed, by a consumer of its own.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rdkafka::message::{BorrowedMessage, Message as _};
use serde::Deserialize;

use super::facts::{Input, Output, fingerprint};
use crate::broker::Broker;
use crate::reader;

/// A value of the output, as `oracle` writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    key: String,
    n: u64,
    prev: String,
    hash: String,
    value: String,
}

/// All of the input, and where each partition ends.
pub fn input(broker: &Broker, topic: &str) -> Result<(Vec<Input>, BTreeMap<i32, i64>)> {
    let (mut records, mut ends) = (Vec::new(), BTreeMap::new());
    let mut unreadable = None;
    reader::visit(broker, topic, |message| {
        ends.insert(message.partition(), message.offset() + 1);
        match read_input(message) {
            Ok(record) => records.push(record),
            Err(error) => unreadable = Some(error),
        }
    })?;
    match unreadable {
        Some(error) => Err(error).with_context(|| format!("{topic} holds what the generator did not write")),
        None => Ok((records, ends)),
    }
}

/// All of the output that is committed, once no transaction is open any more.
pub fn output(broker: &Broker, topic: &str) -> Result<Vec<Output>> {
    reader::settle(broker, topic)?;
    let mut records = Vec::new();
    let mut unreadable = None;
    reader::visit(broker, topic, |message| {
        match read_output(message.key().unwrap_or_default(), message.payload().unwrap_or_default()) {
            Ok(record) => {
                records.push(Output { partition: message.partition(), offset: message.offset(), ..record });
            }
            Err(error) => {
                unreadable =
                    Some(error.context(format!("partition {}, offset {}", message.partition(), message.offset())));
            }
        }
    })?;
    match unreadable {
        Some(error) => Err(error).with_context(|| format!("{topic} holds what the plugin oracle does not write")),
        None => Ok(records),
    }
}

fn read_input(message: &BorrowedMessage<'_>) -> Result<Input> {
    let key = std::str::from_utf8(message.key().context("a null key")?)?.to_owned();
    let sequence = std::str::from_utf8(message.payload().context("a null value")?)?.parse()?;
    Ok(Input { partition: message.partition(), key, sequence })
}

/// What a record of the output says; where it was is for the caller to fill in.
pub(super) fn read_output(key: &[u8], payload: &[u8]) -> Result<Output> {
    let value: Value = serde_json::from_slice(payload)?;
    ensure!(value.key.as_bytes() == key, "key {:?} inside a record of another key", value.key);
    Ok(Output {
        partition: 0,
        offset: 0,
        print: fingerprint(key, payload),
        n: value.n,
        prev: u64::from_str_radix(&value.prev, 16)?,
        hash: u64::from_str_radix(&value.hash, 16)?,
        sequence: value.value.parse()?,
        key: value.key,
    })
}
