//! What an instance may use.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Result, format_err};

/// Bounds of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, all memories of the instance together.
    pub memory_bytes: u64,
    /// The longest a call may take.
    pub call_deadline: Duration,
}

impl Default for Limits {
    /// 64 MiB and one second.
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, call_deadline: Duration::from_secs(1) }
    }
}

/// Elements of one table of functions; the largest seen (Python) has 20,000.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;
/// Core instances, tables and memories of one component; the largest seen (Python) has 50.
const PARTS_MAX: usize = 1000;

/// Counts the memory of one store. Growth beyond the limit is a trap and not the -1 that WebAssembly knows: guests
/// answer that with an abort that does not tell its reason.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    limit_bytes: u64,
    used_bytes: u64,
    exceeded: bool,
}

impl MemoryLimit {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, used_bytes: 0, exceeded: false }
    }

    /// True once the instance wanted more than its limit.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The plugin's own bound: it gets the -1 that it asked for.
            return Ok(false);
        }
        let used_bytes = (self.used_bytes + desired as u64).saturating_sub(current as u64);
        if used_bytes > self.limit_bytes {
            self.exceeded = true;
            return Err(format_err!("memory limit of {} bytes", self.limit_bytes));
        }
        self.used_bytes = used_bytes;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        // What the machine has left must not decide what a plugin computes.
        Err(error)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            return Err(format_err!("a table of {desired} elements, more than {TABLE_ELEMENTS_MAX}"));
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}
