//! The usage of one section.
//!
//! # Invariants
//!
//! 1. `origin` never changes: the memory of a usage is given back to the origin that it was allocated from.

use sparsemem_core::primitive::{AtomicU8, Ordering};
use sparsemem_core::{
    BitWords, CompoundOrder, Geometry, Origin, Pfn, PfnRange, SectionShape, SubsectionBits, SubsectionIdx,
};

use crate::pageblock::{Isolation, MigrateType, Pageblock, PageblockError, Pageblocks};
use crate::subsection::{ClearError, FillError, SubsectionMap};

/// Subsection map and pageblock flags of one section.
///
/// Source: Linux `struct mem_section_usage`, without its RCU head: [`Reclaim`](sparsemem_core::Reclaim) provides grace
/// periods. Differs from Linux: it also records which subsections are online, so that frames of RAM and of a device in
/// one section can be told apart without another lookup (X-09, D-17), and which share descriptors.
///
/// ```
/// use sparsemem_core::presets::X86_64;
/// use sparsemem_core::{Origin, PageCount, Pfn, PfnRange};
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
    folded: SubsectionMap<G>,
    pageblocks: Pageblocks<G>,
    memmap_origin: AtomicU8,
    /// The order of the folded compounds; 0 before there were any.
    compound: AtomicU8,
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

    /// True if no subsection is populated.
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

    /// The isolation of a pageblock of this section, counted from its lowest.
    ///
    /// # Errors
    ///
    /// [`PageblockError`] if the section has no such block.
    pub fn isolation(&self, block: u32) -> Result<Isolation, PageblockError> {
        self.pageblocks.isolation(block)
    }

    /// Isolates a pageblock or ends its isolation, and returns its former isolation; its migrate type stays.
    ///
    /// # Errors
    ///
    /// [`PageblockError`] if the section has no such block.
    pub fn set_isolation(&self, block: u32, to: Isolation) -> Result<Isolation, PageblockError> {
        self.pageblocks.set_isolation(block, to)
    }

    /// The flags of the pageblock of a frame of this section.
    #[must_use]
    pub fn pageblock(&self, pfn: Pfn) -> Pageblock<'_, G> {
        Pageblock { flags: &self.pageblocks, block: Self::pageblock_of(pfn) }
    }

    /// The section-relative index of the pageblock of a frame.
    #[must_use]
    pub fn pageblock_of(pfn: Pfn) -> u32 {
        Pageblocks::<G>::index_of(pfn)
    }

    /// Bytes of the subsection map and the pageblock flags alone, as Linux counts a usage.
    #[must_use]
    pub const fn map_bytes() -> usize {
        (G::SubsectionMap::LEN + G::PageblockFlags::LEN) * size_of::<u64>()
    }
}

/// The methods that a section table uses. They take `&self`, because readers read while the one writer works.
impl<G: Geometry> SectionUsage<G> {
    /// A usage without any populated subsection, in memory from `origin`.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        const { G::CHECK }
        Self {
            subsections: SubsectionMap::new(),
            online: SubsectionMap::new(),
            folded: SubsectionMap::new(),
            pageblocks: Pageblocks::new(),
            memmap_origin: AtomicU8::new(origin.code()),
            compound: AtomicU8::new(0),
            origin,
        }
    }

    /// The origin of the memory of this usage.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// The origin of the section's memmap, for models that allocate it as one block.
    #[must_use]
    pub fn memmap_origin(&self) -> Origin {
        // Relaxed: only the writer reads and writes it.
        Origin::from_code(self.memmap_origin.load(Ordering::Relaxed)).unwrap_or(self.origin)
    }

    /// Stores the origin of the section's memmap.
    pub fn set_memmap_origin(&self, origin: Origin) {
        // Relaxed: as above.
        self.memmap_origin.store(origin.code(), Ordering::Relaxed);
    }

    /// The subsections that consist of folded compounds, and the order of these; `None` if there are none.
    #[must_use]
    pub fn folded(&self) -> Option<(CompoundOrder, SubsectionBits)> {
        let folded = self.folded.snapshot();
        if folded.is_empty() {
            return None;
        }
        // Relaxed: the order was stored before the bits, whose Acquire is in `snapshot`.
        Some((CompoundOrder::new(self.compound.load(Ordering::Relaxed))?, folded))
    }

    /// Notes that these subsections, of a section without folded compounds of another order that a reader may know of, are folded.
    pub fn insert_folded(&self, order: CompoundOrder, bits: SubsectionBits) {
        // Relaxed: the bits publish it.
        self.compound.store(order.get(), Ordering::Relaxed);
        self.folded.insert(bits);
    }

    /// Notes that these subsections are not folded any more.
    pub fn remove_folded(&self, bits: SubsectionBits) {
        self.folded.remove(bits);
    }

    /// True if a subsection is populated. Checked lookups ask this.
    ///
    /// # Cost
    ///
    /// One load.
    #[inline]
    #[must_use]
    pub fn contains(&self, index: SubsectionIdx) -> bool {
        self.subsections.contains(index)
    }

    /// True if all of these subsections are populated.
    #[inline]
    #[must_use]
    pub fn contains_all(&self, bits: &SubsectionBits) -> bool {
        self.subsections.contains_all(bits)
    }

    /// True if any of these subsections is populated.
    #[inline]
    #[must_use]
    pub fn contains_any(&self, bits: &SubsectionBits) -> bool {
        self.subsections.contains_any(bits)
    }

    /// True if every subsection is populated.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.subsections.is_full()
    }

    /// True if the subsections are alike: all populated, and all or none of them online.
    #[inline]
    #[must_use]
    pub fn is_alike(&self) -> bool {
        self.subsections.is_full() && (self.online.is_empty() || self.online.is_full())
    }

    /// True if any subsection but these is populated.
    #[inline]
    #[must_use]
    pub fn contains_others(&self, bits: &SubsectionBits) -> bool {
        self.subsections.contains_others(bits)
    }

    /// True if any of these subsections is online.
    #[inline]
    #[must_use]
    pub fn is_any_online(&self, bits: &SubsectionBits) -> bool {
        self.online.contains_any(bits)
    }

    /// Adds populated subsections, which may be there already.
    ///
    /// # Concurrency
    ///
    /// Release: a reader that sees a bit also sees everything that was written before it was inserted.
    pub fn insert(&self, bits: SubsectionBits) {
        self.subsections.insert(bits);
    }

    /// Removes populated subsections, which may be absent already. They are not folded any more.
    pub fn remove(&self, bits: SubsectionBits) {
        self.subsections.remove(bits);
        // Relaxed: the writer's own store.
        if self.compound.load(Ordering::Relaxed) != 0 {
            self.folded.remove(bits);
        }
    }

    /// True if a subsection is online: populated, and its frames belong to the page allocator.
    ///
    /// # Cost
    ///
    /// One load.
    #[inline]
    #[must_use]
    pub fn is_online(&self, index: SubsectionIdx) -> bool {
        self.online.contains(index)
    }

    /// Marks subsections as online.
    pub fn insert_online(&self, bits: SubsectionBits) {
        self.online.insert(bits);
    }

    /// Marks subsections as offline.
    pub fn remove_online(&self, bits: SubsectionBits) {
        self.online.remove(bits);
    }

    /// The online subsections, as a value.
    #[must_use]
    pub fn online(&self) -> SubsectionBits {
        self.online.snapshot()
    }

    /// The populated subsections, as a value.
    #[must_use]
    pub fn snapshot(&self) -> SubsectionBits {
        self.subsections.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsemem_core::Pfn;
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
        // A word of online bits and one of folded ones; two bytes of origins and the order of compounds, rounded up.
        assert_eq!(size_of::<SectionUsage<X86_64>>(), SectionUsage::<X86_64>::map_bytes() + 24);
    }

    #[test]
    fn questions_about_sets_are_those_about_their_members() {
        let usage = SectionUsage::<Sparc64>::new(Origin::Boot);
        let set = |members: &[u64]| {
            SubsectionBits::from_words((0..8).map(|word| {
                members.iter().filter(|bit| *bit / 64 == word).fold(0, |all, bit| all | 1 << (bit % 64))
            }))
        };
        usage.insert(set(&[1, 64, 511]));
        usage.insert_online(set(&[64]));
        for (bits, all, any, others) in [
            (set(&[1, 64, 511]), true, true, false),
            (set(&[1, 64, 510, 511]), false, true, false),
            (set(&[1, 511]), true, true, true),
            (set(&[2, 65]), false, false, true),
            (set(&[]), true, false, true),
        ] {
            let answers =
                (usage.contains_all(&bits), usage.contains_any(&bits), usage.contains_others(&bits));
            assert_eq!(answers, (all, any, others), "{bits:?}");
        }
        assert!(usage.is_any_online(&set(&[1, 64])) && !usage.is_any_online(&set(&[1, 511])));
    }

    #[test]
    fn bits_are_what_was_put_in_and_not_taken_out() {
        let usage = SectionUsage::<X86_64>::new(Origin::Boot);
        let (all, part) = (SubsectionBits::full::<X86_64>(), SubsectionBits::from_words([0b110]));
        let (first, second) = (SubsectionIdx::new(0), SubsectionIdx::new(1));
        assert!(usage.is_empty() && !usage.contains(second) && !usage.is_online(second));
        usage.insert(all);
        usage.insert_online(all);
        assert!(!usage.is_empty() && usage.contains(second) && usage.is_online(second));
        usage.remove_online(part);
        assert!(usage.contains(second) && !usage.is_online(second) && usage.is_online(first));
        assert_eq!((usage.online(), usage.snapshot()), (all.difference(part), all));
        usage.remove(part);
        assert!(!usage.contains(second) && usage.contains(first));
        assert_eq!(usage.snapshot(), all.difference(part));
    }

    #[test]
    fn ranges_are_filled_and_cleared_once() {
        let usage = SectionUsage::<X86_64>::new(Origin::Boot);
        let range = PfnRange::new(Pfn::new(0x8200), Pfn::new(0x8600)).unwrap();
        assert!(usage.clear(range).is_err());
        usage.fill(range).unwrap();
        assert_eq!(usage.snapshot(), SubsectionBits::from_words([0b110]));
        usage.clear(range).unwrap();
        assert!(usage.is_empty());
    }

    #[test]
    fn pageblocks_are_those_of_the_section() {
        let usage = SectionUsage::<X86_64>::new(Origin::Boot);
        let block = SectionUsage::<X86_64>::pageblock_of(Pfn::new(0x8000 + 0x400));
        assert_eq!(block, 2);
        usage.set_migrate_type(block, MigrateType::Movable).unwrap();
        assert_eq!(usage.migrate_type(block), Ok(MigrateType::Movable));
        assert_eq!(usage.migrate_type(0), Ok(MigrateType::Unmovable));
    }

    #[test]
    fn what_is_printed_names_what_is_there() {
        let usage = SectionUsage::<X86_64>::new(Origin::Boot);
        usage.insert(SubsectionBits::from_words([0b1]));
        let text = std::format!("{usage:?}");
        assert!(text.contains("of 64") && text.contains("64 pageblocks"), "{text}");
    }

    #[test]
    fn origins_are_kept_apart() {
        let usage = SectionUsage::<X86_64>::new(Origin::Boot);
        assert_eq!((usage.origin(), usage.memmap_origin()), (Origin::Boot, Origin::Boot));
        usage.set_memmap_origin(Origin::Altmap);
        assert_eq!((usage.origin(), usage.memmap_origin()), (Origin::Boot, Origin::Altmap));
    }
}
