//! The facts of a model: its sections, the mappings of its array, and the places of its descriptors.

use std::collections::BTreeSet;
use std::ptr::NonNull;

use sparsemem_altmap::AltmapSpec;
use sparsemem_core::{
    ByteLen, MemoryModel, Pfn, PfnRange, PhysAddr, PhysMap, SectionFlags, SectionNr, SectionShape,
    SectionState, SubsectionIdx, VirtAddr,
};
use sparsemem_hotplug::{Resource, ResourceKind, Resources};
use sparsemem_machine::{Leaf, Machine};

use super::facts::{Aspect, Facts, What};
use super::kernel::{DESCRIPTOR, Geo};
use super::recorded::{self, Scope};
use super::script::ResourceRow;
use super::words;

/// A model on its machine, at one moment.
pub(super) struct View<'v, M> {
    /// The model.
    pub(super) model: &'v M,
    /// Its machine.
    pub(super) machine: &'v Machine,
    /// The altmaps that the recording has at this moment.
    pub(super) altmaps: &'v [AltmapSpec],
    /// Bytes of the section table before the boot.
    pub(super) empty_table: u64,
    /// The facts to compare.
    pub(super) scope: Scope,
}

impl<M: MemoryModel> View<'_, M> {
    /// All facts in scope, except tags and resources.
    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        let pieces = if self.scope.pages { self.pieces() } else { Vec::new() };
        for nr in self.model.present_sections() {
            self.section(&mut facts, nr);
            if let Some(pages) = words::pages(nr.get(), &pieces) {
                facts.note(What::Section(nr.get(), Aspect::Pages), pages);
            }
        }
        let usage = usage_bytes(self.model);
        let usages = self.machine.outstanding().filter(|(range, _)| usage == Some(range.count()));
        facts.note(What::Usages, usages.count());
        if self.scope.roots {
            facts.note(What::Roots, self.roots());
        }
        if self.scope.array {
            self.mappings(&mut facts);
        }
        facts
    }

    /// A section.
    fn section(&self, facts: &mut Facts, nr: SectionNr) {
        let state = self.model.section(nr);
        let mut note = |aspect, value: String| facts.note(What::Section(nr.get(), aspect), value);
        note(Aspect::Flags, words::flags(state.flags));
        // A section without a usage shows no subsections.
        if !state.subsections.is_empty() {
            note(Aspect::Usage, words::THERE.to_owned());
        }
        if let Some(memmap) = self.memmap(nr, &state) {
            note(Aspect::Memmap, memmap);
        }
        if !self.scope.subsections {
            return;
        }
        note(Aspect::Subsections, state.subsections.hex::<Geo>().to_string());
        let backing = |offset: u64| {
            let page = self.model.lookup(Pfn::new(offset / DESCRIPTOR))?;
            phys_of(self.machine, page).map(PhysAddr::get)
        };
        if let Some(where_to) = words::altmap(nr.get(), state.subsections, self.altmaps, backing) {
            note(Aspect::Altmap, where_to);
        }
    }

    /// The place of a section's memmap, or only that it has one. The place follows from the descriptor of the first
    /// populated frame.
    fn memmap(&self, nr: SectionNr, state: &SectionState) -> Option<String> {
        let pfn = first_populated(nr, state)?;
        let page = self.model.lookup(pfn).filter(|_| state.flags.contains(SectionFlags::HAS_MEM_MAP))?;
        if !self.scope.array {
            return phys_of(self.machine, page).map(|_| words::THERE.to_owned());
        }
        let base = self.machine.window().start().get();
        let from_base = address(page).get().wrapping_sub(base);
        Some(words::offset(from_base.wrapping_sub(pfn.get() * DESCRIPTOR)))
    }

    /// The roots, if their number is the one that the sections need.
    fn roots(&self) -> String {
        let needed: BTreeSet<u64> = self.model.present_sections().map(words::root_of).collect();
        let table = self.model.footprint().table_bytes;
        let there = table.saturating_sub(self.empty_table) / Geo::PAGE_SIZE;
        let count = needed.len() as u64;
        let words = words::numbers(needed);
        if there == count { words } else { format!("{there} roots, but the sections need {words}") }
    }

    /// The pieces of the array that are mapped: start and end as offsets, and the memory that they lead to.
    fn pieces(&self) -> Vec<(u64, u64, u64)> {
        let base = self.machine.window().start().get();
        let piece = |leaf: Leaf| {
            let start = leaf.at.get().wrapping_sub(base);
            (start, start + leaf.size.bytes(), leaf.to.get())
        };
        self.machine.mirrored().map(piece).collect()
    }

    /// The mappings of the array.
    fn mappings(&self, facts: &mut Facts) {
        let leaves = self.pieces().into_iter().map(|(start, end, _)| (start, end, end - start));
        for (start, end, size) in words::mapping_runs(&leaves.collect::<Vec<_>>()) {
            facts.note(What::Mapping(start), words::mapping(end, size));
        }
    }
}

/// Bytes of the block that a section's usage lies in, if there is a section.
fn usage_bytes<M: MemoryModel>(model: &M) -> Option<ByteLen> {
    let sections = model.present_sections().count() as u64;
    model.footprint().usage_bytes.checked_div(sections).map(ByteLen::new)
}

/// RAM and devices in hotplug's resource tree.
pub(super) fn resources(facts: &mut Facts, resources: &Resources<'_>) {
    let row = |it: &Resource| ResourceRow {
        frames: it.range.whole_frames::<Geo>(),
        is_device: it.kind == ResourceKind::Device,
    };
    let rows: Vec<ResourceRow> = resources.iter().map(row).collect();
    recorded::resources(facts, &rows);
}

/// The first frame of a section that has a descriptor of its own.
fn first_populated(nr: SectionNr, state: &SectionState) -> Option<Pfn> {
    let (first, _) = state.subsections.next_run(SubsectionIdx::new(0))?;
    let section: PfnRange = nr.frames::<Geo>()?;
    Some(Pfn::new(section.start().get() + u64::from(first.get()) * Geo::PAGES_PER_SUBSECTION))
}

/// The virtual address of a descriptor.
fn address<P>(page: NonNull<P>) -> VirtAddr {
    VirtAddr::new(page.addr().get() as u64)
}

/// The physical address of a descriptor, found through the direct map or through the array's page tables.
fn phys_of<P>(machine: &Machine, page: NonNull<P>) -> Option<PhysAddr> {
    machine.virt_to_phys(page.cast()).or_else(|| {
        let at = address(page);
        let leaf = machine.translate(at).ok().flatten()?;
        Some(leaf.to.saturating_add(at.offset_from(leaf.at)?))
    })
}
