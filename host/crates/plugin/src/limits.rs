//! What an instance may use.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Result, format_err};

/// Bounds of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All memories and tables of the instance together.
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

/// What an element of a table takes: wasmtime keeps a pointer, outside of linear memory.
const ELEMENT_BYTES: u64 = 8;
/// Core instances, tables and memories of one component; the largest seen (Python) has 50.
const PARTS_MAX: usize = 1000;

/// Counts the memory of one store, in memories and tables. Growth beyond the limit is a trap and not the -1 that
/// WebAssembly knows: guests answer that with an abort that does not tell its reason.
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

    fn grow(&mut self, current_bytes: u64, desired_bytes: u64) -> Result<bool> {
        let used_bytes = self.used_bytes.saturating_add(desired_bytes).saturating_sub(current_bytes);
        if used_bytes > self.limit_bytes {
            self.exceeded = true;
            return Err(format_err!("memory limit of {} bytes", self.limit_bytes));
        }
        self.used_bytes = used_bytes;
        Ok(true)
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The plugin's own bound: it gets the -1 that it asked for.
            return Ok(false);
        }
        self.grow(current as u64, desired as u64)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        // What the machine has left must not decide what a plugin computes.
        Err(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = |elements: usize| (elements as u64).saturating_mul(ELEMENT_BYTES);
        self.grow(bytes(current), bytes(desired))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        Err(error)
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
