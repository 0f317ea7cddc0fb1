//! What a model says of its sections' metadata: where it lies, which is in the one block of the array, and the pageblock flags
//! in it.

use sparsemem_core::{
    Geometry, MetadataBlock, MetadataMemory, MetadataModel, MetadataUse, PageDescriptor, Pfn, PhysRange,
    Reclaim, SectionFlags, SectionNr, Writer,
};
use sparsemem_usage_map::{Pageblock, PageblockModel};

use crate::{ArrayModel, FrameIndex};

impl<G, P, R, I, E> MetadataModel<E> for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
    E: MetadataMemory,
{
    fn each_metadata(
        writer: &mut Writer<'_, Self>,
        env: &E,
        section: SectionNr,
        visit: &mut dyn FnMut(MetadataBlock),
    ) {
        let Some(array) = Self::array_of(writer) else { return };
        let is_present = array.section(section).is_some_and(|section| !section.flags().is_empty());
        let (start, len, origin) = array.block();
        let bytes = env.virt_to_phys(start).and_then(|at| PhysRange::from_start_count(at, len));
        let block = bytes.map(|bytes| MetadataBlock { of: MetadataUse::Memmap, bytes, origin });
        block.into_iter().filter(|_| is_present).for_each(visit);
    }
}

impl<G, P, R, I> PageblockModel for ArrayModel<G, P, R, I>
where
    G: Geometry,
    P: PageDescriptor,
    R: Reclaim,
    I: FrameIndex,
{
    fn pageblock<'g>(&'g self, pfn: Pfn, guard: &'g R::Guard) -> Option<Pageblock<'g, G>> {
        let (section, _) = self.array(guard)?.find(pfn)?;
        section.flags().contains(SectionFlags::HAS_MEM_MAP).then(|| section.usage.pageblock(pfn))
    }
}
