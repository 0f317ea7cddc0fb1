//! Maps and unmaps descriptors through the page tables.
//!
//! Source: Linux `vmemmap_populate` and `vmemmap_free`; the choice of mapping sizes follows x86 (V-15).

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Block, FoldError, LeafSize, LinkRefused, LostBlocks, MetadataBlock, MetadataMemory,
    MetadataUse, NodeId, Origin, OtherAddressSpace, PfnRange, PhysRange, RefoldError, SectionLoss, SectionNr,
    SectionShape, VirtRange, WriterSlot,
};
use sparsemem_page_table::{Choice, EntryFormat, Fate, Level, Mapping, PageTable, PopulateError, Populated};
use sparsemem_section::{
    Before, Content, FoldRequest, Moved, Populate, PopulateRequest, SectionMemmap, SectionTable, Writing,
};

use crate::array::{memory_of, visit_memory};
use crate::beforehand::Beforehand;
use crate::settle::Settled;
use crate::{ArrayBase, VirtualArray};

/// The sizes of leaves above the smallest that a request may use.
pub(crate) struct Policy {
    largest: LeafSize,
    /// The descriptors that are, or are going to be, needed around the request.
    neighbourhood: VirtRange,
    /// The size of leaf that the request may use although it does not fill one, if it may.
    preferred: Option<LeafSize>,
    /// The array: no leaf reaches beyond it.
    window: VirtRange,
}

impl Policy {
    /// The choice for a slot: a leaf of this size, or smaller leaves.
    pub(crate) fn choose(&self, slot: VirtRange, size: LeafSize) -> Choice {
        let is_preferred = self.preferred == Some(size) && self.window.contains_range(slot);
        let allowed = size <= self.largest && (is_preferred || self.neighbourhood.contains_range(slot));
        if allowed { Choice::Place } else { Choice::Smaller }
    }
}

impl<B: ArrayBase, F> VirtualArray<B, F> {
    /// The policy for a request, where leaves of the second level have `second` bytes.
    pub(crate) fn policy<T: SectionTable>(
        &self,
        largest: LeafSize,
        second: Option<LeafSize>,
        request: &PopulateRequest,
        bytes: VirtRange,
    ) -> Policy {
        let whole = request.frames.count().get() == T::Geometry::PAGES_PER_SECTION;
        let neighbourhood = if whole { self.bytes_of::<T::Page>(request.neighbourhood) } else { None };
        // A leaf of the second level, if it is for a whole section whose memmap fills more than half of it.
        let filled_half = |size: &LeafSize| whole && 2 * bytes.count().get() > size.bytes();
        let nothing = VirtRange::empty_at(bytes.start());
        Policy {
            largest,
            neighbourhood: neighbourhood.unwrap_or(nothing),
            preferred: second.filter(filled_half),
            window: self.window().unwrap_or(nothing),
        }
    }

    /// Refuses a model with another writer slot than the place names: it would change page tables that other models
    /// change at the same time.
    pub(crate) fn check_writer(&self, shared: Option<&'static WriterSlot>) -> Result<(), SectionLoss> {
        let same = self.base().shared_writer().map(core::ptr::from_ref) == shared.map(core::ptr::from_ref);
        if same { Ok(()) } else { Err(SectionLoss::OtherWriter) }
    }
}

/// The kernel's page tables.
pub(crate) fn page_table<F: EntryFormat, E: AddressSpace>(env: &E) -> PageTable<F> {
    // SAFETY: the environment promises a live top-level table of this depth and of the processor's format, whose entries for the array's range
    // only the model changes; the model has one writer at a time, and only the writer reads them.
    unsafe { PageTable::new(env.root(), env.depth()) }
}

/// The loss of a section that a failed populate causes.
pub(crate) fn loss(error: PopulateError) -> SectionLoss {
    match error {
        PopulateError::OutOfMemory { error, .. } => SectionLoss::Memmap(error),
        PopulateError::LinkRefused { refused, .. } => SectionLoss::Mapping(refused),
        // There was memory, but no entry can map it.
        PopulateError::Misaligned { at, .. } | PopulateError::OutOfReach { at, .. } => {
            SectionLoss::Mapping(LinkRefused { at })
        }
        PopulateError::NonCanonical { range } => SectionLoss::Unmappable { at: range.start() },
        PopulateError::Mapped { at } => SectionLoss::Unfoldable(FoldError::Mapped { at }),
        _ => SectionLoss::OutsideRange,
    }
}

impl<B: ArrayBase, F: EntryFormat> VirtualArray<B, F> {
    /// Maps the descriptors of a request, and returns that of the section's first frame.
    fn make<T, E>(
        &self,
        tables: &PageTable<F>,
        env: &mut E,
        request: &PopulateRequest,
        lost: &mut LostBlocks,
    ) -> Result<(NonNull<T::Page>, Populated), SectionLoss>
    where
        T: SectionTable,
        E: MetadataMemory + AddressSpace,
    {
        let bytes = self.bytes_of::<T::Page>(request.frames).ok_or(SectionLoss::OutsideRange)?;
        let section = request.section.first_pfn::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let first = NonNull::new(self.element(section)).ok_or(SectionLoss::OutsideRange)?;
        if let Some(order) = request.compound() {
            return Ok((first, self.fold::<T::Page, E>(tables, env, request, order, bytes, lost)?));
        }
        let second = F::leaf_size(Level::PMD);
        let policy = self.policy::<T>(env.largest_leaf(), second, request, bytes);
        let choose = |slot, size| policy.choose(slot, size);
        let populated = tables.populate(env, request.node, bytes, choose, lost).map_err(loss)?;
        Ok((first, populated))
    }

    /// Unmaps `bytes`, except leaves that hold descriptors of valid frames.
    fn unmap<T, E>(writing: &Writing<'_, T, Self>, env: &mut E, frames: PfnRange, lost: &mut LostBlocks)
    where
        T: SectionTable,
        E: MetadataMemory + AddressSpace,
    {
        let array = writing.placement();
        let Some(bytes) = array.bytes_within::<T::Page>(frames) else { return };
        let tables = page_table::<F, E>(env);
        let keep = |leaf: &Mapping| match writing.first_valid(array.frames_in::<T::Page>(leaf.range)) {
            Some(_) => Fate::Keep,
            None => {
                // SAFETY: this is the writer: it has the token.
                unsafe { array.note_unmapped(leaf) };
                Fate::Drop
            }
        };
        match tables.unmap(env, bytes, keep, lost) {
            Ok(unmapped) => {
                array.subtract(&unmapped);
                // SAFETY: as above, and the unmap has flushed what it unmapped.
                unsafe { array.drop_tails(env, lost) };
            }
            Err(error) => {
                debug_assert!(false, "the array's range was canonical when it was populated: {error}");
            }
        }
    }
}

// SAFETY: `populate` returns success only if every byte of the requested descriptors is mapped to zeroed, exclusively
// owned memory, which stays until `unmap` finds no valid frame in its leaf.
unsafe impl<T, B, F, E> Populate<T, E> for VirtualArray<B, F>
where
    T: SectionTable,
    B: ArrayBase,
    F: EntryFormat,
    E: MetadataMemory + AddressSpace,
{
    fn populate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &PopulateRequest,
        lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        const {
            assert!(
                align_of::<T::Page>() as u64 <= LeafSize::Size2MiB.bytes(),
                "the array begins on a 2 MiB border, so its descriptors are not aligned to more"
            );
        }
        let array = writing.placement();
        let tables = page_table::<F, E>(env);
        // SAFETY: this is the writer: it has the token.
        let settled = unsafe { array.settle(&tables, env, writing.shared_slot()) }?;
        let made = array.make::<T, E>(&tables, env, request, lost).inspect_err(|_| {
            if settled == Settled::Now {
                // SAFETY: as above, and the populate gave back all that it made.
                unsafe { array.unsettle() };
            }
        });
        let (first, populated) = made?;
        array.add(&populated);
        // A boot finds only mappings of its own: the place has no foreign mappings, and no frame was valid before.
        let is_zero = populated.is_all_new() || request.before() == Before::NoFrame;
        let content = if is_zero { Content::Zero } else { Content::MaybeOld };
        // Every leaf has its own origin; the section's origin says whether any of them is in an altmap.
        let origin = if populated.has_leaf_from(Origin::Altmap) { Origin::Altmap } else { Origin::Boot };
        Ok(SectionMemmap { first, origin, content })
    }

    fn beforehand(&self, env: &E, request: &PopulateRequest) -> Option<Layout> {
        self.leaf_of::<T, E>(env, request)
    }

    // Callers know whether there is a block: the compiler then drops the other way.
    #[inline(always)]
    fn populate_with(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &PopulateRequest,
        block: &mut Option<Block>,
        lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        if block.is_none() {
            return Self::populate(writing, env, request, lost);
        }
        <Self as Populate<T, _>>::populate(writing, &mut Beforehand { env, block }, request, lost)
    }

    unsafe fn depopulate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        _memmap: SectionMemmap<T::Page>,
        lost: &mut LostBlocks,
    ) {
        Self::unmap(writing, env, frames, lost);
    }

    unsafe fn shrink(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        lost: &mut LostBlocks,
    ) {
        Self::unmap(writing, env, frames, lost);
    }

    fn fold(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        request: &FoldRequest,
        announce: &mut dyn FnMut(&Writing<'_, T, Self>),
        lost: &mut LostBlocks,
    ) -> Result<Moved, RefoldError> {
        Self::fold_up(writing, env, request, announce, lost)
    }

    fn unfold(
        writing: &mut Writing<'_, T, Self>,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        lost: &mut LostBlocks,
    ) -> Result<Moved, RefoldError> {
        Self::unfold_up(writing, env, frames, node, lost)
    }

    fn check_environment(writing: &Writing<'_, T, Self>, env: &E) -> Result<(), OtherAddressSpace> {
        writing.placement().same_root(env)
    }

    fn each_block(
        writing: &Writing<'_, T, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        let array = writing.placement();
        let Some(bytes) = array.bytes_of_section::<T>(section) else { return };
        let tables = page_table::<F, E>(env);
        for leaf in tables.mappings(env, bytes) {
            // A shared page belongs to no section.
            let Some(origin) = leaf.origin else { continue };
            visit_memory(MetadataUse::Memmap, memory_of(leaf.phys, leaf.size), origin, visit);
        }
        let size = LeafSize::from_shift(F::BASE_SHIFT).unwrap_or(LeafSize::Size4KiB);
        tables.each_table(env, bytes, &mut |at, origin| {
            visit_memory(MetadataUse::PageTable, memory_of(at, size), origin, visit);
        });
    }

    fn other_altmap(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PhysRange> {
        let (array, tables) = (writing.placement(), page_table::<F, E>(env));
        let in_altmap = |leaf: &Mapping| leaf.origin == Some(Origin::Altmap);
        Self::unmapped_with(writing, frames).find_map(|bytes| {
            let leaves = tables.mappings(env, bytes).filter(in_altmap);
            let gone = leaves.filter(|leaf| array.goes_with(writing, frames, leaf.range));
            let mut memory = gone.filter_map(|leaf| memory_of(leaf.phys, leaf.size));
            memory.find(|memory| !env.has_altmap(*memory))
        })
    }

    fn needed_by(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PfnRange> {
        let (array, tables) = (writing.placement(), page_table::<F, E>(env));
        let inside = frames.bytes::<T::Geometry>()?;
        let in_frames = |leaf: &Mapping| {
            let memory = memory_of(leaf.phys, leaf.size);
            leaf.origin == Some(Origin::Altmap) && memory.is_some_and(|memory| memory.overlaps(inside))
        };
        writing.sections_in_altmaps().find_map(|(nr, _)| {
            let bytes = array.bytes_within::<T::Page>(nr.frames::<T::Geometry>()?)?;
            tables
                .mappings(env, bytes)
                .filter(in_frames)
                .find_map(|leaf| writing.first_valid_outside(array.frames_in::<T::Page>(leaf.range), frames))
        })
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_core::{ByteLen, OutOfMemory, PhysAddr, VirtAddr};
    use sparsemem_page_table::Wanted;

    use super::*;

    #[test]
    fn every_failure_of_the_tables_is_a_loss_of_its_own() {
        let (at, what) = (VirtAddr::new(0x20_0000), Wanted::Leaf(LeafSize::Size2MiB));
        let error = OutOfMemory { size: 1, align: 1, node: NodeId::new(0) };
        assert_eq!(loss(PopulateError::OutOfMemory { at, what, error }), SectionLoss::Memmap(error));
        let (refused, phys) = (LinkRefused { at }, PhysAddr::new(0x1000));
        let link = PopulateError::LinkRefused { size: LeafSize::Size2MiB, refused };
        let errors = [
            link,
            PopulateError::Misaligned { at, phys, what },
            PopulateError::OutOfReach { at, phys, what },
        ];
        for error in errors {
            assert_eq!(loss(error), SectionLoss::Mapping(refused));
        }
        let range = VirtRange::from_start_count(at, ByteLen::new(1)).unwrap();
        assert_eq!(loss(PopulateError::NonCanonical { range }), SectionLoss::Unmappable { at });
    }
}
