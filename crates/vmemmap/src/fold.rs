//! Folded compounds: a page of descriptors for the head of each, and one page for the tails of all.
//!
//! Source: Linux `vmemmap_populate_compound_pages` (V-60 to V-62) and HVO since 7.1 (V-71), in one.
//!
//! # Invariants
//!
//! 1. Descriptors fill pages, and an array begins on a border of them, so a page has descriptors of one compound only.

use sparsemem_core::{
    AddressSpace, CompoundOrder, FoldError, LeafSize, LostBlocks, MetadataMemory, Pfn, PhysAddr, SectionLoss,
    VirtRange,
};
use sparsemem_page_table::{Choice, EntryFormat, Level, Mapping, PageTable, Plan, Populated, Small};
use sparsemem_section::PopulateRequest;

use crate::populate::loss;
use crate::{ArrayBase, VirtualArray};

/// New pages for heads, and the shared one for tails, where nothing is mapped.
struct Folding<H> {
    is_head: H,
    tails: PhysAddr,
}

// SAFETY: the page is of the array's list, which gives it back when its leaves are unmapped and flushed (`Tails::give_back`), and
// whoever folds has promised that nobody writes to tails (`ReadOnlyTails`).
unsafe impl<H: Fn(VirtRange) -> bool> Plan for Folding<H> {
    fn large(&mut self, _: VirtRange, _: LeafSize) -> Choice {
        Choice::Smaller
    }

    fn small(&mut self, slot: VirtRange) -> Small {
        if (self.is_head)(slot) { Small::New } else { Small::Shared(self.tails) }
    }

    /// Nothing: descriptors that are there would have to be the compound's, which is new.
    fn accepts(&self, _: &Mapping) -> bool {
        false
    }
}

impl<B: ArrayBase, F: EntryFormat> VirtualArray<B, F> {
    /// Maps the descriptors of a request as compounds of an order.
    pub(crate) fn fold<P, E>(
        &self,
        tables: &PageTable<F>,
        env: &mut E,
        request: &PopulateRequest,
        order: CompoundOrder,
        bytes: VirtRange,
        lost: &mut LostBlocks,
    ) -> Result<Populated, SectionLoss>
    where
        E: MetadataMemory + AddressSpace,
    {
        let size = F::leaf_size(Level::PTE).ok_or(SectionLoss::Unfoldable(FoldError::Unsupported))?;
        // SAFETY: the caller is the writer: it has the token.
        let taken = unsafe { self.tails.take(env, size.layout(), order, request.node, lost) };
        let (tails, new_bytes) = taken.map_err(SectionLoss::Memmap)?;
        self.add_leaf_bytes(new_bytes);
        let is_head = |slot| {
            let first: Pfn = self.frames_in::<P>(slot).start();
            order.head_of(first) == first
        };
        let made = tables.populate_as(env, request.node, bytes, &mut Folding { is_head, tails }, lost);
        let shared = made.as_ref().map_or(0, |made| made.shared());
        // SAFETY: as above.
        unsafe { self.tails.add(tails, shared) };
        // SAFETY: as above; of a populate that failed no leaf is left.
        unsafe { self.drop_tails(env, lost) };
        made.map_err(loss)
    }

    /// Counts a leaf that is about to go.
    ///
    /// # Safety
    ///
    /// For the writer of the model.
    pub(crate) unsafe fn note_unmapped(&self, leaf: &Mapping) {
        if leaf.origin.is_none() {
            // SAFETY: the caller's promise is the same.
            unsafe { self.tails.subtract(leaf.phys) };
        }
    }

    /// Gives back the shared pages that no leaf maps any more.
    ///
    /// # Safety
    ///
    /// For the writer of the model, after the leaves that are gone were flushed.
    pub(crate) unsafe fn drop_tails<E: MetadataMemory>(&self, env: &mut E, lost: &mut LostBlocks) {
        if let Some(size) = F::leaf_size(Level::PTE) {
            // SAFETY: the caller's promise is the same.
            let gone = unsafe { self.tails.give_back(env, size.layout(), lost) };
            self.subtract_leaf_bytes(gone);
        }
    }
}
