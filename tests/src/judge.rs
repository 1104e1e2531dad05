//! The judge of `count`: for each key, the output must hold exactly 1..=n in order, n being how often the key is in the
//! input. Both topics are read by [`crate::reader`], so nothing that Weir says about itself is believed.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context as _, Result, ensure};
use rdkafka::message::Message as _;

use crate::broker::Broker;
use crate::reader;

/// What the judge found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Committed records of the input.
    pub input: u64,
    /// Committed records of the output.
    pub output: u64,
    /// Different keys in the input.
    pub keys: u64,
    /// Counts that should be in the output and are not.
    pub lost: u64,
    /// Counts that are in the output more than once, or beyond the last one.
    pub duplicated: u64,
    /// Counts that came after a higher one.
    pub disordered: u64,
}

impl Verdict {
    /// Whether each input record is reflected exactly once, in order.
    pub fn is_exact(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.disordered == 0 && self.input == self.output
    }

    /// Fails, saying the figures, unless it is exact and the input is not empty.
    pub fn expect_exact(self) -> Result<Self> {
        ensure!(self.input > 0, "the input is empty: nothing was judged");
        ensure!(self.is_exact(), "{self}");
        Ok(self)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, output, keys, lost, duplicated, disordered } = self;
        write!(
            f,
            "{input} in, {output} out, {keys} keys: {lost} lost, {duplicated} duplicated, {disordered} out of order"
        )
    }
}

/// Judges what `count` made of `input`.
pub fn judge_count(broker: &Broker, input: &str, output: &str) -> Result<Verdict> {
    judge_union(broker, &[input], HashMap::new(), output)
}

/// Judges what `count` made of all `inputs` together, and of what came from no topic: how often which key.
pub fn judge_union(
    broker: &Broker,
    inputs: &[&str],
    mut expected: HashMap<Vec<u8>, u64>,
    output: &str,
) -> Result<Verdict> {
    reader::settle(broker, output)?;
    for input in inputs {
        reader::visit(broker, input, |message| {
            if let Some(key) = message.key() {
                tally(&mut expected, key);
            }
        })?;
    }
    let mut counts: HashMap<Vec<u8>, Vec<u64>> = HashMap::new();
    let mut unreadable = None;
    reader::visit(broker, output, |message| match number(message.payload()) {
        Ok(count) => match counts.get_mut(message.key().unwrap_or_default()) {
            Some(counts) => counts.push(count),
            None => drop(counts.insert(message.key().unwrap_or_default().to_vec(), vec![count])),
        },
        Err(error) => unreadable = Some(error),
    })?;
    match unreadable {
        Some(error) => Err(error).with_context(|| format!("{output} holds what is no count")),
        None => Ok(compare(&expected, &counts)),
    }
}

fn tally(counts: &mut HashMap<Vec<u8>, u64>, key: &[u8]) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_vec(), 1)),
    }
}

fn number(value: Option<&[u8]>) -> Result<u64> {
    Ok(std::str::from_utf8(value.context("a null value")?)?.parse()?)
}

fn compare(expected: &HashMap<Vec<u8>, u64>, counts: &HashMap<Vec<u8>, Vec<u64>>) -> Verdict {
    let mut verdict = Verdict { keys: expected.len() as u64, ..Verdict::default() };
    for (key, &wanted) in expected {
        verdict.input += wanted;
        let found = counts.get(key).map_or(&[][..], Vec::as_slice);
        let mut sorted: Vec<u64> = found.iter().copied().filter(|&count| (1..=wanted).contains(&count)).collect();
        sorted.sort_unstable();
        sorted.dedup();
        verdict.output += found.len() as u64;
        verdict.lost += wanted - sorted.len() as u64;
        verdict.duplicated += (found.len() - sorted.len()) as u64;
        verdict.disordered += found.windows(2).filter(|pair| pair.first() > pair.last()).count() as u64;
    }
    for found in counts.iter().filter(|(key, _)| !expected.contains_key(*key)).map(|(_, found)| found.len() as u64) {
        verdict.output += found;
        verdict.duplicated += found;
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &[(&str, u64)], found: &[(&str, &[u64])], figures: (u64, u64, u64)) {
        let expected = expected.iter().map(|(key, count)| (key.as_bytes().to_vec(), *count)).collect();
        let found = found.iter().map(|(key, counts)| (key.as_bytes().to_vec(), counts.to_vec())).collect();
        let verdict = compare(&expected, &found);
        assert_eq!((verdict.lost, verdict.duplicated, verdict.disordered), figures, "{verdict}");
        assert_eq!(verdict.is_exact(), figures == (0, 0, 0), "{verdict}");
    }

    #[test]
    fn sees_what_is_lost_duplicated_and_out_of_order() {
        check(&[("a", 3), ("b", 1)], &[("a", &[1, 2, 3]), ("b", &[1])], (0, 0, 0));
        check(&[("a", 3)], &[("a", &[1, 3])], (1, 0, 0));
        check(&[("a", 3)], &[("a", &[1, 2, 2, 3])], (0, 1, 0));
        check(&[("a", 3)], &[("a", &[1, 2, 3, 4])], (0, 1, 0));
        check(&[("a", 3)], &[("a", &[2, 1, 3])], (0, 0, 1));
        check(&[("a", 3)], &[("a", &[1, 2, 1, 2, 3])], (0, 2, 1));
        check(&[("a", 1)], &[("a", &[1]), ("b", &[1])], (0, 1, 0));
        check(&[("a", 1)], &[], (1, 0, 0));
    }
}
