//! Reads the data that loader and firmware left in memory, checking every bound. One part of it is the start info of
//! a PVH loader: command line, memory map, and the place of the ACPI tables.
//!
//! Source: Xen `xen/include/public/arch-x86/hvm/start_info.h`.

use sparsemem::{ByteLen, PhysAddr, PhysRange};

use crate::direct_map;
use crate::handover::{CommandLine, MapEntry};

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

/// The value of the first word.
const MAGIC: u32 = 0x336e_c578;
/// Bytes of the structure with the memory map of version 1.
const LEN: u64 = 56;
/// Bytes of an entry of the memory map.
const ENTRY_LEN: u64 = 24;
/// Bytes of the longest command line that is read.
const LINE_LEN: u64 = 2048;

/// The type of usable memory in the memory map.
const RAM: u32 = 1;

/// Why the start info is not valid.
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
    /// The loader gives no memory map.
    #[error("the start info is of version {version}, which has no memory map; version 1 is needed")]
    Old {
        /// Its version.
        version: u32,
    },
}

/// The start info.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartInfo {
    info: Bytes,
}

impl StartInfo {
    /// Reads the start info that the loader left.
    ///
    /// # Errors
    ///
    /// [`StartInfoError`].
    pub(crate) fn at(at: PhysAddr) -> Result<Self, StartInfoError> {
        let not_there = StartInfoError::NotThere { at };
        let info = Bytes::of(at, ByteLen::new(LEN)).ok_or(not_there)?;
        if info.u32(0) != Some(MAGIC) {
            return Err(not_there);
        }
        match info.u32(4) {
            Some(1..) => Ok(Self { info }),
            version => Err(StartInfoError::Old { version: version.unwrap_or(0) }),
        }
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

    /// The memory map of the loader, without entries that are not ranges.
    pub(crate) fn memory_map(&self) -> impl Iterator<Item = MapEntry> + Clone {
        let count = u64::from(self.info.u32(48).unwrap_or(0));
        let map = self.address(40).and_then(|at| Bytes::of(at, ByteLen::new(count * ENTRY_LEN)));
        (0..count).filter_map(move |index| {
            let entry = map?.part(index * ENTRY_LEN, ENTRY_LEN)?;
            let start = PhysAddr::new(entry.u64(0)?);
            let range = PhysRange::from_start_count(start, ByteLen::new(entry.u64(8)?))?;
            Some(MapEntry { range, is_ram: entry.u32(16)? == RAM })
        })
    }
}
