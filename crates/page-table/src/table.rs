//! One table page, shared with the processor and with other walkers.
//!
//! # Invariants
//!
//! 1. Entries are atomics: a table is only ever used through shared references, and the only code that writes to it is
//!    the call that holds the environment exclusively.
//! 2. An [`Index`] is below the number of entries in a table.
//! 3. The block of a table or of a leaf is as aligned as it is large.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use sparsemem_core::LeafSize;

use crate::page::Page;
use crate::{EntryFormat, Level};

/// The entries of a table page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'m, F> {
    entries: &'m [AtomicU64],
    format: PhantomData<F>,
}

/// The place of an entry in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Index(usize);

impl Index {
    /// The entry of a table of `level` that translates `page`.
    #[inline]
    pub(crate) const fn of<F: EntryFormat>(page: Page, level: Level) -> Self {
        let mask = (1 << F::INDEX_BITS) - 1;
        #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are kept: invariant 2")]
        Self((page.get() >> level.shift::<F>()) as usize & mask)
    }
}

impl<'m, F: EntryFormat> Table<'m, F> {
    /// The number of entries of a table.
    const ENTRIES: usize = {
        assert!(size_of::<u64>() << F::INDEX_BITS <= 1 << F::BASE_SHIFT, "a table fits a page");
        1 << F::INDEX_BITS
    };

    /// The table at `start`.
    ///
    /// # Safety
    ///
    /// For `'m`, `start` points to a page of the smallest size, aligned to its size, whose contents change through
    /// atomics only.
    pub(crate) const unsafe fn at(start: NonNull<u8>) -> Self {
        // SAFETY: the caller promises a page, which has room for the entries (checked with their number); the pointer is
        // aligned, and atomics may be shared.
        let entries = unsafe { slice::from_raw_parts(start.cast::<AtomicU64>().as_ptr(), Self::ENTRIES) };
        Self { entries, format: PhantomData }
    }

    /// Makes every entry of a table empty that was all zero and that no other code knows yet.
    pub(crate) fn empty_out(self) {
        if F::EMPTY == 0 {
            return;
        }
        for entry in self.entries {
            // Relaxed: the store that links the table publishes these stores.
            entry.store(F::EMPTY, Ordering::Relaxed);
        }
    }

    /// Whether every entry is exactly the empty entry, also without a software note.
    pub(crate) fn is_empty(self) -> bool {
        // Relaxed: only the writer calls this. The entries are its own stores, or were ordered before it became the
        // writer.
        self.entries.iter().all(|entry| entry.load(Ordering::Relaxed) == F::EMPTY)
    }

    #[inline]
    pub(crate) fn load(self, at: Index) -> u64 {
        // Acquire pairs with the Release in `publish`: a reader that sees the entry of a table sees the table emptied.
        self.entry(at).load(Ordering::Acquire)
    }

    /// Makes `entry` visible.
    pub(crate) fn publish(self, at: Index, entry: u64) {
        // Release pairs with the Acquire in `load`, and with the processor's own walk, which depends on the address
        // that it loads: the target of the entry was written before.
        self.entry(at).store(entry, Ordering::Release);
    }

    /// Makes the entry empty.
    pub(crate) fn clear(self, at: Index) {
        // Relaxed: absence publishes nothing. The flush after it ensures that no processor still walks through the
        // entry.
        self.entry(at).store(F::EMPTY, Ordering::Relaxed);
    }

    /// Clears the FRESH bits of an entry.
    pub(crate) fn settle(self, at: Index) {
        // Relaxed, but a read-modify-write: it continues the release sequence that `publish` headed, so a reader
        // that sees this value still synchronises with the publication.
        self.entry(at).fetch_and(!F::FRESH, Ordering::Relaxed);
    }

    #[inline]
    fn entry(self, at: Index) -> &'m AtomicU64 {
        // SAFETY: an `Index` is below the number of entries (invariant 2).
        unsafe { self.entries.get_unchecked(at.0) }
    }
}

/// The block of a table.
pub(crate) const fn table_block<F: EntryFormat>() -> Layout {
    const { naturally_aligned(1 << F::BASE_SHIFT) }
}

/// The block of a leaf of `size`.
#[inline]
pub(crate) const fn leaf_block(size: LeafSize) -> Layout {
    match size {
        LeafSize::Size4KiB => const { naturally_aligned(1 << 12) },
        LeafSize::Size2MiB => const { naturally_aligned(1 << 21) },
        LeafSize::Size1GiB => const { naturally_aligned(1 << 30) },
    }
}

/// A block of `bytes`, which has to be a power of two: other sizes do not compile.
const fn naturally_aligned(bytes: usize) -> Layout {
    match Layout::from_size_align(bytes, bytes) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_core::{Origin, PhysAddr, VirtAddr};

    use super::*;
    use crate::toy::{RawTable, Toy};

    #[test]
    fn indices_take_nine_bits_of_the_address() {
        let page = Page::containing::<Toy>(VirtAddr::new(0xffff_ffff_ffff_f000));
        for level in [Level::PTE, Level::PMD, Level::PUD, Level::P4D] {
            assert_eq!(Index::of::<Toy>(page, level), Index(511));
        }
        let at = VirtAddr::new(1 << 48 | 2 << 39 | 3 << 30 | 4 << 21 | 5 << 12);
        let page = Page::containing::<Toy>(at);
        let levels = [Level::PGD, Level::P4D, Level::PUD, Level::PMD, Level::PTE];
        assert_eq!(levels.map(|level| Index::of::<Toy>(page, level).0), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn clearing_the_last_entry_empties_the_table() {
        let page = RawTable::zeroed();
        // SAFETY: it is a page of atomics, and it outlives the table.
        let table = unsafe { Table::<Toy>::at(page.start()) };
        assert!(!table.is_empty(), "zero is not this format's empty entry");
        table.empty_out();
        assert!(table.is_empty());
        let entry = Toy::table(PhysAddr::new(0x1000), Origin::Altmap);
        table.publish(Index(511), entry);
        assert!(!table.is_empty());
        table.settle(Index(511));
        assert_eq!(table.load(Index(511)), entry & !Toy::FRESH);
        table.clear(Index(511));
        assert!(table.is_empty());
    }

    #[test]
    fn blocks_are_what_entries_translate() {
        for size in [LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB] {
            let layout = leaf_block(size);
            assert_eq!((layout.size() as u64, layout.align() as u64), (size.bytes(), size.bytes()));
        }
        assert_eq!(table_block::<Toy>(), leaf_block(LeafSize::Size4KiB));
    }
}
