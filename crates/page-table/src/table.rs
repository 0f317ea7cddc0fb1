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

/// A table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'m> {
    first: NonNull<AtomicU64>,
    entries: PhantomData<&'m [AtomicU64]>,
}

/// The place of an entry in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Index(usize);

impl Index {
    /// The entry that translates `page`, of a table of `level` with 2^`bits` entries.
    #[inline]
    pub(crate) fn of<F: EntryFormat>(page: Page, level: Level, bits: u32) -> Self {
        let number = page.get() >> (F::shift(level) - F::BASE_SHIFT);
        #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are kept: invariant 2")]
        Self(number as usize & ((1 << bits) - 1))
    }

    /// The raw number.
    pub(crate) const fn get(self) -> usize {
        self.0
    }
}

impl<'m> Table<'m> {
    /// The table at `start`.
    ///
    /// # Safety
    ///
    /// For `'m`, `start` points to the entries of a table, which change through atomics only. Every [`Index`] and every
    /// number of entries that the table is used with is of this table.
    pub(crate) const unsafe fn at(start: NonNull<u8>) -> Self {
        Self { first: start.cast(), entries: PhantomData }
    }

    /// The entries of a table that has `count` of them.
    fn entries(self, count: usize) -> &'m [AtomicU64] {
        // SAFETY: 1. The table has so many entries, and they live for `'m` (`at`). 2. Atomics may be shared.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), count) }
    }

    /// Makes all `count` entries `empty`, in a table that was all zero and that no other code knows yet.
    pub(crate) fn empty_out(self, count: usize, empty: u64) {
        if empty == 0 {
            return;
        }
        for entry in self.entries(count) {
            // Relaxed: the store that links the table publishes these stores.
            entry.store(empty, Ordering::Relaxed);
        }
    }

    /// True if all `count` entries are exactly `empty`, also without a software note.
    pub(crate) fn is_empty(self, count: usize, empty: u64) -> bool {
        // Relaxed: only the writer calls this. The entries are its own stores, or were ordered before it became the
        // writer.
        self.entries(count).iter().all(|entry| entry.load(Ordering::Relaxed) == empty)
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

    /// Makes the entry `empty`.
    pub(crate) fn clear(self, at: Index, empty: u64) {
        // Relaxed: absence publishes nothing. The flush after it ensures that no processor still walks through the
        // entry.
        self.entry(at).store(empty, Ordering::Relaxed);
    }

    /// Clears the bits of `fresh` in an entry.
    pub(crate) fn settle(self, at: Index, fresh: u64) {
        // Relaxed, but a read-modify-write: it continues the release sequence that `publish` headed, so a reader
        // that sees this value still synchronises with the publication.
        self.entry(at).fetch_and(!fresh, Ordering::Relaxed);
    }

    #[inline]
    fn entry(self, at: Index) -> &'m AtomicU64 {
        // SAFETY: an `Index` is below the number of entries (invariant 2), so this is an entry of the same table.
        let entry = unsafe { self.first.add(at.0) };
        // SAFETY: the entries live for `'m`, and change through atomics only (`at`).
        unsafe { entry.as_ref() }
    }
}

/// The size of the smallest page. A format whose pages the target cannot address does not compile.
pub(crate) const fn page_size<F: EntryFormat>() -> LeafSize {
    match LeafSize::from_shift(F::BASE_SHIFT) {
        Some(size) => size,
        None => unreachable!(),
    }
}

/// The block of a table: a page of the smallest size.
pub(crate) const fn table_block<F: EntryFormat>() -> Layout {
    const { page_size::<F>().layout() }
}

#[cfg(test)]
mod tests {
    use sparsemem_core::{Origin, PhysAddr, VirtAddr};

    use super::*;
    use crate::toy::{RawTable, Toy};

    #[test]
    fn indices_are_bits_of_the_address() {
        let at = VirtAddr::new(1 << 38 | 2 << 29 | 3 << 20 | 4 << 12);
        let page = Page::containing::<Toy>(at);
        let levels = [(Level::P4D, 7), (Level::PUD, 9), (Level::PMD, 9), (Level::PTE, 8)];
        assert_eq!(levels.map(|(level, bits)| Index::of::<Toy>(page, level, bits).0), [1, 2, 3, 4]);
        let last = Page::containing::<Toy>(VirtAddr::new(u64::MAX));
        assert_eq!(levels.map(|(level, bits)| Index::of::<Toy>(last, level, bits).0), [127, 511, 511, 255]);
        // A narrow root uses fewer bits of the same address.
        assert_eq!(Index::of::<Toy>(last, Level::P4D, 3), Index(7));
    }

    #[test]
    fn clearing_the_last_entry_empties_the_table() {
        let page = RawTable::zeroed();
        // SAFETY: it is a page of atomics, and it outlives the table.
        let table = unsafe { Table::at(page.start()) };
        let (all, empty) = (512, Toy::empty(Level::PMD));
        assert!(!table.is_empty(all, empty), "zero is not this format's empty entry");
        table.empty_out(all, empty);
        assert!(table.is_empty(all, empty));
        let entry = Toy::table(PhysAddr::new(0x1000), Level::PMD, Origin::Altmap);
        table.publish(Index(511), entry);
        assert!(!table.is_empty(all, empty) && table.is_empty(511, empty));
        table.settle(Index(511), Toy::FRESH);
        assert_eq!(table.load(Index(511)), entry & !Toy::FRESH);
        table.clear(Index(511), empty);
        assert!(table.is_empty(all, empty));
    }

    #[test]
    fn a_table_is_a_page() {
        assert_eq!(table_block::<Toy>(), Toy::leaf_size(Level::PTE).unwrap().layout());
    }
}
