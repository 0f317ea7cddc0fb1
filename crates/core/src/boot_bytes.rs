//! The memory that a boot needs, before it begins: for kernels whose boot allocator hands out one block.
//!
//! # Invariants
//!
//! 1. The answer is an upper bound for every model that takes metadata section by section, on page tables of any depth,
//!    and does not depend on the order or on overlaps of the ranges.

use crate::{BootSummary, ByteLen, Geometry, MemoryRange, SectionShape, Touch};

/// Pages of metadata that are no descriptors, of one section: a root of the table, aligned, and a page table of each of
/// four levels.
const PAGES_BESIDE: u64 = 6;
/// Pages that are lost between blocks of different alignment, in one boot.
const PAGES_LOST: u64 = 16;

/// The most bytes that a boot takes which allocates section by section, for descriptors of `descriptor` bytes.
pub(crate) fn by_section<G: Geometry>(
    descriptor: usize,
    memory: &(impl Iterator<Item = MemoryRange> + Clone),
) -> ByteLen {
    let mut sections = 0;
    // The summary is for its walk over the sections, and nothing is brought up.
    BootSummary::default().by_section::<G>(memory, &mut |_| (), |part| {
        sections += u64::from(part.touch == Touch::First);
        Ok(part.node)
    });
    if sections == 0 {
        return ByteLen::new(0);
    }
    let beside = PAGES_BESIDE * G::PAGE_SIZE + usage_bytes::<G>();
    let each = memmap_bytes::<G>(descriptor).saturating_add(beside);
    ByteLen::new(sections.saturating_mul(each).saturating_add(PAGES_LOST * G::PAGE_SIZE))
}

/// The most bytes that a section's usage has, with what models keep beside it.
fn usage_bytes<G: Geometry>() -> u64 {
    let words = 3 * size_of::<G::SubsectionMap>() + size_of::<G::PageblockFlags>();
    words as u64 + 256
}

/// The most bytes that a section's descriptors have: as a block of whole pages, or as mappings of a virtual array,
/// which may reach beyond the section where they are large.
fn memmap_bytes<G: Geometry>(descriptor: usize) -> u64 {
    let bytes = G::PAGES_PER_SECTION.saturating_mul(descriptor as u64);
    // An entry of the second level maps a table's worth of pages: entries have eight bytes.
    let large = G::PAGE_SIZE << (G::PAGE_SHIFT - 3);
    let is_preferred = bytes > large / 2;
    let unit = if is_preferred { large } else { G::PAGE_SIZE };
    match bytes % unit {
        0 => bytes,
        // Rounded up, and begun in the middle of another.
        part => (bytes - part).saturating_add(2 * unit),
    }
}

#[cfg(all(test, not(sparsemem_loom)))]
mod tests {
    use super::*;
    use crate::presets::X86_64;
    use crate::{NodeId, Pfn, PfnRange};

    const BESIDE: u64 = 6 * 4096 + 24 + size_of::<<X86_64 as Geometry>::PageblockFlags>() as u64 + 256;

    fn range(start: u64, end: u64) -> MemoryRange {
        MemoryRange { frames: PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap(), node: NodeId::new(0) }
    }

    #[test]
    fn a_section_counts_once_however_many_ranges_touch_it() {
        let bytes = |ranges: &[MemoryRange]| by_section::<X86_64>(64, &ranges.iter().copied()).get();
        assert_eq!(bytes(&[]), 0);
        let one = (2 << 20) + BESIDE + 16 * 4096;
        assert_eq!(bytes(&[range(0, 160)]), one);
        assert_eq!(bytes(&[range(256, 0x8000), range(0, 160), range(100, 300)]), one);
        assert_eq!(bytes(&[range(0x7fff, 0x8001)]), one + (2 << 20) + BESIDE);
        assert_eq!(
            bytes(&[range(X86_64::MAX_PFN, X86_64::MAX_PFN + 9)]),
            0,
            "no section is beyond the maximum"
        );
    }

    #[test]
    fn descriptors_of_any_size_have_room() {
        assert_eq!(memmap_bytes::<X86_64>(16), 512 << 10);
        assert_eq!(memmap_bytes::<X86_64>(24), 768 << 10);
        assert_eq!(
            memmap_bytes::<X86_64>(33),
            4 << 20,
            "more than half a large mapping, which may be cut anywhere"
        );
        assert_eq!(memmap_bytes::<X86_64>(128), 4 << 20);
    }
}
