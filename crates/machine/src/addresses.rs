//! Addresses of the host: a machine maps all of its physical addresses, and a process has 128 TiB.
//!
//! # Invariants
//!
//! 1. The machines that exist at a time do not ask for more addresses than [`Addresses::LIMIT`], unless one does alone.

use std::sync::{Condvar, Mutex, PoisonError};

/// Addresses that are in use.
static USED: Mutex<u64> = Mutex::new(0);
/// Told when some are given back.
static GIVEN_BACK: Condvar = Condvar::new();

/// The right to use some addresses; given back when dropped.
#[derive(Debug)]
pub struct Addresses {
    bytes: u64,
}

impl Addresses {
    /// The most that all machines of a process have together; the process needs some for itself.
    pub const LIMIT: u64 = 110 << 40;

    /// Waits until `bytes` addresses are free. A thread must have no others when it asks.
    #[must_use]
    pub fn take(bytes: u64) -> Self {
        let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && used.saturating_add(bytes) > Self::LIMIT {
            used = GIVEN_BACK.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(bytes);
        Self { bytes }
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        let mut used = USED.lock().unwrap_or_else(PoisonError::into_inner);
        *used -= self.bytes;
        GIVEN_BACK.notify_all();
    }
}
