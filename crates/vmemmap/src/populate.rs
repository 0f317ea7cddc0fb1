//! Making descriptors exist, and taking them back, through the page tables.
//!
//! Source: Linux `vmemmap_populate` and `vmemmap_free`; which mapping sizes are used follows x86 (V-15).

use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Footprint, ForeignBlock, LeafSize, LinkRefused, LostBlocks, MetadataMemory, Origin,
    PfnRange, SectionLoss, SectionShape, VirtRange,
};
use sparsemem_page_table::{Choice, Fate, Mapping, PageTable, PopulateError};
use sparsemem_section::{Content, Populate, PopulateRequest, SectionMemmap, SectionTable};
use sparsemem_x86_64_page_table::X86_64;

use crate::neighbours::any_valid;
use crate::{ArrayBase, Claim, VirtualArray};

/// Which leaves a request may use.
struct Policy {
    largest: LeafSize,
    /// The descriptors that are, or are going to be, needed around the request.
    neighbourhood: VirtRange,
    /// Whether the request is for a whole section, and a section's memmap fills more than half of a 2 MiB leaf.
    prefers_large: bool,
}

impl Policy {
    /// Whether a leaf of this size may go into a slot.
    fn choose(&self, slot: VirtRange, size: LeafSize) -> Choice {
        let allowed = size <= self.largest
            && match size {
                LeafSize::Size4KiB => true,
                LeafSize::Size2MiB => self.prefers_large || self.neighbourhood.contains_range(slot),
                LeafSize::Size1GiB => self.neighbourhood.contains_range(slot),
            };
        if allowed { Choice::Place } else { Choice::Smaller }
    }
}

impl<B: ArrayBase> VirtualArray<B> {
    /// The policy for a request.
    fn policy<T: SectionTable>(
        &self,
        largest: LeafSize,
        request: &PopulateRequest,
        bytes: VirtRange,
    ) -> Policy {
        let whole = request.frames.count().get() == T::Geometry::PAGES_PER_SECTION;
        let neighbourhood = if whole { self.bytes_of::<T::Page>(request.neighbourhood) } else { None };
        Policy {
            largest,
            neighbourhood: neighbourhood.unwrap_or(VirtRange::empty_at(bytes.start())),
            prefers_large: whole && 2 * bytes.count().get() > LeafSize::Size2MiB.bytes(),
        }
    }
}

/// The kernel's page tables.
fn page_table<E: AddressSpace>(env: &E) -> PageTable<X86_64> {
    // SAFETY: the environment promises a live top-level table of this depth, whose entries for the array's range
    // only the model changes; the model has one writer at a time, and only the writer looks.
    unsafe { PageTable::new(env.root(), env.depth()) }
}

/// The loss that a failure to populate means for a section.
fn loss(error: PopulateError) -> SectionLoss {
    match error {
        PopulateError::OutOfMemory { error, .. } => SectionLoss::Memmap(error),
        PopulateError::LinkRefused { refused, .. } => SectionLoss::Mapping(refused),
        // There was memory, but no entry can map it.
        PopulateError::Misaligned { at, .. } | PopulateError::OutOfReach { at, .. } => {
            SectionLoss::Mapping(LinkRefused { at })
        }
        PopulateError::NonCanonical { range } => SectionLoss::Unmappable { at: range.start() },
        _ => SectionLoss::OutsideRange,
    }
}

/// Tells of every block that did not go back; the first stands for the others. The page tables are in order by now: who
/// is told may do anything.
fn tell(lost: &LostBlocks, refused: &mut dyn FnMut(ForeignBlock)) {
    let Some(first) = lost.first() else { return };
    (0..lost.count()).for_each(|_| refused(first));
}

/// Whether all of `bytes` is going to be new memory.
fn content<E: AddressSpace>(tables: &PageTable<X86_64>, env: &E, bytes: VirtRange) -> Content {
    match tables.mappings(env, bytes).next() {
        None => Content::Zero,
        Some(_) => Content::MaybeOld,
    }
}

// SAFETY: `populate` returns success only if every byte of the requested descriptors is mapped to zeroed, exclusively
// owned memory, which stays until `depopulate` finds no valid frame in its leaf.
unsafe impl<T, B, E> Populate<T, E> for VirtualArray<B>
where
    T: SectionTable,
    B: ArrayBase,
    E: MetadataMemory + AddressSpace,
{
    fn populate(
        &self,
        _table: &T,
        env: &mut E,
        request: &PopulateRequest,
        refused: &mut dyn FnMut(ForeignBlock),
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        if self.base().claim() == Claim::Taken {
            return Err(SectionLoss::PlaceTaken);
        }
        let bytes = self.bytes_of::<T::Page>(request.frames).ok_or(SectionLoss::OutsideRange)?;
        let section = request.section.first_pfn::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let policy = self.policy::<T>(env.largest_leaf(), request, bytes);
        let tables = page_table(env);
        let content = content(&tables, env, bytes);
        let (choose, mut lost) = (|slot, size| policy.choose(slot, size), LostBlocks::default());
        let populated = tables.populate(env, request.node, bytes, choose, &mut lost);
        tell(&lost, refused);
        let _counts = populated.map_err(loss)?;
        let first = NonNull::new(self.element(section)).ok_or(SectionLoss::OutsideRange)?;
        Ok(SectionMemmap { first, origin: Origin::Boot, content })
    }

    unsafe fn depopulate(
        &self,
        table: &T,
        env: &mut E,
        frames: PfnRange,
        _memmap: SectionMemmap<T::Page>,
        refused: &mut dyn FnMut(ForeignBlock),
    ) {
        // SAFETY: the caller's promise covers it: no frame of the section is valid.
        unsafe { <Self as Populate<T, E>>::shrink(self, table, env, frames, refused) };
    }

    unsafe fn shrink(&self, table: &T, env: &mut E, frames: PfnRange, refused: &mut dyn FnMut(ForeignBlock)) {
        let Some(bytes) = self.bytes_of::<T::Page>(frames) else { return };
        let (tables, mut lost) = (page_table(env), LostBlocks::default());
        let keep = |leaf: &Mapping| {
            // SAFETY: the caller is the model's writer.
            if unsafe { any_valid(table, self.frames_in::<T::Page>(leaf.range)) } {
                Fate::Keep
            } else {
                Fate::Drop
            }
        };
        let unmapped = tables.unmap(env, bytes, keep, &mut lost);
        tell(&lost, refused);
        debug_assert!(unmapped.is_ok(), "the array's range was canonical when it was populated");
    }

    unsafe fn footprint(&self, _table: &T, env: &E) -> Footprint {
        if !self.base().is_own() {
            // What is mapped there is another model's, whose writer may be changing it.
            return Footprint::default();
        }
        let Some(window) = self.window() else { return Footprint::default() };
        let tables = page_table(env);
        let pages = tables.table_pages(env, window);
        // The root is the kernel's, whatever the model.
        let nr_tables = pages.total() - pages.of(tables.root_level());
        Footprint {
            memmap_bytes: tables.mappings(env, window).map(|leaf| leaf.size.bytes()).sum(),
            page_table_bytes: nr_tables * LeafSize::Size4KiB.bytes(),
            ..Footprint::default()
        }
    }
}
