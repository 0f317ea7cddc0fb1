//! Making descriptors exist, and taking them back, through the page tables.
//!
//! Source: Linux `vmemmap_populate` and `vmemmap_free`; which mapping sizes are used follows x86 (V-15).

use core::ptr::NonNull;

use sparsemem_core::{
    AddressSpace, LeafSize, LinkRefused, LostBlocks, MetadataMemory, Origin, OtherAddressSpace, PfnRange,
    PhysRange, SectionLoss, SectionShape, VirtAddr, VirtRange,
};
use sparsemem_page_table::{Choice, Fate, Mapping, PageTable, PopulateError, Walk};
use sparsemem_section::{Content, Populate, PopulateRequest, SectionMemmap, SectionTable, Sharing, Writing};
use sparsemem_x86_64_page_table::X86_64;

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

/// How much of the address space belongs to an array alone around its place: what an entry above the tables of 1 GiB leaves
/// stands for (see [`ArrayPlace`](sparsemem_core::ArrayPlace)).
const EXCLUSIVE_BYTES: u64 = 1 << 39;

impl<B: ArrayBase> VirtualArray<B> {
    /// Takes the place of the array for the page tables of `env`, and looks around it when it is new: a mapping of others
    /// between the tables that this model makes and frees would lose them.
    fn settle<E: AddressSpace>(
        &self,
        tables: &PageTable<X86_64>,
        env: &E,
        sharing: Sharing,
    ) -> Result<(), SectionLoss> {
        if self.base().claim() == Claim::Taken {
            return Err(SectionLoss::PlaceTaken);
        }
        self.same_root(env).map_err(SectionLoss::OtherAddressSpace)?;
        if self.root().is_some() {
            return Ok(());
        }
        if sharing == Sharing::Alone {
            let window = self.window().ok_or(SectionLoss::OutsideRange)?;
            let around = rounded(window, EXCLUSIVE_BYTES).ok_or(SectionLoss::OutsideRange)?;
            if let Some(leaf) = tables.mappings(env, around).find(|leaf| !window.contains_range(leaf.range)) {
                return Err(SectionLoss::PlaceShared { at: leaf.range.start() });
            }
        }
        self.set_root(env.root());
        Ok(())
    }

    /// Refuses an environment with other page tables than those that were settled in.
    fn same_root<E: AddressSpace>(&self, env: &E) -> Result<(), OtherAddressSpace> {
        match self.root() {
            Some(own) if own != env.root() => Err(OtherAddressSpace { own, given: env.root() }),
            _ => Ok(()),
        }
    }

    /// Takes the mappings of `bytes` away, except leaves that hold descriptors of valid frames.
    fn unmap<T, E>(writing: &Writing<'_, T, Self>, env: &mut E, frames: PfnRange, lost: &mut LostBlocks)
    where
        T: SectionTable,
        E: MetadataMemory + AddressSpace,
    {
        let array = writing.placement();
        let Some(bytes) = array.bytes_of::<T::Page>(frames) else { return };
        let tables = page_table(env);
        let keep = |leaf: &Mapping| match writing.first_valid(array.frames_in::<T::Page>(leaf.range)) {
            Some(_) => Fate::Keep,
            None => Fate::Drop,
        };
        match tables.unmap(env, bytes, keep, lost) {
            Ok(unmapped) => array.subtract(&unmapped),
            Err(error) => {
                debug_assert!(false, "the array's range was canonical when it was populated: {error}");
            }
        }
    }
}

/// A range, up to the borders of blocks of `bytes`, a power of two, and at most to the end of the address space.
fn rounded(range: VirtRange, bytes: u64) -> Option<VirtRange> {
    let start = range.start().get() & !(bytes - 1);
    let end = range.end().get().checked_next_multiple_of(bytes).unwrap_or(u64::MAX);
    VirtRange::new(VirtAddr::new(start), VirtAddr::new(end)).ok()
}

// SAFETY: `populate` returns success only if every byte of the requested descriptors is mapped to zeroed, exclusively
// owned memory, which stays until `unmap` finds no valid frame in its leaf.
unsafe impl<T, B, E> Populate<T, E> for VirtualArray<B>
where
    T: SectionTable,
    B: ArrayBase,
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
        let tables = page_table(env);
        array.settle(&tables, env, writing.sharing())?;
        let bytes = array.bytes_of::<T::Page>(request.frames).ok_or(SectionLoss::OutsideRange)?;
        let section = request.section.first_pfn::<T::Geometry>().ok_or(SectionLoss::OutsideRange)?;
        let first = NonNull::new(array.element(section)).ok_or(SectionLoss::OutsideRange)?;
        let policy = array.policy::<T>(env.largest_leaf(), request, bytes);
        let choose = |slot, size| policy.choose(slot, size);
        let populated = tables.populate(env, request.node, bytes, choose, lost).map_err(loss)?;
        array.add(&populated);
        let content = if populated.is_all_new() { Content::Zero } else { Content::MaybeOld };
        // Every leaf knows its own; of the section it is said whether any is in an altmap.
        let origin = if populated.has_leaf_from(Origin::Altmap) { Origin::Altmap } else { Origin::Boot };
        Ok(SectionMemmap { first, origin, content })
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

    fn check_environment(writing: &Writing<'_, T, Self>, env: &E) -> Result<(), OtherAddressSpace> {
        writing.placement().same_root(env)
    }

    fn needed_by(writing: &Writing<'_, T, Self>, env: &E, frames: PfnRange) -> Option<PfnRange> {
        let array = writing.placement();
        let bytes = array.bytes_of::<T::Page>(frames)?;
        let last = VirtAddr::new(bytes.end().get().checked_sub(1)?);
        // Leaves in the middle hold descriptors of `frames` only.
        let tables = page_table(env);
        [bytes.start(), last].into_iter().find_map(|at| {
            let Walk::Leaf(leaf) = tables.walk(env, at) else { return None };
            if leaf.origin != Origin::Altmap || bytes.contains_range(leaf.range) {
                return None;
            }
            let inside =
                PhysRange::new(frames.start().phys::<T::Geometry>()?, frames.end().phys::<T::Geometry>()?);
            let holds = array.frames_in::<T::Page>(leaf.range);
            let (before, after) = (holds.split_at(frames.start()).0, holds.split_at(frames.end()).1);
            inside
                .ok()?
                .contains(leaf.phys)
                .then(|| writing.first_valid(before).or(writing.first_valid(after)))?
        })
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_core::presets::X86_64 as Geometry;
    use sparsemem_core::{NodeId, OutOfMemory, Page, PageCount, Pfn, PhysAddr, SectionNr};
    use sparsemem_page_table::Wanted;
    use sparsemem_section::{ConstNew as _, FlatTable};

    use super::*;
    use crate::DynamicBase;

    type Table = FlatTable<Geometry, Page, { Geometry::NR_SECTIONS_LEN }>;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn range(start: u64, end: u64) -> VirtRange {
        VirtRange::new(VirtAddr::new(start), VirtAddr::new(end)).unwrap()
    }

    #[test]
    fn ranges_are_rounded_outwards() {
        let rounded = |start, end| rounded(range(start, end), 0x1000);
        assert_eq!(rounded(0x1234, 0x5678), Some(range(0x1000, 0x6000)));
        assert_eq!(rounded(0x1000, 0x2000), Some(range(0x1000, 0x2000)));
        assert_eq!(rounded(0x7fff, 0x8001), Some(range(0x7000, 0x9000)));
        assert_eq!(rounded(u64::MAX - 1, u64::MAX), Some(range(u64::MAX - 0xfff, u64::MAX)));
    }

    #[test]
    fn a_large_leaf_is_placed_where_all_of_it_is_needed_or_most() {
        let (small, medium, large) = (LeafSize::Size4KiB, LeafSize::Size2MiB, LeafSize::Size1GiB);
        let slots = [range(GIB, GIB + 4 * KIB), range(GIB, GIB + 2 * MIB), range(GIB, 2 * GIB)];
        let placed = |largest, neighbourhood, prefers_large| {
            let policy = Policy { largest, neighbourhood, prefers_large };
            [(slots[0], small), (slots[1], medium), (slots[2], large)]
                .map(|(slot, size)| policy.choose(slot, size) == Choice::Place)
        };
        let (nothing, most) = (range(0, 0), range(GIB, 2 * GIB - 4 * KIB));
        let all = range(GIB - MIB, 3 * GIB);
        for prefers_large in [false, true] {
            assert_eq!(placed(small, all, prefers_large), [true, false, false]);
            assert_eq!(placed(medium, all, prefers_large), [true, true, false]);
            assert_eq!(placed(large, all, prefers_large), [true, true, true]);
            assert_eq!(placed(large, most, prefers_large), [true, true, false]);
            assert_eq!(placed(large, nothing, prefers_large), [true, prefers_large, false]);
            assert_eq!(placed(small, nothing, prefers_large), [true, false, false]);
        }
    }

    /// Parts of a section get small leaves, also between others: they may go alone.
    #[test]
    fn whole_sections_get_large_leaves_if_they_fill_more_than_half() {
        let array = VirtualArray::<DynamicBase>::NEW;
        let start = NonNull::new(core::ptr::without_provenance_mut(1 << 30)).unwrap();
        // SAFETY: nothing is populated there; the array belongs to no model.
        unsafe { array.base().reserve(start, GIB) };
        let frames = |count| PfnRange::from_start_count(Pfn::new(0), PageCount::new(count)).unwrap();
        let policy = |count, bytes| {
            let (section, node) = (SectionNr::new(0), NodeId::new(0));
            let neighbourhood = frames(3 * Geometry::PAGES_PER_SECTION);
            let request = PopulateRequest { section, frames: frames(count), neighbourhood, node };
            array.policy::<Table>(LeafSize::Size2MiB, &request, range(GIB, GIB + bytes))
        };
        let whole = Geometry::PAGES_PER_SECTION;
        for (bytes, large) in [(2 * MIB, true), (MIB + 4 * KIB, true), (MIB, false), (512 * KIB, false)] {
            let policy = policy(whole, bytes);
            assert_eq!((policy.prefers_large, policy.largest), (large, LeafSize::Size2MiB));
            assert_eq!(policy.neighbourhood, range(GIB, GIB + 6 * MIB));
        }
        let part = policy(whole / 2, 2 * MIB);
        assert!(!part.prefers_large && part.neighbourhood.is_empty());
    }

    #[test]
    fn a_loss_names_what_stands_in_the_way() {
        let (at, phys) = (VirtAddr::new(0x1000), PhysAddr::new(1 << 52));
        let (what, refused) = (Wanted::Leaf(LeafSize::Size4KiB), LinkRefused { at });
        let error = OutOfMemory { size: 4096, align: 4096, node: NodeId::new(1) };
        let range = range(0x5000, 0x6000);
        for (error, why) in [
            (PopulateError::OutOfMemory { at, what, error }, SectionLoss::Memmap(error)),
            (PopulateError::LinkRefused { size: LeafSize::Size4KiB, refused }, SectionLoss::Mapping(refused)),
            (PopulateError::Misaligned { at, phys, what }, SectionLoss::Mapping(refused)),
            (PopulateError::OutOfReach { at, phys, what }, SectionLoss::Mapping(refused)),
            (PopulateError::NonCanonical { range }, SectionLoss::Unmappable { at: range.start() }),
            (PopulateError::Empty { range }, SectionLoss::OutsideRange),
        ] {
            assert_eq!(loss(error), why);
        }
    }
}
