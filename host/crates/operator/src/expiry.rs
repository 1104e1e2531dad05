//! What time it is for the tables of a node that expire.

use weir_core::frame::NO_TIMESTAMP;
use weir_core::ports::{KeyedState, Now, Table, TimeDomain};
use weir_core::{Frame, Watermark};

/// See the module.
pub(crate) struct Expiry {
    /// The tables that expire.
    tables: Vec<Table>,
    /// How far event time has come, with all that was due by then fired: what is kept for a timer is there when it fires.
    event_ms: Option<i64>,
}

impl Expiry {
    /// Of a node with these tables, which event time has come so far for.
    pub(crate) fn new(tables: &[Table], watermark: Watermark) -> Self {
        Self { tables: expiring(tables), event_ms: watermark.as_ms() }
    }

    /// The node has these tables from now on.
    pub(crate) fn change(&mut self, tables: &[Table]) {
        self.tables = expiring(tables);
    }

    /// Event time has come to `to`, and what was due has fired. Not told of the end of time, by which nothing expires: what is
    /// read by the next start goes on before it.
    pub(crate) fn has_come(&mut self, to: Watermark, now_ms: i64, state: &mut dyn KeyedState) {
        self.event_ms = self.event_ms.max(to.as_ms());
        self.tell(None, now_ms, state);
    }

    /// Tells the state what time it is for a call with these records, or for none.
    pub(crate) fn tell(&self, records: Option<&Frame>, now_ms: i64, state: &mut dyn KeyedState) {
        if self.tables.is_empty() {
            return;
        }
        let latest_ms = || {
            let timestamps = records.into_iter().flat_map(Frame::records).map(|record| record.timestamp_ms);
            timestamps.filter(|ms| *ms != NO_TIMESTAMP).max()
        };
        let is_asked = self.tables.iter().any(|table| table.ttl.is_some_and(|ttl| ttl.domain() == TimeDomain::Event));
        let written_ms = if is_asked { self.event_ms.or_else(latest_ms) } else { None };
        let now = Now { event_ms: self.event_ms, written_ms, processing_ms: now_ms };
        state.set_time(now, &self.tables);
    }
}

fn expiring(tables: &[Table]) -> Vec<Table> {
    tables.iter().copied().filter(|table| table.ttl.is_some()).collect()
}
