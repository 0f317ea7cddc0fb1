//! The reasons why a map cannot be made of what was handed over, and tables that may be cut off.

use sparsemem_core::PhysAddr;

/// The reason why a list or table that was handed over cannot be used. The map is as it was before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// There are more ranges than the map has room for.
    #[error("the map has room for {capacity} ranges, and more were handed over; give it a longer slice")]
    Full {
        /// The length of the slice.
        capacity: usize,
    },
    /// A range ends beyond the last address.
    #[error("a range of {len:#x} bytes from {start} ends beyond the last address; the table is broken")]
    Wraps {
        /// Its start.
        start: PhysAddr,
        /// Its length, in bytes.
        len: u64,
    },
    /// A table is cut off, or is not the table that it should be.
    #[error("the {table} is broken at byte {at}: {what}")]
    Broken {
        /// Its name.
        table: &'static str,
        /// The offset at which it is broken, in bytes.
        at: usize,
        /// The fault that was found there, in words.
        what: &'static str,
    },
}

/// A table as bytes, with little-endian numbers.
#[cfg(any(feature = "linux", feature = "srat", feature = "multiboot2"))]
#[derive(Clone, Copy)]
pub(crate) struct Table<'t> {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'t [u8],
}

#[cfg(any(feature = "linux", feature = "srat", feature = "multiboot2"))]
impl Table<'_> {
    /// The error that something is wrong at a place.
    pub(crate) const fn broken(&self, at: usize, what: &'static str) -> MapError {
        MapError::Broken { table: self.name, at, what }
    }

    /// The `N` bytes at a place.
    pub(crate) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], MapError> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
        bytes.copied().ok_or(self.broken(at, "it is cut off"))
    }

    pub(crate) fn u32(&self, at: usize) -> Result<u32, MapError> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&self, at: usize) -> Result<u64, MapError> {
        self.array(at).map(u64::from_le_bytes)
    }

    /// The first `len` bytes alone.
    #[cfg(feature = "srat")]
    pub(crate) fn first(&self, len: usize) -> Result<Self, MapError> {
        let bytes = self.bytes.get(..len).ok_or(self.broken(self.bytes.len(), "it is cut off"))?;
        Ok(Table { name: self.name, bytes })
    }
}
