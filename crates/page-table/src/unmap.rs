//! Removes leaves from a range, and the tables that are empty then.

use sparsemem_core::{AddressSpace, LostBlocks, MetadataMemory, VirtRange};

use crate::sweep::{Fate, Found};
use crate::{EntryFormat, LeafCounts, Mapping, PageTable, UnmapError};

/// The leaves and tables that [`PageTable::unmap`] removed, and the leaves that it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "reports how much memory no longer belongs to the tables"]
pub struct Unmapped {
    pub(crate) dropped: LeafCounts,
    pub(crate) kept: LeafCounts,
    pub(crate) nr_tables: u64,
    pub(crate) shared: u64,
}

impl Unmapped {
    /// The leaves whose memory was given back.
    #[must_use]
    pub const fn dropped(self) -> LeafCounts {
        self.dropped
    }

    /// The number of leaves that were removed and mapped a shared page, which stays.
    #[must_use]
    pub const fn shared(self) -> u64 {
        self.shared
    }

    /// The leaves that `keep` decided to keep.
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
    /// Removes every leaf that maps a byte of `range`, unless `keep` decides that it stays, and then every table on
    /// the path to `range` that is empty; ends inside a page are rounded outwards.
    ///
    /// The memory of a leaf is given back, unless it is shared ([`Mapping::origin`]). A leaf is removed whole, also
    /// where it reaches beyond `range`: `keep` gets all of it and is called once for each. Tables that were empty
    /// before are removed too, but never the root. Addresses that are not mapped are skipped.
    ///
    /// Entries are cleared, then flushed, and only then is their memory freed, in batches. Blocks that `env` refuses
    /// are counted in `lost`.
    ///
    /// # Errors
    ///
    /// [`UnmapError`] for a range that is empty or not canonical; nothing has changed then.
    ///
    /// # Panics
    ///
    /// Only if `keep` does. Then each leaf is still mapped, or is cleared, flushed and given back; empty tables may
    /// stay until the next call.
    ///
    /// # Concurrency
    ///
    /// Walks may run at the same time, as far as table pages are kept for them (see [`PageTable::new`]).
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
        let pages = self.shape().pages::<F>(range).map_err(|bad| UnmapError::bad_range(bad, range))?;
        Ok(self.sweep(env, pages, lost, |found| match found {
            Found::Leaf { mapping, .. } => keep(mapping),
            Found::EmptyTable { .. } => Fate::Drop,
        }))
    }
}
