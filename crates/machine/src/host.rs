//! Virtual addresses of the host process: reserving them, and mapping parts of them.
//!
//! # Invariants
//!
//! 1. Every address of a [`Reservation`] belongs to it until it is dropped: no other code in the process maps there.
//! 2. Only a shared object, or inaccessible addresses, are mapped in it.

use std::ffi::c_void;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

use crate::config::HOST_ADDRESSES;
use crate::{HostCall, MachineError};

/// The address at which the search for low addresses begins.
const LOWEST: u64 = 1 << 32;

/// Reserved addresses; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    start: NonNull<u8>,
    len: usize,
    keep: bool,
}

// SAFETY: the addresses belong to the process, not to a thread.
unsafe impl Send for Reservation {}
// SAFETY: shared use only computes addresses; mapping takes `&mut self`.
unsafe impl Sync for Reservation {}

/// Flags of a range in which nothing is accessible.
const BLANK: MapFlags = MapFlags::PRIVATE.union(MapFlags::NORESERVE);
/// Flags of a mapping of memory.
const SHARED: MapFlags = MapFlags::SHARED.union(MapFlags::NORESERVE).union(MapFlags::FIXED);

/// The access that mapped memory allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Loads and stores.
    Open,
    /// Loads; a store faults.
    ReadOnly,
    /// No access: every one faults.
    Shut,
}

impl Protection {
    /// The host's flags.
    const fn flags(self) -> MprotectFlags {
        match self {
            Self::Open => MprotectFlags::READ.union(MprotectFlags::WRITE),
            Self::ReadOnly => MprotectFlags::READ,
            Self::Shut => MprotectFlags::empty(),
        }
    }
}

/// A byte count as the host's calls take it.
#[inline]
pub(crate) fn host_len(bytes: u64) -> usize {
    // The host has 64-bit pointers, see the crate's root; the host refuses a length that does not fit.
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Reservation {
    /// Reserves `bytes` bytes, which must not be zero.
    pub(crate) fn new(bytes: u64) -> Result<Self, MachineError> {
        let refused = |errno| MachineError::host(HostCall::Reserve, bytes)(errno);
        let len = host_len(bytes);
        // SAFETY: without FIXED the host chooses addresses that nothing uses.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), BLANK) };
        let start = NonNull::new(start.map_err(refused)?.cast()).ok_or_else(|| refused(Errno::NOMEM))?;
        Ok(Self { start, len, keep: false })
    }

    /// Reserves `bytes` bytes that end at or below `end`.
    pub(crate) fn below(bytes: u64, end: u64) -> Result<Self, MachineError> {
        if end >= HOST_ADDRESSES {
            return Self::new(bytes);
        }
        // The host puts programs and libraries higher than this.
        let starts = (LOWEST..end.saturating_sub(bytes)).step_by(1 << 30);
        let reserved = starts.map(|start| Self::exactly(start, bytes)).find_map(Result::ok);
        reserved.ok_or(MachineError::WindowTooLarge { bytes })
    }

    /// Reserves `bytes` bytes from `start`, if nothing is there.
    fn exactly(start: u64, bytes: u64) -> io::Result<Self> {
        let (at, len) = (std::ptr::without_provenance_mut(host_len(start)), host_len(bytes));
        // SAFETY: with FIXED_NOREPLACE the host refuses addresses that something uses.
        let start = unsafe { mmap_anonymous(at, len, ProtFlags::empty(), BLANK | MapFlags::FIXED_NOREPLACE) };
        let start = NonNull::new(start?.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { start, len, keep: false })
    }

    /// The first address, with provenance over all of the reservation.
    pub(crate) const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// The number of reserved bytes.
    pub(crate) const fn len_bytes(&self) -> u64 {
        self.len as u64
    }

    /// The address `offset` bytes into the reservation, or its end if the offset lies beyond.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> NonNull<u8> {
        let offset = host_len(offset).min(self.len);
        // SAFETY: (1) the offset is at most the length, so the result lies in the reservation or one past its end;
        // (2) the reservation is one mapping of addresses that does not wrap, and no process has 2^63 bytes.
        unsafe { self.start.add(offset) }
    }

    /// Maps `bytes` bytes of `file` from `from` at `offset`.
    pub(crate) fn map(
        &mut self,
        offset: u64,
        bytes: u64,
        access: Protection,
        file: BorrowedFd<'_>,
        from: u64,
    ) -> io::Result<()> {
        let at = self.part(offset, bytes)?;
        let access = ProtFlags::from_bits_retain(access.flags().bits());
        // SAFETY: the part lies in the reservation, where no other code has mapped anything (invariant 1).
        unsafe { mmap(at, host_len(bytes), access, SHARED, file.as_fd(), from) }.map(drop)
    }

    /// Changes the allowed access to `bytes` bytes from `offset`, whatever is mapped there.
    pub(crate) fn protect(&mut self, offset: u64, bytes: u64, access: Protection) -> io::Result<()> {
        let at = self.part(offset, bytes)?;
        // SAFETY: as in `map`; code that still uses memory through addresses that become inaccessible faults, which
        // is what is asked for.
        unsafe { mprotect(at, host_len(bytes), access.flags()) }
    }

    /// Makes `bytes` bytes from `offset` inaccessible, and keeps the addresses.
    pub(crate) fn blank(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        let at = self.part(offset, bytes)?;
        let flags = BLANK | MapFlags::FIXED;
        // SAFETY: as in `protect`.
        unsafe { mmap_anonymous(at, host_len(bytes), ProtFlags::empty(), flags) }.map(drop)
    }

    /// Leaves everything mapped when the reservation is dropped, because pointers into it may still be in use.
    pub(crate) fn keep_mapped(&mut self) {
        self.keep = true;
    }

    /// True if the host gets the addresses back when this is dropped.
    pub(crate) const fn goes(&self) -> bool {
        !self.keep
    }

    /// The address of a part, if it lies in the reservation.
    fn part(&self, offset: u64, bytes: u64) -> io::Result<*mut c_void> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.len_bytes() => Ok(self.at(offset).as_ptr().cast()),
            _ => Err(Errno::INVAL),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // SAFETY: the addresses are this reservation's (invariant 1), and its owner knows of no pointer still in use.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a whole reservation can be unmapped");
    }
}
