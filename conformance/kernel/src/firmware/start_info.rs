//! The start info of a PVH loader: command line, memory map, and where the ACPI tables are.
//!
//! Source: Xen `xen/include/public/arch-x86/hvm/start_info.h`.

use core::fmt;

use sparsemem::{ByteLen, PhysAddr, PhysRange};

use super::bytes::Bytes;

/// What the first word has to be.
const MAGIC: u32 = 0x336e_c578;
/// Units: bytes. The structure, with the memory map of version 1.
const LEN: u64 = 56;
/// Units: bytes. An entry of the memory map.
const ENTRY_LEN: u64 = 24;
/// Units: bytes. The longest command line that is read.
const LINE_LEN: u64 = 2048;

/// What a range of the memory map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Memory to use.
    Ram,
    /// Anything else, by its number.
    Other(u32),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ram => f.write_str("RAM"),
            Self::Other(2) => f.write_str("reserved"),
            Self::Other(3) => f.write_str("ACPI tables"),
            Self::Other(4) => f.write_str("ACPI storage"),
            Self::Other(7) => f.write_str("persistent"),
            Self::Other(number) => write!(f, "type {number}"),
        }
    }
}

/// An entry of the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it is.
    pub(crate) range: PhysRange,
    /// What it is.
    pub(crate) kind: Kind,
}

/// Why the start info is no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartInfoError {
    /// Not the structure of a PVH loader, or no memory where it should be.
    #[error(
        "there is no PVH start info at {at}; boot with a PVH loader, such as `qemu-system-x86_64 -kernel`"
    )]
    NotThere {
        /// Where it was looked for.
        at: PhysAddr,
    },
    /// A loader that gives no memory map.
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

    /// The command line; empty if there is none, or if it is not text.
    pub(crate) fn command_line(&self) -> &'static str {
        let line = self.address(24).and_then(|at| Bytes::of(at, ByteLen::new(LINE_LEN)));
        line.and_then(Bytes::c_str).unwrap_or("")
    }

    /// Where the root of the ACPI tables is.
    pub(crate) fn rsdp(&self) -> Option<PhysAddr> {
        self.address(32)
    }

    /// The memory map, as the loader gives it; entries that are no ranges are left out.
    pub(crate) fn memory_map(&self) -> impl Iterator<Item = Entry> + Clone {
        let count = u64::from(self.info.u32(48).unwrap_or(0));
        let map = self.address(40).and_then(|at| Bytes::of(at, ByteLen::new(count * ENTRY_LEN)));
        (0..count).filter_map(move |index| {
            let entry = map?.part(index * ENTRY_LEN, ENTRY_LEN)?;
            let start = PhysAddr::new(entry.u64(0)?);
            let range = PhysRange::from_start_count(start, ByteLen::new(entry.u64(8)?))?;
            let kind = match entry.u32(16)? {
                1 => Kind::Ram,
                other => Kind::Other(other),
            };
            Some(Entry { range, kind })
        })
    }
}
