//! Physical memory: a sparse shared object, mapped as a whole.
//!
//! # Invariants
//!
//! 1. Byte `n` of the object is physical address `n`, and is reached at the direct map's start plus `n`. The start is
//!    a multiple of the largest leaf, so that the direct map preserves alignment.
//! 2. After the direct map follows a guard that is never accessible: physical addresses beyond the end lead there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
// Not those of `sparsemem_core::primitive`: a model checker's atomics cannot access shared memory.
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, MemfdFlags};
use sparsemem_core::{LeafSize, PhysAddr, PhysRange};

use crate::config::FRAME;
use crate::host::{Protection, Reservation, host_len};
use crate::poison::Poison;
use crate::{HostCall, MachineError};

/// Inaccessible bytes after the direct map.
const GUARD: u64 = 1 << 21;

/// The direct map begins at a multiple of this many bytes.
const ALIGN: u64 = LeafSize::Size1GiB.bytes();

/// Physical memory.
#[derive(Debug)]
pub(crate) struct Ram {
    file: OwnedFd,
    direct: Reservation,
    /// Bytes from the start of the reservation to the start of the direct map.
    skipped: u64,
    len: u64,
    poison: Poison,
}

impl Ram {
    /// Memory up to `end`, which is a multiple of the frame size and not zero; all of it is zero bytes.
    pub(crate) fn new(end: PhysAddr) -> Result<Self, MachineError> {
        let len = end.get();
        let file = rustix::fs::memfd_create("sparsemem-ram", MemfdFlags::CLOEXEC)
            .map_err(MachineError::host(HostCall::CreateMemory, len))?;
        rustix::fs::ftruncate(&file, len).map_err(MachineError::host(HostCall::SizeMemory, len))?;
        let mut direct = Reservation::new(len + GUARD + ALIGN)?;
        let lowest = direct.start().addr().get() as u64;
        let skipped = lowest.next_multiple_of(ALIGN) - lowest;
        direct
            .map(skipped, len, Protection::Open, file.as_fd(), 0)
            .map_err(MachineError::host(HostCall::Map, len))?;
        Ok(Self { file, direct, skipped, len, poison: Poison::default() })
    }

    /// The pointer to the byte at `at`; an address beyond the end leads into the guard.
    #[inline]
    pub(crate) fn at(&self, at: PhysAddr) -> NonNull<u8> {
        self.direct.at(self.skipped + at.get().min(self.len))
    }

    /// The start of the direct map.
    fn start(&self) -> NonNull<u8> {
        self.direct.at(self.skipped)
    }

    /// The physical address of a pointer of the direct map.
    pub(crate) fn phys(&self, at: NonNull<u8>) -> Option<PhysAddr> {
        let offset = at.addr().get().checked_sub(self.start().addr().get())? as u64;
        (offset < self.len).then(|| PhysAddr::new(offset))
    }

    /// The object itself, for mapping parts of it elsewhere.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The 64-bit word at `at`, or `None` if it does not exist or is not aligned.
    pub(crate) fn word(&self, at: PhysAddr) -> Option<u64> {
        if !at.is_aligned(8) || at.get() >= self.len {
            return None;
        }
        let word: NonNull<u64> = self.at(at).cast();
        // SAFETY: (1) the word is aligned and lies in the direct map, which is mapped for reading and writing;
        // (2) it is read as page tables are, which a model may be writing: atomically.
        let word = unsafe { AtomicU64::from_ptr(word.as_ptr()) };
        // Acquire: the contents of a table are written before the entry that leads to it.
        Some(word.load(Ordering::Acquire))
    }

    /// Makes every byte of `range` zero; whole frames cost nothing afterwards.
    ///
    /// # Safety
    ///
    /// No other code uses the range.
    pub(crate) unsafe fn clear(&self, range: PhysRange) {
        let (start, end) = (range.start().get(), range.end().get().min(self.len));
        let (first, last) = (start.div_ceil(FRAME) * FRAME, end / FRAME * FRAME);
        if first >= last || self.punch(first, last - first).is_err() {
            // SAFETY: the caller's promise.
            return unsafe { self.fill_zero(start, end) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.fill_zero(start, first) };
        // SAFETY: the caller's promise.
        unsafe { self.fill_zero(last, end) };
    }

    /// Gives whole frames back to the host; they read as zero.
    fn punch(&self, start: u64, bytes: u64) -> rustix::io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, start, bytes)
    }

    /// Allows access to a block that was just allocated.
    pub(crate) fn open(&self, block: PhysRange) {
        self.poison.open(self.at(block.start()), host_len(block.count().get()));
    }

    /// Makes address sanitizer stop the program at an access to a freed block.
    pub(crate) fn shut(&self, block: PhysRange) {
        self.poison.shut(self.at(block.start()), host_len(block.count().get()));
    }

    /// Writes zeros.
    ///
    /// # Safety
    ///
    /// No other code uses the range.
    unsafe fn fill_zero(&self, start: u64, end: u64) {
        let bytes = host_len(end.min(self.len).saturating_sub(start));
        let start = self.at(PhysAddr::new(start));
        if cfg!(sparsemem_asan) {
            // Writes through the file, because the bytes may be shut for the sanitizer.
            let zeros = vec![0; bytes];
            let offset = start.addr().get().wrapping_sub(self.start().addr().get()) as u64;
            let written = rustix::io::pwrite(&self.file, &zeros, offset);
            debug_assert_eq!(written, Ok(bytes), "the object has these bytes");
            return;
        }
        // SAFETY: (1) the bytes end within the direct map, which is mapped for writing; (2) the caller promises that
        // no other code uses them.
        unsafe { start.write_bytes(0, bytes) };
    }

    /// Bytes for which the host has provided memory.
    pub(crate) fn backed_bytes(&self) -> u64 {
        let blocks = rustix::fs::fstat(&self.file).map_or(0, |stat| stat.st_blocks);
        u64::try_from(blocks).unwrap_or(0) * 512
    }

    /// Leaves everything mapped for good.
    pub(crate) fn keep_mapped(&mut self) {
        self.direct.keep_mapped();
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        if self.direct.goes() {
            self.poison.open_all(self.start(), host_len(self.len));
        }
    }
}
