//! `host dead-letters list`: a table of letters.

use std::collections::VecDeque;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use weir_core::letter;
use weir_core::text::printable;

use super::{FilterArgs, TopicArgs, moment};
use crate::cli::{print, print_json};
use crate::compose::letters::{Letter, Spot};

/// What `host dead-letters list` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// How many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A letter in the table.
struct Row {
    time_ms: Option<i64>,
    spot: Spot,
    operator: String,
    kind: String,
    record: String,
    message: String,
}

/// Reads the whole topic: only so it is known which letters are the newest.
pub(super) fn execute(args: &Args) -> Result<ExitCode> {
    let topic = args.topic.open()?;
    let (mut rows, mut all): (VecDeque<Row>, u64) = (VecDeque::new(), 0);
    topic.read(topic.all()?, |letter| {
        if args.filter.takes(&letter) {
            all += 1;
            rows.push_back(Row::of(&letter));
        }
        // Partitions are read side by side, so some more are kept than are wanted.
        if rows.len() > args.limit.max(1_000).saturating_mul(2) {
            rows.make_contiguous().sort_by_key(Row::age);
            rows.drain(..rows.len() - args.limit);
        }
        Ok(())
    })?;
    let mut rows = Vec::from(rows);
    rows.sort_by_key(Row::age);
    let rows = rows.split_off(rows.len().saturating_sub(args.limit));
    if args.json {
        let letters: Vec<Value> = rows.iter().map(Row::view).collect();
        print_json(&serde_json::to_string_pretty(&json!({ "letters": letters, "all": all }))?)?;
    } else {
        print(&table(&rows, all))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Row {
    fn of(letter: &Letter<'_>) -> Self {
        let text = |name| letter.text(name).unwrap_or_default().into_owned();
        let due = letter.text(letter::DUE_NAME).map(std::borrow::Cow::into_owned);
        Self {
            time_ms: letter.number(letter::TIME),
            spot: letter.spot,
            operator: text(letter::OPERATOR),
            kind: text(letter::KIND),
            record: due.or_else(|| letter.origin()).unwrap_or_default(),
            message: text(letter::MESSAGE),
        }
    }

    fn age(&self) -> (Option<i64>, Spot) {
        (self.time_ms, self.spot)
    }

    fn view(&self) -> Value {
        json!({
            "partition": self.spot.partition,
            "offset": self.spot.offset,
            "time_ms": self.time_ms,
            "operator": self.operator,
            "kind": self.kind,
            "record": self.record,
            "message": self.message,
        })
    }

    fn cells(&self) -> [String; 6] {
        [
            self.spot.to_string(),
            moment(self.time_ms),
            printable(&self.operator).into_owned(),
            printable(&self.kind).into_owned(),
            printable(&self.record).into_owned(),
            printable(&self.message).into_owned(),
        ]
    }
}

/// Columns as wide as what is in them; the last is as long as it is.
fn table(rows: &[Row], all: u64) -> String {
    let heads = ["LETTER", "TIME", "OPERATOR", "KIND", "RECORD", "MESSAGE"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(heads).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    match all.saturating_sub(rows.len() as u64) {
        0 => out,
        older => format!("{out}{older} older ones are not shown: give --limit\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_acts_on_no_terminal() {
        let row = |offset, record: &str| Row {
            time_ms: Some(0),
            spot: Spot { partition: 0, offset },
            operator: "count".into(),
            kind: "trap".into(),
            record: record.into(),
            message: "no\u{1b}[31m red".into(),
        };
        let shown = table(&[row(7, "clicks[0] offset 5"), row(12, "a timer")], 3);
        let wanted = "\
LETTER  TIME                      OPERATOR  KIND  RECORD              MESSAGE
0:7     1970-01-01T00:00:00.000Z  count     trap  clicks[0] offset 5  no\\u{1b}[31m red
0:12    1970-01-01T00:00:00.000Z  count     trap  a timer             no\\u{1b}[31m red
1 older ones are not shown: give --limit
";
        assert_eq!(shown, wanted);
    }
}
