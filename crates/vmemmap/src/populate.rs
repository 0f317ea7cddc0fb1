//! Making descriptors exist, and taking them back, through the page tables.
//!
//! Source: Linux `vmemmap_populate` and `vmemmap_free`; which mapping sizes are used follows x86 (V-15).

use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, Footprint, ForeignBlock, LeafSize, LinkRefused, MetadataMemory, NodeId, Origin,
    OutOfMemory, PfnRange, SectionLoss, SectionShape,
};
use sparsemem_page_table::{Choice, Fate, PageTable, PopulateError, VirtRange, Wanted};
use sparsemem_section::{Content, Populate, PopulateRequest, SectionMemmap, SectionTable};

use crate::neighbours::any_valid;
use crate::tables::{TableView, Tables, core_addr, core_size, page_table};
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
            prefers_large: whole && 2 * bytes.len_bytes() > LeafSize::Size2MiB.bytes(),
        }
    }
}

/// The loss that a failure to populate means for a section.
fn loss(error: PopulateError, node: NodeId) -> SectionLoss {
    let memory = |bytes: u64| {
        let size = usize::try_from(bytes).unwrap_or(usize::MAX);
        SectionLoss::Memmap(OutOfMemory { size, align: size, node })
    };
    match error {
        PopulateError::OutOfMemory { what: Wanted::Leaf(size), .. } => memory(size.bytes()),
        PopulateError::OutOfMemory { .. } => memory(LeafSize::Size4KiB.bytes()),
        PopulateError::Misaligned { what, .. } => memory(what.align_bytes()),
        PopulateError::LinkRefused { at, .. } => SectionLoss::Mapping(LinkRefused { at: core_addr(at) }),
        PopulateError::NonCanonical { range } => SectionLoss::Unmappable { at: core_addr(range.start()) },
        _ => SectionLoss::OutsideRange,
    }
}

/// Whether all of `bytes` is going to be new memory.
fn content<E: AddressSpace>(tables: &PageTable, env: &E, bytes: VirtRange) -> Content {
    match tables.mappings(&TableView::new(env), bytes).next() {
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
        let mut memory = Tables::new(env, request.node);
        let populated =
            tables.populate(&mut memory, bytes, |slot, size| policy.choose(slot, core_size(size)));
        memory.tell_refused(refused);
        let _counts = populated.map_err(|error| loss(error, request.node))?;
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
        let tables = page_table(env);
        let mut memory = Tables::new(env, NodeId::new(0));
        let unmapped = tables.unmap(&mut memory, bytes, |leaf| {
            // SAFETY: the caller is the model's writer.
            if unsafe { any_valid(table, self.frames_in::<T::Page>(leaf.range)) } {
                Fate::Keep
            } else {
                Fate::Drop
            }
        });
        memory.tell_refused(refused);
        debug_assert!(unmapped.is_ok(), "the array's range was canonical when it was populated");
    }

    unsafe fn footprint(&self, _table: &T, env: &E) -> Footprint {
        if !self.base().is_own() {
            // What is mapped there is another model's, whose writer may be changing it.
            return Footprint::default();
        }
        let Some(window) = self.window() else { return Footprint::default() };
        let (tables, memory) = (page_table(env), TableView::new(env));
        let pages = tables.table_pages(&memory, window);
        // The root is the kernel's, whatever the model.
        let nr_tables = pages.total() - pages.of(tables.depth().root_level());
        Footprint {
            memmap_bytes: tables.mappings(&memory, window).map(|leaf| leaf.size.bytes()).sum(),
            page_table_bytes: nr_tables * LeafSize::Size4KiB.bytes(),
            ..Footprint::default()
        }
    }
}
