//! How RocksDB is set up, and how the memory budget is split.

use std::sync::Arc;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, LogLevel, Options,
};

use super::expiry::{Expiry, Filters};

/// The split of `--state-memory`. The parts add up to the whole:
///
/// | part | share | of 128 MiB |
/// |---|---|---|
/// | overlays, committed layer and cache of all tasks | 1/2 | 64 MiB |
/// | two memtables | 1/8 | 2 × 8 MiB |
/// | block cache, with index and filter partitions | 1/8 | 16 MiB |
/// | deltas that wait or are being applied | 1/8 | 16 MiB |
/// | the batch made of half of them, at most | 1/8 | 16 MiB |
///
/// Changes of an epoch that is not applied yet cannot be evicted. Where they fill a task's share it is full: it takes
/// nothing more, the epoch ends early, and the applier hurries. Beyond the share come the batch in hand, and what was
/// under way to the task when the barrier was put in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// For all tasks together.
    pub(crate) tasks: u64,
    /// For deltas that are not applied; beyond it the caller waits.
    pub(crate) waiting: u64,
    memtable: usize,
    block_cache: usize,
}

impl Budget {
    /// Splits `memory_bytes`.
    pub(crate) fn of(memory_bytes: u64) -> Self {
        let part = |parts: u64| usize::try_from(memory_bytes / parts).unwrap_or(usize::MAX);
        Self {
            tasks: memory_bytes / 2,
            waiting: memory_bytes / 8,
            // RocksDB wants at least 64 KiB of each.
            memtable: part(16).max(64 << 10),
            block_cache: part(8).max(64 << 10),
        }
    }
}

/// What has expired is gone from the disk so long after, at the latest.
const EXPIRED_WITHIN_SECONDS: u64 = 24 * 60 * 60;

/// The options of the one database of a shard.
pub(crate) fn options(budget: Budget) -> Options {
    let mut options = base();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&tables(budget));
    // The level of new files and the one below it, 256 MiB, are read most: they are not unpacked for each read. What the
    // last one says holds for all others.
    options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::None, DBCompressionType::Lz4]);
    options.set_write_buffer_size(budget.memtable);
    options.set_max_write_buffer_number(2);
    // Most reads are of keys that no memtable has: they need not go through a skip list to find that out.
    options.set_memtable_prefix_bloom_ratio(0.1);
    options.set_memtable_whole_key_filtering(true);
    options.set_max_background_jobs(2);
    options.set_target_file_size_base(32 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    // Each open file keeps memory; beyond these they are opened again.
    options.set_max_open_files(256);
    // Spreads the writes of flush and compaction, so that they do not pile up in front of the log's fdatasync.
    options.set_bytes_per_sync(1 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}

/// The same for a store whose compactions drop what has expired, and come by all of it once a day.
pub(super) fn expiring(mut options: Options, expiry: &Arc<Expiry>) -> Options {
    options.set_compaction_filter_factory(Filters(Arc::clone(expiry)));
    options.set_periodic_compaction_seconds(EXPIRED_WITHIN_SECONDS);
    options
}

/// What can only be said in words. Closing must not flush: the disk may hang, and what it would write comes back from
/// the epoch log. A clean stop flushes before, where it is watched.
fn base() -> Options {
    const WORDS: &str = "avoid_flush_during_shutdown=true";
    let parsed = Options::default().get_options_from_string(WORDS);
    parsed.expect("RocksDB knows its own options; a test closes a store and looks")
}

/// Index and filter are partitioned and live in the block cache: memory stays bounded when the state grows.
fn tables(budget: Budget) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(&Cache::new_lru_cache(budget.block_cache));
    tables.set_block_size(4 << 10);
    // Reads are of single keys: in a block they are found by their hash.
    tables.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    tables.set_data_block_hash_ratio(0.75);
    tables.set_bloom_filter(10.0, false);
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_partition_filters(true);
    tables.set_metadata_block_size(4 << 10);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables.set_pin_top_level_index_and_filter(true);
    tables
}
