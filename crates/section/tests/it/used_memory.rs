//! A placement whose memory was used before, and which leaves every default of `Populate`: descriptors are new all the same, and
//! nobody is asked who needs the memory.

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Footprint, LostBlocks, MemoryModel, Pfn, PfnRange, SectionLoss, SectionShape, SectionStamp, ZeroIsNew,
};
use sparsemem_machine::place;
use sparsemem_section::{
    Content, Encoded, Placement, Populate, PopulateRequest, SectionMemmap, SectionTable, SectionWord,
    SparseModel, Writing,
};

use crate::tables::{Alone, FlatEntries, HALF, NODE, SECTION, boot, frames, retired, sections};
use sparsemem_fixture::Env;

type Model = SparseModel<FlatEntries, Used, Alone>;

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
unsafe impl<T: SectionTable<Geometry = X86_64, Page: SectionStamp>> Populate<T, Env> for Used {
    fn populate(
        writing: &mut Writing<'_, T, Self>,
        env: &mut Env,
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
        env: &mut Env,
        frames: PfnRange,
        memmap: SectionMemmap<T::Page>,
        lost: &mut LostBlocks,
    ) {
        // SAFETY: the caller's promise is the same.
        unsafe { Encoded::depopulate(&mut Self::blocks(writing), env, frames, memmap, lost) };
    }

    unsafe fn shrink(
        writing: &mut Writing<'_, T, Self>,
        env: &mut Env,
        frames: PfnRange,
        lost: &mut LostBlocks,
    ) {
        // SAFETY: the caller's promise is the same.
        unsafe { Encoded::shrink(&mut Self::blocks(writing), env, frames, lost) };
    }
}

#[test]
fn descriptors_in_used_memory_are_zeroed_at_boot_and_later() {
    let mut env = Env::new();
    let model = place::<Model>();
    let zero = |frames: PfnRange| {
        let reader = model.read();
        (frames.start().get()..frames.end().get()).all(|pfn| {
            let page = reader.page(Pfn::new(pfn)).unwrap();
            let seen = [&page.flags, &page.private].map(|word| word.load(Ordering::Relaxed));
            (seen, page.references.load(Ordering::Relaxed), page.section().get()) == ([0, 0], 0, 0)
        })
    };
    // Half of the second section is a hole, whose descriptors are there all the same.
    boot(&*model, &mut env, &[frames(0, SECTION + HALF)]);
    assert!(zero(sections(0, 2)), "at boot");
    let mut writer = model.write().unwrap();
    let half = sections(2, 1).split_at(Pfn::new(2 * SECTION + HALF));
    writer.install(&mut env, half.0, NODE).unwrap();
    assert!(zero(half.0), "a new section");
    writer.install(&mut env, half.1, NODE).unwrap();
    assert!(zero(half.1), "more of it");
}

#[test]
fn descriptors_of_neighbours_are_left_alone() {
    let mut env = Env::new();
    let model = place::<Model>();
    let part = |nr: u64| {
        let count = X86_64::PAGES_PER_SUBSECTION;
        frames(nr * count, (nr + 1) * count)
    };
    let mut writer = model.write().unwrap();
    writer.install(&mut env, part(0), NODE).unwrap();
    writer.install(&mut env, part(2), NODE).unwrap();
    let neighbours = [Pfn::new(part(1).start().get() - 1), part(1).end()];
    for pfn in neighbours {
        model.read().page(pfn).unwrap().private.store(pfn.get(), Ordering::Relaxed);
    }
    writer.install(&mut env, part(1), NODE).unwrap();
    for pfn in neighbours {
        assert_eq!(model.read().page(pfn).unwrap().private.load(Ordering::Relaxed), pfn.get());
    }
}

/// A placement that does not say who needs memory does not keep any: also not memory that holds its own descriptors.
#[test]
fn memory_goes_from_a_placement_that_says_nothing_of_neighbours() {
    let mut env = Env::new();
    let model = place::<Model>();
    let mut writer = model.write().unwrap();
    env.memmaps_at(sections(1, 1).start());
    writer.install(&mut env, sections(1, 1), NODE).unwrap();
    assert_eq!(env.in_altmap(), 1);
    assert_eq!(writer.retire(&mut env, sections(1, 1)), retired(1, 1));
    assert!(env.is_whole());
}
