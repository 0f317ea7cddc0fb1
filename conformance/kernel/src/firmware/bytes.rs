//! Bytes that firmware left in memory, read with a check of every bound.

use sparsemem::{ByteLen, PhysAddr};

use crate::cpu::direct_map;

/// Firmware leaves its tables below this address, which the direct map reaches from the first instruction on.
const TABLES_END: u64 = 4 << 30;

/// Some bytes of physical memory that firmware wrote and nobody writes any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(&'static [u8]);

impl Bytes {
    /// `len` bytes from `at`; `None` if not all of them lie where firmware leaves tables.
    pub(crate) fn of(at: PhysAddr, len: ByteLen) -> Option<Self> {
        let end = at.get().checked_add(len.get())?;
        let start = direct_map::to_virt(at).filter(|_| end <= TABLES_END)?;
        let len = usize::try_from(len.get()).ok()?;
        // SAFETY: the direct map reaches the range. Firmware and loader have written what they write, and the kernel
        // takes no memory below 1 MiB and none that is not RAM, where both keep tables.
        Some(Self(unsafe { core::slice::from_raw_parts(start.as_ptr(), len) }))
    }

    /// The bytes.
    pub(crate) const fn all(self) -> &'static [u8] {
        self.0
    }

    /// Units: bytes. How many there are.
    pub(crate) const fn len(self) -> u64 {
        self.0.len() as u64
    }

    /// `len` of the bytes from `offset`, if there are as many.
    pub(crate) fn part(self, offset: u64, len: u64) -> Option<Self> {
        let start = usize::try_from(offset).ok()?;
        let end = usize::try_from(offset.checked_add(len)?).ok()?;
        self.0.get(start..end).map(Self)
    }

    /// `N` bytes from `offset`.
    pub(crate) fn array<const N: usize>(self, offset: u64) -> Option<[u8; N]> {
        self.part(offset, N as u64)?.0.try_into().ok()
    }

    /// A byte.
    pub(crate) fn u8(self, offset: u64) -> Option<u8> {
        self.array(offset).map(u8::from_le_bytes)
    }

    /// A word of 16 bits.
    pub(crate) fn u16(self, offset: u64) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    /// A word of 32 bits.
    pub(crate) fn u32(self, offset: u64) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    /// A word of 64 bits.
    pub(crate) fn u64(self, offset: u64) -> Option<u64> {
        self.array(offset).map(u64::from_le_bytes)
    }

    /// The text up to the first zero byte, if there is one and it is text.
    pub(crate) fn c_str(self) -> Option<&'static str> {
        core::ffi::CStr::from_bytes_until_nul(self.0).ok()?.to_str().ok()
    }
}
