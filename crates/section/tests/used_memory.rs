//! A placement whose memory was used before: descriptors are new all the same.
#![cfg(not(sparsemem_loom))]

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Footprint, LostBlocks, MemoryModel, MemoryRange, NodeId, Page, PageCount, Pfn, PfnRange, PhysAddr,
    PhysRange, SectionLoss, SectionShape, SectionStamp, ZeroIsNew,
};
use sparsemem_machine::{HostRcu, Machine, MachineConfig, place};
use sparsemem_section::{
    Content, Encoded, FlatTable, Placement, Populate, PopulateRequest, SectionMemmap, SectionTable,
    SectionWord, SparseModel, Writing,
};

/// Frames of a section.
const SECTION: u64 = X86_64::PAGES_PER_SECTION;

struct Readers;
type Table = FlatTable<X86_64, Page, { X86_64::NR_SECTIONS_LEN }>;
type Model = SparseModel<Table, Used, HostRcu<Readers>>;

/// Gives memory that somebody else has used before, and says so.
struct Used {
    blocks: Encoded,
}

// SAFETY: the blocks are a value without bytes.
unsafe impl ZeroIsNew for Used {}

// SAFETY: that of the blocks.
unsafe impl<T: SectionTable<Page: SectionStamp>> Placement<T> for Used {
    const NAME: &'static str = "used";

    unsafe fn descriptor(&self, word: SectionWord<T::Page>, pfn: Pfn) -> NonNull<T::Page> {
        // SAFETY: the caller's promise is the same.
        unsafe { Placement::<T>::descriptor(&self.blocks, word, pfn) }
    }

    unsafe fn descriptor_unchecked(&self, table: &T, pfn: Pfn) -> NonNull<T::Page> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.blocks.descriptor_unchecked(table, pfn) }
    }

    unsafe fn frame(&self, table: &T, page: NonNull<T::Page>) -> Pfn {
        // SAFETY: the caller's promise is the same.
        unsafe { self.blocks.frame(table, page) }
    }

    fn footprint(&self, sections: u64) -> Footprint {
        Placement::<T>::footprint(&self.blocks, sections)
    }
}

impl Used {
    /// The token for the blocks.
    fn blocks<'w, T: SectionTable>(writing: &'w mut Writing<'_, T, Self>) -> Writing<'w, T, Encoded> {
        // SAFETY: the blocks are this placement's own.
        unsafe { writing.project(|used| &used.blocks) }
    }
}

// SAFETY: that of the blocks; what they give is soiled, and that is said.
unsafe impl<T: SectionTable<Geometry = X86_64, Page: SectionStamp>> Populate<T, Machine> for Used {
    fn populate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut Machine,
        request: &PopulateRequest,
        lost: &mut LostBlocks,
    ) -> Result<SectionMemmap<T::Page>, SectionLoss> {
        let memmap = Encoded::populate(&mut Self::blocks(writing), env, request, lost)?;
        let skipped = usize::try_from(request.frames.start().get() % SECTION).unwrap();
        let count = usize::try_from(request.frames.count().get()).unwrap();
        // SAFETY: the memmap has a descriptor for every frame of the section.
        let first = unsafe { memmap.first.add(skipped) };
        // SAFETY: as above, and the frames are not valid yet, so nobody uses their descriptors.
        unsafe { first.write_bytes(0xaa, count) };
        Ok(SectionMemmap { content: Content::MaybeOld, ..memmap })
    }

    unsafe fn depopulate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut Machine,
        frames: PfnRange,
        memmap: SectionMemmap<T::Page>,
        lost: &mut LostBlocks,
    ) {
        // SAFETY: the caller's promise is the same.
        unsafe { Encoded::depopulate(&mut Self::blocks(writing), env, frames, memmap, lost) };
    }

    unsafe fn shrink(
        writing: &mut Writing<'_, T, Self>,
        env: &mut Machine,
        frames: PfnRange,
        lost: &mut LostBlocks,
    ) {
        // SAFETY: the caller's promise is the same.
        unsafe { Encoded::shrink(&mut Self::blocks(writing), env, frames, lost) };
    }
}

#[test]
fn descriptors_in_used_memory_are_zeroed_at_boot_and_later() {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(256 << 20)).unwrap();
    let mut machine = Machine::new(&MachineConfig::new().memory(memory, NodeId::new(0))).unwrap();
    let model = place::<Model>();
    let zero = |frames: PfnRange| {
        let reader = model.read();
        (frames.start().get()..frames.end().get()).all(|pfn| {
            let page = reader.page(Pfn::new(pfn)).unwrap();
            let seen = [&page.flags, &page.private].map(|word| word.load(Ordering::Relaxed));
            (seen, page.references.load(Ordering::Relaxed), page.section().get()) == ([0, 0], 0, 0)
        })
    };
    let sections = |first, count| {
        PfnRange::from_start_count(Pfn::new(first * SECTION), PageCount::new(count * SECTION)).unwrap()
    };
    let mut writer = model.write().unwrap();
    // Half of the second section is a hole, whose descriptors are there all the same.
    let frames = sections(0, 2).split_at(Pfn::new(SECTION + SECTION / 2)).0;
    let memory = [MemoryRange { frames, node: NodeId::new(0) }];
    writer.boot(&mut machine, memory.into_iter(), &mut |event| panic!("{event:?}")).unwrap();
    assert!(zero(sections(0, 2)), "at boot");
    let half = sections(2, 1).split_at(Pfn::new(2 * SECTION + SECTION / 2));
    writer.install(&mut machine, half.0, NodeId::new(0)).unwrap();
    assert!(zero(half.0), "a new section");
    writer.install(&mut machine, half.1, NodeId::new(0)).unwrap();
    assert!(zero(half.1), "more of it");
}

#[test]
fn descriptors_of_neighbours_are_left_alone() {
    let memory = PhysRange::new(PhysAddr::new(0), PhysAddr::new(256 << 20)).unwrap();
    let mut machine = Machine::new(&MachineConfig::new().memory(memory, NodeId::new(0))).unwrap();
    let model = place::<Model>();
    let part = |nr: u64| {
        let count = PageCount::new(X86_64::PAGES_PER_SUBSECTION);
        PfnRange::from_start_count(Pfn::new(nr * count.get()), count).unwrap()
    };
    let mut writer = model.write().unwrap();
    writer.install(&mut machine, part(0), NodeId::new(0)).unwrap();
    writer.install(&mut machine, part(2), NodeId::new(0)).unwrap();
    let neighbours = [Pfn::new(part(1).start().get() - 1), part(1).end()];
    for pfn in neighbours {
        model.read().page(pfn).unwrap().private.store(pfn.get(), Ordering::Relaxed);
    }
    writer.install(&mut machine, part(1), NodeId::new(0)).unwrap();
    for pfn in neighbours {
        assert_eq!(model.read().page(pfn).unwrap().private.load(Ordering::Relaxed), pfn.get());
    }
}
