//! Shares the host's addresses between machines: a machine maps all of its physical addresses, and a process has 128
//! TiB.
//!
//! # Invariants
//!
//! 1. The machines that exist at the same time use at most [`Addresses::LIMIT`] addresses, except that one machine
//!    alone may use more.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::config::HOST_ADDRESSES;

/// Addresses that the host puts between the parts of a process.
const OWN: u64 = 1 << 40;
/// Bytes of the process itself.
const OWN_MEMORY: u64 = 1 << 30;

/// The number of addresses in use.
static USED: Mutex<u64> = Mutex::new(0);
/// Notified when addresses are given back.
static GIVEN_BACK: Condvar = Condvar::new();

/// The right to use some addresses. Dropping it gives them back.
#[derive(Debug)]
pub struct Addresses {
    bytes: u64,
}

impl Addresses {
    /// The largest number of addresses of all machines of a process; the process needs the rest for itself.
    pub const LIMIT: u64 = 110 << 40;

    /// The number of addresses that one machine can have when no other exists: those of a process, without what the
    /// process needs for itself; fewer if the process may not have so many (`ulimit -v`).
    #[must_use]
    pub fn available() -> u64 {
        let allowed = rustix::process::getrlimit(rustix::process::Resource::As).current.unwrap_or(u64::MAX);
        HOST_ADDRESSES.saturating_sub(OWN).min(allowed.saturating_sub(OWN_MEMORY))
    }

    /// Waits until `bytes` addresses are free. The calling thread must not hold others.
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
