//! Reads the data that loader and firmware left in memory, checking every bound. One part of it is the start info of
//! a PVH loader: command line, and the places of the memory map and of the ACPI tables.
//!
//! Source: Xen `xen/include/public/arch-x86/hvm/start_info.h`.

use sparsemem::{ByteLen, PhysAddr};
use sparsemem_boot_maps::{MapError, pvh_table};

use crate::direct_map;
use crate::handover::CommandLine;

/// Firmware leaves its tables below this address, which the direct map reaches from the first instruction on.
const TABLES_END: u64 = 4 << 30;

/// Bytes of physical memory that firmware wrote and that no code changes any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes(&'static [u8]);

impl Bytes {
    /// `len` bytes from `at`; `None` if some of them lie where firmware does not leave tables.
    pub(crate) fn of(at: PhysAddr, len: ByteLen) -> Option<Self> {
        let end = at.get().checked_add(len.get())?;
        let start = direct_map::to_virt(at).filter(|_| end <= TABLES_END)?;
        let len = usize::try_from(len.get()).ok()?;
        // SAFETY: the direct map reaches the range. Firmware and loader do not write any more, and the kernel takes
        // no memory below 1 MiB and none that is not RAM, where both keep tables.
        Some(Self(unsafe { core::slice::from_raw_parts(start.as_ptr(), len) }))
    }

    /// The bytes.
    pub(crate) const fn all(self) -> &'static [u8] {
        self.0
    }

    /// The number of bytes.
    pub(crate) const fn len(self) -> u64 {
        self.0.len() as u64
    }

    /// `len` of the bytes from `offset`, if there are that many.
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

/// Bytes of the structure with the memory map of version 1.
const LEN: u64 = 56;
/// Bytes of the longest command line that is read.
const LINE_LEN: u64 = 2048;

/// The reason why the start info is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartInfoError {
    /// The address has no structure of a PVH loader, or no memory.
    #[error(
        "there is no PVH start info at {at}; boot with a PVH loader, such as `qemu-system-x86_64 -kernel`"
    )]
    NotThere {
        /// The address.
        at: PhysAddr,
    },
    /// The structure is not valid, or names no memory map.
    #[error("{0}; boot with a PVH loader, such as `qemu-system-x86_64 -kernel`")]
    Broken(#[from] MapError),
}

/// The start info.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartInfo {
    info: Bytes,
    map: Bytes,
}

impl StartInfo {
    /// Reads the start info that the loader left.
    ///
    /// # Errors
    ///
    /// [`StartInfoError`].
    pub(crate) fn at(at: PhysAddr) -> Result<Self, StartInfoError> {
        let info = Bytes::of(at, ByteLen::new(LEN)).ok_or(StartInfoError::NotThere { at })?;
        let map = pvh_table(info.all())?;
        let map = Bytes::of(map.start(), map.count()).ok_or(StartInfoError::NotThere { at: map.start() })?;
        Ok(Self { info, map })
    }

    /// A field with an address, unless it is absent.
    fn address(&self, offset: u64) -> Option<PhysAddr> {
        self.info.u64(offset).filter(|address| *address != 0).map(PhysAddr::new)
    }

    /// The command line; empty if there is none, or if it is not valid text.
    pub(crate) fn command_line(&self) -> CommandLine {
        let line = self.address(24).and_then(|at| Bytes::of(at, ByteLen::new(LINE_LEN)));
        CommandLine::new(line.and_then(Bytes::c_str).unwrap_or(""))
    }

    /// The address of the root of the ACPI tables.
    pub(crate) fn rsdp(&self) -> Option<PhysAddr> {
        self.address(32)
    }

    /// The memory map of the loader, as bytes.
    pub(crate) const fn memory_map(&self) -> &'static [u8] {
        self.map.all()
    }
}
