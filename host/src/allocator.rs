//! The allocator of Rust's side: batches are made on one thread and dropped on another, which the system's is slow at.
//! (C and C++, which are librdkafka and RocksDB, keep to the system's.)

use std::ffi::c_long;

pub use mimalloc::MiMalloc;

/// For how long memory that was freed is kept in case it is wanted again. The default of a second holds everything that
/// batches and deltas took at the worst moment of that second, some 70 MB more under a keyed job; shorter costs nothing
/// that could be measured.
const PURGE_DELAY_MS: c_long = 10;

/// `mi_option_purge_delay` of mimalloc.h, which the crate has no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has memory that nobody uses go back to the system soon, unless `MIMALLOC_PURGE_DELAY` says when. At the start of the
/// process.
#[expect(unsafe_code, reason = "an option of the allocator, set through its C interface")]
pub(crate) fn give_back_soon() {
    // SAFETY: sets a number that is read atomically.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "as above")]
    fn the_option_is_the_delay_of_a_purge() {
        // SAFETY: reads a number.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000, "mimalloc's default: another would be another option");
        give_back_soon();
        assert_eq!(delay(), PURGE_DELAY_MS);
    }
}
