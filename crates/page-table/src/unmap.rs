//! Taking memory out of a range, and the tables that nothing is left in.

use crate::depth;
use crate::sweep::{Fate, Found};
use crate::{LeafCounts, Mapping, PageTable, TableMemory, UnmapError, VirtRange};

/// What [`PageTable::unmap`] took away and what it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "says how much memory no longer belongs to the tables"]
pub struct Unmapped {
    pub(crate) dropped: LeafCounts,
    pub(crate) kept: LeafCounts,
    pub(crate) nr_tables: u64,
}

impl Unmapped {
    /// The leaves that were given back.
    #[must_use]
    pub const fn dropped(self) -> LeafCounts {
        self.dropped
    }

    /// The leaves that `keep` wanted to stay.
    #[must_use]
    pub const fn kept(self) -> LeafCounts {
        self.kept
    }

    /// The number of table pages that were given back.
    #[must_use]
    pub const fn nr_tables(self) -> u64 {
        self.nr_tables
    }
}

impl PageTable {
    /// Takes out every leaf that maps a byte of `range`, unless `keep` says that it stays, and then every table on
    /// the way to `range` in which nothing is left; ends inside a 4 KiB page are rounded outwards.
    ///
    /// A leaf goes whole, also where it reaches beyond `range`: `keep` sees all of it and is asked once for each.
    /// Tables that were empty before go too; the root never does. What is not mapped is skipped.
    ///
    /// Entries are cleared, then flushed, and only then is their memory freed, in batches.
    ///
    /// # Errors
    ///
    /// [`UnmapError`] for a range that makes no sense; nothing was touched then.
    ///
    /// # Concurrency
    ///
    /// Walks may go on elsewhere, as far as `mem` keeps table pages for them (see [`TableMemory`]).
    pub fn unmap<M, K>(&self, mem: &mut M, range: VirtRange, mut keep: K) -> Result<Unmapped, UnmapError>
    where
        M: TableMemory + ?Sized,
        K: FnMut(&Mapping) -> Fate,
    {
        let pages = depth::pages(range, self.depth).map_err(|bad| UnmapError::bad_range(bad, range))?;
        Ok(self.sweep(mem, pages, |found| match found {
            Found::Leaf { mapping, .. } => keep(mapping),
            Found::EmptyTable { .. } => Fate::Drop,
        }))
    }
}
