//! The 1024 buckets of the key space. The number is part of every state format: it never changes.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How many key groups there are.
pub const KEY_GROUPS: u16 = 1024;

/// One bucket of the key space, 0..1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyGroup(pub u16);

/// The hash that slots, caches and key groups share: computed once per record.
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

impl KeyGroup {
    /// `xxh3_64(key) mod 1024`.
    pub fn of_hash(hash: u64) -> Self {
        Self((hash % u64::from(KEY_GROUPS)) as u16)
    }

    /// Which of `parallelism` tasks owns this key group: contiguous ranges of nearly equal size.
    ///
    /// ```
    /// use weir_core::key_group::KeyGroup;
    /// assert_eq!([0, 341, 342, 1023].map(|group| KeyGroup(group).task_of(3)), [0, 0, 1, 2]);
    /// ```
    pub fn task_of(self, parallelism: u16) -> u16 {
        (u32::from(self.0) * u32::from(parallelism) / u32::from(KEY_GROUPS)) as u16
    }
}

/// The key groups of one of `parallelism` tasks.
pub fn groups_of(task: u16, parallelism: u16) -> Range<u16> {
    // The first group of a task: the least g with g * parallelism / KEY_GROUPS >= task.
    let first = |task: u16| (u32::from(task) * u32::from(KEY_GROUPS)).div_ceil(u32::from(parallelism.max(1))) as u16;
    first(task)..first(task.saturating_add(1)).min(KEY_GROUPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_owns_a_contiguous_share() {
        for parallelism in [1, 2, 3, 7, 16, 1024] {
            let owners: Vec<u16> = (0..KEY_GROUPS).map(|g| KeyGroup(g).task_of(parallelism)).collect();
            assert!(owners.is_sorted(), "ranges are contiguous");
            assert_eq!(owners.first(), Some(&0));
            assert_eq!(owners.last(), Some(&(parallelism - 1)));
            for task in 0..parallelism {
                let mine = groups_of(task, parallelism);
                assert!((0..KEY_GROUPS).all(|g| mine.contains(&g) == (KeyGroup(g).task_of(parallelism) == task)));
            }
        }
    }

    #[test]
    fn the_hash_is_pinned() {
        // State on disk depends on it.
        assert_eq!(key_hash(b"weir"), xxh3_64(b"weir"));
        assert_eq!(key_hash(b""), 0x2d06_8005_38d3_94c2);
    }
}
