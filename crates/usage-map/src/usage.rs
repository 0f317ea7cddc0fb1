//! The usage of one section.
//!
//! # Invariants
//!
//! 1. `origin` never changes: the memory of a usage goes back to where it came from.

use sparsemem_core::primitive::{AtomicU8, Ordering};
use sparsemem_core::{
    BitWords, Geometry, Origin, PfnRange, SectionShape, SubsectionBits, SubsectionIdx, Usage,
};

use crate::pageblock::{Isolation, MigrateType, PageblockError, Pageblocks};
use crate::subsection::{ClearError, FillError, SubsectionMap};

/// Subsection map and pageblock flags of one section.
///
/// Source: Linux `struct mem_section_usage`, without its RCU head: grace periods are the business of
/// [`Reclaim`](sparsemem_core::Reclaim). Differs from Linux: it also records which subsections are online, so that
/// frames of RAM and of a device in one section can be told apart without asking anybody else (X-09, D-17).
///
/// ```
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{Origin, PageCount, Pfn, PfnRange, Usage};
/// use sparsemem_usage_map::SectionUsage;
///
/// let usage = SectionUsage::<X86_64>::new(Origin::Boot);
/// let four_mib = PfnRange::from_start_count(Pfn::new(0x10_8200), PageCount::new(0x400)).unwrap();
/// usage.fill(four_mib).unwrap();
/// assert_eq!(usage.snapshot().hex::<X86_64>().to_string(), "0000000000000006");
/// assert!(usage.fill(four_mib).is_err(), "already populated");
/// ```
#[derive(Debug)]
#[repr(C)]
pub struct SectionUsage<G: Geometry> {
    subsections: SubsectionMap<G>,
    online: SubsectionMap<G>,
    pageblocks: Pageblocks<G>,
    memmap_origin: AtomicU8,
    origin: Origin,
}

impl<G: Geometry> SectionUsage<G> {
    /// Marks the subsections of `range` as populated.
    ///
    /// # Errors
    ///
    /// [`FillError`] if the range is empty, leaves its section, or touches a subsection that is populated already.
    pub fn fill(&self, range: PfnRange) -> Result<(), FillError> {
        self.subsections.fill(range)
    }

    /// Marks the subsections of `range` as absent.
    ///
    /// # Errors
    ///
    /// [`ClearError`] if the range is empty, leaves its section, or touches a subsection that is not populated.
    pub fn clear(&self, range: PfnRange) -> Result<(), ClearError> {
        self.subsections.clear(range)
    }

    /// Whether no subsection is populated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subsections.snapshot().is_empty()
    }

    /// The migrate type of a pageblock of this section, counted from its lowest.
    ///
    /// # Errors
    ///
    /// [`PageblockError`] if the section has no such block, or its bits name no type.
    pub fn migrate_type(&self, block: u32) -> Result<MigrateType, PageblockError> {
        self.pageblocks.migrate_type(block)
    }

    /// Sets the migrate type of a pageblock; its isolation stays as it is.
    ///
    /// # Errors
    ///
    /// [`PageblockError`] if the section has no such block.
    pub fn set_migrate_type(&self, block: u32, to: MigrateType) -> Result<(), PageblockError> {
        self.pageblocks.set_migrate_type(block, to)
    }

    /// Whether a pageblock is isolated.
    ///
    /// # Errors
    ///
    /// [`PageblockError`] if the section has no such block.
    pub fn isolation(&self, block: u32) -> Result<Isolation, PageblockError> {
        self.pageblocks.isolation(block)
    }

    /// Isolates a pageblock or ends its isolation, and returns what it was; its migrate type survives.
    ///
    /// # Errors
    ///
    /// [`PageblockError`] if the section has no such block.
    pub fn set_isolation(&self, block: u32, to: Isolation) -> Result<Isolation, PageblockError> {
        self.pageblocks.set_isolation(block, to)
    }

    /// The section-relative index of the pageblock of a frame.
    #[must_use]
    pub fn pageblock_of(pfn: sparsemem_core::Pfn) -> u32 {
        Pageblocks::<G>::index_of(pfn)
    }

    /// Bytes of the subsection map and the pageblock flags alone, as Linux counts a usage.
    #[must_use]
    pub const fn map_bytes() -> usize {
        (G::SubsectionMap::LEN + G::PageblockFlags::LEN) * size_of::<u64>()
    }
}

// SAFETY: the maps are arrays of atomic words (`BitWords` is sealed) that change only in `insert` and `remove`, and the
// origins are fields that only `new` and `set_memmap_origin` write.
#[allow(unsafe_code, reason = "a promise about what the methods return, without an unsafe operation")]
unsafe impl<G: Geometry> Usage for SectionUsage<G> {
    type Geometry = G;

    fn new(origin: Origin) -> Self {
        const { G::CHECK }
        Self {
            subsections: SubsectionMap::new(),
            online: SubsectionMap::new(),
            pageblocks: Pageblocks::new(),
            memmap_origin: AtomicU8::new(origin.code()),
            origin,
        }
    }

    fn origin(&self) -> Origin {
        self.origin
    }

    fn memmap_origin(&self) -> Origin {
        // Relaxed: only the writer reads and writes it.
        Origin::from_code(self.memmap_origin.load(Ordering::Relaxed)).unwrap_or(self.origin)
    }

    fn set_memmap_origin(&self, origin: Origin) {
        // Relaxed: as above.
        self.memmap_origin.store(origin.code(), Ordering::Relaxed);
    }

    #[inline]
    fn contains(&self, index: SubsectionIdx) -> bool {
        self.subsections.contains(index)
    }

    fn insert(&self, bits: SubsectionBits) {
        self.subsections.insert(bits);
    }

    fn remove(&self, bits: SubsectionBits) {
        self.subsections.remove(bits);
    }

    #[inline]
    fn is_online(&self, index: SubsectionIdx) -> bool {
        self.online.contains(index)
    }

    fn insert_online(&self, bits: SubsectionBits) {
        self.online.insert(bits);
    }

    fn remove_online(&self, bits: SubsectionBits) {
        self.online.remove(bits);
    }

    fn online(&self) -> SubsectionBits {
        self.online.snapshot()
    }

    fn snapshot(&self) -> SubsectionBits {
        self.subsections.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsemem_core::presets::{Arm64Page16K, Arm64Page64K, Ppc64Page64K, S390x, Sparc64, X86_64};

    #[test]
    fn sizes_are_those_of_linux_without_its_rcu_head() {
        // Table of 1.2, right column, eight bits per pageblock, minus 16 bytes.
        assert_eq!(SectionUsage::<X86_64>::map_bytes(), 88 - 16);
        assert_eq!(SectionUsage::<Arm64Page16K>::map_bytes(), 32 - 16);
        assert_eq!(SectionUsage::<Arm64Page64K>::map_bytes(), 56 - 16);
        assert_eq!(SectionUsage::<Ppc64Page64K>::map_bytes(), 32 - 16);
        assert_eq!(SectionUsage::<S390x>::map_bytes(), 288 - 16);
        assert_eq!(SectionUsage::<Sparc64>::map_bytes(), 208 - 16);
        // A word of online bits, and two bytes of origins, rounded up.
        assert_eq!(size_of::<SectionUsage<X86_64>>(), SectionUsage::<X86_64>::map_bytes() + 16);
    }

    #[test]
    fn origins_are_kept_apart() {
        let usage = SectionUsage::<X86_64>::new(Origin::Boot);
        assert_eq!((usage.origin(), usage.memmap_origin()), (Origin::Boot, Origin::Boot));
        usage.set_memmap_origin(Origin::Altmap);
        assert_eq!((usage.origin(), usage.memmap_origin()), (Origin::Boot, Origin::Altmap));
    }
}
