//! Taking memory out of a range, and the tables that nothing is left in.

use sparsemem_core::{AddressSpace, LostBlocks, MetadataMemory, VirtRange};

use crate::sweep::{Fate, Found};
use crate::{EntryFormat, LeafCounts, Mapping, PageTable, UnmapError};

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

impl<F: EntryFormat> PageTable<F> {
    /// Takes out every leaf that maps a byte of `range`, unless `keep` says that it stays, and then every table on
    /// the way to `range` in which nothing is left; ends inside a page are rounded outwards.
    ///
    /// A leaf goes whole, also where it reaches beyond `range`: `keep` sees all of it and is asked once for each.
    /// Tables that were empty before go too; the root never does. What is not mapped is skipped.
    ///
    /// Entries are cleared, then flushed, and only then is their memory freed, in batches. What `env` does not take
    /// back is counted in `lost`.
    ///
    /// # Errors
    ///
    /// [`UnmapError`] for a range that makes no sense; nothing was touched then.
    ///
    /// # Panics
    ///
    /// Only if `keep` does. Then each leaf is still mapped, or is cleared, flushed and given back; tables in which
    /// nothing is left may stay, for the next call.
    ///
    /// # Concurrency
    ///
    /// Walks may go on elsewhere, as far as table pages are kept for them (see [`PageTable::new`]).
    ///
    /// # Cost
    ///
    /// A walk for each leaf and each empty entry that stands for addresses in `range`; a flush for each 32 leaves and
    /// tables that adjoin.
    pub fn unmap<E, K>(
        &self,
        env: &mut E,
        range: VirtRange,
        mut keep: K,
        lost: &mut LostBlocks,
    ) -> Result<Unmapped, UnmapError>
    where
        E: MetadataMemory + AddressSpace + ?Sized,
        K: FnMut(&Mapping) -> Fate,
    {
        let pages = self.halves().pages::<F>(range).map_err(|bad| UnmapError::bad_range(bad, range))?;
        Ok(self.sweep(env, pages, lost, |found| match found {
            Found::Leaf { mapping, .. } => keep(mapping),
            Found::EmptyTable { .. } => Fate::Drop,
        }))
    }
}
