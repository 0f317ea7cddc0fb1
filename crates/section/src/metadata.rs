//! Reports where the metadata of a section lies, and lends the pageblock flags in it.
//!
//! # Invariants
//!
//! 1. A section has a usage and, in a table of roots, a root of its own or with neighbours; what holds its descriptors is its
//!    placement's to report.
//! 2. Nobody reaches a usage itself through a model: its other maps are for the writer.

use core::alloc::Layout;
use core::ptr::NonNull;

use sparsemem_core::{
    ByteLen, MetadataBlock, MetadataMemory, MetadataModel, MetadataUse, Origin, Pfn, PhysRange, Reclaim,
    SectionNr, Writer,
};
use sparsemem_usage_map::{Pageblock, PageblockModel};

use crate::writing::Usage;
use crate::{Placement, Populate, SectionTable, SparseModel, Writing};

impl<T, S, R, E> MetadataModel<E> for SparseModel<T, S, R>
where
    T: SectionTable,
    S: Populate<T, E>,
    R: Reclaim,
    E: MetadataMemory,
{
    fn each_metadata(
        writer: &mut Writer<'_, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        let writing = Writing::of(writer);
        let Some(entry) = writing.entry(section).filter(|entry| !entry.word().is_absent()) else { return };
        if entry.word().has_memmap() {
            S::each_block(&writing, env, section, visit);
        }
        let usage = entry.usage().zip(writing.usage(entry));
        let usage = usage.map(|(start, usage)| (start.cast(), Layout::new::<Usage<T>>(), usage.origin()));
        let parts = [(MetadataUse::Usage, usage), (MetadataUse::Root, writing.root_block(section))];
        for (of, block) in parts {
            let block = block.and_then(|block| reported(env, of, block));
            block.into_iter().for_each(&mut *visit);
        }
    }
}

/// A block by its physical address, if the environment has one for it.
fn reported<E: MetadataMemory>(
    env: &E,
    of: MetadataUse,
    (start, layout, origin): (NonNull<u8>, Layout, Origin),
) -> Option<MetadataBlock> {
    let len = ByteLen::new(layout.size() as u64);
    let bytes = PhysRange::from_start_count(env.virt_to_phys(start)?, len)?;
    Some(MetadataBlock { of, bytes, origin })
}

impl<T: SectionTable, S: Placement<T>, R: Reclaim> PageblockModel for SparseModel<T, S, R> {
    #[inline]
    fn pageblock<'g>(&'g self, pfn: Pfn, guard: &'g R::Guard) -> Option<Pageblock<'g, T::Geometry>> {
        let entry = self.entry(pfn.section::<T::Geometry>(), guard)?;
        if !entry.word().has_memmap() {
            return None;
        }
        // SAFETY: the word has a memmap.
        Some(unsafe { Self::usage(entry, guard) }.pageblock(pfn))
    }
}
