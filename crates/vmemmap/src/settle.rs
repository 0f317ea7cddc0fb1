//! Gives an array its place: the first populate claims it, and looks for mappings of others there.
//!
//! # Invariants
//!
//! 1. An array that has a root has the claim on its place, and gives both back together.

use sparsemem_core::{AddressSpace, OtherAddressSpace, SectionLoss, VirtAddr, VirtRange, WriterSlot};
use sparsemem_page_table::{EntryFormat, Level, PageTable};

use crate::{ArrayBase, Claim, VirtualArray};

/// The call in which an array took its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// An earlier call.
    Before,
    /// This call.
    Now,
}

/// Bytes of the blocks of address space that belong to an array alone (see [`ArrayPlace`](sparsemem_core::ArrayPlace)):
/// what an entry translates of the lowest level that suffices, or of the root.
fn block_bytes<F: EntryFormat>(tables: &PageTable<F>) -> u64 {
    const SUFFICES: u32 = 35;
    let levels = [Level::PTE, Level::PMD, Level::PUD, Level::P4D, Level::PGD];
    let below_root = levels.into_iter().filter(|level| *level < tables.root_level());
    let block = below_root.map(F::shift).find(|shift| *shift >= SUFFICES);
    1 << block.unwrap_or(F::shift(tables.root_level()))
}

impl<B: ArrayBase, F: EntryFormat> VirtualArray<B, F> {
    /// Takes the place of the array for the page tables of `env`, and checks the addresses around it when it is new: a
    /// foreign mapping there would be used as this model's, or lost with the tables that it makes and frees.
    ///
    /// # Safety
    ///
    /// For the writer of the model.
    pub(crate) unsafe fn settle<E: AddressSpace>(
        &self,
        tables: &PageTable<F>,
        env: &E,
        shared: Option<&'static WriterSlot>,
    ) -> Result<Settled, SectionLoss> {
        if self.root().is_some() {
            // The root is set only while the place is this model's.
            self.same_root(env).map_err(SectionLoss::OtherAddressSpace)?;
            return Ok(Settled::Before);
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.take_place(tables, env, shared) }
    }

    /// Takes the place of the array, for the first populate.
    ///
    /// # Safety
    ///
    /// For the writer of the model.
    #[cold]
    unsafe fn take_place<E: AddressSpace>(
        &self,
        tables: &PageTable<F>,
        env: &E,
        shared: Option<&'static WriterSlot>,
    ) -> Result<Settled, SectionLoss> {
        // First of all: a model that may not have the place must not keep another out of it, not even for a moment.
        self.check_writer(shared)?;
        // SAFETY: the caller is the writer.
        if unsafe { self.base().claim() } == Claim::Taken {
            return Err(SectionLoss::PlaceTaken);
        }
        self.check_neighbours(tables, env).inspect_err(|_| {
            // SAFETY: the caller is the writer, and nothing was made yet.
            unsafe { self.unsettle() };
        })?;
        self.set_root(env.root());
        Ok(Settled::Now)
    }

    /// Refuses a place with foreign mappings.
    fn check_neighbours<E: AddressSpace>(&self, tables: &PageTable<F>, env: &E) -> Result<(), SectionLoss> {
        let window = self.window().ok_or(SectionLoss::OutsideRange)?;
        let around = match self.base().shared_writer() {
            None => rounded(window, block_bytes(tables)).ok_or(SectionLoss::OutsideRange)?,
            Some(_) => window,
        };
        match tables.mappings(env, around).next() {
            None => Ok(()),
            Some(leaf) => Err(SectionLoss::PlaceShared { at: leaf.range.start() }),
        }
    }

    /// Refuses an environment with other page tables than those in which the array has its place.
    pub(crate) fn same_root<E: AddressSpace>(&self, env: &E) -> Result<(), OtherAddressSpace> {
        match self.root() {
            Some(own) if own != env.root() => Err(OtherAddressSpace { own, given: env.root() }),
            _ => Ok(()),
        }
    }
}

/// A range, up to the borders of blocks of `bytes`, a power of two, and at most to the end of the address space.
pub(crate) fn rounded(range: VirtRange, bytes: u64) -> Option<VirtRange> {
    let start = range.start().get() & !(bytes - 1);
    let end = range.end().get().checked_next_multiple_of(bytes).unwrap_or(u64::MAX);
    VirtRange::new(VirtAddr::new(start), VirtAddr::new(end)).ok()
}

#[cfg(test)]
mod tests {
    use sparsemem_core::{PagingDepth, PhysAddr};

    use super::*;

    /// Others may be as near as tables allow that are theirs.
    #[test]
    fn a_block_is_what_tables_allow() {
        use sparsemem_aarch64_page_table::{Aarch64, Granule4K, Granule16K, Granule64K};
        use sparsemem_riscv64_page_table::Riscv64;
        use sparsemem_x86_64_page_table::X86_64;

        fn log2_of<F: EntryFormat>(depth: PagingDepth) -> u32 {
            // SAFETY: no table is read.
            let tables = unsafe { PageTable::<F>::new(PhysAddr::new(0), depth) };
            block_bytes(&tables).trailing_zeros()
        }
        let depths = [PagingDepth::Two, PagingDepth::Three, PagingDepth::Four, PagingDepth::Five];
        assert_eq!([2, 3].map(|it| log2_of::<X86_64>(depths[it])), [39, 39]);
        assert_eq!([1, 2, 3].map(|it| log2_of::<Riscv64>(depths[it])), [30, 39, 39]);
        assert_eq!([1, 2].map(|it| log2_of::<Aarch64<Granule4K>>(depths[it])), [30, 39]);
        assert_eq!([0, 1, 2].map(|it| log2_of::<Aarch64<Granule16K>>(depths[it])), [25, 36, 36]);
        assert_eq!([0, 1].map(|it| log2_of::<Aarch64<Granule64K>>(depths[it])), [29, 42]);
    }
}
