//! What was done and how long recovery took, over all lanes, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use weir_tests::oracle::{Kind, Verdict};

use crate::schedule::{Fault, Place};

/// The recoveries of one place and fault.
#[derive(Debug, Default)]
struct Cell {
    runs: usize,
    /// From the fault to the first new committed output; sorted.
    times: Vec<Duration>,
}

/// The figures so far.
#[derive(Debug, Default)]
pub(crate) struct Board {
    cells: BTreeMap<(&'static str, Fault), Cell>,
    /// Runs that were carried out.
    pub(crate) runs: u64,
    /// Jobs that were judged, and what they processed.
    pub(crate) jobs: u64,
    pub(crate) records: u64,
    /// Processes started, and recoveries in place.
    pub(crate) starts: u64,
    pub(crate) in_place: u64,
    /// What the judge found.
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) divergent: u64,
    /// Runs that failed, whatever the judge says.
    pub(crate) failures: u64,
}

impl Board {
    /// A fault struck.
    pub(crate) fn struck(&mut self, place: Place, fault: Fault) {
        self.cells.entry((place.name(), fault)).or_default().runs += 1;
    }

    /// The job has recovered from it after `time`.
    pub(crate) fn recovered(&mut self, place: Place, fault: Fault, time: Duration) {
        let times = &mut self.cells.entry((place.name(), fault)).or_default().times;
        times.insert(times.partition_point(|one| *one <= time), time);
    }

    /// A job was judged.
    pub(crate) fn judged(&mut self, verdict: &Verdict) {
        self.jobs += 1;
        self.records += verdict.input as u64;
        self.lost += verdict.count(Kind::Lost);
        self.duplicated += verdict.count(Kind::Duplicated);
        self.divergent += verdict.divergent();
    }

    /// How many faults struck.
    pub(crate) fn faults(&self) -> usize {
        self.cells.values().map(|cell| cell.runs).sum()
    }

    /// Whether everything is as promised.
    pub(crate) fn is_exact(&self) -> bool {
        (self.lost, self.duplicated, self.divergent, self.failures) == (0, 0, 0, 0)
    }

    /// The one line that counts.
    pub(crate) fn summary(&self) -> String {
        let Self { runs, lost, duplicated, divergent, .. } = self;
        let failed = if self.failures > 0 { format!(", {} FAILED", self.failures) } else { String::new() };
        format!("{runs} runs, {lost} lost, {duplicated} duplicated, {divergent} divergent{failed}")
    }

    /// How much that was.
    pub(crate) fn effort(&self) -> String {
        let Self { jobs, records, starts, in_place, .. } = self;
        let faults = self.faults();
        format!(
            "{faults} faults, {starts} starts, {in_place} recoveries in place, {jobs} jobs, {records} records judged"
        )
    }

    /// The table, as markdown that also reads well as it is: `runs: p50 / p99` in seconds.
    pub(crate) fn table(&self) -> String {
        let faults: Vec<Fault> =
            Fault::ALL.into_iter().filter(|fault| self.cells.keys().any(|at| at.1 == *fault)).collect();
        let mut rows =
            vec![["crash point"].into_iter().chain(faults.iter().map(|f| f.name())).map(str::to_owned).collect()];
        for place in Place::all() {
            let cells: Vec<_> = faults.iter().map(|fault| self.cells.get(&(place.name(), *fault))).collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().map(|cell| cell.map_or_else(String::new, Cell::show));
                rows.push([place.name().to_owned()].into_iter().chain(cells).collect::<Vec<_>>());
            }
        }
        align(&rows)
    }
}

impl Cell {
    fn show(&self) -> String {
        let at = |part: f64| {
            let last = self.times.len().saturating_sub(1) as f64;
            self.times.get((last * part).ceil() as usize).map(Duration::as_secs_f64)
        };
        match (at(0.5), at(0.99)) {
            (Some(p50), Some(p99)) => format!("{}: {p50:.2} / {p99:.2}", self.runs),
            _ => self.runs.to_string(),
        }
    }
}

fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            write!(text, "| {cell:width$} ").expect("a String takes everything");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                write!(text, "|{:-<1$}", "", width + 2).expect("a String takes everything");
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_runs_and_times() {
        let mut board = Board::default();
        for milliseconds in [900, 1100, 1000] {
            board.struck(Place::Moment, Fault::Kill);
            board.recovered(Place::Moment, Fault::Kill, Duration::from_millis(milliseconds));
        }
        board.struck(Place::Broker, Fault::Pause);
        board.runs = 2;
        let expected = "\
| crash point | kill -9        | pause |
|-------------|----------------|-------|
| any-moment  | 3: 1.00 / 1.10 |       |
| broker      |                | 1     |
";
        assert_eq!(board.table(), expected);
        assert_eq!(board.summary(), "2 runs, 0 lost, 0 duplicated, 0 divergent");
        assert!(board.is_exact());
        board.failures = 1;
        assert!(!board.is_exact());
        assert_eq!(board.summary(), "2 runs, 0 lost, 0 duplicated, 0 divergent, 1 FAILED");
    }
}
