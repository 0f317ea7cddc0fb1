//! One page of 512 entries, shared with the processor and with other walkers.
//!
//! # Invariants
//!
//! 1. Entries are atomics: a table is only ever used through shared references, and the only one who writes to it is
//!    the call that holds the [`TableMemory`](crate::TableMemory) exclusively.
//! 2. An [`Index`] is below 512.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::Level;
use crate::entry::Entry;
use crate::page::Page;

/// Entries in a table.
const ENTRIES: usize = 512;

/// A table page.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Table {
    entries: [AtomicU64; ENTRIES],
}

const _: () = assert!(size_of::<Table>() == 4096 && align_of::<Table>() == 4096);

/// The place of an entry in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Index(u16);

impl Index {
    /// The entry of a table of `level` that translates `page`.
    pub(crate) const fn of(page: Page, level: Level) -> Self {
        // Keeps nine bits: invariant 2.
        Self(((page.get() >> level.shift()) & 0x1ff) as u16)
    }
}

impl Table {
    /// A table in which everything is absent.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: [const { AtomicU64::new(0) }; ENTRIES] }
    }

    /// The raw entries, in order of address: what the processor would see.
    ///
    /// # Concurrency
    ///
    /// Each entry is loaded with Acquire, which pairs with the Release that published it.
    pub fn raw_entries(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.load(Ordering::Acquire))
    }

    /// Whether nothing is in the table, not even a software note in an absent entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.raw_entries().all(|raw| raw == Entry::ABSENT.raw())
    }

    pub(crate) fn load(&self, at: Index) -> Entry {
        // Acquire pairs with the Release in `publish`: whoever sees a table's entry sees the table zeroed.
        Entry::from_raw(self.entry(at).load(Ordering::Acquire))
    }

    /// Makes `entry` visible.
    pub(crate) fn publish(&self, at: Index, entry: Entry) {
        // Release pairs with the Acquire in `load`, and on x86_64 with the processor's own walk: what the entry
        // points to was written before.
        self.entry(at).store(entry.raw(), Ordering::Release);
    }

    /// Makes the entry absent.
    pub(crate) fn clear(&self, at: Index) {
        // Relaxed: absence publishes nothing. That no one still walks through it is what the flush after it is for.
        self.entry(at).store(Entry::ABSENT.raw(), Ordering::Relaxed);
    }

    /// Takes the FRESH bit off an entry.
    pub(crate) fn settle(&self, at: Index) {
        // Relaxed, but a read-modify-write: it continues the release sequence that `publish` headed, so a reader
        // that sees this value still synchronises with the publication.
        self.entry(at).fetch_and(Entry::settled_mask(), Ordering::Relaxed);
    }

    fn entry(&self, at: Index) -> &AtomicU64 {
        // SAFETY: 1. `Index` is below 512 (invariant 2). 2. The array has 512 entries.
        unsafe { self.entries.get_unchecked(usize::from(at.0)) }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VirtAddr;

    #[test]
    fn indices_take_nine_bits_of_the_address() {
        let page = Page::containing(VirtAddr::new(0xffff_ffff_ffff_f000));
        for level in [Level::PTE, Level::PMD, Level::PUD, Level::P4D] {
            assert_eq!(Index::of(page, level), Index(511));
        }
        let page = Page::containing(VirtAddr::new(1 << 48 | 2 << 39 | 3 << 30 | 4 << 21 | 5 << 12));
        let levels = [Level::PGD, Level::P4D, Level::PUD, Level::PMD, Level::PTE];
        assert_eq!(levels.map(|level| Index::of(page, level).0), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn clearing_the_last_entry_empties_the_table() {
        let table = Table::new();
        let entry = Entry::from_raw(0x1001 | !Entry::settled_mask());
        table.publish(Index(511), entry);
        assert!(!table.is_empty());
        table.settle(Index(511));
        assert_eq!(table.load(Index(511)).raw(), 0x1001);
        table.clear(Index(511));
        assert!(table.is_empty());
    }
}
